"""Residual networks: blocks Y = X + f(X), whose signal and gradient reach every depth past the weights."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from scratchnet.backend import Array, as_array
from scratchnet.layers import Layer, Linear
from scratchnet.network import Network, mlp


class Residual(Layer):
    """Y = X + f(X), where f, the branch, is its `layers` in order. f keeps the shape of X.

    By the chain rule dX = dY + what comes back through f, so the gradient reaches X past the branch too. If f starts at
    0, as with a `Scale` of 0 at its end, then Y = X. Source: He, Zhang, Ren & Sun 2016, CVPR, eq. 1.
    """

    def __init__(self, layers: Iterable[Layer]) -> None:
        self.layers = list(layers)

    def forward(self, X: Array, train: bool = False) -> Array:
        Y = X
        for layer in self.layers:
            Y = layer.forward(Y, train=train)
        if Y.shape[-2:] != X.shape[-2:]:
            raise ValueError(f"a residual branch must keep the shape of its input, got {X.shape} → {Y.shape}")
        return X + Y

    def backward(self, dY: Array) -> Array:
        dX = dY
        for layer in reversed(self.layers):
            dX = layer.backward(dX)
        return dY + dX


class Scale(Layer):
    """Y = αX with one learned number α. dX = α·dY, and dα = Σ dY·X over all examples and units.

    At the end of a residual branch it is the factor of SkipInit (De & Smith 2020, NeurIPS) and of ReZero (Bachlechner,
    Majumder, Mao, Cottrell & McAuley 2021, UAI), both with α = 0 at the start, and of Fixup, with α = 1.
    """

    params = {"alpha": 0}

    def __init__(self, alpha: float | Array) -> None:
        self.alpha = as_array(alpha)
        self.dalpha = np.empty_like(self.alpha)

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X = X
        return self.alpha[..., None, None] * X

    def backward(self, dY: Array) -> Array:
        np.sum(dY * self.X, axis=(-2, -1), out=self.dalpha)
        return self.alpha[..., None, None] * dY


class Shift(Layer):
    """Y = X + β with one learned number β, Fixup's bias. dX = dY, and dβ = Σ dY over all examples and units."""

    params = {"beta": 0}

    def __init__(self, beta: float | Array = 0.0) -> None:
        self.beta = as_array(beta)
        self.dbeta = np.empty_like(self.beta)

    def forward(self, X: Array, train: bool = False) -> Array:
        return X + self.beta[..., None, None]

    def backward(self, dY: Array) -> Array:
        np.sum(dY, axis=(-2, -1), out=self.dbeta)
        return dY


def residual_mlp(
    sizes: Sequence[int],
    *,
    branch: int = 2,
    alpha: float | None = None,
    shifts: bool = False,
    replicas: tuple[int, ...] = (),
    dtype: Any = np.float32,
    **settings: Any,
) -> Network:
    """The mlp of these `sizes` and `settings` with a skip around every `branch` Linear layers, in L blocks:

        Linear, X + f₁(X), …, X + f_L(X), activation, Linear      with f = activation, Linear, activation, Linear

    The first and the last Linear layer stay outside, so there are 1 + L·branch hidden sizes. The activation comes first
    in f (He, Zhang, Ren & Sun 2016, ECCV, "Identity mappings"), and before it the normalization, if there is one.

    `alpha` puts a learned factor at the end of each branch, a `Scale` that starts there. `shifts` puts a learned
    number, a `Shift`, before each activation and before each Linear layer but the first. alpha=0 is SkipInit or
    ReZero; alpha=1, shifts=True is Fixup, if `init.fixup` draws the weights.
    """
    hidden = list(sizes[1:-1])
    if branch < 1 or len(hidden) <= branch or (len(hidden) - 1) % branch or len(set(hidden[::branch])) > 1:
        raise ValueError(
            f"residual_mlp with branches of {branch} Linear layers needs 1 + {branch}·L hidden sizes, L ≥ 1, and one "
            f"width where branches begin and end, such as {'100, ' * (2 * branch)}100, got {hidden}"
        )
    groups: list[list[Any]] = []  # a Linear layer and what stands before it
    before: list[Any] = []
    for layer in mlp(sizes, dtype=dtype, **settings).layers:
        if not isinstance(layer, Linear):
            before.append(layer)
            continue
        groups.append([Shift(), *before, Shift(), layer] if shifts and groups else [*before, layer])
        before = []
    first, *middle, last = groups
    layers = [*first]
    for start in range(0, len(middle), branch):
        f = [layer for group in middle[start : start + branch] for layer in group]
        layers.append(Residual(f if alpha is None else [*f, Scale(float(alpha))]))
    network = Network([*layers, *last])
    return network.replicate(replicas) if replicas else network
