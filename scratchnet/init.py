"""Weight initialization: one short function a scheme.

Each scheme is `scheme(shape, *, rng, ...) -> W` with `shape = (..., n_in, n_out)` and a NumPy generator. The
weights are drawn in float64; the layer that takes them rounds them to its own dtype.

A unit's **fan-in** is the number of its inputs, n = n_in: the rows of W, since here Y = XW. (PyTorch stores Wᵀ,
of shape (n_out, n_in), and so takes the fan-in from the last axis.)
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Scheme = Callable[..., np.ndarray]


def fan_in(shape: tuple[int, ...]) -> int:
    """n_in of a weight matrix's shape (..., n_in, n_out)."""
    if len(shape) < 2:
        raise ValueError(f"weights have the shape (..., n_in, n_out), and {shape} came; a bias has no fan-in")
    if min(shape) < 1:
        raise ValueError(f"every axis of the weights must be at least 1 long, and the shape is {shape}")
    return shape[-2]


def constant(shape: tuple[int, ...], *, rng: np.random.Generator, value: float) -> np.ndarray:
    """W = value, everywhere.

    Units with equal weights compute equal outputs and get equal gradients, so they stay equal for ever: a layer
    of 256 units learns as one. Only dropout, which hits units at random, breaks the tie. Draws nothing from `rng`.
    """
    return np.full(shape, float(value))


def zeros(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """W = 0.

    All activations are 0, so dW = Xᵀ dY is 0 in every layer whose input is 0, and dX = dY Wᵀ is 0 everywhere:
    only the last layer's bias learns, and it learns how frequent each class is.
    """
    return constant(shape, rng=rng, value=0.0)


def ones(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """W = 1.

    Each unit is the plain sum of its inputs: the signal grows n-fold in each layer, and so does the loss.
    """
    return constant(shape, rng=rng, value=1.0)


def uniform(shape: tuple[int, ...], *, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """W ~ U[low, high): mean (low + high)/2, variance (high − low)²/12.

    The weights differ, so units can part ways. But the bounds know nothing of the layer's size: the output of a
    unit with n inputs has about n times the variance of one term, and with a mean other than 0 it grows like n.
    """
    if not low < high:
        raise ValueError(f"uniform needs low < high, and low = {low}, high = {high} came")
    return rng.uniform(low, high, shape)


def normal(shape: tuple[int, ...], *, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """W ~ N(mean, std²)."""
    if not std >= 0:
        raise ValueError(f"normal needs a standard deviation of at least 0, and {std} came")
    return rng.normal(mean, std, shape)


def rule_uniform(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−y, y) with y = 1/√n, the lesson's general rule. Var W = y²/3 = 1/(3n).

    A sum of n terms has n times the variance of one; a variance in proportion to 1/n makes up for it, so that
    the size of a unit's output does not depend on how many inputs it has. Source: LeCun, Bottou, Orr & Müller
    1998, Efficient BackProp, §4.6, asks for a standard deviation of 1/√n; these bounds give 1/√(3n).
    """
    y = 1 / math.sqrt(fan_in(shape))
    return rng.uniform(-y, y, shape)


def rule_normal(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, 1/n): standard deviation 1/√n, three times the variance of `rule_uniform`.

    With inputs of mean square 1, Var(Σ_k x_k w_kj) = n·1·(1/n) = 1: the scale of the input is kept. Source:
    LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, §4.6, eq. 16.
    """
    std = 1 / math.sqrt(fan_in(shape))
    return rng.normal(0.0, std, shape)


def torch_linear(shape: tuple[int, ...], *, rng: np.random.Generator) -> np.ndarray:
    """What PyTorch's nn.Linear starts with: W ~ U(−1/√n, 1/√n), the same weights as `rule_uniform`.

    PyTorch reaches it as He's uniform rule with a = √5, whose bound is √(6/((1 + a²)n)) = 1/√n, a choice
    inherited from Torch7. Its biases are random too: `torch_linear_bias`.
    """
    a = math.sqrt(5)
    bound = math.sqrt(6 / ((1 + a**2) * fan_in(shape)))
    return rng.uniform(-bound, bound, shape)


def torch_linear_bias(shape: tuple[int, ...], *, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """b ~ U(−1/√n, 1/√n), n the fan-in of the layer's weights: a bias itself has none."""
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape)


def linear(scheme: Scheme, *, rng: np.random.Generator, bias: Scheme | None = None) -> Callable[[Any], None]:
    """The function that `network.apply` wants: it fills the W of every Linear layer by `scheme`, and b.

    Biases are 0, or `bias(b.shape, fan_in=n_in, rng=rng)`. One generator serves all layers in turn, so no two
    layers get the same numbers.
    """

    def fill(layer: Any) -> None:
        if hasattr(layer, "W"):
            layer.W[...] = scheme(layer.W.shape, rng=rng)  # in place: W is a window on the network's theta
            layer.b[...] = 0 if bias is None else bias(layer.b.shape, fan_in=fan_in(layer.W.shape), rng=rng)

    return fill


SCHEMES: dict[str, Scheme] = {
    "zeros": zeros,
    "ones": ones,
    "constant": constant,
    "uniform": uniform,
    "normal": normal,
    "rule_uniform": rule_uniform,
    "rule_normal": rule_normal,
    "torch_linear": torch_linear,
}
