"""Initial weights of residual networks: rules that know how many blocks there are."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.init.schemes import he_normal
from scratchnet.layers import Linear, walk
from scratchnet.network import Network
from scratchnet.residual import Residual


def fixup(network: Network, X: Any = None, labels: Any = None, *, rng: np.random.Generator) -> None:
    """He's rule, made smaller in residual branches by their number L, and 0 in each branch's last layer. Biases are 0.

        W ~ N(0, 2/n_in)                      outside of branches
        W ~ N(0, 2/n_in)·L^(−1/(2m − 2))      in a branch of m Linear layers, but for its last
        W = 0                                 in the last Linear layer of each branch, and of the network

    Why: a block adds f to its input, so L branches with He's rule double the variance L times. With the last layer at
    0 every block starts as Y = X. A step of gradient descent then changes all L branches, whose outputs add up. Their
    sum should change as much as that of one branch would, so each of them by 1/L. A branch is a product of m matrices.
    If the first m − 1 are c = L^(−1/(2m − 2)) times as large, the gradient of the last is c^(m − 1) = L^(−1/2) times as
    large, and so is what a change of the last does to the branch's output. Both together make 1/L.

    Fixup's scalars are layers: `residual_mlp(..., alpha=1, shifts=True)`. X and the labels are not looked at: they make
    it a preparation, which `--arms scratchnet/init/residual.py:fixup` names. Raises ValueError for a network without a
    residual block. Source: Zhang, Dauphin & Ma 2019, ICLR, "Fixup initialization".
    """
    branches = [block for block in walk(network) if isinstance(block, Residual)]
    if not branches:
        raise ValueError("fixup needs a network with residual blocks: build it with residual_mlp")
    linears = [layer for layer in walk(network) if isinstance(layer, Linear)]
    for layer in linears:
        layer.W[...] = he_normal(layer.W.shape, rng=rng)
        layer.b[...] = 0
    linears[-1].W[...] = 0
    for branch in branches:
        *others, last = [layer for layer in walk(branch) if isinstance(layer, Linear)]
        for layer in others:
            layer.W *= len(branches) ** (-1 / (2 * len(others)))  # m − 1 others
        last.W[...] = 0
