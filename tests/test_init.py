"""Initial weights: drawn from the distribution that each scheme promises, on tall and on wide shapes."""

import math
from functools import partial

import numpy as np
import pytest
import torch

from scratchnet import init
from scratchnet.layers import Linear, ReLU
from scratchnet.network import mlp

SHAPES = [(784, 256), (64, 900), (3, 200, 100)]  # n > m, n < m, and a stack: never n = m, which hides mistakes
STANDARD_ERRORS = 5


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


def assert_moments(W, mean, variance, kurtosis):
    """Sample mean and variance lie within a few standard errors of the promised ones; kurtosis is E[z⁴]/σ⁴."""
    assert abs(W.mean() - mean) <= STANDARD_ERRORS * math.sqrt(variance / W.size)
    error_of_variance = variance * math.sqrt((kurtosis - 1) / W.size)
    assert abs(W.var() - variance) <= STANDARD_ERRORS * error_of_variance


def assert_uniform(W, low, high):
    assert low <= W.min()
    assert W.max() < high
    assert W.min() < low + 0.001 * (high - low)  # the bounds are reached
    assert W.max() > high - 0.001 * (high - low)
    assert_moments(W, (low + high) / 2, (high - low) ** 2 / 12, 1.8)


@pytest.mark.parametrize(
    ("scheme", "value"), [(init.zeros, 0), (init.ones, 1), (partial(init.constant, value=-0.3), -0.3)]
)
def test_constants_are_constant(scheme, value, shape, rng):
    W = scheme(shape, rng=rng)
    assert W.shape == shape
    assert (W == value).all()


def test_uniform_has_its_bounds_mean_and_variance(shape, rng):
    assert_uniform(init.uniform(shape, rng=rng), 0, 1)
    assert_uniform(init.uniform(shape, rng=rng, low=-0.5, high=0.5), -0.5, 0.5)


def test_normal_has_its_mean_and_variance(shape, rng):
    assert_moments(init.normal(shape, rng=rng), 0, 1, 3)
    assert_moments(init.normal(shape, rng=rng, mean=2, std=0.1), 2, 0.01, 3)


def test_rule_uniform_is_within_one_over_root_n(shape, rng):
    y = 1 / math.sqrt(shape[-2])
    assert_uniform(init.rule_uniform(shape, rng=rng), -y, y)


def test_rule_uniform_has_variance_one_over_3n(shape, rng):
    assert_moments(init.rule_uniform(shape, rng=rng), 0, 1 / (3 * shape[-2]), 1.8)


def test_rule_normal_has_standard_deviation_one_over_root_n(shape, rng):
    assert_moments(init.rule_normal(shape, rng=rng), 0, 1 / shape[-2], 3)


def test_torch_linear_is_what_pytorch_starts_with(rng):
    """Both samples come from one distribution: same support, and moments within standard errors."""
    n, m = 400, 300
    torch.manual_seed(0)
    theirs = torch.nn.Linear(n, m)
    W, b = init.torch_linear((n, m), rng=rng), init.torch_linear_bias((m,), fan_in=n, rng=rng)
    for ours, other in ((W, theirs.weight.detach().numpy()), (b, theirs.bias.detach().numpy())):
        for sample in (ours, other):
            assert np.abs(sample).max() <= 1 / math.sqrt(n)
            assert_moments(sample, 0, 1 / (3 * n), 1.8)


def test_rule_normal_keeps_the_scale_of_inputs_with_mean_square_1(rng):
    """Var(Σ_k x_k w_kj) = n·1·(1/n) = 1."""
    X = rng.normal(size=(500, 300))
    Y = X @ init.rule_normal((300, 200), rng=rng)
    assert abs((Y**2).mean() - 1) < 0.1


def test_equal_seeds_agree_and_two_draws_differ(shape):
    for name in ("uniform", "normal", "rule_uniform", "rule_normal", "torch_linear"):
        scheme = init.SCHEMES[name]
        rng = np.random.default_rng(1)
        first, second = scheme(shape, rng=rng), scheme(shape, rng=rng)
        assert not np.array_equal(first, second), name
        assert np.array_equal(first, scheme(shape, rng=np.random.default_rng(1))), name


def test_every_scheme_is_found_under_its_own_name():
    for name, scheme in init.SCHEMES.items():
        assert scheme.__name__ == name


@pytest.mark.parametrize("name", ["rule_uniform", "rule_normal", "torch_linear"])
def test_a_bias_has_no_fan_in(name, rng):
    with pytest.raises(ValueError, match="a bias has no fan-in"):
        init.SCHEMES[name]((10,), rng=rng)


@pytest.mark.parametrize(
    "call",
    [
        lambda rng: init.uniform((2, 3), rng=rng, low=1.0, high=1.0),
        lambda rng: init.uniform((2, 3), rng=rng, low=math.nan),
        lambda rng: init.normal((2, 3), rng=rng, std=-1.0),
        lambda rng: init.normal((2, 3), rng=rng, std=math.nan),
        lambda rng: init.rule_normal((0, 3), rng=rng),
    ],
)
def test_impossible_arguments_are_refused_in_one_sentence(call, rng):
    with pytest.raises(ValueError, match=r"came|shape is"):
        call(rng)


def test_linear_fills_weights_in_place_and_biases_with_zeros(rng):
    network = mlp([6, 5, 4])
    network.theta[...] = 7
    network.apply(init.linear(init.rule_uniform, rng=rng))
    for layer in network.layers:
        if isinstance(layer, Linear):
            assert layer.W.base is not None
            assert np.abs(layer.W).max() <= 1 / math.sqrt(layer.W.shape[-2])
            assert (layer.b == 0).all()
    assert not (network.theta == 7).any()


def test_linear_gives_two_layers_different_numbers(rng):
    network = mlp([5, 5, 5]).apply(init.linear(init.rule_normal, rng=rng))
    assert not np.array_equal(network.layers[0].W, network.layers[2].W)


def test_linear_fills_biases_by_the_fan_in_of_their_weights(rng):
    network = mlp([4, 900]).apply(init.linear(init.torch_linear, rng=rng, bias=init.torch_linear_bias))
    b = network.layers[0].b
    assert 0.49 < np.abs(b).max() <= 0.5


def test_linear_passes_over_layers_without_weights(rng):
    init.linear(init.zeros, rng=rng)(ReLU())
