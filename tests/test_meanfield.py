"""Gains, variance maps and the edge of chaos: against known values, against simulation, and through 50 layers."""

import math

import numpy as np
import pytest
import scipy.optimize
import scipy.special
import scipy.stats
from oracle import torch

from scratchnet import init
from scratchnet.init.meanfield import (
    chi,
    correlation_depth_scale,
    correlation_map,
    correlation_slope,
    edge_of_chaos,
    fixed_correlation,
    fixed_point,
    gain,
    gradient_depth_scale,
    gradient_factor,
    variance_map,
    variance_slope,
)
from scratchnet.layers import ELU, GELU, SELU, Dropout, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh

WIDTH, EXAMPLES, DEPTH = 300, 300, 50


def test_gains_with_a_closed_form():
    assert math.isclose(gain(ReLU()), math.sqrt(2), rel_tol=1e-12)
    assert math.isclose(gain(LeakyReLU(0.3)), math.sqrt(2 / (1 + 0.3**2)), rel_tol=1e-12)
    assert math.isclose(gain(np.sin), 1 / math.sqrt((1 - math.exp(-2)) / 2), rel_tol=1e-12)
    assert math.isclose(gain(SELU()), 1, abs_tol=1e-7)


@pytest.mark.parametrize("phi", [Tanh(), Sigmoid(), ELU(), GELU(), SiLU()], ids=lambda phi: type(phi).__name__)
def test_gain_is_one_over_the_root_of_the_second_moment_of_a_large_sample(phi, rng):
    z = rng.normal(size=2_000_000)
    squares = phi.forward(z) ** 2
    error = squares.std() / math.sqrt(z.size)
    assert abs(1 / gain(phi) ** 2 - squares.mean()) < 5 * error


def test_where_pytorch_agrees_and_where_it_does_not():
    theirs = torch.nn.init.calculate_gain
    assert math.isclose(gain(ReLU()), theirs("relu"), rel_tol=1e-6)
    assert math.isclose(gain(LeakyReLU(0.2)), theirs("leaky_relu", 0.2), rel_tol=1e-6)
    assert math.isclose(theirs("tanh") / gain(Tanh()), 1.05, abs_tol=0.005)
    assert theirs("sigmoid") == 1
    assert theirs("selu") == 0.75


def test_selu_with_pytorchs_gain_falls_to_0_024_after_50_layers():
    q = 1.0
    for _ in range(50):
        q = variance_map(SELU(), q, sigma_w=0.75)
    assert abs(q - 0.024) < 0.0005


def test_tanh_with_pytorchs_gain_settles_at_1_18_and_not_at_1():
    assert abs(fixed_point(Tanh(), sigma_w=5 / 3) - 1.18) < 0.005
    assert math.isclose(fixed_point(Tanh(), sigma_w=gain(Tanh())), 1, rel_tol=1e-9)


def test_a_function_that_is_0_everywhere_has_no_gain():
    with pytest.raises(ValueError, match="must be finite and not 0 everywhere"):
        gain(lambda z: 0 * z)


def test_a_wide_layer_follows_the_variance_map(rng):
    """q_next = σ_w² E[φ(√q z)²] + σ_b², simulated with one wide layer."""
    q, n_in, sigma_w, sigma_b = 0.8, 4000, 1.4, 0.5
    X = np.tanh(math.sqrt(q) * rng.normal(size=(200, n_in)))
    Y = X @ rng.normal(0, sigma_w / math.sqrt(n_in), (n_in, 500)) + rng.normal(0, sigma_b, 500)
    assert abs(Y.var() / variance_map(Tanh(), q, sigma_w=sigma_w, sigma_b=sigma_b) - 1) < 0.1


# --- the edge of chaos ---


@pytest.mark.parametrize("q", [0.01, 1.0, 100.0])
def test_the_edge_of_chaos_for_relu_is_hes_rule(q):
    sigma_w, sigma_b = edge_of_chaos(ReLU(), q=q)
    assert math.isclose(sigma_w, math.sqrt(2), rel_tol=1e-9)
    assert sigma_b == 0


def test_the_edge_of_chaos_for_tanh_is_the_published_one():
    """Schoenholz et al. 2017 use σ_w² = 1.76 with σ_b² = 0.05."""
    sigma_w, _ = edge_of_chaos(Tanh(), sigma_b=math.sqrt(0.05))
    assert abs(sigma_w**2 - 1.76) < 0.002


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize(
    ("phi", "q"),
    [(ReLU(), 1), (Tanh(), 0.5), (GELU(), 4), (SiLU(), 15), (ELU(), 0.5), (SELU(), 0.5), (np.sin, 0.5)],
    ids=lambda value: getattr(value, "__name__", type(value).__name__),
)
def test_on_the_edge_of_chaos_the_variance_stays_chi_is_1_and_errors_do_not_grow(phi, q, dropout):
    sigma_w, sigma_b = edge_of_chaos(phi, q=q, dropout=dropout)
    V = variance_map(phi, q, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout)
    assert math.isclose(V, q, rel_tol=1e-9)
    assert math.isclose(chi(phi, q, sigma_w=sigma_w, dropout=dropout), 1, rel_tol=1e-9)
    assert variance_slope(phi, q, sigma_w=sigma_w, dropout=dropout) <= 1 + 1e-9
    # a start that is 20 % wrong is no farther off after 50 layers
    walk = 1.2 * q
    for _ in range(50):
        walk = variance_map(phi, walk, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout)
    assert abs(walk / q - 1) < 0.2 + 1e-9


def test_an_unstable_edge_of_chaos_is_refused_and_a_stable_one_is_named():
    """GELU at σ_b² = 0.05: χ = 1 at q = 0.72, but there V' = 1.085, and from q = 1 the signal runs away."""
    sigma_b = math.sqrt(0.05)
    with pytest.raises(ValueError, match=r"at q = 0\.722 is unstable, V'\(q\) = 1\.085 > 1.*; q = 4 is stable"):
        edge_of_chaos(GELU(), sigma_b=sigma_b)
    with pytest.raises(ValueError, match=r"at q = 1 is unstable, V'\(q\) = 1\.067 > 1.*; q = 4 is stable"):
        edge_of_chaos(GELU(), q=1)
    with pytest.raises(ValueError, match=r"at q = 1 is unstable, V'\(q\) = 1\.099 > 1.*; q = 15 is stable"):
        edge_of_chaos(SiLU(), q=1)
    sigma_w = 1.51741  # of the point that is refused
    assert math.isclose(chi(GELU(), 0.722, sigma_w=sigma_w), 1, abs_tol=1e-3)
    q = 1.0
    for _ in range(50):
        q = variance_map(GELU(), q, sigma_w=sigma_w, sigma_b=sigma_b)
    assert q > 200
    assert fixed_point(GELU(), sigma_w=sigma_w, sigma_b=sigma_b) == math.inf


def test_an_activation_without_a_stable_edge_of_chaos_is_refused():
    with pytest.raises(ValueError, match=r"V'\(q\) = 1\.500 > 1.*; none from q = 0\.001 to q = 7000 is stable"):
        edge_of_chaos(lambda z: z**2, q=1)


ROUND = [m * 10.0**e for e in range(-3, 4) for m in (1, 1.5, 2, 3, 4, 5, 7)]


@pytest.mark.parametrize(("highest", "named"), [*((1.02 * q, q) for q in ROUND), (0.0009, None), (12_000, 7000)])
def test_the_stable_q_that_is_named_is_the_nearest_round_number(highest, named):
    """φ(z) = z − z³/(3h): V'(q) = (1 − 12u + 45u²)/(1 − 6u + 27u²) with u = q/(3h), so q is stable up to h."""
    words = f"; q = {named:g} is stable" if named else "; none from q = 0\\.001 to q = 7000 is stable"
    with pytest.raises(ValueError, match=f"is unstable.*{words}"):
        edge_of_chaos(lambda z: z - z**3 / (3 * highest), q=1.25 * highest)


def test_for_a_sigma_b_and_dropout_the_weights_alone_are_smaller():
    plain, dropped = (edge_of_chaos(Tanh(), sigma_b=0.2, dropout=p) for p in (0.0, 0.36))
    assert math.isclose(dropped[0], 0.8 * plain[0], rel_tol=1e-9)
    assert dropped[1] == plain[1] == 0.2


def test_the_search_for_a_sigma_b_reaches_a_large_q():
    """A tanh 100 times as wide and as high has the same σ_w, at a q 10⁴ times as large."""
    wide = edge_of_chaos(lambda x: 100 * np.tanh(x / 100), sigma_b=100 * 0.2)
    assert wide[0] == pytest.approx(edge_of_chaos(Tanh(), sigma_b=0.2)[0], rel=1e-6)


def test_for_a_sigma_b_that_has_a_stable_edge_of_chaos_it_is_found():
    sigma_w, sigma_b = edge_of_chaos(GELU(), sigma_b=0.6)
    q = fixed_point(GELU(), sigma_w=sigma_w, sigma_b=sigma_b)
    assert math.isclose(chi(GELU(), q, sigma_w=sigma_w), 1, abs_tol=1e-6)
    assert 0.9 < variance_slope(GELU(), q, sigma_w=sigma_w) < 1


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("phi", [ReLU(), Tanh(), GELU(), SELU()], ids=lambda phi: type(phi).__name__)
def test_variance_slope_is_the_slope_of_the_variance_map(phi, dropout):
    q, h = 1.7, 1e-4
    ends = [variance_map(phi, x, sigma_w=1.3, sigma_b=0.2, dropout=dropout) for x in (q - h, q + h)]
    assert math.isclose(
        variance_slope(phi, q, sigma_w=1.3, dropout=dropout), (ends[1] - ends[0]) / (2 * h), rel_tol=1e-7
    )


def test_an_edge_of_chaos_that_does_not_exist_is_refused():
    with pytest.raises(ValueError, match="σ_b² would be -"):
        edge_of_chaos(Sigmoid(), q=1.0)
    with pytest.raises(ValueError, match="no variance q puts this activation"):
        edge_of_chaos(ReLU(), sigma_b=0.3)
    with pytest.raises(ValueError, match=r"expected either q.* or sigma_b, got neither"):
        edge_of_chaos(Tanh())
    with pytest.raises(ValueError, match=r"expected either q.* or sigma_b, got both"):
        edge_of_chaos(Tanh(), q=1, sigma_b=1)
    with pytest.raises(ValueError, match="σ_b² would be -1e-08"):  # q − E[φ²]/E[φ'²] = −a² for φ(z) = z + a
        edge_of_chaos(lambda z: z + 1e-4, q=0.01)
    for q in (-1, 0, math.inf):
        with pytest.raises(ValueError, match=f"expected a positive finite variance q, got {q}"):
            edge_of_chaos(Tanh(), q=q)
    with pytest.raises(ValueError, match="expected a positive finite sigma_b, got 0; without biases"):
        edge_of_chaos(Tanh(), sigma_b=0)
    with pytest.raises(ValueError, match="there is no edge of chaos at q = 1: E"):
        edge_of_chaos(lambda z: 0 * z + 1, q=1.0)


def test_the_walk_to_a_fixed_point_ends_there_or_at_0_or_at_infinity():
    assert fixed_point(ReLU(), sigma_w=1.0) == 0
    assert fixed_point(ReLU(), sigma_w=2.0) == math.inf
    assert fixed_point(ReLU(), sigma_w=math.sqrt(2), start=3.0) == 3.0
    assert fixed_point(Tanh(), sigma_w=1.0) == 0  # the plain walk needs 1/(2q) layers to come down to q


@pytest.mark.parametrize("start", [1e-6, 1.0, 1e6])
@pytest.mark.parametrize(
    ("phi", "sigma_w", "sigma_b", "dropout"),
    [
        (Tanh(), 1.5, 0.1, 0.0),
        (Tanh(), 1.001, 0.0, 0.0),  # slow: V'(q) = 0.998
        (Tanh(), 1.0, 0.001, 0.0),
        (ReLU(), 1.414, 0.3, 0.0),  # slow: V'(q) = 0.9997
        (GELU(), 1.39, 0.5, 0.0),
        (Sigmoid(), 3.0, 0.5, 0.3),
        (ReLU(), 1.1, 0.3, 0.3),
    ],
)
def test_a_fixed_point_is_where_scipy_finds_it_from_any_start(phi, sigma_w, sigma_b, dropout, start):
    def change(q):
        return variance_map(phi, q, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout) - q

    theirs = scipy.optimize.brentq(change, 1e-5, 1e5, xtol=1e-14)
    assert math.isclose(
        fixed_point(phi, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout, start=start), theirs, rel_tol=1e-6
    )


def test_a_fixed_point_that_cannot_be_computed_is_refused():
    for start in (0, math.inf):
        with pytest.raises(ValueError, match=f"expected a positive finite variance to start from, got {start}"):
            fixed_point(Tanh(), sigma_w=1, start=start)
    with pytest.raises(ValueError, match=r"expected an activation with a finite E.*, got NaN at q = 1"):
        fixed_point(lambda z: z * np.nan, sigma_w=1)
    with pytest.raises(ValueError, match=r"0 ≤ p < 1, got 1\.0"):
        fixed_point(Tanh(), sigma_w=1, dropout=1.0)


# --- depth scales ---


def test_the_gradients_depth_scale_is_one_over_log_chi_and_infinite_on_the_edge():
    q = fixed_point(Tanh(), sigma_w=1.1, sigma_b=0.3)
    assert math.isclose(
        gradient_depth_scale(Tanh(), sigma_w=1.1, sigma_b=0.3), -1 / math.log(chi(Tanh(), q, sigma_w=1.1))
    )
    assert gradient_depth_scale(ReLU(), sigma_w=math.sqrt(2)) == math.inf
    assert gradient_depth_scale(Tanh(), sigma_w=1.0) == math.inf
    assert math.isclose(gradient_depth_scale(ReLU(), sigma_w=1.0), 1 / math.log(2), rel_tol=1e-9)
    assert math.isclose(gradient_depth_scale(ReLU(), sigma_w=2.0), 1 / math.log(2), rel_tol=1e-9)
    dropped = {"sigma_w": 1.1, "dropout": 0.3}
    q = fixed_point(Tanh(), sigma_b=0.3, **dropped)
    assert math.isclose(
        gradient_depth_scale(Tanh(), sigma_b=0.3, **dropped), 1 / abs(math.log(chi(Tanh(), q, **dropped)))
    )
    assert gradient_depth_scale(Tanh(), sigma_w=0.0, sigma_b=1.0) == 0  # weights of 0 let nothing pass


def test_in_the_chaotic_phase_correlations_and_gradients_have_different_depth_scales():
    """tanh, σ_w² = 4, σ_b² = 0.05: 6.98 and 3.40."""
    chaos = {"sigma_w": 2.0, "sigma_b": math.sqrt(0.05)}
    assert abs(gradient_depth_scale(Tanh(), **chaos) - 3.40) < 0.005
    assert abs(correlation_depth_scale(Tanh(), **chaos) - 6.98) < 0.005
    assert abs(fixed_correlation(Tanh(), **chaos) - 0.165) < 0.0005


def test_in_the_ordered_phase_they_have_the_same_and_all_inputs_become_alike():
    order = {"sigma_w": 1.0, "sigma_b": 0.3}
    assert fixed_correlation(Tanh(), **order) == 1
    ratio = correlation_depth_scale(Tanh(), **order) / gradient_depth_scale(Tanh(), **order)
    assert math.isclose(ratio, 1, rel_tol=1e-9)
    assert correlation_depth_scale(ReLU(), sigma_w=math.sqrt(2)) == math.inf


def test_newtons_method_needs_few_steps_also_near_the_edge():
    calls = 0

    def phi(x):
        nonlocal calls
        calls += 1
        assert calls < 2000  # the walk c → C(c) takes 30,000 and more
        return np.tanh(x)

    sigma_w, sigma_b = edge_of_chaos(Tanh(), q=1.0)
    settings = {"sigma_w": 1.01 * sigma_w, "sigma_b": sigma_b}
    star = fixed_correlation(phi, **settings)
    q = fixed_point(Tanh(), **settings)
    assert math.isclose(correlation_map(Tanh(), star, q, **settings), star, rel_tol=1e-9)


def test_a_correlation_is_at_most_1_whatever_is_rounded():
    """A tanh as steep as a step, barely in the chaotic phase: the quadrature's error is larger than 1 − c*."""
    steep = lambda x: np.tanh(15 * x)  # noqa: E731
    sigma_w, sigma_b = edge_of_chaos(steep, q=9.0)
    assert 0.999 < fixed_correlation(steep, sigma_w=(1 + 1e-7) * sigma_w, sigma_b=sigma_b) <= 1


def test_a_signal_that_fades_or_explodes_has_no_correlation_to_settle_at():
    with pytest.raises(ValueError, match="the variance of a signal runs to 0 with sigma_w = 1 and sigma_b = 0"):
        correlation_depth_scale(Tanh(), sigma_w=1)
    with pytest.raises(ValueError, match="the variance of a signal runs to inf with sigma_w = 2 and sigma_b = 0"):
        fixed_correlation(ReLU(), sigma_w=2)


def test_within_one_depth_scale_the_distance_from_the_fixed_correlation_falls_by_e():
    chaos = {"sigma_w": 2.0, "sigma_b": math.sqrt(0.05)}
    q, star = fixed_point(Tanh(), **chaos), fixed_correlation(Tanh(), **chaos)
    assert math.isclose(correlation_map(Tanh(), star, q, **chaos), star, rel_tol=1e-10)
    c, distances = star + 0.01, []
    for _ in range(20):
        distances.append(c - star)
        c = correlation_map(Tanh(), c, q, **chaos)
    assert math.isclose(
        -1 / math.log(distances[19] / distances[18]), correlation_depth_scale(Tanh(), **chaos), rel_tol=2e-3
    )


@pytest.mark.parametrize("dropout", [0.0, 0.4])
@pytest.mark.parametrize("phi", [ReLU(), Tanh(), GELU()], ids=lambda phi: type(phi).__name__)
def test_correlation_slope_is_the_slope_of_the_correlation_map_and_chi_at_1(phi, dropout):
    settings = {"sigma_w": 1.3, "sigma_b": 0.2, "dropout": dropout}
    ends = [correlation_map(phi, c, 1.7, **settings) for c in (0.3 - 1e-4, 0.3 + 1e-4)]
    assert math.isclose(correlation_slope(phi, 0.3, 1.7, **settings), (ends[1] - ends[0]) / 2e-4, rel_tol=1e-7)
    q = fixed_point(Tanh(), **settings)
    at_1 = (1 - dropout) * chi(Tanh(), q, sigma_w=1.3, dropout=dropout)
    assert math.isclose(correlation_slope(Tanh(), 1.0, q, **settings), at_1, rel_tol=1e-9)


def test_relu_without_biases_has_the_arc_cosine_kernel_as_its_correlation_map():
    for c in (0.0, 0.4, 0.99, 1.0):
        kernel = (math.sqrt(1 - c * c) + c * (math.pi - math.acos(c))) / math.pi
        assert math.isclose(correlation_map(ReLU(), c, 2.5, sigma_w=0.7), kernel, rel_tol=1e-11)
        assert math.isclose(correlation_map(ReLU(), c, 2.5, sigma_w=0.7, dropout=0.2), 0.8 * kernel, rel_tol=1e-11)
        slope = 1 - math.acos(c) / math.pi  # the kernel's derivative
        assert math.isclose(correlation_slope(ReLU(), c, 2.5, sigma_w=0.7), slope, rel_tol=1e-11)


def test_a_signal_of_size_0_has_neither_a_slope_nor_correlations():
    for call in (variance_slope, lambda phi, q, **s: correlation_map(phi, 0.5, q, **s)):
        with pytest.raises(ValueError, match="expected a variance q > 0, got q = 0"):
            call(Tanh(), 0, sigma_w=1.0)


def test_the_gradients_factor_of_a_layer_is_chi_times_n_out_over_n_in(rng):
    """He's rule, 400 → 100: a quarter, measured on a layer behind a ReLU. With dropout, 1/(1 − p) times as much."""
    factor = gradient_factor(ReLU(), 1.0, sigma_w=math.sqrt(2), n_in=400, n_out=100)
    assert math.isclose(factor, 0.25, rel_tol=1e-9)
    dY = rng.normal(size=(2000, 100))
    kept = rng.random((2000, 400)) < 0.5  # half of the units of a ReLU pass the gradient on
    dX = dY @ init.he_normal((400, 100), rng=rng).T * kept
    assert abs((dX**2).mean() / (dY**2).mean() / factor - 1) < 0.05
    assert math.isclose(gradient_factor(ReLU(), 1.0, sigma_w=1.0, n_in=3, n_out=6, dropout=0.75), 4.0, rel_tol=1e-9)


# --- dropout ---


@pytest.mark.parametrize("p", [0.1, 0.2, 0.5])
def test_with_dropout_the_critical_variance_of_relu_is_2_times_1_minus_p(p):
    """Pretorius et al. 2018."""
    sigma_w, sigma_b = edge_of_chaos(ReLU(), q=1, dropout=p)
    assert math.isclose(sigma_w**2, 2 * (1 - p), rel_tol=1e-9)
    assert sigma_b == 0
    assert math.isclose(gain(ReLU(), dropout=p), sigma_w, rel_tol=1e-9)
    assert gradient_depth_scale(ReLU(), sigma_w=sigma_w, dropout=p) == math.inf
    assert fixed_point(ReLU(), sigma_w=sigma_w * 1.01, dropout=p) == math.inf
    assert fixed_point(ReLU(), sigma_w=sigma_w * 0.99, dropout=p) == 0


def test_dropout_makes_signals_of_one_input_differ_and_bounds_the_depth_at_every_scale(rng):
    """ReLU, p = 0.2, on the gradient's edge: ξ_c = 1.55. Simulated at width 1000 with masks of Dropout."""
    p, sigma_w = 0.2, math.sqrt(1.6)
    star = fixed_correlation(ReLU(), sigma_w=sigma_w, dropout=p)
    assert abs(star - 0.473) < 0.0005
    assert abs(correlation_depth_scale(ReLU(), sigma_w=sigma_w, dropout=p) - 1.554) < 0.0005
    X = np.repeat(rng.normal(size=(1, 1000)), 40, axis=0)  # 40 times the same input
    for _ in range(8):
        X = Dropout(p, rng=rng).forward(ReLU().forward(X), train=True) @ rng.normal(
            0, sigma_w / math.sqrt(1000), (1000, 1000)
        )
    lengths = np.linalg.norm(X, axis=1)
    cosines = (X @ X.T / lengths / lengths[:, None])[np.triu_indices(40, 1)]
    assert abs(cosines.mean() - star) < 0.04


@pytest.mark.parametrize("dropout", [0.0, 0.3])
@pytest.mark.parametrize("phi", [ReLU(), Tanh(), GELU()], ids=lambda phi: type(phi).__name__)
def test_a_wide_layer_follows_the_correlation_map(phi, dropout, rng):
    c, q, n_in, settings = 0.4, 0.8, 2000, {"sigma_w": 1.4, "sigma_b": 0.5, "dropout": dropout}
    a, b = rng.normal(size=(2, 1, n_in))
    pair = math.sqrt(q) * np.concatenate([a, c * a + math.sqrt(1 - c * c) * b])
    drop = Dropout(dropout, rng=rng)
    W, bias = rng.normal(0, 1.4 / math.sqrt(n_in), (n_in, 4000)), rng.normal(0, 0.5, 4000)
    Y = drop.forward(phi.forward(pair), train=True) @ W + bias
    measured = Y[0] @ Y[1] / np.linalg.norm(Y[0]) / np.linalg.norm(Y[1])
    assert abs(measured - correlation_map(phi, c, q, **settings)) < 0.05


# --- fifty layers: the lesson in one test ---


def mean_squares_after(depth, phi, scheme, rng):
    """Each example's mean square after `depth` layers Y = φ(Y_before) W, from inputs ~ N(0, 1): (EXAMPLES,)."""
    Y = rng.normal(size=(EXAMPLES, WIDTH))
    for _ in range(depth):
        Y = phi.forward(Y) @ scheme((WIDTH, WIDTH), rng=rng)
    return (Y**2).mean(axis=-1)


def predicted_band(depth, phi, sigma_w, rng, share=0.99):
    """The interval that holds the given share of log q for one example, by the variance map of a layer of finite width.

    Given an example's q, its WIDTH outputs are independent N(0, q), so q_next = σ_w²·mean(φ(√q z)²): the variance map,
    with the mean of WIDTH draws instead of the expectation.
    """
    q = (rng.normal(size=(400, WIDTH)) ** 2).mean(axis=-1)
    for _ in range(depth):
        q = sigma_w**2 * (phi.forward(np.sqrt(q)[:, None] * rng.normal(size=(400, WIDTH))) ** 2).mean(axis=-1)
    return np.quantile(np.log(q), [(1 - share) / 2, (1 + share) / 2])


def by_gain(phi):
    g = gain(phi)
    return lambda shape, *, rng: init.normal(shape, rng=rng, std=g / math.sqrt(shape[-2]))


KEEPS = {
    "He and ReLU": (ReLU(), init.he_normal, math.sqrt(2)),
    "LeCun and SELU": (SELU(), init.lecun_normal, 1.0),
    "the gain of tanh": (Tanh(), by_gain(Tanh()), gain(Tanh())),
    "the gain of GELU": (GELU(), by_gain(GELU()), gain(GELU())),
    "the gain of SiLU": (SiLU(), by_gain(SiLU()), gain(SiLU())),
}


@pytest.mark.parametrize("name", KEEPS)
def test_through_50_layers_the_mean_square_stays_in_the_predicted_band_with(name, rng):
    phi, scheme, sigma_w = KEEPS[name]
    low, high = predicted_band(DEPTH, phi, sigma_w, rng)
    for _ in range(2):
        assert low < np.median(np.log(mean_squares_after(DEPTH, phi, scheme, rng))) < high


def test_a_gain_holds_the_signal_firmly_where_the_variance_map_is_flat_and_loosely_where_it_is_steep():
    """V'(1): an error shrinks for tanh and SELU, stays for ReLU, and grows for GELU and SiLU."""
    in_the_docs = [
        (ReLU(), 1.0),
        (LeakyReLU(0.01), 1.0),
        (Tanh(), 0.461),
        (Sigmoid(), 0.106),
        (SELU(), 0.783),
        (ELU(), 0.891),
        (GELU(), 1.144),
        (SiLU(), 1.173),
        (np.sin, 0.313),
    ]
    for phi, slope in in_the_docs:
        assert abs(variance_slope(phi, 1.0, sigma_w=gain(phi)) - slope) < 0.0005


@pytest.mark.parametrize(
    ("std", "phi"), [(0.01, ReLU()), (0.01, Tanh()), (1.0, ReLU())], ids=["0.01 ReLU", "0.01 tanh", "1 ReLU"]
)
def test_through_50_layers_a_fixed_standard_deviation_follows_the_variance_map_to_death_or_explosion(std, phi, rng):
    predicted = 1.0
    for _ in range(DEPTH):
        predicted = variance_map(phi, predicted, sigma_w=std * math.sqrt(WIDTH))
    measured = mean_squares_after(DEPTH, phi, lambda shape, *, rng: init.normal(shape, rng=rng, std=std), rng).mean()
    assert abs(math.log(measured) - math.log(predicted)) < 4
    assert measured < 1e-40 if std < 1 else measured > 1e80


def test_through_50_layers_the_gradient_stays_on_the_edge_of_chaos_and_dies_below_it(rng):
    """50 layers multiply the gradient's mean square by about χ⁵⁰, which is 1 on the edge."""
    for sigma_w, sigma_b in (edge_of_chaos(Tanh(), q=0.5), (0.9, 0.3)):
        q = fixed_point(Tanh(), sigma_w=sigma_w, sigma_b=sigma_b)
        phis, Ws, Y = [], [], math.sqrt(q) * rng.normal(size=(EXAMPLES, WIDTH))
        for _ in range(DEPTH):
            phis.append(Tanh())
            Ws.append(rng.normal(0, sigma_w / math.sqrt(WIDTH), (WIDTH, WIDTH)))
            Y = phis[-1].forward(Y) @ Ws[-1] + rng.normal(0, sigma_b, WIDTH)
        dY = rng.normal(size=Y.shape)
        for phi, W in zip(reversed(phis), reversed(Ws), strict=True):
            dY = phi.backward(dY @ W.T)
        predicted = DEPTH * math.log(chi(Tanh(), q, sigma_w=sigma_w))
        assert abs(math.log((dY**2).mean()) - predicted) < 3


class Ramp(ReLU):
    """max(x − 2, 0): a kink that is not at 0."""

    def forward(self, X, train=False):
        return super().forward(X - 2)


def test_a_kink_lies_elsewhere_for_a_signal_of_another_size():
    """For q = 4, x = 2z has its kink at z = 1: E[φ'²] is P(z > 1), and E[φ²] = 4·E[(z − 1)²·1(z > 1)]."""
    meanfield = init.meanfield
    beyond = 0.5 * math.erfc(1 / math.sqrt(2))
    density = math.exp(-0.5) / math.sqrt(2 * math.pi)
    assert math.isclose(meanfield.slope_moment(Ramp(), 4.0, kinks=[2.0]), beyond, rel_tol=1e-12)
    assert math.isclose(meanfield.second_moment(Ramp(), 4.0, kinks=[2.0]), 4 * (2 * beyond - density), rel_tol=1e-12)


@pytest.mark.parametrize("dropout", [0.0, 0.2])
def test_a_kink_away_from_0_costs_no_accuracy_where_it_is_named(dropout):
    """For max(x − 2, 0) with h = 2/√q, P = P(z > h) and its density d at h: E[φ²] = q((1 + h²)P − hd) and E[φ'²] = P.
    For two signals, the moments of Owen (1956) and Rosenbaum (1961) as in test_signals.
    """
    density, beyond = scipy.stats.norm.pdf, scipy.stats.norm.sf
    kept, kink = 1 - dropout, {"kinks": [2.0]}

    def square(q):
        h = 2 / math.sqrt(q)
        return q * ((1 + h * h) * beyond(h) - h * density(h))

    def pair(c, q):
        """E[φ(√q z₁) φ(√q z₂)] and E[φ'(√q z₁) φ'(√q z₂)]."""
        h, s = 2 / math.sqrt(q), math.sqrt(1 - c * c)
        t = h * math.sqrt((1 - c) / (1 + c))
        both = beyond(h) - 2 * scipy.special.owens_t(h, t / h)
        first, product = (1 + c) * density(h) * beyond(t), s * density(h) * density(t) + c * both
        return q * (product + 2 * c * h * density(h) * beyond(t) - 2 * h * first + h * h * both), both

    def same(found, exact):
        assert math.isclose(found, exact, rel_tol=1e-9), (found, exact)

    same(gain(Ramp(), dropout=dropout, **kink), math.sqrt(kept / square(1)))
    q, h = 1.7, 2 / math.sqrt(1.7)
    laws = {"sigma_w": 1.3, "dropout": dropout, **kink}
    V = 1.69 * square(q) / kept + 0.25
    same(variance_map(Ramp(), q, sigma_b=0.5, **laws), V)
    same(variance_slope(Ramp(), q, **laws), 1.69 * beyond(h) / kept)
    same(chi(Ramp(), q, **laws), 1.69 * beyond(h) / kept)
    same(gradient_factor(Ramp(), q, n_in=3, n_out=6, **laws), 2 * 1.69 * beyond(h) / kept)
    product, slopes = pair(0.4, q)
    same(correlation_map(Ramp(), 0.4, q, sigma_b=0.5, **laws), (1.69 * product + 0.25) / V)
    same(correlation_slope(Ramp(), 0.4, q, sigma_b=0.5, **laws), 1.69 * slopes * q / V)

    laws["sigma_b"] = 1.2
    star = scipy.optimize.brentq(lambda q: 1.69 * square(q) / kept + 1.44 - q, 0.1, 20, xtol=1e-14)
    same(fixed_point(Ramp(), **laws), star)
    same(gradient_depth_scale(Ramp(), **laws), 1 / abs(math.log(1.69 * beyond(2 / math.sqrt(star)) / kept)))

    h = 2 / math.sqrt(3.0)
    weights, biases = math.sqrt(kept / beyond(h)), math.sqrt(3.0 * (h * density(h) / beyond(h) - h * h))
    for found in (
        edge_of_chaos(Ramp(), q=3.0, dropout=dropout, **kink),
        edge_of_chaos(Ramp(), sigma_b=biases, dropout=dropout, **kink),
    ):
        same(found[0], weights)
        same(found[1], biases)
