"""Verdicts on an initialization: each is a word and a sentence, with its numbers and the rule that they broke.

A rule compares a number with a limit. The limits are conventions; they stand here, and in every sentence.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

FACTOR = 10.0  # a layer may change the mean square of a signal or a gradient so many times, up or down,
TOTAL = 1000.0  # and all layers together so many times
FLATTER = 0.25  # share of outputs in the flat part of φ beyond what N(0, 1) has there
DEAD = 0.5  # share of units that are silent for every image
TOO_BIG, TOO_SMALL = 0.3, 1e-5  # update : weight, root mean squares
LOUD = 2.0  # the loss, in units of ln(classes)

# The most telling first: a network of zeros is symmetric, and has no signal either.
WORDS = ("not finite", "symmetric", "explodes", "fades", "dead", "saturated", "too big a step", "too small a step")


class Verdict(NamedTuple):
    """What is wrong, one of WORDS, and why, in a sentence with its rule."""

    word: str
    reason: str


class Numbers(NamedTuple):
    """What the rules need of one layer: medians over replicas. None or NaN, which has no meaning, breaks no rule."""

    hidden: bool
    q: float  # E[y²]
    q_before: float  # of the layer before, or of the images
    q_images: float
    gradient: float  # Σ_j E[dy_j²], the sum over units: with it widths cancel
    gradient_after: float  # of the next layer, or of the logits
    gradient_logits: float
    units: int
    distinct: float | None
    dead: float | None
    saturation: float | None
    saturation_normal: float | None  # the share that N(0, 1) has in the flat part
    update: float | None


def on_layer(x: Numbers, images: int) -> Iterator[Verdict]:
    """The verdicts on one layer, none if all is well. `images`: how many have been looked at for dead units."""
    if x.hidden and x.distinct is not None and x.distinct < x.units / 2:
        yield Verdict("symmetric", f"{x.units} units, {x.distinct:.0f} distinct (rule: fewer than half)")
    if x.dead is not None and x.dead > DEAD:
        share = f"{100 * x.dead:.0f} % of its units are silent for all {images:,} images"
        yield Verdict("dead", f"{share} (rule: more than {100 * DEAD:.0f} %)")
    elif x.saturation is not None and x.saturation_normal is not None and x.saturation > x.saturation_normal + FLATTER:
        share = f"{100 * x.saturation:.0f} % of its outputs are where φ' is below 5 % of its maximum"
        yield Verdict("saturated", f"{share} (rule: above {100 * (x.saturation_normal + FLATTER):.0f} %)")
    for what, now, before, first, where, origin in (
        ("E[y²]", x.q, x.q_before, x.q_images, "the layer before", "the images"),
        ("the gradient", x.gradient, x.gradient_after, x.gradient_logits, "the layer after", "the logits"),
    ):
        yield from _change(what, now, before, f"that of {where}", FACTOR)
        yield from _change(what, now, first, f"that of {origin}", TOTAL)
    if x.update is not None and math.isfinite(x.update):
        step = f"a step changes its weights by {size(x.update)} of their size"
        if x.update > TOO_BIG:
            yield Verdict("too big a step", f"{step} (rule: above {TOO_BIG:g})")
        if x.update < TOO_SMALL:
            yield Verdict("too small a step", f"{step} (rule: below {size(TOO_SMALL)})")


def _change(what: str, now: float, before: float, that: str, limit: float) -> Iterator[Verdict]:
    if before == 0 or math.isnan(now) or math.isnan(before):  # what comes out of nothing is made by biases
        return
    if now == 0:
        yield Verdict("fades", f"{what} is 0 (rule: below 1/{limit:,.0f} of {that})")
    elif now > limit * before:
        yield Verdict("explodes", f"{what} is {size(now / before)} times {that} (rule: more than {limit:,.0f})")
    elif now < before / limit:
        yield Verdict("fades", f"{what} is {size(now / before)} of {that} (rule: below 1/{limit:,.0f})")


def on_network(whole: Mapping[str, float], classes: int, edge: float | None) -> Iterator[Verdict]:
    """The verdicts on the network as a whole; `edge` is the sharpness·α that plain descent bears, None for others."""
    blind = math.log(classes)
    if whole["loss"] > LOUD * blind:
        loss = f"the loss is {size(whole['loss'])}, and ln {classes} = {blind:.2f} is a blind guess"
        yield Verdict("explodes", f"{loss} (rule: more than twice)")
    if edge is not None and whole["sharpness"] > edge:
        sharp = f"sharpness times learning rate is {size(whole['sharpness'])}"
        yield Verdict("too big a step", f"{sharp} (rule: above {edge:g}, the edge of stability)")


def on_looks(
    recording: Mapping[str, Any], images: int, classes: int
) -> list[tuple[list[list[Verdict]], list[Verdict]]]:
    """For each look of a `Recording` the verdicts on each of its layers, and those on the network as a whole.

    The looks, at `images` images, know nothing of the update, so that no step is judged. Their numbers are arrays, or
    lists as in results.json, where None stands for what is not finite.
    """
    x = {name: np.asarray(values, np.float64) for name, values in recording.items()}
    sums = x["gradient"] * x["units"]
    return [
        ([list(_on_look(x, sums, k, i, images)) for i in range(sums.shape[1])],
         list(on_network({"loss": x["loss"][k]}, classes, None)))
        for k in range(len(sums))
    ]  # fmt: skip


def _on_look(x: Mapping[str, np.ndarray], sums: np.ndarray, k: int, i: int, images: int) -> Iterator[Verdict]:
    if not (np.isfinite(x["signal"][k, i]) and np.isfinite(sums[k, i])):
        what = "E[dY²]" if np.isfinite(x["signal"][k, i]) else "E[y²]"
        yield Verdict("not finite", f"{what} is infinite or NaN (rule: finite numbers)")
        return
    last = sums.shape[1] - 1

    yield from on_layer(
        Numbers(
            hidden=i < last,
            q=x["signal"][k, i],
            q_before=x["signal"][k, i - 1] if i else x["images"][0],
            q_images=x["images"][0],
            gradient=sums[k, i],
            gradient_after=sums[k, min(i + 1, last)],
            gradient_logits=sums[k, last],
            units=int(x["units"][i]),
            distinct=x["distinct"][k, i],
            dead=x["silent"][k, i],
            saturation=x["saturation"][k, i],
            saturation_normal=x["usual"][i],
            update=None,
        ),
        images,
    )


def words(verdicts: Sequence[Verdict]) -> list[str]:
    """The words of these verdicts, each once, in the order of WORDS; or "fine"."""
    return [word for word in WORDS if any(verdict.word == word for verdict in verdicts)] or ["fine"]


def size(x: Any) -> str:
    """A number in at most six characters: 0.41, 320, 3.2e4, 4e-12."""
    if x is None:
        return "–"
    x = float(x)
    if math.isnan(x):
        return "NaN"
    if math.isinf(x):
        return "∞" if x > 0 else "−∞"
    if x == 0:
        return "0"
    if 0.01 <= abs(x) < 1000:
        return f"{x:.3g}" if abs(x) >= 100 else f"{x:.2g}"
    mantissa, exponent = f"{x:.1e}".split("e")
    if abs(int(exponent)) >= 10:  # no room for a second digit
        mantissa, exponent = f"{x:.0e}".split("e")
    return f"{mantissa}e{int(exponent)}"
