"""A grid of settings, trained: its cells as units of work, and what the results say of each cell.

A cell is one choice of everything but the seed. Cells that differ in the initialization and the learning rate alone
train side by side. As in a comparison, a seed's split, order and masks are the same for all cells. The numbers do not
depend on what trains together, nor where.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchnet.data import Dataset
from scratchnet.files import replacing
from scratchnet.lab import parts
from scratchnet.lab.comparison import Unfinished
from scratchnet.lab.executors import anywhere
from scratchnet.lab.experiment import Settings, named, stream, train_stack
from scratchnet.lab.grid import ALL, AXES, CELL, Cell, Grid, GridError, absolute, file_of, own_digests
from scratchnet.lab.journal import Execute, Journal, recorded
from scratchnet.lab.processes import shielding_children
from scratchnet.lab.rehearsal import rehearse
from scratchnet.lab.work import Failed, Tick, WorkerDied
from scratchnet.layers import Linear, walk

LAST = 100  # batches, whose mean is the training loss of a run
FIELDS = ("validation_accuracy", "validation_loss", "training_loss", "diverged")  # what is kept of a run

# A unit takes about this long: as much is lost where a worker dies, and to send a unit should cost little beside it.
SECONDS = 2.0
# What a step costs on one core: for each layer, and for each multiplication. Measured; a factor of two does no harm.
LAYER, PRODUCT = 5e-5, 1e-11
# More networks or parameters side by side push each other out of the caches.
NETWORKS_IN_A_STACK, PARAMETERS_IN_A_STACK = 16, 1_000_000

# Parts that may not go together: an edge of chaos needs an activation that has one.
TOGETHER = ("scheme", "activation", "normalization", "network")

# SHA-256 → the path of a copy of that file, where a worker on another machine was given one.
COPIES: dict[str, str] = {}


class Unit(NamedTuple):
    """A spec, which is sent to a worker, and where its results belong: results[cells][:, seeds]."""

    spec: Mapping[str, Any]
    cells: Sequence[int]
    seeds: slice
    steps: int  # of all its networks


# --- one unit -------------------------------------------------------------------------------------------------


def train_cells(spec: Mapping[str, Any], images: Any, labels: Any, tick: Tick, folder: str = "") -> list[Any]:
    """The results of a unit: for each arm, for each seed, the FIELDS. What is not finite is None.

    `spec` is JSON, as `units` makes it. The files that it names are looked for in `folder`.
    """
    settings = _settings(spec, folder)
    images, labels = images[: spec["images"]], labels[: spec["images"]]
    arms = [
        replace(named(_located(scheme, spec["files"], folder)), key=str(i), learning_rate=rate)
        for i, (scheme, rate) in enumerate(spec["arms"])
    ]
    found: list[list[Any]] = [[] for _ in arms]
    for seed in spec["seeds"]:
        for start in range(0, len(arms), spec["stack"]):
            stack = arms[start : start + spec["stack"]]
            step = partial(tick, len(stack))
            for run in train_stack(stack, [seed], images, labels, settings, step, record=False):
                loss = float(run.training_loss[-LAST:].mean())
                numbers = [_finite(x) for x in (run.validation_accuracy, run.validation_loss, loss)]
                found[int(run.arm)].append([*numbers, run.diverged])
    return found


def _finite(x: float) -> float | None:
    return x if math.isfinite(x) else None


def _settings(spec: Mapping[str, Any], folder: str) -> Settings:
    def find(axis: str) -> parts.Part:
        return parts.find(_located(spec[axis], spec["files"], folder), AXES[axis].known or {}, AXES[axis].kind)

    return Settings(
        sizes=tuple(spec["sizes"]),
        build=find("network"),
        activation=find("activation"),
        normalization=None if spec["normalization"].lower() == "none" else find("normalization"),
        dropout=spec["dropout"],
        optimizer=find("optimizer"),
        learning_rate=spec["arms"][0][1],
        batch_size=spec["batch_size"],
        epochs=spec["epochs"],
    )


def _located(text: str, files: Mapping[str, Mapping[str, str]], folder: str) -> str:
    """A part's name with the path of its file on this machine, which has to be the one that the sweep began with."""
    file = file_of(text)
    if not file:
        return text
    path, then = absolute(file, Path(folder)), files[file]
    now: Mapping[str, str] = own_digests(file, Path(folder)) if path.is_file() else {}
    if not now and all(digest in COPIES for digest in then.values()):
        path, now = _assembled(file, then), then
    if now != then:
        changed = next(name for name in [*then, *now] if now.get(name) != then.get(name))
        raise parts.PartError(f"{changed} has changed, or is gone: all runs of a sweep need the same file")
    return str(path) + text[len(file) :]


def _assembled(file: str, digests: Mapping[str, str]) -> Path:
    """The path of `file` in a folder of its own, with what it imports beside it as where it came from."""
    name = hashlib.sha256(repr(digests).encode()).hexdigest()
    folder = Path(COPIES[digests[file]]).parent / f"scratchnet-{name}"
    for name, digest in digests.items():
        path = folder / os.path.relpath(name, os.path.dirname(file))
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            with replacing(path) as temporary:
                shutil.copyfile(COPIES[digest], temporary)
    return folder / os.path.basename(file)


# --- the grid as units ----------------------------------------------------------------------------------------


def units(grid: Grid, cells: Sequence[Cell], dataset: Dataset) -> list[Unit]:
    """Every cell with every seed, as units that take about SECONDS each. A spec says all that there is to know."""
    shared = {"files": grid.imports(), "dataset": dataset.sha256}
    groups: dict[Cell, list[int]] = {}
    own = [CELL.index(name) for name in ("scheme", "learning_rate")]
    for i, cell in enumerate(cells):
        groups.setdefault(tuple(value for k, value in enumerate(cell) if k not in own), []).append(i)
    made = []
    for members in groups.values():
        spec = _spec(cells[members[0]], dataset) | shared
        settings = _settings(spec, str(grid.folder))
        taken = steps(cells[members[0]], dataset)
        spec["stack"], many = sizes(settings, taken)
        a, s = min(many, len(members)), max(1, many // len(members))  # arms and seeds of a unit
        for seed in range(0, len(grid.seeds), s):
            seeds = list(grid.seeds[seed : seed + s])
            for start in range(0, len(members), a):
                some = members[start : start + a]
                arms = [[cells[i][k] for k in own] for i in some]
                first = {"seeds": seeds, "sizes": spec["sizes"], "arms": arms}  # what a message names
                rest = {name: value for name, value in spec.items() if name not in first}
                made.append(Unit(first | rest, some, slice(seed, seed + s), taken * len(arms) * len(seeds)))
    return made


def steps(cell: Cell, dataset: Dataset) -> int:
    """The optimizer's steps in a run of this cell."""
    chosen = dict(zip(CELL, cell, strict=True))
    n = len(dataset.images) if chosen["images"] == ALL else chosen["images"]
    return Settings(batch_size=chosen["batch_size"], epochs=chosen["epochs"]).steps(n)


def sizes(settings: Settings, taken: int) -> tuple[int, int]:
    """(networks that train side by side, networks in a unit) for networks that take `taken` steps each."""
    network = settings.network(stream(0, "dropout"))
    parameters = max(1, network.theta.size)
    layers = sum(isinstance(layer, Linear) for layer in walk(network))
    stack = max(1, min(NETWORKS_IN_A_STACK, PARAMETERS_IN_A_STACK // parameters))
    seconds = taken * (LAYER * layers + 6 * PRODUCT * settings.batch_size * parameters)
    return stack, max(1, round(SECONDS / seconds / stack)) * stack


def check(grid: Grid, cells: Sequence[Cell], dataset: Dataset) -> None:
    """Raise GridError where a choice does not work, before any training: see `rehearse`.

    The parts in TOGETHER are tried in all combinations, and each width, depth, … with the first value of the others.
    """
    largest = max((n for n in grid.axes["images"] if n != ALL), default=0)
    if largest > len(dataset.images):
        raise GridError(f"images: expected at most the {len(dataset.images):,} of the dataset, got {largest:,}")
    others = [(k, grid.axes[name][0]) for k, name in enumerate(CELL) if name not in TOGETHER]
    schemes: dict[Cell, list[str]] = {}  # what else is chosen → the schemes to try with it
    for cell in cells:
        if sum(cell[k] != first for k, first in others) <= 1:
            schemes.setdefault(cell[1:], []).append(cell[0])
    files, folder = grid.imports(), str(grid.folder)
    for rest, tried in schemes.items():
        spec = _spec((tried[0], *rest), dataset) | {"files": files}
        arms = [replace(named(_located(scheme, files, folder)), label=scheme) for scheme in tried]
        images, labels = dataset.images[: spec["images"]], dataset.labels[: spec["images"]]
        try:
            rehearse(arms, grid.seeds[0], images, labels, _settings(spec, folder))
        except parts.PartError as error:
            chosen = ", ".join(
                f"{name} {value}" for name, value in zip(CELL[1:], rest, strict=True) if name in grid.varying
            )
            raise GridError(f"{'with ' * bool(chosen)}{chosen}{': ' * bool(chosen)}{error}") from None


def _spec(cell: Cell, dataset: Dataset) -> dict[str, Any]:
    """What a unit needs to know of a cell besides its seeds and files."""
    chosen = dict(zip(CELL, cell, strict=True))
    return {
        **{name: chosen[name] for name in ("activation", "normalization", "network", "dropout", "optimizer")},
        **{name: chosen[name] for name in ("batch_size", "epochs")},
        "sizes": [dataset.images.shape[1], *[chosen["width"]] * chosen["depth"], len(dataset.classes)],
        "images": None if chosen["images"] == ALL else chosen["images"],
        "arms": [[chosen["scheme"], chosen["learning_rate"]]],
    }


# --- all of it ------------------------------------------------------------------------------------------------


def sweep(
    grid: Grid, cells: Sequence[Cell], dataset: Dataset, *, execute: Execute = anywhere, journal: Journal | None = None
) -> np.ndarray:
    """Train every cell with every seed: results `(cells, seeds, FIELDS)`, NaN for what is not finite.

    `execute(work, specs, dataset, tick)` does the work: see `executors` and `cluster`. What the journal has is not
    trained again. Raises Unfinished, of which `runs` is empty, where the work stops early.
    """
    from tqdm import tqdm

    todo, networks = units(grid, cells, dataset), len(cells) * len(grid.seeds)
    total = sum(unit.steps for unit in todo)
    results = np.full((len(cells), len(grid.seeds), len(FIELDS)), np.nan)
    here = partial(train_cells, folder=str(grid.folder))
    earlier = 0 if journal is None else sum(unit.steps for unit in todo if journal.has(train_cells, unit.spec))
    with shielding_children():  # tqdm may start the resource tracker
        title = f"training {networks:,} networks"
        bar = tqdm(total=total, initial=earlier, desc=title, unit="step", unit_scale=True, disable=None)
    finished = steps_done = 0
    specs = [unit.spec for unit in todo]
    with bar:
        try:
            if journal is None:
                trained = execute(here, specs, dataset, bar.update)
            else:  # by a key without the folder: the spec has the content of every file
                trained = recorded(
                    lambda _, *rest: execute(here, *rest), journal, train_cells, specs, dataset, bar.update
                )
            with closing(trained):
                for i, found in trained:
                    results[todo[i].cells, todo[i].seeds] = np.array(found, dtype=np.float64)
                    finished += len(found) * len(found[0])
                    steps_done += todo[i].steps
                    bar.update(max(0, steps_done - bar.n))  # where nobody ticks
            bar.update(total - bar.n)
        except KeyboardInterrupt as stopped:
            raise Unfinished(_left(stopped, finished, networks), [], interrupted=True) from stopped
        except (Failed, WorkerDied, MemoryError) as error:
            raise Unfinished(_left(error, finished, networks), [], interrupted=False) from error
    return results


def _left(error: BaseException, finished: int, networks: int) -> str:
    reason = str(error) or ("interrupted" if isinstance(error, KeyboardInterrupt) else "out of memory")
    return f"{reason}; {finished:,} of {networks:,} networks are trained and kept: the same command goes on from there"


# --- what the results say -------------------------------------------------------------------------------------


class Summary(NamedTuple):
    """For each cell `(cells,)`, over its seeds. One seed has no standard deviation: NaN."""

    mean: np.ndarray  # of the validation accuracy, as std, low and high
    std: np.ndarray
    low: np.ndarray
    high: np.ndarray
    loss: np.ndarray  # mean validation loss
    diverged: np.ndarray  # number of runs


def summary(results: np.ndarray) -> Summary:
    """Best and spread of every cell."""
    accuracy, loss, _, diverged = np.moveaxis(results, -1, 0)
    std = accuracy.std(axis=1, ddof=1) if accuracy.shape[1] > 1 else np.full(len(accuracy), np.nan)
    return Summary(
        accuracy.mean(axis=1), std, accuracy.min(axis=1), accuracy.max(axis=1), loss.mean(axis=1), diverged.sum(axis=1)
    )


def effects(grid: Grid, cells: Sequence[Cell], values: np.ndarray) -> dict[str, float]:
    """The largest difference between the means of an axis' values, for each that varies; the largest comes first."""
    found = {}
    for name in grid.varying:
        column = [cell[CELL.index(name)] for cell in cells]
        means = [values[[one == value for one in column]].mean() for value in set(column)]
        found[name] = float(max(means) - min(means))
    return dict(sorted(found.items(), key=lambda pair: -pair[1]))


class Map(NamedTuple):
    """Two axes of a grid against each other, `(len(y), len(x))`. What is skipped is NaN."""

    x: str
    y: str
    best: np.ndarray  # the best cell's mean accuracy
    mean: np.ndarray  # of all cells
    cells: np.ndarray  # how many there are
    diverged: np.ndarray  # whether every run diverged


def across(grid: Grid, cells: Sequence[Cell], results: np.ndarray, x: str, y: str) -> Map:
    """The accuracy for each pair of values of the axes `x` and `y`, over all other axes."""
    accuracy, diverged = results[..., 0].mean(axis=1), results[..., -1].mean(axis=1)
    shape = len(grid.axes[y]), len(grid.axes[x])
    best, total, lost = np.full(shape, -np.inf), np.zeros(shape), np.zeros(shape)
    count = np.zeros(shape, dtype=int)
    columns, rows = ({value: k for k, value in enumerate(grid.axes[name])} for name in (x, y))
    place = [rows[cell[CELL.index(y)]] for cell in cells], [columns[cell[CELL.index(x)]] for cell in cells]
    np.maximum.at(best, place, accuracy)
    for sums, values in ((total, accuracy), (lost, diverged), (count, 1)):
        np.add.at(sums, place, values)
    with np.errstate(invalid="ignore"):
        return Map(x, y, np.where(count, best, np.nan), total / count, count, (count > 0) & (lost == count))
