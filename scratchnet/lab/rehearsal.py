"""A rehearsal: each part of a comparison does once what training will need, so that what fails is found at once."""

from __future__ import annotations

import hashlib
import inspect
import math
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab import parts
from scratchnet.lab.experiment import CHOOSING, Arm, Settings, initialized, rows, seen_rows, stream
from scratchnet.layers import Dropout, parameters, states, walk
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network
from scratchnet.normalization import BatchNorm

STACK = (2, 2)  # the replica axes of a stack: of arms and of seeds
FEW = 8  # images
AXES = (
    "parameters may have replica axes in front, so use a number as a[..., None, None], a vector as a[..., None, :], "
    "and take sums and means over the last axes"
)


def rehearse(
    arms: Sequence[Arm], seed: int, images: np.ndarray, labels: np.ndarray, settings: Settings
) -> dict[str, str]:
    """Do once what training will need: initialize the network by each arm, and take a few steps.

    Returns, for the key of each arm, that of the first arm with the same learning rates and, from this seed, the same
    initial weights: usually its own.
    Raises PartError, in one sentence, where a part fails: before the training and not in the middle of it. What would
    train to the end without a word is found too: parameters that are replaced instead of changed in place, and layers
    and optimizers that compute something else side by side with others than alone.
    """
    X, t = _seen(images, labels, seed, settings)
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
            if not np.array_equal(network.theta, settings.network(stream(seed, "dropout")).theta, equal_nan=True):
                raise ValueError(
                    "built twice, it has other parameters the second time: draw them from the rng it is given"
                )
            if settings.batch_size == 1 and any(isinstance(layer, BatchNorm) for layer in walk(network)):
                raise ValueError(
                    "BatchNorm passes no gradient on from a batch of one example: give a larger batch size"
                )
        first: dict[tuple[bytes, str], str] = {}
        for arm in arms:
            with _explained(f"the initialization {arm.label}"):
                start = _start(arm, seed, X, t, settings)
                _start(arm, seed + 2 * CHOOSING, X, t, settings)  # a seed that nobody trains
                if _start(arm, seed, X, t, settings) != start:
                    raise ValueError(
                        f"it starts twice from seed {seed} and not with the same weights: draw all random numbers from "
                        "rng, at each call, and keep nothing from one call to the next"
                    )
                same[arm.key] = first.setdefault((start[0], repr(arm.learning_rate)), arm.key)
        with _explained(name):
            _rehearse_network(settings, seed, X[:FEW], t[:FEW])
        with _explained(f"the optimizer {parts.describe(settings.optimizer)}"):
            _rehearse_optimizer(settings, seed, network.theta.size)
    return same


def starts(
    arms: Sequence[Arm], seed: int, images: np.ndarray, labels: np.ndarray, settings: Settings
) -> dict[str, bytes]:
    """For the key of each arm, a digest of the weights with which it starts `seed`. Raises PartError as `rehearse`."""
    X, t = _seen(images, labels, seed, settings)
    found: dict[str, bytes] = {}
    with np.errstate(all="ignore"):
        for arm in arms:
            with _explained(f"the initialization {arm.label}"):
                found[arm.key], _ = _start(arm, seed, X, t, settings)
    return found


def _seen(images: np.ndarray, labels: np.ndarray, seed: int, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """The images and labels that a preparation looks at."""
    training, _ = rows(len(images), seed, settings)
    seen = seen_rows(training, _drawn(seed, settings))
    return images[seen].astype(settings.dtype), labels[seen]


def _drawn(seed: int, settings: Settings) -> int:
    """The seed of the streams: another one where learning rates are chosen."""
    return CHOOSING + seed if settings.choosing else seed


def _start(arm: Arm, seed: int, X: np.ndarray, labels: np.ndarray, settings: Settings) -> tuple[bytes, str]:
    """A digest of the network as `arm` starts it, and the state in which it leaves its random numbers."""
    rng = stream(_drawn(seed, settings), "weights")
    watched = arm if arm.preparation is None else replace(arm, preparation=partial(_prepare, arm.preparation))
    network = initialized(watched, _drawn(seed, settings), settings, X, labels, rng=rng)
    for parameter, A, _ in parameters(network):
        if not np.may_share_memory(A, network.theta):
            raise ValueError(f"{parameter} is a new array: fill it in place, W[...] = …")
    numbers = b"".join(A.tobytes() for A in (network.theta, *dict(states(network)).values()))
    return hashlib.sha256(numbers).digest(), str(rng.bit_generator.state)


def _prepare(preparation: Any, network: Network, X: np.ndarray, labels: np.ndarray, *, rng: Any) -> None:
    """Refuse a preparation that changes more than arrays, which alone go into a stack: layers, or numbers such as p."""
    layers = list(walk(network))
    before = list(map(_numbers, layers))
    preparation(network, X, labels, rng=rng)
    changed = "" if list(map(id, walk(network))) == list(map(id, layers)) else "the layers"
    for layer, earlier in zip(layers, before, strict=True):
        now = _numbers(layer)
        for name in {**earlier, **now}:
            if now.get(name) != earlier.get(name):
                changed = f"{name} of {type(layer).__name__}"
    if changed:
        raise ValueError(f"it changes {changed}: it may fill the parameters and states of the layers, and nothing else")


def _numbers(layer: Any) -> dict[str, str]:
    """The numbers that a layer was made with, as far as it keeps them under the names of its arguments."""
    try:
        names = inspect.signature(type(layer).__init__).parameters
    except (TypeError, ValueError):  # what is written in C need not tell
        return {}
    kept = {name: getattr(layer, name, None) for name in names if name in getattr(layer, "__dict__", ())}
    kept = {name: value.item() if isinstance(value, np.generic) else value for name, value in kept.items()}
    return {name: repr(value) for name, value in kept.items() if isinstance(value, (int, float, complex, np.generic))}


def _rehearse_network(settings: Settings, seed: int, X: np.ndarray, labels: np.ndarray) -> None:
    """Each of four different networks has the gradients in a stack that it has alone, in evaluation and in training.

    Dropout drops nothing here. A network that is random in training all the same only has to work in it: whether
    replicas see the same random numbers is the layer's affair.
    """
    rng = stream(seed, "weights")
    stack, twin, *alone = (settings.network(stream(seed, "dropout")) for _ in range(2 + math.prod(STACK)))
    for network in (stack, twin, *alone):
        for layer in walk(network):
            if isinstance(layer, Dropout):
                layer.p = 0.0
        network.apply(init.linear(init.he_normal, rng=rng))
        network.theta += 0.01 * rng.standard_normal(network.theta.shape)
    stack.replicate(STACK)
    stack.theta[...] = np.reshape([network.theta for network in alone], stack.theta.shape)
    for train in (False, True, False):  # the last time with the states that training left
        gradient = partial(_gradient, X=X, labels=labels, train=train, classes=settings.sizes[-1])
        expected = np.reshape([gradient(network) for network in alone], stack.theta.shape)
        try:
            found = gradient(stack)
        except Exception as error:
            raise ValueError(f"it works alone and not in a stack of four ({parts.told(error)}): {AXES}") from error
        if train and not np.array_equal(gradient(twin), gradient(twin), equal_nan=True):
            return
        if not _alike(found, expected):
            raise ValueError(f"its gradients in a stack of four are not those that it has alone: {AXES}")


def _rehearse_optimizer(settings: Settings, seed: int, size: int) -> None:
    """It changes theta in place, and each of four different networks in a stack as it changes that network alone.

    Their gradients are of very different sizes, so that what is clipped or normalized in the one is not in the other.
    """
    rng = stream(seed, "order")
    start, grads = rng.standard_normal((2, *STACK, size)).astype(settings.dtype)
    grads *= np.logspace(-3, 3, math.prod(STACK), dtype=settings.dtype).reshape(*STACK, 1)

    def change(i: tuple[int, ...]) -> np.ndarray:
        theta, grad = start[i].copy(), np.zeros_like(start[i])
        optimizer = settings.optimizer(theta, grad, learning_rate=0.1)
        for step in range(3):
            grad[...] = np.roll(grads[i], step, axis=-1)
            optimizer.step()
        return theta - start[i]

    alone = np.reshape([change(i) for i in np.ndindex(STACK)], start.shape)
    if not alone.any():
        raise ValueError("three steps left theta as it was: change it in place, theta -= …")
    advice = (
        "theta may have replica axes in front, so take norms and means over the last axis, with keepdims=True, and "
        "draw random numbers of shape theta.shape[-1:]"
    )
    try:
        stack = change(())
    except Exception as error:
        raise ValueError(f"it works alone and not in a stack of four ({parts.told(error)}): {advice}") from error
    if not _alike(stack, alone):
        raise ValueError(f"it steps four networks in a stack otherwise than each of them alone: {advice}")


def _alike(found: np.ndarray, expected: np.ndarray) -> bool:
    """Equal for each network, but for rounding: within a thousandth of the largest number of that network."""
    scale = np.abs(np.nan_to_num(expected, nan=0.0, posinf=0.0, neginf=0.0)).max(axis=-1, keepdims=True)
    return bool(np.isclose(found, expected, rtol=1e-3, atol=1e-3 * scale, equal_nan=True).all())


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
    return network.grad.copy()


@contextmanager
def _explained(name: str) -> Iterator[str]:
    """Turn what a part raises into a PartError that names the part and the line of the reader's file."""
    try:
        yield name
    except parts.PartError:
        raise
    except (Exception, SystemExit) as error:
        raise parts.PartError(f"{name} does not work: {parts.told(error)}") from error
