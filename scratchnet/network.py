"""A network: layers in order, over one vector of parameters."""

from __future__ import annotations

import itertools
import math
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, BinaryIO, Self

import numpy as np

from scratchnet.archive import NetworkFileError as NetworkFileError
from scratchnet.archive import read_arrays
from scratchnet.backend import Array, like, to_device, to_host
from scratchnet.files import replacing
from scratchnet.layers import Dropout, Layer, Linear, ReLU, parameters, states, walk


class Network(Layer):
    """Layers in order. What one returns is what the next one gets; backward walks them the other way.

    All parameters are one contiguous vector `theta: (..., size)`, all gradients one vector `grad` of the same shape;
    each layer's W, b, dW, db become views on them, so an optimizer sees two vectors and a layer sees its matrices.
    Whatever changes a parameter must do so in place: `layer.W[...] = W`.

    The layers may have replica axes in front of every parameter, the same for all: `replicas` networks side by side.
    Arrays of a layer's `state` have them too; they stay the layer's own, outside of `theta`.
    A network is a layer itself, and may stand in another one: its `theta` is then a part of the outer one's. `dtype`
    is that of all parameters (default: the first parameter's).
    """

    grad: Array
    _theta: Array

    def __init__(self, layers: Iterable[Layer], dtype: Any = None) -> None:
        self.layers: list[Any] = list(layers)
        for i, layer in enumerate(self.layers):
            for part in walk(layer):
                _check_layer(i, part)
        if len({id(layer) for layer in walk(self)}) < len(list(walk(self))):
            raise ValueError(
                "the same layer object stands in the network twice, and a layer keeps the input of one place only: "
                "make an object for each place"
            )
        arrays = [A for _, A, _ in parameters(self)]
        if not arrays:
            raise ValueError("a network needs at least one layer with parameters")
        replicas = {A.shape[: A.ndim - own] for A, own in _with_own_axes(self)}
        if len(replicas) > 1:
            raise ValueError(f"expected the same replica axes for all parameters, got {sorted(replicas)}")
        lead = replicas.pop()
        theta = np.concatenate([A.reshape(*lead, -1) for A in arrays], axis=-1)
        theta = theta.astype(arrays[0].dtype if dtype is None else dtype)
        if theta.dtype not in (np.float32, np.float64):
            raise ValueError(f"expected parameters of float32 or float64, got {theta.dtype}")
        self._bind(theta)
        self._change_state(lambda A: A.astype(self.theta.dtype))

    def _bind(self, theta: Array) -> None:
        """Make `theta` this network's parameters, and every layer's arrays views on it and on its gradient."""
        _bind(self, theta, np.zeros_like(theta))

    def _change_state(self, change: Callable[[Array], Array]) -> None:
        """Put change(A) in the place of each array A of each layer's `state`."""
        for layer in walk(self):
            for name in getattr(layer, "state", {}):
                setattr(layer, name, change(getattr(layer, name)))

    def _arrays(self) -> dict[str, Array]:
        """All parameters and all states by name: "0.W", …, "1.running_mean", …"""
        return {name: A for name, A, _ in parameters(self)} | dict(states(self))

    @property
    def theta(self) -> Array:
        """All parameters. `network.theta = best` copies values into them: the layers' arrays are views on this one."""
        return self._theta

    @theta.setter
    def theta(self, values: Array) -> None:
        self._theta[...] = like(values, self._theta)

    @property
    def replicas(self) -> tuple[int, ...]:
        """The axes in front of every parameter."""
        return self.theta.shape[:-1]

    def forward(self, X: Array, train: bool = False) -> Array:
        """Logits `(..., n, classes)` of the examples `X: (..., n, n_in)`."""
        first = self.layers[0]
        if X.ndim < 2 or (isinstance(first, Linear) and X.shape[-1] != first.W.shape[-2]):
            n_in = first.W.shape[-2] if isinstance(first, Linear) else "n_in"
            raise ValueError(f"expected inputs of shape (..., n, {n_in}), got {X.shape}")
        for layer in self.layers:
            X = layer.forward(X, train=train)
        return X

    def backward(self, dZ: Array, need_dX: bool = True) -> Array:
        """Fill `grad` from the logits' gradient `dZ`; return dX, or None where the caller does not need it."""
        first, *others = self.layers
        for layer in reversed(others):
            dZ = layer.backward(dZ)
        return first.backward(dZ, need_dX) if isinstance(first, (Linear, Network)) else first.backward(dZ)

    def apply(self, fn: Callable[[Any], None]) -> Self:
        """Call `fn(layer)` on every layer in order, to initialize it; return the network."""
        for inner in self.layers:
            for layer in walk(inner):
                fn(layer)
        return self

    def replicate(self, replicas: tuple[int, ...]) -> Self:
        """Put equal copies of this network side by side, as axes in front of every parameter; return the network."""
        self._bind(np.broadcast_to(self.theta, (*replicas, *self.theta.shape)).copy())
        self._change_state(lambda A: np.broadcast_to(A, (*replicas, *A.shape)).copy())
        return self

    def to(self, device: str) -> Self:
        """Move parameters and state to "cpu" or "cuda"; return the network. Make optimizers after this, not before."""
        self._bind(to_device(self.theta, device))
        self._change_state(lambda A: to_device(A, device))
        return self

    def __setstate__(self, state: dict[str, Any]) -> None:
        """After copy.deepcopy or pickle, which copy each array by itself: make the parameters views again."""
        self.__dict__.update(state)
        _bind(self, self.theta, self.grad)

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write every parameter and state under its name ("0.W", …) to an .npz file, whole or not at all."""
        with replacing(path) as temporary, open(temporary, "wb") as file:
            arrays: dict[str, Any] = {name: to_host(A) for name, A in self._arrays().items()}
            np.savez(file, **arrays)

    def load(self, path: str | os.PathLike[str] | BinaryIO) -> Self:
        """Take parameters and state from a file of `save`; return the network. `path` may be an open binary file too.

        Raises NetworkFileError, and changes nothing, where the file is damaged or holds other parameters.
        """
        arrays = self._arrays()
        saved = read_arrays(path, {name: A.shape for name, A in arrays.items()}, self.theta.dtype)
        for name, A in arrays.items():
            A[...] = like(saved[name], A)
        return self

    def __str__(self) -> str:
        rows = [("", "layer", "shape", "parameters"), *_rows(self), ("", "total", "", f"{self.theta.size:,}")]
        widths = [max(len(row[column]) for row in rows) for column in range(4)]
        lines = [
            f"{i:<{widths[0]}}  {layer:<{widths[1]}}  {shape:<{widths[2]}}  {count:>{widths[3]}}".rstrip()
            for i, layer, shape, count in rows
        ]
        heading = f"Network, {self.theta.dtype}" + (f", replicas {self.replicas}" if self.replicas else "")
        return "\n".join([heading, *lines])

    __repr__ = __str__


def _check_layer(i: int, layer: Any) -> None:
    """Raise ValueError, in one sentence, unless `layer` is what `Layer` says."""
    if isinstance(layer, type):
        raise ValueError(f"layer {i} is the class {layer.__name__}: give an object of it, {layer.__name__}(...)")
    for method in ("forward", "backward"):
        if not callable(getattr(layer, method, None)):
            raise ValueError(f"layer {i}, {type(layer).__name__}, has no method {method}: see scratchnet.layers.Layer")
    params, state = getattr(layer, "params", {}), getattr(layer, "state", {})
    for name, own in {**params, **state}.items():
        for attribute in (name, f"d{name}") if name in params else (name,):
            A = getattr(layer, attribute, None)
            if A is None or not hasattr(A, "reshape") or A.ndim < own:
                raise ValueError(
                    f"layer {i}, {type(layer).__name__}, declares {name} with {own} axes, and its attribute "
                    f"{attribute} is no array of at least so many: set it in __init__"
                )


def _with_own_axes(layer: Layer) -> Iterator[tuple[Array, int]]:
    """Each parameter and each state, with the number of its own axes."""
    for part in walk(layer):
        for name, own in {**getattr(part, "params", {}), **getattr(part, "state", {})}.items():
            yield getattr(part, name), own


def _bind(layer: Any, theta: Array, grad: Array) -> int:
    """Make the parameters of a layer, and of the layers in it, views on the front of theta; return how many."""
    start = 0
    for name, own in getattr(layer, "params", {}).items():
        A = getattr(layer, name)
        shape = A.shape[A.ndim - own :]
        stop = start + math.prod(shape)
        setattr(layer, name, theta[..., start:stop].reshape((*theta.shape[:-1], *shape)))
        setattr(layer, "d" + name, grad[..., start:stop].reshape((*theta.shape[:-1], *shape)))
        start = stop
    for inner in getattr(layer, "layers", ()):
        start += _bind(inner, theta[..., start:], grad[..., start:])
    if isinstance(layer, Network):
        layer._theta, layer.grad = theta[..., :start], grad[..., :start]
    return start


def _rows(layer: Any, prefix: str = "") -> list[tuple[str, str, str, str]]:
    """(index, description, shape, number of parameters) of each layer in a layer, for a person to read."""
    rows = []
    for i, inner in enumerate(layer.layers):
        own = [getattr(inner, name) for name in getattr(inner, "params", {})]
        shape = " → ".join(str(size) for size in own[0].shape[-2:]) if isinstance(inner, Linear) else ""
        rows.append((f"{prefix}{i}", _describe(inner), shape, f"{sum(A.size for A in own):,}" if own else ""))
        if getattr(inner, "layers", ()):
            rows += _rows(inner, f"{prefix}{i}.")
    return rows


def _describe(layer: Any) -> str:
    settings = [f"{k}={v:g}" for k, v in vars(layer).items() if isinstance(v, (int, float)) and not isinstance(v, bool)]
    return type(layer).__name__ + (f"({', '.join(settings)})" if settings else "")


def mlp(
    sizes: Sequence[int],
    *,
    activation: Callable[[], Any] = ReLU,
    normalization: Callable[[Array, Array], Any] | None = None,
    dropout: float = 0.0,
    rng: np.random.Generator | Sequence[np.random.Generator] | None = None,
    replicas: tuple[int, ...] = (),
    dtype: Any = np.float32,
) -> Network:
    """A multilayer perceptron: Linear, normalization, activation, Dropout, …, Linear, with `sizes` units from input to
    logits.

    Every weight and bias is 0 until you initialize it: `mlp([784, 256, 128, 10]).apply(init.linear(scheme, rng=rng))`.
    An activation with parameters of its own brings their initial values. `normalization(gamma, beta)`, LayerNorm or
    BatchNorm, starts with γ = 1 and β = 0. `dropout` is the probability of dropping a hidden unit, and needs the `rng`
    that draws the masks. `replicas` are the axes in front of every parameter.

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
        raise ValueError(f"expected at least two sizes, each at least 1, got {list(sizes)}")
    if dropout != 0 and rng is None:
        raise ValueError("dropout draws random masks: give mlp the rng that draws them")
    layers: list[Any] = []
    for n_in, n_out in itertools.pairwise(sizes):
        if layers:
            if normalization is not None:
                layers.append(normalization(np.ones(n_in, dtype), np.zeros(n_in, dtype)))
            layers.append(activation())
            if dropout != 0 and rng is not None:
                layers.append(Dropout(dropout, rng=rng))
        layers.append(Linear(np.zeros((n_in, n_out)), np.zeros(n_out)))
    return Network(layers, dtype).replicate(replicas)
