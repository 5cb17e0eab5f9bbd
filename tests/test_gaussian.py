"""Expectations over a normal distribution: against closed forms, SciPy and large samples."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.stats

from scratchnet.init.gaussian import expectation, function, integral, pair_expectation, second_moment, slope_moment
from scratchnet.layers import ELU, GELU, SELU, LeakyReLU, PReLU, ReLU, Sigmoid, SiLU, Tanh


def test_expectations_of_powers_are_the_moments_of_the_normal_distribution():
    for power, moment in ((0, 1), (1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        assert abs(expectation(lambda z, p=power: z**p) - moment) < 1e-12


def test_a_kink_costs_no_accuracy_where_it_is_named():
    exact = 1 / math.sqrt(2 * math.pi) * math.exp(-0.5)  # E[z·1(z > 1)] is the density at 1
    step = lambda z: np.where(z > 1, z, 0)  # noqa: E731
    assert abs(expectation(step, kinks=[1.0]) - exact) < 1e-13
    assert abs(expectation(step) - exact) > 1e-6


@pytest.mark.parametrize("phi", [ReLU(), Tanh(), GELU(), SELU()], ids=lambda phi: type(phi).__name__)
def test_the_slope_of_a_layer_and_of_a_plain_function_are_the_same(phi):
    assert math.isclose(slope_moment(phi, 0.7), slope_moment(phi.forward, 0.7), rel_tol=1e-7)


def test_kinks_may_be_arrays_one_element_for_each_function():
    """E[(z − k)⁺] = density(k) − k·P(z > k), for several k at once."""
    k = np.array([[-30.0, -1.0, 0.0], [0.5, 2.0, 30.0]])
    found = expectation(lambda z: np.maximum(z - k[..., None], 0), kinks=[k])
    assert found.shape == k.shape
    np.testing.assert_allclose(found, scipy.stats.norm.pdf(k) - k * scipy.stats.norm.sf(k), atol=1e-12)


def test_an_integral_over_pieces_is_scipys():
    f = lambda z: np.abs(np.sin(z) - 0.5) * z  # noqa: E731
    kinks = [math.pi / 6, 5 * math.pi / 6]
    theirs, _ = scipy.integrate.quad(f, -1, 3, points=kinks)
    assert math.isclose(integral(f, [-1, *kinks, 3]), theirs, rel_tol=1e-12)


@pytest.mark.parametrize("c", [-1.0, -0.8, 0.0, 0.3, 0.999, 1 - 1e-9, 1.0])
def test_a_pair_of_relus_has_the_arc_cosine_kernel(c):
    """2E[relu(z₁) relu(z₂)] = (√(1 − c²) + c(π − arccos c))/π (Cho & Saul 2009); for its slope, P(z₁, z₂ > 0)."""
    kernel = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
    assert math.isclose(2 * pair_expectation(ReLU().forward, c), kernel, abs_tol=1e-11)
    both = (math.pi - math.acos(c)) / (2 * math.pi)
    assert math.isclose(pair_expectation(lambda z: (z > 0) * 1.0, c), both, abs_tol=1e-11)


def test_a_pair_with_kinks_away_from_0():
    """P(z₁ > 1, z₂ > 1), with SciPy's bivariate normal distribution."""
    for c in (-0.5, 0.4, 0.95):
        both = scipy.stats.multivariate_normal([0, 0], [[1, c], [c, 1]]).cdf([-1, -1])
        assert math.isclose(pair_expectation(lambda z: (z > 1) * 1.0, c, kinks=[1.0]), both, rel_tol=1e-6)


def test_a_pair_that_is_opposite_has_kinks_on_both_sides():
    """P(z > −1 and −z > −1) = P(|z| < 1)."""
    found = pair_expectation(lambda z: (z > -1) * 1.0, -1.0, kinks=[-1.0])
    assert math.isclose(found, math.erf(1 / math.sqrt(2)), rel_tol=1e-12)


@pytest.mark.parametrize("phi", [Tanh(), Sigmoid(), ELU(), GELU(), SiLU()], ids=lambda phi: type(phi).__name__)
def test_a_pair_of_other_activations_is_the_mean_of_a_large_sample(phi, rng):
    a, b = rng.normal(size=(2, 1_000_000))
    products = phi.forward(1.5 * a) * phi.forward(1.5 * (0.6 * a + 0.8 * b))
    error = products.std() / math.sqrt(products.size)
    assert abs(pair_expectation(lambda z: phi.forward(1.5 * z), 0.6) - products.mean()) < 5 * error


def test_a_correlation_beyond_1_is_refused():
    with pytest.raises(ValueError, match=r"expected a correlation from -1 to 1, got c = 1\.2"):
        pair_expectation(np.tanh, 1.2)


def test_an_activation_with_a_parameter_of_its_own_has_moments_as_any_other():
    """PReLU reads its slope as a[..., None, None], so it needs rows of units."""
    for moment in (second_moment, slope_moment):
        assert math.isclose(moment(PReLU(0.3), 0.7), moment(LeakyReLU(0.3), 0.7), rel_tol=1e-12)
    pair = pair_expectation(function(PReLU(0.3)), 0.4)
    assert math.isclose(pair, pair_expectation(function(LeakyReLU(0.3)), 0.4), rel_tol=1e-12)


def test_moments_of_a_signal_that_vanishes_are_the_limits():
    assert slope_moment(ReLU(), 0) == pytest.approx(0.5, rel=1e-12)
    assert slope_moment(lambda x: np.maximum(x, 0), 0) == pytest.approx(0.5, rel=1e-9)  # differences look away from 0
    assert slope_moment(LeakyReLU(0.2), 0) == pytest.approx((1 + 0.2**2) / 2, rel=1e-12)
    assert slope_moment(Tanh(), 0) == pytest.approx(1, rel=1e-12)
    assert second_moment(ReLU(), 0) == 0
    assert second_moment(Sigmoid(), 0) == 0.25
    for moment in (second_moment, slope_moment):
        with pytest.raises(ValueError, match="expected a variance q ≥ 0, got q = -1"):
            moment(Tanh(), -1)
