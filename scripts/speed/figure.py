"""The figure of benchmark.py: a bar for the time of each contestant, as a multiple of the floor's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from scratchnet.report import plots


def draw(result: dict[str, Any], path: Path) -> None:
    shown, given, env = result["contestants"], result["settings"], result["environment"]
    figure = Figure(figsize=(10, 1.4 + 0.42 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for i, one in enumerate(shown):
        bar(axes, i, one, color(one["key"], result["pytorch_best"]))
    best = [" (its best)" if one["key"] == result["pytorch_best"] else "" for one in shown]
    axes.set_yticks(range(len(shown)), [one["label"] + more for one, more in zip(shown, best, strict=True)])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.45 * max(one["over_floor"]["highest"] for one in shown))
    axes.axvline(1, color="0.3", linewidth=0.8, linestyle="--")
    axes.set_xlabel("Time as a multiple of the floor's")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    note = f"In brackets: seconds an epoch of one network. Lines: lowest to highest of {given['repeats']} rounds."
    figure.supxlabel(note, fontsize=9, color="0.4", x=0.99, ha="right")
    look = ", a quick look" if given["quick"] else ""
    figure.suptitle(
        f"Training {given['networks']} networks on {result['dataset']['title']}{look}\n"
        f"{env['processor']}, {env['cores']} cores, {given['device']}",
        fontsize=12,
    )
    plots.save(figure, path)


def bar(axes: Axes, i: int, one: dict[str, Any], color: str) -> None:
    """The median, a line from the lowest to the highest, and both times in words."""
    over, each = one["over_floor"], one["seconds_per_network_epoch"]["median"]
    axes.barh(i, over["median"], color=color, height=0.7)
    axes.plot([over["lowest"], over["highest"]], [i, i], color="black", linewidth=1.2)
    label = f"{over['median']:.2f} ×   ({each:.3f} s)"
    axes.annotate(label, (over["highest"], i), (6, 0), textcoords="offset points", va="center", fontsize=10)


def color(key: str, best: str) -> str:
    if key == "floor":
        return "0.6"
    return plots.COLORS[0] if key == "scratchnet" else plots.COLORS[1] if key == best else plots.COLORS[4]
