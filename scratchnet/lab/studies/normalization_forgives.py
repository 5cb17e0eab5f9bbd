"""Ioffe & Szegedy 2015: with normalization a network need not be initialized with care."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm, Settings, named
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, accuracies, plus_minus, train
from scratchnet.network import mlp
from scratchnet.normalization import BatchNorm, LayerNorm

NORMALIZATIONS = {"no normalization": None, "LayerNorm": LayerNorm, "BatchNorm": BatchNorm}
STARTS = {
    "a quarter of He": Arm("quarter", "", partial(init.variance_scaling, scale=2 / 16, distribution="normal")),
    "general rule": named("rule_uniform"),
    "He": named("he_normal"),
    "four times He": Arm("four", "", partial(init.variance_scaling, scale=2 * 16, distribution="normal")),
}
FAR = 5.0  # points of accuracy


def measure(
    laboratory: Laboratory, *, depths: tuple[int, ...] = (2, 10, 20), seeds: int = 5, images: int = 20_000
) -> dict[str, Any]:
    """Validation accuracy in percent, `(normalizations, starts, depths, seeds)`, of networks of 64 units a layer."""
    arms = list(STARTS.values())
    specs = [
        Training(arms, [seed], settings, images)
        for normalization in NORMALIZATIONS.values()
        for depth in depths
        for settings in [
            replace(
                Settings(),
                sizes=(784, *[64] * depth, 10),
                build=partial(mlp, normalization=normalization),
                dropout=0.0,
                epochs=1,
            )
        ]
        for seed in range(seeds)
    ]
    runs = laboratory.each(train, specs)
    accuracy = np.array([[accuracies(some, arm)[0] for arm in arms] for some in runs])
    accuracy = accuracy.reshape(len(NORMALIZATIONS), len(depths), seeds, len(arms)).transpose(0, 3, 1, 2)
    return {"depths": depths, "accuracy": accuracy}


def judge(numbers: Mapping[str, Any]) -> Finding:
    depths, accuracy = list(numbers["depths"]), np.asarray(numbers["accuracy"])
    deepest = accuracy[:, :, -1]  # (normalizations, starts, seeds)
    best = deepest.mean(axis=-1).argmax(axis=-1)
    behind = np.take_along_axis(deepest, best[:, None, None], axis=1) - deepest
    found = verdicts(
        {
            (name, start): behind[k, s] - FAR
            for k, name in enumerate(NORMALIZATIONS)
            for s, start in enumerate(STARTS)
            if s != best[k]
        }
    )
    far = {key for key, verdict in found.items() if verdict.established and verdict.difference.mean > 0}
    near = {key for key, verdict in found.items() if verdict.established and verdict.difference.mean < 0}
    without, *names = NORMALIZATIONS
    if any(name in names for name, _ in far):
        outcome = Outcome.DID_NOT_HOLD
    elif any(name == without for name, _ in far) and all(key in near for key in found if key[0] in names):
        outcome = Outcome.HELD
    else:
        outcome = Outcome.UNDECIDED
    worst = deepest.mean(axis=-1).min(axis=-1)
    top = deepest.mean(axis=-1).max(axis=-1)
    ranges = [
        f"{low:.0f} to {high:.0f} % with {name}" for name, low, high in zip(NORMALIZATIONS, worst, top, strict=True)
    ]
    answer = f"Four starts of {depths[-1]} layers reach {', '.join(ranges)}."
    panels = [
        Lines(
            name,
            "Hidden layers",
            "Validation accuracy, %",
            {start: (depths, accuracy[k, s].T) for s, start in enumerate(STARTS)},
            levels={"blind guess": 10.0},
        )
        for k, name in enumerate(NORMALIZATIONS)
    ]
    rows = [[f"{depths[-1]} layers", *STARTS]]
    rows += [[name, *(plus_minus(x) for x in deepest[k])] for k, name in enumerate(NORMALIZATIONS)]
    return Finding(outcome, answer, panels, rows)


STUDY = Study(
    name="normalization_forgives",
    title="Does normalization forgive a bad start?",
    source="Ioffe & Szegedy 2015, ICML, §1 (for BatchNorm); Ba, Kiros & Hinton 2016, arXiv 1607.06450, for LayerNorm",
    claim="""With normalization one can be much less careful about initialization, since the scale of the weights
    cancels in every layer.""",
    experiment="""784-[64] × depth-10 with ReLU, no dropout, one epoch of Adam at 0.001 on 20,000 images; four
    starts, from a quarter of He's standard deviation to four times as much, without normalization, with LayerNorm
    and with BatchNorm before each activation; 2, 10 and 20 hidden layers.""",
    rule=f"""At the greatest depth. It holds if, without normalization, some start is more than {FAR:g} points of
    accuracy behind the best, and with LayerNorm and with BatchNorm every start is within {FAR:g} points of the
    best. It does not hold if with one of the two some start is farther behind. Both are decided by paired Student's
    tests with Holm's correction.""",
    measure=measure,
    judge=judge,
    remarks="""What normalization takes out of the signal comes back in the step. Adam changes a weight by about its
    rate, however small the weight is, so large weights turn slowly and small ones fast. Each start has a best rate
    of its own, which grows with its weights, and at that rate all four are alike. In a look at 20 layers with three
    other seeds and the rates 0.0001, 0.0003, 0.001, 0.004 and 0.016, a quarter of He, the general rule, He and four
    times He reached with LayerNorm 72, 73, 73 and 72 % (at 0.0001, 0.0003, 0.001, 0.001) and with BatchNorm 72, 71,
    70 and 69 % (at 0.001, 0.001, 0.004, 0.016). So a bad start is forgiven if the rate is chosen for it.""",
    quick={"depths": (2, 12), "seeds": 3, "images": 3_000},
)
