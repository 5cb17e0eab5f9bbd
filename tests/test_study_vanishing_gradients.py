"""Gradients on their way back through tanh, stuck sigmoids, and a rule that can come out either way."""

import numpy as np
import pytest

from scratchnet.lab.studies import vanishing_gradients
from scratchnet.lab.study import Laboratory, Outcome


def test_gradients_fade_by_a_third_a_layer_under_the_heuristic_rule(dataset):
    """Tanh is nearly linear for the small signals of the heuristic rule, so its factor is nearly n_out·Var w = 1/3."""
    found = np.array(
        [
            vanishing_gradients.gradients((5, 200, seed), dataset.images, dataset.labels, lambda steps: None)
            for seed in range(4)
        ]
    )
    assert found.shape == (4, 2, 5, 2)
    factors = (found[:, 0, 0] / found[:, 0, -1]) ** (1 / 4)
    assert factors[:, 0].mean() == pytest.approx(1 / 3, rel=0.15)
    assert (factors[:, 1] > factors[:, 0]).all()


def test_it_measures_and_judges_a_tiny_version(dataset):
    numbers = vanishing_gradients.measure(Laboratory(dataset, jobs=1), depth=3, width=20, steps=25, seeds=3)
    assert numbers["start"].shape == (2, 2, 3, 3)
    assert numbers["tanh"].shape == numbers["sigmoid"].shape == (2, 4, 3, 26)
    finding = vanishing_gradients.judge(numbers)
    assert (len(finding.panels), len(finding.rows)) == (4, 3)


def numbers(heuristic, normalized, top, seeds=5):
    """Gradients that change by these factors a layer, and sigmoids whose last hidden layer's mean output is `top`."""
    layers = np.arange(5, 0, -1)
    dY = np.array([heuristic**layers, normalized**layers])[:, None] * np.ones((2, seeds, 1))
    dY[1] *= 1 + np.linspace(-0.01, 0.01, seeds)[:, None] * layers
    sigmoid = np.full((2, 6, seeds, 26), 0.5)
    sigmoid[:, 5] = top
    return {"steps": 100, "start": np.stack([dY, dY]), "tanh": sigmoid, "sigmoid": sigmoid}


def test_the_rule_can_come_out_each_way():
    outcome = lambda *these: vanishing_gradients.judge(numbers(*these)).outcome  # noqa: E731
    assert outcome(1 / 3, 0.9, 0.01) == Outcome.HELD
    assert outcome(1 / 3, 0.9, 0.5) == Outcome.DID_NOT_HOLD
    assert outcome(0.1, 0.9, 0.01) == Outcome.DID_NOT_HOLD
    assert outcome(1 / 3, 1 / 3, 0.01) == Outcome.UNDECIDED
