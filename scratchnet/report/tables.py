"""What a comparison found, in words and numbers: tables and verdicts."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from scratchnet.lab.experiment import Arm, Run
from scratchnet.lab.intervals import Interval, interval, paired_difference

MANY = 4  # arms; more have too many pairs to read
CHANCE = 0.1  # the accuracy of a blind guess among ten classes of equal size


@dataclass(frozen=True)
class Comparison:
    """Arms that are shown together, and what the lesson reported: arm key → (accuracy in %, training loss)."""

    key: str
    title: str
    arms: tuple[Arm, ...]
    lesson: Mapping[str, tuple[float, float]] | None = None  # None: not a comparison of the lesson


def table(comparison: Comparison, runs: Mapping[str, Sequence[Run]]) -> str:
    """The comparison in the lesson's terms: accuracy on the validation images, loss of the last training batch."""
    rows = [["", "validation accuracy", "training loss"]]
    if comparison.lesson is not None:
        rows[0] += ["lesson: accuracy", "loss"]
    for arm in comparison.arms:
        some = runs[arm.key]
        accuracy = interval([100 * run.validation_accuracy for run in some])
        loss = interval([_last_loss(run) for run in some])
        diverged = sum(run.diverged for run in some)
        row = [
            arm.label + (f" (diverged in {diverged} of {len(some)} seeds)" if diverged else ""),
            _plus_minus(accuracy, "{:.2f}", " %"),
            _plus_minus(loss, _loss_format(loss.mean), ""),
        ]
        if comparison.lesson is not None:
            reported = comparison.lesson.get(arm.key)
            row += [f"{reported[0]:.3f} %", f"{reported[1]:.3f}"] if reported else ["–", "–"]
        rows.append(row)
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _plus_minus(x: Interval, number: str, unit: str) -> str:
    spread = "" if math.isnan(x.std) else " ± " + number.format(x.std)
    return number.format(x.mean) + spread + unit


def _loss_format(size: float) -> str:
    return "{:.3f}" if abs(size) < 100 else "{:.0f}" if abs(size) < 1e6 else "{:.3g}"


def _last_loss(run: Run) -> float:
    return float(run.training_loss[-1]) if len(run.training_loss) else math.nan


def verdicts(comparison: Comparison, runs: Mapping[str, Sequence[Run]]) -> list[str]:
    """One sentence for each pair of arms, or for a single arm against chance: only what the seeds allow.

    Of more than MANY arms, the one with the best mean is compared with each of the others. It was chosen after the
    fact, and among twenty intervals of 95 % one is expected to miss; so these are wider: 5 % divided by the number of
    all pairs (Bonferroni), and hold together, whichever arm is chosen, in at least 95 % of cases.
    """
    labels = {arm.key: arm.label for arm in comparison.arms}
    accuracy = {key: [100 * run.validation_accuracy for run in runs[key]] for key in labels}
    if len(labels) > MANY:
        best = max(labels, key=lambda key: float(np.mean(accuracy[key])))
        level, together = 1 - 0.05 / math.comb(len(labels), 2), "95 % for all pairs together"
        return [
            _sentence(labels[best], labels[key], paired_difference(accuracy[best], accuracy[key], level), together)
            for key in sorted(labels, key=lambda key: -float(np.mean(accuracy[key])))
            if key != best
        ]
    if len(labels) == 1:
        [(key, label)] = labels.items()
        above = interval([value - 100 * CHANCE for value in accuracy[key]])
        return [_sentence(label, "a blind guess (10 %)", above)]
    return [
        _sentence(labels[a], labels[b], paired_difference(accuracy[a], accuracy[b]))
        for a, b in itertools.combinations(labels, 2)
    ]


def _sentence(a: str, b: str, difference: Interval, level: str = "95 %") -> str:
    if math.isnan(difference.low):
        return f"{a} and {b}: {difference.mean:+.2f} points with one seed, which shows nothing of the spread."
    bounds = f"({level}: {difference.low:+.2f} to {difference.high:+.2f})"
    if not difference.excludes_zero:
        return f"{a} and {b} cannot be told apart: {difference.mean:+.2f} points {bounds}."
    if difference.mean > 0:
        return f"{a} is ahead of {b} by {difference.mean:.2f} points {bounds}."
    bounds = f"({level}: {-difference.high:+.2f} to {-difference.low:+.2f})"
    return f"{b} is ahead of {a} by {-difference.mean:.2f} points {bounds}."
