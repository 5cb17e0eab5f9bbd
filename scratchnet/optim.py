"""Optimizers: how the gradient changes the parameters. Each walks one long vector `theta`, in place."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from scratchnet.backend import Array, adam_kernel, like, on_host


class Optimizer(Protocol):
    """What an optimizer is: made from `theta` and `grad`, two arrays of one shape, it changes `theta` at each `step`.

    A comparison makes it by `optimizer(theta, grad, learning_rate=...)`. It must change `theta` in place, since the
    layers' parameters are views on it, and `grad` is overwritten by the next backward pass.
    """

    def step(self) -> None: ...


class SGD(Optimizer):
    """Stochastic gradient descent with momentum μ (Sutskever et al. 2013, ICML, eq. 1–2, in PyTorch's form).

        v ← μv + g
        θ ← θ − αv

    The velocity v starts at 0; μ = 0 is plain gradient descent. PyTorch's form keeps α out of v, so that a new α
    takes effect at once. `learning_rate`: see `rate`.
    """

    def __init__(self, theta: Array, grad: Array, *, learning_rate: float | Array, momentum: float = 0.0) -> None:
        self.theta, self.grad = theta, grad
        self.learning_rate, self.momentum = rate(learning_rate, theta), decay("momentum", momentum)
        self.v = np.zeros_like(theta)

    def step(self) -> None:
        for theta, g, v, alpha in blocks(self.theta, self.grad, self.v, self.learning_rate):
            v *= self.momentum
            v += g
            theta -= alpha * v


class Adam(Optimizer):
    """Adam: each parameter's step is its mean gradient over the root of its mean squared gradient.

    Kingma & Ba 2015, ICLR, Algorithm 1, with the paper's defaults:

        t ← t + 1
        m ← β₁m + (1 − β₁)g                    running mean of the gradient
        v ← β₂v + (1 − β₂)g²                   running mean of its square
        m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)
        θ ← θ − α·m̂/(√v̂ + ε)

    Why the hats: m and v start at 0, so after t steps the weights of all gradients in m, (1 − β₁)β₁ᵗ⁻ⁱ for g_i, add up
    to 1 − β₁ᵗ only. Divided by that sum, m̂ is a weighted average. The first step is thus α·g/(|g| + ε), about ±α.

    The two divisions need not be made for each parameter (the end of the paper's section 2): with

        α_t = α·√(1 − β₂ᵗ)/(1 − β₁ᵗ),  ε_t = ε·√(1 − β₂ᵗ)

    the last line is θ ← θ − α_t·m/(√v + ε_t), exactly. `learning_rate`, α: see `rate`.
    """

    # Where a gradient has become 0 for good, m and v shrink until they are denormal numbers, on which a processor is
    # some hundred times slower. So every FLUSH_EVERY steps whatever is below FLUSH_BELOW becomes 0: both are too
    # small by far to change θ beside ε. docs/performance.md has what it saves on two processors.
    FLUSH_EVERY = 100
    FLUSH_BELOW = 1e-30

    def __init__(
        self,
        theta: Array,
        grad: Array,
        *,
        learning_rate: float | Array = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        if not 0 <= epsilon < math.inf:
            raise ValueError(f"expected a finite epsilon ≥ 0, got {epsilon}")
        self.theta, self.grad = theta, grad
        self.learning_rate, self.epsilon = rate(learning_rate, theta), epsilon
        self.beta1, self.beta2 = decay("beta1", beta1), decay("beta2", beta2)
        self.m = np.zeros_like(theta)
        self.v = np.zeros_like(theta)
        self.t = 0

    def step(self) -> None:
        self.t += 1
        beta1, beta2 = self.beta1, self.beta2
        alpha_t = self.learning_rate * (math.sqrt(1 - beta2**self.t) / (1 - beta1**self.t))
        epsilon_t = self.epsilon * math.sqrt(1 - beta2**self.t)
        if not on_host(self.theta):
            adam_kernel()(self.grad, beta1, beta2, alpha_t, epsilon_t, self.theta, self.m, self.v)
            return
        for theta, g, m, v, alpha in blocks(self.theta, self.grad, self.m, self.v, alpha_t):
            m *= beta1
            m += (1 - beta1) * g
            v *= beta2
            v += (1 - beta2) * g * g
            theta -= alpha * m / (np.sqrt(v) + epsilon_t)
        if self.t % self.FLUSH_EVERY == 0:
            for m, v in blocks(self.m, self.v):
                m *= np.abs(m) >= self.FLUSH_BELOW
                v *= v >= self.FLUSH_BELOW


def rate(learning_rate: float | Array, theta: Array) -> float | Array:
    """A learning rate as an optimizer keeps it: one number, or an array of theta's shape with one for each parameter.

    An array of any shape that broadcasts to theta's is taken, such as (size,) for all replicas. A rate of 0 leaves a
    parameter as it is. Raises ValueError for negative and non-finite rates and for other shapes.
    """
    if np.ndim(learning_rate) == 0:
        if not (learning_rate >= 0 and math.isfinite(learning_rate)):
            raise ValueError(f"expected a finite learning rate ≥ 0, got {learning_rate}")
        return float(learning_rate)
    if not (np.isfinite(learning_rate) & (learning_rate >= 0)).all():
        raise ValueError("expected finite learning rates ≥ 0, got an array with others in it")
    rates = np.empty_like(theta)
    try:
        rates[...] = like(learning_rate, theta)
    except ValueError:
        shapes = f"{np.shape(learning_rate)}, which does not broadcast to theta's {theta.shape}"
        raise ValueError(f"expected one learning rate or one for each parameter, got the shape {shapes}") from None
    return rates


def decay(name: str, value: float) -> float:
    """A momentum or a β of Adam, a number from 0 to below 1. Raises ValueError for others."""
    if not 0 <= value < 1:
        raise ValueError(f"{name}: expected a number from 0 to below 1, got {value}")
    return value


# Elements of a vector that are worked on at a time: 128 KiB of float32 for each of the four or five vectors
# stay in a core's second-level cache, instead of passing through memory once for every operation.
BLOCK = 32_768


def blocks(*arrays: Array) -> Iterator[tuple[Array, ...]]:
    """Views on the same stretch of each of several arrays of one shape, short enough for a core's cache.

    A number among them is passed on as it is. On a GPU every operation is a launch, so the arrays are taken whole; so
    are those that are not contiguous, of which NumPy has no flat view.
    """
    if not (on_host(arrays[0]) and all(A.flags.c_contiguous for A in arrays if np.ndim(A))):
        yield arrays
        return
    flat = [A.reshape(-1) if np.ndim(A) else A for A in arrays]
    for start in range(0, arrays[0].size, BLOCK):
        yield tuple(A[start : start + BLOCK] if np.ndim(A) else A for A in flat)
