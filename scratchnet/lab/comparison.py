"""A whole comparison: every arm with every seed, wherever there is room to train it."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from contextlib import closing

from scratchnet.data import Dataset
from scratchnet.lab.executors import (
    CannotSend,
    Failed,
    WorkerDied,
    in_processes,
    in_this_process,
    on_gpu,
    units_for_gpu,
    units_of,
)
from scratchnet.lab.experiment import Arm, Run, Settings, rehearse


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
) -> list[Run]:
    """Train every arm with every seed; one Run for each, in the order of the seeds, then of the arms.

    On a CPU the work is spread over `jobs` processes (default: one a core) with one BLAS thread each. What worker
    processes cannot be sent, such as a lambda or a function of a notebook, is trained in this process, and one line on
    stderr says so. On a GPU everything is one stack, or several where memory asks for it. The numbers do not depend on
    any of this. Progress is shown on stderr if that is a terminal.

    Raises PartError, before training, where an arm or a part of the settings does not work; Unfinished, with the runs
    that are complete, where training stops early: on Ctrl-C, or where a worker process dies.
    """
    from tqdm import tqdm

    keys = [arm.key for arm in arms]
    if len(set(keys)) < len(keys):
        raise ValueError(f"expected a key of its own for each arm, got {', '.join(keys)}")
    if not (arms and seeds):
        raise ValueError(f"expected at least one arm and one seed, got {len(arms)} arms and {len(seeds)} seeds")
    rehearse(arms, seeds[0], dataset.images, dataset.labels, settings)
    steps = settings.steps(len(dataset.images))
    total = len(arms) * len(seeds) * steps
    title = f"training {len(arms) * len(seeds)} networks"
    runs: list[Run] = []

    with tqdm(total=total, desc=title, unit="step", unit_scale=True, disable=None) as bar:

        def report(done: int) -> None:
            bar.update(done - bar.n)

        try:
            if settings.device != "cpu":
                units = units_for_gpu(arms, seeds, settings, dataset)
                trained = on_gpu(units, dataset, settings, report)
            else:
                units = units_of(arms, seeds)
                trained = in_processes(units, dataset, settings, report, jobs)
            try:
                with closing(trained):
                    for unit, finished in trained:
                        runs += finished
                        units.remove(unit)
            except CannotSend as reason:
                bar.clear()
                print(f"scratchnet: training in this process, without workers: {reason}", file=sys.stderr)
                before = total - steps * sum(unit.networks for unit in units)
                for _, finished in in_this_process(units, dataset, settings, lambda done: report(before + done)):
                    runs += finished
            bar.update(total - bar.n)
        except KeyboardInterrupt as stopped:
            raise Unfinished(str(stopped) or "interrupted", _sorted(runs, keys), interrupted=True) from stopped
        except (Failed, WorkerDied, MemoryError) as error:
            raise Unfinished(str(error) or "out of memory", _sorted(runs, keys), interrupted=False) from error
    return _sorted(runs, keys)


def _sorted(runs: list[Run], keys: list[str]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.seed, keys.index(run.arm)))


def by_arm(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each arm, in the order of their seeds."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        groups.setdefault(run.arm, []).append(run)
    return groups
