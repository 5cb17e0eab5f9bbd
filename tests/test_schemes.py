"""Initial weights come from the distribution that each scheme promises, on tall and on wide shapes."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.stats
from moments import SHAPES, assert_moments, assert_uniform
from oracle import torch

from scratchnet import init
from scratchnet.layers import Linear, ReLU
from scratchnet.network import mlp


@pytest.fixture(params=SHAPES, ids=str)
def shape(request):
    return request.param


@pytest.mark.parametrize(
    ("scheme", "value"),
    [(init.zeros, 0), (init.ones, 1), (init.constant, 0.1), (partial(init.constant, value=-0.3), -0.3)],
)
def test_constants_are_constant(scheme, value, shape, rng):
    W = scheme(shape, rng=rng)
    assert W.shape == shape
    assert (W == value).all()


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 6, 4)], ids=str)
def test_identity_is_g_times_the_identity_also_where_it_is_not_square(shape, rng):
    W = init.identity(shape, rng=rng, gain=2.5)
    assert np.array_equal(W, np.broadcast_to(2.5 * np.eye(*shape[-2:]), shape))
    W[...] = 0  # and W is writable
    assert np.array_equal(init.identity(shape, rng=rng), np.broadcast_to(np.eye(*shape[-2:]), shape))


def test_uniform_has_its_bounds_mean_and_variance(shape, rng):
    assert_uniform(init.uniform(shape, rng=rng), 0, 1)
    assert_uniform(init.uniform(shape, rng=rng, low=-0.5, high=0.5), -0.5, 0.5)


def test_normal_has_its_mean_and_variance(shape, rng):
    assert_moments(init.normal(shape, rng=rng), 0, 1, 3)
    assert_moments(init.normal(shape, rng=rng, mean=2, std=0.1), 2, 0.01, 3)
    assert (init.normal(shape, rng=rng, mean=2, std=0.0) == 2).all()


def test_rule_uniform_is_within_one_over_root_n_in(shape, rng):
    bound = 1 / math.sqrt(shape[-2])
    assert_uniform(init.rule_uniform(shape, rng=rng), -bound, bound)


def test_rule_uniform_has_variance_one_over_3_n_in(shape, rng):
    assert_moments(init.rule_uniform(shape, rng=rng), 0, 1 / (3 * shape[-2]), 1.8)


def test_rule_normal_has_standard_deviation_one_over_root_n_in(shape, rng):
    assert_moments(init.rule_normal(shape, rng=rng), 0, 1 / shape[-2], 3)


def test_torch_linear_is_what_pytorch_starts_with(rng):
    """Both samples come from one distribution: same support, and moments within standard errors."""
    n_in, n_out = 400, 300
    torch.manual_seed(0)
    theirs = torch.nn.Linear(n_in, n_out)
    W, b = init.torch_linear((n_in, n_out), rng=rng), init.torch_linear_bias((n_out,), fan_in=n_in, rng=rng)
    for ours, other in ((W, theirs.weight.detach().numpy()), (b, theirs.bias.detach().numpy())):
        for sample in (ours, other):
            assert np.abs(sample).max() <= 1 / math.sqrt(n_in)
            assert_moments(sample, 0, 1 / (3 * n_in), 1.8)


def test_rule_normal_keeps_the_scale_of_inputs_with_mean_square_1(rng):
    """Var(Σ_k x_k w_kj) = n_in·1·(1/n_in) = 1."""
    X = rng.normal(size=(500, 300))
    Y = X @ init.rule_normal((300, 200), rng=rng)
    assert abs((Y**2).mean() - 1) < 0.1


def test_equal_seeds_agree_and_two_draws_differ(shape):
    fixed = {"zeros", "ones", "constant", "identity", "zero"}
    for name, scheme in init.SCHEMES.items():
        if name in fixed or (name == "sparse" and shape[-2] < 15):
            continue
        rng = np.random.default_rng(1)
        first, second = scheme(shape, rng=rng), scheme(shape, rng=rng)
        assert not np.array_equal(first, second), name
        assert np.array_equal(first, scheme(shape, rng=np.random.default_rng(1))), name


def test_a_layer_may_have_one_input_and_one_unit(rng):
    for name, scheme in init.SCHEMES.items():
        if name != "sparse":  # it takes 15 links
            assert scheme((1, 1), rng=rng).shape == (1, 1), name


def test_every_scheme_is_found_under_its_own_name():
    for name, scheme in init.SCHEMES.items():
        assert scheme.__name__ == name


def test_every_alias_is_the_name_of_a_scheme():
    assert set(init.ALIASES.values()) <= set(init.SCHEMES)
    assert init.resolve("xavier_uniform", init.SCHEMES) == "glorot_uniform"


def test_an_unknown_name_lists_the_near_ones():
    with pytest.raises(ValueError, match="no initialization 'he_norml'; did you mean he_normal"):
        init.resolve("he_norml", init.SCHEMES)
    with pytest.raises(ValueError, match="no initialization 'qqqq'; there are zeros, ones"):
        init.resolve("qqqq", init.SCHEMES)


FANLESS = {"zeros", "ones", "constant", "uniform", "normal", "truncated_normal"}


@pytest.mark.parametrize("name", [name for name in init.SCHEMES if name not in FANLESS])
def test_a_bias_has_no_fan_in(name, rng):
    with pytest.raises(ValueError, match="a bias has no fan-in"):
        init.SCHEMES[name]((10,), rng=rng)


@pytest.mark.parametrize(
    "call",
    [
        lambda rng: init.uniform((2, 3), rng=rng, low=1.0, high=1.0),
        lambda rng: init.uniform((2, 3), rng=rng, low=math.nan),
        lambda rng: init.uniform((2, 3), rng=rng, low=-math.inf),
        lambda rng: init.normal((2, 3), rng=rng, std=-1.0),
        lambda rng: init.normal((2, 3), rng=rng, std=math.nan),
        lambda rng: init.rule_normal((0, 3), rng=rng),
        lambda rng: init.uniform((2, 3), rng=rng, high=math.inf),
        lambda rng: init.normal((2, 3), rng=rng, mean=math.nan),
        lambda rng: init.constant((2, 3), rng=rng, value=math.nan),
        lambda rng: init.identity((2, 3), rng=rng, gain=math.inf),
        lambda rng: init.glorot_normal((2, 3), rng=rng, gain=-1.0),
        lambda rng: init.glorot_uniform((2, 3), rng=rng, gain=math.nan),
        lambda rng: init.he_normal((2, 3), rng=rng, a=math.nan),
        lambda rng: init.he_uniform((2, 3), rng=rng, a=math.inf),
        lambda rng: init.variance_scaling((2, 3), rng=rng, scale=-2.0),
        lambda rng: init.truncated_normal((2, 3), rng=rng, std=-1.0),
    ],
)
def test_impossible_arguments_are_refused_in_one_sentence(call, rng):
    with pytest.raises(ValueError, match=r"^expected .*, got "):
        call(rng)


# --- the rules of the fan, on shapes with n_in ≠ n_out ---


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("lecun_uniform", lambda n_in, n_out: 1 / n_in),
        ("lecun_normal", lambda n_in, n_out: 1 / n_in),
        ("glorot_uniform", lambda n_in, n_out: 2 / (n_in + n_out)),
        ("glorot_normal", lambda n_in, n_out: 2 / (n_in + n_out)),
        ("he_uniform", lambda n_in, n_out: 2 / n_in),
        ("he_normal", lambda n_in, n_out: 2 / n_in),
        ("keras_dense", lambda n_in, n_out: 2 / (n_in + n_out)),
        ("flax_dense", lambda n_in, n_out: 1 / n_in),
        ("haiku_dense", lambda n_in, n_out: 0.87962566**2 / n_in),
    ],
)
def test_the_variance_is_the_one_of_the_rule(name, variance, shape, rng):
    uniform = name.endswith("uniform") or name == "keras_dense"
    W = init.SCHEMES[name](shape, rng=rng)
    assert_moments(W, 0, variance(*shape[-2:]), 1.8 if uniform else 3)
    if uniform:
        bound = math.sqrt(3 * variance(*shape[-2:]))
        assert_uniform(W, -bound, bound)


@pytest.mark.parametrize(
    ("mode", "fan"),
    [
        ("fan_in", lambda n_in, n_out: n_in),
        ("fan_out", lambda n_in, n_out: n_out),
        ("fan_avg", lambda n_in, n_out: (n_in + n_out) / 2),
        ("fan_geo", lambda n_in, n_out: math.sqrt(n_in * n_out)),
    ],
)
@pytest.mark.parametrize("distribution", ["normal", "truncated", "uniform"])
def test_variance_scaling_has_variance_scale_over_fan(mode, fan, distribution, shape, rng):
    W = init.variance_scaling(shape, rng=rng, scale=1.7, mode=mode, distribution=distribution)
    assert_moments(W, 0, 1.7 / fan(*shape[-2:]), 3)


def test_variance_scaling_is_lecuns_rule_if_nothing_else_is_said(shape, rng):
    assert_moments(init.variance_scaling(shape, rng=rng), 0, 1 / shape[-2], 3)


def test_he_takes_the_slope_of_a_leaky_relu_and_the_other_fan(shape, rng):
    n_in, n_out = shape[-2:]
    assert_moments(init.he_normal(shape, rng=rng, a=0.5), 0, 2 / (1.25 * n_in), 3)
    assert_moments(init.he_uniform(shape, rng=rng, mode="fan_out"), 0, 2 / n_out, 1.8)
    assert_moments(init.he_uniform(shape, rng=rng, a=0.5), 0, 2 / (1.25 * n_in), 1.8)
    assert_moments(init.glorot_normal(shape, rng=rng, gain=5 / 3), 0, (5 / 3) ** 2 * 2 / (n_in + n_out), 3)


def test_relu_halves_the_mean_square_of_a_symmetric_signal_and_he_doubles_it_again(rng):
    """E[max(y, 0)²] = E[y²]/2, so Var w = 2/n_in keeps E[y²]: the derivation in the docstring of `he_normal`."""
    y = rng.uniform(-1, 1, (400, 2000))  # symmetric, and not normal
    x = np.maximum(y, 0)
    assert math.isclose((x**2).mean(), (y**2).mean() / 2, rel_tol=0.01)
    y_next = x @ init.he_normal((2000, 1000), rng=rng)
    assert math.isclose((y_next**2).mean(), (y**2).mean(), rel_tol=0.03)


def test_unknown_modes_and_distributions_are_refused(rng):
    with pytest.raises(ValueError, match="no fan 'fan_sum': choose fan_in, fan_out, fan_avg, fan_geo"):
        init.variance_scaling((2, 3), rng=rng, mode="fan_sum")
    with pytest.raises(ValueError, match="no distribution 'cauchy': choose normal, truncated, uniform"):
        init.variance_scaling((2, 3), rng=rng, distribution="cauchy")


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("glorot_uniform", torch.nn.init.xavier_uniform_),
        ("glorot_normal", torch.nn.init.xavier_normal_),
        ("he_uniform", torch.nn.init.kaiming_uniform_),
        ("he_normal", torch.nn.init.kaiming_normal_),
    ],
)
def test_pytorchs_function_draws_from_the_same_distribution(name, theirs, rng):
    """A Kolmogorov-Smirnov test at 0.1 % finds no difference between two samples, one from each."""
    n_in, n_out = 300, 200
    torch.manual_seed(0)
    other = theirs(torch.empty(n_out, n_in)).numpy()  # PyTorch stores Wᵀ
    assert scipy.stats.ks_2samp(init.SCHEMES[name]((n_in, n_out), rng=rng).ravel(), other.ravel()).pvalue > 1e-3


@pytest.mark.parametrize(
    ("name", "theirs"),
    [
        ("lecun_uniform", lambda init: init.lecun_uniform()),
        ("glorot_normal", lambda init: init.variance_scaling(1.0, "fan_avg", "normal")),
        ("he_uniform", lambda init: init.he_uniform()),
        ("flax_dense", lambda init: init.lecun_normal()),  # truncated in JAX, as its Dense layer has it
    ],
)
def test_jaxs_function_draws_from_the_same_distribution(name, theirs, rng):
    jax = pytest.importorskip("jax", reason="JAX is optional, and it is not installed")
    n_in, n_out = 300, 200
    other = np.asarray(theirs(jax.nn.initializers)(jax.random.key(0), (n_in, n_out)))
    assert scipy.stats.ks_2samp(init.SCHEMES[name]((n_in, n_out), rng=rng).ravel(), other.ravel()).pvalue > 1e-3


# --- truncation ---


@pytest.mark.parametrize(
    ("low", "high"), [(-2, 2), (-1, 3), (0.5, 1.5), (-0.1, 0.1), (-8, 8), (-1, np.inf), (-np.inf, 2), (-50, 50)]
)
def test_truncated_std_is_scipys(low, high):
    assert math.isclose(init.truncated_std(low, high), scipy.stats.truncnorm(low, high).std(), rel_tol=1e-6)


@pytest.mark.parametrize("corrected", [True, False])
def test_a_truncated_normal_keeps_its_bounds_and_the_promised_deviation(corrected, shape, rng):
    W = init.truncated_normal(shape, rng=rng, std=0.3, corrected=corrected)
    std = 0.3 if corrected else 0.3 * 0.87962566
    assert_moments(W, 0, std**2, 3)
    assert np.abs(W).max() <= 2 * 0.3 / (0.87962566 if corrected else 1) + 1e-12


def test_a_truncated_normal_is_scipys_distribution(rng):
    W = init.truncated_normal((200, 300), rng=rng, mean=1.0, std=2.0, low=-1.0, high=2.5, corrected=False)
    exact = scipy.stats.truncnorm(-1.0, 2.5, loc=1.0, scale=2.0)
    assert scipy.stats.kstest(W.ravel(), exact.cdf).pvalue > 1e-3


def test_far_bounds_give_no_outliers(rng):
    W = init.truncated_normal((1000, 1000), rng=rng, low=-50.0, high=50.0)
    assert np.abs(W).max() < 7


@pytest.mark.parametrize(("low", "high"), [(2, 2), (3, -3), (4, 9), (math.nan, 1)])
def test_bounds_that_keep_nothing_are_refused(low, high, rng):
    with pytest.raises(ValueError, match=r"expected low < high .*: widen the bounds"):
        init.truncated_normal((2, 3), rng=rng, low=low, high=high)


# --- filling a network ---


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


def test_two_fillings_that_differ_in_the_biases_alone_have_the_same_weights():
    """So a comparison of PyTorch's default with the general rule compares the biases and nothing else."""
    networks = [
        mlp([5, 4, 3, 2]).apply(init.linear(scheme, rng=np.random.default_rng(0), bias=bias))
        for scheme, bias in ((init.rule_uniform, None), (init.torch_linear, init.torch_linear_bias))
    ]
    for first, second in zip(networks[0].layers[::2], networks[1].layers[::2], strict=True):
        np.testing.assert_allclose(first.W, second.W, rtol=1e-6)
        assert not np.array_equal(first.b, second.b)


def test_biases_take_one_generator_of_their_own_and_a_filling_without_them_takes_none():
    for bias, taken in ((None, 0), (init.torch_linear_bias, 1)):
        rng = np.random.default_rng(0)
        mlp([4, 3, 2]).apply(init.linear(init.rule_uniform, rng=rng, bias=bias))
        assert rng.bit_generator.seed_seq.n_children_spawned == taken


def test_linear_fills_linear_layers_only(rng):
    """Another layer with an attribute W initializes it by itself."""

    class Other:
        params = {"W": 2}
        W, b = np.full((3, 4), 7.0), None

    for layer in (ReLU(), other := Other()):
        init.linear(init.zeros, rng=rng)(layer)
    assert (other.W == 7).all()


def ones_of_the_last_axis(shape, *, rng, fan_in=None):
    """A mistake that NumPy would broadcast."""
    return np.ones(shape[-1:])


def one(shape, *, rng, fan_in=None):
    return 1.0


@pytest.mark.parametrize(
    ("scheme", "match"),
    [
        (ones_of_the_last_axis, r"the scheme ones_of_the_last_axis returned an array of shape \(256,\)"),
        (one, r"the scheme one returned an array of shape \(\)"),
        (partial(one, fan_in=3), r"the scheme one returned an array of shape \(\)"),
        (lambda shape, *, rng: np.ones(shape[::-1]), r"the scheme <lambda> returned an array of shape \(256, 784\)"),
        (lambda shape, *, rng: np.ones(shape, complex), r"returned a complex array of shape \(784, 256\)"),
    ],
    ids=["row", "scalar", "partial", "transpose", "complex"],
)
def test_linear_refuses_weights_of_another_shape_and_complex_ones(scheme, match, rng):
    network = mlp([784, 256])
    with pytest.raises(ValueError, match=match + r", expected \(784, 256\)$"):
        network.apply(init.linear(scheme, rng=rng))
    assert (network.theta == 0).all()


def test_linear_refuses_biases_of_another_shape(rng):
    network = mlp([784, 256])
    with pytest.raises(ValueError, match=r"the scheme one returned an array of shape \(\), expected \(256,\)$"):
        network.apply(init.linear(init.zeros, rng=rng, bias=one))


def test_a_scheme_may_be_any_callable_object(rng):
    class Mine:
        def __call__(self, shape, *, rng):
            return np.ones(shape[-1])

        def __str__(self):
            return "mine"

    with pytest.raises(ValueError, match="the scheme mine returned"):
        mlp([4, 3]).apply(init.linear(Mine(), rng=rng))
