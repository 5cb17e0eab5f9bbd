"""A study: one paper's claim, an experiment of ours on it, and a rule, written before the run, for whether it held."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum
from functools import partial
from typing import Any

import numpy as np

from scratchnet.data import Dataset, split
from scratchnet.lab.executors import anywhere
from scratchnet.lab.experiment import Arm, Run, Settings, initialized, put, seen_rows, stream, train_stack
from scratchnet.lab.intervals import interval
from scratchnet.lab.journal import Execute, Journal, recorded
from scratchnet.lab.keys import Indescribable, note
from scratchnet.lab.work import Tick, Work
from scratchnet.loss import CrossEntropy
from scratchnet.train import batches


class Outcome(StrEnum):
    """What the rule says of the claim, on our network and data."""

    HELD = "held"
    DID_NOT_HOLD = "did not hold"
    UNDECIDED = "cannot be told here"


@dataclass(frozen=True)
class Lines:
    """A panel of a figure: lines over x. Values `(seeds, len(x))` are drawn as their mean in its 95 % interval.

    A one-dimensional array is drawn as it is. `level` maps a label to a horizontal reference line.
    """

    title: str
    x_label: str
    y_label: str
    lines: Mapping[str, tuple[Sequence[float] | np.ndarray, np.ndarray]]
    log_x: bool = False
    log_y: bool = False
    levels: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Grid:
    """A panel of a figure: `values (len(y), len(x))` as colours, and curves over them, each (x, y)."""

    title: str
    x_label: str
    y_label: str
    value_label: str
    x: Sequence[float] | np.ndarray
    y: Sequence[float] | np.ndarray
    values: np.ndarray
    curves: Mapping[str, tuple[np.ndarray, np.ndarray]] = field(default_factory=dict)
    log_x: bool = False
    log_y: bool = False


@dataclass(frozen=True)
class Finding:
    """What a study found: the outcome by its rule, the answer in one sentence, panels to draw and a table.

    `answer` is the figure's title. The first of `rows` holds the names of the columns.
    """

    outcome: Outcome
    answer: str
    panels: Sequence[Lines | Grid]
    rows: Sequence[Sequence[str]]


class Laboratory:
    """What a study's `measure` is given: the dataset, and a way to do work on every core.

    `each(work, specs)` returns `work(spec, images, labels, tick)` for each of the specs, in their order. `work` must be
    a function that can be imported. `expect(count)` is told how many more there will be, `done()` that one is finished.
    What the `journal` has is not done again, and `earlier` counts it.
    """

    def __init__(
        self,
        dataset: Dataset,
        *,
        jobs: int | None = None,
        expect: Callable[[int], Any] = lambda count: None,
        done: Callable[[], Any] = lambda: None,
        journal: Journal | None = None,
        execute: Execute | None = None,
    ) -> None:
        self.dataset, self.expect, self.done, self.journal = dataset, expect, done, journal
        self.execute = execute or partial(anywhere, jobs=jobs)
        self.earlier = 0

    def each(self, work: Work, specs: Iterable[Any]) -> list[Any]:
        from tqdm import tqdm

        specs = list(specs)
        results: list[Any] = [None] * len(specs)
        self.expect(len(specs))
        if self.journal is not None:
            earlier = sum(self.journal.has(work, spec) for spec in specs)
            if earlier:
                tqdm.write(
                    f"scratchnet: going on: {earlier} of {len(specs)} parts were finished earlier", file=sys.stderr
                )
            self.earlier += earlier
        execute = self.execute if self.journal is None else partial(recorded, self.execute, self.journal)
        for i, result in execute(work, specs, self.dataset, lambda steps: None):
            results[i] = result
            self.done()
        return results


@dataclass(frozen=True)
class Study:
    """One claim and our experiment on it.

    `measure(laboratory, **size) -> numbers` does the work and returns arrays by name; its defaults are the documented
    size, and `quick` holds the smaller one of a look. `judge(numbers) -> Finding` applies `rule`, from the numbers
    alone. `remarks` says what was seen that the rule does not decide, such as the reason of a surprise.
    """

    name: str
    title: str
    source: str
    claim: str
    experiment: str
    rule: str
    measure: Callable[..., dict[str, Any]]
    judge: Callable[[Mapping[str, Any]], Finding]
    quick: Mapping[str, Any]
    remarks: str = ""

    def __post_init__(self) -> None:
        with suppress(Indescribable):  # it is imported again after a change
            note(self.measure.__module__)  # as it is imported: a later edit is another study


# --- work that several studies share --------------------------------------------------------------------------


@dataclass(frozen=True)
class Training:
    """Arms, seeds and settings to train on the first `images` of the dataset, all side by side."""

    arms: Sequence[Arm]
    seeds: Sequence[int]
    settings: Settings
    images: int | None = None


def train(spec: Training, images: np.ndarray, labels: np.ndarray, tick: Tick) -> list[Run]:
    """The runs of a `Training`, in the order of its arms, then of its seeds."""
    n = spec.images
    return train_stack(spec.arms, spec.seeds, images[:n], labels[:n], spec.settings, lambda: tick(1))


@dataclass(frozen=True)
class Race:
    """One arm at several learning rates, with several seeds, all side by side: how soon is the loss below `goal`?

    The images are multiplied by `scale`. `steps` is the most that is waited for; the settings' own learning rate and
    epochs play no part.
    """

    arm: Arm
    settings: Settings
    rates: Sequence[float]
    goal: float
    steps: int
    seeds: Sequence[int] = (0,)
    scale: float = 1.0


SMOOTH = 20  # batches, whose mean loss is compared with a race's goal
TUNING = 2  # seeds that choose a learning rate, and are not reported


def race(spec: Race, images: np.ndarray, labels: np.ndarray, tick: Tick) -> tuple[np.ndarray, np.ndarray]:
    """(steps, loss), each `(rates, seeds)`: when the mean loss of the last SMOOTH batches was first below the goal.

    The race ends when one of the rates has arrived with every seed, or after `spec.steps`, which is the number of all
    that have not arrived. So it finds the best of several rates, and of a single one the time that each seed takes.
    `loss` is the mean of the last SMOOTH batches at that end.
    """
    settings, images = spec.settings, images * np.float32(spec.scale)
    network = settings.network([stream(s, "dropout") for s in spec.seeds])
    network.replicate((len(spec.rates), len(spec.seeds)))
    training = []
    for s, seed in enumerate(spec.seeds):
        training.append(split(len(images), rng=stream(seed, "split"), validation=settings.validation)[0])
        seen = seen_rows(training[s], seed)
        put(network, (slice(None), s), initialized(spec.arm, seed, settings, images[seen], labels[seen]))
    optimizer = settings.optimizer(network.theta, network.grad, learning_rate=np.reshape(spec.rates, (-1, 1, 1)))
    orders = [stream(seed, "order") for seed in spec.seeds]
    loss, recent = CrossEntropy(), np.full((SMOOTH, *network.replicas), np.inf)
    arrived, step = np.full(network.replicas, spec.steps), 0
    with np.errstate(all="ignore"):  # a rate that is too large diverges, and never arrives
        while True:
            for rows in batches(np.stack(training), settings.batch_size, rng=orders):
                recent[step % SMOOTH] = loss.forward(network.forward(images[rows], train=True), labels[rows])
                arrived[(recent.mean(axis=0) < spec.goal) & (arrived == spec.steps)] = step
                if step == spec.steps or (arrived < spec.steps).all(axis=1).any():
                    return arrived, recent.mean(axis=0)
                network.backward(loss.backward(), need_dX=False)
                optimizer.step()
                step += 1
                tick(1)


def fastest(laboratory: Laboratory, races: Sequence[Race], seeds: int) -> list[tuple[float, np.ndarray]]:
    """For each race (its best rate, the steps to its goal `(seeds,)`).

    The rate is the first one that arrives with all TUNING seeds, or has the lowest mean loss if none does. The steps
    are those of `seeds` other seeds at that rate.
    """
    tuning = [replace(one, seeds=range(TUNING)) for one in races]
    best = []
    for one, (steps, loss) in zip(tuning, laboratory.each(race, tuning), strict=True):
        mean = np.where(np.isfinite(loss), loss, np.inf).mean(axis=1)
        rate = one.rates[np.lexsort((mean, steps.max(axis=1)))[0]]
        best.append(replace(one, rates=(rate,), seeds=range(TUNING, TUNING + seeds)))
    results = laboratory.each(race, best)
    return [(one.rates[0], steps[0]) for one, (steps, _) in zip(best, results, strict=True)]


def accuracies(runs: Sequence[Run], arm: Arm) -> np.ndarray:
    """An arm's validation accuracies in percent, one for each seed."""
    return np.array([100 * run.validation_accuracy for run in runs if run.arm == arm.key])


def plus_minus(values: Any, number: str = "{:.1f}") -> str:
    """Mean ± standard deviation over seeds, for a table."""
    x = interval(values)
    return number.format(x.mean) + ("" if math.isnan(x.std) else " ± " + number.format(x.std))
