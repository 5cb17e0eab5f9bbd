"""How deep a network can be trained, and a rule that can come out either way."""

import numpy as np
import pytest

from scratchnet.lab.experiment import Settings, initialized
from scratchnet.lab.studies import trainable_depth
from scratchnet.lab.study import Laboratory, Outcome
from scratchnet.layers import Tanh


def test_6_depth_scales_as_published():
    """tanh, σ_b² = 0.05, σ_w² = 4: ξ_c = 6.98."""
    assert trainable_depth.reach(4.0) == pytest.approx(6 * 6.98, abs=0.05)
    assert trainable_depth.reach(1.75) > 1000


def test_an_arm_has_the_variances_of_its_name():
    settings = Settings(sizes=(300, 400, 10), activation=Tanh, dropout=0.0)
    first = initialized(trainable_depth.arm(2.25), 0, settings).layers[0]
    assert first.W.var() == pytest.approx(2.25 / 300, rel=0.03)
    assert first.b.var() == pytest.approx(0.05, rel=0.3)


def test_the_trainable_depth_is_where_half_of_the_accuracy_is_lost():
    accuracy = np.array([[70.0, 70, 10, 10], [70, 70, 70, 70], [70, 40, 40, 10], [70, 10, 70, 70]])
    found = trainable_depth.trainable(accuracy, [10, 20, 40, 80])
    np.testing.assert_allclose(found, [20 * 2**0.5, 80, 40, 10 * 2**0.5])


def test_it_measures_and_judges_a_tiny_version(dataset):
    numbers = trainable_depth.measure(
        Laboratory(dataset, jobs=1), squares=(1.0, 1.75), some=(1.75,), depths=(3, 22), seeds=3, images=120
    )
    assert numbers["without dropout"].shape == (2, 3, 2)
    assert numbers["with dropout"].shape == (1, 3, 2)
    finding = trainable_depth.judge(numbers)
    assert (len(finding.panels), len(finding.rows)) == (3, 3)


def numbers(factor, dropped, noise=0.5, seeds=5):
    """Accuracies that fall from 70 to 10 % at `factor`·6ξ_c, and with dropout, at the edge, at the depth `dropped`."""
    depths = np.array([10, 15, 22, 33, 50, 75, 100])

    def falling(depth):
        steps = depth * np.exp(noise * np.random.default_rng(0).normal(size=seeds))
        return 10 + 60 / (1 + (depths / steps[:, None]) ** 20)

    squares = (1.0, 1.75, 4.0)
    plain = np.array([falling(factor * trainable_depth.reach(square)) for square in squares])
    return {
        "squares": squares,
        "some": (1.75,),
        "depths": depths,
        "without dropout": plain,
        "with dropout": falling(dropped)[None],
    }


def test_the_rule_can_come_out_each_way():
    outcome = lambda *these: trainable_depth.judge(numbers(*these)).outcome  # noqa: E731
    assert outcome(1.0, 30, 0.05) == Outcome.HELD
    assert outcome(0.45, 30, 0.05) == Outcome.DID_NOT_HOLD
    assert outcome(1.0, 1000, 0.05) == Outcome.UNDECIDED
