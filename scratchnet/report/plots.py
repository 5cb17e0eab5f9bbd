"""Figures from numbers. The only file that imports matplotlib.

Each function returns a `matplotlib.figure.Figure`, made without pyplot, so nothing is global and no screen is
needed; `save` writes it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

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


def losses(
    title: str,
    curves: Mapping[str, np.ndarray],
    *,
    dataset: str,
    stand_in: bool = False,
    note: str = "",
) -> Figure:
    """Training loss over batches: a line for each arm, the mean over its seeds, in a band from lowest to highest.

    `curves` maps a label to the losses `(seeds, steps)`; what is not finite is left out. `dataset` is named in the
    corner; `stand_in` makes that a warning. `note` stands below the title.
    """
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.add_subplot()
    means = {}
    for i, (label, values) in enumerate(curves.items()):
        values = np.where(np.isfinite(values), values, np.nan)
        batch = np.arange(1, values.shape[1] + 1)
        means[label] = mean = _ignoring_nan(np.nanmean, values)
        color = COLORS[i % len(COLORS)]
        axes.plot(batch, mean, color=color, linestyle=DASHES[i % len(DASHES)], linewidth=1.8, label=label)
        if len(values) > 1:
            low, high = _ignoring_nan(np.nanmin, values), _ignoring_nan(np.nanmax, values)
            axes.fill_between(batch, low, high, color=color, alpha=0.2, linewidth=0)
    drawn = np.concatenate([mean[np.isfinite(mean)] for mean in means.values()])
    if drawn.size and drawn.min() > 0 and drawn.max() / drawn.min() > LOG_SCALE_ABOVE:
        axes.set_yscale("log")
    axes.set_xlabel("Batches")
    axes.set_ylabel("Training loss")
    axes.set_xlim(1, max(2, *(values.shape[1] for values in curves.values())))
    _bare(axes)
    axes.grid(axis="y", color="0.9", linewidth=0.8)
    axes.set_axisbelow(True)
    _label_lines(figure, axes)
    seeds = max(len(values) for values in curves.values())
    line = "one seed" if seeds == 1 else f"mean of {seeds} seeds, band from lowest to highest"
    _heading(figure, title, f"{line}{'; ' + note if note else ''}", dataset, stand_in)
    return figure


def ranking(
    title: str,
    arms: Mapping[str, tuple[np.ndarray, np.ndarray]],
    *,
    loss_label: str,
    dataset: str,
    stand_in: bool = False,
    note: str = "",
) -> Figure:
    """Many arms at a glance, one a row, the best at the top: a dot a seed and a bar at the mean.

    `arms` maps a label to (losses, accuracies in %), each of shape (seeds,). On the left the loss, named
    `loss_label`, on a logarithmic scale where arms differ by orders of magnitude; on the right the accuracy.
    """
    order = sorted(arms, key=lambda label: float(np.mean(arms[label][1])))
    figure = Figure(figsize=(10, 1.6 + 0.27 * len(order)), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True)
    for row, label in enumerate(order):
        for axes, values in zip((left, right), arms[label], strict=True):
            values = values[np.isfinite(values)]
            axes.plot(values, np.full(len(values), row), "o", color=COLORS[5], markersize=4.5, alpha=0.8)
            if len(values):
                axes.plot([values.mean()], [row], "|", color=COLORS[0], markersize=13, markeredgewidth=2.2)
    means = np.array(
        [float(np.mean(losses[np.isfinite(losses)])) for losses, _ in arms.values() if np.isfinite(losses).any()]
    )
    if len(means) and means.min() > 0 and means.max() / means.min() > LOG_SCALE_ABOVE:
        left.set_xscale("log")
    left.set_xlabel(loss_label)
    right.set_xlabel("Validation accuracy, %")
    left.set_yticks(range(len(order)), order)
    left.set_ylim(-0.7, len(order) - 0.3)
    for axes in (left, right):
        _bare(axes)
        axes.grid(color="0.92", linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(axis="y", length=0)
    _heading(figure, title, f"a dot a seed, a bar at the mean{'; ' + note if note else ''}", dataset, stand_in)
    return figure


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
    drawn = np.concatenate(list(curves.values()))
    if drawn.max() / drawn.min() < 4:
        axes.set_ylim(0, 1.1 * drawn.max())
    else:
        axes.set_yscale("log")
        ticks = [t for k in range(-4, 5) for t in (10.0**k, 2 * 10.0**k, 5 * 10.0**k)]
        low, high = axes.get_ylim()
        axes.set_yticks([t for t in ticks if low <= t <= high])
        axes.yaxis.set_major_formatter("{x:g}")
    axes.minorticks_off()
    axes.set_xlabel(xlabel)
    axes.set_ylabel("Milliseconds a step and network")
    _bare(axes)
    axes.grid(color="0.92", linewidth=0.8)
    axes.set_axisbelow(True)
    _label_lines(figure, axes)
    _heading(figure, title, "one process, one BLAS thread", "", False)
    return figure


def histograms(
    title: str, samples: Mapping[str, np.ndarray], densities: Mapping[str, Callable[[np.ndarray], np.ndarray] | None]
) -> Figure:
    """A grid of weight histograms, one a scheme, with the density that each scheme promises drawn over it.

    Zeros are left out where a density is given, since they are a peak that no density has. Where a scheme takes only
    a few values (no density), there is a bar for each, with its share.
    """
    columns = 5
    rows = -(-len(samples) // columns)
    figure = Figure(figsize=(13, 1.9 * rows + 0.6), layout="constrained")
    grid = figure.subplots(rows, columns, squeeze=False)
    for axes in grid.flat[len(samples) :]:
        axes.set_axis_off()
    for axes, (label, W) in zip(grid.flat, samples.items(), strict=False):
        axes.set_title(label, fontsize=10)
        axes.set_yticks([])
        axes.spines[["top", "right", "left"]].set_visible(False)
        axes.tick_params(labelsize=8)
        axes.locator_params(axis="x", nbins=4)
        density = densities[label]
        if density is None:
            values, counts = np.unique(W, return_counts=True)
            width = 0.1 * max(float(np.ptp(values)), 0.1)
            bars = axes.bar(values, counts / W.size, width=width, color=COLORS[5])
            axes.bar_label(bars, [f"{100 * count / W.size:.4g} %" for count in counts], fontsize=8, padding=2)
            axes.set_ylim(0, 1.25)
            axes.set_xlim(values.min() - 4 * width, values.max() + 4 * width)
        else:
            weights = W[W != 0]
            axes.hist(weights, bins=60, density=True, color=COLORS[5])
            margin = 0.08 * float(np.ptp(weights))
            x = np.linspace(weights.min() - margin, weights.max() + margin, 600)
            axes.plot(x, density(x), color=COLORS[1], linewidth=1.6)
    _heading(figure, title, "blue: a sample; orange: the density that is promised", "", False)
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
    _heading(figure, "Sample images", "", dataset, stand_in)
    return figure


def histogram(title: str, values: np.ndarray, density: Callable[[np.ndarray], np.ndarray], *, note: str = "") -> Figure:
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
    _heading(figure, title, note, "", False)
    return figure


def _ignoring_nan(reduce: Callable[..., np.ndarray], values: np.ndarray) -> np.ndarray:
    """reduce(values, axis=0), NaN (and no warning) where a column holds nothing else."""
    result = np.full(values.shape[1], np.nan)
    some = ~np.isnan(values).all(axis=0)
    result[some] = reduce(values[:, some], axis=0)
    return result


def _bare(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def _heading(figure: Figure, title: str, note: str, dataset: str, stand_in: bool) -> None:
    figure.suptitle(title + (f"\n{note}" if note else ""), fontsize=12)
    if stand_in:
        figure.supxlabel(dataset, fontsize=11, color="#B00020", weight="bold")
    elif dataset:
        figure.supxlabel(dataset, fontsize=9, color="0.4", x=0.99, ha="right")


def _label_lines(figure: Figure, axes: Axes) -> None:
    """Write each line's label at its right end, in its colour, moved apart where they would overlap."""
    height = axes.get_window_extent().height
    lines = [line for line in axes.get_lines() if np.isfinite(line.get_ydata()).any()]
    ends = []
    for line in lines:
        y = np.asarray(line.get_ydata())
        last = y[np.isfinite(y)][-1]
        ends.append(axes.transAxes.inverted().transform(axes.transData.transform((1, last)))[1])
    gap = 1.35 * 10 * figure.dpi / 72 / height  # a line of 10-point type, as a share of the axes' height
    for i, y in zip(np.argsort(ends), _apart(np.sort(ends), gap), strict=True):
        label = str(lines[i].get_label())
        axes.text(1.015, y, label, transform=axes.transAxes, color=lines[i].get_color(), fontsize=10, va="center")


def _apart(positions: np.ndarray, gap: float) -> np.ndarray:
    """Sorted positions, moved as little as needed to be `gap` apart: clusters spread about their own middle."""
    clusters = [[p] for p in positions]
    centers = [float(p) for p in positions]
    i = 0
    while i < len(clusters) - 1:
        room = gap * (len(clusters[i]) + len(clusters[i + 1])) / 2
        if centers[i + 1] - centers[i] < room:
            clusters[i] += clusters.pop(i + 1)
            centers[i] = float(np.mean(clusters[i]))
            centers.pop(i + 1)
            i = max(i - 1, 0)
        else:
            i += 1
    spread = [c + gap * (np.arange(len(k)) - (len(k) - 1) / 2) for c, k in zip(centers, clusters, strict=True)]
    return np.concatenate(spread) if spread else np.array([])
