"""Figures from numbers. What they share is in `style`, and can be had from here too.

Each function returns a `matplotlib.figure.Figure`, made without pyplot, so nothing is global and no screen is
needed; `save` writes it. An `answer`, what the figure shows, in lines of one sentence, stands below its `title`. The
name of the `dataset` and a `note` stand in small grey type below the axes; `stand_in` makes that name a warning in red.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from scratchnet.lab.intervals import FEWEST, interval, t_quantile
from scratchnet.report.style import (
    COLORS,
    DASHES,
    bare,
    far_apart,
    folded,
    heading,
    label_lines,
    log_ticks,
    save,
    svg,
)
from scratchnet.report.tables import LAST, _loss_format

__all__ = ["COLORS", "DASHES", "growth", "histogram", "histograms", "losses", "ranking", "samples", "save", "svg"]

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
    if far_apart(drawn):
        panels[0].set_yscale("log")
        # down to the blind guess, where that is near: whether a line has reached it is what one wants to see
        blind = math.log(classes)
        panels[0].set_ylim((blind if blind < drawn.min() < 10 * blind else drawn.min()) / 1.4, drawn.max() * 1.4)
        log_ticks(panels[0].yaxis)
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
        bare(axes, "y")
        if low < math.log(classes) < high:
            line = axes.axhline(math.log(classes), color="0.35", linewidth=0.9, zorder=1.5)
            line.set_label(f"{math.log(classes):.3f}  blind guess: ln {classes}")
    key = "one seed" if seeds == 1 else f"mean of {seeds} seeds and Student's 95 % interval"
    if 1 < seeds < FEWEST:
        key = f"thick: the mean of {seeds} seeds, thin: each seed"
    key += f"; numbers: mean of {f'the last {LAST}' if steps > LAST else f'all {steps}'} batches"
    key += "; points: validation accuracy" if " points" in answer else ""
    heading(figure, title, key, note, answer=answer, dataset=dataset, stand_in=stand_in)
    label_lines(figure, panels[-1])
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
    names = [folded(label, 34) for label in order]
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
        bare(axes, "both")
        axes.tick_params(axis="y", length=0)
    left.set_xlabel(loss_label)
    right.set_xlabel("Validation accuracy, %")
    left.set_yticks(range(len(order)), names, fontsize=9)
    left.set_ylim(-0.7, len(order) - 0.3)
    seeds = max(len(accuracies) for _, accuracies in arms.values())
    key = "dots: seeds" + (", a bar: their mean" if seeds > 1 else "")
    key += ", a line: Student's 95 % interval" if seeds >= FEWEST else ""
    heading(figure, title, key, note, answer=answer, dataset=dataset, stand_in=stand_in)
    return figure


@np.errstate(over="ignore", invalid="ignore")
def _rank(axes: Axes, values: Sequence[np.ndarray], larger_is_better: bool) -> None:
    """One side of a ranking: `values[row]: (seeds,)`. An arm with a value that is not finite has diverged."""
    shown = _together(values, larger_is_better)
    means = [float(x.mean()) for x in values]
    spans = [interval(x)[2:] if len(x) >= FEWEST else (mean, mean) for x, mean in zip(values, means, strict=True)]
    drawn = np.concatenate([np.empty(0), *(values[row] for row in shown)])
    if far_apart(drawn):
        axes.set_xscale("log")
        axes.set_xlim(drawn.min() / 1.3, drawn.max() * 1.3)
        log_ticks(axes.xaxis)
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
    for side, labels, words in zip(sides, (common, own), headings, strict=True):
        if not labels:
            continue
        shared = labels is common
        side.suptitle(words, fontsize=11)
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
    heading(figure, title, "blue: a sample; orange: the promised density", note)
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
    bare(axes)
    heading(figure, title, note, answer=answer)
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
    axes.xaxis.minorticks_off()
    drawn = np.concatenate(list(curves.values()))
    if drawn.max() / drawn.min() < 4:
        axes.set_ylim(0, 1.1 * drawn.max())
    else:
        axes.set_yscale("log")
        log_ticks(axes.yaxis)
    axes.set_xlabel(xlabel)
    axes.set_ylabel("Milliseconds a step and network")
    bare(axes, "both")
    heading(figure, title, "one process, one BLAS thread")
    label_lines(figure, axes)
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
    heading(figure, "Sample images", dataset=dataset, stand_in=stand_in)
    return figure
