"""Races to a loss, and deep linear networks: what is measured, and that the rule can come out each way."""

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.studies import deep_linear
from scratchnet.lab.study import SMOOTH, Laboratory, Outcome, Race, fastest, race
from scratchnet.layers import Identity
from scratchnet.optim import SGD

SETTINGS = Settings(sizes=(784, 20, 10), activation=Identity, dropout=0, optimizer=SGD)
ARM = Arm("he", "He", init.he_normal)


def quiet(steps):
    pass


def test_a_race_ends_when_one_rate_has_arrived_with_every_seed(dataset):
    spec = Race(ARM, SETTINGS, (1e-5, 0.1, 100.0), goal=1.2, steps=200, seeds=(0, 1))
    steps, loss = race(spec, dataset.images, dataset.labels, quiet)
    assert steps.shape == loss.shape == (3, 2)
    assert (steps[0] == 200).all()  # too slow
    assert (steps[2] == 200).all() and not (loss[2] < 2).any()  # too fast, NaN included
    assert ((SMOOTH <= steps[1] + 1) & (steps[1] < 100)).all() and (loss[1] < 1.3).all()


def test_a_seed_takes_as_long_beside_others_as_alone(dataset):
    together, _ = race(Race(ARM, SETTINGS, (0.05,), 1.2, 200, seeds=(0, 1, 2)), dataset.images, dataset.labels, quiet)
    alone, _ = race(Race(ARM, SETTINGS, (0.05,), 1.2, 200, seeds=(1,)), dataset.images, dataset.labels, quiet)
    assert together[0, 1] == alone[0, 0]


def test_a_goal_that_nobody_reaches_ends_a_race_after_its_steps_and_the_lowest_loss_chooses_the_rate(dataset):
    laboratory = Laboratory(dataset, jobs=1)
    [(rate, steps)] = fastest(laboratory, [Race(ARM, SETTINGS, (1e-5, 0.03, 100.0), goal=0.0, steps=30)], seeds=2)
    assert rate == 0.03
    assert list(steps) == [30, 30]


def test_times_and_rates_of_each_start_and_depth(dataset):
    numbers = deep_linear.measure(Laboratory(dataset, jobs=1), depths=(2, 3), width=16, seeds=3, steps=30)
    for start in deep_linear.STARTS:
        assert numbers[start].shape == (3, 2)
        assert len(numbers[f"rates, {start}"]) == 2
    assert len(deep_linear.judge(numbers).rows) == 3


def outcome(orthogonal, gaussian):
    spread = np.array([[0.9], [1.0], [1.05], [1.1]])
    times = {"orthogonal": np.array([100, orthogonal]) * spread, "Gaussian": np.array([100, gaussian]) * spread[::-1]}
    times["Gaussian"][:, 1] *= [1, 1.1, 1, 0.9]
    rates = {f"rates, {start}": [0.1, 0.1] for start in times}
    return deep_linear.judge({"depths": (2, 64), "steps": 1000} | times | rates).outcome


def test_the_rule_can_come_out_each_way():
    assert outcome(110, 600) == Outcome.HELD
    assert outcome(400, 600) == outcome(110, 120) == Outcome.DID_NOT_HOLD
    assert outcome(110, 225) == Outcome.UNDECIDED
