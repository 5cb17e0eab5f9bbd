"""Gradient checking: doubt a backward pass by comparing it with finite differences."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np

from scratchnet.layers import parameters


class GradientError(AssertionError):
    """A gradient and its finite difference disagree; the message says which element and by how much."""


def gradcheck(
    layer: Any,
    X: np.ndarray,
    *,
    rng: np.random.Generator,
    train: bool = False,
    step: float = 1e-5,
    tolerance: float = 1e-6,
    samples: int = 200,
) -> dict[str, float]:
    """Compare `layer.backward` with finite differences; return the worst relative error of each gradient.

    `layer` is a layer of this package or of your own, or a network: anything with `forward(X, train)` and
    `backward(dY)`, and with `params` if it has parameters (see `layers`). It is checked in float64 at `X`, of
    shape (..., n, n_in).

    The scalar is L = Σ dY·forward(X) with a *random* dY: with a dY of all ones, rows that are mixed up, or a
    softmax whose gradient is forgotten, would go unnoticed. For each element a (at most `samples` of an array, drawn by
    `rng`), the central difference

        ∂L/∂a ≈ (L(a + h) − L(a − h)) / 2h,    h = step,

    is wrong by O(h²), about 1e-10 here. Each L is computed by a fresh copy of the layer, so that a layer with
    random numbers of its own (Dropout) draws the same ones every time. The error of an array is max|difference| /
    max(1, max|finite difference|).

    Before, the gradients are filled with NaN: one that is added to instead of overwritten, or put into a new array
    that no network knows of, is found too. Raises GradientError where the error is above `tolerance`, or a
    gradient's shape is not its array's. A kink (ReLU
    at exactly 0) has no derivative: keep X away from it.
    """
    X = np.array(X)
    layer = copy.deepcopy(layer)  # the caller's stays as it was, and a generator shared with `rng` stands still
    arrays = {"X": X} | {name: A for name, A, _ in parameters(layer)}
    for name, A in arrays.items():
        if A.dtype != np.float64:
            raise ValueError(f"gradcheck needs float64, and {name} is {A.dtype}: differences would drown in rounding")

    def copied() -> Any:
        return copy.deepcopy(layer)

    dY = rng.standard_normal(copied().forward(X, train=train).shape)

    def loss(name: str, index: tuple[int, ...], change: float) -> float:
        trial, X_trial = copied(), X.copy()
        A = X_trial if name == "X" else next(A for other, A, _ in parameters(trial) if other == name)
        A[index] += change
        return float(np.sum(dY * trial.forward(X_trial, train=train)))

    checked = copied()
    X_kept, dY_kept = X.copy(), dY.copy()
    checked.forward(X_kept, train=train)
    windows = {name: dA for name, _, dA in parameters(checked)}
    for dA in windows.values():
        dA[...] = np.nan  # backward has to overwrite these very arrays, whatever was in them
    gradients = {"X": checked.backward(dY_kept)} | windows
    if not (np.array_equal(X, X_kept) and np.array_equal(dY, dY_kept)):
        raise GradientError("forward or backward wrote into the array that it was handed")

    # X without replica axes is shared by all replicas, but dX is each replica's own: L's is their sum.
    dX = gradients["X"]
    if dX.ndim > X.ndim:
        gradients["X"] = dX.sum(axis=tuple(range(dX.ndim - X.ndim)))

    errors = {}
    for name, A in arrays.items():
        gradient = gradients[name]
        if gradient.shape != A.shape:
            raise GradientError(f"d{name} has the shape {gradient.shape}, and {name} has {A.shape}")
        chosen = rng.permutation(A.size)[:samples]
        indices = [tuple(int(i) for i in np.unravel_index(j, A.shape)) for j in chosen]
        expected = np.array([(loss(name, i, step) - loss(name, i, -step)) / (2 * step) for i in indices])
        actual = np.array([gradient[i] for i in indices])
        scale = max(1.0, float(np.abs(expected).max(initial=0.0)))
        difference = np.abs(actual - expected) / scale
        errors[name] = float(difference.max(initial=0.0))
        if not errors[name] <= tolerance:  # a NaN fails too
            worst = int(difference.argmax())
            if np.isnan(actual[worst]):
                raise GradientError(f"d{name}{list(indices[worst])} is NaN: backward must fill d{name} in place")
            raise GradientError(
                f"d{name}{list(indices[worst])} is {actual[worst]:.6g}, but finite differences give "
                f"{expected[worst]:.6g} (relative error {errors[name]:.1e}, tolerance {tolerance:.0e})"
            )
    return errors
