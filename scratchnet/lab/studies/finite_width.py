"""Hanin & Rolnick 2018: in a narrow, deep network the length of a signal is a matter of luck."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab.executors import Tick
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, plus_minus, train
from scratchnet.optim import SGD

AT_A_TIME = 50  # networks side by side
ARM = Arm("he", "He", init.he_normal)
MIXED = (16, 64)  # widths that alternate in a network of their own kind
NEAR = 0.02  # how far the mean factor may be from 1
SPREAD = 0.25  # how far the variance of log lengths may be from the theory's, as a share of that
TOGETHER = 10  # batches whose losses are averaged
STARTED = 2.0  # of the loss; blind guessing has ln 10 = 2.3


def lengths(
    spec: tuple[tuple[int, ...], int, int, int], images: np.ndarray, labels: np.ndarray, tick: Tick
) -> np.ndarray:
    """`(networks, 1 + depth)`: M_l = ‖x_l‖²/n_l, the mean square of an image and of each hidden layer's outputs.

    A unit's y is a sum over weights, N(0, 2M_l) for N(0, 2/n_in), whatever x_l is. So with z ~ N(0, 1)

        M_{l+1} = M_l · mean over n_{l+1} units of 2·max(z, 0)²

    whose factor has the mean 1 and the variance (6 − 1)/n_{l+1}. Any other variance s/n_in multiplies each factor by
    s/2, and so the mean length by (s/2)^l.
    """
    widths, depth, networks, seed = spec
    rng = np.random.default_rng([seed, *widths])
    parts = []
    for _ in range(networks // AT_A_TIME):
        X = images[rng.integers(len(images), size=AT_A_TIME)][:, None, :]  # an image for each network
        found = [np.square(X).mean(axis=(-2, -1))]
        for layer in range(depth):
            shape = (AT_A_TIME, X.shape[-1], widths[layer % len(widths)])
            W = np.sqrt(2 / shape[-2], dtype=np.float32) * rng.standard_normal(shape, dtype=np.float32)
            X = np.maximum(X @ W, 0)
            found.append(np.square(X).mean(axis=(-2, -1)))
        parts.append(np.stack(found, axis=-1))
        tick(AT_A_TIME)
    return np.concatenate(parts)


def measure(
    laboratory: Laboratory,
    *,
    widths: tuple[int, ...] = (16, 32, 64, 128),
    depth: int = 50,
    networks: int = 500,
    trained: tuple[int, ...] = (5, 20, 40),
    seeds: int = 10,
    images: int = 60_000,
) -> dict[str, Any]:
    """Lengths, `(widths and MIXED, networks, 1 + depth)`, and losses while training, `(widths, trained, seeds, looks)`.

    The networks that are trained have `trained` hidden layers, all of one width.
    """
    kinds = [*((width,) for width in widths), MIXED]
    parts = 2
    found = laboratory.each(
        lengths, [(kind, depth, networks // parts, part) for kind in kinds for part in range(parts)]
    )
    specs = []
    at_once = max(1, seeds // 2)
    for width, layers, first in product(widths, trained, range(0, seeds, at_once)):
        sizes = (784, *[width] * layers, 10)
        settings = Settings(sizes=sizes, dropout=0.0, optimizer=SGD, learning_rate=0.01, epochs=1)
        specs.append(Training([ARM], range(first, min(first + at_once, seeds)), settings, images))
    losses = np.array([run.training_loss for runs in laboratory.each(train, specs) for run in runs])
    looks = losses.shape[-1] // TOGETHER
    losses = losses[:, : looks * TOGETHER].reshape(len(widths), len(trained), seeds, looks, TOGETHER)
    return {
        "widths": widths,
        "trained": trained,
        "networks": networks,
        "images": images,
        "lengths": np.array(found).reshape(len(kinds), networks, 1 + depth),
        "loss": losses.mean(axis=-1),
    }


def start(loss: np.ndarray) -> np.ndarray:
    """The step at which the loss `(…, looks)` falls below STARTED; the last one where it never does."""
    below = loss < STARTED
    return TOGETHER * np.where(below.any(axis=-1), below.argmax(axis=-1) + 1, loss.shape[-1])


def reciprocals(kind: tuple[int, ...], depth: int) -> np.ndarray:
    """`(depth,)`: Σ 1/width over the hidden layers up to each one."""
    return np.cumsum([1 / kind[layer % len(kind)] for layer in range(depth)])


def judge(numbers: Mapping[str, Any]) -> Finding:
    widths, trained = list(numbers["widths"]), list(numbers["trained"])
    M, loss = np.asarray(numbers["lengths"], np.float64), np.asarray(numbers["loss"])
    depth = M.shape[-1] - 1
    kinds = {f"width {width}": (width,) for width in widths} | {f"widths {MIXED[0]}, {MIXED[1]}": MIXED}
    sums = np.array([reciprocals(kind, depth) for kind in kinds.values()])
    M = np.where(M[..., -1:] > 0, M, np.nan)  # leaves out the networks whose units have all died in some layer
    factor = np.nanmean(M[..., 1:] / M[..., :-1], axis=(1, 2))
    variance = np.nanvar(np.log(M[..., 1:] / M[..., :1]), axis=1, ddof=1)  # (kinds, depth)
    slope = (variance * sums).sum(axis=1) / (sums * sums).sum(axis=1)  # of the line through 0
    as_said = bool((abs(factor - 1) < NEAR).all() and (abs(slope / 5 - 1) < SPREAD).all())
    steps = start(loss)  # (widths, trained, seeds)
    late = verdicts({layers: steps[0, d] - steps[-1, d] for d, layers in enumerate(trained)})[trained[-1]]
    if not as_said or (late.established and late.difference.mean < 0):
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.HELD if late.established else Outcome.UNDECIDED
    answer = (
        f"The log of a signal's length has a variance of {slope.min():.1f} to {slope.max():.1f} times Σ 1/width; "
        f"{trained[-1]} layers of width {widths[0]} start to learn after {steps[0, -1].mean():.0f} steps, of width "
        f"{widths[-1]} after {steps[-1, -1].mean():.0f}."
    )
    every = np.unique(np.geomspace(1, depth, 12).astype(int)) - 1
    panels = [
        Lines(
            f"Signals in {numbers['networks']} networks of each kind",
            "Σ 1/width over the hidden layers",
            "Variance of the log of the length",
            {name: (sums[i, every], variance[i, every]) for i, name in enumerate(kinds)}
            | {"5 Σ 1/width": (sums[0, every], 5 * sums[0, every])},
            log_x=True,
            log_y=True,
        ),
        Lines(
            f"The step at which the loss is below {STARTED:g}",
            "Σ 1/width over the hidden layers",
            "Step",
            {
                f"{layers} layers": ([layers / width for width in widths], steps[:, d].T)
                for d, layers in enumerate(trained)
            },
            log_x=True,
            levels={"end of training": float(TOGETHER * loss.shape[-1])},
        ),
        Lines(
            f"Training with {trained[-1]} layers",
            "Step",
            f"Loss, the mean of {TOGETHER} batches",
            {
                f"width {width}": (TOGETHER * (np.arange(loss.shape[-1]) + 1), loss[i, -1])
                for i, width in enumerate(widths)
            },
            levels={"blind guess": float(np.log(10))},
        ),
    ]
    rows = [["widths", "factor", "Σ 1/width", "variance/Σ", *(f"start, {d}" for d in trained)]]
    for i, name in enumerate(kinds):
        row = [name, f"{factor[i]:.3f}", f"{sums[i, -1]:.2f}", f"{slope[i]:.2f}"]
        rows.append(row + [plus_minus(steps[i, d], "{:.0f}") if i < len(widths) else "" for d in range(len(trained))])
    return Finding(outcome, answer, panels, rows)


STUDY = Study(
    name="finite_width",
    title="How much luck is in the start of a narrow, deep network?",
    source="Hanin & Rolnick 2018, NeurIPS, arXiv 1803.01719; details from memory",
    claim="""He's rule keeps the length of a signal in a ReLU network on average, and no other variance does. A single
    network is another matter: how far its lengths wander is given by the sum of 1/width over its hidden layers. So
    networks that are deep and narrow start to train late.""",
    experiment="""He's weights. The mean squares of an image and of 50 layers' outputs, in 500 networks for each of the
    widths 16, 32, 64 and 128 and for 16 and 64 in turn; a network whose units all die in some layer is left out. Then
    networks of 5, 20 and 40 layers of each width are trained by plain SGD at 0.01, for one epoch.""",
    rule=f"""It holds if a layer multiplies the mean square by 1 on average, within {100 * NEAR:g} %, at every width; if
    the variance of its logarithm over the networks is 5·Σ 1/width, within {100 * SPREAD:g} % (the slope of a line
    through 0); and if with 40 layers the narrowest networks need more steps than the widest until the loss, the mean of
    {TOGETHER} batches, is below {STARTED:g}, established over the seeds (paired Student's tests with Holm's
    correction). If it is only this difference that is not established, it cannot be told.""",
    measure=measure,
    judge=judge,
    quick={"widths": (16, 64), "depth": 20, "networks": 200, "trained": (5, 20), "seeds": 4, "images": 10_000},
    remarks="""What failed is a constant of our rule, and not the sum: the variance of a factor is 5/width exactly
    (measured, times the width: 4.97, 5.00, 4.95 and 4.96), but that of its logarithm is so only for wide layers. Drawn
    by themselves, 400,000 factors of width 16 have a variance of the logarithm of 6.74/16, and at the widths 32, 64 and
    128 it is 5.70, 5.32 and 5.14 over the width. Against these the networks agree within 8 %, the sampling error of a
    variance of 500 numbers, and two widths in turn lie on the same line as one width with the same sum. Training obeys
    the sum too: with Σ 1/width = 0.31, networks of 5, 20 and 40 layers start after 103, 66 and 79 steps; with 1.25,
    those of 20 and 40 layers start after 239 and 157. The narrowest start later at each depth, established over ten
    seeds, and three of ten with 40 layers do not start at all.""",
)
