"""Pictures of why an initialization fails or works, from diagnoses. Titles are answers, taken from the numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchnet.lab.diagnostics import Diagnosis
from scratchnet.lab.outputs import FLAT
from scratchnet.lab.trajectory import Trajectory
from scratchnet.lab.verdicts import TOO_BIG, TOO_SMALL, size
from scratchnet.report.diagnoses import middle
from scratchnet.report.style import COLORS, DASHES, bare, folded, heading, log_ticks

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
WIDTH = 42  # characters of a panel's title

Arms = Mapping[str, Diagnosis]  # by label


def page(title: str, arms: Arms, *, dataset: str, stand_in: bool = False, note: str = "") -> Figure:
    """Six panels over the layers, a colour for each arm: points are measured, a pale line is what theory expects.

    Up to seven arms can be told apart. What is 0 or not finite has no place on a logarithmic scale; titles say so.
    """
    figure = Figure(figsize=(13, 7.8), layout="constrained")
    panels: list[tuple[Callable[[Axes, Arms], str], str]] = [
        (_signal, "E[y²], before the activation"),
        (_gradient, "Σ E[dy²] over the units, logits: 1"),
        (_alike, "c of two images"),
        (_flat, "Share of outputs"),
        (_rank, "Effective rank of the outputs"),
        (_step, "Update : weight"),
    ]
    for axes, (draw, ylabel) in zip(figure.subplots(2, 3).flat, panels, strict=True):
        axes.set_title(folded(draw(axes, arms), WIDTH), fontsize=10, loc="left")
        axes.set_ylabel(ylabel, fontsize=9)
        axes.set_xlabel("Layer", fontsize=9)
        axes.locator_params(axis="x", integer=True, nbins=8)
        bare(axes, "y")
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    seeds = max(np.size(d.measured["loss"]) for d in arms.values())
    key = (
        f"{title}; points: median of {seeds} seed{'s' * (seeds > 1)}; pale lines: what theory expects of these weights"
    )
    heading(figure, answer(arms), key, note, dataset=dataset, stand_in=stand_in)
    return figure


def answer(arms: Arms) -> str:
    """What the verdicts say, in a line: All ones: symmetric, explodes. General rule, normal: fine."""
    by_words: dict[str, list[str]] = {}
    for label, diagnosis in arms.items():
        by_words.setdefault(", ".join(diagnosis.words), []).append(label)
    return ". ".join(f"{'; '.join(labels)}: {words}" for words, labels in by_words.items())


def _lines(axes: Axes, arms: Arms, values: Callable[[Diagnosis], Any], theory: Callable[[Diagnosis], Any]) -> None:
    for i, (label, diagnosis) in enumerate(arms.items()):
        x, y = (np.asarray(part, np.float64) for part in values(diagnosis))
        color = COLORS[i % len(COLORS)]
        u, expected = (np.asarray(part, np.float64) for part in theory(diagnosis))
        axes.plot(u, _drawable(axes, expected), color=color, alpha=0.3, linewidth=5, solid_capstyle="round")
        style: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "markersize": 5 if len(x) <= 30 else 2.5}
        axes.plot(x, _drawable(axes, y), color=color, linestyle=DASHES[i % len(DASHES)], label=label, **style)


def _drawable(axes: Axes, y: np.ndarray) -> np.ndarray:
    fits = np.isfinite(y) & ((y > 0) if axes.get_yscale() == "log" else True)
    return np.where(fits, y, np.nan)


def _column(name: str, scale: bool = False) -> tuple[Callable[[Diagnosis], Any], Callable[[Diagnosis], Any]]:
    """(layers, numbers) of one quantity, measured and expected; with `scale` times the number of units."""

    def times(row: Any) -> int:
        return row.shape[1] if scale else 1

    def measured(diagnosis: Diagnosis) -> Any:
        rows = [(i, row) for i, row in enumerate(diagnosis.rows, 1) if row.measured[name] is not None]
        return [i for i, _ in rows], [times(row) * middle(row.measured[name]) for _, row in rows]

    def expected(diagnosis: Diagnosis) -> Any:
        rows = [(i, row) for i, row in enumerate(diagnosis.rows, 1) if name in row.expected]
        return [i for i, _ in rows], [times(row) * row.expected[name] for _, row in rows]

    return measured, expected


def _logarithmic(axes: Axes) -> None:
    """Ticks that can be read, also where everything is nearly the same."""
    drawn = np.concatenate([np.asarray(line.get_ydata(), np.float64) for line in axes.get_lines()] or [np.ones(1)])
    drawn = drawn[np.isfinite(drawn)]
    if drawn.size:
        low, high = math.log10(drawn.min()), math.log10(drawn.max())
        margin = max(0.06 * (high - low), (1.0 - (high - low)) / 2)
        axes.set_ylim(10 ** (low - margin), 10 ** (high + margin))
        log_ticks(axes.yaxis)
    else:
        axes.set_yticks([])


def _signal(axes: Axes, arms: Arms) -> str:
    axes.set_yscale("log")
    measured, expected = _column("q")
    _lines(axes, arms, measured, expected)
    _logarithmic(axes)
    return _change("signal", {label: measured(d)[1] for label, d in arms.items()}, "from the first layer to the last")


def _gradient(axes: Axes, arms: Arms) -> str:
    axes.set_yscale("log")
    measured, expected = _column("gradient", scale=True)

    def per_logits(side: Callable[[Diagnosis], Any]) -> Callable[[Diagnosis], Any]:
        def divided(diagnosis: Diagnosis) -> Any:
            layers, values = side(diagnosis)
            return layers, [value / diagnosis.rows[-1].shape[1] for value in values]

        return divided

    _lines(axes, arms, per_logits(measured), per_logits(expected))
    _logarithmic(axes)
    backward = {label: per_logits(measured)(d)[1][::-1] for label, d in arms.items()}
    return _change("gradient", backward, "on its way back")


def _change(what: str, walks: Mapping[str, list[float]], where: str) -> str:
    """A sentence on what is lost, what overflows, and the arm in which the rest changes most."""
    parts, change = [], {}
    for label, walk in walks.items():
        if not np.isfinite(walk).all():
            parts.append(f"{label}: the {what} overflows")
        elif 0 in walk:
            parts.append(f"{label}: the {what} is 0")
        elif len(walk) > 1:
            change[label] = walk[-1] / walk[0]
    if change:
        most = max(change, key=lambda label: abs(math.log(change[label])))
        times = max(change[most], 1 / change[most])
        way = "grows" if change[most] > 1 else "falls"
        other = f"{most}: the {what} {way} {size(times)}-fold {where}"
        parts.append(other if times > 3 else f"the {what} keeps its size within a factor of {times:.1f}")
    text = ". ".join(parts)
    return text[:1].upper() + text[1:] if text.startswith("the ") else text


def _alike(axes: Axes, arms: Arms) -> str:
    measured, expected = _column("correlation")
    _lines(axes, arms, measured, expected)
    axes.set_ylim(-0.05, 1.05)
    last = {label: measured(d)[1][-2:] for label, d in arms.items()}
    ends = {label: values[0] for label, values in last.items() if values and math.isfinite(values[0])}
    if not ends:
        return "There are no signals to compare"
    most = max(ends, key=lambda label: ends[label])
    if ends[most] > 0.99:
        alike = [label for label in ends if ends[label] > 0.99]
        return f"{' and '.join(alike)}: all images look alike in the last hidden layer"
    return f"Images stay apart: c ≤ {ends[most]:.2f} in the last hidden layer"


def _flat(axes: Axes, arms: Arms) -> str:
    measured, expected = _column("saturation")
    _lines(axes, arms, measured, expected)
    axes.set_ylim(-0.05, 1.05)
    worst = {label: max(measured(d)[1], default=math.nan) for label, d in arms.items()}
    known = {label: share for label, share in worst.items() if math.isfinite(share)}
    if not known:
        axes.text(0.5, 0.5, "n/a: no elementwise activation", transform=axes.transAxes, ha="center", fontsize=9)
        return "Saturation has no meaning here"
    most = max(known, key=lambda label: known[label])
    where = f"where φ' is below {100 * FLAT:.0f} % of its maximum"
    loud = [label for label in known if {"saturated", "dead"} & set(arms[label].words)]
    if loud:
        return f"{' and '.join(loud)}: up to {100 * known[most]:.0f} % of the outputs are {where}"
    return f"No arm is saturated: at most {100 * known[most]:.0f} % are {where}"


def _rank(axes: Axes, arms: Arms) -> str:
    axes.set_yscale("log")
    measured, expected = _column("rank")
    units = [row.shape[1] for row in next(iter(arms.values())).rows]
    axes.plot(range(1, len(units) + 1), units, color="0.8", linewidth=6, solid_capstyle="round")
    axes.annotate("units", (1, units[0]), (0, 5), textcoords="offset points", fontsize=8.5, color="0.35")
    _lines(axes, arms, measured, expected)
    _logarithmic(axes)
    low = {label: min(measured(d)[1][:-1] or [math.nan]) for label, d in arms.items()}
    known = {label: rank for label, rank in low.items() if math.isfinite(rank)}
    if not known:
        return "There are no hidden units"
    least = min(known, key=lambda label: known[label])
    if known[least] == 0:
        return f"{least}: the outputs are all 0"
    layer = int(np.argmin(measured(arms[least])[1][:-1]))
    return f"{least}: {units[layer]} units are worth {known[least]:.2g}"


def _step(axes: Axes, arms: Arms) -> str:
    axes.set_yscale("log")
    _lines(axes, arms, *_column("update"))
    _logarithmic(axes)
    low, high = axes.get_ylim()
    for bound in (TOO_SMALL, TOO_BIG):
        if low < bound < high:
            axes.axhline(bound, color="0.35", linewidth=0.9, linestyle=(0, (2, 2)))
    steps = {label: [x for x in _column("update")[0](d)[1] if math.isfinite(x)] for label, d in arms.items()}
    known = {label: max(values) for label, values in steps.items() if values}
    if not known or max(known.values()) == 0:
        return "The first step changes no weight, or starts from 0"
    most = max(known, key=lambda label: known[label])
    return f"The first step changes weights by up to {size(100 * known[most])} % ({most})"


# --- over steps -------------------------------------------------------------------------------------------------------


def units_over_steps(
    columns: Mapping[str, Mapping[str, Trajectory]],
    *,
    dataset: str,
    stand_in: bool = False,
    title: str,
    answer: str,
    note: str = "",
) -> Figure:
    """Distinct units, effective rank and accuracy over the first steps: a column for each setting, a line for each arm.

    `columns` maps a setting, such as "dropout 0.2", to the trajectories of its arms. Units are those of the first
    hidden layer. A line is the median of the seeds, a band goes from the least to the most.
    """
    figure = Figure(figsize=(2.2 + 4.6 * len(columns), 8.6), layout="constrained")
    grid = figure.subplots(3, len(columns), sharex=True, sharey="row", squeeze=False)
    for k, (setting, arms) in enumerate(columns.items()):
        for i, (label, path) in enumerate(arms.items()):
            share = 100 * path.accuracy
            for axes, values in zip(grid[:, k], (path.distinct[:, 0], path.rank[:, 0], share), strict=True):
                color = COLORS[i % len(COLORS)]
                x = np.array(path.steps)
                values = np.where(np.isfinite(values), values, np.nan)
                axes.fill_between(x, values.min(axis=1), values.max(axis=1), color=color, alpha=0.2, linewidth=0)
                style: dict[str, Any] = {"marker": MARKERS[i % len(MARKERS)], "linestyle": DASHES[i % len(DASHES)]}
                axes.plot(x, np.median(values, axis=1), color=color, label=label, markersize=5, **style)
        grid[0, k].set_title(setting, fontsize=10.5, loc="left")
        grid[2, k].set_xlabel("Step")
        for axes in grid[:, k]:
            axes.set_xscale("symlog", linthresh=1)
            axes.set_xlim(-0.15, 1.15 * max(path.steps[-1] for path in arms.values()))
            axes.set_xticks([0, 1, 10, 100][: 2 + sum(path.steps[-1] >= 10 for path in arms.values())])
            axes.xaxis.set_major_formatter("{x:.0f}")
            axes.xaxis.minorticks_off()
            bare(axes, "y")
    for axes, ylabel in zip(grid[:, 0], ("Distinct units", "Effective rank", "Validation accuracy, %"), strict=True):
        axes.set_ylabel(ylabel)
    units = max(path.units[0] for arms in columns.values() for path in arms.values())
    for axes in grid[:2].flat:
        axes.set_yscale("symlog", linthresh=1)
        axes.set_ylim(-0.08, 1.6 * units)
        ticks = [t for t in (0, 1, 10, 100, 1000) if t < units / 2]
        axes.set_yticks([*ticks, units], [f"{t:,}" for t in (*ticks, units)])
        axes.yaxis.minorticks_off()
    grid[2, 0].set_ylim(0, 100)
    handles, labels = grid[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9)
    seeds = next(iter(next(iter(columns.values())).values())).accuracy.shape[1]
    key = f"units of the first hidden layer; lines: median of {seeds} seed{'s' * (seeds > 1)}, bands: least to most"
    key += "; a few units may be distinct by rounding alone"
    heading(figure, title, key, note, answer=answer, dataset=dataset, stand_in=stand_in)
    return figure
