"""Expectations over a normal distribution: against closed forms, SciPy and large samples."""

import math

import numpy as np
import pytest
import scipy.integrate
import scipy.special
import scipy.stats

from scratchnet.init.gaussian import (
    derivative,
    expectation,
    function,
    integral,
    pair_expectation,
    second_moment,
    slope_moment,
)
from scratchnet.layers import ELU, GELU, SELU, LeakyReLU, PReLU, ReLU, Sigmoid, SiLU, Tanh


def test_expectations_of_powers_are_the_moments_of_the_normal_distribution():
    for power, moment in ((0, 1), (1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        assert abs(expectation(lambda z, p=power: z**p) - moment) < 1e-12
        assert abs(expectation(lambda z, p=power: z**p, kinks=[]) - moment) < 1e-12


def test_an_expectation_is_a_plain_number_as_a_reader_would_print_it():
    assert repr(expectation(lambda z: 0 * z)) == "0.0"


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


def test_a_piece_without_length_is_left_out_since_f_may_be_undefined_there():
    """Si(1) = ∫ sin(z)/z dz from 0 to 1, where sin(0)/0 has no value."""
    si, _ = scipy.special.sici(1.0)
    assert math.isclose(integral(lambda z: np.sin(z) / z, [0, 0, 1]), si, rel_tol=1e-12)


def test_each_piece_gets_as_many_points_as_are_asked_for_and_a_pair_in_both_directions():
    shapes = set()

    def f(z):
        shapes.add(z.shape)
        return z

    expectation(f, nodes=7)
    assert shapes == {(7,)}
    shapes.clear()
    pair_expectation(f, 0.4, nodes=5)
    assert shapes == {(5,), (5, 5)}


@pytest.mark.parametrize("c", [-1.0, -0.8, 0.0, 0.3, 0.999, 1 - 1e-9, 1.0])
def test_a_pair_of_relus_has_the_arc_cosine_kernel(c):
    """2E[relu(z₁) relu(z₂)] = (√(1 − c²) + c(π − arccos c))/π (Cho & Saul 2009); for its slope, P(z₁, z₂ > 0)."""
    kernel = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
    assert math.isclose(2 * pair_expectation(ReLU().forward, c), kernel, abs_tol=1e-11)
    both = (math.pi - math.acos(c)) / (2 * math.pi)
    assert math.isclose(pair_expectation(lambda z: (z > 0) * 1.0, c), both, abs_tol=1e-11)


@pytest.mark.parametrize("k", [-0.7, 1.0, 3.0])
def test_a_pair_with_kinks_away_from_0(k):
    """P(z₁ > k, z₂ > k) = P(z > k) − 2T(k, √((1 − c)/(1 + c))), with Owen's function T (1956). So for a step of ±1,
    E[f(z₁) f(z₂)] = 1 − 4P(z > k) + 4P(z₁ > k, z₂ > k).
    """
    for c in (-1 + 1e-9, -0.99, -0.5, 0.0, 0.4, 0.95, 0.9999, 1 - 1e-9):
        one = scipy.stats.norm.sf(k)
        both = one - 2 * scipy.special.owens_t(k, math.sqrt((1 - c) / (1 + c)))
        found = pair_expectation(lambda z: np.where(z > k, 1.0, -1.0), c, kinks=[k])
        assert math.isclose(found, 1 - 4 * one + 4 * both, abs_tol=1e-13), c


def test_a_pair_of_a_smooth_function_needs_no_kink():
    """E[erf(a z₁) erf(a z₂)] = (2/π)·arcsin(2a²c/(1 + 2a²)) (Williams 1997)."""
    for c in (-1.0, -0.8, 0.3, 0.999):
        exact = 2 / math.pi * math.asin(2 * 0.7**2 * c / (1 + 2 * 0.7**2))
        found = pair_expectation(lambda z: scipy.special.erf(0.7 * z), c, kinks=())
        assert math.isclose(found, exact, rel_tol=1e-10)


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
    for c in (1.2, -1.2, math.nan):
        with pytest.raises(ValueError, match=f"expected a correlation from -1 to 1, got c = {c}"):
            pair_expectation(np.tanh, c)


def test_an_activation_with_a_parameter_of_its_own_has_moments_as_any_other():
    """PReLU reads its slope as a[..., None, None], so it needs rows of units."""
    for moment in (second_moment, slope_moment):
        assert math.isclose(moment(PReLU(0.3), 0.7), moment(LeakyReLU(0.3), 0.7), rel_tol=1e-12)
    pair = pair_expectation(function(PReLU(0.3)), 0.4)
    assert math.isclose(pair, pair_expectation(function(LeakyReLU(0.3)), 0.4), rel_tol=1e-12)


class RowsOfUnits(Tanh):
    """A layer of a reader's own that takes rows of examples and nothing else."""

    def forward(self, X, train=False):
        _examples, _units = X.shape
        return super().forward(X)


def test_a_layer_is_given_rows_of_examples_whatever_the_shape_of_the_points():
    x = np.linspace(-1, 1, 6).reshape(1, 3, 2)
    np.testing.assert_array_equal(function(RowsOfUnits())(x), np.tanh(x))
    np.testing.assert_allclose(derivative(RowsOfUnits())(x), 1 - np.tanh(x) ** 2)


def test_a_signal_has_variance_1_if_nothing_else_is_said():
    for moment in (second_moment, slope_moment):
        assert moment(Tanh()) == moment(Tanh(), 1.0)


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
