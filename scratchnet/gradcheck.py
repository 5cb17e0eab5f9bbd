"""Gradient checking: doubt a backward pass by comparing it with finite differences."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np

from scratchnet.layers import parameters


def numerical_gradient(
    f: Callable[[], float], A: np.ndarray, *, step: float = 1e-5, indices: Iterable[tuple[int, ...]] | None = None
) -> np.ndarray:
    """∂f/∂A by central differences, for each element a of A: (f(a + h) − f(a − h))/2h, h = `step`.

    `f()` computes a number from A's present content. The error is O(h²), some 1e-10 for h = 1e-5, plus that of
    rounding, about 1e-16·f/h: float64 is needed. `indices` chooses elements (default: all); the others are NaN.
    """
    G = np.full(A.shape, np.nan)
    for i in np.ndindex(A.shape) if indices is None else indices:
        a = A[i]
        A[i] = a + step
        above = f()
        A[i] = a - step
        G[i] = (above - f()) / (2 * step)
        A[i] = a
    return G


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

    The scalar is L = Σ dY·forward(X) with a *random* dY: with a dY of all ones, mixed-up rows would not show, and the
    gradient of a softmax would be 0. Its `numerical_gradient` is computed for at most `samples` elements of each array,
    drawn by `rng`. Each L is computed by a fresh copy of the layer, so that a layer with random numbers of its own
    (Dropout) draws the same ones every time. The error of an array is max|difference| / max(1, max|finite difference|).

    The gradients are filled with NaN before backward. So a gradient that is added to instead of overwritten is found,
    and one that is put into a new array that no network knows of. Raises GradientError where the error is above
    `tolerance`, or where a gradient's shape is not its array's. A kink (ReLU at exactly 0) has no derivative: keep X
    away from it.
    """
    X = np.array(X)
    layer = copy.deepcopy(layer)  # the caller's stays as it was, and a generator shared with `rng` stands still
    arrays = {"X": X} | {name: A for name, A, _ in parameters(layer)}
    for name, A in arrays.items():
        if A.dtype != np.float64:
            raise ValueError(f"gradcheck needs float64, got {name} in {A.dtype}: rounding would hide the differences")

    def copied() -> Any:
        return copy.deepcopy(layer)

    dY = rng.standard_normal(copied().forward(X, train=train).shape)

    def loss() -> float:
        """L, from what X and the parameters of `layer` hold at the moment."""
        return float(np.sum(dY * copied().forward(X.copy(), train=train)))

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
        differences = numerical_gradient(loss, A, step=step, indices=indices)
        expected = np.array([differences[i] for i in indices])
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
