"""Initializations that need the data or the network: each keeps its promise on images, or changes nothing."""

import itertools
import math
import pickle
import re

import numpy as np
import pytest

from scratchnet import init
from scratchnet.init.data_dependent import gradient_ratios
from scratchnet.layers import GELU, Dropout, LeakyReLU, Linear, ReLU, Sigmoid, Tanh
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network, mlp
from scratchnet.normalization import BatchNorm, LayerNorm

SIZES = [196, 48, 32, 10]
DTYPES = pytest.mark.parametrize("dtype", [np.float32, np.float64])
REPLICAS = pytest.mark.parametrize("replicas", [(), (3,), (2, 2)], ids=str)


@pytest.fixture(scope="module")
def images(dataset):
    return dataset.images[:1000]


@pytest.fixture(scope="module")
def X(images):
    """Every other row and column of the images, for speed."""
    return np.ascontiguousarray(images.reshape(-1, 28, 28)[:, ::2, ::2]).reshape(-1, 196)


@pytest.fixture(scope="module")
def labels(dataset):
    return dataset.labels[:1000]


def he(sizes=SIZES, seed=0, **settings):
    return mlp(sizes, **settings).apply(init.linear(init.he_normal, rng=np.random.default_rng(seed)))


def linears(network):
    return [layer for layer in network.layers if isinstance(layer, Linear)]


def outputs(network, X):
    """What each Linear layer returns for X."""
    found = []
    for layer in network.layers:
        X = layer.forward(X)
        if isinstance(layer, Linear):
            found.append(X.astype(np.float64))
    return found


# --- lsuv -----------------------------------------------------------------------------------------------------


@DTYPES
@REPLICAS
@pytest.mark.parametrize("activation", [ReLU, Tanh, Sigmoid])
def test_lsuv_gives_every_layer_of_every_replica_variance_1(activation, replicas, dtype, X, rng):
    network = mlp(SIZES, activation=activation, replicas=replicas, dtype=dtype)
    network.theta[...] = 7  # all of this is overwritten, the biases too
    init.lsuv(network, X, rng=rng)
    for Y in outputs(network, X):
        np.testing.assert_allclose(Y.var(axis=(-2, -1)), np.ones(replicas), atol=0.05)
    assert all((layer.b == 0).all() for layer in linears(network))


def test_lsuv_leaves_the_weights_orthogonal_up_to_scale(X, rng):
    network = mlp(SIZES, dtype=np.float64)
    init.lsuv(network, X, rng=rng)
    for layer in linears(network):
        G = layer.W.T @ layer.W
        np.testing.assert_allclose(G, G[0, 0] * np.eye(len(G)), atol=1e-12)


def test_lsuv_scales_only_what_is_outside_its_tolerance(X, rng):
    network = mlp(SIZES)
    init.lsuv(network, X, rng=rng, tolerance=1e9)
    for layer in linears(network):
        np.testing.assert_allclose(layer.W.T @ layer.W, np.eye(layer.W.shape[1]), atol=1e-5)
    init.lsuv(network, X, rng=rng, tolerance=0)
    assert all(abs(Y.var() - 1) < 1e-5 for Y in outputs(network, X))


@pytest.mark.parametrize(("variance", "after"), [(0.94, 1), (0.96, 0.96), (1.04, 1.04), (1.06, 1)])
def test_lsuv_leaves_a_variance_within_its_tolerance_alone(variance, after, rng):
    """A square orthogonal W keeps the variance of centred images."""
    X = rng.normal(size=(50, 8))
    X -= X.mean(axis=0)
    X *= math.sqrt(variance / (X**2).mean())
    network = mlp([8, 8], dtype=np.float64)
    init.lsuv(network, X, rng=rng)
    assert network.forward(X).var() == pytest.approx(after, rel=1e-9)


# --- weight_norm ----------------------------------------------------------------------------------------------


@DTYPES
@REPLICAS
@pytest.mark.parametrize("activation", [ReLU, Tanh])
def test_weight_norm_gives_every_unit_mean_0_and_variance_1(activation, replicas, dtype, X, rng):
    network = mlp(SIZES, activation=activation, replicas=replicas, dtype=dtype)
    init.weight_norm(network, X, rng=rng)
    for Y in outputs(network, X):
        np.testing.assert_allclose(Y.mean(axis=-2), np.zeros((*replicas, Y.shape[-1])), atol=1e-5)
        np.testing.assert_allclose(Y.std(axis=-2), np.ones((*replicas, Y.shape[-1])), atol=1e-5)


def test_weight_norm_takes_images_of_any_scale(X, rng):
    for scale in (1e-4, 1e4):
        network = mlp(SIZES)
        init.weight_norm(network, np.float32(scale) * X, rng=rng)
        for Y in outputs(network, np.float32(scale) * X):
            np.testing.assert_allclose(Y.std(axis=0), 1, atol=1e-5)


def test_sums_over_many_images_in_float32_are_taken_in_float64(rng):
    """NumPy adds float32 rows one after the other, so a mean of 30 over 200,000 of them would be off by thousandths."""
    X = (30 + rng.normal(size=(200_000, 4))).astype(np.float32)
    for prepare in (init.weight_norm, lambda network, X, rng: init.pca_first_layer(network, X)):
        network = mlp([4, 3, 2]).apply(init.linear(init.he_normal, rng=rng))
        prepare(network, X, rng=rng)
        Y = network.layers[0].forward(X).astype(np.float64)
        np.testing.assert_allclose(Y.mean(axis=0), 0, atol=1e-4)
        np.testing.assert_allclose(Y.std(axis=0), 1, atol=1.5e-5)


# --- krahenbuhl -----------------------------------------------------------------------------------------------


def ratios(network, X, rng):
    """√(Σ_i ‖dW_k‖²)/‖W_k‖ of each layer, image by image, for a random linear loss."""
    n, classes = len(X), network.layers[-1].b.shape[-1]
    dZ = rng.standard_normal((*network.replicas, n, classes)).astype(network.theta.dtype)
    squares = 0
    for i in range(n):
        network.forward(X[i : i + 1])
        network.backward(dZ[..., i : i + 1, :])
        squares = squares + np.array([(layer.dW.astype(float) ** 2).sum((-2, -1)) for layer in linears(network)])
    return np.sqrt(squares / np.array([(layer.W**2).sum((-2, -1)) for layer in linears(network)]))


@DTYPES
@REPLICAS
@pytest.mark.parametrize("activation", [ReLU, LeakyReLU])
def test_krahenbuhl_gives_all_layers_equal_ratios_of_gradient_to_weight(activation, replicas, dtype, X):
    X = X[:300]
    network = mlp([196, 64, 96, 32, 10], activation=activation, replicas=replicas, dtype=dtype)
    init.krahenbuhl(network, X, rng=np.random.default_rng(0))
    rng = np.random.default_rng(0)  # for the same random loss, which is drawn after the weights
    for layer in linears(network):
        init.normal(layer.W.shape, rng=rng)
    C = ratios(network, X, rng)
    np.testing.assert_allclose(C, np.broadcast_to(C[0], C.shape), rtol=1e-5)
    C = ratios(network, X, rng)  # for another random loss they are nearly equal
    assert (C.max(axis=0) / C.min(axis=0)).max() < 1.1


@DTYPES
def test_gradient_ratios_have_the_networks_dtype(dtype, X, rng):
    assert gradient_ratios(he(dtype=dtype), X.astype(dtype), rng).dtype == dtype


def test_without_krahenbuhl_the_ratios_differ(X, rng):
    network = mlp([196, 64, 96, 32, 10])
    init.weight_norm(network, X[:300], rng=rng)
    C = ratios(network, X[:300], rng)
    assert C.max() / C.min() > 1.5


@REPLICAS
def test_krahenbuhl_centres_units_and_scales_those_of_a_layer_alike(replicas, X, rng):
    network = mlp(SIZES, replicas=replicas)
    init.krahenbuhl(network, X, rng=rng)
    for Y in outputs(network, X):
        scale = Y.std(axis=-2).mean(axis=-1)[..., None]
        assert (np.abs(Y.mean(axis=-2)) < 1e-4 * scale).all()
        np.testing.assert_allclose(Y.std(axis=-2) / scale, np.ones((*replicas, Y.shape[-1])), rtol=1e-4)
    np.testing.assert_allclose(Y.std(axis=-2), np.ones((*replicas, 10)), rtol=1e-4)  # and the logits' scale is 1


def test_krahenbuhl_starts_with_principal_components_where_there_are_enough_images(X, rng):
    network = mlp(SIZES)
    init.krahenbuhl(network, X, rng=rng)
    Y = outputs(network, X)[0]
    np.testing.assert_allclose(np.corrcoef(Y.T), np.eye(48), atol=1e-3)
    init.krahenbuhl(network, X[:49], rng=rng)  # 48 components, just enough
    np.testing.assert_allclose(np.corrcoef(outputs(network, X[:49])[0].T), np.eye(48), atol=1e-2)
    init.krahenbuhl(network, X[:40], rng=rng)  # at most 39 components, too few for the 48 units
    Y = outputs(network, X[:40])[0]
    assert np.abs(np.corrcoef(Y.T) - np.eye(48)).max() > 0.1


# --- pca_first_layer ------------------------------------------------------------------------------------------


@DTYPES
@REPLICAS
def test_pca_makes_the_first_layers_outputs_white(replicas, dtype, X):
    network = he(replicas=replicas, dtype=dtype)
    before = network.theta.copy()
    init.pca_first_layer(network, X, epsilon=0)
    for Y in outputs(network, X)[0].reshape(-1, 1000, 48):
        np.testing.assert_allclose(Y.mean(axis=0), np.zeros(48), atol=1e-4)
        np.testing.assert_allclose(np.cov(Y.T, bias=True), np.eye(48), atol=1e-4)
    others = 196 * 48 + 48
    assert np.array_equal(network.theta[..., others:], before[..., others:])


def test_pca_takes_the_directions_of_largest_variance_first(X):
    network = he(dtype=np.float64)
    init.pca_first_layer(network, X, epsilon=0)
    _, s, Vt = np.linalg.svd((X - X.mean(axis=0, dtype=np.float64)), full_matrices=False)
    W = network.layers[0].W
    np.testing.assert_allclose(1 / np.linalg.norm(W, axis=0), s[:48] / math.sqrt(1000), rtol=1e-6)
    cosines = (W / np.linalg.norm(W, axis=0) * Vt[:48].T).sum(axis=0)
    np.testing.assert_allclose(np.abs(cosines), 1, rtol=1e-6)
    assert (W.sum(axis=0) >= 0).all()


def test_epsilon_shrinks_the_variance_of_component_j_to_lambda_over_lambda_plus_epsilon(X):
    network = he(dtype=np.float64)
    eigenvalues = np.linalg.eigvalsh(np.cov(X.astype(np.float64).T, bias=True))[::-1][:48]
    for settings, epsilon in (({"epsilon": 0.5}, 0.5), ({}, 1e-5)):
        init.pca_first_layer(network, X, **settings)
        shrunk = eigenvalues / (eigenvalues + epsilon)
        np.testing.assert_allclose(outputs(network, X)[0].var(axis=0), shrunk, rtol=1e-6)


def test_pca_may_take_as_many_units_as_there_are_directions(X):
    network = he(dtype=np.float64)
    init.pca_first_layer(network, X[:49], epsilon=0)
    np.testing.assert_allclose(np.cov(outputs(network, X[:49])[0].T, bias=True), np.eye(48), atol=1e-6)


# --- hinge_bias -----------------------------------------------------------------------------------------------


@DTYPES
@REPLICAS
def test_hinge_bias_puts_every_hidden_units_kink_on_an_image(replicas, dtype, X, rng):
    network = he(replicas=replicas, dtype=dtype)
    before = [layer.W.copy() for layer in linears(network)]
    network.layers[-1].b[...] = 3
    init.hinge_bias(network, X, rng=rng)
    *hidden, _ = outputs(network, X)
    for Y in hidden:
        assert (np.abs(Y).min(axis=-2) == 0).all()
        assert (np.abs(Y).argmin(axis=-2) != np.abs(Y).argmin(axis=-2)[..., :1]).any()  # not all the same image
        assert ((Y > 0).any(axis=-2)).mean() > 0.98  # hardly a unit is dead
    assert all(np.array_equal(layer.W, W) for layer, W in zip(linears(network), before, strict=True))
    assert (network.layers[-1].b == 3).all()


# --- antisymmetric --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [ReLU, Tanh, GELU])
def test_an_antisymmetric_network_returns_0_and_learns(activation, images, labels, rng):
    network = mlp([784, 256, 128, 10], activation=activation)
    init.antisymmetric(network, rng=rng)
    assert np.abs(network.forward(images)).max() < 1e-5
    loss = CrossEntropy()
    assert loss.forward(network.forward(images), labels) == pytest.approx(math.log(10))
    network.backward(loss.backward())
    for layer in linears(network):
        assert (np.abs(layer.dW).max(axis=0) > 0).mean() > 0.9


@DTYPES
@pytest.mark.parametrize("width", [2, 10, 22, 38])
def test_with_any_even_widths_an_antisymmetric_network_returns_0_up_to_rounding(width, dtype, images, rng):
    network = mlp([784, width, 40 - width, width, 10], dtype=dtype)
    init.antisymmetric(network, rng=rng)
    for n in (1, 2, 3, 7, 16, 100):
        assert np.abs(network.forward(images[:n])).max() < 100 * np.finfo(dtype).eps, n


@REPLICAS
def test_the_pairs_of_an_antisymmetric_network_differ_from_each_other_and_part_at_the_first_step(
    replicas, X, labels, rng
):
    network = mlp([196, 64, 32, 10], replicas=replicas)
    network.theta[...] = 7
    init.antisymmetric(network, rng=rng)
    for Y in outputs(network, X)[:2]:
        assert np.array_equal(Y[..., 0::2], Y[..., 1::2])
        assert not np.isclose(Y[..., 0], Y[..., 2]).all()
    assert np.abs(network.forward(X)).max() < 1e-5
    loss = CrossEntropy()
    loss.forward(network.forward(X), labels)
    network.backward(loss.backward())
    dW = network.layers[0].dW
    assert np.abs(dW).max() > 1e-3
    np.testing.assert_allclose(dW[..., 0::2], -dW[..., 1::2], atol=1e-6)


def test_an_antisymmetric_network_keeps_the_scale_of_its_scheme(rng):
    network = mlp([196, 512, 512, 10])
    init.antisymmetric(network, rng=rng)
    first, hidden, last = linears(network)
    assert first.W.var() == pytest.approx(2 / 196, rel=0.05)
    assert (hidden.W**2).sum(axis=0).mean() == pytest.approx(2, rel=0.05)  # n_in/2 inputs of variance 2/(n_in/2)
    assert last.W[0::2].var() == pytest.approx(2 / 256, rel=0.1)  # 2,560 weights: one standard error is 2.8 %


def test_the_copies_of_an_antisymmetric_network_are_what_its_scheme_draws(rng):
    """Plain doubling: the same half-wide layers, drawn in turn, in both copies; not rounded, not scaled."""
    drawn = np.random.default_rng(5)
    network = mlp([196, 64, 32, 10], dtype=np.float64)
    init.antisymmetric(network, rng=np.random.default_rng(5))
    first, hidden, last = linears(network)
    half = [init.he_normal(shape, rng=drawn) for shape in ((196, 32), (32, 16), (16, 10))]
    for copy in (0, 1):
        assert np.array_equal(first.W[:, copy::2], half[0])
        assert np.array_equal(hidden.W[copy::2, copy::2], half[1])
        assert (hidden.W[copy::2, 1 - copy :: 2] == 0).all()
        assert np.array_equal(last.W[copy::2], (-1) ** copy * half[2])


# --- looks_linear ---------------------------------------------------------------------------------------------


@DTYPES
@REPLICAS
def test_a_looks_linear_network_is_a_linear_map_with_orthonormal_columns(replicas, dtype, X, rng):
    network = mlp([196, 256, 128, 64, 10], replicas=replicas, dtype=dtype)
    network.theta[...] = 7
    init.looks_linear(network, rng=rng)
    first, *hidden, last = [layer.W for layer in linears(network)]
    blocks = [first[..., :128], *(W[..., : W.shape[-2] // 2, : W.shape[-1] // 2] for W in hidden), last[..., :32, :]]
    product = np.eye(196)
    for Q in blocks:
        identity = np.broadcast_to(np.eye(Q.shape[-1]), (*replicas, Q.shape[-1], Q.shape[-1]))
        np.testing.assert_allclose(Q.swapaxes(-1, -2) @ Q, identity, atol=1e-5)
        product = product @ Q
    np.testing.assert_allclose(network.forward(X), X @ product, atol=1e-4)


def test_a_looks_linear_network_keeps_lengths_through_50_layers(rng):
    network = mlp([20, *[40] * 50, 20])
    init.looks_linear(network, rng=rng)
    X = rng.normal(size=(30, 20)).astype(np.float32)
    np.testing.assert_allclose(np.linalg.norm(network.forward(X), axis=1), np.linalg.norm(X, axis=1), rtol=1e-4)
    dX = network.backward(X)
    np.testing.assert_allclose(np.linalg.norm(dX, axis=1), np.linalg.norm(X, axis=1), rtol=1e-4)


def test_a_looks_linear_network_without_hidden_layers_is_orthogonal(rng):
    network = mlp([196, 10])
    init.looks_linear(network, rng=rng)
    W = network.layers[0].W
    np.testing.assert_allclose(W.T @ W, np.eye(10), atol=1e-5)


# --- activations with parameters ------------------------------------------------------------------------------


class ScaledReLU(ReLU):
    """y = a·max(x, 0), where a is a learned scale that starts at 1: one for the layer, or one for each unit."""

    def __init__(self, units):
        self.params = {"a": len(units)}
        self.a, self.da = np.ones(units, np.float32), np.zeros(units, np.float32)

    def forward(self, X, train=False):
        return self.a * super().forward(X)

    def backward(self, dY):
        axes = (-2, -1) if self.da.ndim == 0 else -2
        np.sum(dY * self.Y, axis=axes, out=self.da)
        return super().backward(self.a * dY)


@pytest.mark.parametrize("units", [(), (48,)], ids=str)
@pytest.mark.parametrize("name", init.PREPARATIONS)
def test_an_activation_keeps_its_own_parameters(name, units, X, labels, rng):
    network = mlp([196, 48, 48, 10], activation=lambda: ScaledReLU(units))
    for layer in linears(network):
        layer.W[...] = layer.b[...] = 7
    init.PREPARATIONS[name](network, X, labels, rng=rng)
    for layer in network.layers:
        if isinstance(layer, ScaledReLU):
            assert (layer.a == 1).all()
            assert np.shares_memory(layer.a, network.theta)
    assert np.abs(network.layers[0].W).max() < 5
    Y = network.forward(X)
    if name == "antisymmetric":
        assert np.abs(Y).max() < 1e-4
    if name == "looks_linear":
        np.testing.assert_allclose(Y, X @ network.forward(np.eye(196, dtype=np.float32)), atol=1e-4)


class Cut:
    """max(x, 0) as a layer of a reader's own: nothing but what a network calls."""

    params: dict = {}

    def forward(self, X, train=False):
        self.X = X
        return np.maximum(X, 0)

    def backward(self, dY):
        return dY * (self.X > 0)


def test_an_activation_need_not_come_from_this_package(X, rng):
    network = mlp(SIZES, activation=Cut)
    init.lsuv(network, X, rng=rng)
    assert all(abs(Y.var() - 1) <= 0.05 for Y in outputs(network, X))


# --- zero_last_layer ------------------------------------------------------------------------------------------


@DTYPES
@REPLICAS
def test_a_zero_last_layer_starts_at_the_loss_ln_10(replicas, dtype, X, labels):
    network = he(replicas=replicas, dtype=dtype)
    others = network.theta[..., :-330].copy()
    init.zero_last_layer(network)
    assert (network.forward(X) == 0).all()
    assert CrossEntropy().forward(network.forward(X), labels) == pytest.approx(np.full(replicas, math.log(10)))
    assert np.array_equal(network.theta[..., :-330], others)


@REPLICAS
def test_a_zero_last_layer_with_the_prior_starts_at_the_entropy_of_the_labels(replicas, X, labels):
    labels = np.where((labels == 3) & (np.arange(1000) % 4 > 0), 5, labels)  # fewer of class 3
    network = he(replicas=replicas)
    init.zero_last_layer(network, labels)
    share = np.bincount(labels) / 1000
    loss = CrossEntropy()
    entropy = -(share * np.log(share)).sum()
    assert loss.forward(network.forward(X), labels) == pytest.approx(np.full(replicas, entropy))
    assert entropy < math.log(10) - 0.01
    np.testing.assert_allclose(loss.P[..., 0, :], np.broadcast_to(share, (*replicas, 10)), rtol=1e-5)


# --- all of them ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", init.PREPARATIONS)
def test_equal_seeds_agree_and_different_seeds_differ(name, X, labels):
    fill = init.PREPARATIONS[name]
    thetas = []
    for seed in (0, 0, 1):
        network = mlp(SIZES)
        fill(network, X, labels, rng=np.random.default_rng(seed))
        thetas.append(network.theta)
    assert np.array_equal(thetas[0], thetas[1])
    assert not np.array_equal(thetas[0], thetas[2])


@pytest.mark.parametrize("name", init.PREPARATIONS)
def test_a_stack_gives_each_replica_what_it_would_give_it_alone(name, X, labels):
    """With equal draws: one network alone, and a stack of two that gets the draws of that network twice."""
    fill = init.PREPARATIONS[name]
    alone, stack = mlp(SIZES), mlp(SIZES, replicas=(2,))
    fill(alone, X, labels, rng=np.random.default_rng(0))
    fill(stack, X, labels, rng=Twice(0))
    for replica in stack.theta:
        np.testing.assert_allclose(replica, alone.theta, rtol=1e-4, atol=1e-5)


class Twice:
    """A generator that draws for one network and returns the draws for two."""

    def __init__(self, seed):
        self.rng = np.random.default_rng(seed)

    def standard_normal(self, size):
        return np.stack([self.rng.standard_normal(size[1:])] * 2)

    def normal(self, mean, std, size):
        return np.stack([self.rng.normal(mean, std, size[1:])] * 2)

    def integers(self, high, size):
        return np.stack([self.rng.integers(high, size=size[1:])] * 2)


@pytest.mark.parametrize("name", init.PREPARATIONS)
def test_a_preparation_can_be_sent_to_a_worker_process_and_fills_every_weight(name, X, labels, rng):
    fill = pickle.loads(pickle.dumps(init.PREPARATIONS[name]))
    network = mlp(SIZES)
    network.theta[...] = np.inf
    for layer in linears(network):
        layer.W[...] = layer.b[...] = 1e3
    fill(network, X, labels, rng=rng)
    assert np.abs(network.theta).max() < 500


def test_nothing_is_dropped_while_a_network_is_prepared(X, labels):
    for fill in init.PREPARATIONS.values():
        plain, dropped = mlp(SIZES), mlp(SIZES, dropout=0.5, rng=np.random.default_rng(9))
        fill(plain, X, labels, rng=np.random.default_rng(0))
        fill(dropped, X, labels, rng=np.random.default_rng(0))
        assert np.array_equal(plain.theta, dropped.theta)


# --- failures -------------------------------------------------------------------------------------------------


def refuses(network, call, match):
    """`call()` raises ValueError with one sentence that matches, and the network is bit for bit what it was."""
    before = network.theta.tobytes()
    with pytest.raises(ValueError, match=match) as caught:
        call()
    message = str(caught.value)
    assert "\n" not in message
    assert not re.search(r"\.\s|\.$", message), message
    assert network.theta.tobytes() == before


NEEDS_X = ("lsuv", "weight_norm", "krahenbuhl", "pca", "hinge_bias")
NEEDS_VARIANCE = NEEDS_X[:3]


@pytest.mark.parametrize("name", NEEDS_X)
@pytest.mark.parametrize(
    ("make", "match"),
    [
        (lambda X: np.where(X == X[5, 75], np.nan, X), "expected finite images X"),
        (lambda X: np.where(X == X[5, 75], np.inf, X), "expected finite images X"),
        (lambda X: X[:, :195], r"\(n, 196\) with n ≥ 1, got \(1000, 195\)"),
        (lambda X: X[0], r"got \(196,\)"),
        (lambda X: X[:0], r"got \(0, 196\)"),
        (lambda X: X.reshape(-1, 14, 14), r"got \(1000, 14, 14\)"),
    ],
)
def test_images_of_another_shape_or_not_finite_are_refused(name, make, match, X, labels, rng):
    network = he()
    refuses(network, lambda: init.PREPARATIONS[name](network, make(X), labels, rng=rng), match)


@pytest.mark.parametrize("replicas", [(), (2,)], ids=str)
@pytest.mark.parametrize("name", NEEDS_VARIANCE)
def test_images_of_zeros_have_no_variance_to_scale(name, replicas, X, labels, rng):
    network = he(replicas=replicas)
    refuses(network, lambda: init.PREPARATIONS[name](network, X * 0, labels, rng=rng), "variance of 0")


@pytest.mark.parametrize("name", ["weight_norm", "krahenbuhl"])
def test_images_that_are_all_the_same_have_no_variance_to_scale(name, X, labels, rng):
    network = he()
    for same in (X[:1], np.repeat(X[:1], 50, axis=0)):
        refuses(network, lambda: init.PREPARATIONS[name](network, same, labels, rng=rng), "variance of 0")


@pytest.mark.parametrize("name", NEEDS_VARIANCE)
def test_images_too_large_for_float32_are_refused(name, X, labels, rng):
    network = he()
    refuses(network, lambda: init.PREPARATIONS[name](network, X * np.float32(3.4e38), labels, rng=rng), "not finite")


def test_lsuv_is_refused_where_units_are_dead(rng):
    """One hidden unit, images on a ray from the origin: it is dead for all of them, or for none."""
    X = np.outer(np.arange(1, 50), np.ones(3)).astype(np.float32)
    network = he([3, 1, 4])
    outcomes = set()
    for seed in range(20):
        before = network.theta.copy()
        try:
            init.lsuv(network, X, rng=np.random.default_rng(seed))
        except ValueError as error:
            assert "variance of 0" in str(error)
            assert np.array_equal(network.theta, before)
            outcomes.add("dead")
        else:
            assert all(abs(Y.var() - 1) <= 0.05 for Y in outputs(network, X))
            outcomes.add("alive")
    assert outcomes == {"dead", "alive"}


@pytest.mark.parametrize("tolerance", [-0.1, math.nan])
def test_lsuv_refuses_an_impossible_tolerance(tolerance, X, rng):
    network = he()
    refuses(network, lambda: init.lsuv(network, X, rng=rng, tolerance=tolerance), "expected a tolerance ≥ 0, got")


@pytest.mark.parametrize("epsilon", [-1e-3, math.nan, math.inf])
def test_pca_refuses_an_impossible_epsilon(epsilon, X):
    network = he()
    refuses(network, lambda: init.pca_first_layer(network, X, epsilon=epsilon), "expected a finite epsilon ≥ 0, got")


@pytest.mark.parametrize(
    ("units", "n", "match"),
    [(800, 1000, "has 800 units"), (48, 48, "varies in 47 directions"), (48, 1, "varies in 0 directions")],
)
def test_pca_refuses_more_units_than_directions(units, n, match, X, labels, rng):
    network = he([196, units, 10])
    refuses(network, lambda: init.pca_first_layer(network, X[:n]), match)
    refuses(network, lambda: init.PREPARATIONS["pca"](network, X[:n], labels, rng=rng), match)


def test_pca_finds_no_direction_in_images_of_one_grey(X):
    network = he()
    refuses(network, lambda: init.pca_first_layer(network, np.full_like(X, 0.3)), "varies in 0 directions")


@pytest.mark.parametrize(("n", "n_in"), [(3, 196), (1000, 196), (20_000, 4)])
def test_pca_tells_a_direction_from_rounding(n, n_in, rng):
    line = np.outer(rng.normal(size=n), rng.normal(size=n_in))
    network = he([n_in, 3, 10], dtype=np.float64)
    refuses(network, lambda: init.pca_first_layer(network, line), "varies in 1 directions")
    plane = line + 1e-6 * np.outer(rng.normal(size=n), rng.normal(size=n_in))
    refuses(network, lambda: init.pca_first_layer(network, plane), "varies in 2 directions")


def test_hinge_bias_refuses_a_network_without_weights_or_with_infinite_ones(X, rng):
    network = mlp(SIZES)
    refuses(network, lambda: init.hinge_bias(network, X, rng=rng), "initialize the network first")
    network = he()
    network.layers[2].W[:, 3] = 0  # one unit among others
    refuses(network, lambda: init.hinge_bias(network, X, rng=rng), "initialize the network first")
    network = he()
    network.layers[0].W[3, 3] = np.inf
    refuses(network, lambda: init.hinge_bias(network, X, rng=rng), "infinite or NaN")


@pytest.mark.parametrize("name", ["antisymmetric", "looks_linear"])
@pytest.mark.parametrize("sizes", [[196, 47, 10], [196, 48, 31, 10]])
@pytest.mark.parametrize("replicas", [(), (2,)], ids=str)
def test_odd_hidden_widths_cannot_be_paired(name, sizes, replicas, X, labels, rng):
    network, odd = he(sizes, replicas=replicas), re.escape(str(sizes[1:-1]))
    match = f"^{name} pairs hidden units, so it expected even hidden widths, got {odd}$"
    refuses(network, lambda: init.PREPARATIONS[name](network, X, labels, rng=rng), match)


def test_antisymmetric_refuses_a_network_without_hidden_units(rng):
    network = he([196, 10])
    refuses(network, lambda: init.antisymmetric(network, rng=rng), "the network has none")


def test_antisymmetric_refuses_a_scheme_that_ignores_the_shape(rng):
    network = he()
    scheme = lambda shape, *, rng: np.ones(shape[-1])  # noqa: E731
    refuses(network, lambda: init.antisymmetric(network, rng=rng, scheme=scheme), r"\(24,\), expected \(196, 24\)")


@pytest.mark.parametrize("name", ["looks_linear", "krahenbuhl"])
def test_what_is_proved_for_relu_is_refused_for_tanh(name, X, labels, rng):
    network = he(activation=Tanh, dropout=0.1, rng=rng)
    match = f"^{name} needs the activation ReLU.*network has Tanh"
    refuses(network, lambda: init.PREPARATIONS[name](network, X, labels, rng=rng), match)


@pytest.mark.parametrize(
    "change",
    [
        lambda labels: np.where(labels == 3, 4, labels),  # one class does not occur
        lambda labels: np.where(labels == 3, 10, labels),
        lambda labels: np.concatenate([labels, [10]]),
        lambda labels: np.concatenate([labels, [-1]]),
        lambda labels: labels + 0.5,
        lambda labels: labels[:0],
    ],
)
def test_zero_last_layer_refuses_labels_that_give_no_prior(change, X, labels, rng):
    network = he()
    for call in (
        init.PREPARATIONS["zero_last"],
        lambda network, X, labels, rng: init.zero_last_layer(network, labels),
    ):
        refuses(network, lambda: call(network, X, change(labels), rng=rng), "every class among them")


@pytest.mark.parametrize("name", init.PREPARATIONS)
def test_a_network_that_is_no_mlp_is_refused(name, X, labels, rng):
    first, activation, *inner, last = he().layers
    for layers, match in (
        ([Dropout(0.1, rng=rng), first, activation, last], "begins and ends with a Linear layer, got Dropout … Linear"),
        ([first, activation], "begins and ends with a Linear layer, got Linear … ReLU"),
        ([first, activation, Network(inner), last], "got a network with a Network, a layer of layers"),
    ):
        network = Network(layers)
        refuses(network, lambda: init.PREPARATIONS[name](network, X, labels, rng=rng), match)


def test_an_interrupt_leaves_the_network_as_it_was(X, rng):
    network = he()
    before = network.theta.copy()
    layer = network.layers[2]
    original, calls = layer.forward, itertools.count()

    def forward(X):
        if next(calls) == 1:
            raise KeyboardInterrupt
        return original(X)

    layer.forward = forward
    with pytest.raises(KeyboardInterrupt):
        init.weight_norm(network, X, rng=rng)
    assert np.array_equal(network.theta, before)


# --- normalization ------------------------------------------------------------------------------------------------


def normalized(kind, **settings):
    return mlp((20, 16, 12, 10), normalization=kind, dtype=np.float64, **settings)


def images_and_labels(rng):
    return rng.random((200, 20)), np.arange(200) % 10


def test_with_layernorm_lsuv_and_weight_norm_keep_their_promises(rng):
    X, _ = images_and_labels(rng)
    for prepare in (init.lsuv, init.weight_norm):
        network = normalized(LayerNorm)
        prepare(network, X, rng=rng)
        Y = X
        for layer in network.layers:
            Y = layer.forward(Y)
            if isinstance(layer, Linear):
                assert abs(Y.var() - 1) < 0.05
                if prepare is init.weight_norm:
                    np.testing.assert_allclose(Y.std(axis=0), 1, rtol=1e-6)
    assert (network.layers[1].gamma == 1).all()


@pytest.mark.parametrize("kind", [LayerNorm, BatchNorm])
@pytest.mark.parametrize("train", [False, True])
def test_with_normalization_an_antisymmetric_network_is_still_0_and_zero_last_still_starts_at_the_entropy(
    rng, kind, train
):
    X, labels = images_and_labels(rng)
    network = normalized(kind)
    init.antisymmetric(network, rng=rng)
    np.testing.assert_allclose(network.forward(X, train=train), 0, atol=1e-12)
    init.zero_last_layer(network, labels)
    np.testing.assert_allclose(network.forward(X, train=train), np.log(0.1))


@pytest.mark.parametrize(
    ("name", "kind", "message"),
    [
        ("lsuv", BatchNorm, "the network has BatchNorm, whose running statistics have seen no image yet"),
        ("weight_norm", BatchNorm, "the network has BatchNorm, whose running statistics have seen no image yet"),
        ("hinge_bias", BatchNorm, "hinge_bias lets kinks pass through images, and a normalization would move them"),
        ("hinge_bias", LayerNorm, "hinge_bias lets kinks pass through images, and a normalization would move them"),
        ("krahenbuhl", LayerNorm, "needs the activation ReLU or LeakyReLU, but the network has LayerNorm"),
        ("looks_linear", BatchNorm, "needs the activation ReLU, but the network has BatchNorm"),
    ],
)
def test_what_normalization_would_undo_is_refused_and_nothing_is_changed(rng, name, kind, message):
    X, labels = images_and_labels(rng)
    network = normalized(kind)
    network.theta[...] = rng.normal(size=network.theta.shape)
    before = network.theta.copy()
    with pytest.raises(ValueError, match=message):
        init.PREPARATIONS[name](network, X, labels, rng=rng)
    assert np.array_equal(network.theta, before)
