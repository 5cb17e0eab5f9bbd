"""SELU: what the study measures, and that its rule can come out each way."""

import numpy as np
import pytest

from scratchnet.lab.studies import self_normalizing
from scratchnet.lab.study import Laboratory, Outcome


def test_standardized_pixels_have_mean_0_and_variance_1_where_they_vary(rng):
    images = np.column_stack([rng.normal(5, 3, 1000), np.ones(1000)])
    X = self_normalizing.standardized(images)
    assert X.mean(axis=0) == pytest.approx([0, 0], abs=1e-12)
    assert X.var(axis=0) == pytest.approx([1, 0])


def test_gain_1_brings_signals_of_any_scale_back_to_variance_1_and_gain_three_quarters_does_not(dataset):
    size = {"depths": (2, 20), "scales": (0.5, 2.0), "wide": 128, "networks": 2, "width": 10, "seeds": 3, "images": 300}
    numbers = self_normalizing.measure(Laboratory(dataset, jobs=1), **size)
    assert numbers["variance"].shape == numbers["mean"].shape == (2, 2, 2, 20)
    assert numbers["accuracy"].shape == (2, 3, 2)
    assert numbers["variance"][0, :, :, -1] == pytest.approx(1, abs=0.25)
    assert (numbers["variance"][1, :, :, -1] < 0.2).all()
    assert self_normalizing.judge(numbers).rows


def numbers(variance=1.0, mean=0.0, accuracy=(80, 79)):
    last = lambda value: np.full((2, 1, 3, 4), value)  # noqa: E731
    table = np.array(accuracy) + np.array([[-0.3, 0.2], [0, 0], [0.3, -0.4]])
    return {"depths": (2, 4), "scales": (1.0,), "variance": last(variance), "mean": last(mean), "accuracy": [table] * 2}


def test_the_rule_can_come_out_each_way():
    outcome = lambda **changed: self_normalizing.judge(numbers(**changed)).outcome  # noqa: E731
    assert outcome() == Outcome.HELD
    assert outcome(variance=0.5) == outcome(mean=0.2) == outcome(accuracy=(80, 60)) == Outcome.DID_NOT_HOLD
    assert outcome(accuracy=(80, 75.1)) == Outcome.UNDECIDED
