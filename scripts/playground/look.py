"""What is seen of a network's layers at one moment: signals, gradients, units, histograms and the lab's verdicts."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from playground.training import Training
from scratchnet.lab import verdicts
from scratchnet.lab.diagnostics import (
    correlation,
    dead_units,
    distinct_units,
    effective_rank,
    histogram,
    mean_square,
    output_gradients,
    outputs,
    ratio,
    saturation,
)
from scratchnet.lab.expectations import Place, flat_share, places, shape, weights
from scratchnet.loss import CrossEntropy

SEEN = 200  # validation images, in evaluation mode: a look draws no masks and changes nothing that training needs
BINS = 25


def look(training: Training, before: list[np.ndarray] | None = None) -> list[dict[str, Any]]:
    """A record for each layer with weights; what has no meaning for it is None, and so is what is not finite.

    `before`: the layers' weights before the last step, to measure how much that step changed them.
    """
    network, dataset = training.network, training.dataset
    chosen = training.validation[:SEEN]
    X, t = dataset.images[chosen], dataset.labels[chosen]
    with np.errstate(all="ignore"):
        where = places(network, X[:8])
        Ys = outputs(network, X)
        loss = CrossEntropy()
        loss.forward(Ys[-1], t)
        dYs = output_gradients(network, loss.backward())
        layers = [_layer(training, place, Ys[place.index], dYs[place.index]) for place in where]
        for i, place in enumerate(where):
            layers[i]["update"] = None if before is None else float(ratio(weights(place.layer) - before[i], before[i]))
        q_images, logits = float(mean_square(X)), layers[-1]
        for i, (place, layer) in enumerate(zip(where, layers, strict=True)):
            numbers = verdicts.Numbers(
                hidden=i < len(layers) - 1,
                q=layer["signal"],
                q_before=layers[i - 1]["signal"] if i else q_images,
                q_images=q_images,
                gradient=layer["gradient_sum"],
                gradient_after=layers[min(i + 1, len(layers) - 1)]["gradient_sum"],
                gradient_logits=logits["gradient_sum"],
                units=layer["units"],
                distinct=layer["distinct"],
                dead=layer["dead"],
                saturation=layer["saturation"],
                saturation_normal=flat_share(place.phi, 0.0, np.ones(1)) if place.phi else None,
                update=layer["update"],
            )
            finite = all(math.isfinite(layer[name]) for name in ("signal", "gradient"))
            found = list(verdicts.on_layer(numbers, len(X))) if finite else []
            layer["words"] = verdicts.words(found) if finite else ["not finite"]
            layer["reasons"] = [v.reason for v in found] if finite else ["a number is infinite or NaN"]
    return layers


def weights_of(training: Training) -> list[np.ndarray]:
    """Copies of the layers' weights, for the next look."""
    found = places(training.network, training.dataset.images[:8])
    return [np.copy(weights(place.layer)) for place in found]


def _layer(training: Training, place: Place, Y: np.ndarray, dY: np.ndarray) -> dict[str, Any]:
    n_in, units = shape(training.network, place.layer)
    return {
        "n_in": n_in,
        "units": units,
        "signal": float(mean_square(Y)),
        "gradient": float(mean_square(dY)),
        "gradient_sum": units * float(mean_square(dY)),
        "distinct": int(distinct_units(place.columns)),
        "rank": float(effective_rank(Y)),
        "correlation": float(correlation(Y)),
        "dead": float(dead_units(Y, place.phi)) if place.phi else None,
        "saturation": float(saturation(Y, place.phi)) if place.phi else None,
        "signal_bins": _bins(Y),
        "gradient_bins": _bins(dY),
    }


def _bins(Y: np.ndarray) -> dict[str, Any] | None:
    """A histogram from −r to r, where r holds 99 % of the values: r, and the share of the values in each bin."""
    if not np.isfinite(Y).all():
        return None
    r = float(np.quantile(np.abs(Y), 0.99)) or float(np.abs(Y).max())
    if not r > 0:
        return {"r": 0.0, "shares": []}
    return {"r": r, "shares": [round(float(x), 4) for x in histogram(Y, np.linspace(-r, r, BINS + 1))]}
