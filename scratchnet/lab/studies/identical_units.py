"""Blumenfeld et al. 2020: a network whose units start equal can be trained, once noise tells them apart."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, accuracies, plus_minus, train
from scratchnet.layers import Linear
from scratchnet.network import Network

FAR = 5.0  # points of accuracy
CHANCE = 15.0  # %: a network below this has learned no more than a class or two


def groups(
    network: Network, X: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator, distinct: int, noise: float = 0.0
) -> None:
    """He's weights, drawn for `distinct` units in each hidden layer, which then stand there again and again.

    Copies of a unit have equal weights to every unit before and after them, so without noise they have equal gradients.
    A sum over n_in/distinct equal inputs is that many times larger, so the weights are that many times smaller.
    `noise` adds a normal number to each weight, whose standard deviation is this share of He's. With few distinct units
    a network is often born dead, which is another study's subject: such weights are drawn again.
    """
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    alive = False
    while not alive:
        for layer in linears:
            n_in, n_out = layer.W.shape
            rows = n_in if layer is linears[0] else min(distinct, n_in)
            columns = n_out if layer is linears[-1] else min(distinct, n_out)
            drawn = init.he_normal((rows, columns), rng=rng) * rows / n_in
            W = drawn[np.arange(n_in) % rows][:, np.arange(n_out) % columns]
            layer.W[...] = W + rng.normal(0, noise * math.sqrt(2 / n_in), W.shape)
            layer.b[...] = 0
        Z = network.forward(X)
        alive = bool((Z.any(axis=-1)).mean() > 0.5)  # some unit of the last hidden layer is on for most images


def measure(
    laboratory: Laboratory,
    *,
    distinct: tuple[int, ...] = (1, 2, 4, 16, 256),
    seeds: int = 8,
    images: int = 60_000,
) -> dict[str, Any]:
    """Validation accuracy in percent, `(seeds, distinct)`, with neither, with noise in the weights, with dropout."""
    conditions = {"neither": (0.0, 0.0), "noise in the weights": (0.0, 0.01), "dropout": (0.2, 0.0)}
    specs = []
    for dropout, noise in conditions.values():
        arms = [Arm(str(k), str(k), preparation=partial(groups, distinct=k, noise=noise)) for k in distinct]
        settings = replace(Settings(), dropout=dropout, epochs=1)
        specs += [
            Training(arms[i : i + 3], [s], settings, images) for s in range(seeds) for i in range(0, len(arms), 3)
        ]
    runs = laboratory.each(train, specs)
    per_condition = len(runs) // len(conditions)
    numbers: dict[str, Any] = {"distinct": distinct, "seeds": seeds, "images": images}
    for c, name in enumerate(conditions):
        some = [run for part in runs[c * per_condition : (c + 1) * per_condition] for run in part]
        numbers[name] = np.array([accuracies(some, Arm(str(k), "")) for k in distinct]).T
    return numbers


def judge(numbers: Mapping[str, Any]) -> Finding:
    distinct = list(numbers["distinct"])
    accuracy = {name: np.asarray(numbers[name]) for name in ("neither", "noise in the weights", "dropout")}
    one, all_distinct = (accuracy["neither"][:, k] for k in (0, -1))
    found = verdicts({"tie": all_distinct - one, "dropout": accuracy["dropout"][:, 0] - one})
    tie, healed = (found[name].difference.mean for name in ("tie", "dropout"))
    if not all(verdict.established for verdict in found.values()):
        outcome = Outcome.UNDECIDED
    else:
        outcome = Outcome.HELD if tie > FAR and healed > tie / 2 else Outcome.DID_NOT_HOLD
    best = accuracy["neither"][:, -1].mean()
    answer = (
        f"With one distinct unit a layer, {one.mean():.0f} % without noise and "
        f"{accuracy['dropout'][:, 0].mean():.0f} % with dropout; with all units distinct, {best:.0f} %."
    )
    rows = [["distinct units", *accuracy]]
    rows += [[str(k), *(_cell(a[:, i]) for a in accuracy.values())] for i, k in enumerate(distinct)]
    panel = Lines(
        "Accuracy after one epoch, %",
        "Distinct units in each hidden layer at the start",
        "Validation accuracy, %",
        {name: (distinct, a) for name, a in accuracy.items()},
        log_x=True,
        levels={"blind guess": 10.0},
    )
    return Finding(outcome, answer, [panel], rows)


def _cell(values: np.ndarray) -> str:
    chance = int((values < CHANCE).sum())
    return plus_minus(values) + (f", {chance} of {len(values)} at chance" if chance else "")


STUDY = Study(
    name="identical_units",
    title="Can units that start equal learn to differ?",
    source="Blumenfeld, Gilboa & Soudry 2020, ICML, arXiv 2007.01038",
    claim="""Units that start equal do not keep a network from learning: it can be trained as well as another, as
    soon as some noise, such as dropout, gives them different gradients.""",
    experiment="""The lesson's network for one epoch, started with 1, 2, 4, … distinct units in each hidden layer;
    all others are copies of them. Without noise, with 1 % of noise in the initial weights, and with dropout of 0.2.""",
    rule=f"""It holds if one distinct unit a layer, without noise, is more than {FAR:g} points of accuracy behind
    all distinct, and dropout makes good more than half of that; both differences established over the seeds (paired
    Student's tests with Holm's correction).""",
    measure=measure,
    judge=judge,
    quick={"distinct": (1, 4, 256), "seeds": 3, "images": 6_000},
    remarks="""A first version did not draw dead networks again. With one distinct unit a layer every weight of the
    second layer is the same number, and where that is negative, as in half of the networks, nothing can be learned.
    What remains is that copies move together: a network of one distinct unit either learns, or all its units are
    pushed below 0 at once and it dies in training. So look at the seeds at chance, and not only at the means.""",
)
