"""What a handful of seeds allow one to say: means, spreads and confidence intervals."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike


class Interval(NamedTuple):
    """A mean over seeds, their standard deviation, and a confidence interval of the mean.

    With a single value, or one that is not finite, `std`, `low` and `high` are NaN: nothing is known of the spread.
    """

    mean: float
    std: float
    low: float
    high: float

    @property
    def excludes_zero(self) -> bool:
        return self.low > 0 or self.high < 0


def t_quantile(df: int, level: float = 0.95) -> float:
    """The t for which a share `level` of Student's t distribution with `df` degrees of freedom lies in −t … t.

    With t = √df·tan θ the density becomes proportional to cos(θ)^(df−1) on −π/2 … π/2, which is summed on a grid.

    >>> round(t_quantile(4), 3)
    2.776
    """
    if df < 1:
        raise ValueError(f"expected at least 1 degree of freedom for Student's t distribution, got {df}")
    theta = np.linspace(0, math.pi / 2, 100_001)
    density = np.cos(theta) ** (df - 1)
    share = np.concatenate([[0.0], np.cumsum(density[1:] + density[:-1])])
    return math.sqrt(df) * math.tan(float(np.interp(level, share / share[-1], theta)))


def interval(values: ArrayLike, level: float = 0.95) -> Interval:
    """Mean ± t·s/√n of independent values, Student's interval (1908), which holds the true mean with `level`."""
    x = np.asarray(values, dtype=np.float64)
    n = len(x)
    if n == 0:
        raise ValueError("an interval needs at least one value, got none")
    if n == 1 or not np.isfinite(x).all():
        return Interval(float(x.mean()), math.nan, math.nan, math.nan)
    mean, std = float(x.mean()), float(x.std(ddof=1))
    half = t_quantile(n - 1, level) * std / math.sqrt(n)
    return Interval(mean, std, mean - half, mean + half)


def paired_difference(a: ArrayLike, b: ArrayLike, level: float = 0.95) -> Interval:
    """The interval of a − b, seed by seed.

    Two arms with the same seed share split, batches and masks, so what these add to both cancels: the interval
    is narrower than one of two independent means would be.
    """
    x, y = np.asarray(a, dtype=np.float64), np.asarray(b, dtype=np.float64)
    if len(x) != len(y):
        raise ValueError(f"pairs need as many values on both sides, got {len(x)} and {len(y)}")
    return interval(x - y, level)
