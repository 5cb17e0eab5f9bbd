"""Intervals: against SciPy, and by how often they hold what they promise."""

import math

import numpy as np
import pytest
import scipy.stats

from scratchnet.lab.intervals import holm, interval, judge, p_value, t_quantile


@pytest.mark.parametrize("df", [1, 2, 3, 4, 9, 30, 100, 5000])
def test_t_quantile_equals_scipys(df):
    assert math.isclose(t_quantile(df), scipy.stats.t.ppf(0.975, df), rel_tol=1e-5)
    assert math.isclose(t_quantile(df, 0.9998), scipy.stats.t.ppf(0.9999, df), rel_tol=1e-3)


@pytest.mark.parametrize("n", [2, 7])
def test_interval_equals_scipys(rng, n):
    x = rng.normal(3, 2, size=n)
    result = interval(x)
    low, high = scipy.stats.t.interval(0.95, n - 1, x.mean(), scipy.stats.sem(x))
    np.testing.assert_allclose(result, (x.mean(), x.std(ddof=1), low, high), rtol=1e-5)


def test_the_interval_holds_the_true_mean_95_times_in_100(rng):
    hits = sum(i.low < 3 < i.high for i in (interval(rng.normal(3, 2, size=5)) for _ in range(2000)))
    assert abs(hits / 2000 - 0.95) < 5 * math.sqrt(0.95 * 0.05 / 2000)


def test_one_value_has_no_spread():
    result = interval([5.0])
    assert result.mean == 5
    assert np.isnan(result[1:]).all()


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_a_value_that_is_no_number_leaves_nothing_known(bad):
    assert np.isnan(interval([1.0, bad, 2.0])[1:]).all()


def test_values_whose_squares_no_float_holds_have_a_mean_and_no_spread():
    result = interval([1e200, 2e200, 3e200])
    assert math.isclose(result.mean, 2e200)
    assert np.isnan(result[1:]).all()


def test_no_values_are_refused():
    with pytest.raises(ValueError, match="at least one value"):
        interval([])
    with pytest.raises(ValueError, match="at least 1 degree"):
        t_quantile(0)


# --- tests of several differences -------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [3, 5, 10, 30])
@pytest.mark.parametrize("shift", [0.0, 0.5, 3.0, 30.0])
def test_p_value_equals_scipys(rng, n, shift):
    x = rng.normal(shift, 1, size=n)
    assert math.isclose(p_value(x), scipy.stats.ttest_1samp(x, 0).pvalue, rel_tol=1e-4)


def test_differences_that_are_all_the_same_are_certain():
    assert p_value([0.0, 0.0, 0.0]) == 1
    assert p_value([2.0, 2.0, 2.0]) == 0


def test_holm_compares_the_smallest_with_alpha_over_K_the_next_with_alpha_over_K_minus_1_and_stops():
    assert holm([0.04, 0.01, 0.5, 0.03]) == [
        (False, 0.05 / 3),
        (True, 0.05 / 4),
        (False, 0.05 / 3),
        (False, 0.05 / 3),  # 0.03 > 0.05/3: nothing after it is rejected, though 0.04 < 0.05
    ]
    assert holm([0.01, 0.02]) == [(True, 0.025), (True, 0.05)]
    assert holm([0.05]) == [(True, 0.05)]  # as large as α is not larger
    assert holm([]) == []


def test_an_interval_excludes_0_exactly_where_the_difference_is_established(rng):
    for _ in range(300):
        verdicts = judge({i: rng.normal(rng.choice([0, 0.5, 2]), 1, size=5) for i in range(6)})
        for verdict in verdicts.values():
            excludes = verdict.difference.low > 0 or verdict.difference.high < 0
            assert excludes == verdict.established


@pytest.mark.parametrize("differences", [[1.0], [1.0, 1.1], [1.0, math.nan, 1.1], [1.0, 2.0, math.inf]])
def test_two_seeds_or_a_difference_that_is_no_number_are_not_judged(differences):
    verdicts = judge({"few": differences, "enough": [1.0, 1.1, 0.9]})
    assert np.isnan([verdicts["few"].p, verdicts["few"].level, *verdicts["few"].difference[1:]]).all()
    np.testing.assert_equal(verdicts["few"].difference.mean, np.mean(differences))
    assert verdicts["few"].established is False
    assert verdicts["enough"].level == 0.95  # they do not count among the tests


def test_a_verdict_has_the_p_value_of_its_own_differences(rng):
    differences = {pair: rng.normal(size=5) for pair in "abc"}
    assert {pair: verdict.p for pair, verdict in judge(differences).items()} == {
        pair: p_value(x) for pair, x in differences.items()
    }


@pytest.mark.parametrize("dtype", [np.float32, np.int16])
def test_values_of_any_type_are_taken_as_float64(rng, dtype):
    x = (1000 * rng.normal(size=5)).astype(dtype)
    assert interval(x) == interval(x.astype(float))
    assert p_value(x) == p_value(x.astype(float))
    assert judge({"a": x}) == judge({"a": x.astype(float)})


def test_the_mean_of_differences_that_are_not_judged_is_taken_in_float64_too():
    few = np.array([2**24, 1], np.float32)  # whose sum no float32 can hold
    assert judge({"few": few})["few"].difference.mean == (2**24 + 1) / 2


def test_seeds_are_paired(rng):
    """What both arms of a seed share cancels in their difference."""
    shared = rng.normal(0, 100, size=6)
    a, b = shared + 1 + rng.normal(0, 0.1, 6), shared + rng.normal(0, 0.1, 6)
    assert judge({"a-b": a - b})["a-b"].established
