"""Mishkin & Matas 2016: layer-sequential unit variance, LSUV, is a good start whatever the activation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scratchnet.lab.experiment import Settings, named
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, accuracies, plus_minus, train
from scratchnet.layers import GELU, Layer, LeakyReLU, ReLU, Sigmoid, Tanh

CLAIMED: dict[str, Callable[[], Layer]] = {"ReLU": ReLU, "leaky ReLU": partial(LeakyReLU, 1 / 3), "tanh": Tanh}
ACTIVATIONS: dict[str, Callable[[], Layer]] = CLAIMED | {"GELU": GELU, "sigmoid": Sigmoid}
STARTS = {
    "LSUV": named("lsuv"),
    "general rule": named("rule_uniform"),
    "Glorot": named("glorot_uniform"),
    "He": named("he_normal"),
    "orthogonal": named("orthogonal"),
}
BEHIND = 5.0  # points of accuracy
LEARNS = 50.0  # %


def measure(
    laboratory: Laboratory,
    *,
    depth: int = 16,
    width: int = 64,
    seeds: int = 5,
    images: int = 60_000,
) -> dict[str, Any]:
    """Validation accuracy in percent, `(activations, starts, seeds)`."""
    sizes = (784, *[width] * depth, 10)
    base = replace(Settings(), sizes=sizes, dropout=0, epochs=1)
    specs = [
        Training(list(STARTS.values()), [seed], replace(base, activation=activation), images)
        for activation in ACTIVATIONS.values()
        for seed in range(seeds)
    ]
    runs = iter(laboratory.each(train, specs))
    accuracy = []
    for _ in ACTIVATIONS:
        of_one = [run for _ in range(seeds) for run in next(runs)]
        accuracy.append([accuracies(of_one, arm) for arm in STARTS.values()])
    return {"depth": depth, "accuracy": np.array(accuracy)}


def judge(numbers: Mapping[str, Any]) -> Finding:
    accuracy, claimed = np.asarray(numbers["accuracy"]), len(CLAIMED)
    mean = accuracy.mean(axis=-1)  # (activations, starts)
    rival = mean[:, 1:].argmax(axis=-1) + 1  # the best of the other starts, for each activation
    behind = np.array([accuracy[a, r] - accuracy[a, 0] for a, r in enumerate(rival)])  # (activations, seeds), points
    near = {(name, "near"): BEHIND - behind[a] for a, name in enumerate(CLAIMED)}
    learns = {(name, "learns"): accuracy[a, 0] - LEARNS for a, name in enumerate(CLAIMED)}
    found = verdicts(near | learns)
    if any(verdict.established and verdict.difference.mean < 0 for verdict in found.values()):
        outcome = Outcome.DID_NOT_HOLD
    elif all(verdict.established for verdict in found.values()):
        outcome = Outcome.HELD
    else:
        outcome = Outcome.UNDECIDED
    fails = (mean < mean.max(axis=-1, keepdims=True) - BEHIND) | (mean < LEARNS)
    others = fails[:, 1:].sum(axis=0)
    lag = float(behind[:claimed].mean(axis=-1).max())
    rank = "the best" if lag <= 0 else f"{lag:.1f} points or less behind the best"
    answer = (
        f"With {', '.join(CLAIMED)}, LSUV is {rank} of {len(STARTS)} starts. "
        f"Of {len(ACTIVATIONS)} activations it fails with {fails[:, 0].sum()}, and the other starts with "
        f"{min(others)} to {max(others)}."
    )
    places = np.arange(1, len(ACTIVATIONS) + 1)
    panel = Lines(
        f"Accuracy with {numbers['depth']} hidden layers, after one epoch",
        "Activation: " + ", ".join(f"{k} {name}" for k, name in zip(places, ACTIVATIONS, strict=True)),
        "Validation accuracy, %",
        {start: (places, accuracy[:, s].T) for s, start in enumerate(STARTS)},
        levels={"blind guess": 10.0},
    )
    rows = [["activation", *STARTS]]
    rows += [[name, *(plus_minus(x) for x in accuracy[a])] for a, name in enumerate(ACTIVATIONS)]
    rows.append(["fails with", *(f"{count} of {len(ACTIVATIONS)}" for count in fails.sum(axis=0))])
    return Finding(outcome, answer, [panel], rows)


STUDY = Study(
    name="any_activation",
    title="Is LSUV a good start, whatever the activation?",
    source="Mishkin & Matas 2016, ICLR, arXiv 1511.06422, from memory",
    claim="""Orthonormal weights, scaled layer by layer until each output has variance 1 over some images (LSUV), let
    deep networks learn with activations of the ReLU family and with tanh, to an accuracy as good as or better than that
    of other starts: no formula for the activation is needed.""",
    experiment="""16 hidden layers of 64 units without dropout, trained by Adam (0.001) for one epoch, 5 seeds, from 5
    starts: LSUV, the general rule U(±1/√n_in), Glorot's, He's and orthogonal weights. With ReLU, leaky ReLU (slope ⅓)
    and tanh, of which the paper speaks, and with GELU and sigmoid.""",
    rule=f"""It holds if, for each of ReLU, leaky ReLU and tanh, LSUV learns (more than {LEARNS:g} %) and is less than
    {BEHIND:g} points behind the best of the four other starts, all of it established over the seeds (paired Student's
    tests with Holm's correction). It does not hold if the contrary of any of this is established. The other activations
    are shown and not judged.""",
    measure=measure,
    judge=judge,
    remarks="""LSUV has the best mean with all five activations, but He's start is within 1.6 points with the first
    four, and fails as rarely: its gain √2 is right for ReLU, and not far from the 1.59 that keeps a signal of tanh. The
    general rule fails everywhere at this depth. With sigmoid no start learns in one epoch; LSUV, at 20 %, is the only
    one that leaves a blind guess behind. (The rule of the first run compared LSUV with the best of all five, which was
    LSUV itself. It says "the others" since; the outcome is the same.)""",
    quick={"depth": 12, "width": 32, "seeds": 3, "images": 10_000},
)
