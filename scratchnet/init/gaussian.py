"""Expectations over a normal distribution, of an activation and of its slope: what the theory of signals is made of."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

# An activation: a function of an array, or a layer of this package such as ReLU().
Activation = Any
# The points where a function is not smooth: 0 for ReLU.
Kinks = Sequence[float]

FAR = 12.0  # standard deviations; farther out the normal density is below 1e-31
NODES = 300  # points of the quadrature on each smooth piece
TINY = 1e-100  # stands for a signal's size in the limit q → 0
FEW = 100  # the same in each of two directions, for a pair of signals


def expectation(f: Callable[[np.ndarray], np.ndarray], *, kinks: Sequence[Any] = (0.0,), nodes: int = NODES) -> Any:
    """E[f(z)] for z ~ N(0, 1), by Gauss-Legendre quadrature between `kinks`, the points where f is not smooth.

    A quadrature rule converges slowly across a kink (ReLU has one at 0), so each smooth piece is integrated by itself.
    The error is about 1e-12 if f is smooth on each piece, grows more slowly than e^(z²/2), and has no detail finer than
    0.1. For φ(√q z), where φ saturates, the error is below 1e-10 up to q = 10⁴.

    A kink may be an array (...): then f is a family of functions, one for each element, which gets its points as an
    array (..., nodes), and the result has the shape (...).
    """
    cuts: Any = np.sort([np.clip(k, -FAR, FAR) for k in np.broadcast_arrays(*kinks)], axis=0)
    total = integral(lambda z: f(z) * np.exp(-z * z / 2), [-FAR, *cuts, FAR], nodes=nodes) / math.sqrt(2 * math.pi)
    return float(total) if np.ndim(total) == 0 else total


def integral(f: Callable[[np.ndarray], np.ndarray], ends: Sequence[Any], *, nodes: int = NODES) -> Any:
    """∫ f(z) dz from the first of `ends` to the last, piece by piece: Gauss-Legendre quadrature between two ends.

    The ends may be arrays (...), as the kinks of `expectation` may.
    """
    points, weights = _gauss_legendre(nodes)
    total: Any = 0.0
    for a, b in itertools.pairwise(np.asarray(end) for end in ends):
        if (a < b).any():
            z = ((a + b) / 2)[..., None] + ((b - a) / 2)[..., None] * points
            total = total + (b - a) / 2 * (weights * f(z)).sum(axis=-1)
    return total


_gauss_legendre = functools.cache(np.polynomial.legendre.leggauss)


def pair_expectation(
    f: Callable[[np.ndarray], np.ndarray], c: float, *, kinks: Kinks = (0.0,), nodes: int = FEW
) -> float:
    """E[f(z₁) f(z₂)] for z₁, z₂ ~ N(0, 1) with correlation c.

    With s = √(1 − c²) and z ~ N(0, 1), independent of z₁, z₂ = c z₁ + s z has correlation c with z₁. So this is

        E[f(z₁) g(z₁)],        g(x) = E[f(c x + s z)],

    one `expectation` in another. A kink k of f lies at z = (k − c x)/s for g(x); g itself is smooth, but for c near ±1
    it bends within a few s of x = c k. Divided by E[f(z)²], the error is about 1e-13 for φ(√q z) with q ≤ 20, and below
    1e-10 for q = 400, where tanh is nearly a step; that of its slope, a narrow peak, then reaches 1e-6.
    """
    if not -1 <= c <= 1:
        raise ValueError(f"expected a correlation from -1 to 1, got c = {c}")
    s = math.sqrt((1 - c) * (1 + c))
    if s == 0:
        return expectation(lambda z: f(z) * f(c * z), kinks=[*kinks, *(c * k for k in kinks)])

    def g(x: np.ndarray) -> np.ndarray:
        within = [(k - c * x) / s for k in kinks]
        return expectation(lambda z: f(c * x[..., None] + s * z), kinks=within, nodes=nodes)

    bends = [c * k + width * s for k in kinks for width in (-8, 0, 8)]
    return expectation(lambda z: f(z) * g(z), kinks=[*kinks, *bends], nodes=nodes)


def second_moment(phi: Activation, q: float = 1.0, *, kinks: Kinks = (0.0,)) -> float:
    """E[φ(√q z)²]: the mean square of the next layer's input, if this layer's output has variance q."""
    if not q >= 0:
        raise ValueError(f"expected a variance q ≥ 0, got q = {q}")
    if q == 0:
        return float(function(phi)(np.zeros(1))[0] ** 2)
    root = math.sqrt(q)
    return expectation(lambda z: function(phi)(root * z) ** 2, kinks=[k / root for k in kinks])


def slope_moment(phi: Activation, q: float = 1.0, *, kinks: Kinks = (0.0,)) -> float:
    """E[φ'(√q z)²]: the factor on the mean square of a gradient when it passes back through φ.

    If `phi` is a layer, φ' is its own backward pass; if it is a plain function, φ' is a difference of its values. At
    q = 0 this is the limit for a very small signal: ½ for ReLU, since half of the signal is on either side of the kink.
    """
    if not q >= 0:
        raise ValueError(f"expected a variance q ≥ 0, got q = {q}")
    root = math.sqrt(q) or TINY
    return expectation(lambda z: derivative(phi)(root * z) ** 2, kinks=[k / root for k in kinks])


def function(phi: Activation) -> Callable[[np.ndarray], np.ndarray]:
    """φ as a function of an array of any shape. A layer is given one column, since it may expect rows of examples."""
    if not hasattr(phi, "forward"):
        return phi
    return lambda x: phi.forward(x.reshape(-1, 1)).reshape(x.shape)


def derivative(phi: Activation) -> Callable[[np.ndarray], np.ndarray]:
    """φ': the layer's own backward pass or, for a plain function, a difference of its values."""
    if hasattr(phi, "backward"):

        def slope(x: np.ndarray) -> np.ndarray:
            phi.forward(x.reshape(-1, 1))
            return phi.backward(np.ones((x.size, 1))).reshape(x.shape)

        return slope

    def difference(x: np.ndarray) -> np.ndarray:
        h = np.copysign(1e-5, x)  # away from 0, so that it does not reach over a kink there
        return (4 * phi(x + h) - phi(x + 2 * h) - 3 * phi(x)) / (2 * h)  # exact up to h²

    return difference
