"""Layers: every backward pass against finite differences and against PyTorch, with and without replicas."""

import math
from functools import partial

import numpy as np
import pytest
from oracle import torch

from scratchnet import layers
from scratchnet.gradcheck import gradcheck
from scratchnet.layers import (
    ELU,
    GELU,
    SELU,
    Dropout,
    Identity,
    Layer,
    LeakyReLU,
    Linear,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
    parameters,
    states,
    walk,
)

N, N_IN, N_OUT, R = 5, 4, 3, 2

ACTIVATIONS = {
    "Identity": (Identity, torch.nn.Identity),
    "ReLU": (ReLU, torch.nn.ReLU),
    "LeakyReLU": (LeakyReLU, lambda: torch.nn.LeakyReLU(0.01)),
    "LeakyReLU 0.3": (lambda: LeakyReLU(0.3), lambda: torch.nn.LeakyReLU(0.3)),
    "Tanh": (Tanh, torch.nn.Tanh),
    "Sigmoid": (Sigmoid, torch.nn.Sigmoid),
    "ELU": (ELU, torch.nn.ELU),
    "ELU 0.7": (lambda: ELU(0.7), lambda: torch.nn.ELU(0.7)),
    "SELU": (SELU, torch.nn.SELU),
    "GELU": (GELU, torch.nn.GELU),
    "SiLU": (SiLU, torch.nn.SiLU),
}


@pytest.fixture(params=ACTIVATIONS)
def activation(request):
    return ACTIVATIONS[request.param]


@pytest.fixture(params=[np.float32, np.float64], ids=["float32", "float64"])
def dtype(request):
    return request.param


def tolerance(dtype):
    return {"rtol": 1e-6, "atol": 1e-6} if dtype == np.float32 else {"rtol": 1e-10, "atol": 1e-10}


def away_from_kinks(rng, shape):
    """Numbers that no finite difference carries across 0."""
    X = rng.normal(size=shape) * 2
    return X + np.where(X > 0, 0.01, -0.01)


def linear(rng, lead=(), dtype=np.float64):
    W = rng.normal(size=(*lead, N_IN, N_OUT)).astype(dtype)
    b = rng.normal(size=(*lead, N_OUT)).astype(dtype)
    return Linear(W, b)


# --- Linear ---


def test_linear_is_Y_equals_XW_plus_b():
    layer = Linear(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]), np.array([10.0, 20.0]))
    X = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 1.0]])
    assert np.array_equal(layer.forward(X), [[11.0, 22.0], [18.0, 30.0]])


def test_linear_dW_is_X_transposed_dY_element_by_element(rng):
    layer, X, dY = linear(rng), rng.normal(size=(N, N_IN)), rng.normal(size=(N, N_OUT))
    layer.forward(X)
    dX = layer.backward(dY)
    for k in range(N_IN):
        for j in range(N_OUT):
            assert math.isclose(layer.dW[k, j], sum(dY[i, j] * X[i, k] for i in range(N)))
    for j in range(N_OUT):
        assert math.isclose(layer.db[j], sum(dY[i, j] for i in range(N)))
    for i in range(N):
        for k in range(N_IN):
            assert math.isclose(dX[i, k], sum(dY[i, j] * layer.W[k, j] for j in range(N_OUT)))


@pytest.mark.parametrize(
    ("lead", "lead_X"),
    [((), ()), ((R,), ()), ((R,), (R,)), ((3, R), ()), ((3, R), (R,)), ((3, R), (3, R))],
)
def test_linear_gradients_equal_finite_differences_with_and_without_replicas(rng, lead, lead_X):
    gradcheck(linear(rng, lead), rng.normal(size=(*lead_X, N, N_IN)), rng=rng, tolerance=1e-8)


def test_linear_equals_pytorch(rng, dtype):
    layer = linear(rng, dtype=dtype)
    X, dY = rng.normal(size=(N, N_IN)).astype(dtype), rng.normal(size=(N, N_OUT)).astype(dtype)
    theirs = torch.nn.Linear(N_IN, N_OUT)
    theirs.weight.data, theirs.bias.data = torch.tensor(layer.W.T), torch.tensor(layer.b)  # PyTorch keeps Wᵀ
    X_torch = torch.tensor(X, requires_grad=True)
    Y_torch = theirs(X_torch)
    Y_torch.backward(torch.tensor(dY))
    close = tolerance(dtype)
    np.testing.assert_allclose(layer.forward(X), Y_torch.detach().numpy(), **close)
    np.testing.assert_allclose(layer.backward(dY), X_torch.grad.numpy(), **close)
    np.testing.assert_allclose(layer.dW, theirs.weight.grad.numpy().T, **close)
    np.testing.assert_allclose(layer.db, theirs.bias.grad.numpy(), **close)


def test_linear_computes_no_dX_when_nobody_needs_it(rng):
    layer = linear(rng)
    layer.forward(rng.normal(size=(N, N_IN)))
    assert layer.backward(rng.normal(size=(N, N_OUT)), need_dX=False) is None


def test_backward_overwrites_gradients_and_accumulates_nothing(rng):
    layer, X, dY = linear(rng), rng.normal(size=(N, N_IN)), rng.normal(size=(N, N_OUT))
    layer.forward(X)
    layer.backward(dY)
    once = layer.dW.copy(), layer.db.copy()
    layer.backward(dY)
    assert np.array_equal(layer.dW, once[0])
    assert np.array_equal(layer.db, once[1])


# --- activations ---


@pytest.mark.parametrize("lead", [(), (R,)], ids=["single", "replicas"])
def test_activation_gradients_equal_finite_differences(activation, rng, lead):
    ours, _ = activation
    gradcheck(ours(), away_from_kinks(rng, (*lead, N, 20)), rng=rng, tolerance=1e-8)


def test_activations_equal_pytorch(activation, rng, dtype):
    ours, theirs = activation[0](), activation[1]()
    X = np.concatenate([rng.normal(size=(N, 50)) * 3, [np.linspace(-30, 30, 50)]]).astype(dtype)
    dY = rng.normal(size=X.shape).astype(dtype)
    X_torch = torch.tensor(X, requires_grad=True)
    Y_torch = theirs(X_torch)
    Y_torch.backward(torch.tensor(dY))
    Y, dX = ours.forward(X), ours.backward(dY)
    assert Y.dtype == dX.dtype == dtype
    np.testing.assert_allclose(Y, Y_torch.detach().numpy(), **tolerance(dtype))
    np.testing.assert_allclose(dX, X_torch.grad.numpy(), **tolerance(dtype))


def test_activations_neither_overflow_nor_warn_far_from_zero(activation, dtype):
    ours = activation[0]()
    X = np.array([[-1e4, -200.0, -90.0, 0.0, 90.0, 200.0, 1e4]], dtype=dtype)
    Y = ours.forward(X)  # warnings are errors in this suite
    assert np.isfinite(Y).all()
    assert np.isfinite(ours.backward(np.ones_like(X))).all()


@pytest.mark.parametrize("lead", [(), (R,), (3, R)], ids=["single", "replicas", "two replica axes"])
def test_prelu_gradients_equal_finite_differences_that_of_its_slope_too(rng, lead):
    a = rng.normal(size=lead)
    errors = gradcheck(PReLU(a), away_from_kinks(rng, (*lead, N, 20)), rng=rng, tolerance=1e-8)
    assert errors.keys() == {"X", "a"}
    gradcheck(PReLU(a), away_from_kinks(rng, (N, 20)), rng=rng, tolerance=1e-8)  # X shared by the replicas


def test_prelu_starts_with_the_slope_a_quarter():
    assert PReLU().a == PReLU().forward(np.ones((1, 1)))[0, 0] / 4 == 0.25


def test_prelu_equals_pytorch(rng, dtype):
    X, dY = rng.normal(size=(N, 30)).astype(dtype), rng.normal(size=(N, 30)).astype(dtype)
    ours, theirs = PReLU(np.array(0.25, dtype)), torch.nn.PReLU(dtype=getattr(torch, np.dtype(dtype).name))
    X_torch = torch.tensor(X, requires_grad=True)
    theirs(X_torch).backward(torch.tensor(dY))
    np.testing.assert_allclose(ours.forward(X), theirs(X_torch).detach().numpy(), **tolerance(dtype))
    np.testing.assert_allclose(ours.backward(dY), X_torch.grad.numpy(), **tolerance(dtype))
    np.testing.assert_allclose(ours.da, theirs.weight.grad.numpy()[0], **tolerance(dtype))
    assert ours.forward(X).dtype == dtype


@pytest.mark.parametrize(
    ("make", "slope"), [(ReLU, 0.0), (partial(LeakyReLU, 0.3), 0.3), (PReLU, 0.25), (partial(ELU, 0.7), 0.7)]
)
def test_a_kink_at_0_counts_as_the_left_side(make, slope):
    """As in PyTorch."""
    layer, X = make(), np.zeros((1, 1))
    assert layer.forward(X)[0, 0] == 0
    assert math.isclose(layer.backward(np.ones((1, 1)))[0, 0], slope)


def test_selu_keeps_mean_0_and_variance_1(rng):
    """The fixed point that λ and α are made for: E[selu(z)] = 0 and E[selu(z)²] = 1 for z ~ N(0, 1)."""
    z = np.linspace(-10, 10, 2_000_001)
    density = np.exp(-(z**2) / 2) / math.sqrt(2 * math.pi) * (z[1] - z[0])
    Y = SELU().forward(z[None])[0]
    assert abs((Y * density).sum()) < 1e-6
    assert abs((Y**2 * density).sum() - 1) < 1e-6


def test_sigmoid_is_one_over_one_plus_exp_minus_x():
    x = np.linspace(-20, 20, 101)
    np.testing.assert_allclose(layers.sigmoid(x), 1 / (1 + np.exp(-x)), rtol=1e-7, atol=1e-16)


# --- Dropout ---


@pytest.mark.parametrize("lead", [(), (R,)], ids=["single", "replicas"])
def test_dropout_gradients_equal_finite_differences(rng, lead):
    errors = gradcheck(Dropout(0.4, rng=rng), rng.normal(size=(*lead, N, 20)), rng=rng, train=True)
    assert errors["X"] < 1e-8


def test_dropout_does_nothing_in_evaluation(rng):
    layer, X = Dropout(0.5, rng=rng), rng.normal(size=(N, N_IN))
    assert np.array_equal(layer.forward(X), X)
    assert np.array_equal(layer.backward(X), X)


def test_dropout_zeroes_a_share_p_and_keeps_the_expectation(rng, dtype):
    for p in (0.1, 0.2, 0.5, 0.9):
        Y = Dropout(p, rng=rng).forward(np.ones((1000, 1000), dtype), train=True)
        dropped = (Y == 0).mean()
        assert abs(dropped - p) < 5 * math.sqrt(p * (1 - p) / Y.size)
        assert Y.dtype == dtype
        assert abs(Y.mean(dtype=np.float64) - 1) < 5 * math.sqrt(p / (1 - p) / Y.size)
        np.testing.assert_allclose(np.unique(Y), [0, 1 / (1 - p)], rtol=1e-4)


class EachOnce:
    """A generator of every number once."""

    def integers(self, levels, size, dtype):
        return np.arange(levels, dtype=dtype).reshape(size)


@pytest.mark.parametrize("p", [0.2, 0.3, 0.9])
def test_dropout_keeps_the_expectation_exactly_where_each_number_is_drawn_once(p):
    M = Dropout(p, rng=EachOnce()).draw_mask((256, 256), np.dtype(np.float64))
    assert math.isclose(M.mean(), 1, rel_tol=1e-12)
    assert abs((M == 0).mean() - p) <= 0.5 / 256**2


def test_dropout_masks_every_replica_alike(rng):
    Y = Dropout(0.5, rng=rng).forward(np.ones((R, N, 50)), train=True)
    assert np.array_equal(Y[0], Y[1])


def test_dropout_with_several_generators_draws_one_mask_for_each():
    rngs = [np.random.default_rng(seed) for seed in (1, 2)]
    Y = Dropout(0.5, rng=rngs).forward(np.ones((3, 2, N, 50)), train=True)
    for seed in (1, 2):
        alone = Dropout(0.5, rng=np.random.default_rng(seed)).forward(np.ones((N, 50)), train=True)
        assert np.array_equal(Y[0, seed - 1], alone)
        assert np.array_equal(Y[2, seed - 1], alone)


def test_dropout_draws_a_new_mask_each_time(rng):
    layer, X = Dropout(0.5, rng=rng), np.ones((N, 50))
    assert not np.array_equal(layer.forward(X, train=True), layer.forward(X, train=True))


def test_dropout_near_1_still_works(rng):
    assert np.isfinite(Dropout(0.9999999, rng=rng).forward(np.ones((50, 50)), train=True)).all()
    M = Dropout(0.9999999, rng=EachOnce()).draw_mask((256, 256), np.dtype(np.float64))
    assert M.max() == M.sum() == 256**2  # one unit in 2¹⁶ is kept, and stands for all


@pytest.mark.host
def test_dropout_of_0_draws_no_random_numbers():
    X = np.ones((N, N_IN))
    assert Dropout(0.0, rng=None).forward(X, train=True) is X


@pytest.mark.parametrize("p", [-0.1, 1.0, 1.5, math.nan])
def test_dropout_refuses_what_is_no_probability_of_dropping(rng, p):
    with pytest.raises(ValueError, match="expected a probability of dropping a unit, 0 ≤ p < 1, got p = "):
        Dropout(p, rng=rng)


# --- the contract ---


def test_float32_goes_in_and_float32_comes_out(activation, rng):
    X = rng.normal(size=(N, N_IN)).astype(np.float32)
    layer = activation[0]()
    assert layer.forward(X, train=True).dtype == np.float32
    assert layer.backward(X).dtype == np.float32


def test_parameters_lists_name_array_and_gradient(rng):
    layer = linear(rng)
    assert [name for name, _, _ in layers.parameters(layer)] == ["W", "b"]
    assert all(A.shape == dA.shape for _, A, dA in layers.parameters(layer))
    assert list(layers.parameters(ReLU())) == []


def test_every_layer_of_the_package_is_a_layer_and_most_have_no_parameters():
    """The defaults of the protocol: no parameters, no layers inside."""
    kinds = [kind for kind in vars(layers).values() if isinstance(kind, type) and Layer in kind.__mro__]
    assert {kind.__name__ for kind in kinds if kind.params} == {"Linear", "PReLU"}
    assert all(kind.layers == () for kind in kinds)


def test_a_readers_layer_need_not_inherit(rng):
    class Doubled:
        def forward(self, X, train=False):
            return 2 * X

        def backward(self, dY):
            return 2 * dY

    assert list(parameters(Doubled())) == list(states(Doubled())) == []
    assert [type(layer).__name__ for layer in walk(Doubled())] == ["Doubled"]
    assert gradcheck(Doubled(), rng.normal(size=(N, N_IN)), rng=rng).keys() == {"X"}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (np.uint8, np.float32),
        (bool, np.float32),
        (np.float32, np.float32),
        (np.int64, np.float64),
        (np.float64, np.float64),
    ],
)
def test_dropout_scales_integers_too_and_with_the_digits_that_its_input_has(given, expected, rng):
    """Images may be bytes, of which 1/(1 − p) would be 1."""
    Y = Dropout(0.2, rng=rng).forward(np.ones((100, 784), given), train=True)
    assert Y.dtype == expected
    assert {*np.unique(Y).tolist()} == {0.0, float(expected(65536 / (65536 - 13107)))}
