"""The lesson: normal weights are better in general. Is it their shape, or are they only larger?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, accuracies, plus_minus, train

NARROW, WIDE = "Var w = 1/(3n_in)", "Var w = 1/n_in"
SHAPES = ("uniform", "normal")
ARMS = {
    (shape, name): Arm(
        f"{shape}, {name}", f"{shape}, {name}", partial(init.variance_scaling, scale=scale, distribution=shape)
    )
    for shape in SHAPES
    for name, scale in ((NARROW, 1 / 3), (WIDE, 1.0))
}
SMALL = 0.5  # points of accuracy: a difference that is worth a sentence


def measure(
    laboratory: Laboratory,
    *,
    widths: tuple[int, ...] = (32, 128, 512),
    seeds: int = 30,
    images: int = 30_000,
) -> dict[str, Any]:
    """Validation accuracy in percent, `(seeds, widths)`, of each shape with each variance."""
    arms = list(ARMS.values())
    specs = [
        Training(arms, [seed], replace(Settings(), sizes=(784, width, width // 2, 10), epochs=1), images)
        for width in sorted(widths, reverse=True)  # the longest work first
        for seed in range(seeds)
    ]
    results = laboratory.each(train, specs)
    by_width: dict[int, list[Any]] = {width: [] for width in widths}
    for spec, runs in zip(specs, results, strict=True):
        by_width[spec.settings.sizes[1]] += runs
    table = {arm.key: np.array([accuracies(by_width[width], arm) for width in widths]).T for arm in arms}
    return {"widths": widths, "seeds": seeds, "images": images, "accuracy": table}


def judge(numbers: Mapping[str, Any]) -> Finding:
    widths = list(numbers["widths"])
    accuracy = {pair: np.asarray(numbers["accuracy"][arm.key]) for pair, arm in ARMS.items()}
    pairs = {}
    for i, width in enumerate(widths):
        for name in (NARROW, WIDE):
            pairs["shape", name, width] = accuracy["normal", name][:, i] - accuracy["uniform", name][:, i]
        pairs["scale", "", width] = accuracy["normal", WIDE][:, i] - accuracy["uniform", NARROW][:, i]
    found = verdicts(pairs)
    shape = [v for (what, _, _), v in found.items() if what == "shape"]
    better = [v.established and v.difference.mean > 0 for v in shape]
    bounded = [max(abs(v.difference.low), abs(v.difference.high)) for v in shape]
    if all(better):
        outcome = Outcome.HELD
    elif any(better) or max(bounded) > 4 * SMALL:
        outcome = Outcome.UNDECIDED
    else:
        outcome = Outcome.DID_NOT_HOLD
    gaps = [v.difference.mean for (what, _, _), v in found.items() if what == "scale"]
    answer = (
        f"At equal variance, normal and uniform weights differ by {min(v.difference.mean for v in shape):+.2f} to "
        f"{max(v.difference.mean for v in shape):+.2f} points; at the lesson's variances, three times apart, by "
        f"{min(gaps):+.2f} to {max(gaps):+.2f}."
    )
    panels = [
        Lines(
            "Accuracy after one epoch",
            "Units in the first hidden layer",
            "Validation accuracy, %",
            {arm.label: (widths, accuracy[pair]) for pair, arm in ARMS.items()},
            log_x=True,
        ),
        Lines(
            "Differences, seed by seed",
            "Units in the first hidden layer",
            "Points of accuracy",
            {
                "the lesson's: normal 1/n_in − uniform 1/(3n_in)": (widths, _stacked(pairs, "scale", "", widths)),
                f"normal − uniform, {NARROW}": (widths, _stacked(pairs, "shape", NARROW, widths)),
                f"normal − uniform, {WIDE}": (widths, _stacked(pairs, "shape", WIDE, widths)),
            },
            log_x=True,
            levels={"no difference": 0.0},
        ),
    ]
    rows = [["weights", *(f"width {width}" for width in widths)]]
    rows += [[arm.label, *(plus_minus(a, "{:.2f}") for a in accuracy[pair].T)] for pair, arm in ARMS.items()]
    for label, (what, name) in {
        "lesson's normal − uniform": ("scale", ""),
        f"shape alone, {NARROW}": ("shape", NARROW),
        f"shape alone, {WIDE}": ("shape", WIDE),
    }.items():
        cells = [found[what, name, width] for width in widths]
        rows.append([label, *(f"{v.difference.mean:+.2f}{' *' if v.established else ''}" for v in cells)])
    return Finding(outcome, answer, panels, rows)


def _stacked(pairs: Mapping[Any, np.ndarray], what: str, name: str, widths: list[int]) -> np.ndarray:
    return np.array([pairs[what, name, width] for width in widths]).T


STUDY = Study(
    name="shape_or_scale",
    title="Are normal weights better than uniform ones?",
    source='Udacity, "Weight Initialization": "In general, a normal distribution will result in better performance"',
    claim="""Weights drawn from a normal distribution are better in general than uniform ones. In the lesson the two
    differ in variance as well: N(0, 1/n_in) has three times the variance of U(−1/√n_in, 1/√n_in).""",
    experiment="""Networks of 784-w-w/2-10 units, otherwise the lesson's, for one epoch on half of the images;
    normal and uniform weights, both with variance 1/n_in and both with 1/(3n_in).""",
    rule=f"""It holds if normal weights are ahead at every width and both variances (paired Student's tests with
    Holm's correction). It does not hold if they are ahead nowhere, and all intervals lie within ±{4 * SMALL:g}
    points. Otherwise it cannot be told. In the table a star marks an established difference.""",
    measure=measure,
    judge=judge,
    remarks="""A first run had ten seeds, and intervals too wide to tell; these are thirty.""",
    quick={"widths": (32, 128), "seeds": 3, "images": 6_000},
)
