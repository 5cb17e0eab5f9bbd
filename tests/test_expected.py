"""Theory and sample agree for every initialization, and a sample that breaks its promise is caught."""

import dataclasses
import math
import re

import numpy as np
import pytest
import scipy.integrate

from scratchnet import init
from scratchnet.init import PREPARATIONS
from scratchnet.init.data_dependent import gradient_ratios
from scratchnet.init.expected import Theory, disagreements, measure, norm_tolerance, promises, random_norm, theory
from scratchnet.layers import Linear
from scratchnet.network import mlp


@pytest.mark.parametrize("shape", [(784, 256), (100, 300), (64, 512), (200, 200)], ids=str)
@pytest.mark.parametrize("name", init.SCHEMES)
def test_every_scheme_keeps_its_promise_on_tall_wide_and_square_shapes(name, shape, rng):
    assert disagreements(theory(name, shape), init.SCHEMES[name](shape, rng=rng)) == []


@pytest.mark.parametrize("name", init.SCHEMES)
def test_every_density_has_area_1_and_the_promised_moments(name):
    promised = theory(name, (100, 60))
    if promised.density is None:
        pytest.skip("takes only a few values")
    std = promised.std / math.sqrt(1 - promised.zeros)  # of the entries that are not 0
    low, high = max(promised.low, promised.mean - 12 * std), min(promised.high, promised.mean + 12 * std)
    grid = np.linspace(low, high, 200_001)
    area, mean, square = (scipy.integrate.trapezoid(promised.density(grid) * grid**k, grid) for k in range(3))
    assert math.isclose(area, 1, rel_tol=1e-6)
    assert math.isclose(mean, promised.mean, abs_tol=1e-6 * std)
    assert math.isclose(square - mean**2, std**2, rel_tol=1e-5)


OF_FEW_VALUES = {"zeros", "ones", "constant", "identity", "zero"}


@pytest.mark.parametrize("name", init.SCHEMES)
def test_a_density_is_0_beyond_the_bounds_and_missing_only_where_weights_take_a_few_values(name):
    for shape in ((100, 60), (30, 20)):
        promised = theory(name, shape)
        assert (promised.density is None) == (name in OF_FEW_VALUES)
        if promised.density is not None and math.isfinite(promised.high):
            beyond = np.array([promised.low - 0.1, promised.high + 0.1])
            assert np.array_equal(promised.density(beyond), np.zeros(2))


def test_an_entry_of_an_orthogonal_matrix_is_between_minus_1_and_1_also_in_few_dimensions():
    for n_in in (2, 3, 4):
        promised = theory("orthogonal", (n_in, 2))
        assert (promised.low, promised.high) == (-1, 1)
        assert np.array_equal(promised.density(np.array([-1.5, 1.5])), np.zeros(2))


@pytest.mark.parametrize("shape", [(2, 2), (3, 5), (7, 4), (3, 8), (5, 6), (2, 4), (10, 100)], ids=str)
@pytest.mark.parametrize("name", ["identity", "zero"])
def test_the_promise_of_a_scheme_without_chance_is_exact(name, shape, rng):
    promised, W = theory(name, shape), init.SCHEMES[name](shape, rng=rng)
    found = measure(W)
    assert (found.low, found.high) == (promised.low, promised.high)
    assert (found.mean, found.std, found.zeros) == pytest.approx((promised.mean, promised.std, promised.zeros))
    assert abs(found.spectral_norm / promised.spectral_norm - 1) <= promised.tolerance
    exact = name == "identity" or shape[0] >= shape[1] or shape[1] in (4, 8)  # Hadamard's rows are not cut
    assert promised.tolerance == (1e-9 if exact else 0.3)


@pytest.mark.parametrize(
    ("mean", "std"), [(0.0, 1.0), (0.01, 1.0), (0.2, 1.0), (0.5, 0.29), (0.025, 0.5), (0.1, 2.0), (-0.1, 2.0)]
)
def test_random_norm_is_the_spectral_norm_of_wide_random_matrices(mean, std, rng):
    W = rng.normal(mean, std, (900, 600))
    assert math.isclose(np.linalg.norm(W, 2), random_norm(900, 600, mean, std), rel_tol=0.03)


def test_a_matrix_of_zeros_has_the_norm_0():
    assert random_norm(3, 4, 0.0, 0.0) == 0


def test_the_tolerance_for_a_norm_is_five_deviations_of_its_law():
    """784 × 256: √n = 28 and 16, so half of (1.2 + 5·1.3)·44·(1/28 + 1/16)^(1/3), divided by 44²."""
    assert math.isclose(norm_tolerance(784, 256), 3.85 * (11 / 112) ** (1 / 3) / 44, rel_tol=1e-12)
    assert abs(norm_tolerance(784, 256) - 0.04) < 0.0005
    assert theory("sparse", (100, 25)).tolerance == 0.25 + 1 / 5


def balanced(mean, std, zeros=0):
    """400 weights of exactly this mean and deviation, `zeros` of which are 0 (only where the mean is 0)."""
    W = np.zeros(400)
    W[: 400 - zeros] = np.where(np.arange(400 - zeros) % 2, 1.0, -1.0) * std / math.sqrt(1 - zeros / 400)
    return (W + mean).reshape(20, 20)


@pytest.mark.parametrize(("errors", "wrong"), [(4.99, []), (5.01, ["mean"])])
def test_a_mean_may_be_off_by_five_standard_errors(errors, wrong):
    promised = Theory("", 3.0, 2.0, -math.inf, math.inf, 1.0, tolerance=math.inf)
    for sign in (-1, 1):
        assert disagreements(promised, balanced(3 + sign * errors * 2 / 20, 2.0)) == wrong


@pytest.mark.parametrize(("errors", "wrong"), [(4.99, []), (5.01, ["std"])])
@pytest.mark.parametrize("zeros", [0, 300])
def test_a_deviation_may_be_off_by_five_standard_errors_of_a_normal_distribution_with_its_zeros(zeros, errors, wrong):
    """E[w⁴]/σ⁴ is 3, or 3/(1 − share of zeros); the error of σ is σ√((E[w⁴]/σ⁴ − 1)/(4·size))."""
    share = zeros / 400
    promised = Theory("", 0.0, 2.0, -math.inf, math.inf, 1.0, zeros=share, tolerance=math.inf)
    error = 2 * math.sqrt((3 / (1 - share) - 1) / 1600)
    assert share or math.isclose(error, 2 / math.sqrt(800))
    for sign in (-1, 1):
        assert disagreements(promised, balanced(0.0, 2 + sign * errors * error, zeros)) == wrong


def test_rounding_is_no_disagreement():
    """For a constant: 1e-9, and as much again in proportion to its size."""
    promised = Theory("", 10.0, 0.0, 10.0, 10.0, 200.0, tolerance=1.0)
    assert disagreements(promised, np.full((20, 20), 10 + 1e-8)) == []
    assert disagreements(promised, np.full((20, 20), 10 - 1e-8)) == []
    assert disagreements(promised, np.full((20, 20), 10 + 1.2e-8)) == ["mean", "bounds"]
    assert disagreements(promised, np.full((20, 20), 10 - 1.2e-8)) == ["mean", "bounds"]


@pytest.mark.parametrize(
    ("change", "broken"),
    [
        (lambda W: W + 0.02, "mean"),
        (lambda W: W * 1.05, "std"),
        (lambda W: np.where(np.arange(W.size).reshape(W.shape) % 50 == 0, 0, W), "zeros"),
        (lambda W: W + 0.5 * np.eye(*W.shape), "spectral_norm"),
        (lambda W: np.where(W == W.max(), 0.2, W), "bounds"),
    ],
)
def test_a_sample_that_breaks_its_promise_is_caught(change, broken, rng):
    W = init.glorot_uniform((300, 200), rng=rng)
    assert broken in disagreements(theory("glorot_uniform", (300, 200)), change(W))


def test_a_mix_up_of_fan_in_and_fan_out_is_caught(rng):
    W = init.he_normal((256, 784), rng=rng).T
    assert "std" in disagreements(theory("he_normal", (784, 256)), W)


def test_measure_takes_the_same_numbers_as_a_theory_has():
    measured = {field.name for field in dataclasses.fields(measure(np.eye(3)))}
    assert measured <= {field.name for field in dataclasses.fields(theory("identity", (3, 3)))}


def test_formulas_name_the_fans_n_in_and_n_out():
    """n counts examples and nothing else."""
    for name in init.SCHEMES:
        assert not re.search(r"(?<![a-z_])[nm](?![a-z_])", theory(name, (64, 100)).formula), name
    assert theory("rule_uniform", (64, 100)).formula == "U(±1/√n_in)"
    assert theory("glorot_normal", (64, 100)).formula == "N(0, 2/(n_in+n_out))"
    assert theory("orthogonal", (64, 100)).formula == "QᵀQ = I, Haar"
    assert theory("sparse", (64, 100)).formula == "15 links N(0, 1) per unit"
    assert theory("zero", (64, 100)).formula == "c·H, H Hadamard"
    assert theory("zero", (100, 64)).formula == "I, cut to n_in × n_out"


def test_a_shape_that_a_scheme_cannot_have_is_refused():
    with pytest.raises(ValueError, match="sparse takes 15 links"):
        theory("sparse", (14, 5))
    assert theory("sparse", (15, 5)).zeros == 0


def test_every_preparation_keeps_its_promise_on_images(dataset, rng):
    found = promises(dataset.images[:1000], dataset.labels[:1000], sizes=(784, 64, 32, 10), rng=rng)
    assert {promise.name for promise in found} == set(PREPARATIONS)
    assert [promise for promise in found if not promise.kept] == []


CLAIMS = {
    "lsuv": ("variance of a layer's output, the one farthest from 1", 1, 0.05),
    "weight_norm": ("largest |mean| or |deviation − 1| of a unit", 0, 1e-3),
    "krahenbuhl": ("largest gradient-to-weight ratio of a layer over the smallest", 1, 0.1),
    "pca": ("first layer's covariance, largest |C − I|", 0, 0.1),
    "hinge_bias": ("distance from a unit's kink to the nearest image, the largest", 0, 1e-5),
    "antisymmetric": ("largest |output|", 0, 1e-5),
    "looks_linear": ("largest |f(X) − XQ|, Q = f(I)", 0, 1e-4),
    "zero_last": ("loss at the start: the labels' entropy", math.log(10), 1e-6),
}


def test_a_network_that_is_prepared_by_nothing_keeps_no_promise(monkeypatch):
    """Each number is measured on the same network of He's weights, here by formulas of the test's own."""
    X, labels, sizes = 0.3 * np.random.default_rng(2).normal(size=(50, 30)), np.arange(50) % 10, (30, 12, 8, 6, 10)

    def fill(network, *_, rng=None):
        network.apply(init.linear(init.he_normal, rng=np.random.default_rng(5)))

    for name in PREPARATIONS:
        monkeypatch.setitem(PREPARATIONS, name, fill)
    found = promises(X.astype(np.float32), labels, sizes=sizes, rng=np.random.default_rng(1))
    assert [promise.name for promise in found if promise.kept] == []
    assert {p.name: (p.claim, pytest.approx(p.promised), p.tolerance) for p in found} == CLAIMS

    network, Y, outputs = mlp(sizes, dtype=np.float64), X, []
    fill(network)
    for layer in network.layers:
        Y = layer.forward(Y)
        if isinstance(layer, Linear):
            outputs.append(Y)
    first, *_, Z = outputs
    ratios = gradient_ratios(network, X, np.random.default_rng(1))
    centred = first - first.mean(axis=0)
    nearest = [min(abs(y)) for hidden in outputs[:-1] for y in hidden.T]
    assert nearest.index(max(nearest)) >= 12 + 8  # in the last hidden layer
    exact = {
        "lsuv": max((Y.var() for Y in outputs), key=lambda v: abs(v - 1)),
        "weight_norm": max(max(abs(y.mean()), abs(y.std() - 1)) for Y in outputs for y in Y.T),
        "krahenbuhl": ratios.max() / ratios.min(),
        "pca": np.abs(centred.T @ centred / 50 - np.eye(12)).max(),
        "hinge_bias": max(nearest),
        "antisymmetric": np.abs(Z).max(),
        "looks_linear": np.abs(Z - X @ network.forward(np.eye(30))).max(),
        "zero_last": np.mean([np.log(np.exp(z).sum()) - z[t] for z, t in zip(Z, labels, strict=True)]),
    }
    assert {p.name: p.measured for p in found} == pytest.approx(exact, rel=3e-4)


@pytest.mark.parametrize("variances", [(1.2, 0.1, 1.0), (2.2, 0.1, 1.0)])
def test_the_variance_farthest_from_1_is_shown_whether_small_or_large(variances, dataset, monkeypatch, rng):
    lsuv = PREPARATIONS["lsuv"]

    def scaled(network, *data, rng):
        lsuv(network, *data, rng=rng)
        layers = [layer for layer in network.layers if isinstance(layer, Linear)]
        for layer, v, before in zip(layers, variances, (1.0, *variances), strict=False):
            layer.W *= math.sqrt(v / before)

    monkeypatch.setitem(PREPARATIONS, "lsuv", scaled)
    first, *_ = promises(dataset.images[:200], dataset.labels[:200], sizes=(784, 40, 30, 10), rng=rng)
    assert first.measured == pytest.approx(max(variances, key=lambda v: abs(v - 1)), rel=0.06)


def test_one_unit_whose_mean_is_off_is_shown_though_another_makes_up_for_it(dataset, monkeypatch, rng):
    weight_norm = PREPARATIONS["weight_norm"]

    def shifted(network, *data, rng):
        weight_norm(network, *data, rng=rng)
        network.layers[-1].b[:2] += (0.5, -0.5)

    monkeypatch.setitem(PREPARATIONS, "weight_norm", shifted)
    _, second, *_ = promises(dataset.images[:200], dataset.labels[:200], sizes=(784, 40, 30, 10), rng=rng)
    assert second.measured == pytest.approx(0.5, rel=1e-3)
