"""What a handful of seeds allow one to say: means, confidence intervals, and verdicts on pairs of arms."""

from __future__ import annotations

import functools
import math
from collections.abc import Hashable, Mapping, Sequence
from typing import NamedTuple, TypeVar

import numpy as np
from numpy.typing import ArrayLike

Pair = TypeVar("Pair", bound=Hashable)

# A verdict needs at least so many seeds. Two always agree on some line through both.
FEWEST = 3
# The error rate of all verdicts of a run together: the chance that any "ahead" in it is wrong.
ALPHA = 0.05


class Interval(NamedTuple):
    """A mean over seeds, their standard deviation, and a confidence interval of the mean.

    With a single value, or one that is not finite, `std`, `low` and `high` are NaN: nothing is known of the spread.
    """

    mean: float
    std: float
    low: float
    high: float


class Verdict(NamedTuple):
    """The difference of two arms, seed by seed, its interval, and whether it is established.

    `p` is the two-sided p-value of "no difference" by Student's paired test, `level` the confidence level of the
    interval: 1 − (what Holm's procedure compares p with). So the interval excludes 0 exactly where `established`.
    """

    difference: Interval
    p: float
    level: float
    established: bool


@functools.cache
def _student(df: int) -> tuple[np.ndarray, np.ndarray]:
    """(θ, tail): the probability `tail` that |T| exceeds √df·tan θ, on a grid from 0 to π/2.

    With t = √df·tan θ the density of Student's t becomes proportional to cos(θ)^(df − 1) on −π/2 … π/2, which is
    summed from the far end.
    """
    if df < 1:
        raise ValueError(f"expected at least 1 degree of freedom for Student's t distribution, got {df}")
    theta = np.linspace(0, math.pi / 2, 100_001)
    density = np.cos(theta) ** (df - 1)
    tail = np.append(np.cumsum((density[1:] + density[:-1])[::-1])[::-1], 0.0)
    return theta, tail / tail[0]


def t_quantile(df: int, level: float = 0.95) -> float:
    """The t for which a share `level` of Student's t distribution with `df` degrees of freedom lies in −t … t.

    >>> round(t_quantile(4), 3)
    2.776
    """
    theta, tail = _student(df)
    return math.sqrt(df) * math.tan(float(np.interp(1 - level, tail[::-1], theta[::-1])))


def interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean ± t·s/√n of n independent values, Student's interval (1908), which holds the true mean with `level`."""
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    if n == 0:
        raise ValueError("an interval needs at least one value, got none")
    with np.errstate(over="ignore", invalid="ignore"):  # values near the largest number that there is
        mean, std = float(x.mean()), float(x.std(ddof=1)) if n > 1 else math.nan
    if not math.isfinite(std):
        return Interval(mean, math.nan, math.nan, math.nan)
    half = t_quantile(n - 1, level) * std / math.sqrt(n)
    return Interval(mean, std, mean - half, mean + half)


def p_value(values: ArrayLike) -> float:
    """Student's test (1908): how often n independent values of true mean 0 have a mean as far from 0, or farther."""
    x = np.asarray(values, dtype=np.float64)
    mean, std, n = float(x.mean()), float(x.std(ddof=1)), len(x)
    if std == 0:
        return 1.0 if mean == 0 else 0.0
    theta, tail = _student(n - 1)
    return float(np.interp(math.atan(abs(mean) / std * math.sqrt(n) / math.sqrt(n - 1)), theta, tail))


def holm(p: Sequence[float], alpha: float = ALPHA) -> list[tuple[bool, float]]:
    """(rejected, threshold) for each of several p-values: Holm 1979, Scandinavian Journal of Statistics 6, 65–70.

    The smallest of K p-values is compared with α/K, the next with α/(K − 1), and so on, until one is larger; that
    one and all after it are not rejected. Whatever is true, and however the tests depend on each other, the chance of
    any wrong rejection is at most α. Those after the first failure keep its threshold.
    """
    results, going = {}, True
    for k, i in enumerate(sorted(range(len(p)), key=lambda i: p[i])):
        if going:
            threshold = alpha / (len(p) - k)
            going = p[i] <= threshold
        results[i] = going, threshold
    return [results[i] for i in range(len(p))]


def judge(differences: Mapping[Pair, ArrayLike]) -> dict[Pair, Verdict]:
    """A verdict on each of several pairs of arms, from their differences seed by seed.

    Two arms with the same seed share split, batches and masks, so what these add to both cancels in the difference.
    All verdicts hold together: the chance that any of them is a wrong "established" is at most ALPHA (`holm`). Pairs
    with fewer than FEWEST seeds, or with a difference that is not finite, are not judged: p is NaN.
    """
    values = {pair: np.asarray(x, dtype=np.float64) for pair, x in differences.items()}
    judged = [pair for pair, x in values.items() if len(x) >= FEWEST and np.isfinite(x).all()]
    p = {pair: p_value(values[pair]) for pair in judged}
    decided = dict(zip(judged, holm(list(p.values())), strict=True))
    verdicts = {}
    for pair, x in values.items():
        if pair in decided:
            established, threshold = decided[pair]
            verdicts[pair] = Verdict(interval(x, 1 - threshold), p[pair], 1 - threshold, established)
        else:
            verdicts[pair] = Verdict(Interval(float(x.mean()), *[math.nan] * 3), math.nan, math.nan, False)
    return verdicts
