"""A network: layers in order, over one vector of parameters."""

from __future__ import annotations

import itertools
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from scratchnet.backend import Array, to_device, to_host
from scratchnet.files import replacing
from scratchnet.layers import Dropout, Linear, ReLU, parameters


class NetworkFileError(ValueError):
    """A file does not hold this network's parameters; the message says what differs."""


class Network:
    """Layers in order. What one returns is what the next one gets; backward walks them the other way.

    All parameters are one contiguous vector `theta: (..., size)`, all gradients one vector `grad` of the same
    shape; each layer's W, b, dW, db become windows (views) on them, so an optimizer sees two vectors and a layer
    sees its matrices. Whatever changes a parameter must do so in place: `layer.W[...] = W`.

    The layers may have replica axes in front of every parameter, the same for all: R networks side by side.
    """

    def __init__(self, layers: Iterable[Any]) -> None:
        self.layers = list(layers)
        named = list(parameters(self))
        if not named:
            raise ValueError("a network needs at least one layer with parameters")
        arrays = [A for _, A, _ in named]
        replicas = {A.shape[: A.ndim - own] for A, own in zip(arrays, self._own_axes(), strict=True)}
        if len(replicas) > 1:
            raise ValueError(f"every parameter needs the same replica axes, and there are {sorted(replicas)}")
        self.replicas: tuple[int, ...] = replicas.pop()
        flat = [A.reshape(*self.replicas, -1) for A in arrays]
        self._bind(np.concatenate(flat, axis=-1))

    def _own_axes(self) -> list[int]:
        return [own for layer in self.layers for own in getattr(layer, "params", {}).values()]

    def _bind(self, theta: Array) -> None:
        """Make `theta` this network's parameters, and every layer's arrays windows on it and on its gradient."""
        self.theta, self.grad = theta, np.zeros_like(theta)
        start = 0
        for layer in self.layers:
            for name, own in getattr(layer, "params", {}).items():
                shape = getattr(layer, name).shape
                stop = start + int(np.prod(shape[len(shape) - own :]))
                setattr(layer, name, self.theta[..., start:stop].reshape(shape))
                setattr(layer, "d" + name, self.grad[..., start:stop].reshape(shape))
                start = stop

    def forward(self, X: Array, train: bool = False) -> Array:
        """Logits `(..., n, classes)` of the examples `X: (..., n, n_in)`."""
        first = self.layers[0]
        if X.ndim < 2 or (isinstance(first, Linear) and X.shape[-1] != first.W.shape[-2]):
            wanted = first.W.shape[-2] if isinstance(first, Linear) else "n_in"
            raise ValueError(f"the network wants inputs of shape (..., n, {wanted}), and {X.shape} came")
        for layer in self.layers:
            X = layer.forward(X, train=train)
        return X

    def backward(self, dZ: Array, need_dX: bool = True) -> Array:
        """Fill `grad` from the logits' gradient `dZ`; return dX, or None where the caller does not need it."""
        first, *others = self.layers
        for layer in reversed(others):
            dZ = layer.backward(dZ)
        return first.backward(dZ, need_dX) if isinstance(first, Linear) else first.backward(dZ)

    def apply(self, fn: Callable[[Any], None]) -> Self:
        """Call `fn(layer)` on every layer in order, to initialize it; return the network."""
        for layer in self.layers:
            fn(layer)
        return self

    def to(self, device: str) -> Self:
        """Move the parameters to "cpu" or "cuda"; return the network. Optimizers made before are left behind."""
        self._bind(to_device(self.theta, device))
        return self

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write every parameter under its name ("0.W", "0.b", …) to an .npz file, whole or not at all."""
        with replacing(path) as temporary, open(temporary, "wb") as file:
            arrays: dict[str, Any] = {name: to_host(A) for name, A, _ in parameters(self)}
            np.savez(file, **arrays)

    def load(self, path: str | os.PathLike[str]) -> Self:
        """Take the parameters from a file of `save`; NetworkFileError, and nothing changed, where they do not fit."""
        path = Path(path)
        try:
            with open(path, "rb") as file:
                loaded = np.load(file, allow_pickle=False)
                if isinstance(loaded, np.ndarray):
                    raise ValueError("it is a single array")
                saved = dict(loaded)
        except (ValueError, EOFError, zipfile.BadZipFile, zlib.error) as error:
            raise NetworkFileError(f"{path} is not an .npz file of parameters: {error}") from error
        wanted = {name: A.shape for name, A, _ in parameters(self)}
        if saved.keys() != wanted.keys():
            raise NetworkFileError(f"{path} holds {', '.join(saved)}, and this network has {', '.join(wanted)}")
        for name, shape in wanted.items():
            if saved[name].shape != shape:
                raise NetworkFileError(f"{path} has {name} of shape {saved[name].shape}, and the network {shape}")
            if saved[name].dtype.kind != "f":
                raise NetworkFileError(f"{path} has {name} of type {saved[name].dtype}, which is no real number")
        device = "cpu" if isinstance(self.theta, np.ndarray) else "cuda"
        for name, A, _ in parameters(self):
            A[...] = to_device(saved[name], device)
        return self

    def __str__(self) -> str:
        rows = [("", "layer", "shape", "parameters")]
        for i, layer in enumerate(self.layers):
            own = [getattr(layer, name) for name in getattr(layer, "params", {})]
            shape = " → ".join(str(size) for size in own[0].shape[-2:]) if own else ""
            rows.append((str(i), _describe(layer), shape, f"{sum(A.size for A in own):,}" if own else ""))
        rows.append(("", "total", "", f"{self.theta.size:,}"))
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{i:>{widths[0]}}  {layer:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}".rstrip()
            for i, layer, shape, count in rows
        ]
        heading = f"Network, {self.theta.dtype}" + (f", replicas {self.replicas}" if self.replicas else "")
        return "\n".join([heading, *lines])

    __repr__ = __str__


def _describe(layer: Any) -> str:
    settings = [f"{k}={v:g}" for k, v in vars(layer).items() if isinstance(v, (int, float))]
    return type(layer).__name__ + (f"({', '.join(settings)})" if settings else "")


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[], Any] = ReLU,
    dropout: float = 0.0,
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    replicas: tuple[int, ...] = (),
    dtype: Any = np.float32,
) -> Network:
    """A multilayer perceptron: Linear, activation, Dropout, …, Linear, with `sizes` units from input to logits.

    Every parameter is 0 until you initialize it: `mlp([784, 256, 128, 10]).apply(init.linear(scheme, rng=rng))`.
    `dropout` is the probability of dropping a hidden unit, and needs the `rng` that draws the masks. `replicas`
    are the axes in front of every parameter.

    >>> print(mlp([784, 256, 128, 10]))
    Network, float32
       layer   shape      parameters
    0  Linear  784 → 256     200,960
    1  ReLU
    2  Linear  256 → 128      32,896
    3  ReLU
    4  Linear  128 → 10        1,290
       total                 235,146
    """
    if len(sizes) < 2 or min(sizes) < 1:
        raise ValueError(f"an mlp needs at least two sizes, each at least 1, and {list(sizes)} came")
    if dropout > 0 and rng is None:
        raise ValueError("dropout draws random masks: give mlp the rng that draws them")
    layers: list[Any] = []
    for n_in, n_out in itertools.pairwise(sizes):
        if layers:
            layers.append(activation())
            if dropout > 0 and rng is not None:
                layers.append(Dropout(dropout, rng=rng))
        W = np.zeros((*replicas, n_in, n_out), dtype)
        b = np.zeros((*replicas, n_out), dtype)
        layers.append(Linear(W, b))
    return Network(layers)
