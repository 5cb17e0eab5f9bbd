"""A diagnosis in words and numbers: a table in 80 columns, its verdicts, and a record for JSON."""

from __future__ import annotations

import dataclasses
import math
import textwrap
from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchnet.lab.diagnostics import Diagnosis, Row
from scratchnet.lab.trajectory import Trajectory
from scratchnet.lab.verdicts import WORDS, size

MANY = 24  # layers; of more, a table shows the first and last three, and every so many in between
HEADING = ("", "signal E[y²]", "c, %", "flat, %", "gradient", "step", "units", "rank", "verdict")
SHORT = {"too big a step": "big step", "too small a step": "small step"}
EXPLANATION = """\
In brackets: what theory expects of independent weights with the mean and
variance of these. signal: before the activation, in training. c: how alike the
outputs for two images are. flat: share of outputs where φ' is below 5 % of its
maximum. gradient: E[dY²] over that of the logits. step: update over weight,
root mean squares. units: those whose weights differ. rank: the effective rank
of their outputs. n/a: without meaning for this activation. –: there is no such
number, as where weights or outputs are all 0."""


def table(diagnosis: Diagnosis) -> str:
    """A line for each layer, in 80 columns: medians over the seeds, what theory expects in brackets, a verdict."""
    lines = cells(diagnosis)
    widths = [max(len(line[k]) for line in lines) for k in range(len(HEADING))]
    return "\n".join(
        " ".join(cell.rjust(width) if k < 8 else cell for k, (cell, width) in enumerate(zip(line, widths, strict=True)))
        for line in lines
    )


def cells(diagnosis: Diagnosis) -> list[tuple[str, ...]]:
    """The table's heading and lines, a text for each column."""
    last = diagnosis.rows[-1]
    return [HEADING, *(_cells(row, "–" if row is last else "n/a") for row in _shown(diagnosis.rows))]


def _shown(rows: list[Row]) -> list[Row]:
    if len(rows) <= MANY:
        return rows
    stride = -(-len(rows) // (MANY - 6))
    return [row for i, row in enumerate(rows) if i < 3 or i >= len(rows) - 3 or (i + 1) % stride == 0]


def _cells(row: Row, missing: str) -> tuple[str, ...]:
    def pair(name: str, scale: float = 1, form: str = "") -> str:
        value = row.measured[name]
        if value is None:
            return missing
        texts = [_form(scale * middle(value), form)]
        if name in row.expected and not math.isnan(row.expected[name]):
            texts.append(f"({_form(scale * row.expected[name], form)})")
        return " ".join(texts)

    word = row.words[0]
    return (
        row.name,
        pair("q"),
        pair("correlation", 100, ".0f"),
        pair("saturation", 100, ".0f"),
        pair("gradient"),
        *(_form(middle(row.measured[name]), "") for name in ("update", "distinct", "rank")),
        SHORT.get(word, word),
    )


def _form(x: float, form: str) -> str:
    return format(x, form) if form and math.isfinite(x) else "–" if math.isnan(x) else size(x)


def middle(x: Any) -> float:
    """The median over the replicas, as a number; infinite numbers and NaN make no noise."""
    with np.errstate(all="ignore"):
        return float(np.median(x))


def reasons(diagnosis: Diagnosis) -> list[str]:
    """One sentence for each word among the verdicts: where it holds, and the first reason with its numbers and rule."""
    found = []
    for word in WORDS:
        where = [row for row in diagnosis.rows if word in row.words]
        if where:
            first = next(verdict for verdict in where[0].verdicts if verdict.word == word)
            found.append(f"{word}, {_layers([int(row.name) for row in where])}: {first.reason}")
        found += [f"{word}: {verdict.reason}" for verdict in diagnosis.verdicts if verdict.word == word]
    return found or ["fine: no rule is broken"]


def _layers(numbers: list[int]) -> str:
    """layer 3; layers 1–4; layers 1, 2, 7."""
    if len(numbers) == 1:
        return f"layer {numbers[0]}"
    in_a_row = numbers == list(range(numbers[0], numbers[-1] + 1))
    if in_a_row:
        return f"layers {numbers[0]}–{numbers[-1]}, in the first of them"
    return f"{len(numbers)} layers from {numbers[0]} to {numbers[-1]}, in the first of them"


def whole(diagnosis: Diagnosis, classes: int = 10) -> str:
    """The network as one map, in a few lines of 80 columns."""
    x = {name: size(middle(value)) for name, value in diagnosis.measured.items() if name != "shattering"}
    loss = f" ({size(diagnosis.expected['loss'])} expected)" if "loss" in diagnosis.expected else ""
    shattering = diagnosis.measured["shattering"]
    lag = shattering.shape[-1] // 4
    text = (
        f"Loss {x['loss']}{loss}, ln {classes} = {math.log(classes):.2f}; logits' std {x['logit_std']}. "
        f"Jacobian: largest singular value {x['jacobian_largest']}, median {x['jacobian_median']}, condition "
        f"{x['jacobian_condition']}. Tangent kernel: trace {x['ntk_trace']}, condition {x['ntk_condition']}. "
        f"Sharpness × learning rate {x['sharpness']}; gradient change {x['gradient_change']}. Gradients an eighth of "
        f"the way to another image correlate by {size(middle(shattering[..., lag]))}."
    )
    return textwrap.fill(text, 80)


# --- for JSON ---------------------------------------------------------------------------------------------------------


def record(part: Diagnosis | Trajectory | Row | Mapping[str, Any] | Any) -> Any:
    """Every number, ready for JSON: what is not finite is None, and arrays keep their axes."""
    if isinstance(part, (Diagnosis, Trajectory, Row)):
        found = {field.name: record(getattr(part, field.name)) for field in dataclasses.fields(part)}
        return found | ({"words": part.words} if not isinstance(part, Trajectory) else {})
    if isinstance(part, Mapping):
        return {name: record(value) for name, value in part.items()}
    if isinstance(part, np.ndarray):
        return record(part.tolist())
    if isinstance(part, (list, tuple)):
        return [record(value) for value in part]
    if isinstance(part, (float, np.floating)):
        return float(f"{part:.7g}") if math.isfinite(part) else None
    return int(part) if isinstance(part, np.integer) else part
