"""Figures from numbers. The only file that imports matplotlib.

Each function returns a `matplotlib.figure.Figure`, made without pyplot, so no screen is
needed; `save` writes it. An `answer`, what the figure shows, in lines of one sentence, stands below its `title`. The
name of the `dataset` and a `note` stand in small grey type below the axes; `stand_in` makes that name a warning in red.
"""

from __future__ import annotations

import io
import math
import os
import re
import textwrap
from collections.abc import Callable, Mapping, Sequence
from typing import Literal

import matplotlib
import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text
from matplotlib.transforms import offset_copy

from scratchnet.files import replacing
from scratchnet.lab.intervals import FEWEST, interval, t_quantile
from scratchnet.report.tables import LAST, _loss_format

# The texts are plain Unicode, with characters that TeX does not take, whatever a reader's matplotlibrc asks for.
matplotlib.rcParams["text.usetex"] = False

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


# --- comparisons ----------------------------------------------------------------------------------------------


def losses(
    title: str,
    curves: Mapping[str, np.ndarray],
    *,
    dataset: str,
    stand_in: bool = False,
    answer: str = "",
    note: str = "",
    first: int = 100,
    classes: int = 10,
) -> Figure:
    """Training loss over batches: a line for each arm, the mean over its seeds, in the band of its 95 % interval.

    `curves` maps a label to the losses `(seeds, steps)` of the whole training; what is not finite is left out. On the
    left are the `first` batches. On the right, if there are more than LAST, is the running mean of LAST batches: there,
    a line ends at the table's number, which stands beside it. A thin line is at ln(classes), the loss of a blind guess.
    """
    seeds, steps = (max(values.shape[axis] for values in curves.values()) for axis in (0, 1))
    first = min(first, steps) if steps > LAST else steps
    height = 2.8 + 0.2 * sum(len(_amount(values) + arm) // 34 + 1 for arm, values in curves.items())
    figure = Figure(figsize=(10, max(5.2, height) + 0.17 * answer.count("\n")), layout="constrained")
    panels = figure.subplots(1, 1 + (steps > LAST), sharey=True, squeeze=False)[0]
    panels[0].set_title(f"{'First' if steps > first else 'All'} {first:,} batches", fontsize=10, loc="left")
    if steps > LAST:
        panels[1].set_title(f"All {steps:,} batches: running mean of {LAST}", fontsize=10, loc="left")
    panels[0].set_ylabel("Training loss")
    for i, (arm, values) in enumerate(curves.items()):
        line = _mean_and_band(panels[0], np.arange(1, first + 1), values[:, :first], i)
        if steps > LAST:
            line = _mean_and_band(panels[1], np.arange(LAST, steps + 1), _running_mean(values), i)
        line.set_label(f"{_amount(values)}  {arm}")
    drawn = np.concatenate([np.asarray(line.get_ydata()) for axes in panels for line in axes.get_lines()])
    drawn = drawn[np.isfinite(drawn)]
    if _far_apart(drawn):
        panels[0].set_yscale("log")
        # down to the blind guess, where that is near: whether a line has reached it is what one wants to see
        blind = math.log(classes)
        panels[0].set_ylim((blind if blind < drawn.min() < 10 * blind else drawn.min()) / 1.4, drawn.max() * 1.4)
        _log_ticks(panels[0].yaxis)
    elif drawn.size:
        panels[0].set_ylim(min(0.0, drawn.min()), 1.05 * drawn.max() or 1.0)
        if 1000 <= drawn.max() < 1e6:
            panels[0].yaxis.set_major_formatter("{x:,.0f}")
    low, high = panels[0].get_ylim()
    for axes, end in zip(panels, (first, steps), strict=False):
        axes.set_xlim(1, max(2, end))
        axes.set_xlabel("Batch")
        axes.locator_params(axis="x", nbins=6, integer=True)
        axes.xaxis.set_major_formatter("{x:,.0f}")
        _bare(axes, "y")
        if low < math.log(classes) < high:
            line = axes.axhline(math.log(classes), color="0.35", linewidth=0.9, zorder=1.5)
            line.set_label(f"{math.log(classes):.3f}  blind guess: ln {classes}")
    key = "one seed" if seeds == 1 else f"mean of {seeds} seeds and Student's 95 % interval"
    if 1 < seeds < FEWEST:
        key = f"thick: the mean of {seeds} seeds, thin: each seed"
    key += f"; numbers: mean of {f'the last {LAST}' if steps > LAST else f'all {steps}'} batches"
    key += "; points: validation accuracy" if " points" in answer else ""
    _heading(figure, title, key, note, answer=answer, dataset=dataset, stand_in=stand_in)
    _label_lines(figure, panels[-1])
    return figure


@np.errstate(over="ignore", invalid="ignore")
def _mean_and_band(axes: Axes, batch: np.ndarray, values: np.ndarray, i: int) -> Line2D:
    """The i-th arm: its mean over the seeds that are finite, a band where all are; or each seed, where they are few."""
    values = np.where(np.isfinite(values), values.astype(np.float64), np.nan)
    n, color = len(values), COLORS[i % len(COLORS)]
    some = ~np.isnan(values).all(axis=0)
    mean = np.full(values.shape[1], np.nan)
    mean[some] = np.nanmean(values[:, some], axis=0)
    if n >= FEWEST:
        half = t_quantile(n - 1) * values.std(axis=0, ddof=1) / math.sqrt(n)
        axes.fill_between(batch, mean - half, mean + half, color=color, alpha=0.2, linewidth=0)
    elif n > 1:
        axes.plot(batch, values.T, color=color, linewidth=0.7, alpha=0.6)
    return axes.plot(batch, mean, color=color, linestyle=DASHES[i % len(DASHES)], linewidth=1.8)[0]


@np.errstate(over="ignore", invalid="ignore")
def _running_mean(values: np.ndarray) -> np.ndarray:
    """The mean of LAST batches in a row, up to each batch from the LAST-th on; not finite where one of them isn't."""
    return np.lib.stride_tricks.sliding_window_view(values, LAST, axis=1).mean(axis=-1)


@np.errstate(over="ignore", invalid="ignore")
def _amount(values: np.ndarray) -> str:
    """The mean of the LAST losses of `(seeds, steps)`, as the tables have it; called so where no line ends there."""
    mean = interval([x[-LAST:].mean() for x in values]).mean
    called = "" if values.shape[1] > LAST else "mean "
    return called + _loss_format(mean).format(mean) if math.isfinite(mean) else "diverged"


def ranking(
    title: str,
    arms: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    loss_label: str,
    dataset: str,
    stand_in: bool = False,
    answer: str = "",
    note: str = "",
    classes: int = 10,
) -> Figure:
    """Many arms at a glance, one a row, the best at the top: dots for seeds, the mean and its 95 % interval.

    `arms` maps a label to (losses, accuracies in %), each of shape (seeds,). On the left the loss, named `loss_label`;
    on the right the accuracy. The scales show the better arms in detail: a mean that is farther out is a number with
    an arrow, at the edge.
    """
    order = sorted(arms, key=lambda label: float(np.mean(arms[label][1])))
    names = [_folded(label, 34) for label in order]
    row_height = 0.36 if any("\n" in name for name in names) else 0.28
    height = max(3.2, 2.0 + row_height * len(order)) + 0.17 * answer.count("\n")
    figure = Figure(figsize=(10, height), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for axes, column, name, blind in (
        (left, 0, f"ln {classes}", math.log(classes)),
        (right, 1, f"{100 / classes:.3g} %", 100 / classes),
    ):
        _rank(axes, [arms[label][column] for label in order], larger_is_better=axes is right)
        low, high = axes.get_xlim()
        if low < blind < high:
            axes.axvline(blind, color="0.35", linewidth=0.9, zorder=1.5)
            above = {"xycoords": axes.get_xaxis_transform(), "ha": "center", "va": "bottom", "fontsize": 8.5}
            axes.annotate(f"blind guess: {name}", (blind, 1.0), **above)
        _bare(axes, "both")
        axes.tick_params(axis="y", length=0)
    left.set_xlabel(loss_label)
    right.set_xlabel("Validation accuracy, %")
    left.set_yticks(range(len(order)), names, fontsize=9)
    left.set_ylim(-0.7, len(order) - 0.3)
    seeds = max(len(accuracies) for _, accuracies in arms.values())
    key = "dots: seeds" + (", a bar: their mean" if seeds > 1 else "")
    key += ", a line: Student's 95 % interval" if seeds >= FEWEST else ""
    _heading(figure, title, key, note, answer=answer, dataset=dataset, stand_in=stand_in)
    return figure


@np.errstate(over="ignore", invalid="ignore")
def _rank(axes: Axes, values: Sequence[np.ndarray], larger_is_better: bool) -> None:
    """One side of a ranking: `values[row]: (seeds,)`. An arm with a value that is not finite has diverged."""
    shown = _together(values, larger_is_better)
    means = [float(x.mean()) for x in values]
    spans = [interval(x)[2:] if len(x) >= FEWEST else (mean, mean) for x, mean in zip(values, means, strict=True)]
    drawn = np.concatenate([np.empty(0), *(values[row] for row in shown)])
    if _far_apart(drawn):
        axes.set_xscale("log")
        axes.set_xlim(drawn.min() / 1.3, drawn.max() * 1.3)
        _log_ticks(axes.xaxis)
    elif shown:
        ends = [*drawn, *(end for row in shown for end in spans[row])]
        margin = 0.04 * (max(ends) - min(ends)) or 0.5
        axes.set_xlim(min(ends) - margin, max(ends) + margin)
        axes.locator_params(axis="x", nbins=7)
    for row, x in enumerate(values):
        if row not in shown:
            mean = _loss_format(means[row]).format(means[row]) if math.isfinite(means[row]) else "diverged"
            at, text, side = (0.01, f"◂ {means[row]:.2f}", "left") if larger_is_better else (0.99, f"{mean} ▸", "right")
            axes.text(at, row, text, va="center", ha=side, fontsize=8.5, transform=axes.get_yaxis_transform())
            continue
        axes.plot(x, np.full(len(x), row), "o", color=COLORS[5], markersize=4.5, zorder=3)
        if len(x) > 1:
            axes.plot(np.clip(spans[row], *axes.get_xlim()), [row, row], color=COLORS[0], linewidth=1.6)
            axes.plot([means[row]], [row], "|", color=COLORS[0], markersize=12, markeredgewidth=2.2, zorder=4)


def _together(values: Sequence[np.ndarray], larger_is_better: bool) -> list[int]:
    """The rows that one scale can show: the better half (or three), and all within twice its width of it.

    Every row, if that makes the scale less than twice as wide; but none with a value that is not finite.
    """
    sign = -1 if larger_is_better else 1
    finite = (row for row, x in enumerate(values) if np.isfinite(x).all())
    rows = sorted(finite, key=lambda row: sign * float(values[row].mean()))
    if not rows:
        return []
    half = np.concatenate([values[row] for row in rows[: max(3, (len(rows) + 1) // 2)]])
    reach = 2 * np.ptp(half)
    near = [row for row in rows if half.min() - reach <= values[row].mean() <= half.max() + reach]
    zoomed, whole = (np.ptp(np.concatenate([values[row] for row in some])) for some in (near, rows))
    return near if whole > 2 * zoomed > 0 else rows


# --- weights --------------------------------------------------------------------------------------------------


def histograms(
    title: str,
    samples: Mapping[str, np.ndarray],
    densities: Mapping[str, Callable[[np.ndarray], np.ndarray] | None],
    *,
    note: str = "",
) -> Figure:
    """Histograms of weights, a row a scheme, with the density that each scheme promises drawn over it.

    On the left, from narrow to wide, are the schemes whose weights are of similar size, all on one scale. On the right
    are the others, each on a scale of its own, with that of the left in grey: those whose weights are more than four
    times larger or smaller than usual, and those that take only a few values (no density), with the share of each.
    Zeros are left out where there is a density, since they are a peak that no density has.
    """
    size = {label: float(np.sqrt(np.mean(W[W != 0] ** 2))) for label, W in samples.items() if densities[label]}
    usual = float(np.median(list(size.values()) or [1.0]))
    common = sorted((label for label in size if usual / 4 <= size[label] <= 4 * usual), key=lambda label: size[label])
    own = [label for label in samples if label not in common]
    figure = Figure(figsize=(13, 1.4 + 0.9 * max(len(common), len(own))), layout="constrained")
    sides = figure.subfigures(1, 2, squeeze=False)[0]
    headings = (
        "One scale for all of these, from narrow to wide",
        "Other scales: each its own; grey is the range of the left",
    )
    reach = max((float(np.quantile(np.abs(samples[label]), 0.999)) for label in common), default=math.nan)
    for side, labels, heading in zip(sides, (common, own), headings, strict=True):
        if not labels:
            continue
        shared = labels is common
        side.suptitle(heading, fontsize=11)
        rows = side.subplots(len(labels), 1, squeeze=False, sharex=shared, sharey=shared)[:, 0]
        for axes, label in zip(rows, labels, strict=True):
            _weights(axes, label, samples[label], densities[label])
            low, high = (-1.05 * reach, 1.05 * reach) if shared else axes.get_xlim()
            if shared:
                axes.grid(axis="x", color="0.9", linewidth=0.8)
            else:
                axes.axvspan(max(low, -reach), min(high, reach), color="0.5", alpha=0.25, linewidth=0, zorder=3)
            axes.set_xlim(low, high)
            axes.locator_params(axis="x", nbins=9 if shared else 5)
    _heading(figure, title, "blue: a sample; orange: the promised density", note)
    return figure


def _weights(axes: Axes, label: str, W: np.ndarray, density: Callable[[np.ndarray], np.ndarray] | None) -> None:
    """A row of `histograms`: its label on the left."""
    if density is None:
        values, counts = np.unique(W, return_counts=True)
        width = 0.1 * max(float(np.ptp(values)), 0.1)
        bars = axes.bar(values, counts / W.size, width=width, color=COLORS[5])
        axes.bar_label(bars, [f"{100 * count / W.size:.4g} %" for count in counts], fontsize=8, padding=2)
        axes.set_ylim(0, 1.6)
        axes.set_xlim(values.min() - 4 * width, values.max() + 4 * width)
    else:
        weights = W[W != 0]
        axes.hist(weights, bins=60, density=True, color=COLORS[5])
        margin = 0.08 * float(np.ptp(weights))
        x = np.linspace(weights.min() - margin, weights.max() + margin, 600)
        axes.plot(x, density(x), color=COLORS[1], linewidth=1.4)
        axes.set_xlim(x[0], x[-1])
    axes.text(-0.02, 0.5, label, transform=axes.transAxes, ha="right", va="center", fontsize=9)
    axes.set_yticks([])
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def histogram(
    title: str,
    values: np.ndarray,
    density: Callable[[np.ndarray], np.ndarray],
    *,
    answer: str = "",
    note: str = "",
) -> Figure:
    """A histogram of `values` with the density that they were drawn from."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    axes.hist(values, bins=30, density=True, color=COLORS[5], edgecolor="white", label=f"{len(values):,} draws")
    margin = 0.1 * (values.max() - values.min())
    x = np.linspace(values.min() - margin, values.max() + margin, 1001)
    axes.plot(x, density(x), color=COLORS[1], linewidth=2, label="density")
    axes.set_xlabel("Value")
    axes.set_ylabel("Probability density")
    axes.set_ylim(top=axes.get_ylim()[1] * 1.15)  # room for the legend
    axes.legend(frameon=False, loc="upper right", ncols=2)
    _bare(axes)
    _heading(figure, title, note, answer=answer)
    return figure


# --- others ---------------------------------------------------------------------------------------------------


def growth(title: str, xlabel: str, x: np.ndarray, curves: Mapping[str, np.ndarray]) -> Figure:
    """Milliseconds over a size on a logarithmic scale. Where times differ by more than fourfold, theirs is too, and a
    straight line is a power of the size.
    """
    figure = Figure(figsize=(7, 4.4), layout="constrained")
    axes = figure.add_subplot()
    for i, (label, y) in enumerate(curves.items()):
        axes.plot(x, y, color=COLORS[i], linestyle=DASHES[i], marker="o", markersize=4, label=label)
    axes.set_xscale("log")
    axes.set_xticks(x, [f"{value:,}" for value in x])
    axes.xaxis.set_ticks([], minor=True)
    drawn = np.concatenate(list(curves.values()))
    if drawn.max() / drawn.min() < 4:
        axes.set_ylim(0, 1.1 * drawn.max())
    else:
        axes.set_yscale("log")
        _log_ticks(axes.yaxis)
    axes.set_xlabel(xlabel)
    axes.set_ylabel("Milliseconds a step and network")
    _bare(axes, "both")
    _heading(figure, title, "one process, one BLAS thread")
    _label_lines(figure, axes)
    return figure


def samples(
    images: np.ndarray, labels: np.ndarray, classes: Sequence[str], *, dataset: str, stand_in: bool = False
) -> Figure:
    """The first 20 pictures of `images: (n, 784)` in two rows, each with its class above it."""
    figure = Figure(figsize=(12, 3.6), layout="constrained")
    for i, axes in enumerate(figure.subplots(2, 10).flat):
        axes.set_axis_off()
        if i < len(images):
            axes.imshow(images[i].reshape(28, 28), cmap="gray", vmin=0, vmax=1)
            axes.set_title(classes[int(labels[i])], fontsize=11)
    _heading(figure, "Sample images", dataset=dataset, stand_in=stand_in)
    return figure


# --- what figures share ---------------------------------------------------------------------------------------


def _heading(
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
            _wrap(text, 0.98 * pixels.width)
            top = text.get_window_extent().y0 - 6
    below = "; ".join(filter(None, ("" if stand_in else dataset, *notes)))
    _wrap(figure.supxlabel(below, fontsize=8.5, color="0.35", x=0.01, ha="left"), 0.98 * pixels.width)
    figure.set_layout_engine("constrained", rect=(0, 0, 1, top / pixels.height))


def _wrap(text: Text, width: float) -> None:
    """Break the lines of a text so that none is wider than `width` pixels."""
    whole, characters = text.get_text().splitlines(), 250
    while text.get_window_extent().width > width:
        characters -= 2
        text.set_text("\n".join(textwrap.fill(line, characters) for line in whole))


def _bare(axes: Axes, grid: Literal["x", "y", "both"] | None = None) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    if grid:
        axes.grid(axis=grid, color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)


def _far_apart(values: np.ndarray) -> bool:
    """Whether positive values need a logarithmic scale."""
    return bool(values.size and values.min() > 0 and values.max() / values.min() > LOG_SCALE_ABOVE)


def _log_ticks(axis: Axis) -> None:
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
    axis.set_ticks(ticks, [_plain(tick) for tick in ticks])
    axis.set_ticks([], minor=True)


def _plain(x: float) -> str:
    """A tick's number: 0.05, 2, 1,000, 10⁶, 5·10⁸."""
    if 1e-3 <= x < 1e6:
        return f"{x:,g}"
    k = math.floor(math.log10(x) + 1e-9)
    power = "10" + str(k).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
    return power if round(x / 10.0**k) == 1 else f"{round(x / 10.0**k)}·{power}"


def _folded(label: str, width: int) -> str:
    """A label in lines of at most `width` characters, broken after a space, slash, colon or comma where it has one."""
    lines = [""]
    for piece in re.findall(rf"[^ /:,]{{1,{width}}}[ /:,]*|[ /:,]+", label):
        if lines[-1] and len(lines[-1] + piece.rstrip()) > width:
            lines.append("")
        lines[-1] += piece
    return "\n".join(line.rstrip() for line in lines)


def _label_lines(figure: Figure, axes: Axes) -> None:
    """Write each line's label beside its right end, after a piece of the line, moved apart where they would overlap.

    A line that ended early, since it was not finite any more, is labelled at the top.
    """
    figure.draw_without_rendering()  # gives the axes their height
    type_size = 10 / 72 * figure.dpi / axes.bbox.height  # as a share of that
    lines = [line for line in axes.get_lines() if not str(line.get_label()).startswith("_")]
    labels = [_folded(str(line.get_label()), 34) for line in lines]
    ends = []
    for line in lines:
        y = float(np.asarray(line.get_ydata())[-1])
        end = axes.transData.transform((1, y)) if math.isfinite(y) else (0, axes.bbox.y1)
        ends.append(axes.transAxes.inverted().transform(end)[1])
    sizes = np.array([type_size * (0.3 + 1.2 * (label.count("\n") + 1)) for label in labels])
    order = np.argsort(ends, kind="stable")
    beside = offset_copy(axes.transAxes, figure, x=40, units="points")
    for i, y in zip(order, _apart(np.array(ends)[order], sizes[order]), strict=True):
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


def _apart(positions: np.ndarray, sizes: np.ndarray) -> np.ndarray:
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
