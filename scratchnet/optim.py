"""Optimizers: how the gradient changes the parameters. Each walks one long vector `theta`, in place."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from scratchnet.backend import Array, adam_kernel, on_host

# Elements of a vector that are worked on at a time: 128 KiB of float32 for each of the four or five vectors
# stay in a core's second-level cache, instead of passing through memory once for every operation.
BLOCK = 32_768


def blocks(*vectors: Array) -> Iterator[tuple[Array, ...]]:
    """Windows on the same stretch of each of several arrays of one shape, of a size that caches like."""
    flat = [vector.reshape(-1) for vector in vectors]
    size = BLOCK if on_host(flat[0]) else flat[0].size  # on a GPU every operation is a launch: take it whole
    for start in range(0, flat[0].size, size):
        yield tuple(vector[start : start + size] for vector in flat)


class SGD:
    """Stochastic gradient descent with momentum μ (Sutskever et al. 2013, ICML, eq. 1–2, in PyTorch's form).

        v ← μv + g
        θ ← θ − αv

    The velocity v starts at 0; μ = 0 is plain gradient descent. PyTorch's form keeps α out of v, so that a new
    α takes hold at once.
    """

    def __init__(self, theta: Array, grad: Array, *, learning_rate: float, momentum: float = 0.0) -> None:
        self.theta, self.grad = theta, grad
        self.learning_rate, self.momentum = learning_rate, momentum
        self.v = np.zeros_like(theta)

    def step(self) -> None:
        for theta, g, v in blocks(self.theta, self.grad, self.v):
            v *= self.momentum
            v += g
            theta -= self.learning_rate * v


class Adam:
    """Adam: each parameter's step is its mean gradient over the root of its mean squared gradient.

    Kingma & Ba 2015, ICLR, Algorithm 1, with the paper's defaults:

        t ← t + 1
        m ← β₁m + (1 − β₁)g                    running mean of the gradient
        v ← β₂v + (1 − β₂)g²                   running mean of its square
        m̂ = m/(1 − β₁ᵗ),  v̂ = v/(1 − β₂ᵗ)    both start at 0: undo that bias
        θ ← θ − α·m̂/(√v̂ + ε)

    Put together, m̂ is nothing but a weighted average of all gradients so far, the newest with weight 1, and v̂
    one of their squares:

        m̂ = (g_t + β₁g_{t−1} + β₁²g_{t−2} + …) / (1 + β₁ + β₁² + …),    1 + β₁ + … + β₁ᵗ⁻¹ = (1 − β₁ᵗ)/(1 − β₁)

    This class keeps the two numerators, `m_sum` and `v_sum`: the same algorithm with two products less for each
    parameter (a fifth of Adam's time).
    """

    # Where a gradient has become 0 for good, m_sum shrinks until it is a denormal number, on which a processor
    # is some hundred times slower, and rounding keeps it there. So every FLUSH_EVERY steps whatever is below
    # FLUSH_BELOW becomes 0, too little by far to change θ beside ε. Halves Adam's time on Fashion-MNIST, where
    # most pixels near the border are 0 for hundreds of images on end.
    FLUSH_EVERY = 100
    FLUSH_BELOW = 1e-30

    def __init__(
        self,
        theta: Array,
        grad: Array,
        *,
        learning_rate: float = 0.001,
        beta1: float = 0.9,
        beta2: float = 0.999,
        epsilon: float = 1e-8,
    ) -> None:
        self.theta, self.grad = theta, grad
        self.learning_rate, self.beta1, self.beta2, self.epsilon = learning_rate, beta1, beta2, epsilon
        self.m_sum = np.zeros_like(theta)
        self.v_sum = np.zeros_like(theta)
        self.t = 0

    def step(self) -> None:
        beta1, beta2 = self.beta1, self.beta2
        self.t += 1
        m_weights = (1 - beta1**self.t) / (1 - beta1)  # 1 + β₁ + … + β₁ᵗ⁻¹, so that m̂ = m_sum/m_weights
        v_weights = (1 - beta2**self.t) / (1 - beta2)
        # √v̂ = √v_sum/√v_weights: take that constant out of the fraction, and it costs nothing
        rate = self.learning_rate / m_weights * math.sqrt(v_weights)
        epsilon = self.epsilon * math.sqrt(v_weights)
        if not on_host(self.theta):  # a GPU has no trouble with denormal numbers: nothing is flushed
            adam_kernel()(self.grad, beta1, beta2, rate, epsilon, self.theta, self.m_sum, self.v_sum)
            return
        for theta, g, m_sum, v_sum in blocks(self.theta, self.grad, self.m_sum, self.v_sum):
            m_sum *= beta1
            m_sum += g
            v_sum *= beta2
            v_sum += g * g
            theta -= rate * m_sum / (np.sqrt(v_sum) + epsilon)
            if self.t % self.FLUSH_EVERY == 0:
                m_sum *= np.abs(m_sum) >= self.FLUSH_BELOW
                v_sum *= v_sum >= self.FLUSH_BELOW
