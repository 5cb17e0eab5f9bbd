"""Theory and sample agree for every initialization, and a sample that breaks its promise is caught."""

import dataclasses
import math
import re

import numpy as np
import pytest
import scipy.integrate

from scratchnet import init
from scratchnet.init import PREPARATIONS
from scratchnet.init.expected import disagreements, measure, promises, random_norm, theory


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


@pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (0.01, 1.0), (0.2, 1.0), (0.5, 0.29)])
def test_random_norm_is_the_spectral_norm_of_wide_random_matrices(mean, std, rng):
    W = rng.normal(mean, std, (900, 600))
    assert math.isclose(np.linalg.norm(W, 2), random_norm(900, 600, mean, std), rel_tol=0.03)


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


def test_a_shape_that_a_scheme_cannot_have_is_refused():
    with pytest.raises(ValueError, match="sparse takes 15 links"):
        theory("sparse", (10, 5))


def test_every_preparation_keeps_its_promise_on_images(dataset, rng):
    found = promises(dataset.images[:1000], dataset.labels[:1000], sizes=(784, 64, 32, 10), rng=rng)
    assert {promise.name for promise in found} == set(PREPARATIONS)
    assert [promise for promise in found if not promise.kept] == []
