"""How the size of a signal changes from layer to layer, computed before anything is trained.

A wide layer's outputs y_j = Σ_k x_k w_kj + b_j, with w ~ N(0, σ_w²/n) and b ~ N(0, σ_b²), are sums of many independent
terms, hence nearly normal, with variance

    q_next = σ_w² E[φ(√q z)²] + σ_b²,        z ~ N(0, 1),

where q is the variance of the layer before and φ the activation between them (Poole, Lahiri, Raghu, Sohl-Dickstein &
Ganguli 2016, NeurIPS, eq. 3). Going back, a gradient's mean square changes per layer by the factor

    χ = σ_w² E[φ'(√q z)²]

(Schoenholz, Gilmer, Ganguli & Sohl-Dickstein 2017, ICLR, eq. 5 and §4). These expectations decide what a good scale is.
"""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# An activation: a function of an array, or a layer of this package such as ReLU().
Activation = Any

FAR = 12.0  # standard deviations; beyond, the normal density is below 1e-31
NODES = 300  # of the quadrature on each smooth piece


def expectation(f: Callable[[np.ndarray], np.ndarray], *, kinks: Sequence[float] = (0.0,)) -> float:
    """E[f(z)] for z ~ N(0, 1), by Gauss-Legendre quadrature between the points where f is not smooth.

    A rule for smooth functions converges slowly across a kink (ReLU's at 0), so each smooth piece gets its own.
    Good to about 1e-12 where f is smooth on each piece, grows slower than e^(z²/2), and does not change within less
    than a tenth: φ(√q z) for a φ that saturates is good to 1e-10 up to q = 10⁴.
    """
    nodes, weights = _gauss_legendre(NODES)
    ends = [-FAR, *sorted(k for k in kinks if -FAR < k < FAR), FAR]
    total = 0.0
    for a, b in itertools.pairwise(ends):
        z = (a + b) / 2 + (b - a) / 2 * nodes
        density = np.exp(-z * z / 2) / math.sqrt(2 * math.pi)
        total += (b - a) / 2 * float(np.sum(weights * f(z) * density))
    return total


_gauss_legendre = functools.cache(np.polynomial.legendre.leggauss)


def second_moment(phi: Activation, q: float = 1.0, *, kinks: Sequence[float] = (0.0,)) -> float:
    """E[φ(√q z)²]: the mean square that the next layer sees, when this one's output has variance q."""
    if not q >= 0:
        raise ValueError(f"a variance cannot be negative, and q = {q} came")
    if q == 0:
        return float(_function(phi)(np.zeros(1))[0] ** 2)
    root = math.sqrt(q)
    return expectation(lambda z: _function(phi)(root * z) ** 2, kinks=[k / root for k in kinks])


def slope_moment(phi: Activation, q: float = 1.0, *, kinks: Sequence[float] = (0.0,)) -> float:
    """E[φ'(√q z)²]: how the mean square of a gradient changes when it passes φ backward.

    φ' is the layer's own backward pass, or a central difference of a plain function.
    """
    if not q >= 0:
        raise ValueError(f"a variance cannot be negative, and q = {q} came")
    root = math.sqrt(q)
    return expectation(lambda z: _derivative(phi)(root * z) ** 2, kinks=[k / root for k in kinks] if root else kinks)


def gain(phi: Activation, *, kinks: Sequence[float] = (0.0,)) -> float:
    """g = 1/√E[φ(z)²]: weights of standard deviation g/√n keep the mean square of a signal of variance 1.

    It is the second moment that has to be kept, not the variance: the next layer's sum of x_k w_kj has the variance
    n·E[x²]·Var w, whatever the mean of x is.

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

    PyTorch's `calculate_gain` differs: tanh 5/3, which is 5 % more and saturates; sigmoid 1, a placeholder; SELU 3/4,
    with which the second moment falls to 0.024 after 50 layers; ELU, GELU and SiLU are missing.
    """
    moment = second_moment(phi, kinks=kinks)
    if not (moment > 0 and math.isfinite(moment)):
        raise ValueError(f"no gain keeps a signal whose E[φ(z)²] is {moment}: φ must be finite and not 0 everywhere")
    return 1 / math.sqrt(moment)


def variance_map(
    phi: Activation, q: float, *, sigma_w: float, sigma_b: float = 0.0, kinks: Sequence[float] = (0.0,)
) -> float:
    """q_next = σ_w² E[φ(√q z)²] + σ_b²: the variance of a layer's outputs from that of the layer before."""
    return sigma_w**2 * second_moment(phi, q, kinks=kinks) + sigma_b**2


def chi(phi: Activation, q: float, *, sigma_w: float, kinks: Sequence[float] = (0.0,)) -> float:
    """χ = σ_w² E[φ'(√q z)²]: the factor on a gradient's mean square per layer, going back.

    χ < 1: gradients vanish, and two inputs grow alike. χ > 1: gradients explode, and two inputs grow apart.
    """
    return sigma_w**2 * slope_moment(phi, q, kinks=kinks)


def fixed_point(
    phi: Activation, *, sigma_w: float, sigma_b: float = 0.0, start: float = 1.0, kinks: Sequence[float] = (0.0,)
) -> float:
    """The variance q that stays from layer to layer, q = variance_map(q), found by walking there from `start`.

    Where the map has no such point the walk ends at 0 or at infinity, and that is returned. At the edge between the
    two, such as tanh with σ_w = 1, it gets there more slowly than any exponential, and ends on the way after 10,000
    layers.
    """
    q = start
    for _ in range(10_000):
        following = variance_map(phi, q, sigma_w=sigma_w, sigma_b=sigma_b, kinks=kinks)
        if abs(following - q) <= 1e-13 * q:
            return following
        if following < 1e-300 or following > 1e300:
            return 0.0 if following < 1 else math.inf
        q = following
    return q


def depth_scale(phi: Activation, *, sigma_w: float, sigma_b: float = 0.0, kinks: Sequence[float] = (0.0,)) -> float:
    """ξ = 1/|ln χ|: after so many layers a gradient's mean square has changed by a factor e (infinite at χ = 1).

    Networks much deeper than a few ξ cannot be trained (Schoenholz et al. 2017, §3 and fig. 5).
    """
    q = fixed_point(phi, sigma_w=sigma_w, sigma_b=sigma_b, kinks=kinks)
    q = min(max(q, 1e-12), 1e4)  # on its way to 0 or infinity, χ is that of small or of large signals
    factor = chi(phi, q, sigma_w=sigma_w, kinks=kinks)
    if factor == 0:
        return 0.0
    return 1 / abs(math.log(factor)) if abs(factor - 1) > 1e-12 else math.inf


def edge_of_chaos(
    phi: Activation, *, q: float | None = None, sigma_b: float | None = None, kinks: Sequence[float] = (0.0,)
) -> tuple[float, float]:
    """(σ_w, σ_b) for which q stays, and χ = 1: signals and gradients keep their size at any depth.

    Give the variance `q` at which the network is to stay, and the two conditions

        χ = σ_w² E[φ'(√q z)²] = 1,        q = σ_w² E[φ(√q z)²] + σ_b²

    are solved one after the other; or give `sigma_b`, and q is searched for. For ReLU it is (√2, 0) at every q, which
    is He's rule. Source: Poole et al. 2016; Schoenholz et al. 2017, §3.

    Raises ValueError where there is no such point: σ_b² would be negative, or no q fits `sigma_b`.
    """
    if (q is None) == (sigma_b is None):
        raise ValueError("edge_of_chaos needs one of q, the variance to stay at, and sigma_b, and not both")

    def at(variance: float) -> tuple[float, float]:
        """σ_w and σ_b² for one q."""
        slope = slope_moment(phi, variance, kinks=kinks)
        if not (slope > 0 and math.isfinite(slope)):
            raise ValueError(f"there is no edge of chaos at q = {variance:g}: E[φ'²] is {slope}")
        return 1 / math.sqrt(slope), variance - second_moment(phi, variance, kinks=kinks) / slope

    if q is not None:
        if not (q > 0 and math.isfinite(q)):
            raise ValueError(f"the variance q must be positive, and {q} came")
        sigma_w, square = at(q)
        if square < -1e-9 * q:
            raise ValueError(f"there is no edge of chaos at q = {q:g}: σ_b² would be {square:.3g}; try another q")
        return sigma_w, math.sqrt(max(square, 0.0))

    assert sigma_b is not None
    if not (sigma_b > 0 and math.isfinite(sigma_b)):
        raise ValueError(f"sigma_b must be positive, and {sigma_b} came; without biases give a small q instead")
    grid = np.geomspace(1e-6, 1e4, 201)
    excess = [at(float(x))[1] - sigma_b**2 for x in grid]
    crossings = [i for i in range(len(grid) - 1) if excess[i] < 0 <= excess[i + 1]]
    if not crossings:
        raise ValueError(f"no variance q puts this activation on the edge of chaos with sigma_b = {sigma_b:g}")
    low, high = float(grid[crossings[0]]), float(grid[crossings[0] + 1])
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if at(middle)[1] < sigma_b**2 else (low, middle)
    return at(high)[0], float(sigma_b)


def _function(phi: Activation) -> Callable[[np.ndarray], np.ndarray]:
    return phi.forward if hasattr(phi, "forward") else phi


def _derivative(phi: Activation) -> Callable[[np.ndarray], np.ndarray]:
    if hasattr(phi, "backward"):

        def slope(x: np.ndarray) -> np.ndarray:
            phi.forward(x)
            return phi.backward(np.ones_like(x))

        return slope
    h = 1e-5
    return lambda x: (phi(x + h) - phi(x - h)) / (2 * h)
