"""What a layer's outputs look like: their size, how alike they are for two inputs, and how many of them are silent.

Y is an array of outputs before the activation, `(..., n, units)`: rows are examples, axes in front are replicas, and
every function returns one number for each replica, of shape (...), unless it says otherwise. `phi` is the activation
layer that comes next, such as `ReLU()`; it is copied, and stays as it is.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import numpy as np

from scratchnet.backend import Array, like
from scratchnet.layers import Layer

FLAT = 0.05  # φ' below this share of its maximum counts as saturated
LINE = np.linspace(-20, 20, 4001)[:, None]  # where φ' has its maximum, for every activation of this package


# --- the outputs of every layer, and their gradients ------------------------------------------------------------------


def outputs(network: Layer, X: Array, train: bool = False) -> list[Array]:
    """The outputs of each layer of the network in order, for the examples X. The last ones are the logits."""
    Ys = []
    for layer in network.layers:
        X = layer.forward(X, train=train)
        Ys.append(X)
    return Ys


def output_gradients(network: Layer, dZ: Array) -> list[Array]:
    """dY for the output Y of each layer, in the order of the layers, after a forward pass. Overwrites the gradients."""
    dYs = [dZ]
    for layer in reversed(network.layers):
        dYs.append(layer.backward(dYs[-1]))
    return dYs[-2::-1]  # the last one is dX


# --- size -------------------------------------------------------------------------------------------------------------


def mean_square(Y: Array) -> Array:
    """E[y²] over examples and units. Of outputs it is q, of gradients E[dY²], of a matrix of weights E[w²]."""
    return np.square(Y, dtype=np.float64).mean(axis=(-2, -1))


def mean_size(Y: Array) -> Array:
    """E|y| over examples and units: what the coordinate check of µP looks at, over the width and the first steps.

    In µP it depends on neither; with the usual rules and one learning rate, the steps of a wider network change it
    more. Source: Yang et al. 2021, Tensor Programs V.
    """
    return np.abs(Y).mean(axis=(-2, -1), dtype=np.float64)


def quantiles(Y: Array, shares: Sequence[float] = (0.01, 0.25, 0.5, 0.75, 0.99)) -> np.ndarray:
    """The values below which these shares of all outputs lie: (shares, ...)."""
    return np.quantile(Y, shares, axis=(-2, -1))


def histogram(Y: Array, edges: np.ndarray) -> np.ndarray:
    """The share of all outputs in each bin between `edges`: (..., bins). What lies outside is in the first or last."""
    flat = np.clip(Y, edges[0], edges[-1]).reshape(*Y.shape[:-2], -1)
    counts = np.apply_along_axis(lambda y: np.histogram(y, edges)[0], -1, flat)
    return counts / flat.shape[-1]


def ratio(A: Array, B: Array) -> Array:
    """√(E[a²]/E[b²]): gradient to weight, or update to weight. Infinite or NaN where B is 0."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.sqrt(mean_square(A) / mean_square(B))


# --- two inputs -------------------------------------------------------------------------------------------------------


def correlation(Y: Array) -> Array:
    """c: the mean over all pairs of different examples of y·y'/(‖y‖‖y'‖), their rows of outputs y and y'.

    With two rows it is the correlation of two inputs (Poole et al. 2016, NeurIPS). Let u be a row divided by its
    length; then Σ_{i≠j} u_i·u_j = ‖Σ_i u_i‖² − Σ_i ‖u_i‖². Rows of zeros have no direction and are left out; NaN where
    fewer than two rows are left.
    """
    length = np.sqrt(np.square(Y, dtype=np.float64).sum(axis=-1, keepdims=True))
    U = Y / np.where(length > 0, length, 1)
    n = (length > 0).sum(axis=(-2, -1))
    pairs = np.square(U.sum(axis=-2)).sum(axis=-1) - n
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.where(n > 1, pairs / (n * (n - 1)), np.nan)


# --- what the activation lets through ---------------------------------------------------------------------------------


def slope(phi: Layer, Y: Array) -> Array:
    """φ'(y) for each output: the activation's own backward pass of ones."""
    phi = copy.deepcopy(phi)
    return phi.backward(np.ones_like(phi.forward(Y)))  # of its output's shape: phi may have replicas, and Y none


def elementwise(phi: Layer, Y: Array) -> bool:
    """Whether each output of phi depends on one y alone: only then is φ'(y) its derivative. Softmax mixes them."""
    phi = copy.deepcopy(phi)
    whole = phi.forward(Y)
    try:
        column = phi.forward(Y.reshape(*Y.shape[:-2], -1, 1))
    except ValueError:  # it has parameters for each unit
        return False
    return column.size == whole.size and bool(np.allclose(whole, column.reshape(whole.shape), equal_nan=True))


def saturation(Y: Array, phi: Layer) -> Array:
    """The share of all outputs with |φ'(y)| < 5 % of its maximum: there, hardly any gradient passes.

    One rule for every activation. Of N(0, 1), ReLU has half in its flat part, and tanh 2.9 %.
    """
    peak = np.abs(slope(phi, like(LINE, Y))).max(axis=(-2, -1), keepdims=True)
    return (np.abs(slope(phi, Y)) < FLAT * peak).mean(axis=(-2, -1))


def dead_units(Y: Array, phi: Layer) -> Array:
    """The share of units with φ'(y) = 0 for every example in Y: no gradient reaches their weights from any of them.

    A unit that is silent for one batch may speak for the next one: give the whole training set. The chance that a ReLU
    network with N units in each layer is born with a whole layer dead is bounded by Lu, Shin, Su & Karniadakis 2020.
    """
    return (slope(phi, Y) == 0).all(axis=-2).mean(axis=-1)


def dead_inputs(Y: Array, phi: Layer) -> Array:
    """The share of examples that have φ'(y) = 0 at every unit: from them, no gradient passes this layer."""
    return (slope(phi, Y) == 0).all(axis=-1).mean(axis=-1)


def patterns(Y: Array) -> np.ndarray:
    """How many different patterns of on (y > 0) and off the units show for the examples, at most n.

    A ReLU network is linear wherever the patterns of all its layers stay the same.
    """
    bits = np.packbits(Y > 0, axis=-1)
    stack = bits.reshape(-1, *bits.shape[-2:])
    return np.array([len({row.tobytes() for row in rows}) for rows in stack]).reshape(bits.shape[:-2])
