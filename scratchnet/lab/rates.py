"""Each arm's own best learning rate, since one rate for all arms favours some of them.

Each seed chooses for itself. Its training images are split once more: each arm is trained with each rate on one part,
and the rate with the best accuracy on the other part wins. The weights, batches and masks are not those that will be
reported. So no choice has seen its seed's validation images, and the spread over the seeds includes the luck of the
choice.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from scratchnet.data import Dataset
from scratchnet.lab.checks import check_work
from scratchnet.lab.comparison import by_arm, compare
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.journal import Execute, Journal


@dataclass(frozen=True)
class Choice:
    """The accuracy of each arm with each learning rate, on the images on which the rates are chosen."""

    rates: tuple[float, ...]  # rising
    seeds: tuple[int, ...]
    accuracy: Mapping[str, np.ndarray]  # an arm's key → (seeds, rates), from 0 to 1; NaN where training diverged

    def best(self, key: str) -> dict[int, float]:
        """For each seed, the rate with the highest accuracy: the smallest of several, and never one that diverged,
        unless all did.
        """
        columns = np.nan_to_num(self.accuracy[key], nan=-1).argmax(axis=1)  # argmax: the first of several
        return {seed: self.rates[column] for seed, column in zip(self.seeds, columns, strict=True)}

    def applied(self, arm: Arm) -> Arm:
        """The arm with its best rate for each seed; its label says them: he_normal at 0.001–0.003."""
        best = self.best(arm.key)
        low, high = min(best.values()), max(best.values())
        return replace(arm, learning_rate=best, label=f"{arm.label} at {low:g}" + (f"–{high:g}" if high > low else ""))

    def at_an_end(self, key: str) -> tuple[int, int]:
        """In how many seeds the best rate is the smallest that was tried, and in how many the largest.

        A seed where the next rate does as well is not counted.
        """
        accuracy = np.nan_to_num(self.accuracy[key], nan=-1)
        low, high = (accuracy[:, end] > np.delete(accuracy, end, axis=1).max(axis=1) for end in (0, -1))
        return int(low.sum()), int(high.sum())


def choose(
    arms: Sequence[Arm],
    dataset: Dataset,
    settings: Settings,
    rates: Iterable[float],
    *,
    seeds: Sequence[int],
    jobs: int | None = None,
    journal: Journal | None = None,
    execute: Execute | None = None,
) -> Choice:
    """Train every arm with every rate, once for each seed, without the seed's validation images.

    Raises what `compare` raises, and ValueError for fewer than two different rates.
    """
    rising = tuple(sorted(set(rates)))
    if len(rising) < 2:
        raise ValueError(f"expected at least two learning rates to choose from, got {rising}")
    tried = {arm.key: [replace(arm, key=f"{arm.key} at {rate}", learning_rate=rate) for rate in rising] for arm in arms}
    every = [arm for some in tried.values() for arm in some]
    check_work(every, seeds, dataset, settings, jobs)
    choosing = replace(settings, choosing=True)
    runs = by_arm(compare(every, dataset, choosing, seeds=seeds, jobs=jobs, journal=journal, execute=execute))
    accuracy = {
        key: np.array(
            [[np.nan if run.diverged else run.validation_accuracy for run in runs[arm.key]] for arm in some]
        ).T
        for key, some in tried.items()
    }
    return Choice(rising, tuple(sorted(seeds)), accuracy)
