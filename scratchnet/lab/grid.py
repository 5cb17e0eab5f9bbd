"""A grid of settings, read from a TOML file: every value of every axis with every value of the others.

    scheme = ["he_normal", "orthogonal:gain=1.3", "my.py:mine"]
    activation = ["relu", "tanh"]
    width = 64                       # a single value is the same in all runs
    depth = [2, 8, "10-12"]          # a text such as "10-12" stands for 10, 11, 12
    seed = "0-4"

A file of one's own is looked for beside the TOML file. `[[skip]]` tables leave out the cells that match all of their
keys: `[[skip]]`, `scheme = "edge_of_chaos"`, `activation = ["gelu", "silu"]`.
"""

from __future__ import annotations

import difflib
import itertools
import math
import os
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

from scratchnet.lab import parts
from scratchnet.lab.experiment import ALIASES, INITIALIZATIONS

MOST_IN_A_RANGE = 1_000_000
DEEPEST = 10_000  # hidden layers
ALL = "all"  # images: those that the dataset has


class GridError(parts.PartError):
    """A grid cannot be used; the message says which key, why and what to do."""


# --- axes -----------------------------------------------------------------------------------------------------


def _whole(least: int, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not least <= value < 2**63:
        raise GridError(f"expected an integer ≥ {least}, got {_shown(value)}")
    return value


def _depth(value: Any) -> int:
    if _whole(0, value) > DEEPEST:
        raise GridError(f"expected an integer of at most {DEEPEST:,}, got {_shown(value)}")
    return value


def _images(value: Any) -> int | str:
    if isinstance(value, str):
        if value != ALL:
            raise GridError(f'expected an integer ≥ 10 or "{ALL}", got {_shown(value)}')
        return value
    return _whole(10, value)


def _number(what: str, holds: Callable[[float], bool], value: Any) -> float:
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if not (number and abs(value) <= sys.float_info.max and holds(value)):  # an integer may be too large for a float
        raise GridError(f"expected {what}, got {_shown(value)}")
    return float(value)


def _part(known: Mapping[str, parts.Part], kind: str, value: Any) -> str:
    """The name itself. What it names is looked up by `Grid.find`, which knows the folder of the TOML file."""
    if not isinstance(value, str):
        raise GridError(f"expected a name, got {_shown(value)}")
    return value


def _shown(value: Any) -> str:
    try:
        text = repr(value)
    except ValueError:  # Python writes no integers of more than some thousands of digits
        return "a number of too many digits"
    return text if len(text) <= 60 else f"{text[:57]}…"


class Axis(NamedTuple):
    """`check(value)` returns a value as it stands in tables, or raises GridError; `known` are the names of parts."""

    default: Any
    check: Callable[[Any], Any]
    known: Mapping[str, parts.Part] | None = None
    kind: str = ""


def _names(default: str, known: Mapping[str, parts.Part], kind: str) -> Axis:
    return Axis(default, partial(_part, known, kind), known, kind)


_positive = partial(_number, "a number > 0", lambda x: 0 < x < math.inf)
_probability = partial(_number, "a probability, 0 ≤ p < 1", lambda x: 0 <= x < 1)
NONE: dict[str, parts.Part] = {"none": parts.find}  # no normalization: the name alone counts

# All axes, in the order of the columns. The seed is the last: it is no part of a cell, which is what seeds repeat.
AXES: dict[str, Axis] = {
    "scheme": _names("he_normal", INITIALIZATIONS | ALIASES, "initialization"),
    "activation": _names("relu", parts.ACTIVATIONS, "activation"),
    "normalization": _names("none", NONE | parts.NORMALIZATIONS, "normalization"),
    "network": _names("mlp", parts.NETWORKS, "network"),
    "width": Axis(100, partial(_whole, 1)),
    "depth": Axis(2, _depth),
    "dropout": Axis(0.2, _probability),
    "optimizer": _names("adam", parts.OPTIMIZERS, "optimizer"),
    "learning_rate": Axis(0.001, _positive),
    "batch_size": Axis(100, partial(_whole, 1)),
    "epochs": Axis(2, partial(_whole, 1)),
    "images": Axis(ALL, _images),
    "seed": Axis(0, partial(_whole, 0)),
}
CELL = tuple(name for name in AXES if name != "seed")

Cell = tuple[Any, ...]  # a value for each axis of CELL


@dataclass(frozen=True)
class Grid:
    """The values of every axis, in the order of AXES, and what is left out."""

    axes: Mapping[str, tuple[Any, ...]]
    skip: Sequence[Mapping[str, tuple[Any, ...]]] = ()
    folder: Path = field(default=Path(), compare=False)

    @property
    def varying(self) -> list[str]:
        """The axes with several values, the seed left out."""
        return [name for name in CELL if len(self.axes[name]) > 1]

    @property
    def seeds(self) -> tuple[int, ...]:
        return self.axes["seed"]

    @property
    def size(self) -> int:
        """The number of runs, as if nothing were skipped: no more than that are made."""
        return math.prod(len(values) for values in self.axes.values())

    def cells(self) -> Iterator[Cell]:
        """Every cell that is not skipped; the last axis changes fastest."""
        for cell in itertools.product(*(self.axes[name] for name in CELL)):
            if not any(all(cell[CELL.index(name)] in values for name, values in rule.items()) for rule in self.skip):
                yield cell

    def imports(self) -> dict[str, dict[str, str]]:
        """For each Python file that is named: its SHA-256, and those of what it imports: see `own_digests`."""
        named = {file_of(value) for name in CELL if AXES[name].kind for value in self.axes[name]} - {""}
        return {name: own_digests(name, self.folder) for name in sorted(named)}

    def files(self) -> dict[str, str]:
        """The SHA-256 of all these files."""
        return {name: digest for own in self.imports().values() for name, digest in own.items()}

    def record(self) -> dict[str, Any]:
        """The grid for JSON."""
        axes = {name: list(values) for name, values in self.axes.items()}
        skip = [{name: list(values) for name, values in rule.items()} for rule in self.skip]
        return axes | ({"skip": skip} if skip else {})


def file_of(text: str) -> str:
    """The file that a part's name begins with, as in my.py:mine, or ""."""
    match = re.match(r"(.+\.py):", text)
    return match[1] if match else ""


def absolute(file: str, folder: Path) -> Path:
    return Path(os.path.abspath(folder / Path(file).expanduser()))


def own_digests(file: str, folder: Path) -> dict[str, str]:
    """The SHA-256 of a file and of those that it imports from its own folder, each as seen from where `file` is."""
    path = absolute(file, folder)
    _, *others = found = parts.digests(str(path))
    names = [file, *(os.path.join(os.path.dirname(file), os.path.relpath(other, path.parent)) for other, _ in others)]
    return {name: digest for name, (_, digest) in zip(names, found, strict=True)}


def located(text: str, folder: Path) -> str:
    """A part's name with the absolute path of its file, if it has one."""
    file = file_of(text)
    return str(absolute(file, folder)) + text[len(file) :] if file else text


# --- from a file ----------------------------------------------------------------------------------------------


def read(path: str | os.PathLike[str]) -> Grid:
    """The grid in a TOML file. Raises GridError, in one sentence, where something in it cannot be used."""
    path = Path(path)
    try:
        table = tomllib.loads(path.read_bytes().decode("utf-8"))
    except OSError as error:
        raise GridError(f"{path} cannot be read: {error.strerror}") from None
    except UnicodeDecodeError as error:
        raise GridError(f"{path} is not TOML: byte {error.start} is not UTF-8") from None
    except tomllib.TOMLDecodeError as error:
        raise GridError(f"{path} is not TOML: {str(error).replace('(at', '(').replace('( ', '(')}") from None
    except ValueError:  # of int()
        raise GridError(f"{path} is no grid: a number in it has too many digits") from None
    except RecursionError:
        raise GridError(f"{path} is no grid: it is nested too deeply") from None
    try:
        return grid(table, path.parent)
    except parts.PartError as error:
        raise GridError(f"{path}: {error}") from None


def grid(table: Mapping[str, Any], folder: Path = Path()) -> Grid:
    """The grid that `table` describes: a value or a list for each axis, and the defaults of those it does not name."""
    rules = table.get("skip", [])
    given = _values({name: value for name, value in table.items() if name != "skip"}, folder)
    if not given:
        raise GridError(f"names no axis; there are {', '.join(AXES)}")
    axes = {name: given.get(name, (axis.default,)) for name, axis in AXES.items()}
    if not (isinstance(rules, list) and all(isinstance(rule, dict) and rule for rule in rules)):
        raise GridError("skip: expected tables, each after a line [[skip]]")
    skip = []
    for rule in rules:
        if "seed" in rule:
            raise GridError("skip: a cell is skipped with all of its seeds; leave out the key seed")
        skip.append(_values(rule, folder))
        for name, values in skip[-1].items():
            for value in values:
                if value not in axes[name]:
                    raise GridError(f"skip: {name} = {_shown(value)} is no value of the axis {name}")
    made = Grid(axes, skip, folder)
    if not any(True for _ in made.cells()):
        raise GridError("every cell is skipped: nothing is left to train")
    return made


def _values(table: Mapping[str, Any], folder: Path) -> dict[str, tuple[Any, ...]]:
    found = {}
    for name, value in table.items():
        if name not in AXES:
            near = difflib.get_close_matches(name, AXES, n=2, cutoff=0.5)
            raise GridError(f"there is no key {name!r}; " + (f"did you mean {' or '.join(near)}?" if near else _all()))
        axis = AXES[name]
        try:
            values = [one for each in (value if isinstance(value, list) else [value]) for one in _range(each, axis)]
            if not values:
                raise GridError("expected at least one value, got an empty list")
            checked = [axis.check(one) for one in values]
            if axis.kind:
                for text in checked:
                    parts.find(located(text, folder), axis.known or {}, axis.kind)
        except parts.PartError as error:
            raise GridError(f"{name}: {error}") from None
        if len(set(checked)) < len(checked):
            twice = next(one for i, one in enumerate(checked) if one in checked[:i])
            raise GridError(f"{name}: expected each value once, got {_shown(twice)} twice")
        found[name] = tuple(checked)
    return found


def _all() -> str:
    return f"there are {', '.join(AXES)} and skip"


def _range(value: Any, axis: Axis) -> Sequence[Any]:
    """ "3-5" is 3, 4, 5, where whole numbers are expected."""
    match = re.fullmatch(r"(\d{1,18})-(\d{1,18})", value) if isinstance(value, str) else None
    if match is None or axis.kind or isinstance(axis.default, float):
        return [value]
    first, last = int(match[1]), int(match[2])
    if not first <= last < first + MOST_IN_A_RANGE:
        raise GridError(f"expected FIRST-LAST with at most {MOST_IN_A_RANGE:,} numbers, got {value!r}")
    return range(first, last + 1)
