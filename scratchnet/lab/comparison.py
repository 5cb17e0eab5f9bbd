"""A whole comparison: every arm with every seed, wherever there is room to train it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial

import numpy as np

from scratchnet.data import Dataset, split
from scratchnet.lab.checks import check_work
from scratchnet.lab.executors import Unit, anywhere, on_gpu, train_unit, units_for_gpu, units_of
from scratchnet.lab.experiment import Arm, Run, Settings, stream
from scratchnet.lab.journal import Execute, Journal, recorded
from scratchnet.lab.processes import shielding_children
from scratchnet.lab.rehearsal import rehearse, starts
from scratchnet.lab.work import Failed, WorkerDied


class Unfinished(Exception):
    """Training stopped early; `runs` are those that were complete, `interrupted` whether a person stopped it."""

    def __init__(self, message: str, runs: list[Run], interrupted: bool) -> None:
        super().__init__(message)
        self.runs = runs
        self.interrupted = interrupted


def compare(
    arms: Sequence[Arm],
    dataset: Dataset,
    settings: Settings,
    *,
    seeds: Sequence[int],
    jobs: int | None = None,
    journal: Journal | None = None,
    execute: Execute | None = None,
) -> list[Run]:
    """Train every arm with every seed; one Run for each, in the order of the seeds, then of the arms.

    On a CPU the work is spread over `jobs` processes (default: one a core) with one BLAS thread each. What worker
    processes cannot be sent, such as a lambda or a function of a notebook, is trained in this process, and one line on
    stderr says so. On a GPU everything is one stack, or several where memory asks for it. The numbers do not depend on
    any of this. Progress is shown on stderr if that is a terminal. `execute` does the work instead, such as
    `partial(on_dask, client=client)` of `lab.cluster`.

    With a `journal`, each stack of networks is on the disk as soon as it is trained, and what was finished earlier is
    not trained again; one line on stderr says how much that is.

    Arms that start every seed from the same weights, such as `he_normal` and `kaiming_normal:a=0`, are trained once.

    Raises ValueError for what cannot be compared, such as fewer labels than images; PartError, before training, where
    an arm or a part of the settings does not work; Unfinished, with the runs that are complete, where training stops
    early: on Ctrl-C, or where worker processes die again and again.
    """
    from tqdm import tqdm

    check_work(arms, seeds, dataset, settings, jobs)
    keys = [arm.key for arm in arms]
    same = _same(arms, seeds, dataset, settings)
    arms = [arm for arm in arms if same[arm.key] == arm.key]
    steps = settings.steps(len(dataset.images))
    total = len(arms) * len(seeds) * steps
    title = f"{'choosing learning rates: ' * settings.choosing}training {len(arms) * len(seeds)} networks"
    runs: list[Run] = []

    with shielding_children():  # tqdm may start the resource tracker
        bar = tqdm(total=total, desc=title, unit="step", unit_scale=True, disable=None)
    with bar:
        try:
            gpu = settings.device != "cpu"
            units = units_for_gpu(arms, seeds, settings, dataset) if gpu else units_of(arms, seeds, settings)
            if journal is not None and (earlier := _finished(journal, units)):
                said = f"going on: {earlier} of {len(arms) * len(seeds)} networks were finished earlier"
                tqdm.write(f"scratchnet: {said}", file=sys.stderr)
                bar.update(earlier * steps)
            execute = execute or (on_gpu if gpu else partial(anywhere, jobs=jobs))
            if journal is not None:
                execute = partial(recorded, execute, journal)
            with closing(execute(train_unit, units, dataset, bar.update)) as trained:
                for _, finished in trained:
                    runs += finished
                    bar.update(max(0, len(runs) * steps - bar.n))  # steps are not followed over a network
        except KeyboardInterrupt as stopped:
            raise Unfinished(str(stopped) or "interrupted", _every(runs, same, keys), interrupted=True) from stopped
        except (Failed, WorkerDied, MemoryError) as error:
            raise Unfinished(str(error) or "out of memory", _every(runs, same, keys), interrupted=False) from error
    return _every(runs, same, keys)


def _same(arms: Sequence[Arm], seeds: Sequence[int], dataset: Dataset, settings: Settings) -> dict[str, str]:
    """For the key of each arm, that of the first one that starts from the same weights with each of the seeds."""
    same = rehearse(arms, seeds[0], dataset.images, dataset.labels, settings)
    for seed in seeds[1:]:
        shared = [arm for arm in arms if list(same.values()).count(same[arm.key]) > 1]
        if not shared:
            break
        found = starts(shared, seed, dataset.images, dataset.labels, settings)
        first: dict[tuple[str, bytes], str] = {}
        same |= {arm.key: first.setdefault((same[arm.key], found[arm.key]), arm.key) for arm in shared}
    return same


def _finished(journal: Journal, units: Sequence[Unit]) -> int:
    """How many networks were trained earlier."""
    return sum(unit.networks for unit in units if journal.has(train_unit, unit))


def _every(runs: list[Run], same: dict[str, str], keys: list[str]) -> list[Run]:
    """The runs of every arm, those that start as another one does included, in the order of the seeds and arms."""
    runs = [replace(run, arm=key) for run in runs for key in keys if same[key] == run.arm]
    return sorted(runs, key=lambda run: (run.seed, keys.index(run.arm)))


def by_arm(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each arm, in the order of their seeds."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        groups.setdefault(run.arm, []).append(run)
    return groups


def blind_accuracy(labels: np.ndarray, seed: int, settings: Settings) -> float:
    """The accuracy of always naming the commonest class of the training images, on the seed's validation images.

    It is what a network reaches that learns from the labels alone, such as one of zeros, whose last bias learns the
    classes' frequencies: not exactly 1/10, since the split is random.
    """
    training, validation = split(len(labels), rng=stream(seed, "split"), validation=settings.validation)
    return float((labels[validation] == np.bincount(labels[training]).argmax()).mean())
