"""A rehearsal: each part of a comparison does once what training will need, so that what fails is found at once."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np

from scratchnet import init
from scratchnet.lab import parts
from scratchnet.lab.experiment import Arm, Settings, initialized, rows, seen_rows, stream
from scratchnet.layers import parameters, states, walk
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network
from scratchnet.normalization import BatchNorm


def rehearse(
    arms: Sequence[Arm], seed: int, images: np.ndarray, labels: np.ndarray, settings: Settings
) -> dict[str, str]:
    """Do once what training will need: initialize the network by each arm, and take a few steps with two images.

    Returns, for the key of each arm, that of the first arm with the same initial weights and learning rates: usually
    its own.
    Raises PartError, in one sentence, where a part fails: before the training and not in the middle of it. What would
    train to the end without a word is found too: parameters that are replaced instead of changed in place, and layers
    that compute something else side by side with others than alone.
    """
    training, _ = rows(len(images), seed, settings)
    seen = seen_rows(training, seed)
    X, t = images[seen].astype(settings.dtype), labels[seen]
    two = X[:2], t[:2]
    build, activation = parts.describe(settings.build), parts.describe(settings.activation)
    same: dict[str, str] = {}
    with np.errstate(all="ignore"):
        with _explained(f"the network {build} with the activation {activation}") as name:
            network = settings.network(stream(seed, "dropout"))
            if not isinstance(network, Network):
                raise ValueError(f"expected a Network, got {type(network).__name__}")
            if network.replicas or network.theta.dtype != settings.dtype:
                got = f"{network.theta.dtype} and replicas {network.replicas}"
                raise ValueError(f"expected parameters of {settings.dtype} without replicas, got {got}")
            if settings.batch_size == 1 and any(isinstance(layer, BatchNorm) for layer in walk(network)):
                raise ValueError(
                    "BatchNorm passes no gradient on from a batch of one example: give a larger batch size"
                )
        first: dict[tuple[bytes, str], str] = {}
        for arm in arms:
            with _explained(f"the initialization {arm.label}"):
                initial = initialized(arm, seed, settings, X, t)
                for parameter, A, _ in parameters(initial):
                    if not np.may_share_memory(A, initial.theta):
                        raise ValueError(f"{parameter} is a new array: fill it in place, W[...] = …")
                start = b"".join(A.tobytes() for A in (initial.theta, *dict(states(initial)).values()))
                alike = hashlib.sha256(start).digest(), repr(arm.learning_rate)
                same[arm.key] = first.setdefault(alike, arm.key)
        with _explained(name):
            network.apply(init.linear(init.he_normal, rng=stream(seed, "weights")))
            stack = settings.network(stream(seed, "dropout")).replicate((3, 1))
            stack.theta[...] = network.theta
            grad = _gradient(network, *two, train=False, classes=settings.sizes[-1]).copy()
            axes = (
                "parameters may have replica axes in front, so use a number as a[..., None, None], a vector as "
                "a[..., None, :], and sum over the last axes"
            )
            try:
                side_by_side = _gradient(stack, *two, train=False, classes=settings.sizes[-1]).copy()
                _gradient(stack, *two, train=True, classes=settings.sizes[-1])
            except Exception as error:
                raise ValueError(f"it works alone and not in a stack of three ({parts.told(error)}): {axes}") from error
            if not np.allclose(side_by_side, grad, rtol=1e-3, atol=1e-3 * float(np.abs(grad).max()), equal_nan=True):
                raise ValueError(f"its gradients in a stack of three are not those that it has alone: {axes}")
            _gradient(network, *two, train=True, classes=settings.sizes[-1])
        with _explained(f"the optimizer {parts.describe(settings.optimizer)}"):
            before = network.theta.copy()
            rate = arms[0].rate(seed, settings)
            optimizer = settings.optimizer(network.theta, network.grad, learning_rate=rate)
            for _ in range(3):
                optimizer.step()
            if rate > 0 and grad.any() and np.array_equal(before, network.theta):
                raise ValueError("three steps left theta as it was: change it in place, theta -= …")
    return same


def _gradient(network: Network, X: np.ndarray, labels: np.ndarray, *, train: bool, classes: int) -> np.ndarray:
    """The gradient, layer by layer as `Network` does it, with a sentence for a layer that returns nothing or fills
    nothing.
    """
    for layer in network.layers:
        X = layer.forward(X, train=train)
        if not isinstance(X, np.ndarray):
            raise ValueError(f"{type(layer).__name__}.forward returned {type(X).__name__}: it must return Y")
    if X.shape[-2:] != (len(labels), classes):
        raise ValueError(f"expected logits of shape {(len(labels), classes)}, got {X.shape}")
    loss = CrossEntropy()
    loss.forward(X, labels)
    network.grad[...] = np.nan  # backward has to overwrite it
    dX = loss.backward()
    for layer in reversed(network.layers):
        dX = layer.backward(dX)
        if not isinstance(dX, np.ndarray):
            raise ValueError(f"{type(layer).__name__}.backward returned {type(dX).__name__}: it must return dX")
    if np.isfinite(X).all():
        for parameter, _, dA in parameters(network):
            if np.isnan(dA).all() or not np.may_share_memory(dA, network.grad):
                raise ValueError(f"backward left the gradient of {parameter} as it was: fill it in place, dA[...] = …")
    return network.grad


@contextmanager
def _explained(name: str) -> Iterator[str]:
    """Turn what a part raises into a PartError that names the part and the line of the reader's file."""
    try:
        yield name
    except parts.PartError:
        raise
    except (Exception, SystemExit) as error:
        raise parts.PartError(f"{name} does not work: {parts.told(error)}") from error
