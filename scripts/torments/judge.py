"""What "survived" means: rules about what is there after a torment, and after the next run. See torture.py."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterator
from pathlib import Path

from scratchnet.data.fashion_mnist import FILES
from torments.victim import LONGEST, MARK, ROOT, Run, Undisturbed, Victim

GONE = 5.0  # seconds after the end of a run in which its other processes may end
PUBLISHED = {file.name: file.sha256 for file in FILES} | {file.idx_name: file.idx_sha256 for file in FILES}


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def files(folder: Path) -> dict[str, Path]:
    return {str(path.relative_to(folder)): path for path in sorted(folder.rglob("*")) if path.is_file()}


def earlier(victim: Victim, undisturbed: Undisturbed, folder: Path) -> dict[str, str]:
    """Put a user's file into the folder, and what an earlier complete run has left: {name: digest}."""
    folder.mkdir(parents=True)
    (folder / "notes.txt").write_text("What I think of these results.\n")
    for path in undisturbed.place.joinpath("out").glob(victim.keep or "nothing"):
        if path.is_file():
            copy = folder / path.relative_to(undisturbed.place / "out")
            copy.parent.mkdir(exist_ok=True)
            copy.write_bytes(path.read_bytes() + MARK)
    return {name: digest(path) for name, path in files(folder).items()}


def after_torment(run: Run, had: dict[str, str], codes: set[int]) -> Iterator[str]:
    """What is wrong after the end of a tormented run, which may have any of the exit codes."""
    if run.process.returncode not in codes and not unborn(run.stderr.read_text(errors="replace")):
        yield f"exit code {run.process.returncode}, expected one of {sorted(codes)}"
    yield from _at_any_time(run, had)


def after_all(run: Run, had: dict[str, str], undisturbed: Undisturbed) -> Iterator[str]:
    """What is wrong after a run that has to end as if nothing had happened, now or before."""
    if run.process.returncode != run.victim.code:
        yield f"exit code {run.process.returncode}"
    elif (found := run.victim.numbers(run)) != undisturbed.numbers:
        yield f"other numbers ({found[:16]}… instead of {undisturbed.numbers[:16]}…)"
    if "is not used" in run.stderr.read_text():
        yield "it does not go on with what was finished"
    allowed = undisturbed.names | {"notes.txt"}
    for name in files(run.folder):
        if name not in allowed and not name.startswith("earlier/") and ".damaged-" not in name:
            yield f"it leaves {name}"
    yield from _at_any_time(run, had)


def _at_any_time(run: Run, had: dict[str, str]) -> Iterator[str]:
    if run.hung:
        yield f"it had not ended after {LONGEST:.0f} seconds"
    if left := run.left(GONE):
        yield f"processes are left: {left}"
    there = files(run.folder)
    digests = {digest(path) for path in there.values()}
    for name, known in had.items():
        if known not in digests:
            yield f"{name} is lost or changed"
    for name, path in there.items():
        if path.suffix == ".json" and not _is_json(path):
            yield f"{name} is torn"
        if path.name in PUBLISHED and digest(path) not in {PUBLISHED[path.name], had.get(name)}:
            yield f"{name} is not the published file"
    if traceback(run.stderr.read_text(errors="replace")):
        yield f"a traceback in {run.stderr}"


def _is_json(path: Path) -> bool:
    try:
        json.loads(path.read_bytes())
    except ValueError:
        return False
    return True


def traceback(text: str) -> bool:
    """Whether there is one that goes through a file of this project, or of a package that it has imported."""
    return "Traceback" in text and (str(ROOT) in text or "site-packages" in text) and not unborn(text)


def unborn(text: str) -> bool:
    """Whether Ctrl-C came before a script could do anything about it.

    Python says so itself where it still looks for packages. Afterwards a script is on its way to the first lines of
    cli.py, which answer Ctrl-C: the only file of this project in the traceback is then the script, at an import.
    """
    if not text.endswith("KeyboardInterrupt\n"):
        return False
    ours = re.findall(rf'File "{re.escape(str(ROOT))}/(.*)", line \d+, in (.*)\n +(?:import|from) ', text)
    return text.startswith("Fatal Python error: init_import_site") or (
        text.count(str(ROOT)) == len(ours) == 1 and re.fullmatch(r"scripts/\w+\.py", ours[0][0]) is not None
    )
