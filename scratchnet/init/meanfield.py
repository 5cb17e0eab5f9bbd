"""How the size of a signal changes from layer to layer, computed before anything is trained.

A layer's output is y_j = Σ_k x_k w_kj + b_j. Draw w ~ N(0, σ_w²/n_in) and b ~ N(0, σ_b²). In a wide layer the sum has
many independent terms, so y_j is nearly normal, with variance

    q_next = V(q) = σ_w² E[φ(√q z)²] + σ_b²,        z ~ N(0, 1),

where q is the variance of the outputs of the layer before, and φ the activation between the two, x = φ(√q z) (Poole,
Lahiri, Raghu, Sohl-Dickstein & Ganguli 2016, NeurIPS, eq. 3). On the way back, layers of equal width multiply the mean
square of a gradient by

    χ = σ_w² E[φ'(√q z)²]

(Schoenholz, Gilmer, Ganguli & Sohl-Dickstein 2017, ICLR, eq. 5 and §4). A good scale of the weights keeps q the same
from layer to layer and χ near 1. The functions below compute these expectations and solve for the scale.

**Dropout** with probability p multiplies a unit by 0 or by 1/(1 − p). So it multiplies the mean squares E[φ²] and
E[φ'²] by 1/(1 − p): the signal that keeps its size needs a variance of the weights that is smaller by 1 − p. For ReLU,
He's 2/n_in becomes 2(1 − p)/n_in (Pretorius, van Biljon, Kroon & Kamper 2018, NeurIPS). What two inputs have in common
is not multiplied, since each has a mask of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.init.gaussian import (
    Activation,
    Kinks,
    derivative,
    expectation,
    function,
    pair_expectation,
    second_moment,
    slope_moment,
)

HUGE = 1e12  # stands for a signal's size in the limit q → ∞
SAME = 1e-9  # what differs from 1 by no more than this counts as 1: errors of the quadrature are smaller


def gain(phi: Activation, *, dropout: float = 0.0, kinks: Kinks = (0.0,)) -> float:
    """g = 1/√E[φ(z)²]: weights of standard deviation g/√n_in keep a signal of variance 1 at variance 1.

    With dropout, g = √((1 − p)/E[φ(z)²]).

    The next layer sums x_k w_kj, and the variance of that sum is n_in·E[x²]·Var w, whatever the mean of x is. So the
    mean square E[φ(z)²] counts, and not the variance of φ(z).

    >>> from scratchnet.layers import ELU, GELU, SELU, LeakyReLU, ReLU, Sigmoid, SiLU, Tanh
    >>> for phi in (ReLU(), LeakyReLU(0.01), Tanh(), Sigmoid(), SELU(), ELU(), GELU(), SiLU(), np.sin):
    ...     print(f"{getattr(phi, '__name__', type(phi).__name__):10} {gain(phi):.4f}")
    ReLU       1.4142
    LeakyReLU  1.4141
    Tanh       1.5925
    Sigmoid    1.8462
    SELU       1.0000
    ELU        1.2452
    GELU       1.5335
    SiLU       1.6765
    sin        1.5209
    >>> print(f"{gain(lambda z: z):.4f} {gain(lambda z: np.log1p(np.exp(z))):.4f}")  # linear, softplus
    1.0000 1.0419

    PyTorch's `calculate_gain` differs. It has 5/3 for tanh, which is 5 % more, and with which q settles at 1.18 instead
    of 1; 1 for sigmoid, a placeholder; and 3/4 for SELU, with which q falls from 1 to 0.024 in 50 layers. It lacks ELU,
    GELU and SiLU.
    """
    moment = second_moment(phi, kinks=kinks)
    if not (moment > 0 and math.isfinite(moment)):
        raise ValueError(f"no gain can keep a signal with E[φ(z)²] = {moment}: φ must be finite and not 0 everywhere")
    return math.sqrt(_kept(dropout) / moment)


# --- one signal -----------------------------------------------------------------------------------------------


def variance_map(
    phi: Activation, q: float, *, sigma_w: float, sigma_b: float = 0.0, dropout: float = 0.0, kinks: Kinks = (0.0,)
) -> float:
    """V(q) = σ_w² E[φ(√q z)²]/(1 − p) + σ_b²: the variance of a layer's outputs, if q is that of the layer before."""
    return sigma_w**2 * second_moment(phi, q, kinks=kinks) / _kept(dropout) + sigma_b**2


def variance_slope(phi: Activation, q: float, *, sigma_w: float, dropout: float = 0.0, kinks: Kinks = (0.0,)) -> float:
    """V'(q) = σ_w² E[φ(√q z)·φ'(√q z)·z]/(√q·(1 − p)): the slope of `variance_map`, by the chain rule.

    Each layer multiplies a small error in q by V'(q). So where q = V(q), errors shrink from layer to layer if
    |V'(q)| < 1, and the fixed point is stable. They grow if |V'(q)| > 1. ReLU and LeakyReLU are neutral under He's
    rule: V'(q) = 1 at every q, and errors stay as they are.
    """
    root = _root(q)

    def product(z: np.ndarray) -> np.ndarray:
        slope = derivative(phi)(root * z)
        return function(phi)(root * z) * slope * z

    return sigma_w**2 * expectation(product, kinks=[k / root for k in kinks]) / (root * _kept(dropout))


def chi(phi: Activation, q: float, *, sigma_w: float, dropout: float = 0.0, kinks: Kinks = (0.0,)) -> float:
    """χ = σ_w² E[φ'(√q z)²]/(1 − p): what a layer of as many units as inputs does to the mean square of a gradient.

    If χ < 1, gradients vanish on their way back; if χ > 1, they explode. Where q = V(q) and without dropout, χ is also
    the slope of `correlation_map` at c = 1: if χ > 1, the signals of two inputs that are nearly equal become different.
    For other widths see `gradient_factor`.
    """
    return sigma_w**2 * slope_moment(phi, q, kinks=kinks) / _kept(dropout)


def gradient_factor(
    phi: Activation, q: float, *, sigma_w: float, n_in: int, n_out: int, dropout: float = 0.0, kinks: Kinks = (0.0,)
) -> float:
    """χ·n_out/n_in: the factor on the mean square of a gradient that goes back through W: (n_in, n_out), and then φ.

    dX = dY Wᵀ sums n_out products, so E[dX²] = n_out·Var w·E[dY²], and φ multiplies this by E[φ'²]. With
    Var w = σ_w²/n_in the result is χ·n_out/n_in. So He's rule, with χ = 1, keeps a gradient only where n_in = n_out:
    from 100 units back to 400 inputs, its mean square becomes a quarter. From the first layer to the last the widths
    cancel, except for those at the two ends.
    """
    return chi(phi, q, sigma_w=sigma_w, dropout=dropout, kinks=kinks) * n_out / n_in


def fixed_point(
    phi: Activation,
    *,
    sigma_w: float,
    sigma_b: float = 0.0,
    dropout: float = 0.0,
    start: float = 1.0,
    kinks: Kinks = (0.0,),
) -> float:
    """The variance q = V(q) that stays the same from layer to layer, at which the walk q → V(q) from `start` ends.

    The walk goes up where V(q) > q and down where V(q) < q. Where V increases with q, as for the usual activations, it
    cannot pass a fixed point, but it may need any number of layers: for tanh with σ_w = 1, q is about 1/(2·layers). So
    each step here is at least 5 % long, and when V(q) − q changes its sign, bisection finds the place. Returns 0 or
    infinity where q runs there, and `start` itself where it stays the same, as every q does under He's rule. (A
    difference below 10⁻¹²·q counts as none. Two fixed points less than 5 % apart may be missed.)
    """
    if not 0 < start < math.inf:
        raise ValueError(f"expected a positive finite variance to start from, got {start}")

    def change(q: float) -> float:
        """V(q) − q, or 0 where that may be an error of the quadrature."""
        V = variance_map(phi, q, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout, kinks=kinks)
        difference = V - q
        if math.isnan(difference):
            raise ValueError(f"expected an activation with a finite E[φ(√q z)²], got NaN at q = {q:g}")
        return difference if abs(difference) > 1e-12 * q else 0.0

    q, step = start, change(start)
    if step == 0:
        return start
    sign = math.copysign(1, step)
    while True:
        following = q + sign * max(sign * step, 0.05 * q)
        if not 1e-100 < following < 1e100:
            return math.inf if sign > 0 else 0.0
        step = change(following)
        if sign * step < 0:
            return _crossing(change, *sorted((q, following)))
        q = following


def gradient_depth_scale(
    phi: Activation, *, sigma_w: float, sigma_b: float = 0.0, dropout: float = 0.0, kinks: Kinks = (0.0,)
) -> float:
    """ξ_∇ = 1/|ln χ|, with χ at the fixed point of q: in so many layers a gradient's mean square changes by a factor e.

    It is infinite at χ = 1. Layers are of equal width, see `gradient_factor`. This is not the depth at which training
    fails, which is that of `correlation_depth_scale`. Source: Schoenholz et al. 2017, §4.
    """
    q = fixed_point(phi, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout, kinks=kinks)
    return _depth_scale(chi(phi, min(q, HUGE), sigma_w=sigma_w, dropout=dropout, kinks=kinks))


# --- two signals ----------------------------------------------------------------------------------------------


def correlation_map(
    phi: Activation,
    c: float,
    q: float,
    *,
    sigma_w: float,
    sigma_b: float = 0.0,
    dropout: float = 0.0,
    kinks: Kinks = (0.0,),
) -> float:
    """C(c) = (σ_w² E[φ(√q z₁) φ(√q z₂)] + σ_b²)/V(q): how alike the signals of two inputs are after the next layer.

    c is the correlation of a unit's outputs for the two inputs, and so that of z₁ and z₂; q is the variance of either.
    For ReLU without biases this is the arc-cosine kernel (√(1 − c²) + c·(π − arccos c))/π (Cho & Saul 2009, NeurIPS,
    eq. 6). Dropout enlarges V(q) alone, so even C(1) is below 1: two masks make two signals of one input. Source: Poole
    et al. 2016, eq. 5.
    """
    root = _root(q)
    product = pair_expectation(lambda z: function(phi)(root * z), c, kinks=[k / root for k in kinks])
    V = variance_map(phi, q, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout, kinks=kinks)
    return (sigma_w**2 * product + sigma_b**2) / V


def correlation_slope(
    phi: Activation,
    c: float,
    q: float,
    *,
    sigma_w: float,
    sigma_b: float = 0.0,
    dropout: float = 0.0,
    kinks: Kinks = (0.0,),
) -> float:
    """C'(c) = σ_w² E[φ'(√q z₁) φ'(√q z₂)]·q/V(q): the slope of `correlation_map`.

    Where q = V(q) this is the paper's χ_c, and at c = 1 and without dropout it is χ.
    """
    root = _root(q)
    product = pair_expectation(lambda z: derivative(phi)(root * z), c, kinks=[k / root for k in kinks])
    V = variance_map(phi, q, sigma_w=sigma_w, sigma_b=sigma_b, dropout=dropout, kinks=kinks)
    return sigma_w**2 * product * q / V


def fixed_correlation(
    phi: Activation, *, sigma_w: float, sigma_b: float = 0.0, dropout: float = 0.0, kinks: Kinks = (0.0,)
) -> float:
    """c* = C(c*): the correlation that the signals of any two inputs approach with depth, at the fixed point of q.

    C(1) = 1, since equal inputs stay equal. As a power series in c, C has no negative coefficient (they are squares of
    those of φ in Hermite polynomials), so it is convex for c ≥ 0. So there are two cases:

    - χ = C'(1) ≤ 1, the ordered phase: c* = 1, and all inputs become alike.
    - χ > 1, the chaotic phase: C crosses the diagonal once more, at a c* < 1, even for inputs that are nearly equal.

    With dropout C(1) < 1, so C crosses the diagonal at a c* < 1 whatever the weights are. Newton's method finds it:
    from c = 0 it climbs and never passes c*, since a convex curve lies above its tangents. Raises ValueError if q runs
    to 0 or to infinity. Source: Poole et al. 2016, §2.2.
    """
    settings: dict[str, Any] = {"sigma_w": sigma_w, "sigma_b": sigma_b, "dropout": dropout, "kinks": kinks}
    q = _fixed_signal(phi, **settings)
    if dropout == 0 and correlation_slope(phi, 1.0, q, **settings) <= 1 + SAME:
        return 1.0
    c = 0.0
    while (above := correlation_map(phi, c, q, **settings) - c) > 1e-13:
        c = min(c + above / (1 - correlation_slope(phi, c, q, **settings)), 1.0)
    return c


def correlation_depth_scale(
    phi: Activation, *, sigma_w: float, sigma_b: float = 0.0, dropout: float = 0.0, kinks: Kinks = (0.0,)
) -> float:
    """ξ_c = 1/|ln C'(c*)|: in so many layers the distance of two signals' correlation from c* falls by a factor e.

    A few ξ_c later, the outputs say nothing about which inputs they belong to. Networks can be trained up to a depth of
    about 6 ξ_c (Schoenholz et al. 2017, §3 and §5). In the ordered phase, where c* = 1, this is `gradient_depth_scale`.
    In the chaotic phase it is another number: for tanh with σ_w² = 4 and σ_b² = 0.05, 6.98 and not 3.40. It is
    infinite where C'(c*) = 1, on the edge of chaos. With dropout there is no such place: however the weights are
    scaled, the depth is bounded. Raises ValueError if q runs to 0 or to infinity.
    """
    settings: dict[str, Any] = {"sigma_w": sigma_w, "sigma_b": sigma_b, "dropout": dropout, "kinks": kinks}
    c, q = fixed_correlation(phi, **settings), _fixed_signal(phi, **settings)
    return _depth_scale(correlation_slope(phi, c, q, **settings))


# --- the edge of chaos ----------------------------------------------------------------------------------------


def edge_of_chaos(
    phi: Activation,
    *,
    q: float | None = None,
    sigma_b: float | None = None,
    dropout: float = 0.0,
    kinks: Kinks = (0.0,),
) -> tuple[float, float]:
    """(σ_w, σ_b) for which q stays the same and χ = 1: wide layers keep signals and gradients at their size.

    The two conditions are

        χ = σ_w² E[φ'(√q z)²]/(1 − p) = 1,        q = σ_w² E[φ(√q z)²]/(1 − p) + σ_b².

    Give `q`, the variance that the layers' outputs should keep: then the first condition yields σ_w, and the second
    σ_b. Or give `sigma_b`: then the function searches for q. For ReLU the result is (√2, 0) at every q, which is He's
    rule. Source: Poole et al. 2016; Schoenholz et al. 2017, §3.

    The point must be stable, V'(q) ≤ 1, see `variance_slope`: otherwise q leaves it with depth, and χ = 1 no longer
    holds. GELU and SiLU are stable only at a large q. Raises ValueError if there is no such point, because σ_b² would
    be negative, because no q fits `sigma_b`, or because it is unstable.
    """
    if (q is None) == (sigma_b is None):
        got = "neither" if q is None else "both"
        raise ValueError(f"expected either q, the variance to keep, or sigma_b, got {got}")
    if q is not None:
        if not (q > 0 and math.isfinite(q)):
            raise ValueError(f"expected a positive finite variance q, got {q}")
        sigma_w, square = _edge(phi, q, kinks)
        if square < -1e-9 * q:
            raise ValueError(f"there is no edge of chaos at q = {q:g}: σ_b² would be {square:.3g}; try another q")
        _check_stable(phi, q, kinks)
        return sigma_w * math.sqrt(_kept(dropout)), math.sqrt(max(square, 0.0))

    if not (sigma_b is not None and sigma_b > 0 and math.isfinite(sigma_b)):
        raise ValueError(f"expected a positive finite sigma_b, got {sigma_b}; without biases give a small q instead")

    def excess(q: float) -> float:
        return _edge(phi, q, kinks)[1] - sigma_b**2

    grid = [float(q) for q in np.geomspace(1e-6, 1e4, 201)]
    grid = [q for q in grid if slope_moment(phi, q, kinks=kinks) != 0]  # a small signal may reach no slope at all
    found = [_crossing(excess, *pair) for pair in itertools.pairwise(grid) if len({excess(q) < 0 for q in pair}) == 2]
    if not found:
        raise ValueError(f"no variance q puts this activation on the edge of chaos with sigma_b = {sigma_b:g}")
    stable = [q for q in found if _edge_slope(phi, q, kinks) <= 1 + SAME]
    if not stable:
        _check_stable(phi, found[0], kinks)
    return _edge(phi, stable[0], kinks)[0] * math.sqrt(_kept(dropout)), float(sigma_b)


def _edge(phi: Activation, q: float, kinks: Kinks) -> tuple[float, float]:
    """σ_w and σ_b² of the edge of chaos at q, without dropout, which divides σ_w² and leaves σ_b² as it is."""
    slope = slope_moment(phi, q, kinks=kinks)
    if not (slope > 0 and math.isfinite(slope)):
        raise ValueError(f"there is no edge of chaos at q = {q:g}: E[φ'(√q z)²] is {slope}")
    return 1 / math.sqrt(slope), q - second_moment(phi, q, kinks=kinks) / slope


def _edge_slope(phi: Activation, q: float, kinks: Kinks) -> float:
    """V'(q) on the edge of chaos."""
    return variance_slope(phi, q, sigma_w=_edge(phi, q, kinks)[0], kinks=kinks)


def _check_stable(phi: Activation, q: float, kinks: Kinks) -> None:
    """Raise ValueError, with the nearest round q that is better, unless V'(q) ≤ 1 on the edge of chaos at q."""
    slope = _edge_slope(phi, q, kinks)
    if slope <= 1 + SAME:
        return
    near = sorted(
        (m * 10.0**e for e in range(-3, 4) for m in (1, 1.5, 2, 3, 4, 5, 7)), key=lambda x: abs(math.log(x / q))
    )
    stable = (x for x in near if _edge(phi, x, kinks)[1] >= 0 and _edge_slope(phi, x, kinks) <= 1)
    none = f"none from q = {min(near):g} to q = {max(near):g} is stable"
    better = next((f"q = {x:g} is stable" for x in stable), none)
    raise ValueError(
        f"the edge of chaos at q = {q:.3g} is unstable, V'(q) = {slope:.3f} > 1: an error in q grows in every layer; "
        + better
    )


# --- helpers --------------------------------------------------------------------------------------------------


def _kept(dropout: float) -> float:
    """1 − p."""
    if not 0 <= dropout < 1:
        raise ValueError(f"expected a probability of dropping a unit, 0 ≤ p < 1, got {dropout}")
    return 1 - dropout


def _root(q: float) -> float:
    if not q > 0:
        raise ValueError(f"expected a variance q > 0, got q = {q}")
    return math.sqrt(q)


def _fixed_signal(phi: Activation, **settings: Any) -> float:
    """The fixed point of q. Raises ValueError if that is 0 or infinite."""
    q = fixed_point(phi, **settings)
    if not 0 < q < math.inf:
        raise ValueError(
            f"the variance of a signal runs to {q:g} with sigma_w = {settings['sigma_w']:g} and sigma_b = "
            f"{settings['sigma_b']:g}, so correlations have no fixed point: choose others"
        )
    return q


def _depth_scale(factor: float) -> float:
    """1/|ln factor|, the number of layers that multiply something by e or by 1/e."""
    if abs(factor - 1) <= SAME:
        return math.inf
    return 1 / abs(math.log(factor)) if factor > 0 else 0.0


def _crossing(f: Callable[[float], float], low: float, high: float) -> float:
    """The place between low and high, both > 0, where f changes its sign."""
    rising = f(low) < 0
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if (f(middle) < 0) == rising else (low, middle)
    return high
