"""De & Smith 2020; Bachlechner et al. 2021: a factor of 0 on each residual branch is enough of a good start."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

import numpy as np

from scratchnet.lab.experiment import named
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.studies import fixup
from scratchnet.lab.studies.fixup import EXPERIMENT, Kind, finding
from scratchnet.lab.study import Finding, Outcome, Study
from scratchnet.residual import residual_mlp

HE = named("he_normal")
KINDS = {
    "α = 1": Kind(lambda blocks: partial(residual_mlp, alpha=1.0), HE),
    "α = 1/√L": Kind(lambda blocks: partial(residual_mlp, alpha=1 / math.sqrt(blocks)), HE),
    "α = 0": Kind(lambda blocks: partial(residual_mlp, alpha=0.0), HE),
}
FALL = 5.0  # points of accuracy


measure = partial(fixup.measure, kinds=KINDS)


def judge(numbers: Mapping[str, Any]) -> Finding:
    blocks, accuracy = list(numbers["blocks"]), np.asarray(numbers["accuracy"])
    one, _, zero = accuracy
    found = verdicts({"ahead": zero[-1] - one[-1], "keeps": zero[-1] - zero[0] + FALL})
    if any(verdict.established and verdict.difference.mean < 0 for verdict in found.values()):
        outcome = Outcome.DID_NOT_HOLD
    elif all(verdict.established for verdict in found.values()):
        outcome = Outcome.HELD
    else:
        outcome = Outcome.UNDECIDED
    return finding(outcome, blocks, KINDS, accuracy)


STUDY = Study(
    name="skipinit",
    title="Is it enough to start every residual branch at 0?",
    source="De & Smith 2020, NeurIPS (SkipInit); Bachlechner et al. 2021, UAI (ReZero)",
    claim="""A learned factor α at the end of each residual branch that starts at 0, so that every block starts as Y
    = X, lets deep residual networks train without normalization. With α = 1 they do not.""",
    experiment=f"""{EXPERIMENT} He's rule; the factor α starts at 1, at 1/√L for L blocks, and at 0.""",
    rule=f"""It holds if, at the greatest depth, α = 0 is ahead of α = 1, and not more than {FALL:g} points of
    accuracy below what it reaches at the smallest depth; it does not hold if it is behind, or falls farther. All by
    paired Student's tests with Holm's correction.""",
    measure=measure,
    judge=judge,
    quick={"blocks": (4, 12), "rates": (0.003, 0.01), "seeds": 3, "images": 3_000},
)
