"""Why an initialization fails or works: a network layer by layer, measured beside what theory expects, with verdicts.

`diagnose` makes the table. Each quantity in it is a function of arrays that reads as its definition: `outputs` has
those of a layer's outputs, `symmetry` those of its units, `maps` those of the network as a whole. All can be imported
from here. `verdicts` has the rules, and `expectations` what theory says of a network's own weights.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.backend import Array
from scratchnet.init.signals import first_loss
from scratchnet.lab import verdicts
from scratchnet.lab.expectations import Place, expect, flat_share, places, shape, weights
from scratchnet.lab.maps import alone, gradient, gradient_change, jacobian, line, movement, ntk, sharpness, shattering
from scratchnet.lab.outputs import (
    correlation,
    dead_inputs,
    dead_units,
    elementwise,
    histogram,
    mean_size,
    mean_square,
    output_gradients,
    outputs,
    patterns,
    quantiles,
    ratio,
    saturation,
    slope,
)
from scratchnet.lab.symmetry import distinct_units, effective_rank, largest_cosine
from scratchnet.lab.verdicts import Verdict
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network
from scratchnet.optim import SGD, Adam, Optimizer

__all__ = [
    "Diagnosis",
    "Row",
    "alone",
    "correlation",
    "dead_inputs",
    "dead_units",
    "diagnose",
    "distinct_units",
    "effective_rank",
    "elementwise",
    "gradient",
    "gradient_change",
    "histogram",
    "jacobian",
    "largest_cosine",
    "line",
    "mean_size",
    "mean_square",
    "movement",
    "ntk",
    "output_gradients",
    "outputs",
    "patterns",
    "quantiles",
    "ratio",
    "saturation",
    "sharpness",
    "shattering",
    "slope",
]

SAMPLE = 500  # images for signals and gradients,
FEW = 300  # for what is counted or takes singular values,
CURVED = 100  # for the curvature of the loss,
KERNEL = 100  # for the tangent kernel,
SOME = 10  # for Jacobians,
POINTS = 64  # inputs on a line between two images
SILENT = 2e10  # multiplications spent on looking for images that wake a silent unit


@dataclass(frozen=True)
class Row:
    """One layer with weights. Numbers that have no meaning for it are None.

    Arrays have the shape of the network's replicas. `expected` has some of the names of `measured`, one number each.
    """

    name: str
    shape: tuple[int, int]
    measured: dict[str, Any]
    expected: dict[str, float]
    verdicts: list[Verdict]

    @property
    def words(self) -> list[str]:
        """The words of its verdicts, the most telling first, or "fine"."""
        return verdicts.words(self.verdicts)


@dataclass(frozen=True)
class Diagnosis:
    """A network at one moment: its layers, and the whole of it. `images`: how many were looked at for dead units."""

    rows: list[Row]
    measured: dict[str, Any]
    expected: dict[str, float]
    verdicts: list[Verdict]
    images: int

    @property
    def words(self) -> list[str]:
        """The words of all verdicts, the most telling first, or "fine"."""
        return verdicts.words([*self.verdicts, *(verdict for row in self.rows for verdict in row.verdicts)])


def diagnose(
    network: Network, optimizer: Optimizer, images: Array, labels: Array, *, batch_size: int = 100, rate: float = 0.001
) -> Diagnosis:
    """The table of a network, or of a stack, and the verdicts; both are copied, and stay as they are.

    `images: (N, n_in)` are the training images in random order. Signals and gradients are those of training, with
    dropout, for the first SAMPLE of them; the update is what `optimizer` makes of the first batch. `rate` is its
    learning rate. Verdicts are on the medians of the replicas.
    """
    network, optimizer = copy.deepcopy((network, optimizer))
    images = images.astype(network.theta.dtype, copy=False)
    X, t = images[:SAMPLE], labels[:SAMPLE]
    with np.errstate(all="ignore"):  # what is not finite is a verdict
        where = places(network, X)
        measured = _measure(network, where, X, t)
        expected = expect(network, where, X)
        looked = _look_for_dead(network, where, images, measured)
        whole = _whole(network, X, t, rate)
        for numbers, update in zip(measured, _updates(network, optimizer, where, X[:batch_size], t), strict=True):
            numbers["update"] = update
        if isinstance(optimizer, Adam) and optimizer.t == 1:  # its first step is ±α for each weight
            for numbers, theory in zip(measured, expected, strict=True):
                theory["update"] = float(rate / np.sqrt(np.median(numbers["weight"])))
        rows = _judged(network, where, measured, expected, X, looked)
        edge = 2 * (1 + optimizer.momentum) if isinstance(optimizer, SGD) else None
        classes = whole.pop("classes")
        middle = {name: _median(value) for name, value in whole.items()}
        return Diagnosis(
            rows,
            whole,
            {"loss": first_loss(middle["logit_std"] ** 2, classes)} if math.isfinite(middle["logit_std"]) else {},
            list(verdicts.on_network(middle, classes, edge)),
            looked,
        )


# --- measured ---------------------------------------------------------------------------------------------------------


def _measure(network: Network, where: Sequence[Place], X: Array, t: Array) -> list[dict[str, Any]]:
    """Signals and gradients of a pass in training, symmetry in one of evaluation."""
    Ys = outputs(network, X, train=True)
    loss = CrossEntropy()
    loss.forward(Ys[-1], t)
    dYs = output_gradients(network, loss.backward())
    still = outputs(network, X[:FEW])
    rows = []
    for place in where:
        Y, W = Ys[place.index], weights(place.layer)
        rows.append(
            {
                "q": mean_square(Y),
                "mean": Y.mean(axis=(-2, -1), dtype=np.float64),
                "size": mean_size(Y),
                "quantiles": quantiles(Y[..., :FEW, :]),
                "correlation": correlation(Y),
                "saturation": saturation(Y, place.phi) if place.phi else None,
                "dead_inputs": dead_inputs(still[place.index], place.phi) if place.phi else None,
                "patterns": patterns(still[place.index]) if place.phi else None,
                "distinct": distinct_units(place.columns),
                "rank": effective_rank(still[place.index]),
                "cosine": largest_cosine(still[place.index]),
                "gradient": mean_square(dYs[place.index]) / mean_square(dYs[-1]),
                "output_gradient": mean_square(dYs[place.index]),
                "weight": mean_square(W),
                "weight_gradient": mean_square(weights(place.layer, "d")),
                "gradient_ratio": ratio(weights(place.layer, "d"), W),
            }
        )
    return rows


def _look_for_dead(network: Network, where: Sequence[Place], images: Array, measured: Sequence[dict[str, Any]]) -> int:
    """Fill in each layer's share of units that are silent for all images; return how many images that were.

    Only as long as some unit is silent for all of those before is there anything to look for.
    """
    most = min(len(images), max(SAMPLE, int(SILENT / network.theta.size)))
    silent: dict[int, Array] = {}
    done = 0
    while done < most and (not done or any(mask.any() for mask in silent.values())):
        Ys = outputs(network, images[done : min(done + SAMPLE, most)])
        for i, place in enumerate(where):
            if place.phi is not None:
                mask = (slope(place.phi, Ys[place.index]) == 0).all(axis=-2)
                silent[i] = mask & silent.get(i, True)
        done += SAMPLE
    for i, numbers in enumerate(measured):
        numbers["dead"] = silent[i].mean(axis=-1) if i in silent else None
    return most


def _updates(network: Network, optimizer: Optimizer, where: Sequence[Place], X: Array, t: Array) -> list[Array]:
    """Update : weight of each layer, from one step that is really made."""
    before = [np.copy(weights(place.layer)) for place in where]
    loss = CrossEntropy()
    loss.forward(network.forward(X, train=True), t[: len(X)])
    network.backward(loss.backward(), need_dX=False)
    optimizer.step()
    return [ratio(weights(place.layer) - W, W) for place, W in zip(where, before, strict=True)]


def _whole(network: Network, X: Array, t: Array, rate: float) -> dict[str, Any]:
    """The network as one map: arrays with a number for each replica."""
    Z = network.forward(X, train=True)
    s = _singular_values(jacobian(network, X[:SOME]))
    kernel = ntk(network, X[:KERNEL])
    eigenvalues = _singular_values(kernel)
    curved = (network, X[:CURVED], t[:CURVED])
    return {
        "classes": Z.shape[-1],
        "loss": CrossEntropy().forward(Z, t),
        "logit_std": np.sqrt(Z.var(axis=-1, dtype=np.float64).mean(axis=-1)),  # over the logits of one image
        "jacobian_largest": s[..., 0].mean(axis=-1),
        "jacobian_median": np.median(s, axis=-1).mean(axis=-1),
        "jacobian_condition": np.median(s[..., 0] / s[..., -1], axis=-1),
        "ntk_trace": np.trace(kernel, axis1=-2, axis2=-1),
        "ntk_condition": eigenvalues[..., 0] / eigenvalues[..., -1],
        "sharpness": rate * sharpness(*curved, rng=np.random.default_rng(0)),
        "gradient_change": gradient_change(*curved, learning_rate=rate),
        "shattering": shattering(network, line(X[0], X[1], POINTS)),
    }


def _singular_values(A: Array) -> np.ndarray:
    """The largest first; 0 where rounding in float32 leaves nothing of one, NaN where a matrix is not finite."""
    finite = np.isfinite(A).all(axis=(-2, -1))[..., None]
    s = np.linalg.svd(np.where(finite[..., None], A, 0).astype(np.float64), compute_uv=False)
    s = np.where(s < np.finfo(np.float32).eps * s[..., :1], 0, s)
    return np.where(finite, s, np.nan)


# --- judged -----------------------------------------------------------------------------------------------------------


def _median(x: Any) -> float:
    return math.nan if x is None else float(np.median(x))


def _judged(
    network: Network,
    where: Sequence[Place],
    measured: Sequence[dict[str, Any]],
    expected: Sequence[dict[str, float]],
    X: Array,
    looked: int,
) -> list[Row]:
    rows: list[Row] = []
    images = float(mean_square(X))
    shapes = [shape(network, place.layer) for place in where]
    sums = [shape[1] * _median(numbers["gradient"]) for numbers, shape in zip(measured, shapes, strict=True)]
    q = [images, *(_median(numbers["q"]) for numbers in measured)]
    origin = _first_not_finite(measured)
    for i, (place, numbers, theory) in enumerate(zip(where, measured, expected, strict=True)):
        found: list[Verdict] = []
        if not all(np.isfinite(numbers[name]).all() for name in ("q", "weight_gradient")):
            found.append(Verdict("not finite", f"{origin} (rule: finite numbers)"))
        else:
            found += verdicts.on_layer(
                verdicts.Numbers(
                    hidden=i < len(where) - 1,
                    q=q[i + 1],
                    q_before=q[i],
                    q_images=images,
                    gradient=sums[i],
                    gradient_after=sums[min(i + 1, len(sums) - 1)],
                    gradient_logits=sums[-1],
                    units=shapes[i][1],
                    distinct=_optional(numbers["distinct"]),
                    dead=_optional(numbers["dead"]),
                    saturation=_optional(numbers["saturation"]),
                    saturation_normal=flat_share(place.phi, 0.0, np.ones(1)) if place.phi else None,
                    update=_optional(numbers["update"]),
                ),
                looked,
            )
        rows.append(Row(str(i + 1), shapes[i], numbers, theory, found))
    return rows


def _first_not_finite(measured: Sequence[dict[str, Any]]) -> str:
    """Where it begins: going forward, or else going back."""
    for name, what, walk in (("q", "E[y²]", 1), ("weight_gradient", "E[dW²]", -1)):
        for i in range(len(measured))[::walk]:
            if not np.isfinite(measured[i][name]).all():
                return f"{what} is infinite or NaN from layer {i + 1} on" + (", going back" if walk < 0 else "")
    return ""


def _optional(x: Any) -> float | None:
    return None if x is None else _median(x)
