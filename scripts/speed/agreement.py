"""Agreement: a time counts only where its program did the same work and learned as much as scratchnet."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from scratchnet.lab.experiment import Run

LAST = 50  # a single batch's loss is noise: programs are compared by the mean over so many
TOLERANCE = 0.03  # the share by which PyTorch's mean loss may differ; without dropout it would differ by 0.08


class Wrong(ValueError):
    """A contestant did not do the work that it was timed for."""


def last_losses(runs: Sequence[Run]) -> dict[str, float]:
    """Mean training loss over the last batches, for each network."""
    return {f"{run.arm}/{run.seed}": float(run.training_loss[-LAST:].mean()) for run in runs}


def check(label: str, theirs: Sequence[Run], ours: Sequence[Run]) -> float:
    """How far the mean last loss of `theirs` is from that of `ours`, as a share; Wrong beyond TOLERANCE."""
    a, b = last_losses(theirs), last_losses(ours)
    if a.keys() != b.keys():
        raise Wrong(f"{label} trained {len(a)} networks, and scratchnet {len(b)}: the times mean nothing")
    if {len(run.training_loss) for run in theirs} != {len(run.training_loss) for run in ours}:
        raise Wrong(f"{label} made another number of steps than scratchnet: the times mean nothing")
    mean, reference = np.mean(list(a.values())), np.mean(list(b.values()))
    apart = float(mean / reference - 1)
    if not abs(apart) <= TOLERANCE:  # NaN is not
        raise Wrong(
            f"{label} ends with a training loss of {mean:.4f} and scratchnet with {reference:.4f}, more than "
            f"{TOLERANCE:.0%} apart: one of them is broken, the times mean nothing"
        )
    return apart
