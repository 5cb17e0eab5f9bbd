"""An optimizer: Lion, whose steps all have the same length.

    python scripts/compare.py --optimizer docs/examples/lion.py:Lion --learning-rate 0.0001 \\
        --arms he_normal,lecun_normal

Two steps by hand. The first is −α·sign(g), and leaves m = 0.01g = (0.005, −0.001, 0):

>>> theta, grad = np.array([1.0, -2.0, 3.0]), np.array([0.5, -0.1, 0.0])
>>> lion = Lion(theta, grad, learning_rate=0.1)
>>> lion.step()
>>> theta.round(9).tolist()
[0.9, -1.9, 3.0]

In the second, 0.9m + 0.1g is (0.0045 − 0.004, −0.0009 + 0.02, 0), so the first parameter goes on in its direction
although its gradient has turned:

>>> grad[...] = [-0.04, 0.2, 0.0]
>>> lion.step()
>>> theta.round(9).tolist()
[0.8, -2.0, 3.0]

With a learning rate for each parameter, those of the first layer move a tenth as far as the others:

>>> theta = np.zeros(784 * 256 + 3)
>>> slow_first(theta, np.ones_like(theta), learning_rate=0.1).step()
>>> theta[[0, 784 * 256 - 1, 784 * 256]].round(9).tolist()
[-0.01, -0.01, -0.1]
"""

import numpy as np

from scratchnet.optim import Optimizer, rate


class Lion(Optimizer):
    """θ ← θ − α·sign(β₁m + (1 − β₁)g), then m ← β₂m + (1 − β₂)g (Chen et al. 2023, arXiv 2302.06675)."""

    def __init__(self, theta, grad, *, learning_rate, beta1=0.9, beta2=0.99):
        self.theta, self.grad, self.m = theta, grad, np.zeros_like(theta)
        self.learning_rate, self.beta1, self.beta2 = rate(learning_rate, theta), beta1, beta2

    def step(self):
        self.theta -= self.learning_rate * np.sign(self.beta1 * self.m + (1 - self.beta1) * self.grad)
        self.m += (1 - self.beta2) * (self.grad - self.m)


def slow_first(theta, grad, *, learning_rate):
    """Lion with a learning rate for each parameter: the first layer's 784 × 256 weights learn ten times as slowly."""
    rates = np.full_like(theta, learning_rate)
    rates[..., : 784 * 256] /= 10
    return Lion(theta, grad, learning_rate=rates)
