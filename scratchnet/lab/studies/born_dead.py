"""Lu et al. 2020: deep, narrow ReLU networks are born dead, with a probability that a formula bounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab.executors import Tick
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study

AT_A_TIME = 500  # networks side by side


def dead_by_depth(
    spec: tuple[int, int, int, int, int], images: np.ndarray, labels: np.ndarray, tick: Tick
) -> np.ndarray:
    """`(depth,)`: how many of the networks have died by each hidden layer.

    A layer is dead if all its units are 0 for every one of the images. Nothing that follows depends on the input then,
    and no gradient passes. The scale of the weights plays no part, since the biases are 0.
    """
    width, depth, networks, examples, seed = spec
    rng = np.random.default_rng([seed, width])
    dead = np.zeros(depth, dtype=np.int64)
    for _ in range(networks // AT_A_TIME):
        X = images[:examples]
        for layer in range(depth):
            W = init.he_normal((AT_A_TIME, X.shape[-1], width), rng=rng)
            X = np.maximum(X @ W, 0)
            dead[layer] += np.count_nonzero(~X.any(axis=(-2, -1)))
            size = np.sqrt((X * X).mean(axis=(-2, -1), keepdims=True))
            X = X / np.where(size > 0, size, 1)  # as narrow a signal wanders: keep it within float32
            tick(AT_A_TIME)
    return dead


def measure(
    laboratory: Laboratory,
    *,
    widths: tuple[int, ...] = (2, 3, 4, 5, 6, 8),
    depth: int = 50,
    networks: int = 10_000,
    examples: int = 500,
) -> dict[str, Any]:
    """The share of dead networks, `(widths, depth)`, at each number of hidden layers from 1 on."""
    parts = 4
    specs = [(width, depth, networks // parts, examples, part) for width in widths for part in range(parts)]
    dead = np.array(laboratory.each(dead_by_depth, specs)).reshape(len(widths), parts, depth).sum(axis=1)
    return {"widths": widths, "networks": networks, "examples": examples, "dead": dead / networks}


def bound(width: int, depth: int) -> np.ndarray:
    """1 − Π_l (1 − 2^(−width)) for 1 … depth hidden layers: Lu et al. 2020, for layers of equal width.

    Take one example that has survived so far. Each unit of the next layer is positive for it with probability ½, and
    independently of the others, so all are silent with 2^(−width); and a layer is dead only if this example dies too.
    """
    return 1 - (1 - 2.0**-width) ** np.arange(1, depth + 1)


def judge(numbers: Mapping[str, Any]) -> Finding:
    widths, dead, networks = list(numbers["widths"]), np.asarray(numbers["dead"]), numbers["networks"]
    depth = dead.shape[1]
    depths = np.arange(1, depth + 1)
    error = np.sqrt(np.maximum(dead * (1 - dead), 1 / networks) / networks)
    bounds = np.array([bound(width, depth) for width in widths])
    below = bool((dead <= bounds + 4 * error).all())
    grows = bool((dead[:, -1] > dead[:, depth // 5]).all() and dead[0, -1] > 0.9)
    answer = (
        f"After {depth} layers, {100 * dead[0, -1]:.0f} % of the networks of width {widths[0]} are dead at birth, "
        f"and {100 * dead[-1, -1]:.1f} % of those of width {widths[-1]}."
    )
    panels = [
        Lines(
            f"Share of dead networks ({networks:,} each)",
            "Hidden layers",
            "Share",
            {f"width {width}": (depths, dead[i]) for i, width in enumerate(widths)},
        ),
        Lines(
            f"With {depth} hidden layers",
            "Width",
            "Share of dead networks",
            {"measured": (widths, dead[:, -1]), "bound": (widths, bounds[:, -1])},
        ),
    ]
    shown = [*(d for d in (5, 10, 20) if d < depth), depth]
    rows = [["width", *(f"{d} layers" for d in shown), f"bound, {depth}"]]
    for i, width in enumerate(widths):
        shares = [dead[i, d - 1] for d in shown]
        rows.append([str(width), *(f"{100 * share:.1f} %" for share in shares), f"{100 * bounds[i, -1]:.1f} %"])
    return Finding(Outcome.HELD if below and grows else Outcome.DID_NOT_HOLD, answer, panels, rows)


STUDY = Study(
    name="born_dead",
    title="Are deep, narrow ReLU networks born dead?",
    source="Lu, Shin, Su & Karniadakis 2020, Communications in Computational Physics, arXiv 1903.06733",
    claim="""With symmetric weights and biases of 0, the probability that a ReLU network is dead before training, so
    that its output is the same for every input, goes to 1 with depth. It is at most 1 − Π(1 − 2^(−N)) over its
    hidden layers, N their widths.""",
    experiment="""10,000 networks of each width from 2 to 8, up to 50 hidden layers deep, on 500 images of
    Fashion-MNIST. A network counts as dead if some layer is 0 for all of them.""",
    rule="""It holds if no share of dead networks, at any width and depth, is above the bound by more than four
    standard errors, all shares grow with depth, and 90 % of the narrowest are dead at full depth.""",
    measure=measure,
    judge=judge,
    quick={"widths": (2, 4, 8), "networks": 2_000, "examples": 100},
)
