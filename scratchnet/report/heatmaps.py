"""Heat maps of a sweep: two axes against each other, as colours."""

from __future__ import annotations

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchnet.lab.grid import Grid
from scratchnet.lab.sweep import Map
from scratchnet.report.style import folded, heading, plain

MOST_NUMBERS = 25  # in a row or a column: more could not be read


def figure(grid: Grid, found: Map, *, dataset: str, stand_in: bool = False, note: str = "", answer: str = "") -> Figure:
    """Validation accuracy in percent over the axes `found.x` and `found.y`, and the other axes' best, and their mean.

    Where no other axis varies there is one panel. A square is grey where every run diverged, and empty where the cells
    are skipped.
    """
    others = [name for name in grid.varying if name not in (found.x, found.y)]
    seeds = f"mean of {len(grid.seeds)} seeds" if len(grid.seeds) > 1 else "one seed"
    panels = {f"{seeds[0].upper()}{seeds[1:]}": found.best}
    if others:
        over = ", ".join(others)
        panels = {f"Best over {over}": found.best, f"Mean over {over}": found.mean}
    x, y = ([_label(value) for value in grid.axes[name]] for name in (found.x, found.y))
    tall = max(text.count("\n") + 1 for text in y)
    long = max(len(line) for text in x for line in text.split("\n"))
    turned = long > 9 or len(x) > 12
    width = min(9.0, max(2.6, (0.5 if turned else max(0.55, 0.09 * long + 0.15)) * len(x)))
    wide = 0.085 * max(len(line) for text in y for line in text.split("\n"))
    height = min(9.0, max(1.2, (0.3 + 0.14 * (tall - 1)) * len(y))) + (0.08 * long if turned else 0)
    rows, columns = (len(panels), 1) if width > 5.5 else (1, len(panels))
    size = max(6.5, (width + wide + 1.3) * columns), 1.3 + (0.7 + height) * rows + 0.17 * answer.count("\n")
    drawing = Figure(figsize=size, layout="constrained")
    values = 100 * np.array(list(panels.values()))
    shown = np.where(found.diverged, np.nan, values)
    low, high = (np.nanmin(shown), np.nanmax(shown)) if np.isfinite(shown).any() else (0.0, 100.0)
    for axes, (title, _), colours, numbers in zip(
        drawing.subplots(rows, columns, squeeze=False).flat, panels.items(), shown, values, strict=True
    ):
        mesh = axes.imshow(colours, cmap="cividis", vmin=low, vmax=high, aspect="auto")
        axes.set_title(folded(title, int(11 * (width + wide))), fontsize=10, loc="left")
        axes.set_xticks(range(len(x)), x, rotation=90 if turned else 0)
        axes.set_yticks(range(len(y)), y)
        axes.tick_params(length=0, labelsize=8.5)
        axes.set_xlabel(found.x)
        axes.set_ylabel(found.y)
        axes.spines[:].set_visible(False)
        _thin(axes, len(x), len(y))
        _numbers(axes, numbers, found.diverged, low, high)
    drawing.colorbar(mesh, ax=drawing.axes, label="Validation accuracy, %", fraction=0.05)
    heading(drawing, f"{found.x} and {found.y}", note, answer=answer, dataset=dataset, stand_in=stand_in)
    return drawing


def _label(value: object) -> str:
    return plain(value) if isinstance(value, (int, float)) and value > 0 else folded(str(value), 22)


def _thin(axes: Axes, columns: int, rows: int) -> None:
    """Fewer tick labels, where there are more values than a reader can tell apart."""
    for count, labels in ((columns, axes.get_xticklabels()), (rows, axes.get_yticklabels())):
        for k, label in enumerate(labels):
            label.set_visible(k % -(-count // MOST_NUMBERS) == 0)


def _numbers(axes: Axes, values: np.ndarray, diverged: np.ndarray, low: float, high: float) -> None:
    """Each square's number; "div." on grey where all of its runs diverged."""
    if max(values.shape) > MOST_NUMBERS:
        axes.set_facecolor("0.85")
        return
    for i, k in np.ndindex(values.shape):
        if diverged[i, k]:
            axes.fill_between([k - 0.5, k + 0.5], i - 0.5, i + 0.5, color="0.85", linewidth=0)
            axes.text(k, i, "div.", ha="center", va="center", size=7.5, color="0.25")
        elif np.isfinite(values[i, k]):
            red, green, blue, _ = colormaps["cividis"]((values[i, k] - low) / ((high - low) or 1.0))
            dark = 0.299 * red + 0.587 * green + 0.114 * blue < 0.5
            text = f"{values[i, k]:.1f}"
            axes.text(k, i, text, ha="center", va="center", size=7.5, color="white" if dark else "black")
