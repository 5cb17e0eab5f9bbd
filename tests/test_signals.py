"""What a network is expected to show before it is trained: against simulated wide networks and the lesson's own."""

import itertools
import math
import time

import numpy as np
import pytest
import scipy.special
import scipy.stats

from scratchnet import init
from scratchnet.init.expected import theory
from scratchnet.init.gaussian import slope_moment
from scratchnet.init.signals import LayerLaw, first_loss, predict
from scratchnet.layers import GELU, Dropout, Identity, LeakyReLU, Linear, PReLU, ReLU, Tanh
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network, mlp

WIDTH, EXAMPLES, CLASSES = 4096, 24, 500
LESSON = (784, 256, 128, 10)


def laws(sizes, *, w_mean=0.0, w_var, b_var=0.0, phi=None, dropout=0.0):
    """LayerLaws of an mlp: `w_mean` and `w_var` are functions of n_in, or numbers."""

    def at(value, n_in):
        return value(n_in) if callable(value) else value

    last = len(sizes) - 2
    return [
        LayerLaw(n, m, at(w_mean, n), at(w_var, n), b_var, None if i == last else phi, 0.0 if i == last else dropout)
        for i, (n, m) in enumerate(itertools.pairwise(sizes))
    ]


def lesson(scheme):
    def law(n_in, n_out, last):
        promised = theory(scheme, (n_in, n_out))
        return LayerLaw(n_in, n_out, promised.mean, promised.std**2, 0.0, *((None, 0.0) if last else (ReLU(), 0.2)))

    return [law(n, m, m == 10) for n, m in itertools.pairwise(LESSON)]


def drawn(layers, rng):
    """A network of these laws, with normal weights in float32."""
    parts = []
    for law in layers:
        W = rng.standard_normal((law.n_in, law.n_out), np.float32) * np.float32(math.sqrt(law.w_var))
        b = rng.standard_normal(law.n_out, np.float32) * np.float32(math.sqrt(law.b_var))
        parts += [Linear(W + np.float32(law.w_mean), b)]
        parts += [] if law.phi is None else [type(law.phi)()]
        parts += [Dropout(law.dropout, rng=rng)] if law.dropout else []
    return Network(parts)


def measured(network, X, labels, dZ=None):
    """(layers, 4): E[y²], E[y], mean cosine of two examples, and E[dy²]/E[dz²], of each Linear layer while training.

    The gradient of the logits is `dZ`, or that of the cross-entropy.
    """
    outputs, gradients, Y = [], [], X
    for layer in network.layers:
        Y = layer.forward(Y, train=True)
        if isinstance(layer, Linear):
            outputs.append(Y.astype(np.float64))
    loss = CrossEntropy()
    loss.forward(Y, labels)
    dY = loss.backward() if dZ is None else dZ
    for layer in reversed(network.layers):
        if isinstance(layer, Linear):
            gradients.append((dY.astype(np.float64) ** 2).mean())
        dY = layer.backward(dY)
    rows = zip(outputs, gradients[::-1], strict=True)
    return np.array([((Y**2).mean(), Y.mean(), mean_cosine(Y), G / gradients[0]) for Y, G in rows])


def mean_cosine(X):
    lengths = np.linalg.norm(X.astype(np.float64), axis=1)
    return (X @ X.T / lengths / lengths[:, None])[np.triu_indices(len(X), 1)].mean()


WIDE = {
    "He, dropout": {"w_var": lambda n: 2 / n, "phi": ReLU(), "dropout": 0.4},
    "tanh, a negative mean, biases": {
        "w_mean": lambda n: -2 / n,
        "w_var": lambda n: 1 / n,
        "b_var": 0.3,
        "phi": Tanh(),
        "dropout": 0.1,
    },
    "U[0, 1), dropout": {"w_mean": 0.5, "w_var": 1 / 12, "phi": ReLU(), "dropout": 0.3},
    "GELU, a small mean, dropout": {"w_mean": lambda n: 1 / n, "w_var": lambda n: 2 / n, "phi": GELU(), "dropout": 0.2},
}


@pytest.mark.parametrize("name", WIDE)
def test_layers_of_width_4096_show_what_is_expected_of_them(name, rng):
    """Mean over 4 draws. With z ~ N(0, 1), Var(z²) = 2 and Var(relu(z)²)/E[relu(z)²]² = 5, so after l layers the mean
    square of 4096 units has a relative error of about √((2 + 5(l − 1))/4096), and half of that as a mean of 4 draws.
    """
    draws, sizes = 4, (784, WIDTH, WIDTH, CLASSES)
    layers = laws(sizes, **WIDE[name])
    shared, own = rng.random((1, 784)), rng.random((EXAMPLES, 784))
    X = np.sqrt(0.5) * shared + np.sqrt(0.5) * own  # alike, of about one size, and with a mean
    labels = rng.integers(CLASSES, size=EXAMPLES)
    expected = predict(layers, X.mean(axis=1), (X**2).mean(axis=1), c=mean_cosine(X))
    shown = [measured(drawn(layers, rng), X.astype(np.float32), labels) for _ in range(draws)]
    for i, (e, (q, mean, cosine, gradient)) in enumerate(zip(expected, np.mean(shown, axis=0), strict=True)):
        units = sizes[i + 1]
        error = 5 * math.sqrt((2 / units + 5 * i / WIDTH) / draws)
        assert abs(q / e.q - 1) < error
        assert abs(mean - e.mean) < error * math.sqrt(e.q)
        assert abs(cosine - e.correlation) < error
        if e.gradient < 2 * WIDTH:  # beyond, one sum over all units decides, which a few draws do not pin down
            assert abs(gradient / e.gradient - 1) < 5 * math.sqrt(7 / CLASSES / draws)


def test_the_gradient_of_weights_with_a_mean_is_one_sum_that_all_units_share(rng):
    """U[0, 1): the sum is a new draw in each network, so the mean is over 300 small ones. dz is independent of W."""
    layers = laws((20, 300, 200, 600, 10), w_mean=0.5, w_var=1 / 12, phi=ReLU(), dropout=0.3)
    X, labels = rng.random((30, 20)), rng.integers(10, size=30)
    expected = predict(layers, X.mean(axis=1), (X**2).mean(axis=1))
    dZ = rng.normal(size=(30, 10)).astype(np.float32)
    dZ -= dZ.mean(axis=1, keepdims=True)  # as that of softmax: the sum over the classes is 0
    shown = np.array([measured(drawn(layers, rng), X.astype(np.float32), labels, dZ)[:, 3] for _ in range(300)])
    for e, gradients in zip(expected, shown.T, strict=True):
        assert abs(gradients.mean() / e.gradient - 1) < 4 * gradients.std() / e.gradient / math.sqrt(300) + 0.005
    # without a mean, 200 units would send back 200·Var w = 17 times as much; a sum that they share makes it thousands
    assert 5000 < expected[0].gradient / expected[1].gradient < 200**2 / 4


def test_what_units_share_of_a_gradient_passes_an_activation_by_its_mean_slope(rng):
    """At the second layer half of the ReLUs are on: ¼ of the shared part stays shared behind them, and ½ of all."""
    layers = [
        LayerLaw(20, 300, 0.0, 0.05, phi=Tanh(), dropout=0.3),
        LayerLaw(300, 200, 0.1, 1.0, phi=ReLU(), dropout=0.3),
        LayerLaw(200, 600, 0.5, 1 / 12, phi=ReLU(), dropout=0.3),
        LayerLaw(600, 10, 0.5, 1 / 12),
    ]
    X, labels = rng.random((30, 20)), rng.integers(10, size=30)
    expected = predict(layers, X.mean(axis=1), (X**2).mean(axis=1))
    dZ = rng.normal(size=(30, 10)).astype(np.float32)
    dZ -= dZ.mean(axis=1, keepdims=True)
    shown = np.array([measured(drawn(layers, rng), X.astype(np.float32), labels, dZ)[:, 3] for _ in range(300)])
    for e, gradients in zip(expected, shown.T, strict=True):
        assert abs(gradients.mean() / e.gradient - 1) < 4 * gradients.std() / e.gradient / math.sqrt(300) + 0.03


def test_where_the_largest_logit_takes_all_the_gradient_of_weights_with_a_mean_is_larger_than_expected(dataset):
    """U[0, 1) in the lesson's network: dz is not independent of the last weights, which made one logit the largest."""
    X, labels = dataset.images[:300], dataset.labels[:300].astype(np.int64)
    expected = predict(lesson("uniform"), X.mean(axis=1), (X**2).mean(axis=1))
    found = []
    for seed in range(12):
        rng = np.random.default_rng(seed)
        network = mlp(LESSON, dropout=0.2, rng=rng).apply(init.linear(init.uniform, rng=rng))
        found.append(measured(network, X, labels)[:, 3])
    first, second, _ = np.mean(found, axis=0) / [e.gradient for e in expected]
    assert 1.2 < first < 2
    assert abs(second - 1) < 0.05


def test_without_a_mean_the_gradients_walk_is_that_of_gradient_factor():
    sizes, p = (50, 400, 100, 10), 0.2
    expected = predict(laws(sizes, w_var=lambda n: 1.6 / n, phi=ReLU(), dropout=p), 0.0, 1.0)
    for here, behind, (n_in, n_out) in zip(expected, expected[1:], [(400, 100), (100, 10)], strict=False):
        factor = init.meanfield.gradient_factor(
            ReLU(), here.q, sigma_w=math.sqrt(1.6), n_in=n_in, n_out=n_out, dropout=p
        )
        assert math.isclose(here.gradient / behind.gradient, factor, rel_tol=1e-9)
        assert math.isclose(here.slope, 0.5, rel_tol=1e-9)
    assert expected[-1].gradient == expected[-1].slope == 1


@pytest.mark.parametrize("phi", [ReLU(), Tanh()], ids=lambda phi: type(phi).__name__)
def test_without_a_mean_signals_follow_the_variance_and_the_correlation_map(phi):
    settings = {"sigma_w": 1.4, "sigma_b": 0.5, "dropout": 0.3}
    layers = laws((200,) * 7, w_var=lambda n: 1.4**2 / n, b_var=0.25, phi=phi, dropout=0.3)
    expected = predict(layers, 0.0, 0.7, c=0.2)
    assert math.isclose(expected[0].q, 1.4**2 * 0.7 + 0.25, rel_tol=1e-12)
    assert math.isclose(expected[0].correlation, (1.4**2 * 0.7 * 0.2 + 0.25) / expected[0].q, rel_tol=1e-12)
    for before, after in itertools.pairwise(expected):
        assert math.isclose(after.q, init.meanfield.variance_map(phi, before.q, **settings), rel_tol=1e-9)
        assert math.isclose(before.slope, slope_moment(phi, before.q), rel_tol=1e-9)
        c = init.meanfield.correlation_map(phi, before.correlation, before.q, **settings)
        assert math.isclose(after.correlation, c, rel_tol=1e-8)


@pytest.mark.parametrize("w_mean", [-0.02, 0.01])
def test_a_relu_behind_weights_with_a_mean_has_the_moments_of_a_cut_normal(w_mean):
    """E[relu(y)] = MΦ(M/√v) + √v·density, E[relu(y)²] = (M² + v)Φ(M/√v) + M√v·density, for y ~ N(M, v)."""
    layers = laws((100, 50, 10), w_mean=w_mean, w_var=0.02, phi=ReLU(), dropout=0.2)
    m = np.array([0.1, 0.5, 0.9])
    M, std = 100 * w_mean * m, np.sqrt(0.02 * 100 * 1.3 * m)
    cut, density = scipy.stats.norm.cdf(M / std), scipy.stats.norm.pdf(M / std)
    mean, square = M * cut + std * density, ((M**2 + std**2) * cut + M * std * density) / 0.8
    last = predict(layers, m, 1.3 * m)[-1]
    np.testing.assert_allclose(last.variance, 0.02 * 50 * square, rtol=1e-10)
    assert math.isclose(last.mean, w_mean * 50 * mean.mean(), rel_tol=1e-10)
    assert math.isclose(last.q, ((w_mean * 50 * mean) ** 2 + 0.02 * 50 * square).mean(), rel_tol=1e-10)


@pytest.mark.parametrize("c", [-0.5, 0.0, 0.6])
def test_two_examples_behind_weights_with_a_mean_have_the_moments_of_a_cut_pair_of_normals(c):
    """For y = M + √v z and h = −M/√v, E[relu(y) relu(y')] = v·E[(z − h)(z' − h); z, z' > h]: its three moments are
    Owen's T (1956), and those of Rosenbaum (1961), with s = √(1 − c²) and t = h√((1 − c)/(1 + c)).
    """
    mean, square, p, b_var = 0.2, 0.5, 0.2, 0.1
    layers = laws((100, 50, 10), w_mean=0.01, w_var=0.004, b_var=b_var, phi=ReLU(), dropout=p)
    M, v = 100 * 0.01 * mean, 100 * 0.004 * square + b_var  # v < 1
    rho = (100 * 0.004 * c * square + b_var) / v
    h, s = -M / math.sqrt(v), math.sqrt(1 - rho**2)
    t = h * math.sqrt((1 - rho) / (1 + rho))
    density, beyond = scipy.stats.norm.pdf, scipy.stats.norm.sf
    both = beyond(h) - 2 * scipy.special.owens_t(h, t / h)
    first = (1 + rho) * density(h) * beyond(t)
    product = rho * both + 2 * rho * h * density(h) * beyond(t) + s * density(h) * density(t)
    shared = v * (product - 2 * h * first + h**2 * both)
    mean, square = math.sqrt(v) * (density(h) - h * beyond(h)), v * ((1 + h**2) * beyond(h) - h * density(h)) / (1 - p)
    M = 50 * 0.01 * mean
    exact = (M**2 + 50 * 0.004 * shared + b_var) / (M**2 + 50 * 0.004 * square + b_var)
    assert math.isclose(predict(layers, 0.2, 0.5, c=c)[-1].correlation, exact, rel_tol=1e-11)


@pytest.mark.parametrize("c", [-1.0, 1e-14 - 1, 1 - 1e-14, 1.0])
def test_inputs_that_are_equal_or_opposite_stay_so_whatever_is_rounded(c):
    """Behind an odd activation, here one as steep as a step, for which the quadrature is least exact."""
    for square in (0.45, 0.92, 1.7, 1.85, 2.0):
        expected = predict(laws((100,) * 7, w_var=0.01, phi=lambda x: np.tanh(10 * x)), 0.0, square, c=c)
        assert [e.correlation for e in expected] == pytest.approx([c] * 6, rel=1e-5)


def test_a_gradient_behind_one_unit_is_not_a_sum():
    """What one unit sends back has mean square (μ² + σ²)·E[dy²], however much its own gradient shares."""
    layers = [
        LayerLaw(20, 4, 0.0, 0.05, phi=Tanh()),
        LayerLaw(4, 1, 0.3, 0.2, phi=Tanh()),
        LayerLaw(1, 5, 0.7, 0.1, phi=Tanh()),
        LayerLaw(5, 10, 0.0, 1.0),
    ]
    before, unit, *_ = predict(layers, 0.0, 1.0)
    assert math.isclose(before.gradient / unit.gradient, (0.3**2 + 0.2) * before.slope, rel_tol=1e-12)


def test_a_layer_without_an_activation_is_one_with_the_identity():
    sizes, law = (30, 20, 25, 15, 10), {"w_mean": 0.1, "w_var": 0.02}
    linear, identity = (predict(laws(sizes, phi=phi, **law), 0.2, 0.5, c=0.3) for phi in (None, Identity()))
    for a, b in zip(linear, identity, strict=True):
        assert (a.q, a.mean, a.correlation, a.slope, a.gradient) == pytest.approx(
            (b.q, b.mean, b.correlation, b.slope, b.gradient), rel=1e-12
        )


def test_moments_of_images_in_float32_are_followed_in_float64():
    layers = laws((31, 20, 10), w_mean=0.1, w_var=0.1, phi=Tanh())
    for dtype in (np.float32, int):
        means, squares = np.array([0, 1], dtype), np.array([1, 2], dtype)
        for found, exact in zip(predict(layers, means, squares), predict(layers, [0.0, 1.0], [1.0, 2.0]), strict=True):
            assert (found.q, found.gradient) == (exact.q, exact.gradient)
            assert found.variance.dtype == float


def test_black_images_leave_the_biases_alone():
    first, _ = predict(laws((30, 20, 10), w_mean=0.1, w_var=0.1, b_var=0.3, phi=ReLU()), 0.0, 0.0)
    assert (first.q, first.mean) == (0.3, 0)


def test_an_activation_with_a_parameter_of_its_own_is_followed_too():
    means, squares = np.array([0.2, 0.5]), np.array([0.3, 0.7])
    prelu, leaky = (
        predict(laws((100, 50, 10), w_mean=0.01, w_var=0.02, phi=phi), means, squares, c=0.4)
        for phi in (PReLU(0.3), LeakyReLU(0.3))
    )
    for a, b in zip(prelu, leaky, strict=True):
        assert (a.q, a.correlation, a.gradient) == pytest.approx((b.q, b.correlation, b.gradient), rel=1e-10)


def test_examples_of_different_size_are_not_an_average_example():
    """ones: q = n_in²·E[m²] over examples of mean m, and E[m²] is larger than E[m]²."""
    m = np.array([0.1, 0.5, 0.9])
    layers = laws((100, 50, 10), w_mean=1.0, w_var=0.0, phi=ReLU())
    expected = predict(layers, m, m**2)
    assert math.isclose(expected[0].q, 100**2 * (m**2).mean(), rel_tol=1e-12)
    assert math.isclose(expected[1].q, 100**2 * 50**2 * (m**2).mean(), rel_tol=1e-9)
    assert math.isclose(predict(layers, 0.5, 0.25)[0].q, 100**2 * 0.25, rel_tol=1e-12)


def test_correlations_are_unknown_without_those_of_the_inputs_and_where_all_is_0():
    layers = laws((30, 20, 10), w_var=0.1, phi=ReLU())
    assert all(math.isnan(e.correlation) for e in predict(layers, 0.2, 0.3))
    zeros = predict(laws((30, 20, 10), w_var=0.0, phi=ReLU()), 0.2, 0.3, c=0.5)
    assert all(math.isnan(e.correlation) and e.q == e.mean == 0 for e in zeros)
    assert [e.gradient for e in zeros] == [0, 1]


# --- the first loss ---


@pytest.mark.parametrize("classes", [1, 2, 10, 300])
@pytest.mark.parametrize("variance", [0.0, 0.01, 1.0, 30.0, 1e6])
def test_the_first_loss_is_that_of_random_logits(variance, classes, rng):
    Z = math.sqrt(variance) * rng.standard_normal((40_000, classes))
    top = Z.max(axis=1, keepdims=True)
    losses = np.log(np.exp(Z - top).sum(axis=1)) + top[:, 0]
    error = losses.std() / math.sqrt(len(losses))
    expected = first_loss(variance, classes)
    assert abs(losses.mean() - expected) < 5 * error + 1e-9 + 3e-4 * expected * (variance > 100)


def test_small_logits_cost_half_their_variance_over_the_classes():
    """ln 10 + ½v(1 − 1/10): of v, a tenth is the variance of the logits' mean, which cancels."""
    for v in (1e-4, 1e-3, 1e-2):
        assert abs(first_loss(v) - math.log(10) - 0.45 * v) < v**2


def test_the_first_loss_of_several_examples_is_the_mean_and_of_many_that_of_their_quantiles(rng):
    assert math.isclose(first_loss(np.array([0.0, 2.0])), (first_loss(0.0) + first_loss(2.0)) / 2, rel_tol=1e-12)

    variances = rng.exponential(size=32)  # as many as are not too many
    one_by_one = np.mean([first_loss(v) for v in variances])
    assert math.isclose(first_loss(variances), one_by_one, rel_tol=1e-12)

    variances = rng.exponential(size=500)
    one_by_one = np.mean([first_loss(v) for v in variances])
    assert math.isclose(first_loss(variances), one_by_one, rel_tol=4e-3)


def first_losses(scheme, X, labels, draws=24):
    found = []
    for seed in range(draws):
        rng = np.random.default_rng(seed)
        network = mlp(LESSON, dropout=0.2, rng=rng).apply(init.linear(init.SCHEMES[scheme], rng=rng))
        found.append(float(CrossEntropy().forward(network.forward(X, train=True), labels)))
    return np.array(found)


@pytest.mark.parametrize("scheme", ["rule_uniform", "rule_normal", "he_normal", "normal", "uniform", "zeros"])
def test_the_first_loss_of_the_lessons_network_is_as_expected(scheme, dataset):
    X, labels = dataset.images[:300], dataset.labels[:300].astype(np.int64)
    last = predict(lesson(scheme), X.mean(axis=1), (X**2).mean(axis=1))[-1]
    losses = first_losses(scheme, X, labels)
    error = losses.std() / math.sqrt(len(losses))
    assert abs(losses.mean() - first_loss(last.variance)) < 4 * error + 1e-6


def test_ones_explodes_and_has_the_loss_of_a_blind_guess_and_sends_no_gradient_back(dataset):
    """All logits are the same number, 7 million: softmax does not see it, and dX = dZ Wᵀ is Σ_j dz_j = 0.

    In float64: in float32 numbers of that size are multiples of ½, and the logits differ by that much.
    """
    X, labels = dataset.images[:100].astype(np.float64), dataset.labels[:100].astype(np.int64)
    expected = predict(lesson("ones"), X.mean(axis=1), (X**2).mean(axis=1), c=0.5)
    rng = np.random.default_rng(0)
    network = mlp(LESSON, dropout=0.2, rng=rng, dtype=np.float64).apply(init.linear(init.ones, rng=rng))
    shown = measured(network, X, labels)
    loss = CrossEntropy()
    assert math.isclose(loss.forward(network.forward(X, train=True), labels), math.log(10), abs_tol=1e-6)
    assert math.isclose(first_loss(expected[-1].variance), math.log(10), abs_tol=1e-9)
    for e, (q, mean, cosine, gradient) in zip(expected, shown, strict=True):
        assert math.isclose(q, e.q, rel_tol=0.03)
        assert math.isclose(mean, e.mean, rel_tol=0.02)
        assert math.isclose(cosine, 1, rel_tol=1e-6)
        assert math.isclose(e.correlation, 1, rel_tol=1e-9)
        assert abs(gradient - e.gradient) < 1e-20
    assert [e.gradient for e in expected] == [0, 0, 1]


# --- borders ---


def test_a_hundred_layers_take_less_than_a_second():
    layers = laws((100,) * 101, w_var=lambda n: 2 / n, phi=ReLU(), dropout=0.1)
    start = time.process_time()
    predict(layers, np.full(50, 0.2), np.full(50, 0.3), c=0.5)
    assert time.process_time() - start < 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layers": []}, "expected at least one layer, got none"),
        ({"layers": [LayerLaw(3, 4, 0, 1), LayerLaw(5, 2, 0, 1)]}, "got 4 units before 5 inputs"),
        ({"layers": [LayerLaw(3, 4, 0, -1)]}, "expected variances ≥ 0"),
        ({"layers": [LayerLaw(3, 4, 0, 1, dropout=1.0)]}, "0 ≤ dropout < 1"),
        ({"x_mean": 1.01}, r"expected x_mean² ≤ x_square, got x_mean = 1\.01 and x_square = 1"),
        ({"c": 1.5}, r"expected a cosine from -1 to 1, got c = 1\.5"),
        ({"c": -1.5}, r"expected a cosine from -1 to 1, got c = -1\.5"),
    ],
)
def test_what_cannot_be_predicted_is_refused_in_one_sentence(change, words):
    arguments = {"layers": [LayerLaw(3, 4, 0.0, 1.0)], "x_mean": 0.0, "x_square": 1.0} | change
    with pytest.raises(ValueError, match=words):
        predict(**arguments)


def test_an_impossible_variance_of_logits_is_refused():
    for variance in (-1.0, math.nan, math.inf, np.array([])):
        with pytest.raises(ValueError, match="expected finite variances ≥ 0 and at least one class"):
            first_loss(variance)
