"""The figures of the course's chapters: activations, softmax and cross-entropy, Adam, gradient checking.

python scripts/course_figures.py                      a second: course-*.png in results/
python scripts/course_figures.py --out docs/images    where the chapters show them
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from matplotlib.figure import Figure

from scratchnet.layers import ELU, GELU, SELU, ReLU, Sigmoid, Tanh
from scratchnet.loss import softmax
from scratchnet.optim import SGD, Adam
from scratchnet.report.plots import COLORS, DASHES, save

GREY = "#767676"


def grid(rows: int, columns: int, size: tuple[float, float], **shared: Any) -> tuple[Figure, np.ndarray]:
    figure = Figure(figsize=size, layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False, **shared)
    for ax in axes.flat:
        ax.spines[["top", "right"]].set_visible(False)
        ax.grid(color="#e5e5e5", linewidth=0.8)
        ax.set_axisbelow(True)
    return figure, axes


def activations() -> Figure:
    """φ above and φ' below, on the same scale for all."""
    kinds: tuple[Callable[[], Any], ...] = ReLU, Tanh, Sigmoid, ELU, SELU, GELU
    figure, axes = grid(2, len(kinds), (9.6, 4.2), sharex=True, sharey="row")
    x = np.linspace(-4, 4, 8002)[None, :]  # without 0, where some have a kink
    for kind, (above, below) in zip(kinds, axes.T, strict=True):
        layer = kind()
        above.plot(x[0], layer.forward(x)[0], color=COLORS[0], linewidth=2)
        slope = layer.backward(np.ones_like(x))[0]
        below.plot(x[0], slope, color=COLORS[1], linewidth=2)
        above.set_title(type(layer).__name__, fontsize=11)
        below.set_xlabel("x")
        below.text(3.9, 1.9, f"at most {slope.max():.2f}", ha="right", va="top", fontsize=9, color="#333333")
    axes[0, 0].set_ylabel("φ(x)")
    axes[1, 0].set_ylabel("slope φ'(x)")
    axes[0, 0].set(ylim=(-2.2, 4.2), xticks=(-4, 0, 4), yticks=(-2, 0, 2, 4))
    axes[1, 0].set(ylim=(-0.25, 2), yticks=(0, 1, 2))
    return figure


def gradient_of_the_loss() -> Figure:
    """P, T and P − T of one example with ten classes."""
    figure, [axes] = grid(1, 3, (9.6, 2.8), sharey=True)
    Z = np.random.default_rng(0).normal(size=(1, 10)) * 1.5
    label = 5
    P, T = softmax(Z)[0], np.arange(10) == label
    for ax, heights, title in zip(axes, (P, T, P - T), ("probabilities P", "targets T", "gradient P − T"), strict=True):
        ax.bar(range(10), heights, color=[COLORS[1] if k == label else COLORS[0] for k in range(10)])
        ax.axhline(0, color=GREY, linewidth=0.8)
        ax.set_title(title, fontsize=11)
        ax.set(xticks=range(10), xlabel="class")
        ax.grid(axis="x", visible=False)
    axes[1].text(label - 0.6, 0.9, "the label", ha="right", va="center", color=COLORS[1])
    return figure


def path(make: Callable[..., Any], steepness: np.ndarray, steps: int = 100, **settings: float) -> np.ndarray:
    """θ before each step down the valley L = ½ Σ steepness·θ²."""
    theta, grad = np.ones(2), np.zeros(2)
    optimizer, seen = make(theta, grad, **settings), [theta.copy()]
    for _ in range(steps):
        grad[...] = steepness * theta
        optimizer.step()
        seen.append(theta.copy())
    return np.array(seen)


def descents() -> Figure:
    """Both coordinates over the steps, by SGD at nearly its largest rate and by Adam."""
    steepness = np.array([1000.0, 1.0])
    figure, [axes] = grid(1, 2, (9.6, 3.3), sharey=True)
    for ax, title, seen in (
        (axes[0], "SGD, α = 0.0019", path(SGD, steepness, learning_rate=0.0019)),
        (axes[1], "Adam, α = 0.05", path(Adam, steepness, learning_rate=0.05)),
    ):
        for j, label in ((1, "θ₂, the level direction"), (0, "θ₁, the steep direction")):
            ax.plot(np.abs(seen[:, j]), color=COLORS[j], linestyle=DASHES[1 - j], linewidth=2 + j, label=label)
        ax.set_title(title, fontsize=11)
        ax.set(xlabel="step", ylim=(0, 1.05), xlim=(0, 100))
    axes[0].set_ylabel("distance from the minimum, |θ|")
    axes[0].legend(frameon=False, loc="center right")
    axes[1].text(45, 0.42, "both are one line", color="#333333")
    return figure


def difference_errors() -> Figure:
    """The error of a finite difference of sin over its step: root mean square over a thousand points."""
    figure, [[ax]] = grid(1, 1, (6.4, 3.8))
    a, steps = np.random.default_rng(0).uniform(1, 2, size=1000), np.logspace(-12, 0, 73)
    curves = (
        ("central, float64", np.float64, 1),
        ("one-sided, float64", np.float64, 0),
        ("central, float32", np.float32, 1),
    )
    for (label, dtype, back), color, dash in zip(curves, COLORS, DASHES, strict=False):
        x, used = a.astype(dtype), steps[steps > (1e-6 if dtype is np.float32 else 0)].astype(dtype)
        slopes = [(np.sin(x + h) - np.sin(x - back * h)) / ((1 + back) * h) for h in used]
        errors = [np.sqrt(np.mean((slope - np.cos(a)) ** 2)) for slope in slopes]
        ax.loglog(used, errors, color=color, linestyle=dash, linewidth=2, label=label)
    ax.axvline(1e-5, color=GREY, linewidth=0.8)
    ax.text(1.3e-5, 3e-1, "h = 10⁻⁵", color="#333333", va="top")
    ax.set(xlabel="step h", ylabel="error of the derivative", ylim=(1e-13, 1), xlim=(1e-12, 1))
    ax.legend(frameon=False, loc="lower left")
    return figure


FIGURES: dict[str, Callable[[], Figure]] = {
    "activations": activations,
    "softmax": gradient_of_the_loss,
    "adam": descents,
    "gradcheck": difference_errors,
}


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    cli.add_out_option(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    args.out.mkdir(parents=True, exist_ok=True)
    for name, figure in FIGURES.items():
        save(figure(), args.out / f"course-{name}.png")
        cli.say(f"{args.out / f'course-{name}.png'}")
    return 0


if __name__ == "__main__":
    cli.run(main)
