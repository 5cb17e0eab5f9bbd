"""Where work is done: on worker processes, in this process, or on a GPU. The numbers do not depend on it.

`train_unit` is the work of a comparison, and a `Unit` its spec. The functions here do the work for each of several
specs, and yield (i, result) for the i-th spec as soon as it is done: see `work`.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from typing import Any, NamedTuple

from scratchnet.backend import free_bytes, to_device
from scratchnet.data import Dataset
from scratchnet.lab.experiment import Arm, Run, Settings, bytes_of_a_network, train_stack
from scratchnet.lab.journal import Journal, recorded
from scratchnet.lab.processes import in_processes
from scratchnet.lab.work import CannotSend, Done, Tick, Work, attempt

# Networks that train side by side in one process on a CPU share batches and masks. More than this and their
# parameters push each other out of the caches.
STACK = 4


class Unit(NamedTuple):
    """Arms and seeds that are trained as one stack."""

    arms: Sequence[Arm]
    seeds: Sequence[int]
    settings: Settings

    @property
    def networks(self) -> int:
        return len(self.arms) * len(self.seeds)

    def __str__(self) -> str:
        some = [", ".join(arm.key for arm in self.arms), ", ".join(map(str, self.seeds))]
        return f"{some[0]} with seed{'s' * (len(self.seeds) > 1)} {some[1]}"


def train_unit(unit: Unit, images: Any, labels: Any, tick: Tick) -> list[Run]:
    """Train a unit. A step of the stack counts as one for each of its networks."""
    return train_stack(unit.arms, unit.seeds, images, labels, unit.settings, lambda: tick(unit.networks))


def units_of(arms: Sequence[Arm], seeds: Sequence[int], settings: Settings) -> list[Unit]:
    """For a CPU: STACK arms of one seed at a time."""
    return [Unit(arms[i : i + STACK], [seed], settings) for seed in seeds for i in range(0, len(arms), STACK)]


def anywhere(
    work: Work,
    specs: Sequence[Any],
    dataset: Dataset,
    tick: Tick,
    jobs: int | None = None,
    journal: Journal | None = None,
) -> Done:
    """On worker processes. What they cannot be given is done in this process, and one line on stderr says so.

    With a journal, what it has of the specs comes first, and each of the others is recorded as it is finished.
    """
    if journal is not None:
        return recorded(partial(_anywhere, jobs=jobs), journal, work, specs, dataset, tick)
    return _anywhere(work, specs, dataset, tick, jobs)


def _anywhere(work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick, jobs: int | None = None) -> Done:
    left = set(range(len(specs)))
    try:
        with closing(in_processes(work, specs, dataset, tick, jobs)) as done:
            for i, result in done:
                left.remove(i)
                yield i, result
    except CannotSend as reason:
        from tqdm import tqdm

        tqdm.write(f"scratchnet: training in this process, without workers: {reason}", file=sys.stderr)
        rest = sorted(left)
        for i, result in in_this_process(work, [specs[i] for i in rest], dataset, tick):
            yield rest[i], result


# --- in this process ------------------------------------------------------------------------------------------


def in_this_process(work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick) -> Done:
    """One spec after the other, with one BLAS thread, as in a worker."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        for i, spec in enumerate(specs):
            yield i, attempt(work, spec, dataset.images, dataset.labels, tick)


# --- on a GPU -------------------------------------------------------------------------------------------------


def on_gpu(work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick) -> Done:
    """One spec after the other, with the images on the GPU. A `Unit` is as large as fits: see `units_for_gpu`."""
    images, labels = to_device(dataset.images, "cuda"), to_device(dataset.labels, "cuda")
    for i, spec in enumerate(specs):
        yield i, attempt(work, spec, images, labels, tick)


def units_for_gpu(arms: Sequence[Arm], seeds: Sequence[int], settings: Settings, dataset: Dataset) -> list[Unit]:
    """Stacks of all arms and of as many seeds as fit into the GPU's free memory, beside the images."""
    free = free_bytes() - dataset.images.nbytes
    seeds_at_once, arms_at_once = stack_sizes(len(arms), len(seeds), bytes_of_a_network(settings), free)
    return [
        Unit(arms[a : a + arms_at_once], seeds[s : s + seeds_at_once], settings)
        for s in range(0, len(seeds), seeds_at_once)
        for a in range(0, len(arms), arms_at_once)
    ]


def stack_sizes(arms: int, seeds: int, bytes_each: int, free: int) -> tuple[int, int]:
    """(seeds, arms) to train at once: all, or else fewer seeds, or else one seed and fewer arms; never none.

    Whole seeds are preferred, since the arms of a seed share its batches and masks. A fifth of the memory is left.
    """
    room = max(1, int(0.8 * free) // bytes_each)
    return (min(seeds, room // arms), arms) if room >= arms else (1, room)
