"""Dynamical isometry: singular values against theory, and a rule that can come out each way."""

import numpy as np
import pytest

from scratchnet.init import meanfield
from scratchnet.lab.studies import isometry
from scratchnet.lab.studies.isometry import Start, singular_values
from scratchnet.lab.study import Laboratory, Outcome
from scratchnet.layers import ReLU, Tanh


@pytest.mark.parametrize(("activation", "q"), [(Tanh, 0.1), (ReLU, 1.0)])
@pytest.mark.parametrize("gaussian", [False, True])
def test_the_spread_of_the_squared_singular_values_is_that_of_the_theory(dataset, activation, q, gaussian):
    start = Start(activation, q, gaussian)
    squares = np.concatenate(
        [singular_values((start, 100, 6, seed), dataset.images, dataset.labels, lambda n: None) ** 2 for seed in (0, 1)]
    )
    sigma_w, _ = meanfield.edge_of_chaos(activation(), q=q)
    assert squares.mean() == pytest.approx(sigma_w**2, rel=0.15)  # 6 times σ_w², and 5 times E[φ'²] = 1/σ_w²
    spread = squares.std(axis=-1) / squares.mean(axis=-1)
    assert spread.mean() == pytest.approx(start.spread(6), rel=0.15)


def test_every_start_has_its_singular_values_and_its_times(dataset):
    numbers = isometry.measure(Laboratory(dataset, jobs=1), depths=(2, 3), width=12, q=0.1, seeds=3, steps=5)
    assert len(numbers["times"]) == 4
    assert all(t.shape == (3, 2) for t in numbers["times"].values())
    assert all(s.shape == (3, 8, 12) for s in numbers["singular values"].values())
    assert len(isometry.judge(numbers).rows) == 5


def outcome(narrow=0.1, other=300.0):
    names = ("tanh, orthogonal", "tanh, Gaussian", "ReLU, orthogonal", "ReLU, Gaussian")
    rng = np.random.default_rng(0)
    values = {name: np.exp(rng.normal(0, 1.5, (5, 8, 100))) for name in names}
    values[names[0]] = np.exp(rng.normal(0, narrow, (5, 8, 100)))
    times = {name: np.full((5, 1), other) for name in names[1:]}
    times = {names[0]: np.array([[90.0], [95], [100], [105], [115]])} | times
    theory = dict.fromkeys(names, 1.0)
    numbers = {"depths": (32,), "steps": 500, "singular values": values, "spread in theory": theory, "times": times}
    return isometry.judge(numbers).outcome


def test_the_rule_can_come_out_each_way():
    assert outcome() == Outcome.HELD
    assert outcome(narrow=1.5) == outcome(other=50) == Outcome.DID_NOT_HOLD
    assert outcome(other=101) == Outcome.UNDECIDED
