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
        ends.append(axes.transAxes.inverted().transform(axes.transData.transform((0, last)))[1])
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
