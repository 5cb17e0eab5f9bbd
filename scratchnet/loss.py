"""The loss: softmax and cross-entropy on logits, in one piece, because their joint gradient is simple."""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, on_host


def softmax(Z: Array) -> Array:
    """p_k = exp(z_k) / Σ_j exp(z_j) over the last axis.

    Subtracting the row's maximum changes nothing in the ratio and keeps exp from overflowing. `CrossEntropy` has the
    same lines inside, since it needs log p too; this is for whoever wants the probabilities.
    """
    E = np.exp(Z - Z.max(axis=-1, keepdims=True))
    return E / E.sum(axis=-1, keepdims=True)


def check_labels(labels: np.ndarray, classes: int) -> None:
    """ValueError unless `labels` are integers in 0 … classes − 1."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers in 0 … {classes - 1}, and these are {labels.dtype}")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels must lie in 0 … {classes - 1} for {classes} classes, and these lie in "
            f"{labels.min()} … {labels.max()}"
        )


class CrossEntropy:
    """Softmax cross-entropy of logits `Z: (n, classes)` and integer `labels: (n,)`, the mean over the batch.

    For one example with label y, p = softmax(z):

        L = −log p_y = log Σ_j exp(z_j) − z_y
        ∂L/∂z_k = exp(z_k)/Σ_j exp(z_j) − [k = y] = p_k − [k = y]

    Over a batch, with Y the labels as one-hot rows and the mean taken here and nowhere else:

        dZ = (P − Y)/n

    Replica axes in front of Z give one loss for each replica, of shape Z.shape[:-2]. `labels` may be shared or
    have replica axes of its own. Source: Bridle 1990; Goodfellow, Bengio & Courville 2016, §6.2.2.3.
    """

    def forward(self, Z: Array, labels: Array) -> Array:
        n, classes = Z.shape[-2:]
        if labels.shape[-1:] != (n,):
            raise ValueError(f"logits of shape {Z.shape} need {n} labels, and these are of shape {labels.shape}")
        if on_host(labels):  # on a GPU this would wait for it at every step; `fit` has checked them before
            check_labels(labels, classes)
        Z = Z - Z.max(axis=-1, keepdims=True)
        E = np.exp(Z)
        total = E.sum(axis=-1, keepdims=True)
        self.P = E / total
        self.Y = labels[..., None] == np.arange(classes, like=labels)  # one-hot: (n, classes)
        log_P = Z - np.log(total)
        return -np.where(self.Y, log_P, 0).sum(axis=-1).mean(axis=-1)

    def backward(self) -> Array:
        n = self.P.shape[-2]
        return (self.P - self.Y) / n
