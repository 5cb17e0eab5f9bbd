"""How the size of a signal changes from layer to layer, computed before anything is trained.

A layer's output is y_j = Σ_k x_k w_kj + b_j. Draw w ~ N(0, σ_w²/n_in) and b ~ N(0, σ_b²). In a wide layer the sum has
many independent terms, so y_j is nearly normal, with variance

    q_next = σ_w² E[φ(√q z)²] + σ_b²,        z ~ N(0, 1),

where q is the variance of the outputs of the layer before, and φ the activation between the two, x = φ(√q z) (Poole,
Lahiri, Raghu, Sohl-Dickstein & Ganguli 2016, NeurIPS, eq. 3). On the way back, each layer multiplies the mean square of
a gradient by

    χ = σ_w² E[φ'(√q z)²]

(Schoenholz, Gilmer, Ganguli & Sohl-Dickstein 2017, ICLR, eq. 5 and §4). A good scale of the weights keeps q the same
from layer to layer and χ near 1. The functions below compute these expectations and solve for the scale.
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

FAR = 12.0  # standard deviations; farther out the normal density is below 1e-31
NODES = 300  # points of the quadrature on each smooth piece


def expectation(f: Callable[[np.ndarray], np.ndarray], *, kinks: Sequence[float] = (0.0,)) -> float:
    """E[f(z)] for z ~ N(0, 1), by Gauss-Legendre quadrature between `kinks`, the points where f is not smooth.

    A quadrature rule converges slowly across a kink (ReLU has one at 0), so each smooth piece is integrated by itself.
    The error is about 1e-12 if f is smooth on each piece, grows more slowly than e^(z²/2), and has no detail finer than
    0.1. For φ(√q z), where φ saturates, the error is below 1e-10 up to q = 10⁴.
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
    """E[φ(√q z)²]: the mean square of the next layer's input, if this layer's output has variance q."""
    if not q >= 0:
        raise ValueError(f"expected a variance q ≥ 0, got q = {q}")
    if q == 0:
        return float(_function(phi)(np.zeros(1))[0] ** 2)
    root = math.sqrt(q)
    return expectation(lambda z: _function(phi)(root * z) ** 2, kinks=[k / root for k in kinks])


def slope_moment(phi: Activation, q: float = 1.0, *, kinks: Sequence[float] = (0.0,)) -> float:
    """E[φ'(√q z)²]: the factor on the mean square of a gradient when it passes back through φ.

    If `phi` is a layer, φ' is its own backward pass; if it is a plain function, φ' is a central difference.
    """
    if not q >= 0:
        raise ValueError(f"expected a variance q ≥ 0, got q = {q}")
    root = math.sqrt(q)
    return expectation(lambda z: _derivative(phi)(root * z) ** 2, kinks=[k / root for k in kinks] if root else kinks)


def gain(phi: Activation, *, kinks: Sequence[float] = (0.0,)) -> float:
    """g = 1/√E[φ(z)²]: weights of standard deviation g/√n_in keep a signal of variance 1 at variance 1.

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

    PyTorch's `calculate_gain` differs. It has 5/3 for tanh, which is 5 % more and saturates; 1 for sigmoid, a
    placeholder; and 3/4 for SELU, with which the mean square falls to 0.024 after 50 layers. It lacks ELU, GELU and
    SiLU.
    """
    moment = second_moment(phi, kinks=kinks)
    if not (moment > 0 and math.isfinite(moment)):
        raise ValueError(f"no gain can keep a signal with E[φ(z)²] = {moment}: φ must be finite and not 0 everywhere")
    return 1 / math.sqrt(moment)


def variance_map(
    phi: Activation, q: float, *, sigma_w: float, sigma_b: float = 0.0, kinks: Sequence[float] = (0.0,)
) -> float:
    """q_next = σ_w² E[φ(√q z)²] + σ_b²: the variance of a layer's outputs, if q is that of the layer before."""
    return sigma_w**2 * second_moment(phi, q, kinks=kinks) + sigma_b**2


def chi(phi: Activation, q: float, *, sigma_w: float, kinks: Sequence[float] = (0.0,)) -> float:
    """χ = σ_w² E[φ'(√q z)²]: each layer multiplies the mean square of a gradient by χ on the way back.

    If χ < 1, gradients vanish, and the signals of two inputs become alike. If χ > 1, gradients explode, and the signals
    of two inputs become different.
    """
    return sigma_w**2 * slope_moment(phi, q, kinks=kinks)


def fixed_point(
    phi: Activation, *, sigma_w: float, sigma_b: float = 0.0, start: float = 1.0, kinks: Sequence[float] = (0.0,)
) -> float:
    """The variance q that stays the same from layer to layer, q = variance_map(q).

    It is found by applying the map again and again, from q = `start`. If the walk runs to 0 or to infinity, that is
    returned. Between the two, as for tanh with σ_w = 1, q approaches 0 more slowly than any exponential; then the
    function returns the q it has reached after 10,000 layers.
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
    """ξ = 1/|ln χ|: the number of layers over which a gradient's mean square changes by a factor e.

    At χ = 1 it is infinite. A network much deeper than a few ξ cannot be trained (Schoenholz et al. 2017, §3, fig. 5).
    """
    q = fixed_point(phi, sigma_w=sigma_w, sigma_b=sigma_b, kinks=kinks)
    q = min(max(q, 1e-12), 1e4)  # if q runs to 0 or infinity: χ of a very small or a very large signal
    factor = chi(phi, q, sigma_w=sigma_w, kinks=kinks)
    if factor == 0:
        return 0.0
    return 1 / abs(math.log(factor)) if abs(factor - 1) > 1e-12 else math.inf


def edge_of_chaos(
    phi: Activation, *, q: float | None = None, sigma_b: float | None = None, kinks: Sequence[float] = (0.0,)
) -> tuple[float, float]:
    """(σ_w, σ_b) for which q stays the same and χ = 1: signals and gradients keep their size at any depth.

    The two conditions are

        χ = σ_w² E[φ'(√q z)²] = 1,        q = σ_w² E[φ(√q z)²] + σ_b².

    Give `q`, the variance that the layers' outputs should keep: then the first condition yields σ_w, and the second
    σ_b. Or give `sigma_b`: then the function searches for q. For ReLU the result is (√2, 0) at every q, which is He's
    rule. Source: Poole et al. 2016; Schoenholz et al. 2017, §3.

    Raises ValueError if there is no such point, because σ_b² would be negative or because no q fits `sigma_b`.
    """
    if (q is None) == (sigma_b is None):
        got = "neither" if q is None else "both"
        raise ValueError(f"expected either q, the variance to keep, or sigma_b, got {got}")

    def at(variance: float) -> tuple[float, float]:
        """σ_w and σ_b² for one q."""
        slope = slope_moment(phi, variance, kinks=kinks)
        if not (slope > 0 and math.isfinite(slope)):
            raise ValueError(f"there is no edge of chaos at q = {variance:g}: E[φ'(√q z)²] is {slope}")
        return 1 / math.sqrt(slope), variance - second_moment(phi, variance, kinks=kinks) / slope

    if q is not None:
        if not (q > 0 and math.isfinite(q)):
            raise ValueError(f"expected a positive finite variance q, got {q}")
        sigma_w, square = at(q)
        if square < -1e-9 * q:
            raise ValueError(f"there is no edge of chaos at q = {q:g}: σ_b² would be {square:.3g}; try another q")
        return sigma_w, math.sqrt(max(square, 0.0))

    assert sigma_b is not None
    if not (sigma_b > 0 and math.isfinite(sigma_b)):
        raise ValueError(f"expected a positive finite sigma_b, got {sigma_b}; without biases give a small q instead")
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
