"""Schoenholz et al. 2017: a network can be trained about as deep as the likeness of two inputs reaches."""

from __future__ import annotations

import functools
import math
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.init import Shape
from scratchnet.init.meanfield import correlation_depth_scale, edge_of_chaos
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import (
    Finding,
    Grid,
    Laboratory,
    Lines,
    Outcome,
    Study,
    Training,
    accuracies,
    plus_minus,
    train,
)
from scratchnet.layers import Tanh
from scratchnet.optim import SGD

SIGMA_B = math.sqrt(0.05)
REACH = 6  # depth scales
FACTOR = 2  # how far a measured depth may be from the theory's
P = 0.05  # of dropout
WIDTH, RATE, BATCH = 100, 0.003, 50


def biases(shape: Shape, *, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """b ~ N(0, σ_b²)."""
    return rng.normal(0, SIGMA_B, shape)


def arm(square: float) -> Arm:
    """W ~ N(0, σ_w²/n_in), with the biases above."""
    return Arm(f"{square:g}", f"{square:g}", partial(init.variance_scaling, scale=square), bias=biases)


@functools.cache
def reach(square: float) -> float:
    """6ξ_c: so many layers of tanh, and the correlation of two inputs is within e^(−6) of its fixed point."""
    return REACH * correlation_depth_scale(Tanh(), sigma_w=math.sqrt(square), sigma_b=SIGMA_B)


def measure(
    laboratory: Laboratory,
    *,
    squares: tuple[float, ...] = (1.0, 1.25, 1.5, 1.75, 2.25, 3.0, 4.0),
    some: tuple[float, ...] = (1.25, 1.75, 3.0),
    depths: tuple[int, ...] = (10, 15, 22, 33, 50, 75, 100),
    seeds: int = 5,
    images: int = 18_750,
) -> dict[str, Any]:
    """Validation accuracies in percent, `(squares, seeds, depths)`: without dropout for σ_w² in `squares`, with it for
    those in `some`.
    """
    numbers: dict[str, Any] = {"squares": squares, "some": some, "depths": depths, "images": images}
    conditions = {"without dropout": (0.0, squares), "with dropout": (P, some)}
    specs = []
    for (p, chosen), depth, seed in product(conditions.values(), depths, range(seeds)):
        settings = Settings(
            sizes=(784, *[WIDTH] * depth, 10),
            activation=Tanh,
            dropout=p,
            optimizer=SGD,
            learning_rate=RATE,
            batch_size=BATCH,
            epochs=1,
        )
        specs.append(Training([arm(square) for square in chosen], [seed], settings, images))
    runs = iter(laboratory.each(train, specs))
    for name, (_, chosen) in conditions.items():
        table = [[next(runs) for _ in range(seeds)] for _ in depths]
        numbers[name] = np.array(
            [
                [[accuracies(table[d][s], arm(square))[0] for d in range(len(depths))] for s in range(seeds)]
                for square in chosen
            ]
        )
    return numbers


def trainable(accuracy: np.ndarray, depths: Sequence[float] | np.ndarray) -> np.ndarray:
    """The depth at which an accuracy falls below half of what it is above chance at the least depth: `(…,)`.

    Between two depths of the experiment a straight line over the logarithm of depth says where. It is at least the
    least and at most the greatest depth.
    """
    half = (10 + accuracy[..., :1]) / 2
    found = np.full(accuracy.shape[:-1], float(depths[-1]))
    for d in range(len(depths) - 1, 0, -1):  # from deep to shallow: the last one written is the first crossing
        above, below = accuracy[..., d - 1] - half[..., 0], half[..., 0] - accuracy[..., d]
        share = np.clip(above / np.maximum(above + below, 1e-9), 0, 1)
        crossing = depths[d - 1] * (depths[d] / depths[d - 1]) ** share
        found = np.where((above >= 0) & (below > 0), crossing, found)
    return found


def judge(numbers: Mapping[str, Any]) -> Finding:
    squares, some, depths = (list(numbers[name]) for name in ("squares", "some", "depths"))
    plain, dropped = np.asarray(numbers["without dropout"]), np.asarray(numbers["with dropout"])
    measured, less = trainable(plain, depths), trainable(dropped, depths)  # (squares, seeds)
    expected = np.array([reach(square) for square in squares])
    inside = expected <= depths[-1]
    ratio = measured.mean(axis=-1) / expected
    follows = bool(((ratio > 1 / FACTOR) & (ratio < FACTOR))[inside].all())
    edge = int(np.argmax(expected))
    found = verdicts(
        {
            "ordered": measured[edge] - measured[0],
            "chaotic": measured[edge] - measured[-1],
            "dropout": measured[edge] - less[some.index(squares[edge])],
        }
    )
    if any(verdict.established and verdict.difference.mean < 0 for verdict in found.values()) or not follows:
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.HELD if all(v.established for v in found.values()) else Outcome.UNDECIDED
    with_it, without = (float(depth[i].mean()) for depth, i in ((less, some.index(squares[edge])), (measured, edge)))
    answer = (
        f"Networks train to depths of {ratio[inside].min():.1f} to {ratio[inside].max():.1f} times 6ξ_c; at the edge "
        f"of chaos, to {without:.0f} layers{' or more' if without >= depths[-1] else ''}, and with {100 * P:g} % of "
        f"dropout to {with_it:.0f}."
    )
    beside = np.array([*np.linspace(1, 1.5, 6), 1.76, *np.linspace(2.25, 4, 8)])  # between them it leaves the figure
    curve = np.array([np.nan if square == 1.76 else reach(float(square)) for square in beside])
    grid = Grid(
        "Accuracy without dropout, %",
        "σ_w²",
        "Hidden layers",
        "Validation accuracy, %",
        squares,
        depths,
        plain.mean(axis=1).T,
        {"6ξ_c": (beside, curve)},
        log_y=True,
    )
    frontier = Lines(
        "The depth at which half of the accuracy is lost",
        "σ_w²",
        "Hidden layers",
        {
            "without dropout": (squares, measured.T),
            f"with dropout {P:g}": (some, less.T),
            "6ξ_c, up to the deepest": (squares, np.where(inside, expected, np.nan)),
        },
        log_y=True,
        levels={"deepest network": float(depths[-1])},
    )
    at_edge = Lines(
        f"At the edge of chaos, σ_w² = {squares[edge]:g}",
        "Hidden layers",
        "Validation accuracy, % (chance: 10)",
        {"without dropout": (depths, plain[edge]), f"with dropout {P:g}": (depths, dropped[some.index(squares[edge])])},
        log_x=True,
    )
    rows = [["σ_w²", "6ξ_c", "measured", "with dropout", *(f"% at {d}" for d in depths[::2])]]
    for i, square in enumerate(squares):
        row = [f"{square:g}", f"{expected[i]:.0f}", plus_minus(measured[i], "{:.0f}")]
        row.append(plus_minus(less[some.index(square)], "{:.0f}") if square in some else "")
        rows.append(row + [f"{accuracy:.0f}" for accuracy in plain[i].mean(axis=0)[::2]])
    return Finding(outcome, answer, [grid, frontier, at_edge], rows)


STUDY = Study(
    name="trainable_depth",
    title="Can a network be trained as deep as signals can tell inputs apart?",
    source="Schoenholz, Gilmer, Ganguli & Sohl-Dickstein 2017, ICLR, arXiv 1611.01232; the size of theirs from memory",
    claim="""The correlation of two inputs' signals goes to a fixed point, by a factor of e in ξ_c layers. Networks can
    be trained if they are not much deeper than 6ξ_c, so on the edge of chaos, where ξ_c is infinite, to any depth. With
    dropout there is no such edge, and the depth is bounded.""",
    experiment=f"""Tanh networks of {WIDTH} units in each of 10 to 100 layers, biases from N(0, 0.05), weights from
    N(0, σ_w²/n_in). 300 steps of plain SGD at {RATE:g} on batches of {BATCH} images of Fashion-MNIST, and again with
    dropout of {P:g}. The edge of chaos is at σ_w² = {edge_of_chaos(Tanh(), sigma_b=SIGMA_B)[0] ** 2:.2f}. The measured
    depth is the one at which accuracy has lost half of what it is above chance with 10 layers.""",
    rule=f"""It holds if the measured depth, on average over seeds, is within a factor of {FACTOR} of 6ξ_c for every
    σ_w² whose 6ξ_c is at most 100, and if it is greater at the edge of chaos than at the least and at the greatest
    σ_w², and greater without dropout than with it; these three established over the seeds (paired Student's tests with
    Holm's correction). It cannot be told if some difference is not established.""",
    measure=measure,
    judge=judge,
    quick={
        "squares": (1.0, 1.75, 4.0),
        "some": (1.75,),
        "depths": (10, 22, 50),
        "seeds": 3,
        "images": 5_000,
    },
    remarks="""Of 6ξ_c, the networks can use 70 to 100 %. With dropout the same theory, with 1/(1 − p) on the second
    moment of one input and not on the product of two, has a fixed point below 1 for every σ_w²: 6ξ_c is 29, 41 and 34
    for σ_w² = 1.25, 1.75 and 3, and the measured depths are 20, 27 and 22, about two thirds of it. "To any depth" on
    the edge of chaos is more than was seen: from 50 to 100 layers the accuracy falls from 70 to 39 %. There the rate
    decides as well: at 0.01 and 0.03 instead of 0.003, in one seed and a slightly shorter training, 100 layers on the
    edge learned nothing, while 40 layers reached 71 and 69 %.""",
)
