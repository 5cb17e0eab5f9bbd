"""Signals in narrow networks, and a rule that can come out either way."""

import numpy as np
import pytest

from scratchnet.lab.studies import finite_width
from scratchnet.lab.study import Laboratory, Outcome


def test_each_layer_keeps_the_length_on_average_with_a_variance_of_5_over_its_width(dataset):
    """The factors of all layers are independent and alike, the first layer's too, whatever the image."""
    M = finite_width.lengths(((32,), 20, 500, 0), dataset.images, dataset.labels, lambda steps: None)
    factors = (M[:, 1:] / M[:, :-1]).astype(np.float64)
    n = factors.size
    assert abs(factors.mean() - 1) < 4 * np.sqrt(5 / 32 / n)
    assert factors.var() == pytest.approx(5 / 32, rel=0.1)


def test_the_sum_of_reciprocals_alternates_with_the_widths():
    np.testing.assert_allclose(finite_width.reciprocals((2, 4), 4), [0.5, 0.75, 1.25, 1.5])


def test_it_measures_and_judges_a_tiny_version(dataset):
    numbers = finite_width.measure(
        Laboratory(dataset, jobs=1), widths=(8, 16), depth=5, networks=100, trained=(1, 2), seeds=3, images=1300
    )
    assert numbers["lengths"].shape == (3, 100, 6)
    assert numbers["loss"].shape == (2, 2, 3, 1)
    finding = finite_width.judge(numbers)
    assert (len(finding.panels), len(finding.rows)) == (3, 4)


def numbers(factor, slope, narrow, wide, rng, seeds=6):
    """Lengths that change by `factor` a layer, with log-variance `slope`·Σ 1/width, and looks until training starts."""
    widths, depth, networks = (64, 128), 20, 2000
    M = []
    for kind in (*((width,) for width in widths), finite_width.MIXED):
        v = slope * np.diff(finite_width.reciprocals(kind, depth), prepend=0)
        logs = rng.normal(np.log(factor) - v / 2, np.sqrt(v), (networks, depth))
        M.append(np.exp(np.concatenate([np.zeros((networks, 1)), np.cumsum(logs, axis=1)], axis=1)))
    loss = np.ones((2, 1, seeds, 100))
    for i, looks in enumerate((narrow, wide)):
        for seed in range(seeds):
            loss[i, 0, seed, : looks + (seed % 2) * (1 - 2 * i)] = 2.3
    return {"widths": widths, "trained": (40,), "networks": networks, "lengths": np.array(M), "loss": loss}


def test_the_rule_can_come_out_each_way(rng):
    outcome = lambda *these: finite_width.judge(numbers(*these, rng)).outcome  # noqa: E731
    assert outcome(1.0, 5, 60, 10) == Outcome.HELD
    assert outcome(1.0, 5, 10, 10) == Outcome.UNDECIDED
    assert outcome(1.0, 5, 10, 60) == Outcome.DID_NOT_HOLD
    assert outcome(0.9, 5, 60, 10) == Outcome.DID_NOT_HOLD
    assert outcome(1.0, 10, 60, 10) == Outcome.DID_NOT_HOLD
