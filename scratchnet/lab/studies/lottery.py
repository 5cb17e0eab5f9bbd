"""Frankle & Carbin 2019: a pruned network that trains well needs the very weights with which it started."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.data import split
from scratchnet.lab.executors import Tick
from scratchnet.lab.experiment import Settings, stream
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, plus_minus
from scratchnet.layers import Linear
from scratchnet.network import Network
from scratchnet.optim import Adam
from scratchnet.train import evaluate, fit

STARTS = ("own weights", "new weights", "new, as large")
PRUNED = 0.2  # of the weights that are left, in each round


def prune(network: Network, keep: np.ndarray) -> np.ndarray:
    """Of each layer's weights that are kept, all but the PRUNED smallest: a mask over theta. Biases are all kept.

    The last layer has few weights, and loses them half as fast, as in the paper.
    """
    kept, start = keep.copy(), 0
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    for layer in linears:
        place = slice(start, start + layer.W.size)
        size = np.abs(layer.W.reshape(-1))
        left = np.flatnonzero(keep[place])
        share = PRUNED / 2 if layer is linears[-1] else PRUNED
        gone = left[np.argsort(size[left], kind="stable")[: round(share * len(left))]]
        kept[start + gone] = False
        start += layer.W.size + layer.b.size
    return kept


def play(spec: tuple[int, int, int, int, float], images: np.ndarray, labels: np.ndarray, tick: Tick) -> dict[str, Any]:
    """One seed: train, prune, start again, round after round.

    In each round three copies of the pruned network train side by side: from its own initial weights, from new ones,
    and from the new ones scaled to the size that its own have in each layer. The next mask comes from the first.
    Returns the share of weights left, `(rounds,)`, and for the three the validation accuracy in percent, `(rounds, 3)`,
    and the mean training loss, `(rounds, 3)`.
    """
    seed, rounds, n, epochs, learning_rate = spec
    settings = replace(Settings(), sizes=(784, 300, 100, 10), dropout=0.0)
    images, labels = images[:n], labels[:n]
    training, validation = split(n, rng=stream(seed, "split"))
    own, other = (settings.network(stream(seed, "dropout")) for _ in range(2))
    own.apply(init.linear(init.glorot_normal, rng=stream(seed, "weights")))
    keep = np.ones(own.theta.size, dtype=bool)
    weights = sum(layer.W.size for layer in own.layers if isinstance(layer, Linear))
    found: dict[str, list[Any]] = {"left": [], "accuracy": [], "loss": []}
    for k in range(rounds):
        other.apply(init.linear(init.glorot_normal, rng=np.random.default_rng([seed, k])))
        stack = settings.network(stream(seed, "dropout")).replicate((3,))
        stack.theta[...] = np.stack([own.theta, other.theta, other.theta]) * keep
        for W in (layer.W for layer in stack.layers if isinstance(layer, Linear)):
            W[2] *= np.sqrt((W[0] ** 2).sum() / (W[2] ** 2).sum())
        losses = fit(
            stack,
            Adam(stack.theta, stack.grad, learning_rate=learning_rate),
            images,
            labels,
            epochs=epochs,
            batch_size=60,
            rng=np.random.default_rng([seed, k, 1]),
            indices=training,
            frozen=~keep,
            on_step=lambda: tick(1),
        )
        found["left"].append(100 * (keep.sum() - (own.theta.size - weights)) / weights)
        found["accuracy"].append(100 * evaluate(stack, images, labels, indices=validation).accuracy)
        found["loss"].append(losses.mean(axis=0))
        trained = settings.network(stream(seed, "dropout"))
        trained.theta[...] = stack.theta[0]
        keep = prune(trained, keep)
    return {name: np.array(values) for name, values in found.items()}


def measure(
    laboratory: Laboratory,
    *,
    rounds: int = 15,
    seeds: int = 6,
    images: int = 20_000,
    epochs: int = 2,
    learning_rate: float = 0.0012,
) -> dict[str, Any]:
    """Accuracy and mean training loss `(seeds, rounds, 3)` at each share of weights left `(rounds,)`, in percent."""
    parts = laboratory.each(play, [(seed, rounds, images, epochs, learning_rate) for seed in range(seeds)])
    numbers = {name: np.array([part[name] for part in parts]) for name in ("accuracy", "loss")}
    return numbers | {"left": parts[0]["left"], "images": images, "epochs": epochs}


def judge(numbers: Mapping[str, Any]) -> Finding:
    left, accuracy, loss = (np.asarray(numbers[name]) for name in ("left", "accuracy", "loss"))
    chosen = {round(share): k for k, share in enumerate(left) if share < 25}
    found = verdicts(
        {("accuracy", s): accuracy[:, k, 0] - accuracy[:, k, 1] for s, k in chosen.items()}
        | {("loss", s): loss[:, k, 1] - loss[:, k, 0] for s, k in chosen.items()}
    )
    better = {key: v.established and v.difference.mean > 0 for key, v in found.items()}
    worse = any(v.established and v.difference.mean < 0 for v in found.values())
    if better and all(better.values()):
        outcome = Outcome.HELD
    elif worse or not any(better.values()):
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.UNDECIDED
    last = len(left) - 1
    answer = (
        f"With {left[last]:.0f} % of its weights, a network reaches {accuracy[:, last, 0].mean():.1f} % from its own "
        f"initial weights and {accuracy[:, last, 1].mean():.1f} % from new ones."
    )
    panels = [
        Lines(
            title,
            "Weights left, %",
            label,
            {start: (left, values[:, :, i]) for i, start in enumerate(STARTS)},
            log_x=True,
        )
        for title, label, values in (
            ("Accuracy", "Validation accuracy, %", accuracy),
            ("Speed: mean loss of all steps", "Training loss", loss),
        )
    ]
    rows = [["left", *STARTS, *(f"loss, {start}" for start in STARTS[:2])]]
    for k in sorted({0, last // 2, last, *chosen.values()}):
        cells = [*(plus_minus(a) for a in accuracy[:, k].T), *(plus_minus(a, "{:.3f}") for a in loss[:, k, :2].T)]
        rows.append([f"{left[k]:.0f} %", *cells])
    return Finding(outcome, answer, panels, rows)


STUDY = Study(
    name="lottery",
    title="Does a pruned network need its own initial weights?",
    source="Frankle & Carbin 2019, ICLR, arXiv 1803.03635",
    claim="""A trained network contains a small one that learns as well by itself, if it starts from the weights
    that it had in the large one. Drawn anew, the same small network learns more slowly and ends lower.""",
    experiment=f"""784-300-100-10, ReLU, Adam at 0.0012 in batches of 60, Glorot's normal weights, as in the paper;
    two epochs on 20,000 images. Fifteen times, the {100 * PRUNED:.0f} % smallest weights of each layer that are
    left (half as many in the last) are removed, and the rest starts again: from its own weights, from new ones, and
    from new ones made as large as its own in each layer.""",
    rule="""It holds if, at every size below 25 % of the weights, the network with its own weights has the higher
    accuracy and the lower mean training loss (paired Student's tests over seeds with Holm's correction). It does
    not hold if one is the other way round, or none is established.""",
    measure=measure,
    judge=judge,
    remarks="""Size explains little of it: pruning keeps large weights, so new ones are smaller, but new weights
    that are made as large as the network's own in each layer gain half a point, and some 2.5 points are left. Down
    to 17 % of its weights the network becomes better by losing them.""",
    quick={"rounds": 9, "seeds": 3, "images": 4_000, "epochs": 1},
)
