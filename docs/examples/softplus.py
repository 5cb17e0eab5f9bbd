"""An activation with a parameter of its own: softplus, whose sharpness is learned. And a scheme that fits it.

    python scripts/compare.py --activation docs/examples/softplus.py:Softplus \\
        --arms he_normal,docs/examples/softplus.py:fitted

Its gradients are checked by finite differences, in two small networks side by side, with random W, b and s. So wrong
formulas, wrong axes and gradients that the network does not see are all found:

>>> from scratchnet.gradcheck import gradcheck
>>> from scratchnet.network import mlp
>>> rng = np.random.default_rng(0)
>>> network = mlp([5, 4, 3], activation=Softplus, replicas=(2,), dtype=float)
>>> network.theta[...] = rng.normal(size=network.theta.shape)
>>> errors = gradcheck(network, rng.normal(size=(6, 5)), rng=rng)
>>> print(*errors, max(errors.values()) < 1e-8)
X 0.W 0.b 1.s 2.W 2.b True

The scheme's variance: E[φ(z)²] times n_in·Var W is 1, up to the error of a sample.

>>> z, W = rng.normal(size=200_000), fitted((784, 256), rng=rng, phi=Softplus())
>>> y = Softplus().forward(z.reshape(-1, 1))
>>> bool(abs(np.mean(y**2) * 784 * W.var() - 1) < 0.03)
True
"""

import math

import numpy as np

from scratchnet.init import fan_in
from scratchnet.init.meanfield import gain
from scratchnet.layers import Layer, sigmoid


class Softplus(Layer):
    """y = log(1 + e^(βx))/β with β = e^s, where s is learned. The larger β is, the closer y is to ReLU.

    dx = dy·σ(βx).  ∂y/∂β = (x·σ(βx) − y)/β and ∂β/∂s = β, so ds = Σ dy·(x·σ(βx) − y).
    """

    params = {"s": 0}  # the name of the parameter, and how many axes it has: one number for the layer

    def __init__(self, s=0.0):
        self.s, self.ds = np.array(s), np.array(0.0)

    def forward(self, X, train=False):
        beta = np.exp(self.s)[..., None, None]
        self.X, self.S, self.Y = X, sigmoid(beta * X), np.logaddexp(0, beta * X) / beta
        return self.Y

    def backward(self, dY):
        np.sum(dY * (self.X * self.S - self.Y), axis=(-2, -1), out=self.ds)
        return dY * self.S


def fitted(shape, *, rng, phi):
    """Var W = g²/n_in with the gain g of φ, which keeps the mean square of a signal, whatever the activation is."""
    return rng.normal(0.0, gain(phi) / math.sqrt(fan_in(shape)), shape)
