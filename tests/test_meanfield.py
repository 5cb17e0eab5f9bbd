"""Gains, variance maps and the edge of chaos: against known values, against simulation, and through 50 layers."""

import math

import numpy as np
import pytest
import torch

from scratchnet import init
from scratchnet.init.meanfield import (
    chi,
    edge_of_chaos,
    expectation,
    fixed_point,
    gain,
    gradient_depth_scale,
    second_moment,
    slope_moment,
    variance_map,
)
from scratchnet.layers import ELU, GELU, SELU, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh

WIDTH, EXAMPLES, DEPTH = 300, 300, 50


def test_expectations_of_powers_are_the_moments_of_the_normal_distribution():
    for power, moment in ((0, 1), (1, 0), (2, 1), (3, 0), (4, 3), (6, 15)):
        assert abs(expectation(lambda z, p=power: z**p) - moment) < 1e-12


def test_a_kink_costs_no_accuracy_where_it_is_named():
    exact = 1 / math.sqrt(2 * math.pi) * math.exp(-0.5)  # E[z·1(z > 1)] is the density at 1
    step = lambda z: np.where(z > 1, z, 0)  # noqa: E731
    assert abs(expectation(step, kinks=[1.0]) - exact) < 1e-13
    assert abs(expectation(step) - exact) > 1e-6


def test_gains_with_a_closed_form():
    assert math.isclose(gain(ReLU()), math.sqrt(2), rel_tol=1e-12)
    assert math.isclose(gain(LeakyReLU(0.3)), math.sqrt(2 / (1 + 0.3**2)), rel_tol=1e-12)
    assert math.isclose(gain(np.sin), 1 / math.sqrt((1 - math.exp(-2)) / 2), rel_tol=1e-12)
    assert math.isclose(gain(SELU()), 1, abs_tol=1e-7)


@pytest.mark.parametrize("phi", [Tanh(), Sigmoid(), ELU(), GELU(), SiLU()], ids=lambda phi: type(phi).__name__)
def test_gain_is_one_over_the_root_of_the_second_moment_of_a_large_sample(phi, rng):
    z = rng.normal(size=2_000_000)
    squares = phi.forward(z) ** 2
    error = squares.std() / math.sqrt(z.size)
    assert abs(1 / gain(phi) ** 2 - squares.mean()) < 5 * error


def test_where_pytorch_agrees_and_where_it_does_not():
    theirs = torch.nn.init.calculate_gain
    assert math.isclose(gain(ReLU()), theirs("relu"), rel_tol=1e-6)
    assert math.isclose(gain(LeakyReLU(0.2)), theirs("leaky_relu", 0.2), rel_tol=1e-6)
    assert math.isclose(theirs("tanh") / gain(Tanh()), 1.05, abs_tol=0.005)
    assert theirs("sigmoid") == 1
    assert theirs("selu") == 0.75


def test_selu_with_pytorchs_gain_falls_to_0_024_after_50_layers():
    q = 1.0
    for _ in range(50):
        q = variance_map(SELU(), q, sigma_w=0.75)
    assert abs(q - 0.024) < 0.0005


def test_a_function_that_is_0_everywhere_has_no_gain():
    with pytest.raises(ValueError, match="must be finite and not 0 everywhere"):
        gain(lambda z: 0 * z)


@pytest.mark.parametrize("phi", [ReLU(), Tanh(), GELU(), SELU()], ids=lambda phi: type(phi).__name__)
def test_the_slope_of_a_layer_and_of_a_plain_function_are_the_same(phi):
    assert math.isclose(slope_moment(phi, 0.7), slope_moment(phi.forward, 0.7), rel_tol=1e-7)


def test_a_wide_layer_follows_the_variance_map(rng):
    """q_next = σ_w² E[φ(√q z)²] + σ_b², simulated with one wide layer."""
    q, n_in, sigma_w, sigma_b = 0.8, 4000, 1.4, 0.5
    X = np.tanh(math.sqrt(q) * rng.normal(size=(200, n_in)))
    Y = X @ rng.normal(0, sigma_w / math.sqrt(n_in), (n_in, 500)) + rng.normal(0, sigma_b, 500)
    assert abs(Y.var() / variance_map(Tanh(), q, sigma_w=sigma_w, sigma_b=sigma_b) - 1) < 0.1


# --- the edge of chaos ---


@pytest.mark.parametrize("q", [0.01, 1.0, 100.0])
def test_the_edge_of_chaos_for_relu_is_hes_rule(q):
    sigma_w, sigma_b = edge_of_chaos(ReLU(), q=q)
    assert math.isclose(sigma_w, math.sqrt(2), rel_tol=1e-9)
    assert sigma_b == 0


def test_the_edge_of_chaos_for_tanh_is_the_published_one():
    """Schoenholz et al. 2017 use σ_w² = 1.76 with σ_b² = 0.05."""
    sigma_w, _ = edge_of_chaos(Tanh(), sigma_b=math.sqrt(0.05))
    assert abs(sigma_w**2 - 1.76) < 0.002


@pytest.mark.parametrize("phi", [Tanh(), GELU(), SiLU(), ELU(), SELU(), np.sin], ids=str)
def test_on_the_edge_of_chaos_the_variance_stays_and_chi_is_1(phi):
    sigma_w, sigma_b = edge_of_chaos(phi, q=0.5)
    assert math.isclose(variance_map(phi, 0.5, sigma_w=sigma_w, sigma_b=sigma_b), 0.5, rel_tol=1e-9)
    assert math.isclose(chi(phi, 0.5, sigma_w=sigma_w), 1, rel_tol=1e-9)


def test_an_edge_of_chaos_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="σ_b² would be -"):
        edge_of_chaos(Sigmoid(), q=1.0)
    with pytest.raises(ValueError, match="no variance q puts this activation"):
        edge_of_chaos(ReLU(), sigma_b=0.3)
    with pytest.raises(ValueError, match=r"expected either q.* or sigma_b, got neither"):
        edge_of_chaos(Tanh())
    with pytest.raises(ValueError, match=r"expected either q.* or sigma_b, got both"):
        edge_of_chaos(Tanh(), q=1, sigma_b=1)
    with pytest.raises(ValueError, match="expected a positive finite variance q, got -1"):
        edge_of_chaos(Tanh(), q=-1)
    with pytest.raises(ValueError, match="expected a positive finite sigma_b, got 0; without biases"):
        edge_of_chaos(Tanh(), sigma_b=0)
    with pytest.raises(ValueError, match="there is no edge of chaos at q = 1: E"):
        edge_of_chaos(lambda z: 0 * z + 1, q=1.0)
    with pytest.raises(ValueError, match="expected a variance q ≥ 0, got q = -1"):
        second_moment(Tanh(), -1)
    with pytest.raises(ValueError, match="expected a variance q ≥ 0, got q = -1"):
        slope_moment(Tanh(), -1)


def test_the_walk_to_a_fixed_point_ends_there_or_at_0_or_at_infinity():
    q = fixed_point(Tanh(), sigma_w=1.5, sigma_b=0.1)
    assert math.isclose(variance_map(Tanh(), q, sigma_w=1.5, sigma_b=0.1), q, rel_tol=1e-10)
    assert fixed_point(ReLU(), sigma_w=1.0) == 0
    assert fixed_point(ReLU(), sigma_w=2.0) == math.inf


def test_depth_scale_is_one_over_log_chi_and_infinite_on_the_edge():
    q = fixed_point(Tanh(), sigma_w=1.1, sigma_b=0.3)
    assert math.isclose(
        gradient_depth_scale(Tanh(), sigma_w=1.1, sigma_b=0.3), -1 / math.log(chi(Tanh(), q, sigma_w=1.1))
    )
    assert gradient_depth_scale(ReLU(), sigma_w=math.sqrt(2)) == math.inf
    assert math.isclose(gradient_depth_scale(ReLU(), sigma_w=1.0), 1 / math.log(2), rel_tol=1e-9)
    assert math.isclose(gradient_depth_scale(ReLU(), sigma_w=2.0), 1 / math.log(2), rel_tol=1e-9)


# --- fifty layers: the lesson in one test ---


def mean_squares_after(depth, phi, scheme, rng):
    """Each example's mean square after `depth` layers Y = φ(Y_before) W, from inputs ~ N(0, 1): (EXAMPLES,)."""
    Y = rng.normal(size=(EXAMPLES, WIDTH))
    for _ in range(depth):
        Y = phi.forward(Y) @ scheme((WIDTH, WIDTH), rng=rng)
    return (Y**2).mean(axis=-1)


def predicted_band(depth, phi, sigma_w, rng, share=0.99):
    """The interval that holds the given share of log q for one example, by the variance map of a layer of finite width.

    Given an example's q, its WIDTH outputs are independent N(0, q), so q_next = σ_w²·mean(φ(√q z)²): the variance map,
    with the mean of WIDTH draws instead of the expectation.
    """
    q = (rng.normal(size=(400, WIDTH)) ** 2).mean(axis=-1)
    for _ in range(depth):
        q = sigma_w**2 * (phi.forward(np.sqrt(q)[:, None] * rng.normal(size=(400, WIDTH))) ** 2).mean(axis=-1)
    return np.quantile(np.log(q), [(1 - share) / 2, (1 + share) / 2])


def by_gain(phi):
    g = gain(phi)
    return lambda shape, *, rng: init.normal(shape, rng=rng, std=g / math.sqrt(shape[-2]))


KEEPS = {
    "He and ReLU": (ReLU(), init.he_normal, math.sqrt(2)),
    "LeCun and SELU": (SELU(), init.lecun_normal, 1.0),
    "the gain of tanh": (Tanh(), by_gain(Tanh()), gain(Tanh())),
    "the gain of GELU": (GELU(), by_gain(GELU()), gain(GELU())),
    "the gain of SiLU": (SiLU(), by_gain(SiLU()), gain(SiLU())),
}


@pytest.mark.parametrize("name", KEEPS)
def test_through_50_layers_the_mean_square_stays_in_the_predicted_band_with(name, rng):
    phi, scheme, sigma_w = KEEPS[name]
    low, high = predicted_band(DEPTH, phi, sigma_w, rng)
    for _ in range(2):
        assert low < np.median(np.log(mean_squares_after(DEPTH, phi, scheme, rng))) < high


def test_a_gain_holds_the_signal_firmly_where_the_variance_map_is_flat_and_loosely_where_it_is_steep():
    """dq_next/dq at q = 1: an error shrinks for tanh and SELU, stays for ReLU, and grows for GELU and SiLU."""

    def slope(phi, h=1e-4):
        return (second_moment(phi, 1 + h) - second_moment(phi, 1 - h)) * gain(phi) ** 2 / (2 * h)

    assert slope(Tanh()) < 0.6
    assert slope(SELU()) < 0.8
    assert math.isclose(slope(ReLU()), 1, rel_tol=1e-6)
    assert 1.05 < slope(GELU()) < slope(SiLU()) < 1.25


@pytest.mark.parametrize(
    ("std", "phi"), [(0.01, ReLU()), (0.01, Tanh()), (1.0, ReLU())], ids=["0.01 ReLU", "0.01 tanh", "1 ReLU"]
)
def test_through_50_layers_a_fixed_standard_deviation_follows_the_variance_map_to_death_or_explosion(std, phi, rng):
    predicted = 1.0
    for _ in range(DEPTH):
        predicted = variance_map(phi, predicted, sigma_w=std * math.sqrt(WIDTH))
    measured = mean_squares_after(DEPTH, phi, lambda shape, *, rng: init.normal(shape, rng=rng, std=std), rng).mean()
    assert abs(math.log(measured) - math.log(predicted)) < 4
    assert measured < 1e-40 if std < 1 else measured > 1e80


def test_through_50_layers_the_gradient_stays_on_the_edge_of_chaos_and_dies_below_it(rng):
    """50 layers multiply the gradient's mean square by about χ⁵⁰, which is 1 on the edge."""
    for sigma_w, sigma_b in (edge_of_chaos(Tanh(), q=0.5), (0.9, 0.3)):
        q = fixed_point(Tanh(), sigma_w=sigma_w, sigma_b=sigma_b)
        phis, Ws, Y = [], [], math.sqrt(q) * rng.normal(size=(EXAMPLES, WIDTH))
        for _ in range(DEPTH):
            phis.append(Tanh())
            Ws.append(rng.normal(0, sigma_w / math.sqrt(WIDTH), (WIDTH, WIDTH)))
            Y = phis[-1].forward(Y) @ Ws[-1] + rng.normal(0, sigma_b, WIDTH)
        dY = rng.normal(size=Y.shape)
        for phi, W in zip(reversed(phis), reversed(Ws), strict=True):
            dY = phi.backward(dY @ W.T)
        predicted = DEPTH * math.log(chi(Tanh(), q, sigma_w=sigma_w))
        assert abs(math.log((dY**2).mean()) - predicted) < 3


class Ramp(ReLU):
    """max(x − 2, 0): a kink that is not at 0."""

    def forward(self, X, train=False):
        return super().forward(X - 2)


def test_a_kink_lies_elsewhere_for_a_signal_of_another_size():
    """For q = 4, x = 2z has its kink at z = 1: E[φ'²] is P(z > 1), and E[φ²] = 4·E[(z − 1)²·1(z > 1)]."""
    meanfield = init.meanfield
    beyond = 0.5 * math.erfc(1 / math.sqrt(2))
    density = math.exp(-0.5) / math.sqrt(2 * math.pi)
    assert math.isclose(meanfield.slope_moment(Ramp(), 4.0, kinks=[2.0]), beyond, rel_tol=1e-12)
    assert math.isclose(meanfield.second_moment(Ramp(), 4.0, kinks=[2.0]), 4 * (2 * beyond - density), rel_tol=1e-12)
