"""Residual blocks, their scalars, and the network that is built from them."""

import copy

import numpy as np
import pytest
from oracle import torch

from scratchnet import init
from scratchnet.gradcheck import gradcheck
from scratchnet.init.residual import fixup
from scratchnet.layers import Dropout, Linear, ReLU, Tanh, parameters
from scratchnet.network import Network, mlp
from scratchnet.normalization import BatchNorm, LayerNorm
from scratchnet.residual import Residual, Scale, Shift, residual_mlp

R = 3
SIZES = [8, 6, 6, 6, 5, 6, 4]  # two blocks of two: 6 → 6 → 6 and 6 → 5 → 6


@pytest.fixture
def X(rng):
    return rng.normal(size=(7, 8))


def linear(rng, n_in, n_out, lead=()):
    return Linear(rng.normal(size=(*lead, n_in, n_out)), rng.normal(size=(*lead, n_out)))


# --- the layers ---------------------------------------------------------------------------------------------------


def test_a_block_is_X_plus_f_of_X_and_its_gradient_passes_by(rng):
    f = [linear(rng, 4, 5), Tanh(), linear(rng, 5, 4)]
    block, alone = Residual(copy.deepcopy(f)), Network(f)
    X, dY = rng.normal(size=(2, 7, 4))
    np.testing.assert_allclose(block.forward(X), X + alone.forward(X))
    np.testing.assert_allclose(block.backward(dY), dY + alone.backward(dY))


@pytest.mark.parametrize("lead", [(), (R,), (2, R)], ids=["single", "replicas", "two replica axes"])
@pytest.mark.parametrize("kind", [Scale, Shift])
def test_gradients_of_the_scalars_equal_finite_differences(rng, kind, lead):
    layer = kind(rng.normal(size=lead))
    errors = gradcheck(layer, rng.normal(size=(*lead, 7, 4)), rng=rng)
    assert errors.keys() == {"X", "alpha" if kind is Scale else "beta"}
    gradcheck(layer, rng.normal(size=(7, 4)), rng=rng)  # X shared by the replicas


def test_a_block_equals_pytorch(rng):
    """Y = X + α·f(X + β) with f a Linear layer."""
    W, b, alpha, beta = rng.normal(size=(4, 4)), rng.normal(size=4), np.array(0.7), np.array(-0.3)
    X, dY = rng.normal(size=(2, 7, 4))
    block = Residual([Shift(beta), Linear(W, b), Scale(alpha)])
    Y, dX = block.forward(X), block.backward(dY)
    x, w, bias, a, s = (torch.tensor(A, requires_grad=True) for A in (X, W, b, alpha, beta))
    y = x + a * ((x + s) @ w + bias)
    y.backward(torch.tensor(dY))
    np.testing.assert_allclose(Y, y.detach().numpy(), rtol=1e-12)
    shift, middle, scale = block.layers
    for ours, theirs in [(dX, x), (middle.dW, w), (middle.db, bias), (scale.dalpha, a), (shift.dbeta, s)]:
        np.testing.assert_allclose(ours, theirs.grad.numpy(), rtol=1e-10, atol=1e-12)


def test_dropout_in_a_branch_drops_in_training_alone(rng):
    block, X = Residual([Dropout(0.5, rng=rng)]), np.ones((7, 40))
    assert np.array_equal(block.forward(X), 2 * X)
    assert set(block.forward(X, train=True).flat) == {1.0, 3.0}


def test_a_branch_that_changes_the_shape_is_refused(rng):
    """With one unit X + f(X) would be broadcast without a word."""
    with pytest.raises(ValueError, match=r"must keep the shape of its input, got \(7, 4\) → \(7, 1\)"):
        Residual([linear(rng, 4, 1)]).forward(rng.normal(size=(7, 4)))


def test_what_is_no_layer_is_refused_in_a_block_too(rng):
    with pytest.raises(ValueError, match="layer 1 is the class ReLU: give an object of it"):
        Network([linear(rng, 4, 4), Residual([ReLU, linear(rng, 4, 4)])])


# --- the network --------------------------------------------------------------------------------------------------


def test_residual_mlp_has_the_layers_of_the_mlp_and_a_skip_around_every_two(rng, X):
    settings = {"activation": Tanh, "normalization": LayerNorm, "dropout": 0.1, "rng": rng}
    network, plain = residual_mlp(SIZES, **settings), mlp(SIZES, **settings)
    first, one, two, *rest = network.layers
    assert [type(layer) for layer in (one, two)] == [Residual, Residual]
    inside = [first, *one.layers, *two.layers, *rest]
    assert [type(layer) for layer in inside] == [type(layer) for layer in plain.layers]
    assert [A.shape for _, A, _ in parameters(network)] == [A.shape for _, A, _ in parameters(plain)]
    group = [LayerNorm, Tanh, Dropout, Linear]
    assert [type(layer) for layer in one.layers] == group * 2
    assert [type(layer) for layer in rest] == group


def test_without_its_branches_it_computes_what_the_rest_of_its_layers_compute(X, rng):
    network = residual_mlp(SIZES, alpha=0.0, dtype=float).apply(init.linear(init.he_normal, rng=rng))
    first, *_, activation, last = network.layers
    np.testing.assert_array_equal(network.forward(X), last.forward(activation.forward(first.forward(X))))


def test_alpha_and_shifts_stand_where_skipinit_rezero_and_fixup_have_them():
    network = residual_mlp(SIZES, alpha=1, shifts=True)
    first, one, two, *rest = network.layers
    assert isinstance(first, Linear)
    for block in (one, two):
        assert [type(y) for y in block.layers] == [Shift, ReLU, Shift, Linear] * 2 + [Scale]
        assert block.layers[-1].alpha == 1
        assert block.layers[0].beta == 0
    assert [type(y) for y in rest] == [Shift, ReLU, Shift, Linear]
    assert network.theta.dtype == np.float32
    assert [type(y) for y in residual_mlp(SIZES, alpha=0).layers[1].layers] == [ReLU, Linear] * 2 + [Scale]


@pytest.mark.parametrize("lead", [(), (R,)], ids=["single", "replicas"])
@pytest.mark.parametrize(
    "settings",
    [{}, {"alpha": 0.5}, {"alpha": 1.0, "shifts": True}, {"normalization": BatchNorm}, {"normalization": LayerNorm}],
    ids=["plain", "alpha", "fixup", "BatchNorm", "LayerNorm"],
)
def test_a_residual_network_passes_gradcheck(rng, X, settings, lead):
    network = residual_mlp(SIZES, activation=Tanh, dtype=float, replicas=lead, **settings)
    network.theta[...] = rng.normal(size=network.theta.shape)
    gradcheck(network, X[:4], rng=rng, samples=6)


def test_a_stack_is_the_separate_networks_and_a_copy_has_arrays_of_its_own(rng, X):
    stack = residual_mlp(SIZES, alpha=1.0, shifts=True, dtype=float, replicas=(R,))
    stack.theta[...] = rng.normal(size=stack.theta.shape)
    dZ = rng.normal(size=(R, 7, 4))
    Z, dX = stack.forward(X), stack.backward(dZ)
    for r in range(R):
        alone = residual_mlp(SIZES, alpha=1.0, shifts=True, dtype=float)
        alone.theta[...] = stack.theta[r]
        np.testing.assert_allclose(alone.forward(X), Z[r], rtol=1e-12)
        np.testing.assert_allclose(alone.backward(dZ[r]), dX[r], rtol=1e-10)
        np.testing.assert_allclose(alone.grad, stack.grad[r], rtol=1e-10)
    other = copy.deepcopy(stack)
    other.theta[...] = 0
    assert not other.forward(X).any()
    assert stack.theta.any()


def test_a_residual_network_is_saved_and_loaded(tmp_path, X, rng):
    one, other = (residual_mlp(SIZES, normalization=BatchNorm, alpha=0.0) for _ in range(2))
    one.apply(init.linear(init.he_normal, rng=rng))
    one.forward(X.astype(np.float32), train=True)
    one.save(tmp_path / "a.npz")
    other.load(tmp_path / "a.npz")
    assert np.array_equal(one.forward(X), other.forward(X))
    with np.load(tmp_path / "a.npz") as file:
        assert {"1.6.alpha", "1.0.running_mean", "0.W"} <= set(file.files)


@pytest.mark.parametrize(
    ("sizes", "branch"),
    [
        ([8, 4], 2),
        ([8, 6, 4], 2),
        ([8, 6, 6, 4], 2),
        ([8, 6, 6, 5, 4], 2),
        ([8, 6, 6, 6, 6, 4], 2),
        ([8, 6, 6, 6, 4], 3),
        ([8, 6, 6, 6, 4], 0),
        ([8, 6, 4], 1),  # a layer in and a layer out, and no block between them
    ],
)
def test_sizes_that_make_no_blocks_are_refused_with_some_that_do(sizes, branch):
    with pytest.raises(ValueError, match=rf"branches of {branch} Linear layers needs 1 \+ {branch}·L hidden sizes"):
        residual_mlp(sizes, branch=branch)
    assert len(residual_mlp([8, *[100] * (2 * 3 + 1), 4], branch=3).layers) == 5  # as the message says


# --- Fixup --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("branch", [1, 2, 3])
@pytest.mark.host
def test_fixup_is_he_times_L_to_the_minus_1_over_2m_minus_2_in_branches(rng, branch):
    L, width = 16, 300
    network = residual_mlp([200, *[width] * (1 + L * branch), 10], branch=branch, alpha=1, shifts=True)
    network.theta[...] = 5
    fixup(network, rng=rng)
    first, *blocks, last = [layer for layer in network.layers if isinstance(layer, (Linear, Residual))]
    assert abs(first.W.std() / np.sqrt(2 / 200) - 1) < 0.02
    assert not last.W.any()
    for block in blocks:
        *others, end = [layer for layer in block.layers if isinstance(layer, Linear)]
        assert not end.W.any()
        for layer in others:
            factor = {2: 1 / 4, 3: 1 / 2}[branch]  # 16^(−1/2) and 16^(−1/4)
            assert abs(layer.W.std() / (factor * np.sqrt(2 / width)) - 1) < 0.02
            assert not layer.b.any()
        assert block.layers[-1].alpha == 5  # scalars start as the network has them


@pytest.mark.host
def test_with_fixup_a_step_changes_the_blocks_output_as_much_for_any_number_of_blocks():
    """The purpose of the rule: one step of gradient descent on the branches' last layers changes Σ f by Θ(η)."""
    changes = {}
    for L in (1, 4, 16, 64):
        per_seed = []
        for seed in range(5):
            rng = np.random.default_rng(seed)
            width = 64
            network = residual_mlp([width, *[width] * (1 + 2 * L), 10], alpha=1, shifts=True, dtype=float)
            fixup(network, rng=rng)
            network.layers[-1].W[...] = np.random.default_rng(99).normal(size=(width, 10)) / 8
            X, dZ = np.random.default_rng(100).normal(size=(2, 20, width))
            before = network.forward(X)
            network.backward(dZ[:, :10])
            for block in network.layers[1 : 1 + L]:
                *_, end = [layer for layer in block.layers if isinstance(layer, Linear)]
                end.W -= 1e-4 * end.dW
            per_seed.append(np.abs(network.forward(X) - before).mean())
        changes[L] = np.mean(per_seed)
    values = list(changes.values())
    assert max(values) / min(values) < 1.5, changes


def test_fixup_needs_a_residual_network(rng):
    with pytest.raises(ValueError, match="fixup needs a network with residual blocks: build it with residual_mlp"):
        fixup(mlp([4, 4, 4]), rng=rng)
