"""What the numbers of a training mean, each in a plain sentence."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from playground.training import JUDGED, MOST, Training
from scratchnet.lab.verdicts import FACTOR, TOTAL, size

LAST = 25  # batches whose mean is called the loss


def told(training: Training, layers: Sequence[dict[str, Any]]) -> dict[str, str]:
    """A sentence or two on the loss, the accuracy, the signals, the gradients and the units."""
    return {
        "loss": on_loss(training),
        "accuracy": on_accuracy(training),
        "signal": on_signal(layers),
        "gradient": on_gradient(layers),
        "units": on_units(layers),
    }


def on_loss(training: Training) -> str:
    classes = len(training.dataset.classes)
    blind = math.log(classes)
    guess = f"a blind guess among {classes} classes has ln {classes} = {blind:.2f}"
    if not training.done:
        return f"Not trained yet; {guess}."
    if training.diverged:
        return f"Diverged: the loss at step {training.done} is infinite or not a number, and so is the rest."
    some = training.losses[-LAST:]
    now = sum(some) / len(some)
    if now > blind and training.judged[-1][1] > 2 / classes:
        judged = "it is right for many images, and far too sure where it is wrong"
    elif now > 2 * blind:
        judged = "it is sure of wrong answers"
    elif now > 0.97 * blind:
        judged = "it has learned nothing from the images yet"
    else:
        judged = "it learns"
    over = f" Here a training ends after {MOST:,} steps." if training.over else ""
    batches = f"the last {len(some)} batches" if len(some) > 1 else "the first batch"
    return f"{size(now)} over {batches}, {size(training.losses[0])} at the start; {guess}: {judged}.{over}"


def on_accuracy(training: Training) -> str:
    step, accuracy = training.judged[-1]
    classes = len(training.dataset.classes)
    right = f"At step {step:,} it is right for {100 * accuracy:.1f} % of {min(JUDGED, len(training.validation)):,}"
    return f"{right} validation images; a blind guess is right for about {100 / classes:.0f} %."


def on_signal(layers: Sequence[dict[str, Any]]) -> str:
    """From the first layer to the last."""
    first, last = layers[0]["signal"], layers[-1]["signal"]
    if bad := _not_finite(layers, "signal"):
        return f"From layer {bad} on, outputs are infinite or not numbers."
    if zero := next((i for i, layer in enumerate(layers, 1) if layer["signal"] == 0), None):
        return f"Every output of layer {zero} is 0: no trace of the image reaches the end, whatever it shows."
    if len(layers) == 1:
        return f"The mean square of the logits is {size(first)}."
    way = f"E[y²] goes from {size(first)} in layer 1 to {size(last)} at the logits"
    if last > TOTAL * first:
        return f"{way}: the signal explodes on its way, and so does the loss."
    if last < first / TOTAL:
        return f"{way}: the signal fades, and the end hardly sees the image."
    alike = layers[-2]["correlation"]
    if alike > 0.99:
        return (
            f"{way}, but the outputs for two different images point the same way (cosine {alike:.3f} in the "
            "last hidden layer): they look alike at the end."
        )
    if not first / FACTOR <= last <= FACTOR * first:
        return f"{way}: it {'grows' if last > first else 'shrinks'} on the way, more than {FACTOR:g} times."
    return f"{way}: it keeps about its size."


def on_gradient(layers: Sequence[dict[str, Any]]) -> str:
    """From the last layer back to the first. Sums over the units are compared, so that widths cancel."""
    first, last = layers[0]["gradient_sum"], layers[-1]["gradient_sum"]
    if _not_finite(layers, "gradient"):
        return "Some gradients are infinite or not numbers: a step would ruin the weights."
    if zero := next((i for i in range(len(layers), 0, -1) if layers[i - 1]["gradient"] == 0), None):
        return f"Layer {zero} gets no gradient at all: neither it nor the layers before it can learn."
    if len(layers) == 1:
        return "There is one layer, and its gradient is that of the loss."
    way = f"Going back, layer 1 gets {size(first / last)} times the squared gradient of the logits"
    if first > TOTAL * last:
        return f"{way}: it explodes, and one step throws the first layers far away."
    if first < last / TOTAL:
        return f"{way}: it fades, and the first layers hardly learn."
    if not last / FACTOR <= first <= FACTOR * last:
        return f"{way}: it {'grows' if first > last else 'shrinks'} on the way, more than {FACTOR:g} times."
    return f"{way}: every layer hears what the loss wants."


def on_units(layers: Sequence[dict[str, Any]]) -> str:
    """Of the hidden layers: the one with the smallest share of distinct units, or of directions."""
    hidden = list(enumerate(layers[:-1], 1))
    if not hidden:
        return "There is no hidden layer."
    i, fewest = min(hidden, key=lambda pair: pair[1]["distinct"] / pair[1]["units"])
    if fewest["distinct"] < fewest["units"] / 2:
        return (
            f"Layer {i} has {fewest['units']} units, and {fewest['distinct']} distinct: the others repeat them. "
            f"Without dropout they get equal gradients too, and the layer learns as if it had {fewest['distinct']}."
        )
    if any(not math.isfinite(layer["rank"]) for _, layer in hidden):
        return "Outputs that are not numbers have no directions to count."
    i, least = min(hidden, key=lambda pair: pair[1]["rank"])
    if (least["dead"] or 0) > 0.5:
        return f"{100 * least['dead']:.0f} % of the units of layer {i} are silent for all images that were looked at."
    used = f"the outputs of layer {i} use {size(least['rank'])} of {least['units']} directions"
    if least["rank"] < 2:
        return f"All units differ in their weights, but {used}: together they say little more than one unit."
    return f"All units differ in their weights, and even where they agree most, {used}."


def _not_finite(layers: Sequence[dict[str, Any]], name: str) -> int | None:
    return next((i for i, layer in enumerate(layers, 1) if not math.isfinite(layer[name])), None)
