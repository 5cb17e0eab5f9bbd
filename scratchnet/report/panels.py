"""The figure of a study: its panels side by side, under the answer as a title."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchnet.lab.intervals import FEWEST, t_quantile
from scratchnet.lab.study import Finding, Grid, Lines
from scratchnet.report.style import COLORS, DASHES, bare, heading, log_ticks, plain

MARKERS = ("o", "s", "^", "D", "v", "P", "X")


def figure(finding: Finding, *, note: str = "", dataset: str = "", stand_in: bool = False) -> Figure:
    """All panels of a finding, at most three in a row; the title is its answer and, below it, the outcome."""
    panels = list(finding.panels)
    columns = min(3 if len(panels) in (3, 5, 6) else 2, len(panels))
    rows = math.ceil(len(panels) / columns)
    figure = Figure(figsize=(max(6.8, 4.9 * columns), 1.3 + 3.7 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flat
    for place, panel in zip(axes, panels, strict=False):
        if isinstance(panel, Lines):
            _lines(place, panel)
        else:
            _grid(place, panel)
        place.set_title(panel.title, fontsize=10, loc="left")
        place.set_xlabel(panel.x_label)
        place.set_ylabel(panel.y_label)
    for place in list(axes)[len(panels) :]:
        place.set_axis_off()
    heading(figure, finding.answer, note, answer=f"The claim {finding.outcome}.", dataset=dataset, stand_in=stand_in)
    return figure


def _lines(axes: Axes, panel: Lines) -> None:
    axes.set_xscale("log" if panel.log_x else "linear")
    axes.set_yscale("log" if panel.log_y else "linear")
    many = len(panel.lines) > len(COLORS)
    for i, (label, (x, values)) in enumerate(panel.lines.items()):
        x, values = np.asarray(x, np.float64), np.asarray(values, np.float64)
        style: dict[str, Any] = {"color": COLORS[i % len(COLORS)], "linestyle": DASHES[i % len(DASHES)]}
        if many:  # an ordered family of lines: from light to dark
            style = {"color": str(0.75 * (1 - i / (len(panel.lines) - 1))), "linestyle": "-"}
        if len(x) <= 30:
            style |= {"marker": MARKERS[i % len(MARKERS)], "markersize": 4}
        mean = _mean(values)
        if values.ndim > 1 and len(values) >= FEWEST:
            half = t_quantile(len(values) - 1) * values.std(axis=0, ddof=1) / math.sqrt(len(values))
            floor = mean / 10 if panel.log_y else -np.inf
            axes.fill_between(
                x, np.maximum(mean - half, floor), mean + half, color=style["color"], alpha=0.2, linewidth=0
            )
        axes.plot(x, mean, linewidth=1.7, label=label, **style)
    for label, level in panel.levels.items():
        axes.axhline(level, color="0.35", linewidth=0.9, linestyle=(0, (2, 2)), zorder=1.5)
        axes.annotate(label, (0.01, level), xycoords=axes.get_yaxis_transform(), fontsize=8, color="0.25", va="bottom")
    _scales(axes, panel)
    _ticks_at(axes, np.unique(np.concatenate([np.asarray(x, np.float64) for x, _ in panel.lines.values()])))
    bare(axes, "both")
    if len(panel.lines) > 1:
        axes.legend(fontsize=8, frameon=True, framealpha=0.85, edgecolor="none", loc="best")


@np.errstate(over="ignore", invalid="ignore")
def _mean(values: np.ndarray) -> np.ndarray:
    """The mean over seeds; NaN, a gap in the line, where some seed is not finite."""
    mean = values.mean(axis=0) if values.ndim > 1 else values
    return np.where(np.isfinite(mean), mean, np.nan)


def _grid(axes: Axes, panel: Grid) -> None:
    mesh = axes.pcolormesh(
        np.asarray(panel.x, np.float64),
        np.asarray(panel.y, np.float64),
        panel.values,
        cmap="cividis",
        shading="nearest",
    )
    axes.figure.colorbar(mesh, ax=axes, label=panel.value_label)
    xlim, ylim = axes.get_xlim(), axes.get_ylim()
    for i, (label, (x, y)) in enumerate(panel.curves.items()):
        axes.plot(x, y, color="white", linewidth=4, linestyle="-")
        axes.plot(x, y, color=COLORS[(1, 6, 3)[i % 3]], linewidth=2, linestyle=DASHES[i % 3], label=label)
    axes.set_xscale("log" if panel.log_x else "linear")
    axes.set_yscale("log" if panel.log_y else "linear")
    axes.set_xlim(xlim)
    axes.set_ylim(ylim)
    _scales(axes, panel)
    if panel.curves:
        axes.legend(fontsize=8, loc="upper right", framealpha=0.9)


def _ticks_at(axes: Axes, x: np.ndarray) -> None:
    """Ticks at the x that were measured, where those are few and far enough apart."""
    places = axes.transData.transform(np.column_stack([x, np.ones(len(x))]))[:, 0]
    if 1 < len(x) <= 8 and np.diff(places).min() > 0.07 * np.ptp(places):
        axes.set_xticks(x, [plain(value) for value in x])
        axes.xaxis.minorticks_off()


def _scales(axes: Axes, panel: Lines | Grid) -> None:
    for log, axis in ((panel.log_x, axes.xaxis), (panel.log_y, axes.yaxis)):
        if log:
            log_ticks(axis)
