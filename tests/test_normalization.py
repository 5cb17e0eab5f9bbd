"""LayerNorm and BatchNorm: in loops, against finite differences and PyTorch, alone, in a stack, in training."""

import copy
import math
import pickle

import numpy as np
import pytest
from oracle import torch

from scratchnet import init
from scratchnet.gradcheck import GradientError, gradcheck
from scratchnet.layers import Dropout, Linear, ReLU, Tanh, parameters, states
from scratchnet.network import Network, NetworkFileError, mlp
from scratchnet.normalization import EPSILON, BatchNorm, LayerNorm, normalized
from scratchnet.optim import Adam
from scratchnet.train import evaluate, fit

N, UNITS, R = 6, 4, 3
LEADS = [((), ()), ((R,), ()), ((R,), (R,)), ((2, R), ()), ((2, R), (R,)), ((2, R), (2, R))]


@pytest.fixture(params=[LayerNorm, BatchNorm])
def kind(request):
    return request.param


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def drawn(kind, rng, lead=(), dtype=np.float64, units=UNITS, **settings):
    """A layer whose γ and β are random, and its running statistics too."""
    layer = kind(*rng.normal(size=(2, *lead, units)).astype(dtype), **settings)
    for _, A in states(layer):
        A += rng.random(A.shape, dtype)
    return layer


def theirs(layer):
    """PyTorch's layer with the same numbers in it."""
    units, dtype = layer.gamma.shape[-1], getattr(torch, layer.gamma.dtype.name)
    if isinstance(layer, LayerNorm):
        module = torch.nn.LayerNorm(units, eps=layer.epsilon, dtype=dtype)
    else:
        module = torch.nn.BatchNorm1d(units, eps=layer.epsilon, momentum=layer.momentum, dtype=dtype)
        module.running_mean[...] = torch.tensor(layer.running_mean)
        module.running_var[...] = torch.tensor(layer.running_variance)
    module.weight.data, module.bias.data = torch.tensor(layer.gamma), torch.tensor(layer.beta)
    return module


# --- the formulas -------------------------------------------------------------------------------------------------


def test_layernorm_gives_each_example_and_batchnorm_each_unit_mean_0_and_variance_1(rng, kind):
    X = 5 + 3 * rng.normal(size=(50, 40))
    Y = kind(np.ones(40), np.zeros(40)).forward(X, train=True)
    axis, over = (-1, X) if kind is LayerNorm else (-2, X)
    v = over.var(axis=axis)
    np.testing.assert_allclose(Y.mean(axis=axis), 0, atol=1e-13)
    np.testing.assert_allclose(Y.var(axis=axis), v / (v + EPSILON), rtol=1e-12)


def test_forward_and_backward_are_the_element_forms(rng, kind):
    """y_ij = γ_j·x̂_ij + β_j, and the sums of the docstrings, written as loops."""
    layer, X, dY = drawn(kind, rng), rng.normal(size=(N, UNITS)), rng.normal(size=(N, UNITS))
    Y, dX = layer.forward(X, train=True), layer.backward(dY)
    rows = [(i, [(i, j) for j in range(UNITS)]) for i in range(N)]
    columns = [(j, [(i, j) for i in range(N)]) for j in range(UNITS)]
    x_hat = np.empty_like(X)
    for _, places in rows if kind is LayerNorm else columns:
        d = len(places)
        mean = sum(X[p] for p in places) / d
        sigma = math.sqrt(sum((X[p] - mean) ** 2 for p in places) / d + layer.epsilon)
        for p in places:
            x_hat[p] = (X[p] - mean) / sigma
        for k in places:
            expected = sum(
                dY[p] * layer.gamma[p[1]] * ((p == k) - 1 / d - x_hat[p] * x_hat[k] / d) / sigma for p in places
            )
            assert math.isclose(dX[k], expected, abs_tol=1e-12)
    for i in range(N):
        for j in range(UNITS):
            assert math.isclose(Y[i, j], layer.gamma[j] * x_hat[i, j] + layer.beta[j])
    for j in range(UNITS):
        assert math.isclose(layer.dgamma[j], sum(dY[i, j] * x_hat[i, j] for i in range(N)))
        assert math.isclose(layer.dbeta[j], sum(dY[i, j] for i in range(N)))


def test_to_shift_or_to_scale_the_input_changes_nothing(rng, kind):
    """So dX has no part along a shift, nor, without ε, along X̂."""
    layer, X = drawn(kind, rng, epsilon=0.0), rng.normal(size=(N, UNITS))
    Y, dX = layer.forward(X, train=True), layer.backward(rng.normal(size=(N, UNITS)))
    np.testing.assert_allclose(layer.forward(7 * X + 3, train=True), Y, rtol=1e-10)
    axis = -1 if kind is LayerNorm else -2
    np.testing.assert_allclose(dX.sum(axis=axis), 0, atol=1e-12)
    np.testing.assert_allclose((dX * normalized(X, axis, 0.0)[0]).sum(axis=axis), 0, atol=1e-12)


@pytest.mark.parametrize(("lead", "lead_X"), LEADS)
def test_gradients_equal_finite_differences_with_and_without_replicas(rng, kind, lead, lead_X):
    errors = gradcheck(drawn(kind, rng, lead), rng.normal(size=(*lead_X, N, UNITS)), rng=rng)
    assert errors.keys() == {"X", "gamma", "beta"}


@pytest.mark.parametrize("train", [True, False])
def test_a_layer_equals_pytorch(rng, kind, dtype, train):
    layer = drawn(kind, rng, dtype=dtype)
    module = theirs(layer).train(train)
    close = {"rtol": 1e-4, "atol": 1e-5} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-12}
    for n in (N, 2, 31):
        X, dY = rng.normal(size=(2, n, UNITS)).astype(dtype) * 2 + 1
        X_torch = torch.tensor(X, requires_grad=True)
        module.zero_grad()
        Y_torch = module(X_torch)
        Y_torch.backward(torch.tensor(dY))
        Y, dX = layer.forward(X, train=train), layer.backward(dY)
        np.testing.assert_allclose(Y, Y_torch.detach().numpy(), **close)
        np.testing.assert_allclose(dX, X_torch.grad.numpy(), **close)
        np.testing.assert_allclose(layer.dgamma, module.weight.grad.numpy(), **close)
        np.testing.assert_allclose(layer.dbeta, module.bias.grad.numpy(), **close)
        assert Y.dtype == dX.dtype == dtype
    for (_, A), B in zip(states(layer), (b for b in module.buffers() if b.ndim), strict=True):
        np.testing.assert_allclose(A, B.numpy(), **close)
        assert A.dtype == dtype


# --- running statistics -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("momentum", [0.0, 0.1, 0.5, 1.0])
def test_running_statistics_equal_pytorchs_after_many_batches_and_so_does_evaluation(rng, momentum):
    layer = drawn(BatchNorm, rng, momentum=momentum)
    module = theirs(layer)
    for n in (5, 8, 2, 30, 7):
        X = rng.normal(size=(n, UNITS)) * rng.uniform(1, 5) + rng.normal()
        layer.forward(X, train=True)
        module(torch.tensor(X))
    np.testing.assert_allclose(layer.running_mean, module.running_mean.numpy(), rtol=1e-12)
    np.testing.assert_allclose(layer.running_variance, module.running_var.numpy(), rtol=1e-12)
    X = rng.normal(size=(3, UNITS))
    expected = module.eval()(torch.tensor(X)).detach().numpy()
    np.testing.assert_allclose(layer.forward(X), expected, rtol=1e-10)


def test_running_statistics_come_to_the_mean_and_the_unbiased_variance_of_all_examples(rng):
    """n/(n − 1) matters in small batches: without it the variance would come out as 3/4 of what it is."""
    layer = BatchNorm(np.ones(200), np.zeros(200), momentum=0.02)
    for _ in range(600):
        layer.forward(3 + 2 * rng.normal(size=(4, 200)), train=True)
    assert abs(layer.running_mean.mean() - 3) < 0.05
    assert abs(layer.running_variance.mean() - 4) < 0.15


def test_evaluation_neither_changes_the_running_statistics_nor_looks_at_the_other_examples(rng):
    layer, X = drawn(BatchNorm, rng), rng.normal(size=(N, UNITS))
    before = layer.running_mean.copy(), layer.running_variance.copy()
    Y = layer.forward(X)
    for i in range(N):
        np.testing.assert_allclose(layer.forward(X[i : i + 1]), Y[i : i + 1], rtol=1e-14)
    assert np.array_equal(before, (layer.running_mean, layer.running_variance))


def test_a_batch_of_one_is_its_own_mean_and_teaches_nothing(rng):
    layer = drawn(BatchNorm, rng)
    before = layer.running_mean.copy(), layer.running_variance.copy()
    Y = layer.forward(rng.normal(size=(1, UNITS)), train=True)
    dX = layer.backward(rng.normal(size=(1, UNITS)))
    assert np.array_equal(Y[0], layer.beta)
    assert not dX.any()
    assert not layer.dgamma.any()
    assert np.array_equal(before, (layer.running_mean, layer.running_variance))


def test_what_does_not_vary_becomes_beta_and_its_gradient_stays_finite(rng, kind, dtype):
    """Variance 0, as after a layer of dead units: as in PyTorch, dX is dX̂ without its mean, over √ε."""
    layer = drawn(kind, rng, dtype=dtype)
    X = np.ones((N, UNITS), dtype) * dtype(0.3)
    dY = rng.normal(size=X.shape).astype(dtype)
    X_torch = torch.tensor(X, requires_grad=True)
    theirs(layer)(X_torch).backward(torch.tensor(dY))
    Y, dX = layer.forward(X, train=True), layer.backward(dY)
    np.testing.assert_allclose(Y, np.broadcast_to(layer.beta, Y.shape), atol=1e-4)
    np.testing.assert_allclose(dX, X_torch.grad.numpy(), rtol=1e-4, atol=1e-2)
    assert np.abs(dX).max() < 10 / math.sqrt(EPSILON)


@pytest.mark.parametrize("momentum", [-0.1, 1.1, math.nan])
def test_a_momentum_that_is_no_share_is_refused(momentum):
    with pytest.raises(ValueError, match="expected a momentum between 0 and 1, the share of the new batch, got"):
        BatchNorm(np.ones(2), np.zeros(2), momentum=momentum)


# --- gradcheck knows about state ----------------------------------------------------------------------------------


class OneStatisticForAll(BatchNorm):
    """Wrong: a stack of networks shares one mean."""

    def forward(self, X, train=False):
        Y = super().forward(X, train=train)
        if train and self.running_mean.ndim > 1:
            self.running_mean[...] = self.running_mean.mean(axis=0)
        return Y


class FirstAxis(BatchNorm):
    """Wrong in a stack alone: the examples are not on the first axis there."""

    def forward(self, X, train=False):
        return super().forward(X, train=train) + (X.mean(axis=0) if train else 0)


class MovesInEvaluation(BatchNorm):
    def forward(self, X, train=False):
        super().forward(X, train=True)
        return super().forward(X, train=train)


@pytest.mark.parametrize(
    ("kind", "sentence"),
    [
        (OneStatisticForAll, "running_mean of a stack of three replicas.* differs from that of each alone"),
        (FirstAxis, "finite differences|of a stack of three replicas"),
        (MovesInEvaluation, "two evaluations of one X differ"),
    ],
)
def test_gradcheck_finds_a_state_that_is_wrong(rng, kind, sentence):
    with pytest.raises(GradientError, match=sentence):
        gradcheck(drawn(kind, rng), rng.normal(size=(N, UNITS)), rng=rng)


# --- in a network -------------------------------------------------------------------------------------------------


def network(kind, seed=0, sizes=(8, 6, 5, 4), **settings):
    made = mlp(sizes, normalization=kind, **settings)
    rng = np.random.default_rng(seed)
    made.theta[...] = rng.normal(size=made.theta.shape)
    for _, A in states(made):
        A += rng.random(A.shape, A.dtype)
    return made


def test_mlp_puts_normalization_before_the_activation(kind, rng):
    made = mlp([8, 6, 5, 4], normalization=kind, activation=Tanh, dropout=0.2, rng=rng)
    assert [type(y) for y in made.layers] == [Linear, kind, Tanh, Dropout, Linear, kind, Tanh, Dropout, Linear]
    assert (made.layers[1].gamma == 1).all()
    assert not made.layers[1].beta.any()
    assert made.layers[1].gamma.shape == (6,)
    made.apply(init.linear(init.ones, rng=rng))
    assert (made.layers[5].gamma == 1).all()  # a scheme fills Linear layers alone
    assert f"1  {kind.__name__}(" in str(made)


def test_a_network_with_normalization_passes_gradcheck(kind, rng):
    made = network(kind, activation=Tanh, dropout=0.3, rng=rng, dtype=np.float64)
    errors = gradcheck(made, rng.normal(size=(N, 8)), rng=rng)
    assert {"1.gamma", "1.beta", "5.gamma"} <= errors.keys()


def test_a_stack_is_the_separate_networks_running_statistics_too(kind, rng):
    alone = [network(kind, seed) for seed in range(R)]
    stack = mlp([8, 6, 5, 4], normalization=kind, replicas=(R,))
    for r, one in enumerate(alone):
        stack.theta[r] = one.theta
        for (_, A), (_, B) in zip(states(stack), states(one), strict=True):
            A[r] = B
    X, dZ = rng.normal(size=(7, 8)).astype(np.float32), rng.normal(size=(R, 7, 4)).astype(np.float32)
    for train in (True, True, False):
        Z, dX = stack.forward(X, train=train), stack.backward(dZ)
        for r, one in enumerate(alone):
            np.testing.assert_allclose(one.forward(X, train=train), Z[r], rtol=1e-5, atol=1e-5)
            np.testing.assert_allclose(one.backward(dZ[r]), dX[r], rtol=1e-4, atol=1e-4)
            np.testing.assert_allclose(one.grad, stack.grad[r], rtol=1e-4, atol=1e-4)
            for (_, A), (_, B) in zip(states(stack), states(one), strict=True):
                np.testing.assert_allclose(A[r], B, rtol=1e-5)


def test_state_has_the_networks_dtype_and_replica_axes_and_is_no_parameter():
    made = network(BatchNorm, replicas=(2, R), dtype=np.float64)
    found = dict(states(made))
    assert list(found) == ["1.running_mean", "1.running_variance", "4.running_mean", "4.running_variance"]
    assert found["4.running_mean"].shape == (2, R, 5)
    assert made.theta.shape == (2, R, 8 * 6 + 6 + 12 + 6 * 5 + 5 + 10 + 5 * 4 + 4)
    layer = BatchNorm(np.ones(3), np.zeros(3))
    Network([layer], np.float32)
    assert layer.running_mean.dtype == layer.gamma.dtype == np.float32


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda network: pickle.loads(pickle.dumps(network))])
def test_a_copy_has_a_state_of_its_own(rng, copied):
    made = network(BatchNorm)
    other, X = copied(made), rng.normal(size=(7, 8)).astype(np.float32)
    assert np.array_equal(made.forward(X), other.forward(X))
    other.forward(X, train=True)
    assert not np.array_equal(made.layers[1].running_mean, other.layers[1].running_mean)


def test_replicate_and_to_carry_the_state(rng):
    made, X = network(BatchNorm), rng.normal(size=(7, 8)).astype(np.float32)
    Z = made.forward(X)
    made.replicate((2, R)).to("cpu")
    np.testing.assert_allclose(made.forward(X), np.broadcast_to(Z, (2, R, 7, 4)), rtol=1e-5, atol=1e-5)
    made.layers[1].running_mean[0, 0] += 1  # none is a view on another
    assert not np.array_equal(made.layers[1].running_mean[0, 0], made.layers[1].running_mean[0, 1])


def test_the_state_is_saved_and_loaded(tmp_path, rng):
    made, other = network(BatchNorm, 0), network(BatchNorm, 1)
    made.save(tmp_path / "a.npz")
    other.load(tmp_path / "a.npz")
    X = rng.normal(size=(7, 8)).astype(np.float32)
    assert np.array_equal(made.forward(X), other.forward(X))
    with np.load(tmp_path / "a.npz") as file:
        assert np.array_equal(file["4.running_variance"], made.layers[4].running_variance)
    with pytest.raises(NetworkFileError, match=r"and this network has .*1\.gamma"):
        network(LayerNorm).load(tmp_path / "a.npz")


class Undeclared(BatchNorm):
    state = {"running_median": 1}


def test_a_state_that_is_not_there_or_has_other_axes_is_refused():
    with pytest.raises(ValueError, match="declares running_median with 1 axes, and its attribute running_median is no"):
        Network([Undeclared(np.ones(2), np.ones(2))])
    layer = BatchNorm(np.ones((2, 3)), np.zeros((2, 3)))
    layer.running_mean = np.zeros(3)
    with pytest.raises(ValueError, match="expected the same replica axes"):
        Network([layer])


def test_100_steps_of_adam_follow_pytorchs_path_and_evaluation_agrees_after_them(kind, dataset):
    """Two hidden layers on images, float64, a stack of two here and one after the other there; losses, parameters and
    running statistics. The last batch of each epoch is short.
    """
    images, labels, epochs = dataset.images[:1930].astype(np.float64), dataset.labels[:1930], 5
    made = mlp([784, 20, 15, 10], normalization=kind, dtype=np.float64, replicas=(2,))
    made.apply(init.linear(init.he_normal, rng=np.random.default_rng(0)))
    start = {name: A.copy() for name, A, _ in parameters(made)}
    losses = fit(
        made, Adam(made.theta, made.grad), images, labels, epochs=epochs, batch_size=100, rng=np.random.default_rng(1)
    )
    assert len(losses) == 100
    accuracy = evaluate(made, images, labels).accuracy
    for r in range(2):
        modules = []
        for i, layer in enumerate(made.layers):
            if isinstance(layer, Linear):
                modules.append(torch.nn.Linear(*layer.W.shape[-2:], dtype=torch.float64))
                modules[-1].weight.data = torch.tensor(start[f"{i}.W"][r].T.copy())
                modules[-1].bias.data = torch.tensor(start[f"{i}.b"][r])
            elif isinstance(layer, ReLU):
                modules.append(torch.nn.ReLU())
            else:
                units = layer.gamma.shape[-1]
                module = torch.nn.LayerNorm if kind is LayerNorm else torch.nn.BatchNorm1d
                modules.append(module(units, dtype=torch.float64))
        other, order, expected = torch.nn.Sequential(*modules), np.random.default_rng(1), []
        adam = torch.optim.Adam(other.parameters())
        for _ in range(epochs):
            shuffled = order.permutation(len(images))
            for begin in range(0, len(images), 100):
                rows = shuffled[begin : begin + 100]
                targets = torch.tensor(labels[rows].astype(int))
                loss = torch.nn.functional.cross_entropy(other(torch.tensor(images[rows])), targets)
                adam.zero_grad()
                loss.backward()
                adam.step()
                expected.append(loss.item())
        np.testing.assert_allclose(losses[:, r], expected, rtol=0, atol=1e-8)
        for (_, A, _), p in zip(parameters(made), other.parameters(), strict=True):
            np.testing.assert_allclose(A[r].reshape(-1), p.detach().numpy().T.reshape(-1), rtol=0, atol=1e-7)
        for (_, A), B in zip(states(made), (b for b in other.buffers() if b.ndim), strict=True):
            np.testing.assert_allclose(A[r], B.numpy(), rtol=1e-7)
        right = other.eval()(torch.tensor(images)).argmax(dim=1).numpy() == labels
        assert accuracy[r] == right.mean()
