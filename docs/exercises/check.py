"""Are your answers right, and if not, why not?

    python docs/exercises/check.py                every chapter
    python docs/exercises/check.py linear adam    two of them

Fill in the functions of docs/exercises/linear.py and its neighbours; each says what it has to compute. --folder
checks a copy of these files elsewhere. The exit code is 0 if all answers are right, and 1 otherwise.
"""

import argparse
import shutil
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent.parent / "scripts"), str(HERE)]
sys.dont_write_bytecode = True  # a reader's file is read anew each time

import cli  # noqa: E402
from checks import (  # noqa: E402
    activations,
    adam,
    dropout,
    gradient_checking,
    initialization,
    lesson,
    linear,
    softmax_cross_entropy,
)
from checks.answers import NotFilled, Wrong, answer, load  # noqa: E402

CHAPTERS = {
    "linear": linear.EXERCISES,
    "activations": activations.EXERCISES,
    "dropout": dropout.EXERCISES,
    "softmax_cross_entropy": softmax_cross_entropy.EXERCISES,
    "adam": adam.EXERCISES,
    "gradient_checking": gradient_checking.EXERCISES,
    "initialization": initialization.EXERCISES,
    "lesson": lesson.EXERCISES,
}


def chapter(text: str) -> str:
    """The argparse type of a chapter: "adam", "softmax-cross-entropy" and "docs/exercises/adam.py" are understood."""
    name = Path(text).stem.replace("-", "_")
    if name not in CHAPTERS:
        raise argparse.ArgumentTypeError(f"expected one of {', '.join(CHAPTERS)}, got {text!r}")
    return name


def judged(name: str, folder: Path) -> Iterator[tuple[str, str, str]]:
    """(exercise, verdict, why) of each exercise of a chapter."""
    try:
        module = load(folder / f"{name}.py")
    except Wrong as wrong:
        yield from ((exercise, "wrong", str(wrong)) for exercise in list(CHAPTERS[name])[:1])
        yield from ((exercise, "not read", "see above") for exercise in list(CHAPTERS[name])[1:])
        return
    for exercise, check in CHAPTERS[name].items():
        try:
            yield exercise, "right", check(answer(module, exercise))
        except NotFilled as unfilled:
            yield exercise, "not filled yet", str(unfilled)
        except Wrong as wrong:
            yield exercise, "wrong", str(wrong)


def main() -> int:
    parser = cli.parser(__doc__)
    parser.add_argument("chapters", nargs="*", type=chapter, metavar="CHAPTER", help=", ".join(CHAPTERS))
    parser.add_argument("--folder", type=Path, default=HERE, help="of the files with the answers (default: this one)")
    args = parser.parse_args()
    width = min(shutil.get_terminal_size((100, 24)).columns, 120)
    right = total = 0
    for name in dict.fromkeys(args.chapters or CHAPTERS):
        print(f"{args.folder / name}.py" if args.folder != HERE else f"docs/exercises/{name}.py")
        for exercise, verdict, why in judged(name, args.folder):
            text = f"{exercise}: {verdict.upper() if verdict == 'wrong' else verdict}. {why}"
            for paragraph in text.splitlines():
                print(textwrap.fill(paragraph, width, initial_indent="  ", subsequent_indent="      "))
            right, total = right + (verdict == "right"), total + 1
    print(f"{right} of {total} right")
    return 0 if right == total else 1


if __name__ == "__main__":
    cli.run(main)
