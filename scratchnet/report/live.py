"""Figures that a reader can operate: loss curves, and a walk through the looks that a training has kept.

Each is a part of a `page`: its markup, and its numbers as JSON beside it, which page.js draws. They are hidden where no
script runs; a `Picture` that is `still`, or a table, says the same there.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from html import escape
from typing import Any

import numpy as np

from scratchnet.lab.intervals import FEWEST, t_quantile
from scratchnet.lab.recording import LOOKED_AT
from scratchnet.lab.verdicts import on_looks, size, words
from scratchnet.report.page import data
from scratchnet.report.tables import LAST

FIRST = 300  # batches that are kept one by one; beyond, the running mean of LAST of them,
POINTS = 240  # at so many places
ROOM = 400_000  # bytes of curves in a chart: of what does not fit, only the mean and its band are kept


@dataclass(frozen=True)
class Chart:
    """Curves over batches, one for each arm: `curves` maps a label to `(seeds, steps)`.

    A reader sees values under the pointer or with the arrow keys, switches arms on and off, chooses how many batches,
    a linear or logarithmic scale, and one seed or the mean of all in the band of its 95 % interval. The first FIRST
    batches are there one by one; all of them as the running mean of LAST. `shown` are the labels to begin with (all).
    `levels` maps a label to a height at which a thin line is drawn.
    """

    name: str  # of letters, digits and hyphens: an id
    title: str
    y_label: str
    curves: Mapping[str, np.ndarray]
    seeds: Sequence[int]
    first: int = 100
    log: bool = False
    shown: Sequence[str] | None = None
    levels: Mapping[str, float] = field(default_factory=dict)

    def html(self) -> str:
        name = escape(self.name)
        return (
            f'<figure class="live chart" id="{name}" role="figure" aria-label="{escape(self.title)}"></figure>'
            + data(self._content(), f"{self.name}-data")
        )

    def _content(self) -> dict[str, Any]:
        steps = max(values.shape[1] for values in self.curves.values())
        alone = min(FIRST, steps)
        ends = np.unique(np.linspace(LAST, steps, POINTS).astype(int)) if steps > LAST else np.empty(0, int)
        cost = (alone + len(ends)) * 4 * 4 / 3 * len(self.curves)
        kept = int(min(len(self.seeds), max(1, ROOM // cost - 3)))
        return {
            "title": self.title,
            "yLabel": self.y_label,
            "steps": steps,
            "alone": alone,
            "ends": ends.tolist(),
            "window": LAST,
            "first": min(self.first, steps),
            "seeds": [int(seed) for seed in self.seeds[:kept]],
            "count": len(self.seeds),
            "band": len(self.seeds) >= FEWEST,
            "log": self.log,
            "levels": [{"label": label, "y": float(y)} for label, y in self.levels.items()],
            "arms": [
                {
                    "label": label,
                    "shown": self.shown is None or label in self.shown,
                    "values": _packed(_rows(values, alone, ends, kept)),
                }
                for label, values in self.curves.items()
            ],
        }


@np.errstate(over="ignore", invalid="ignore")
def _rows(values: np.ndarray, alone: int, ends: np.ndarray, kept: int) -> np.ndarray:
    """Mean, lower and upper end of its interval, and the first `kept` seeds: (3 + kept, alone + len(ends)), float32.

    NaN where some seed is not finite.
    """
    values = values.astype(np.float64)
    smooth = (
        np.lib.stride_tricks.sliding_window_view(values, LAST, axis=1)[:, ends - LAST].mean(axis=-1)
        if len(ends)
        else values[:, :0]
    )
    seen = np.concatenate([values[:, :alone], smooth], axis=1)
    n, mean = len(seen), seen.mean(axis=0)
    half = t_quantile(n - 1) * seen.std(axis=0, ddof=1) / np.sqrt(n) if n >= FEWEST else np.full_like(mean, np.nan)
    rows = np.vstack([mean, mean - half, mean + half, seen[:kept]]).astype("<f4")
    return np.where(np.isfinite(rows), rows, np.float32(np.nan))


def _packed(rows: np.ndarray) -> str:
    return base64.b64encode(rows.astype("<f4").tobytes()).decode()


@dataclass(frozen=True)
class Steps:
    """Walks through training: `walks` maps an arm's label to a `Recording` with histograms, as results.json has it.

    A reader chooses an arm and a step, and sees for each layer the histograms of its outputs and their gradients, how
    many of its units differ, and what the rules of `lab.verdicts` say.
    """

    name: str
    title: str
    walks: Mapping[str, Mapping[str, Any]]
    classes: int
    chosen: str = ""  # the label to begin with

    def html(self) -> str:
        name = escape(self.name)
        return (
            f'<figure class="live steps" id="{name}" role="figure" aria-label="{escape(self.title)}"></figure>'
            + data(self._content(), f"{self.name}-data")
        )

    def _content(self) -> dict[str, Any]:
        labels = list(self.walks)
        return {
            "title": self.title,
            "classes": self.classes,
            "images": LOOKED_AT,
            "chosen": labels.index(self.chosen) if self.chosen in labels else 0,
            "arms": [{"label": label, **walk(recording, self.classes)} for label, recording in self.walks.items()],
        }

    def table(self) -> list[list[str]]:
        """What the rules say of each arm, and its loss, a column for each step: for those who see no script."""
        steps = sorted({step for recording in self.walks.values() for step in recording["steps"]})
        rows = [["", *(called(step) for step in steps)]]
        for label, recording in self.walks.items():
            looks = {
                step: f"{', '.join(found)}; loss {size(loss)}"
                for step, found, loss in zip(
                    recording["steps"], judged(recording, self.classes), recording["loss"], strict=True
                )
            }
            rows.append([label, *(looks.get(step, "") for step in steps)])
        return rows


def called(step: int) -> str:
    """A step's name: before the first step, after 1 step, after 10 steps."""
    return f"after {step:,} step{'s' * (step != 1)}" if step else "before the first step"


def judged(recording: Mapping[str, Any], classes: int) -> list[list[str]]:
    """For each look the words of all verdicts."""
    return [
        words([*whole, *(verdict for layer in layers for verdict in layer)])
        for layers, whole in on_looks(recording, LOOKED_AT, classes)
    ]


def walk(recording: Mapping[str, Any], classes: int) -> dict[str, Any]:
    """What the script draws of one recording: its numbers with three digits, and its verdicts."""
    verdicts = on_looks(recording, LOOKED_AT, classes)
    return {
        "steps": recording["steps"],
        "called": [called(step) for step in recording["steps"]],
        "units": [int(units) for units in recording["units"]],
        "loss": _short(recording["loss"]),
        **{
            name: _short(recording[name])
            for name in ("signal", "gradient", "distinct", "rank", "y_range", "log_dY_range")
        },
        "y": recording["y"],
        "log_dY": recording["log_dY"],
        "words": judged(recording, classes),
        "layers": [[[[v.word, v.reason] for v in layer] for layer in layers] for layers, _ in verdicts],
        "whole": [[[v.word, v.reason] for v in whole] for _, whole in verdicts],
    }


def _short(x: Any) -> Any:
    if isinstance(x, (list, tuple)):
        return [_short(part) for part in x]
    return None if x is None else float(f"{x:.4g}")
