"""Zhang, Dauphin & Ma 2019: residual networks train without normalization, if Fixup draws their weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np

from scratchnet.init.residual import fixup
from scratchnet.lab.experiment import Arm, Settings, named
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, accuracies, plus_minus, train
from scratchnet.network import Network
from scratchnet.normalization import BatchNorm
from scratchnet.optim import SGD
from scratchnet.residual import residual_mlp

NEAR = 5.0  # points of accuracy


@dataclass(frozen=True)
class Kind:
    """A kind of residual network: how it is built for a number of blocks, and how it starts."""

    build: Callable[[int], Callable[..., Network]]
    start: Arm


KINDS = {
    "He": Kind(lambda blocks: residual_mlp, named("he_normal")),
    "He and BatchNorm": Kind(lambda blocks: partial(residual_mlp, normalization=BatchNorm), named("he_normal")),
    "Fixup": Kind(lambda blocks: partial(residual_mlp, alpha=1.0, shifts=True), Arm("fixup", "", preparation=fixup)),
}


def race(
    laboratory: Laboratory,
    kinds: Mapping[str, Kind],
    *,
    blocks: Sequence[int],
    rates: Sequence[float],
    seeds: int,
    images: int,
) -> np.ndarray:
    """Validation accuracy in percent, `(kinds, blocks, seeds)`, each kind at its best rate for that number of blocks.

    One epoch of SGD with momentum 0.9. The best rate is the one with the best mean over the seeds.
    """
    specs = []
    for kind in kinds.values():
        arms = [replace(kind.start, key=str(rate), learning_rate=rate) for rate in rates]
        for L in blocks:
            settings = replace(
                Settings(),
                sizes=(784, *[64] * (1 + 2 * L), 10),
                build=kind.build(L),
                dropout=0.0,
                epochs=1,
                optimizer=partial(SGD, momentum=0.9),
            )
            specs += [Training(arms, [seed], settings, images) for seed in range(seeds)]
    runs = laboratory.each(train, specs)
    accuracy = np.array([[accuracies(some, Arm(str(rate), ""))[0] for rate in rates] for some in runs])
    accuracy = accuracy.reshape(len(kinds), len(blocks), seeds, len(rates))
    best = accuracy.mean(axis=2).argmax(axis=-1)  # (kinds, blocks)
    return np.take_along_axis(accuracy, best[:, :, None, None], axis=-1)[..., 0]


def measure(
    laboratory: Laboratory,
    *,
    kinds: Mapping[str, Kind] = KINDS,
    blocks: tuple[int, ...] = (4, 16, 48),
    rates: tuple[float, ...] = (0.001, 0.003, 0.01, 0.03, 0.1),
    seeds: int = 5,
    images: int = 10_000,
) -> dict[str, Any]:
    """Validation accuracy in percent, `(kinds, blocks, seeds)`."""
    accuracy = race(laboratory, kinds, blocks=blocks, rates=rates, seeds=seeds, images=images)
    return {"blocks": blocks, "accuracy": accuracy}


def judge(numbers: Mapping[str, Any]) -> Finding:
    blocks, accuracy = list(numbers["blocks"]), np.asarray(numbers["accuracy"])
    he, normalized, ours = accuracy[:, -1]
    found = verdicts({"ahead of He": ours - he, "near BatchNorm": ours - normalized + NEAR})
    ahead, near = (found[name] for name in ("ahead of He", "near BatchNorm"))
    if any(verdict.established and verdict.difference.mean < 0 for verdict in found.values()):
        outcome = Outcome.DID_NOT_HOLD
    elif ahead.established and near.established:
        outcome = Outcome.HELD
    else:
        outcome = Outcome.UNDECIDED
    return finding(outcome, blocks, KINDS, accuracy)


def finding(outcome: Outcome, blocks: Sequence[int], kinds: Mapping[str, Kind], accuracy: np.ndarray) -> Finding:
    """What a `race` shows."""
    reached = [f"{name} {x:.0f} %" for name, x in zip(kinds, accuracy[:, -1].mean(axis=-1), strict=True)]
    panel = Lines(
        "Accuracy after one epoch, each at its best learning rate",
        "Residual blocks of two layers",
        "Validation accuracy, %",
        {name: (blocks, accuracy[k].T) for k, name in enumerate(kinds)},
        log_x=True,
        levels={"blind guess": 10.0},
    )
    rows = [["start", *(f"{L} blocks" for L in blocks)]]
    rows += [[name, *(plus_minus(x) for x in accuracy[k])] for k, name in enumerate(kinds)]
    return Finding(outcome, f"With {blocks[-1]} residual blocks: {', '.join(reached)}.", [panel], rows)


EXPERIMENT = """Residual networks of 64 units: one Linear layer, blocks X + f(X) of two, and the last one; one epoch of
    SGD with momentum 0.9 on 10,000 images, at the best of five learning rates."""

STUDY = Study(
    name="fixup",
    title="Can a deep residual network do without normalization?",
    source="Zhang, Dauphin & Ma 2019, ICLR, arXiv 1901.09321",
    claim="""With He's rule a deep residual network cannot be trained without normalization. With Fixup it can, at
    any depth, and about as well as with BatchNorm.""",
    experiment=f"""{EXPERIMENT} He's rule without normalization and with BatchNorm, and Fixup without.""",
    rule=f"""At the greatest depth. It holds if Fixup is ahead of He without normalization, and not more than
    {NEAR:g} points of accuracy behind He with BatchNorm; it does not hold if it is behind the first, or farther
    behind the second. All by paired Student's tests with Holm's correction.""",
    measure=measure,
    judge=judge,
    quick={"blocks": (4, 12), "rates": (0.003, 0.01), "seeds": 3, "images": 3_000},
)
