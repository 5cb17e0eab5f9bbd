"""Dropout and the scale of weights: what a layer does to a signal, and a rule that can come out either way."""

import numpy as np
import pytest

from scratchnet.lab.studies import dropout_scale
from scratchnet.lab.study import Laboratory, Outcome


@pytest.mark.parametrize(("scheme", "factor"), [("He", 2.0), ("corrected", 1.0)])
def test_a_layer_multiplies_the_mean_square_by_1_over_1_minus_p_under_he_and_by_1_when_corrected(
    dataset, scheme, factor
):
    q = np.array(
        [
            dropout_scale.sizes((0.5, scheme, 30, seed, True), dataset.images, dataset.labels, lambda steps: None)
            for seed in range(8)
        ]
    )
    measured = dropout_scale.factors(q)
    assert abs(measured.mean() - factor) < 4 * measured.std(ddof=1) / np.sqrt(8)
    assert abs(measured.mean() - factor) < 0.1 * factor


def test_without_dropout_hes_signal_stays_and_a_corrected_one_fades(dataset):
    he, corrected = (
        dropout_scale.sizes((0.5, scheme, 20, 0, False), dataset.images, dataset.labels, lambda steps: None)
        for scheme in ("He", "corrected")
    )
    np.testing.assert_allclose(corrected / he, np.broadcast_to(0.5 ** np.arange(1, 21)[:, None], he.shape), rtol=1e-3)


def test_it_measures_and_judges_a_tiny_version(dataset):
    numbers = dropout_scale.measure(
        Laboratory(dataset, jobs=1), ps=(0.5,), depths=(1, 2), layers=4, seeds=3, images=600
    )
    assert numbers["signal"].shape == (1, 2, 2, 3, 4, 8)
    assert numbers["accuracy"].shape == (2, 1, 2, 3, 2)
    finding = dropout_scale.judge(numbers)
    assert len(finding.panels) == 2
    assert len(finding.rows) == 3


def numbers(he, corrected, gain, seeds=6):
    """Signals that grow by `he` and `corrected` a layer at p = ½, and accuracies that differ by `gain` points."""
    q = np.array([he, corrected])[:, None, None, None, None] ** np.arange(10)[:, None] * np.ones((2, 2, seeds, 1, 8))
    accuracy = np.full((2, 1, 2, seeds, 1), 50.0)
    accuracy[:, :, 1] += gain + np.linspace(-1, 1, seeds)[:, None]
    return {"ps": (0.5,), "depths": (20,), "signal": q[None], "accuracy": accuracy}


def test_the_rule_can_come_out_each_way():
    assert dropout_scale.judge(numbers(2.0, 1.0, 5)).outcome == Outcome.HELD
    assert dropout_scale.judge(numbers(2.0, 1.0, -5)).outcome == Outcome.DID_NOT_HOLD
    assert dropout_scale.judge(numbers(1.0, 0.5, 5)).outcome == Outcome.DID_NOT_HOLD
    assert dropout_scale.judge(numbers(2.0, 1.0, 0)).outcome == Outcome.UNDECIDED
