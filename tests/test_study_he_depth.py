"""Deep ReLU networks with and without the 2, and a rule that can come out either way."""

import numpy as np

from scratchnet.lab.studies import he_depth
from scratchnet.lab.study import Laboratory, Outcome


def test_the_start_is_the_first_step_below_the_threshold():
    loss = np.array([[2.3, 1.4, 1.6, 1.2], [2.3, 2.3, 2.3, 2.3], [1.0, 2.0, 2.0, 2.0]])
    np.testing.assert_array_equal(he_depth.start(loss), [40, 80, 20])


def test_it_measures_and_judges_a_tiny_version(dataset):
    numbers = he_depth.measure(Laboratory(dataset, jobs=1), depths=(1, 2), seeds=3, images=2600)
    assert numbers["accuracy"].shape == (2, 2, 2, 3)
    assert numbers["loss"].shape == (2, 2, 2, 3, 2)
    finding = he_depth.judge(numbers)
    assert (len(finding.panels), len(finding.rows)) == (4, 9)


def numbers(accuracies, starts, seeds=5):
    """Accuracies of SGD by depth and arm, and the looks at which the loss of 22 layers falls, by arm."""
    accuracy = np.full((2, 2, 2, seeds), 80.0)
    accuracy[0] = np.array(accuracies)[..., None]
    loss = np.full((2, 2, 2, seeds, 50), 1.0)
    for arm, look in enumerate(starts):
        for seed in range(seeds):
            loss[0, 0, arm, seed, : look + (seed % 2) * (1 - 2 * arm)] = 2.3
    return {"depths": (22, 30), "accuracy": accuracy, "loss": loss}


def test_the_rule_can_come_out_each_way():
    outcome = lambda *these: he_depth.judge(numbers(*these)).outcome  # noqa: E731
    stalls = [[80, 70], [80, 10]]
    assert outcome(stalls, (5, 30)) == Outcome.HELD
    assert outcome(stalls, (10, 10)) == Outcome.UNDECIDED
    assert outcome(stalls, (30, 5)) == Outcome.DID_NOT_HOLD
    assert outcome([[80, 70], [80, 60]], (5, 30)) == Outcome.DID_NOT_HOLD
    assert outcome([[80, 10], [80, 10]], (5, 30)) == Outcome.DID_NOT_HOLD
