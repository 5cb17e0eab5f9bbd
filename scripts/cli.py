"""What every script needs on the command line: checked numbers, common options, messages, signals and exit codes."""

from __future__ import annotations

import os
import sys


def _interrupted(kind: type[BaseException], error: BaseException, trace: Any) -> None:
    """Ctrl-C while modules are imported, which takes a second: one line, as in `run`."""
    if not issubclass(kind, KeyboardInterrupt):
        sys.__excepthook__(kind, error, trace)
    elif sys.stderr is not None:
        print(f"{os.path.basename(sys.argv[0])}: interrupted", file=sys.stderr)


sys.excepthook = _interrupted  # before the imports that take long
os.environ["MPLBACKEND"] = "agg"  # scripts open no window; matplotlib refuses a senseless one, after the training

import argparse
import errno
import math
import re
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import streams
from signals import as_ctrl_c, exit_code

from scratchnet.backend import DeviceError, resolve
from scratchnet.data import DATASETS, Dataset
from scratchnet.data.fashion_mnist import FashionMNISTUnavailable
from scratchnet.files import Owned, cut, owning
from scratchnet.lab import parts
from scratchnet.lab.comparison import Unfinished
from scratchnet.lab.executors import anywhere
from scratchnet.lab.experiment import INITIALIZATIONS, Arm, Settings, named
from scratchnet.lab.journal import Execute

# What a user can cause, and what one sentence can explain.
EXPECTED = (FashionMNISTUnavailable, DeviceError, OSError, MemoryError, ValueError)

FULL = ("ENOSPC", "EDQUOT", "EFBIG")  # no room, or no more for this user or this file

MOST = 10**9  # of anything that is counted: more is a slip of the finger, or does not fit into memory
MOST_SEEDS = 100_000


def whole(least: int, most: int = MOST) -> Callable[[str], int]:
    """The argparse type of an integer from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = most + 1 if len(text) > 4000 and text.isdecimal() else least - 1  # int() takes 4,300 digits
        if value < least:
            raise argparse.ArgumentTypeError(f"expected an integer ≥ {least}, got {cut(text)!r}")
        if value > most:
            raise argparse.ArgumentTypeError(f"expected an integer of at most {most:,}, got {cut(text)}")
        return value

    return parse


def positive(text: str) -> float:
    """The argparse type of a finite number > 0."""
    value = _number(text)
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"expected a number > 0, got {text!r}")
    return value


def rates(text: str) -> tuple[float, ...]:
    """The argparse type of learning rates to choose from: two different numbers > 0 or more, with commas between."""
    values = [positive(piece.strip()) for piece in text.split(",")]
    if len(values) < 2:
        raise argparse.ArgumentTypeError(
            f"expected several rates with commas between them, got {text!r} (one for all arms is --learning-rate)"
        )
    shown = [f"{value:g}" for value in values]  # as in tables, where two columns may not have one name
    if twice := [piece for piece, name in zip(text.split(","), shown, strict=True) if shown.count(name) > 1]:
        raise argparse.ArgumentTypeError(f"expected each rate once, got {' and '.join(twice)} in {text!r}")
    return tuple(values)


def probability(text: str) -> float:
    """The argparse type of a number p with 0 ≤ p < 1."""
    value = _number(text)
    if not 0 <= value < 1:
        raise argparse.ArgumentTypeError(f"expected a probability, 0 ≤ p < 1, got {text!r}")
    return value


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return math.nan


def parser(doc: str | None) -> argparse.ArgumentParser:
    """A parser that prints the script's docstring as it stands, and takes whole names of options alone."""
    return _Parser(description=doc, formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)


class _Parser(argparse.ArgumentParser):
    def parse_known_args(self, args: Any = None, namespace: Any = None) -> Any:
        for word in sys.argv[1:] if args is None else args:
            if word.startswith("--") and word.endswith("=--"):  # of which Python 3.11 makes an empty list
                self.error(f"argument {word[:-3]}: expected a value, got '--'")
        return super().parse_known_args(args, namespace)


def hidden(text: str) -> tuple[int, ...]:
    """The argparse type of hidden layers' sizes: "256,128", "100x20" for twenty layers of 100, "none"."""
    sizes: list[int] = []
    for piece in [] if text.strip().lower() == "none" else text.split(","):
        match = re.fullmatch(r"\s*([1-9]\d*)(?:[x×]([1-9]\d*))?\s*", piece)
        if match is None or int(match[2] or 1) > 10_000:
            raise argparse.ArgumentTypeError(
                f"expected sizes such as 256,128, or 100x20 for twenty layers of 100, or none, got {text!r}"
            )
        sizes += [int(match[1])] * int(match[2] or 1)
    return tuple(sizes)


def part(known: Mapping[str, parts.Part], kind: str) -> Callable[[str], parts.Part]:
    """The argparse type of a part's name, or FILE.py:NAME: see `scratchnet.lab.parts`."""

    def parse(text: str) -> parts.Part:
        try:
            return parts.find(text, known, kind)
        except parts.PartError as error:
            raise argparse.ArgumentTypeError(str(error)) from None

    return parse


def arms(text: str) -> tuple[Arm, ...]:
    """The arms of a list such as "he_normal,orthogonal:gain=1.3,uniform:low=-1,high=1,my.py:mine", or of "all".

    A piece between commas that is only ARGUMENT=VALUE belongs to the name before it. Raises PartError.
    """
    if text.strip() == "all":
        text = ",".join(dict.fromkeys(["he_normal", *INITIALIZATIONS]))  # the first is the reference of the verdicts
    names: list[str] = []
    for piece in filter(None, (piece.strip() for piece in text.split(","))):
        if names and "=" in piece and ":" not in piece:
            names[-1] += f",{piece}"
        else:
            names.append(piece)
    if not names:
        raise parts.PartError(f"expected names with commas between them, got {text!r}")
    return distinct(map(named, names))


def distinct(arms: Iterable[Arm]) -> tuple[Arm, ...]:
    """Each arm once. Those that have one label, such as my.py:mine in two folders, are labelled by their keys."""
    chosen = list({arm.key: arm for arm in arms}.values())
    labels = [arm.label for arm in chosen]
    return tuple(arm if labels.count(arm.label) == 1 else replace(arm, label=arm.key) for arm in chosen)


def add_settings_options(parser: argparse.ArgumentParser) -> None:
    """The options of the network and its training, the same for all arms; the lesson's values are the defaults."""
    own = "or FILE.py:NAME"
    add = parser.add_argument_group("settings, the same for all arms").add_argument
    add("--hidden", type=hidden, default=(256, 128), metavar="SIZES", help="256,128 (default); 100x20; none")
    add(
        "--activation",
        type=part(parts.ACTIVATIONS, "activation"),
        default=parts.ACTIVATIONS["relu"],
        metavar="NAME",
        help=f"{', '.join(parts.ACTIVATIONS)}, {own} (default relu)",
    )
    add(
        "--normalization",
        type=lambda text: None if text.lower() == "none" else part(parts.NORMALIZATIONS, "normalization")(text),
        metavar="NAME",
        help=f"before each activation: {', '.join(parts.NORMALIZATIONS)}, none (default), {own}",
    )
    add("--dropout", type=probability, default=0.2, metavar="P", help="of dropping a hidden unit (default 0.2)")
    add(
        "--network",
        type=part(parts.NETWORKS, "network"),
        default=parts.NETWORKS["mlp"],
        metavar="NAME",
        help=f"{', '.join(parts.NETWORKS)}, {own} (default mlp): see docs/your-own.md",
    )
    add(
        "--optimizer",
        type=part(parts.OPTIMIZERS, "optimizer"),
        default=parts.OPTIMIZERS["adam"],
        metavar="NAME",
        help=f"{', '.join(parts.OPTIMIZERS)}, {own} (default adam)",
    )
    add("--learning-rate", type=positive, metavar="X", help="default 0.001, which suits adam")
    add("--batch-size", type=whole(1), default=100, metavar="N", help="default 100")
    add("--epochs", type=whole(1), metavar="N", help="passes over the data (default 2)")
    add("--dtype", choices=("float32", "float64"), default="float32", help="default float32")
    add("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default cpu")


def settings(args: argparse.Namespace, dataset: Dataset, epochs: int) -> Settings:
    """The settings that the options of `add_settings_options` describe, for the images of `dataset`."""
    return Settings(
        sizes=(dataset.images.shape[1], *args.hidden, len(dataset.classes)),
        build=args.network,
        activation=args.activation,
        normalization=args.normalization,
        dropout=args.dropout,
        optimizer=args.optimizer,
        learning_rate=args.learning_rate or Settings.learning_rate,
        batch_size=args.batch_size,
        epochs=args.epochs or epochs,
        dtype=args.dtype,
        device=resolve(args.device),
    )


def folder(text: str) -> Path:
    """The argparse type of a folder to write to, which need not exist yet."""
    if not text.strip() or not text.isprintable():
        raise argparse.ArgumentTypeError(f"expected the name of a folder, got {text!r}")
    path = Path(text)
    for place in (path, *path.parents):
        if place.exists() and not place.is_dir():
            raise argparse.ArgumentTypeError(f"expected a folder, but {place} is a file")
    return path


def add_data_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--dataset", choices=DATASETS, default="auto", help="auto: Fashion-MNIST, else the stand-in (default)"
    )
    parser.add_argument("--data-dir", type=folder, metavar="FOLDER", help="folder of the four Fashion-MNIST files")


def add_out_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--out", type=folder, default=Path("results"), metavar="FOLDER", help="folder for the results (default results)"
    )


def add_work_options(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("--jobs", type=whole(1), metavar="N", help="worker processes (default: one a core)")
    add("--dask", metavar="ADDRESS", help="the scheduler of a Dask cluster that does the work: tcp://10.0.0.1:8786")


_held = ExitStack()  # until the script ends


def own(folder: Path) -> None:
    """Let this script be the only one that writes to the folder, until it ends. Raises OSError: see `files.owning`."""
    try:
        _held.enter_context(owning(folder))
    except Owned:
        raise
    except OSError as error:
        raise OSError(f"no file can be written to {folder} ({error.strerror}): give another --out") from None


def executor(args: argparse.Namespace, files: Mapping[str, bytes] | None = None) -> Execute:
    """What does the work: worker processes or, with --dask, a cluster, to which `files` are sent: see `on_dask`."""
    if args.dask is None:
        return partial(anywhere, jobs=args.jobs)
    try:
        from scratchnet.lab.cluster import connected, on_dask
    except ModuleNotFoundError as error:
        raise ValueError(f'--dask needs {error.name}: python -m pip install -e ".[cluster]"') from None
    return partial(on_dask, client=_held.enter_context(connected(args.dask)), files=files)


def holds(path: Path, mark: str) -> bool:
    """Whether there is a file with `mark` in it, by which a script knows what it has written."""
    return path.is_file() and mark in path.read_text("utf-8", errors="replace")


def complain(message: object) -> None:
    """One line on stderr, after the script's name."""
    print(f"{Path(sys.argv[0]).name}: {message}", file=sys.stderr)


def say(text: str) -> bool:
    """Print results. False where standard output does not take them; `run` will say why."""
    print(text)
    return streams.refused() is None


@contextmanager
def saving(text: str) -> Iterator[None]:
    """Print the results where the `with` block cannot save them: they are not lost with the folder."""
    try:
        yield
    except OSError:
        say(text)
        raise


def run(main: Callable[[], int]) -> None:
    """Run a script's `main` and end the process with its exit code: 0, 1 for a failure, 2 for wrong usage.

    Standard output may be closed, full, a pipe that nobody reads any more, or of an encoding that lacks some
    characters: a script saves its results before it prints, so that none of this loses them. What cannot be written
    is dropped. For standard output that is a failure, but for a closed pipe (`| head`: the reader has seen enough);
    for standard error nobody could be told.
    """
    streams.make_ready()
    try:
        os.getcwd()
    except OSError:
        complain("the current folder has been deleted: change to another one, and start again")
        sys.exit(1)
    came: list[tuple[float, BaseException]] = []
    try:
        with as_ctrl_c(came), _held:
            code = main()
    except KeyboardInterrupt as stopped:
        complain(str(stopped) or "interrupted")
        code = exit_code(stopped)
    except Unfinished as stopped:  # by a script that makes no use of what is finished
        complain(stopped)
        code = exit_code(stopped.__cause__) if stopped.interrupted else 1
    except parts.PartError as error:  # what was given on the command line does not work
        complain(error)
        code = 2
    except (Exception, SystemExit) as error:
        if came and time.monotonic() - came[-1][0] < 1:  # matplotlib's C code has made an error of its own of it
            complain(str(came[-1][1]) or "interrupted")
            code = exit_code(came[-1][1])
        elif parts.came_from_a_file(error):
            complain(f"a part of your own does not work: {parts.told(error)}")
            code = 2
        elif isinstance(error, SystemExit):  # argparse: --help or wrong usage
            code = error.code if isinstance(error.code, int) else 1
        elif isinstance(error, EXPECTED):
            complain(_explained(error))
            code = 1
        else:
            raise
    if refused := streams.refused():
        complain(f"standard output cannot be written ({refused.strerror})")
        code = code or 1
    sys.exit(code)


def _explained(error: BaseException) -> str:
    """What has failed, and what to do where the disk is full."""
    if isinstance(error, OSError) and error.filename and errno.errorcode.get(error.errno or 0) in FULL:
        return f"{error.filename} cannot be written ({error.strerror}): free some disk space, and start again"
    return str(error) or type(error).__name__
