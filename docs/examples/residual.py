"""A network: blocks Y = X + f(X) in the middle. And an initialization that knows about them.

    python scripts/compare.py --network docs/examples/residual.py:residual --hidden 100x20 \\
        --arms he_normal,docs/examples/residual.py:blocks_at_zero

Its gradients are checked by finite differences, with dropout:

>>> from scratchnet.gradcheck import gradcheck
>>> from scratchnet.layers import Tanh
>>> rng = np.random.default_rng(0)
>>> network = residual([5, 4, 4, 3], activation=Tanh, dropout=0.2, rng=rng, dtype=float)
>>> network.theta[...] = rng.normal(size=network.theta.shape)
>>> errors = gradcheck(network, rng.normal(size=(6, 5)), rng=rng, train=True)
>>> print(*errors, max(errors.values()) < 1e-8)
X 0.W 0.b 1.2.W 1.2.b 4.W 4.b True

With W = 0 in the block, the network computes what its other layers compute without it:

>>> blocks_at_zero(network, None, None, rng=rng)
>>> X = Y = rng.normal(size=(6, 5))
>>> for layer in [layer for layer in network.layers if not isinstance(layer, Residual)]:
...     Y = layer.forward(Y)
>>> np.array_equal(network.forward(X), Y)
True
"""

from itertools import pairwise

import numpy as np

from scratchnet import init
from scratchnet.layers import Dropout, Layer, Linear
from scratchnet.network import Network


class Residual(Layer):
    """Y = X + f(X), where f is its layers in order. So dX = dY + what comes back through f."""

    def __init__(self, layers):
        self.layers = layers

    def forward(self, X, train=False):
        Y = X
        for layer in self.layers:
            Y = layer.forward(Y, train=train)
        return X + Y

    def backward(self, dY):
        dX = dY
        for layer in reversed(self.layers):
            dX = layer.backward(dX)
        return dY + dX


def residual(sizes, *, activation, dropout, rng, dtype):
    """An mlp in which each hidden layer that keeps the number of units becomes a block X + f(X)."""

    def linear(n_in, n_out):
        return Linear(np.zeros((n_in, n_out), dtype), np.zeros(n_out, dtype))

    layers = [linear(*sizes[:2])]
    for n_in, n_out in pairwise(sizes[1:]):
        f = [activation(), Dropout(dropout, rng=rng), linear(n_in, n_out)]
        layers += [Residual(f)] if n_in == n_out else f
    return Network(layers)


def blocks_at_zero(network, X, labels, *, rng):
    """He's rule, but W = 0 in each block, so that it starts as Y = X."""
    network.apply(init.linear(init.he_normal, rng=rng))
    for layer in network.layers:
        if isinstance(layer, Residual):
            layer.layers[-1].W[...] = 0  # in place: W is a part of network.theta
