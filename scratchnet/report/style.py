"""What all figures share: colours and dashes, headings, readable ticks, labels that do not overlap, and files."""

from __future__ import annotations

import io
import math
import os
import re
import textwrap
from typing import Literal

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.transforms import offset_copy

from scratchnet.files import replacing

# Okabe & Ito's colours, which stay apart for colour-blind readers, each with a dash pattern of its own for print.
COLORS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
DASHES = ("-", "--", "-.", ":", (0, (5, 1, 1, 1, 1, 1)), (0, (3, 1)), (0, (1, 1)))

# Lines whose losses are this many times apart somewhere need a logarithmic scale to be seen together.
LOG_SCALE_ABOVE = 20.0


def save(figure: Figure, path: str | os.PathLike[str]) -> None:
    """Write `figure` as a PNG, whole or not at all."""
    with replacing(path) as temporary:
        figure.savefig(temporary, format="png", dpi=150)


def svg(figure: Figure) -> bytes:
    """A figure that has been saved, as an SVG, and the same bytes again. What it says is text, in the reader's own font
    where ours, a wide one, is missing.
    """
    figure.set_layout_engine("none")  # everything has its place already
    buffer = io.BytesIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "scratchnet"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None})
    rounded = re.sub(rb' d="[^"]*"', lambda path: re.sub(rb"(\.\d\d)\d+", rb"\1", path[0]), buffer.getvalue())
    return re.sub(rb">\s+<", b"><", rounded)


def heading(
    figure: Figure, title: str, *notes: str, answer: str = "", dataset: str = "", stand_in: bool = False
) -> None:
    """Title and answer above the axes, dataset and notes below, wrapped to the figure's width; the axes make room."""
    pixels = figure.bbox
    top = pixels.height - 8
    for words, size, weight, color in (
        (title, 13, "bold", "black"),
        (dataset if stand_in else "", 11, "bold", "#B00020"),
        (answer, 10.5, "normal", "black"),
    ):
        if words:
            text = figure.text(0.01, top / pixels.height, words, size=size, weight=weight, color=color, va="top")
            wrap(text, 0.98 * pixels.width)
            top = text.get_window_extent().y0 - 6
    below = "; ".join(filter(None, ("" if stand_in else dataset, *notes)))
    wrap(figure.supxlabel(below, fontsize=8.5, color="0.35", x=0.01, ha="left"), 0.98 * pixels.width)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, top / pixels.height))


def wrap(text: Text, width: float) -> None:
    """Break the lines of a text so that none is wider than `width` pixels."""
    whole, characters = text.get_text().splitlines(), 250
    while text.get_window_extent().width > width:
        characters -= 2
        text.set_text("\n".join(textwrap.fill(line, characters) for line in whole))


def bare(axes: Axes, grid: Literal["x", "y", "both"] | None = None) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(axis=grid, color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)


def far_apart(values: np.ndarray) -> bool:
    """Whether positive values need a logarithmic scale."""
    return bool(values.size and values.min() > 0 and values.max() / values.min() > LOG_SCALE_ABOVE)


def log_ticks(axis: Axis) -> None:
    """At least three ticks, in plain numbers: powers of ten, or also their double and fivefold, or all multiples."""
    low, high = axis.get_view_interval()
    powers = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for multiples in ((1,), (1, 2, 5), range(1, 10)):
        ticks = [m * 10.0**k for k in powers for m in multiples if low <= m * 10.0**k <= high]
        if len(ticks) >= 3:
            break
    if multiples == (1,):
        step = -(-len(ticks) // 8)
        ticks = [10.0**k for k in powers if k % step == 0 and low <= 10.0**k <= high]
    axis.set_ticks(ticks, [plain(tick) for tick in ticks])
    axis.minorticks_off()


def plain(x: float) -> str:
    """A tick's number: 0.05, 2, 1,000, 10⁶, 5·10⁸."""
    if 1e-3 <= x < 1e6:
        return f"{x:,g}"
    k = math.floor(math.log10(x) + 1e-9)
    power = "10" + str(k).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if round(x / 10.0**k) == 1 else f"{round(x / 10.0**k)}·{power}"


def folded(label: str, width: int) -> str:
    """A label in lines of at most `width` characters, broken after a space, slash, colon or comma where it has one."""
    lines = [""]
    for piece in re.findall(rf"[^ /:,]{{1,{width}}}[ /:,]*|[ /:,]+", label):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def label_lines(figure: Figure, axes: Axes) -> None:
    """Write each line's label beside its right end, after a piece of the line, moved apart where they would overlap.

    A line that ended early, since it was not finite any more, is labelled at the top.
    """
    figure.draw_without_rendering()  # gives the axes their height
    type_size = 10 / 72 * figure.dpi / axes.bbox.height  # as a share of that
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    labels = [folded(str(line.get_label()), 34) for line in lines]
    ends = []
    for line in lines:
        y = float(np.asarray(line.get_ydata())[-1])
        end = axes.transData.transform((1, y)) if math.isfinite(y) else (0, axes.bbox.y1)
        ends.append(axes.transAxes.inverted().transform(end)[1])
    sizes = np.array([type_size * (0.3 + 1.2 * (label.count("\n") + 1)) for label in labels])
    order = np.argsort(ends, kind="stable")
    beside = offset_copy(axes.transAxes, figure, x=40, units="points")
    for i, y in zip(order, apart(np.array(ends)[order], sizes[order]), strict=True):
        color = lines[i].get_color()
        piece = {"color": color, "linestyle": dict(zip(COLORS, DASHES, strict=True)).get(color, "-")}
        piece |= {
            "linewidth": lines[i].get_linewidth(),
            "arrowstyle": "-",
            "relpos": (0, 0.5),
            "shrinkA": 4,
            "shrinkB": 3,
        }
        axes.annotate(
            labels[i],
            (1, ends[i]),
            (1, y),
            "axes fraction",
            beside,
            arrowprops=piece,
            annotation_clip=False,
            va="center",
        )


def apart(positions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
    """Sorted middles of things of these sizes, from 0 to 1, moved as little as possible so that none overlap."""
    offsets = np.concatenate([[0.0], np.cumsum((sizes[1:] + sizes[:-1]) / 2)])[: len(positions)]
    clusters: list[tuple[float, int]] = []  # mean position and number of things that touch each other
    for position in positions - offsets:
        count = 1
        while clusters and clusters[-1][0] > position:
            mean, more = clusters.pop()
            position, count = (count * position + more * mean) / (count + more), count + more
        clusters.append((position, count))
    start = np.array([mean for mean, count in clusters for _ in range(count)])
    return np.clip(start, 0, max(0, 1 - offsets[-1])) + offsets
