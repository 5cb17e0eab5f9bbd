"""The loss: softmax and cross-entropy together in one class, because together they have a simple gradient."""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array, on_host


def softmax(Z: Array) -> Array:
    """Turn each row of logits into probabilities: p_k = exp(z_k) / Σ_j exp(z_j), over the last axis.

    The row's maximum is subtracted first so that exp does not overflow. This does not change p_k, since the factor
    exp(−max) cancels in the ratio. `CrossEntropy` computes the same inside; use this function for the probabilities.
    """
    E = np.exp(Z - Z.max(axis=-1, keepdims=True))
    return E / E.sum(axis=-1, keepdims=True)


def check_labels(labels: np.ndarray, classes: int) -> None:
    """Raise ValueError unless all `labels` are integers in 0 … classes − 1."""
    if not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be integers in 0 … {classes - 1}, got {labels.dtype}")
    if labels.size and not (labels.min() >= 0 and labels.max() < classes):
        raise ValueError(
            f"labels must lie in 0 … {classes - 1} for {classes} classes, got {labels.min()} … {labels.max()}"
        )


class CrossEntropy:
    """Softmax cross-entropy of logits `Z: (n, classes)` and integer `labels: (n,)`, the mean over the batch.

    One example with the label t and the probabilities p = softmax(z) has the loss

        ℓ = −log p_t = −log( exp(z_t) / Σ_j exp(z_j) ) = log Σ_j exp(z_j) − z_t

    Its derivative with respect to one logit z_k has two terms. For the first, the chain rule gives d log u = du/u, and
    of the sum u only the term j = k depends on z_k. For the second, [k = t] is 1 if k = t and otherwise 0:

        ∂/∂z_k log Σ_j exp(z_j) = exp(z_k) / Σ_j exp(z_j) = p_k
        ∂/∂z_k z_t              = [k = t]
        ∂ℓ/∂z_k                 = p_k − [k = t]

    The loss of a batch is the mean over its n examples. Row i of Z occurs only in the loss ℓ_i of example i, so

        L = 1/n Σ_i ℓ_i    and    ∂L/∂z_ik = 1/n ∂ℓ_i/∂z_ik = (p_ik − [k = t_i]) / n

    Let row i of P hold the probabilities p_ik, and row i of the targets T the numbers [k = t_i] (a one-hot row: 1 in
    the column of the label, 0 elsewhere). For all elements at once this is

        dZ = (P − T)/n             each of shape (n, classes)

    No other place takes the mean over the batch. Textbooks often write Y for T; here Y is always a layer's output.

    Replica axes in front of Z give one loss for each replica, of shape Z.shape[:-2]. `labels` may be shared by all
    replicas or have replica axes of its own. Source: Bridle 1990; Goodfellow, Bengio & Courville 2016, §6.2.2.3.
    """

    def forward(self, Z: Array, labels: Array) -> Array:
        n, classes = Z.shape[-2:]
        if labels.shape[-1:] != (n,):
            raise ValueError(f"logits of shape {Z.shape} need {n} labels, got labels of shape {labels.shape}")
        if on_host(labels):  # on a GPU the check would wait for the GPU at every step; `fit` has checked them once
            check_labels(labels, classes)
        Z = Z - Z.max(axis=-1, keepdims=True)
        E = np.exp(Z)
        total = E.sum(axis=-1, keepdims=True)
        self.P = E / total
        self.T = labels[..., None] == np.arange(classes, like=labels)  # one-hot rows: (n, classes)
        log_P = Z - np.log(total)
        return -np.where(self.T, log_P, 0).sum(axis=-1).mean(axis=-1)

    def backward(self) -> Array:
        n = self.P.shape[-2]
        return (self.P - self.T) / n
