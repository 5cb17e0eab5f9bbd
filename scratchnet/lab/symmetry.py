"""How different the units of a layer are. Units that are equal learn the same, and count as one.

A is a matrix with one column for each unit, `(..., rows, units)`: the layer's weights, or its outputs with a row for
each example. Axes in front are replicas; every function returns one number for each of them.

The exact count alone misleads. With dropout, the units of a network of ones differ after one step, since each had its
own mask; but they differ so little that the effective rank of their outputs is still 1.0.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array


def distinct_units(A: Array) -> np.ndarray:
    """The number of different columns: those that are equal to the last bit are counted once.

    Ask it of weights. Outputs of equal units may differ in their last bits, since a matrix product may sum the columns
    at its edge in another order.
    """
    stack = np.asarray(A).reshape(-1, *A.shape[-2:])
    # + 0.0 makes −0 a 0
    return np.array([len({c.tobytes() for c in columns.T + 0.0}) for columns in stack]).reshape(A.shape[:-2])


def effective_rank(A: Array) -> np.ndarray:
    """exp(−Σ p_i ln p_i), with p_i = s_i/Σ s the singular values as shares: the number of directions really used.

    k equal singular values, and no others, give k. 0 for a matrix of zeros, NaN where A is not finite. Source: Roy &
    Vetterli 2007, EUSIPCO, "The effective rank".
    """
    finite = np.isfinite(A).all(axis=(-2, -1))
    A = np.where(finite[..., None, None], A, 0).astype(np.float64)
    s = np.linalg.svd(A, compute_uv=False)
    total = s.sum(axis=-1, keepdims=True)
    p = s / np.where(total > 0, total, 1)
    entropy = -np.sum(p * np.log(np.where(p > 0, p, 1)), axis=-1)
    return np.where(finite, np.where(total[..., 0] > 0, np.exp(entropy), 0.0), np.nan)


def largest_cosine(A: Array) -> np.ndarray:
    """The largest cosine of the angle between two different columns: 1 where two units differ by a factor > 0 at most.

    Columns of zeros have no direction and are left out; NaN where fewer than two are left.
    """
    length = np.sqrt(np.square(A, dtype=np.float64).sum(axis=-2, keepdims=True))
    U = A / np.where(length > 0, length, 1)
    cosines = U.mT @ U
    some = (length > 0)[..., 0, :]
    pair = some[..., :, None] & some[..., None, :] & ~np.eye(A.shape[-1], dtype=bool)
    largest = np.where(pair, cosines, -np.inf).max(axis=(-2, -1))
    return np.where(np.isneginf(largest), np.nan, largest)
