"""What a sweep found, as a table of its runs (CSV), as JSON and in words."""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet.data import Dataset
from scratchnet.files import replacing
from scratchnet.lab.grid import AXES, CELL, Cell, Grid
from scratchnet.lab.sweep import FIELDS, Summary, effects, steps
from scratchnet.report import page
from scratchnet.report.accounts import STAND_IN, foot
from scratchnet.report.findings import table
from scratchnet.report.page import Part, Picture, Section, Table, Words
from scratchnet.report.results import environment
from scratchnet.report.tables import _loss_format

COLUMNS = (*AXES, *FIELDS, "steps")
TITLE = "A sweep"


def write_csv(
    path: str | os.PathLike[str], grid: Grid, cells: Sequence[Cell], results: np.ndarray, dataset: Dataset
) -> None:
    """A row for each run, in the order of the grid: every axis, the FIELDS, the steps. Whole or not at all.

    Numbers have all their digits. What is not finite is nan; `diverged` says whether any loss of the run was.
    """
    with replacing(path) as temporary, temporary.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        for cell, found in zip(cells, results.tolist(), strict=True):
            taken = steps(cell, dataset)
            for seed, (*numbers, diverged) in zip(grid.seeds, found, strict=True):
                rows.writerow([*cell, seed, *numbers, "true" if diverged else "false", taken])


def identity(grid: Grid, dataset: Dataset) -> dict[str, Any]:
    """What makes two sweeps the same: the numbers of one may stand beside those of the other."""
    return {
        "grid": grid.record(),
        "files": grid.files(),
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "images": len(dataset.images)},
    }


def difference(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    """Where two identities differ, in a few words; "" where they do not."""
    for part, name in (("grid", ""), ("files", "the file "), ("dataset", "the dataset's ")):
        here, there = ours[part], theirs.get(part)
        if not isinstance(there, dict):
            return f"it names no {part}"
        for key in {**here, **there}:
            if here.get(key) != there.get(key):
                return f"{name}{key} is {_short(there.get(key))} there and {_short(here.get(key))} here"
    return ""


def _short(value: Any) -> str:
    text = str(value[0] if isinstance(value, list) and len(value) == 1 else value)
    return text if len(text) <= 50 else f"{text[:49]}…"


def record(
    grid: Grid, cells: Sequence[Cell], found: Summary, dataset: Dataset, *, seconds: float, command: Sequence[str]
) -> dict[str, Any]:
    """Everything for sweep.json. The cells are rows under `columns`, of the axes that vary; NaN is None."""
    varying = [CELL.index(name) for name in grid.varying]
    spread = np.round(np.stack(found, axis=1), 7).tolist()
    rows = [
        [*(cell[k] for k in varying), *(x if math.isfinite(x) else None for x in numbers)]
        for cell, numbers in zip(cells, spread, strict=True)
    ]
    columns = ["accuracy_mean", "accuracy_std", "accuracy_min", "accuracy_max", "validation_loss", "diverged"]
    return {
        "complete": True,
        **identity(grid, dataset),
        "stand_in": dataset.stand_in,
        "environment": environment(),
        "command": list(command),
        "seconds": round(seconds, 1),
        "runs": len(cells) * len(grid.seeds),
        "effects": effects(grid, cells, found.mean),
        "columns": [*grid.varying, *columns],
        "cells": rows,
    }


def best(grid: Grid, cells: Sequence[Cell], found: Summary) -> str:
    """The ten cells with the highest mean accuracy, as a table."""
    return table(ranked(grid, cells, found, 10))


def ranked(grid: Grid, cells: Sequence[Cell], found: Summary, count: int) -> list[list[str]]:
    """Rows of the best cells, or of the `-count` worst: what varies, mean ± standard deviation, range, losses."""
    order = np.argsort(-found.mean if count > 0 else found.mean, kind="stable")[: abs(count)]
    axes = grid.varying
    rows = [[*axes, "accuracy", "worst–best", "validation loss", "diverged"]]
    for i in order:
        cell = dict(zip(CELL, cells[i], strict=True))
        spread = "" if math.isnan(found.std[i]) else f" ± {100 * found.std[i]:.2f}"
        loss = found.loss[i]
        rows.append(
            [
                *(str(cell[name]) for name in axes),
                f"{100 * found.mean[i]:.2f}{spread} %",
                f"{100 * found.low[i]:.2f}–{100 * found.high[i]:.2f}",
                "–" if math.isnan(loss) else _loss_format(loss).format(loss),
                f"{found.diverged[i]:.0f} of {len(grid.seeds)}",
            ]
        )
    if len(grid.seeds) == 1:
        rows = [[*row[: len(axes) + 1], *row[len(axes) + 2 :]] for row in rows]
    return rows


def chosen(grid: Grid, cells: Sequence[Cell], found: Summary) -> list[tuple[str, str]]:
    """The axes (x, y) of a sweep's heat map: the two that matter most, numbers along x where only one has them.

    Where one axis varies, its map has a single row; where none does there is no map.
    """
    names = list(effects(grid, cells, found.mean))[:2]
    if not names:
        return []
    if len(names) < 2:
        names += [name for name in CELL if name not in names][: 2 - len(names)]
    if isinstance(grid.axes[names[0]][0], str) and not isinstance(grid.axes[names[1]][0], str):
        names.reverse()
    return [(names[0], names[1])]


def answer(grid: Grid, cells: Sequence[Cell], found: Summary) -> list[str]:
    """What the sweep says, in sentences: what matters most, what diverged, what all runs have in common."""
    said = []
    matter = effects(grid, cells, found.mean)
    if matter:
        points = ", ".join(f"{name} {100 * spread:.1f}" for name, spread in matter.items())
        said.append(f"Points of mean accuracy between the best and the worst value of each axis: {points}.")
    runs, diverged = len(cells) * len(grid.seeds), int(found.diverged.sum())
    if diverged:
        said.append(f"{diverged:,} of {runs:,} runs diverged: some loss was infinite or not a number.")
    return said


def common(grid: Grid) -> str:
    """What all cells share, in a line: scheme he_normal, dropout 0.0, 5 seeds."""
    fixed = [f"{name} {grid.axes[name][0]}" for name in CELL if name not in grid.varying]
    seeds = len(grid.seeds)
    return ", ".join([*fixed, f"{seeds} seed{'s' * (seeds > 1)}"])


def report(
    grid: Grid,
    cells: Sequence[Cell],
    found: Summary,
    pictures: Mapping[str, bytes],
    *,
    dataset: str,
    stand_in: bool,
    command: Sequence[str],
) -> str:
    """The page of a sweep: what matters, heat maps, the best cells and the worst. `pictures` maps titles to maps."""
    lead: list[Part] = [
        Words(
            f"{len(cells) * len(grid.seeds):,} runs on {dataset}: every value of every axis with the others.", "lead"
        ),
        *([Words(STAND_IN, "warning")] if stand_in else []),
        Words(f"All have in common: {common(grid)}.", "small"),
    ]
    parts: list[Part] = [Words(sentence, "answer") for sentence in answer(grid, cells, found)]
    parts += [Section(title, [Picture(image, title)]) for title, image in pictures.items()]
    parts.append(Section("The best cells", [Table(ranked(grid, cells, found, 20), "By mean validation accuracy")]))
    parts.append(Section("The worst cells", [Table(ranked(grid, cells, found, -10), "The worst first")], name="worst"))
    rows = [["axis", "values"], *([name, ", ".join(map(str, grid.axes[name]))] for name in grid.varying)]
    parts.append(Section("The grid", [Table(rows, "What varies")]))
    parts.append(Words("All runs are in `sweep.csv`, a row each, beside this page.", "small"))
    return page.html(TITLE, parts, lead=lead, foot=foot(command))
