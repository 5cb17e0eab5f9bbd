"""What a comparison found, in words and numbers: tables and verdicts."""

from __future__ import annotations

import itertools
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from scratchnet.lab.experiment import Arm, Run
from scratchnet.lab.intervals import FEWEST, Interval, Verdict, interval, judge
from scratchnet.lab.rates import Choice

MANY = 4  # arms; more have too many pairs to read
LAST = 100  # batches: a single batch's loss is noise, so a table shows the mean of so many
SMALLEST = 0.5  # percentage points: a difference that is worth a sentence

BLIND = "always naming the commonest class"


@dataclass(frozen=True)
class Comparison:
    """Arms that are shown together, and what the lesson reported: arm key → (accuracy in %, training loss)."""

    key: str
    title: str
    arms: tuple[Arm, ...]
    lesson: Mapping[str, tuple[float, float]] | None = None  # None: not a comparison of the lesson
    question: str = ""  # what it is for, in a sentence or two: for the page


def table(comparison: Comparison, runs: Mapping[str, Sequence[Run]], *, lesson: bool = True) -> str:
    """The comparison in the lesson's terms: accuracy on the validation images, mean loss of the LAST training batches.

    `lesson`: with the lesson's own numbers, where it has some. Its loss is that of the last batch alone.
    """
    reported = comparison.lesson if lesson else {}
    rows = [["", "accuracy", f"loss, last {LAST}", *(["lesson", "its loss"] if reported else [])]]
    for arm in comparison.arms:
        some = runs[arm.key]
        accuracy = interval([100 * run.validation_accuracy for run in some])
        loss = interval([last_loss(run) for run in some])
        diverged = sum(run.diverged for run in some)
        row = [
            arm.label,
            _plus_minus(accuracy, "{:.2f}", " %"),
            _plus_minus(loss, _loss_format(loss.mean), ""),
        ]
        if reported:
            row += [f"{x:.3f}{unit}" for x, unit in zip(reported.get(arm.key, ()), (" %", ""), strict=False)]
        rows.append(row)
        if diverged:
            rows.append([f"  diverged in {diverged} of {len(some)} seeds"])
    widths = [max(len(row[column]) for row in rows if column < len(row)) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=False)) for row in rows]
    return "\n".join(line.rstrip() for line in lines)


def _plus_minus(x: Interval, number: str, unit: str) -> str:
    spread = "" if math.isnan(x.std) else " ± " + number.format(x.std)
    return number.format(x.mean) + spread + unit


def _loss_format(size: float) -> str:
    return "{:.3f}" if abs(size) < 100 else "{:,.0f}" if abs(size) < 1e6 else "{:.3g}"


def last_loss(run: Run) -> float:
    """Mean training loss of the LAST batches."""
    return float(run.training_loss[-LAST:].mean()) if len(run.training_loss) else math.nan


def chosen_rates(choice: Choice, arms: Sequence[Arm]) -> str:
    """Each arm's mean accuracy with each learning rate, on the images on which the rates are chosen."""
    width = max(len(arm.label) for arm in arms)
    lines = ["".ljust(width) + "".join(f"  {rate:>8g}" for rate in choice.rates)]
    for arm in arms:
        means = 100 * choice.accuracy[arm.key].mean(axis=0)
        cells = ("diverged" if math.isnan(mean) else f"{mean:.2f} %" for mean in means)
        lines.append(arm.label.ljust(width) + "".join(f"  {cell:>8}" for cell in cells))
    return "\n".join(lines)


def ends(choice: Choice, arms: Sequence[Arm]) -> list[str]:
    """A sentence for each arm whose best learning rate may lie beyond the smallest or the largest that was tried."""
    sentences = []
    for arm in arms:
        low, high = choice.at_an_end(arm.key)
        for seeds, rate, end in ((low, choice.rates[0], "smallest"), (high, choice.rates[-1], "largest")):
            if seeds:
                further = end.replace("est", "er")
                sentences.append(
                    f"{arm.label}: the best rate of {seeds} of {len(choice.seeds)} seeds is the {end} that was tried, "
                    f"{rate:g}. Try {further} ones too."
                )
    return sentences


# --- verdicts -------------------------------------------------------------------------------------------------

Pair = tuple[str, str]  # two arms' keys, or an arm's and BLIND


def pairs(comparison: Comparison) -> list[Pair]:
    """The pairs of arms that a comparison judges. They depend on the arms alone, and never on what came out.

    Up to MANY arms: all pairs. More: the first arm, the reference, with each other. A single arm: with BLIND, a guess
    that has looked at the training labels only.
    """
    keys = [arm.key for arm in comparison.arms]
    if len(keys) == 1:
        return [(keys[0], BLIND)]
    if len(keys) > MANY:
        return [(keys[0], key) for key in keys[1:]]
    return list(itertools.combinations(keys, 2))


def judged(
    comparisons: Sequence[Comparison], runs: Mapping[str, Sequence[Run]], blind: Sequence[float] = ()
) -> dict[Pair, Verdict]:
    """A verdict on every pair of a whole run, in percentage points of accuracy: all of them hold together (`judge`).

    `blind` is BLIND's accuracy for each seed, from 0 to 1, for comparisons of a single arm. A pair that stands in two
    comparisons is judged once; two arms that start from equal weights are not judged.
    """
    accuracy = {key: [100 * run.validation_accuracy for run in some] for key, some in runs.items()}
    accuracy[BLIND] = [100 * share for share in blind]
    differences: dict[Pair, list[float]] = {}
    for pair in itertools.chain.from_iterable(pairs(comparison) for comparison in comparisons):
        if (pair[1], pair[0]) not in differences and not _same(pair, runs):
            # rounded, so that equal shares that were computed in two ways differ by 0 and not by 1e-15 for every seed
            differences[pair] = [round(a - b, 9) for a, b in zip(accuracy[pair[0]], accuracy[pair[1]], strict=True)]
    return judge(differences)


def _same(pair: Pair, runs: Mapping[str, Sequence[Run]]) -> bool:
    """Whether two arms were trained once for both: `compare` then gives both the very same losses."""
    return BLIND not in pair and all(
        a.training_loss is b.training_loss for a, b in zip(runs[pair[0]], runs[pair[1]], strict=True)
    )


def verdicts(comparison: Comparison, judgement: Mapping[Pair, Verdict]) -> list[str]:
    """One sentence for each pair of the comparison: only what the seeds allow."""
    labels = {arm.key: arm.label for arm in comparison.arms} | {BLIND: BLIND}
    sentences = []
    for a, b in pairs(comparison):
        if (b, a) in judgement:
            a, b = b, a
        if (a, b) in judgement:
            sentences.append(_sentence(labels[a], labels[b], judgement[a, b]))
        else:
            sentences.append(f"{labels[a]} and {labels[b]} are the same: they start from equal weights.")
    return sentences


def _sentence(a: str, b: str, verdict: Verdict) -> str:
    mean, _, low, high = verdict.difference
    if math.isnan(verdict.p):
        return _typeset(f"{a} and {b}: {mean:+.2f} points; a verdict needs at least {FEWEST} seeds.")
    if mean < 0:
        a, b, mean, low, high = b, a, -mean, -high, -low
    bounds = f"{mean:.2f} points ({low:+.2f} to {high:+.2f})"
    if high < SMALLEST:  # so is −low, since the interval lies around the mean
        return _typeset(f"{a} and {b} differ by less than half a point: {bounds}.")
    if not verdict.established:
        return _typeset(f"{a} and {b} cannot be told apart: {bounds}.")
    small = ", a small difference" if mean < SMALLEST else ""
    return _typeset(f"{a} is ahead of {b} by {bounds}{small}.")


def _typeset(sentence: str) -> str:
    """A minus before a number is a minus, as in the labels, and BLIND starts a sentence with a capital."""
    sentence = re.sub(r"(?<=[ (])-(?=\d)", "−", sentence)
    return re.sub(f"^{BLIND}", BLIND.capitalize(), sentence)


def explanation(judgement: Mapping[Pair, Verdict], seeds: int) -> str:
    """What the verdicts' numbers mean, for below the tables."""
    if seeds < FEWEST:
        return (
            f"No verdicts: they need at least {FEWEST} seeds, and there {'is one' if seeds == 1 else f'are {seeds}'}."
        )
    count = len(judgement)
    among = f" among these {count} verdicts" if count > 1 else ""
    return (
        f"Verdicts: differences of accuracy, paired over {seeds} seeds, with their intervals.\n"
        f'The chance of a wrong "ahead"{among} is at most 5 %.'
    )
