"""Initial weights: drawn from the distribution that each scheme promises, on tall and on wide shapes."""

import math
from functools import partial

import numpy as np
import pytest
import scipy.linalg
import scipy.stats
import torch

from scratchnet import init
from scratchnet.init import meanfield
from scratchnet.layers import Linear, ReLU, Tanh
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
    fixed = {"zeros", "ones", "constant", "identity", "zero"}
    for name, scheme in init.SCHEMES.items():
        if name in fixed or (name == "sparse" and shape[-2] < 15):
            continue
        rng = np.random.default_rng(1)
        first, second = scheme(shape, rng=rng), scheme(shape, rng=rng)
        assert not np.array_equal(first, second), name
        assert np.array_equal(first, scheme(shape, rng=np.random.default_rng(1))), name


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
        lambda rng: init.normal((2, 3), rng=rng, std=-1.0),
        lambda rng: init.normal((2, 3), rng=rng, std=math.nan),
        lambda rng: init.rule_normal((0, 3), rng=rng),
        lambda rng: init.uniform((2, 3), rng=rng, high=math.inf),
        lambda rng: init.normal((2, 3), rng=rng, mean=math.nan),
        lambda rng: init.constant((2, 3), rng=rng, value=math.nan),
        lambda rng: init.identity((2, 3), rng=rng, gain=math.inf),
        lambda rng: init.orthogonal((2, 3), rng=rng, gain=math.nan),
        lambda rng: init.glorot_normal((2, 3), rng=rng, gain=-1.0),
        lambda rng: init.glorot_uniform((2, 3), rng=rng, gain=math.nan),
        lambda rng: init.he_normal((2, 3), rng=rng, a=math.nan),
        lambda rng: init.he_uniform((2, 3), rng=rng, a=math.inf),
        lambda rng: init.variance_scaling((2, 3), rng=rng, scale=-2.0),
        lambda rng: init.truncated_normal((2, 3), rng=rng, std=-1.0),
        lambda rng: init.sparse((20, 3), rng=rng, std=-1.0),
        lambda rng: init.sparse((14, 3), rng=rng),
        lambda rng: init.sparse((14, 3), rng=rng, k=0),
        lambda rng: init.siren_hidden((2, 3), rng=rng, omega=0.0),
    ],
)
def test_impossible_arguments_are_refused_in_one_sentence(call, rng):
    with pytest.raises(ValueError, match=r"came|shape is"):
        call(rng)


# --- the rules of the fan, on shapes with n ≠ m ---


@pytest.mark.parametrize(
    ("name", "variance"),
    [
        ("lecun_uniform", lambda n, m: 1 / n),
        ("lecun_normal", lambda n, m: 1 / n),
        ("glorot_uniform", lambda n, m: 2 / (n + m)),
        ("glorot_normal", lambda n, m: 2 / (n + m)),
        ("he_uniform", lambda n, m: 2 / n),
        ("he_normal", lambda n, m: 2 / n),
        ("keras_dense", lambda n, m: 2 / (n + m)),
        ("flax_dense", lambda n, m: 1 / n),
        ("haiku_dense", lambda n, m: 0.87962566**2 / n),
        ("siren_first", lambda n, m: 1 / n**2 / 3),
        ("siren_hidden", lambda n, m: 6 / n / 30**2 / 3),
        ("edge_of_chaos", lambda n, m: 2 / n),
    ],
)
def test_the_variance_is_the_one_of_the_rule(name, variance, shape, rng):
    uniform = name.endswith("uniform") or name in ("keras_dense", "siren_first", "siren_hidden")
    W = init.SCHEMES[name](shape, rng=rng)
    assert_moments(W, 0, variance(*shape[-2:]), 1.8 if uniform else 3)
    if uniform:
        bound = math.sqrt(3 * variance(*shape[-2:]))
        assert_uniform(W, -bound, bound)


@pytest.mark.parametrize(
    ("mode", "fan"),
    [
        ("fan_in", lambda n, m: n),
        ("fan_out", lambda n, m: m),
        ("fan_avg", lambda n, m: (n + m) / 2),
        ("fan_geo", lambda n, m: math.sqrt(n * m)),
    ],
)
@pytest.mark.parametrize("distribution", ["normal", "truncated", "uniform"])
def test_variance_scaling_has_variance_scale_over_fan(mode, fan, distribution, shape, rng):
    W = init.variance_scaling(shape, rng=rng, scale=1.7, mode=mode, distribution=distribution)
    assert_moments(W, 0, 1.7 / fan(*shape[-2:]), 3)


def test_he_takes_the_slope_of_a_leaky_relu_and_the_other_fan(shape, rng):
    n, m = shape[-2:]
    assert_moments(init.he_normal(shape, rng=rng, a=0.5), 0, 2 / (1.25 * n), 3)
    assert_moments(init.he_uniform(shape, rng=rng, mode="fan_out"), 0, 2 / m, 1.8)
    assert_moments(init.glorot_normal(shape, rng=rng, gain=5 / 3), 0, (5 / 3) ** 2 * 2 / (n + m), 3)


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
    """Two samples, one from each, are told apart by no Kolmogorov-Smirnov test at 0.1 %."""
    n, m = 300, 200
    torch.manual_seed(0)
    other = theirs(torch.empty(m, n)).numpy()  # PyTorch keeps Wᵀ
    assert scipy.stats.ks_2samp(init.SCHEMES[name]((n, m), rng=rng).ravel(), other.ravel()).pvalue > 1e-3


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
    jax = pytest.importorskip("jax", reason="JAX is not installed: it is optional, and the only oracle for its own")
    n, m = 300, 200
    other = np.asarray(theirs(jax.nn.initializers)(jax.random.key(0), (n, m)))
    assert scipy.stats.ks_2samp(init.SCHEMES[name]((n, m), rng=rng).ravel(), other.ravel()).pvalue > 1e-3


# --- truncation ---


@pytest.mark.parametrize(("low", "high"), [(-2, 2), (-1, 3), (0.5, 1.5), (-0.1, 0.1), (-8, 8)])
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


@pytest.mark.parametrize(("low", "high"), [(2, 2), (3, -3), (6, 9), (math.nan, 1)])
def test_bounds_that_keep_nothing_are_refused(low, high, rng):
    with pytest.raises(ValueError, match="keeps next to nothing: widen the bounds"):
        init.truncated_normal((2, 3), rng=rng, low=low, high=high)


# --- matrices with a structure ---


@pytest.mark.parametrize("shape", [(5, 5), (7, 3), (3, 7), (2, 6, 4)], ids=str)
def test_identity_is_g_times_the_identity_also_where_it_is_not_square(shape, rng):
    W = init.identity(shape, rng=rng, gain=2.5)
    assert np.array_equal(W, np.broadcast_to(2.5 * np.eye(*shape[-2:]), shape))
    W[...] = 0  # and it may be written to


@pytest.mark.parametrize("shape", [(60, 60), (100, 30), (30, 100), (3, 40, 20)], ids=str)
def test_orthogonal_has_orthonormal_columns_or_rows_times_its_gain(shape, rng):
    W = init.orthogonal(shape, rng=rng, gain=1.5).astype(np.float32)
    n, m = shape[-2:]
    gram = W.swapaxes(-1, -2) @ W if n >= m else W @ W.swapaxes(-1, -2)
    np.testing.assert_allclose(gram, np.broadcast_to(1.5**2 * np.eye(min(n, m)), gram.shape), atol=1e-5)


def test_orthogonal_is_uniform_among_all_rotations_and_reflections(rng):
    """Haar measure at n = 4: E[Q₀₀] = 0, Var Q₀₀ = 1/4, both signs of the determinant. Plain QR has −0.43 and −1."""
    Q = init.orthogonal((4000, 4, 4), rng=rng)
    assert abs(Q[:, 0, 0].mean()) < 5 * 0.5 / math.sqrt(4000)
    assert abs(Q[:, 0, 0].var() - 0.25) < 0.03
    positive = (np.linalg.det(Q) > 0).mean()
    assert abs(positive - 0.5) < 5 * 0.5 / math.sqrt(4000)
    other = scipy.stats.ortho_group(4, seed=0).rvs(4000)
    assert scipy.stats.ks_2samp(Q[:, 1, 2], other[:, 1, 2]).pvalue > 1e-3


def test_an_orthogonal_layer_that_widens_shrinks_each_units_mean_square_by_n_over_m(rng):
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


def test_hadamard_is_scipys():
    for p in range(5):
        assert np.array_equal(init.hadamard(p), scipy.linalg.hadamard(2**p))


def test_zero_is_the_identity_cut_off_and_a_hadamard_matrix_where_the_layer_widens(rng):
    assert np.array_equal(init.zero((6, 4), rng=rng), np.eye(6, 4))
    W = init.zero((3, 8), rng=rng)  # p = 3, c = 2^(−1)
    assert np.array_equal(W, 0.5 * scipy.linalg.hadamard(8)[:3])
    assert init.zero((2, 5, 6), rng=rng).shape == (2, 5, 6)
    assert np.linalg.matrix_rank(init.zero((5, 6), rng=rng)) == 5


def test_a_network_of_sines_settles_at_the_variance_q_equals_1_minus_exp_of_minus_2q(rng):
    """Near the N(0, 1) that the paper aims for, in every layer after the first, whatever the depth."""
    fixed = meanfield.fixed_point(np.sin, sigma_w=math.sqrt(2))
    assert math.isclose(fixed, 1 - math.exp(-2 * fixed), rel_tol=1e-9)
    assert abs(fixed - 0.797) < 0.001
    X = np.sin(30 * (rng.uniform(-1, 1, (2000, 2)) @ init.siren_first((2, 512), rng=rng)))
    for layer in range(8):
        argument = 30 * (X @ init.siren_hidden((512, 512), rng=rng))
        assert abs(argument.var() - (1 if layer == 0 else fixed)) < 0.15
        X = np.sin(argument)


def test_edge_of_chaos_for_tanh_keeps_variance_and_gradient_and_its_biases_have_theirs(rng):
    sigma_w, sigma_b = meanfield.edge_of_chaos(Tanh(), q=0.5)
    W = init.edge_of_chaos((400, 300), rng=rng, phi=Tanh(), q=0.5)
    b = init.edge_of_chaos_bias((20_000,), fan_in=400, rng=rng, phi=Tanh(), q=0.5)
    assert_moments(W, 0, sigma_w**2 / 400, 3)
    assert_moments(b, 0, sigma_b**2, 3)


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
    """PyTorch's default and the general rule: what a comparison of them changes is the biases, and nothing else."""
    networks = [
        mlp([5, 4, 3, 2]).apply(init.linear(scheme, rng=np.random.default_rng(0), bias=bias))
        for scheme, bias in ((init.rule_uniform, None), (init.torch_linear, init.torch_linear_bias))
    ]
    for first, second in zip(networks[0].layers[::2], networks[1].layers[::2], strict=True):
        np.testing.assert_allclose(first.W, second.W, rtol=1e-6)
        assert not np.array_equal(first.b, second.b)


def test_linear_passes_over_layers_without_weights(rng):
    init.linear(init.zeros, rng=rng)(ReLU())
