"""Weights with a structure: orthogonal, sparse, SIREN, ZerO, and the edge of chaos."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
from moments import SHAPES, assert_moments, assert_uniform

from scratchnet import init
from scratchnet.init import meanfield
from scratchnet.layers import GELU, Tanh


@pytest.mark.parametrize("shape", [(60, 60), (100, 30), (30, 100), (3, 40, 20)], ids=str)
def test_orthogonal_has_orthonormal_columns_or_rows_times_its_gain(shape, rng):
    W = init.orthogonal(shape, rng=rng, gain=1.5).astype(np.float32)
    n_in, n_out = shape[-2:]
    gram = W.swapaxes(-1, -2) @ W if n_in >= n_out else W @ W.swapaxes(-1, -2)
    np.testing.assert_allclose(gram, np.broadcast_to(1.5**2 * np.eye(min(n_in, n_out)), gram.shape), atol=1e-5)


def test_orthogonal_is_uniform_among_all_rotations_and_reflections(rng):
    """Haar measure on 4 × 4 matrices: E[Q₀₀] = 0, Var Q₀₀ = 1/4, both determinants."""
    Q = init.orthogonal((4000, 4, 4), rng=rng)
    assert abs(Q[:, 0, 0].mean()) < 5 * 0.5 / math.sqrt(4000)
    assert abs(Q[:, 0, 0].var() - 0.25) < 0.03
    positive = (np.linalg.det(Q) > 0).mean()
    assert abs(positive - 0.5) < 5 * 0.5 / math.sqrt(4000)
    other = scipy.stats.ortho_group(4, seed=0).rvs(4000)
    assert scipy.stats.ks_2samp(Q[:, 1, 2], other[:, 1, 2]).pvalue > 1e-3


@pytest.mark.parametrize("shape", [(4, 4), (6, 3), (3, 6), (2, 5, 5)], ids=str)
def test_orthogonal_is_the_factor_of_a_gaussian_matrix_whose_r_has_a_positive_diagonal(shape, rng):
    """G = QR with R upper triangular and a positive diagonal has one solution; for a wide layer W is Qᵀ."""
    W = init.orthogonal(shape, rng=np.random.default_rng(3))
    Q = W if shape[-2] >= shape[-1] else W.mT
    G = np.random.default_rng(3).standard_normal(Q.shape)
    R = Q.mT @ G
    np.testing.assert_allclose(R, np.triu(R), atol=1e-12)
    assert (np.diagonal(R, axis1=-2, axis2=-1) > 0).all()


def test_plain_qr_is_not_uniform(rng):
    """Householder's QR of a Gaussian 4 × 4 matrix: Q₀₀ = −|g₀₀|/‖g‖, whose mean is −4/(3π) = −0.424, and det Q = −1."""
    Q, _ = np.linalg.qr(rng.standard_normal((100_000, 4, 4)))
    error = Q[:, 0, 0].std() / math.sqrt(len(Q))
    assert abs(Q[:, 0, 0].mean() + 4 / (3 * math.pi)) < 5 * error
    np.testing.assert_allclose(np.linalg.det(Q[:1000]), -1)


def test_an_orthogonal_layer_that_narrows_keeps_as_many_directions_as_it_has_units_and_loses_the_rest(rng):
    W = init.orthogonal((50, 20), rng=rng)
    X = rng.normal(size=(1000, 50))
    assert np.linalg.matrix_rank(X @ W) == 20
    np.testing.assert_allclose(np.linalg.norm(X @ W @ W.T @ W, axis=1), np.linalg.norm(X @ W, axis=1))
    assert abs((np.linalg.norm(X @ W, axis=1) ** 2).mean() / (np.linalg.norm(X, axis=1) ** 2).mean() - 20 / 50) < 0.02


def test_an_orthogonal_layer_that_widens_shrinks_each_units_mean_square_by_n_in_over_n_out(rng):
    X = rng.normal(size=(1000, 50))
    Y = X @ init.orthogonal((50, 200), rng=rng)
    np.testing.assert_allclose(np.linalg.norm(Y, axis=1), np.linalg.norm(X, axis=1))
    assert abs((Y**2).mean() / (X**2).mean() - 50 / 200) < 1e-9


@pytest.mark.parametrize("shape", [(784, 256), (20, 300), (15, 4), (3, 30, 20)], ids=str)
def test_sparse_has_exactly_k_links_into_each_unit(shape, rng):
    W = init.sparse(shape, rng=rng)
    assert np.array_equal((W != 0).sum(axis=-2), np.full((*shape[:-2], shape[-1]), 15))


def test_sparse_links_are_normal_and_at_random_places(rng):
    W = init.sparse((100, 4000), rng=rng, k=5, std=2.0)
    assert_moments(W[W != 0], 0, 4, 3)
    links_of_an_input = (W != 0).sum(axis=1)  # 4000 units, each with a chance of 5/100
    assert np.abs(links_of_an_input - 200).max() < 5 * math.sqrt(4000 * 0.05 * 0.95)
    W = init.sparse((100, 4000), rng=rng)
    assert_moments(W[W != 0], 0, 1, 3)


def test_sparse_may_have_one_link_or_all(rng):
    for k in (1, 20):
        assert ((init.sparse((20, 30), rng=rng, k=k) != 0).sum(axis=0) == k).all()


def test_hadamard_is_scipys():
    for p in range(5):
        assert np.array_equal(init.hadamard(p), scipy.linalg.hadamard(2**p))


def test_zero_is_the_identity_cut_off_and_a_hadamard_matrix_where_the_layer_widens(rng):
    assert np.array_equal(init.zero((6, 4), rng=rng), np.eye(6, 4))
    assert np.array_equal(init.zero((4, 4), rng=rng), np.eye(4))
    W = init.zero((3, 8), rng=rng)  # p = 3, c = 2^(−1)
    assert np.array_equal(W, 0.5 * scipy.linalg.hadamard(8)[:3])
    assert init.zero((2, 5, 6), rng=rng).shape == (2, 5, 6)
    assert np.linalg.matrix_rank(init.zero((5, 6), rng=rng)) == 5


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_the_bounds_of_siren_are_those_of_the_paper(shape, rng):
    n_in = shape[-2]
    assert_uniform(init.siren_first(shape, rng=rng), -1 / n_in, 1 / n_in)
    bound = math.sqrt(6 / n_in) / 30
    assert_uniform(init.siren_hidden(shape, rng=rng), -bound, bound)
    assert_uniform(init.siren_hidden(shape, rng=rng, omega=1.0), -30 * bound, 30 * bound)


def test_a_network_of_sines_settles_at_the_variance_q_equals_1_minus_exp_of_minus_2q(rng):
    """At any depth the variance is near the 1 that the paper aims for, and nearer to the fixed point 0.797."""
    fixed = meanfield.fixed_point(np.sin, sigma_w=math.sqrt(2))
    assert math.isclose(fixed, 1 - math.exp(-2 * fixed), rel_tol=1e-9)
    assert abs(fixed - 0.797) < 0.001
    X = np.sin(30 * (rng.uniform(-1, 1, (2000, 2)) @ init.siren_first((2, 512), rng=rng)))
    for layer in range(8):
        argument = 30 * (X @ init.siren_hidden((512, 512), rng=rng))
        assert abs(argument.var() - (1 if layer == 0 else fixed)) < 0.15
        X = np.sin(argument)


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_edge_of_chaos_has_for_relu_the_variance_of_hes_rule_and_no_biases(shape, rng):
    assert_moments(init.edge_of_chaos(shape, rng=rng), 0, 2 / shape[-2], 3)
    assert (init.edge_of_chaos_bias(shape[-1:], fan_in=shape[-2], rng=rng) == 0).all()


def test_edge_of_chaos_for_tanh_draws_weights_and_biases_with_the_deviations_of_the_theory(rng):
    sigma_w, sigma_b = meanfield.edge_of_chaos(Tanh(), q=0.5)
    W = init.edge_of_chaos((400, 300), rng=rng, phi=Tanh(), q=0.5)
    b = init.edge_of_chaos_bias((20_000,), fan_in=400, rng=rng, phi=Tanh(), q=0.5)
    assert_moments(W, 0, sigma_w**2 / 400, 3)
    assert_moments(b, 0, sigma_b**2, 3)


def test_with_dropout_edge_of_chaos_has_smaller_weights_and_the_same_biases(rng):
    assert_moments(init.edge_of_chaos((400, 300), rng=rng, dropout=0.2), 0, 1.6 / 400, 3)
    _, sigma_b = meanfield.edge_of_chaos(Tanh(), q=0.5)
    b = init.edge_of_chaos_bias((20_000,), fan_in=400, rng=rng, phi=Tanh(), q=0.5, dropout=0.2)
    assert_moments(b, 0, sigma_b**2, 3)


def test_edge_of_chaos_says_where_it_is_stable_for_gelu_and_takes_that(rng):
    for scheme in (init.edge_of_chaos, partial(init.edge_of_chaos_bias, fan_in=400)):
        with pytest.raises(ValueError, match=r"at q = 1 is unstable, .* q = 4 is stable"):
            scheme((400, 300), rng=rng, phi=GELU())
    sigma_w, _ = meanfield.edge_of_chaos(GELU(), q=4.0)
    assert_moments(init.edge_of_chaos((400, 300), rng=rng, phi=GELU(), q=4.0), 0, sigma_w**2 / 400, 3)


@pytest.mark.parametrize(
    "call",
    [
        lambda rng: init.orthogonal((2, 3), rng=rng, gain=math.nan),
        lambda rng: init.sparse((20, 3), rng=rng, std=-1.0),
        lambda rng: init.sparse((14, 3), rng=rng),
        lambda rng: init.sparse((14, 3), rng=rng, k=0),
        lambda rng: init.siren_hidden((2, 3), rng=rng, omega=0.0),
        lambda rng: init.edge_of_chaos((2, 3), rng=rng, dropout=1.0),
        lambda rng: init.edge_of_chaos_bias((3,), fan_in=2, rng=rng, dropout=1.0),
    ],
)
def test_impossible_arguments_are_refused_in_one_sentence(call, rng):
    with pytest.raises(ValueError, match=r"^expected .*, got "):
        call(rng)
