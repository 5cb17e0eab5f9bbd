"""Sutskever et al. 2013: momentum needs a good start as well, and does not rescue a bad scale."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, plus_minus, train
from scratchnet.optim import SGD

RATES = (0.003, 0.01, 0.03, 0.1)  # for μ = 0; with momentum, times 1 − μ, which keeps the step that sums up


def measure(
    laboratory: Laboratory,
    *,
    scales: tuple[float, ...] = (0.25, 0.5, 1.0, 2.0, 4.0),
    momenta: tuple[float, ...] = (0.0, 0.9, 0.99),
    rates: tuple[float, ...] = RATES,
    seeds: int = 5,
    layers: int = 8,
    images: int = 10_000,
) -> dict[str, Any]:
    """Validation accuracy in percent, `(momenta, seeds, scales, rates)`, of a deep network of 64 units a layer.

    `scales` are factors on the standard deviation of He's rule, so a signal's size changes by scale² a layer.
    """
    arms = [
        Arm(f"{scale}, {rate}", "", partial(init.variance_scaling, scale=2 * scale**2, distribution="normal"))
        for scale in scales
        for rate in rates
    ]
    specs = []
    for mu in momenta:
        for seed in range(seeds):
            for r, rate in enumerate(rates):
                settings = replace(
                    Settings(),
                    sizes=(784, *[64] * layers, 10),
                    dropout=0.0,
                    epochs=2,
                    optimizer=partial(SGD, momentum=mu),
                    learning_rate=rate * (1 - mu),
                )
                specs.append(Training(arms[r :: len(rates)], [seed], settings, images))
    results = laboratory.each(train, specs)
    accuracy = np.array([[100 * run.validation_accuracy for run in runs] for runs in results])
    accuracy = accuracy.reshape(len(momenta), seeds, len(rates), len(scales)).swapaxes(-1, -2)
    return {"scales": scales, "momenta": momenta, "rates": rates, "layers": layers, "accuracy": accuracy}


def judge(numbers: Mapping[str, Any]) -> Finding:
    scales, momenta = list(numbers["scales"]), list(numbers["momenta"])
    accuracy = np.asarray(numbers["accuracy"])
    best = np.take_along_axis(accuracy, accuracy.mean(axis=1, keepdims=True).argmax(axis=-1)[..., None], -1)[..., 0]
    good = scales.index(1.0)
    bad = (0, len(scales) - 1)
    differences = {
        (mu, scales[s]): best[m, :, good] - best[m, :, s] for m, mu in enumerate(momenta) if mu > 0 for s in bad
    }
    found = verdicts(differences)
    behind = [v.established and v.difference.mean > 0 for v in found.values()]
    ahead = [v.established and v.difference.mean < 0 for v in found.values()]
    if all(behind):
        outcome = Outcome.HELD
    elif any(ahead) or not any(behind):
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.UNDECIDED
    most = len(momenta) - 1
    answer = (
        f"With momentum {momenta[most]:g}, He's scale reaches {best[most, :, good].mean():.0f} %, a quarter of it "
        f"{best[most, :, 0].mean():.0f} %, and four times as much {best[most, :, -1].mean():.0f} %."
    )
    panel = Lines(
        "Accuracy at the best learning rate",
        "Standard deviation of the weights, times He's",
        "Validation accuracy, %",
        {f"momentum {mu:g}": (scales, best[m]) for m, mu in enumerate(momenta)},
        log_x=True,
        levels={"blind guess": 10.0},
    )
    rows = [["momentum", *(f"{scale:g} × He" for scale in scales)]]
    rows += [[f"{mu:g}", *(plus_minus(best[m, :, s]) for s in range(len(scales)))] for m, mu in enumerate(momenta)]
    return Finding(outcome, answer, [panel], rows)


STUDY = Study(
    name="momentum",
    title="Does momentum rescue a bad scale?",
    source="Sutskever, Martens, Dahl & Hinton 2013, ICML, from memory",
    claim="""Momentum and the initial weights are both needed: with badly scaled weights, momentum does not make up
    for the start.""",
    experiment="""784-[64] × 8-10 with ReLU, two epochs on 10,000 images by SGD with momentum 0, 0.9 and 0.99;
    weights from a quarter of He's standard deviation to four times as much. Each cell has the best of four learning
    rates, chosen on the mean over seeds.""",
    rule="""It holds if, with each momentum above 0, both a quarter and four times He's scale are behind He's
    (paired Student's tests with Holm's correction). It does not hold if one of them is ahead, or none behind.""",
    measure=measure,
    judge=judge,
    quick={"scales": (0.25, 1.0, 4.0), "momenta": (0.0, 0.9), "rates": (0.01, 0.1), "seeds": 3, "images": 3_000},
)
