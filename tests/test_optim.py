"""Optimizers: step by step against their own formulas, and against PyTorch."""

import math

import numpy as np
import pytest
from oracle import torch

from scratchnet.optim import BLOCK, SGD, Adam, blocks

SIZE = 2 * BLOCK + 17  # several blocks, the last one short


def gradients(rng, steps):
    return [rng.normal(size=SIZE) for _ in range(steps)]


def test_sgd_is_its_formula(rng):
    theta = rng.normal(size=SIZE)
    expected, v = theta.copy(), np.zeros(SIZE)
    grad = np.empty(SIZE)
    sgd = SGD(theta, grad, learning_rate=0.1, momentum=0.9)
    for g in gradients(rng, 5):
        grad[...] = g
        sgd.step()
        v = 0.9 * v + g
        expected = expected - 0.1 * v
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-15)


def test_sgd_is_plain_gradient_descent_by_default():
    theta, grad = np.array([5.0]), np.array([1.0])
    sgd = SGD(theta, grad, learning_rate=0.1)
    for _ in range(3):
        sgd.step()
    assert math.isclose(theta[0], 5 - 3 * 0.1)


def test_the_defaults_of_adam_are_the_papers():
    adam = Adam(np.zeros(1), np.zeros(1))
    assert (adam.learning_rate, adam.beta1, adam.beta2, adam.epsilon) == (0.001, 0.9, 0.999, 1e-8)


def test_adam_is_the_papers_algorithm(rng):
    """Kingma & Ba 2015, Algorithm 1, line by line."""
    alpha, beta1, beta2, epsilon = 0.01, 0.8, 0.99, 1e-8
    theta = rng.normal(size=SIZE)
    expected, m, v, t = theta.copy(), np.zeros(SIZE), np.zeros(SIZE), 0
    grad = np.empty(SIZE)
    adam = Adam(theta, grad, learning_rate=alpha, beta1=beta1, beta2=beta2, epsilon=epsilon)
    for g in gradients(rng, 5):
        grad[...] = g
        adam.step()
        t = t + 1
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g**2
        m_hat = m / (1 - beta1**t)
        v_hat = v / (1 - beta2**t)
        expected = expected - alpha * m_hat / (np.sqrt(v_hat) + epsilon)
    np.testing.assert_allclose(theta, expected, rtol=1e-12, atol=1e-15)


def test_adam_m_hat_is_a_weighted_average_of_the_gradients():
    """As the docstring says: equal gradients give m̂ = g from the first step."""
    theta, grad = np.zeros(1), np.full(1, 3.0)
    adam = Adam(theta, grad, learning_rate=0.5, epsilon=0.0)
    for t in range(1, 6):
        adam.step()
        assert math.isclose(theta[0], -0.5 * t)  # m̂/√v̂ = 3/√9 = 1


def test_the_first_step_of_adam_has_the_size_of_the_learning_rate_whatever_the_gradient(rng):
    for scale in (1e-4, 1.0, 1e4):
        theta, grad = np.zeros(5), scale * rng.normal(size=5)
        Adam(theta, grad, learning_rate=0.001).step()
        np.testing.assert_allclose(theta, -0.001 * np.sign(grad), rtol=1e-2)


@pytest.mark.parametrize(("dtype", "close"), [(np.float32, 1e-6), (np.float64, 1e-10)])
@pytest.mark.parametrize("name", ["SGD", "SGD with momentum", "Adam"])
def test_optimizers_equal_pytorch(rng, name, dtype, close):
    start = rng.normal(size=SIZE).astype(dtype)
    theta, grad = start.copy(), np.empty(SIZE, dtype)
    parameter = torch.nn.Parameter(torch.tensor(start))
    momentum = 0.9 if name == "SGD with momentum" else 0.0
    if name == "Adam":
        ours, theirs = Adam(theta, grad), torch.optim.Adam([parameter])
    else:
        ours = SGD(theta, grad, learning_rate=0.01, momentum=momentum)
        theirs = torch.optim.SGD([parameter], lr=0.01, momentum=momentum)
    for g in gradients(rng, 20):
        grad[...] = g
        parameter.grad = torch.tensor(grad)
        ours.step()
        theirs.step()
    np.testing.assert_allclose(theta, parameter.detach().numpy(), rtol=0, atol=close)
    assert theta.dtype == dtype


@pytest.mark.parametrize("make", [lambda t, g: SGD(t, g, learning_rate=0.1, momentum=0.5), Adam])
def test_a_stack_of_replicas_takes_the_separate_steps(rng, make):
    theta, grad = rng.normal(size=(3, SIZE)), np.empty((3, SIZE))
    alone = [(theta[r].copy(), np.empty(SIZE)) for r in range(3)]
    together, separate = make(theta, grad), [make(*pair) for pair in alone]
    for _ in range(3):
        grad[...] = rng.normal(size=grad.shape)
        together.step()
        for r in range(3):
            alone[r][1][...] = grad[r]
            separate[r].step()
    assert np.array_equal(theta, np.stack([t for t, _ in alone]))


@pytest.mark.host
def test_adam_leaves_no_denormal_numbers_behind():
    """They would make each later step many times slower, and rounding would keep them for ever."""
    theta, grad = np.zeros(3, np.float32), np.array([1e-3, 1.0, 0.0], np.float32)
    adam = Adam(theta, grad)
    adam.step()
    grad[...] = 0
    for _ in range(1999):
        adam.step()
    smallest = np.finfo(np.float32).tiny
    for state in (adam.m, adam.v):
        assert np.all((state == 0) | (np.abs(state) >= smallest))
    assert not adam.m.any()


def test_flushing_tiny_averages_changes_no_parameter(rng):
    """FLUSH_BELOW is far below what could move θ: with and without it, every parameter is the same."""

    class Unflushed(Adam):
        FLUSH_BELOW = 0.0

    thetas = []
    for optimizer in (Adam, Unflushed):
        theta, grad = np.ones(50, np.float32), np.empty(50, np.float32)
        adam, draws = optimizer(theta, grad), np.random.default_rng(5)
        for t in range(1500):
            grad[...] = draws.normal(size=50) * 1e-3 * (draws.random(50) < 0.001) if t > 5 else 1e-3
            adam.step()
        thetas.append(theta)
    assert np.array_equal(*thetas)


def test_adam_goes_on_as_the_paper_has_it_after_a_flush_for_small_gradients_of_either_sign():
    """250 steps; θ starts at 0, so that the smallest steps show."""
    g = np.array([1.0, -1.0, 1e-6, -1e-6, 1e-13, -1e-13])
    theta, grad = np.zeros(6), np.empty(6)
    adam, m, v, expected = Adam(theta, grad), np.zeros(6), np.zeros(6), np.zeros(6)
    for t in range(1, 251):
        grad[...] = g
        adam.step()
        m, v = 0.9 * m + 0.1 * g, 0.999 * v + 0.001 * g * g
        expected -= 0.001 * (m / (1 - 0.9**t)) / (np.sqrt(v / (1 - 0.999**t)) + 1e-8)
    np.testing.assert_allclose(theta, expected, rtol=1e-9)


@pytest.mark.host
def test_adam_makes_tiny_averages_0_at_each_hundredth_step_and_keeps_all_others_in_both():
    theta, grad = np.zeros(5), np.zeros(5)
    adam = Adam(theta, grad, beta1=0.999, beta2=0.999)
    adam.m[...] = [1, 2e-30, -2e-30, 1e-30, -1e-30]  # × 0.999¹⁰⁰ = 0.905
    adam.v[...] = [1, 2e-30, 2e-30, 1e-30, 0]
    for _ in range(99):
        adam.step()
    assert adam.m.all()
    assert adam.v[:4].all()
    adam.step()
    assert np.array_equal(adam.m != 0, [True, True, True, False, False])
    assert np.array_equal(adam.v != 0, [True, True, True, False, False])
    np.testing.assert_allclose(adam.m[:3], 0.999**100 * np.array([1, 2e-30, -2e-30]))
    np.testing.assert_allclose(adam.v[:3], 0.999**100 * np.array([1, 2e-30, 2e-30]))


def test_blocks_are_matching_stretches_that_hold_each_element_once_and_arrays_that_are_not_contiguous_stay_whole():
    A, B = np.arange(2 * SIZE).reshape(2, SIZE), -np.arange(2 * SIZE).reshape(2, SIZE)
    stretches = list(blocks(A, 3, B))
    assert [len(a) for a, _, _ in stretches] == [BLOCK] * 4 + [2 * SIZE - 4 * BLOCK]
    assert np.array_equal(np.concatenate([a for a, _, _ in stretches]), A.ravel())
    assert all(number == 3 and np.array_equal(a, -b) for a, number, b in stretches)
    for first, second in ((A.T, B.T), (A.T.copy(), B.T)):
        [(a, number, b)] = blocks(first, 3, second)
        assert a is first
        assert b is second
        assert number == 3


# --- a learning rate for each parameter, and arrays that are not contiguous -------------------------------------

OPTIMIZERS = [
    pytest.param(lambda t, g, rate: SGD(t, g, learning_rate=rate, momentum=0.5), id="SGD"),
    pytest.param(lambda t, g, rate: Adam(t, g, learning_rate=rate), id="Adam"),
]


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize("lead", [(), (3,)], ids=["single", "replicas"])
def test_a_learning_rate_may_be_a_vector_over_theta(rng, make, lead):
    """Each parameter takes the steps that it would take with its own rate; a rate of 0 leaves it as it is."""
    rates = np.array([0.0, 0.1, 0.2])[rng.integers(3, size=SIZE)]
    start, g = rng.normal(size=(*lead, SIZE)), rng.normal(size=(*lead, SIZE))

    def stepped(rate):
        theta = start.copy()
        optimizer = make(theta, g, rate)
        for _ in range(3):
            optimizer.step()
        return theta

    mixed = stepped(rates)
    for rate in (0.0, 0.1, 0.2):
        np.testing.assert_allclose(mixed[..., rates == rate], stepped(rate)[..., rates == rate], rtol=1e-12)
    assert np.array_equal(mixed[..., rates == 0], start[..., rates == 0])


@pytest.mark.parametrize("make", OPTIMIZERS)
def test_one_layer_of_a_stack_can_be_trained_by_itself(rng, make):
    """Its W is a view that is not contiguous: the optimizer must change it, and not a copy."""
    theta, grad = rng.normal(size=(3, 40)), rng.normal(size=(3, 40))
    W, dW = theta[:, 10:30].reshape(3, 4, 5), grad[:, 10:30].reshape(3, 4, 5)
    expected, before = W.copy(), theta.copy()
    make(W, dW, 0.1).step()
    make(expected, dW.copy(), 0.1).step()
    assert np.array_equal(theta[:, 10:30].reshape(3, 4, 5), expected)
    assert not np.array_equal(W, before[:, 10:30].reshape(3, 4, 5))
    assert np.array_equal(theta[:, :10], before[:, :10])


@pytest.mark.parametrize("make", OPTIMIZERS)
@pytest.mark.parametrize(
    ("rate", "message"),
    [
        (-0.1, "expected a finite learning rate ≥ 0, got -0.1"),
        (math.nan, "expected a finite learning rate ≥ 0, got nan"),
        (np.array([0.1, -0.1, 0.1]), "expected finite learning rates ≥ 0"),
        (np.ones(4), r"got the shape \(4,\), which does not broadcast to theta's \(3,\)"),
    ],
    ids=["negative", "NaN", "negative in an array", "wrong shape"],
)
def test_an_impossible_learning_rate_is_refused(make, rate, message):
    with pytest.raises(ValueError, match=message):
        make(np.zeros(3), np.zeros(3), rate)


def test_a_vector_of_rates_keeps_float32(rng):
    theta, grad = np.zeros(5, np.float32), np.ones(5, np.float32)
    Adam(theta, grad, learning_rate=np.full(5, 0.1)).step()
    np.testing.assert_allclose(theta, -0.1, rtol=1e-6)
    assert theta.dtype == np.float32


@pytest.mark.parametrize("value", [-0.1, 1, 2, float("nan")])
@pytest.mark.parametrize("name", ["momentum", "beta1", "beta2"])
def test_a_share_of_the_past_that_is_none_is_refused(name, value):
    make = SGD if name == "momentum" else Adam
    with pytest.raises(ValueError, match=f"{name}: expected a number from 0 to below 1, got {value}"):
        make(np.ones(3), np.ones(3), learning_rate=0.1, **{name: value})


@pytest.mark.parametrize("epsilon", [-1e-8, np.nan, np.inf])
def test_an_epsilon_that_is_no_small_number_is_refused(epsilon):
    with pytest.raises(ValueError, match="expected a finite epsilon ≥ 0, got"):
        Adam(np.zeros(2), np.zeros(2), epsilon=epsilon)
