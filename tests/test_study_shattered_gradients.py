"""How alike gradients at two inputs are, and a rule that can come out either way."""

import numpy as np
import pytest

from scratchnet.lab.studies import shattered_gradients
from scratchnet.lab.study import Laboratory, Outcome


@pytest.mark.parametrize(("depth", "expected"), [(1, 1 / 2), (2, 1 / 4), (4, 1 / 16)])
def test_centred_layers_each_halve_what_two_gradients_share(dataset, depth, expected):
    found = [
        shattered_gradients.likeness(("centred", depth, 200, seed), dataset.images, dataset.labels, lambda steps: None)
        for seed in range(3)
    ]
    assert np.mean([pair for pair, _ in found]) == pytest.approx(expected, rel=0.25)


def test_a_network_that_looks_linear_has_the_same_gradient_everywhere(dataset):
    pair, line = shattered_gradients.likeness(
        ("looks linear", 20, 64, 0), dataset.images, dataset.labels, lambda steps: None
    )
    assert pair == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(line, 1, atol=1e-3)


def test_it_measures_and_judges_a_tiny_version(dataset):
    numbers = shattered_gradients.measure(
        Laboratory(dataset, jobs=1), depths=(1, 2, 4), width=32, seeds=3, trained=(3, 16), images=2500
    )
    assert numbers["pairs"].shape == (3, 3, 3)
    assert numbers["line"].shape == (3, 3, 3, 33)
    assert numbers["accuracy"].shape == (3, 3)
    finding = shattered_gradients.judge(numbers)
    assert (len(finding.panels), len(finding.rows)) == (2, 4)


def numbers(factor, linear, gain, seeds=5):
    """Correlations that change by `factor` a layer where centred, and are `linear` where the network looks linear."""
    depths = np.array([1, 2, 4, 6, 50])
    pairs = np.array([0.9**depths, factor**depths, np.full(5, linear)])[:, None] * np.ones((1, seeds, 1))
    accuracy = np.array([[50.0], [50.0], [50.0 + gain]]) + np.linspace(-1, 1, seeds) * [[1], [0], [-1]]
    return {"depths": depths, "trained": (50, 100), "pairs": pairs, "line": pairs[..., None], "accuracy": accuracy}


def test_the_rule_can_come_out_each_way():
    outcome = lambda *these: shattered_gradients.judge(numbers(*these)).outcome  # noqa: E731
    assert outcome(0.5, 1.0, 30) == Outcome.HELD
    assert outcome(0.8, 1.0, 30) == Outcome.DID_NOT_HOLD
    assert outcome(0.5, 0.5, 30) == Outcome.DID_NOT_HOLD
    assert outcome(0.5, 1.0, -30) == Outcome.DID_NOT_HOLD
    assert outcome(0.5, 1.0, 0) == Outcome.UNDECIDED
