"""What theory expects of a network as it stands: the laws of its layers, taken from their own weights.

So a scheme that looks at data, or a network in the middle of training, has an expectation too. `init.signals` has the
theory.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.backend import Array
from scratchnet.init.signals import Expected, LayerLaw, predict
from scratchnet.lab.maps import alone
from scratchnet.lab.outputs import FLAT, LINE, correlation, elementwise, outputs, slope
from scratchnet.layers import Dropout, Layer, Linear, parameters
from scratchnet.network import Network

GROUPS = 40  # of images, dark to bright: theory takes those of a group for equal


@dataclass(frozen=True)
class Place:
    """Where in a network a layer with weights stands, and what comes between it and the next one."""

    index: int
    layer: Any  # often a Linear layer
    phi: Layer | None  # the activation, if there is one that works on each output by itself
    dropout: float
    plain: bool  # nothing else is there: what theory knows

    @property
    def columns(self) -> Array:
        """A column for each unit: its weights, and its bias if it is a Linear layer's."""
        W = weights(self.layer)
        return np.concatenate([W, self.layer.b[..., None, :]], axis=-2) if isinstance(self.layer, Linear) else W


def places(network: Network, X: Array) -> list[Place]:
    """The layers with weights: Linear ones, and blocks that have some in them. X are a few inputs."""
    Ys = outputs(network, X)
    indices = [i for i, layer in enumerate(network.layers) if weights(layer) is not None]
    found = []
    for i, end in zip(indices, [*indices[1:], len(network.layers)], strict=True):
        between = range(i + 1, end)
        others = [j for j in between if not isinstance(network.layers[j], Dropout)]
        phi = (
            network.layers[others[0]] if others and elementwise(network.layers[others[0]], Ys[others[0] - 1]) else None
        )
        keep = math.prod(1 - network.layers[j].p for j in between if j not in others)
        plain = isinstance(network.layers[i], Linear) and len(others) == (phi is not None)
        found.append(Place(i, network.layers[i], phi, 1 - keep, plain))
    return found


def weights(layer: Any, prefix: str = "") -> Array:
    """The first matrix of a layer, or with the prefix "d" its gradient; None where there is none."""
    for name, own in getattr(layer, "params", {}).items():
        if own == 2:
            return getattr(layer, prefix + name)
    for inner in getattr(layer, "layers", ()):
        found = weights(inner, prefix)
        if found is not None:
            return found
    return None


def shape(network: Network, layer: Layer) -> tuple[int, int]:
    """Fan-in and units: those of the weights, or for a block of its first and last matrix."""
    lead = len(network.replicas)
    matrices = [A.shape[-2:] for _, A, _ in parameters(layer) if A.ndim == lead + 2]
    return int(matrices[0][0]), int(matrices[-1][1])


def expect(network: Network, where: Sequence[Place], X: Array) -> list[dict[str, float]]:
    """What theory expects of each layer in training mode, given the means and variances of its weights.

    Nothing where the network has more than Linear layers, activations and dropout.
    """
    if not (all(place.plain for place in where) and np.isfinite(network.theta).all()):
        return [{} for _ in where]
    first = alone(network, (0,) * len(network.replicas))
    laws = []
    for place in where:
        phi = None if place.phi is None else first.layers[network.layers.index(place.phi)]
        b_var = float(np.square(place.layer.b, dtype=np.float64).mean())
        laws.append(LayerLaw(*shape(network, place.layer), *moments(place.layer.W), b_var, phi, place.dropout))
    try:
        walk = predict(laws, *_groups(X), c=float(correlation(X)))
    except OverflowError:  # signals beyond 1e154, whose squares float64 cannot hold
        return [{} for _ in where]
    return [_named(theory, place) for theory, place in zip(walk, where, strict=True)]


def _groups(X: Array) -> tuple[np.ndarray, np.ndarray]:
    """Mean and mean square of the images, darkest first, in GROUPS groups of equal size: (groups,) each."""
    mean, square = X.mean(axis=-1, dtype=np.float64), np.square(X, dtype=np.float64).mean(axis=-1)
    groups = np.array_split(np.argsort(square, kind="stable"), min(GROUPS, len(X)))
    return np.array([mean[rows].mean() for rows in groups]), np.array([square[rows].mean() for rows in groups])


def moments(W: Array) -> tuple[float, float]:
    """Mean and variance of the law that W was drawn from: a mean within three standard errors of 0 is taken for 0."""
    mean, square = float(W.mean(dtype=np.float64)), float(np.square(W, dtype=np.float64).mean())
    var = square - mean**2
    if var < 1e-9 * square:  # equal weights: the rest is rounding
        return mean, 0.0
    return (0.0, square) if mean**2 * W.size < 9 * var else (mean, var)


def _named(theory: Expected, place: Place) -> dict[str, float]:
    found = {"q": theory.q, "mean": theory.mean, "correlation": theory.correlation, "gradient": theory.gradient}
    if place.phi is not None:
        found["saturation"] = flat_share(place.phi, theory.mean, theory.variance)
    return found


def flat_share(phi: Layer, mean: float = 0.0, variance: Array | float = 1.0) -> float:
    """The share of y ~ N(mean, variance) with |φ'(y)| below 5 % of its maximum; of several variances, the mean."""
    z = np.linspace(-6, 6, 1201)[:, None]
    density = np.exp(-(z[:, 0] ** 2) / 2)
    spread = np.sqrt(np.quantile(np.ravel(variance), np.linspace(0.05, 0.95, 10)))
    peak = np.abs(slope(phi, LINE)).max(axis=(-2, -1), keepdims=True)
    flat = (np.abs(slope(phi, mean + z * spread)) < FLAT * peak).mean(axis=-1)
    return float(np.average(flat, axis=-1, weights=density).mean())
