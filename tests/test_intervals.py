"""Intervals: against SciPy, and by how often they hold what they promise."""

import math

import numpy as np
import pytest
import scipy.stats

from scratchnet.lab.intervals import interval, paired_difference, t_quantile


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 30, 100, 5000])
def test_t_quantile_equals_scipys(df):
    assert math.isclose(t_quantile(df), scipy.stats.t.ppf(0.975, df), rel_tol=1e-5)
    assert math.isclose(t_quantile(df, 0.9998), scipy.stats.t.ppf(0.9999, df), rel_tol=1e-3)


def test_interval_equals_scipys(rng):
    x = rng.normal(3, 2, size=7)
    result = interval(x)
    low, high = scipy.stats.t.interval(0.95, 6, x.mean(), scipy.stats.sem(x))
    np.testing.assert_allclose(result, (x.mean(), x.std(ddof=1), low, high), rtol=1e-5)


def test_the_interval_holds_the_true_mean_95_times_in_100(rng):
    hits = sum(i.low < 3 < i.high for i in (interval(rng.normal(3, 2, size=5)) for _ in range(2000)))
    assert abs(hits / 2000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 2000)


def test_pairs_cancel_what_both_share(rng):
    shared = rng.normal(0, 100, size=6)
    a, b = shared + 1 + rng.normal(0, 0.1, 6), shared + rng.normal(0, 0.1, 6)
    assert paired_difference(a, b).excludes_zero
    assert not interval(a).excludes_zero


def test_one_value_has_no_spread():
    result = interval([5.0])
    assert result.mean == 5
    assert math.isnan(result.low)
    assert not result.excludes_zero


def test_a_value_that_is_no_number_leaves_nothing_known():
    assert not interval([1.0, math.nan, 2.0]).excludes_zero
    assert not interval([1.0, math.inf, 2.0]).excludes_zero


def test_pairs_need_both_sides():
    with pytest.raises(ValueError, match="3 and 2 came"):
        paired_difference([1, 2, 3], [1, 2])


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        interval([])
    with pytest.raises(ValueError, match="at least 1 degree"):
        t_quantile(0)
