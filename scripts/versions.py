"""The tests and a short comparison with the oldest and the newest packages that pyproject.toml claims.

    python scripts/versions.py                  each Python at hand, from 3.11 on; some minutes for each of its two rows
    python scripts/versions.py --python 3.12    this one alone
    python scripts/versions.py --all            all tests instead of the fast ones

Each row is a virtual environment of its own, in --folder, which is kept for the next time. "oldest" has the first
series that pyproject.toml allows, or, of a package that has no wheel of it for this Python, the first that has one.
PyTorch is in none of them: tests that ask it are skipped. DeprecationWarnings fail the tests with the newest packages
and not with the oldest, whose own calls of newer packages are full of them.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
from tqdm import tqdm

ROOT = Path(__file__).parent.parent
# The first series with wheels for a Python that came later than the oldest series that is claimed.
FIRST_WHEELS = {("3.13", "numpy"): "2.1", ("3.13", "matplotlib"): "3.9"}
# What takes longest, and depends least on versions: studies, whole scripts and their signals, PyTorch's speed.
SLOW = "benchmark cli compare growth studies study_* why your_own".split()  # noqa: SIM905


def claimed() -> tuple[dict[str, str], list[str]]:
    """The oldest series of each package that pyproject.toml allows, and what its tests need besides PyTorch."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    oldest = dict(requirement.split(">=") for requirement in project["dependencies"])
    tests = project["optional-dependencies"]["test"]
    return oldest, [name for name in tests if not name.startswith(("torch", "selenium"))]


def pythons() -> dict[str, str]:
    """The interpreters at hand, on PATH or of pyenv, from 3.11 on: {"3.11": path, …}."""
    found = [shutil.which(f"python3.{minor}") for minor in range(11, 30)]
    found += [*map(str, sorted(Path.home().glob(".pyenv/versions/3.*/bin/python"))), sys.executable]
    versions: dict[str, str] = {}
    for path in filter(None, found):
        asked = subprocess.run([path, "-V"], capture_output=True, text=True)  # a shim of pyenv may lead nowhere
        if (match := re.match(r"Python (3\.(\d+))\.", asked.stdout)) and int(match[2]) >= 11:
            versions.setdefault(match[1], path)
    return dict(sorted(versions.items(), key=lambda pair: int(pair[0].partition(".")[2])))


def call(*command: object, log: Path) -> bool:
    """Run a command in the project's folder; what it prints goes to the end of `log`. Whether it succeeded."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OPENBLAS_NUM_THREADS": "1"}
    with open(log, "a", encoding="utf-8") as file:
        file.write(f"\n$ {' '.join(map(str, command))}\n")
        file.flush()
        return not subprocess.run([*map(str, command)], cwd=ROOT, env=environment, stdout=file, stderr=file).returncode


def row(version: str, python: str, which: str, every: bool, folder: Path) -> tuple[bool, str]:
    """Whether all went well, and a row of the table."""
    oldest, tests = claimed()
    home, log = folder / f"{version}-{which}", folder / f"{version}-{which}.log"
    log.write_text("", encoding="utf-8")
    series = {name: FIRST_WHEELS.get((version, name), first) for name, first in oldest.items()}
    packages = [f"{name}=={series[name]}.*" if which == "oldest" else name for name in oldest]
    inside = home / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
    pip = (inside, "-m", "pip", "install", "--quiet", "--upgrade", "--only-binary", ":all:")
    if not (call(python, "-m", "venv", home, log=log) and call(*pip, *packages, *tests, log=log)):
        return False, f"| {version} | {which} | the packages could not be installed | | |"
    asked = (
        "import sys, importlib.metadata as m; print(*(f'{name} {m.version(name)}' for name in sys.argv[1:]), sep=', ')"
    )
    versions = subprocess.run([inside, "-c", asked, *oldest], capture_output=True, text=True, check=True).stdout.strip()

    ignored = [] if every else [f"--ignore-glob=tests/test_{name}.py" for name in SLOW]
    lenient = ["-W", "default::DeprecationWarning"] if which == "oldest" else []
    fine = call(inside, "-m", "pytest", "-q", "-n", 0, "-p", "no:cacheprovider", *lenient, *ignored, log=log)
    counts = re.findall(r"\d+ (?:passed|failed|skipped|errors?)", log.read_text(encoding="utf-8").rpartition("\n$ ")[2])
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as out:
        compared = call(inside, "scripts/compare.py", "--quick", "--out", Path(out) / "results", log=log)
    seconds = f"{time.perf_counter() - start:.0f} s"
    outcome = f"{', '.join(counts[-4:])} | {'runs' if compared else 'fails'}, {seconds}"
    return fine and compared, f"| {version} | {which} | {versions} | {outcome} |"


def arguments() -> argparse.Namespace:
    at_hand = pythons()
    parser = cli.parser(__doc__)
    parser.add_argument("--python", choices=at_hand, action="append", metavar="3.N", help=f"of {', '.join(at_hand)}")
    parser.add_argument("--which", choices=("oldest", "newest"), action="append", help="default both")
    parser.add_argument("--all", action="store_true", help="all tests, not only the fast ones")
    folder = Path(tempfile.gettempdir()) / "scratchnet-versions"
    parser.add_argument("--folder", type=Path, default=folder, help=f"of the environments and logs (default {folder})")
    return parser.parse_args()


def main() -> int:
    args, at_hand = arguments(), pythons()
    args.folder.mkdir(parents=True, exist_ok=True)
    pairs = [(v, which) for v in args.python or at_hand for which in args.which or ("oldest", "newest")]
    cli.say("| Python | packages | versions | tests | `compare.py --quick` |\n|---|---|---|---|---|")
    failed = False
    for version, which in tqdm(pairs, desc="environments", unit="", disable=None):
        fine, line = row(version, at_hand[version], which, args.all, args.folder)
        cli.say(line)  # as soon as it is known: the next takes minutes
        if not fine:
            failed = True
            tqdm.write(f"something failed: see {args.folder / f'{version}-{which}.log'}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    cli.run(main)
