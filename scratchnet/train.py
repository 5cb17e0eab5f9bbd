"""Training and evaluation: plain loops."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import numpy as np

from scratchnet.backend import Array, like, to_host
from scratchnet.layers import parameters
from scratchnet.loss import CrossEntropy, check_labels
from scratchnet.network import Network
from scratchnet.optim import Optimizer

EVALUATION_BATCH = 1000  # examples; nothing is learned from them, so the size is a matter of speed alone


class Evaluation(NamedTuple):
    """Mean loss and accuracy (the share of examples whose largest logit is the label), one for each replica."""

    loss: np.ndarray
    accuracy: np.ndarray


def batches(
    indices: np.ndarray, batch_size: int, *, rng: np.random.Generator | Sequence[np.random.Generator]
) -> Iterator[np.ndarray]:
    """One epoch: the row numbers `indices: (n,)` in random order, `batch_size` at a time, the short last one too.

    With `indices: (S, n)` and a sequence of S generators, S epochs side by side: each batch is (S, batch_size).
    """
    if batch_size < 1:
        raise ValueError(f"expected a batch size ≥ 1, got {batch_size}")
    if isinstance(rng, Sequence):
        shuffled = np.stack([r.permutation(row) for r, row in zip(rng, indices, strict=True)])
    elif indices.ndim > 1:
        raise ValueError(f"indices of shape {indices.shape} need {len(indices)} generators, one for each row, got one")
    else:
        shuffled = rng.permutation(indices)
    for start in range(0, shuffled.shape[-1], batch_size):
        yield shuffled[..., start : start + batch_size]


def step(network: Network, optimizer: Optimizer, X: Array, labels: Array, frozen: Array | None = None) -> Array:
    """One step on the batch `X: (..., n, n_in)`; return its loss before the step, one for each replica."""
    loss = CrossEntropy()
    L = loss.forward(network.forward(X, train=True), labels)
    network.backward(loss.backward(), need_dX=False)
    if frozen is None:
        optimizer.step()
    else:
        np.copyto(network.grad, 0, where=frozen)
        before = network.theta.copy()
        optimizer.step()
        np.copyto(network.theta, before, where=frozen)  # the averages of earlier gradients would move them
    return L


def fit(
    network: Network,
    optimizer: Optimizer,
    images: Array,
    labels: Array,
    *,
    epochs: int,
    batch_size: int,
    rng: np.random.Generator | Sequence[np.random.Generator],
    indices: np.ndarray | None = None,
    frozen: Array | None = None,
    on_step: Callable[[], None] | None = None,
) -> np.ndarray:
    """Train `network` for `epochs` passes over the rows `indices` (default: all); return the loss of every batch.

    `images: (N, n_in)` and `labels: (N,)` live on the network's device. The losses, `(steps, ...)` with a column for
    each replica, are those of the batches before each step, dropout included, as the lesson plots them. A run that
    overflows goes on with the infinities and NaNs that it computed: that is its result. With `indices: (S, n)` and S
    generators, each index of the last replica axis has an order of its own.

    `frozen`, a mask that broadcasts to theta's shape, keeps parameters as they are; the optimizer gets the gradient 0
    for them. `on_step` is called after each step.

    Raises ValueError where an image has no label, or a label no logit, and where no step would change the network: a
    parameter that was replaced instead of filled, or an optimizer of another network.
    """
    if epochs < 0:
        raise ValueError(f"expected a number of epochs ≥ 0, got {epochs}")
    _check_parameters(network, optimizer)
    _check_labels(network, images, labels)
    indices = _rows(indices, len(images))
    frozen = None if frozen is None else like(frozen, network.theta)
    history: list[np.ndarray] = []
    with np.errstate(all="ignore"):
        for _ in range(epochs):
            losses = []
            for batch in batches(indices, batch_size, rng=rng):
                rows = like(batch, images)
                losses.append(step(network, optimizer, images[rows], labels[rows], frozen))
                if on_step is not None:
                    on_step()
            history.extend(to_host(value) for value in losses)  # once an epoch: on a GPU each fetch waits
    return np.array(history, dtype=np.float64).reshape(len(history), *network.replicas)


def evaluate(
    network: Network,
    images: Array,
    labels: Array,
    *,
    indices: np.ndarray | None = None,
    batch_size: int = EVALUATION_BATCH,
) -> Evaluation:
    """Mean loss and accuracy over the rows `indices` (default: all), in evaluation mode: nothing is dropped."""
    indices = _rows(indices, len(images))
    n = indices.shape[-1]
    if n < 1 or batch_size < 1:
        raise ValueError(f"expected examples, in batches of at least 1, got {n} in batches of {batch_size}")
    _check_labels(network, images, labels)
    loss = CrossEntropy()
    total_loss = total_correct = np.zeros(network.replicas)
    with np.errstate(all="ignore"):
        for start in range(0, n, batch_size):
            batch = indices[..., start : start + batch_size]
            rows = like(batch, images)
            Z = network.forward(images[rows])
            total_loss = total_loss + to_host(loss.forward(Z, labels[rows])).astype(np.float64) * batch.shape[-1]
            total_correct = total_correct + to_host((Z.argmax(axis=-1) == labels[rows]).sum(axis=-1))
    return Evaluation(np.asarray(total_loss / n), np.asarray(total_correct / n))


def _rows(indices: np.ndarray | None, n: int) -> np.ndarray:
    """The row numbers: all n, where none are named. Raises ValueError for a mask, which would be shuffled as it is."""
    rows = np.arange(n) if indices is None else np.asarray(indices)
    if rows.dtype.kind not in "iu":
        raise ValueError(f"indices: expected row numbers, got {rows.dtype}: np.flatnonzero makes them of a mask")
    return rows


def _check_parameters(network: Network, optimizer: Optimizer) -> None:
    """Raise ValueError where the optimizer's steps would not change what the network computes with."""
    for name, A, dA in parameters(network):
        if not (np.may_share_memory(A, network.theta) and np.may_share_memory(dA, network.grad)) and A.size:
            raise ValueError(
                f"{name} or its gradient is a new array, unknown to any optimizer: fill the old one in place, [...] = …"
            )
    pair = getattr(optimizer, "theta", network.theta), getattr(optimizer, "grad", network.grad)
    if not (np.may_share_memory(pair[0], network.theta) and np.may_share_memory(pair[1], network.grad)):
        raise ValueError(
            "the optimizer was made for another network, or before this one's parameters were replaced: make it with "
            "this network's theta and grad"
        )


def _check_labels(network: Network, images: Array, labels: Array) -> None:
    """Raise ValueError unless each image has a label, and each label a logit of the network. Not at each step."""
    for name, A in (("images", images), ("labels", labels)):
        if not hasattr(A, "shape"):
            raise ValueError(f"{name}: expected an array, got {type(A).__name__}: np.asarray makes one of it")
        if isinstance(A, np.ma.MaskedArray):
            raise ValueError(f"{name}: expected an array, got a masked one: what is masked would be used too")
    if images.ndim != 2 or images.dtype.kind not in "fiub":
        raise ValueError(f"images: expected rows of real numbers, got {images.dtype} of shape {images.shape}")
    if labels.shape != (len(images),):
        raise ValueError(f"expected a label for each of {len(images)} images, got labels of shape {labels.shape}")
    with np.errstate(all="ignore"):
        classes = network.forward(images[:1]).shape[-1]
    check_labels(to_host(labels), classes)
