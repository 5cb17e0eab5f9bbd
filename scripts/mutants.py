"""Mutation testing of the mathematics: does a test notice every small change of it?

    python -m pip install -e ".[audit]"
    python scripts/mutants.py                 every file, one after the other: much longer
    python scripts/mutants.py loss optim      these alone: some minutes

mutmut makes the changes, such as a − in the place of a +, one at a time and in a copy, and runs the tests of that file
each time. What no test notices needs a new test, or a line in tests/mutants.txt that says why it changes nothing.
Prints a row for each file, then the mutants that nothing explains, and exits with 1 if there are any.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
from tqdm import tqdm

ROOT = Path(__file__).parent.parent
# The mathematics, and the files of tests that it is asked of: none stands for the one of its own name.
FILES: dict[str, str] = {
    "layers": "layers normalization gpu::test_a_layer_gives_the_same_output_and_gradients",
    "loss": "loss gpu::test_the_loss_and_its_gradient_are_the_same",
    "optim": "optim gpu::test_an_optimizer_takes_the_same_steps",
    "network": "network normalization residual",
    "train": "train data",
    "gradcheck": "",
    "normalization": "",
    "residual": "",
    "init/schemes": "",
    "init/gaussian": "gaussian meanfield signals",
    "init/meanfield": "",
    "init/signals": "",
    "init/structured": "",
    "init/residual": "residual",
    "init/data_dependent": "",
    "init/expected": "",
    "lab/intervals": "",
    "lab/outputs": "diagnostics",
    "lab/symmetry": "diagnostics",
    "lab/maps": "diagnostics",
    "lab/verdicts": "",
}
CONFIG = """
[tool.mutmut]
source_paths = ["scratchnet"]
only_mutate = ["scratchnet/{file}.py"]
also_copy = ["README.md", "scripts", "docs"]
pytest_add_cli_args = ["-n0", "-o", "addopts=--strict-markers"]
pytest_add_cli_args_test_selection = {tests}
do_not_mutate_patterns = ["raise ", "f\\""]
timeout_constant = 10
"""
# mutmut's exit codes: a test failed, or took far too long, as in an endless loop, or on a machine that is too busy.
NOTICED, TOO_LONG = (1, 3), (-24, 24, 36, 152, 255)
Change = tuple[str, str, str]  # a file, what stands in it, what the mutant has instead


def explained(text: str) -> list[Change]:
    """The changes that tests/mutants.txt explains: its indented lines, `file: old → new`."""
    lines = [line.strip() for line in text.splitlines() if line.startswith(" ")]
    parts = [(*line.partition(": ")[::2],) for line in lines]
    return [(file, *change.split(" → ")) for file, change in parts]  # type: ignore[misc]


def explains(known: Change, file: str, diff: str) -> bool:
    """Whether a mutant, the diff of one function, is a change that is explained."""
    name, old, new = known
    without = [line[1:] for line in diff.splitlines() if line.startswith("-") and not line.startswith("---")]
    with_ = [line[1:] for line in diff.splitlines() if line.startswith("+") and not line.startswith("+++")]
    before, after = "\n".join(without), "\n".join(with_)
    return name == file and any(
        before[:i] + new + before[i + len(old) :] == after for i in range(len(before)) if before.startswith(old, i)
    )


def tests(file: str) -> list[str]:
    """The tests that a file of the mathematics is asked of, as pytest names them."""
    names = (name.partition("::") for name in (FILES[file] or file.rpartition("/")[2]).split())
    return [f"tests/test_{name}.py{colons}{test}" for name, colons, test in names]


def mutate(file: str, folder: Path) -> tuple[int, int, list[str]]:
    """How many mutants of `file` a test noticed, how many took too long, and the diffs of the others.

    Takes minutes. The copy that is changed comes into the empty `folder`.
    """
    for name in ("scratchnet", "tests", "scripts", "docs"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".*"))
    shutil.copy(ROOT / "README.md", folder)
    config = CONFIG.format(file=file, tests=json.dumps(tests(file)))
    (folder / "pyproject.toml").write_text((ROOT / "pyproject.toml").read_text("utf-8") + config, "utf-8")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    settings = {"cwd": folder, "env": environment | {"OPENBLAS_NUM_THREADS": "1"}, "encoding": "utf-8"}
    with open(folder / "log", "w", encoding="utf-8") as log:
        command = [sys.executable, "-m", "mutmut", "run", "--max-children", "1"]
        subprocess.run(command, **settings, stdout=log, stderr=log)  # type: ignore[call-overload]
    results = folder / "mutants" / "scratchnet" / f"{file}.py.meta"
    codes = json.loads(results.read_text("utf-8"))["exit_code_by_key"] if results.exists() else {}
    if not codes or None in codes.values():
        said = (folder / "log").read_text("utf-8", "replace").strip().splitlines()[-5:]
        raise ValueError("\n".join([f"mutmut did not come to its end on {file}. The last that it said:", *said]))
    diffs = []
    for mutant in (name for name, code in codes.items() if code not in NOTICED + TOO_LONG):
        show = [sys.executable, "-m", "mutmut", "show", mutant]
        diffs.append(subprocess.run(show, **settings, capture_output=True).stdout)  # type: ignore[call-overload]
    found = list(codes.values())
    return sum(map(found.count, NOTICED)), sum(map(found.count, TOO_LONG)), diffs


def mathematics(text: str) -> str:
    """The argparse type of a file that is mutated."""
    if text not in FILES:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(FILES)}, got {text!r}")
    return text


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("files", nargs="*", type=mathematics, metavar="FILE", help=f"of {', '.join(FILES)}")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    known = explained((ROOT / "tests" / "mutants.txt").read_text("utf-8"))
    cli.say("| file | mutants | noticed | took too long | explained | none of these |\n|---|---|---|---|---|---|")
    left = []
    for file in tqdm(args.files or FILES, desc="files", unit="", disable=None):
        with tempfile.TemporaryDirectory() as folder:
            noticed, slow, diffs = mutate(file, Path(folder))
        rest = [diff for diff in diffs if not any(explains(one, file, diff) for one in known)]
        left += rest
        counts = (noticed + slow + len(diffs), noticed, slow, len(diffs) - len(rest), len(rest))
        cli.say(f"| `{file}.py` | {' | '.join(map(str, counts))} |")
    for diff in left:
        cli.say(diff)
    return 1 if left else 0


if __name__ == "__main__":
    cli.run(main)
