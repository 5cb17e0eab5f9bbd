"""LSUV and the activations: what the study measures, and that its rule can come out each way."""

import numpy as np

from scratchnet.lab.experiment import Settings, train_stack
from scratchnet.lab.studies import any_activation
from scratchnet.lab.study import Laboratory, Outcome
from scratchnet.layers import Tanh


def test_each_accuracy_is_that_of_its_activation_start_and_seed(dataset):
    numbers = any_activation.measure(Laboratory(dataset, jobs=1), depth=2, width=16, seeds=3, images=1000)
    assert numbers["accuracy"].shape == (5, 5, 3)
    settings = Settings(sizes=(784, 16, 16, 10), dropout=0, epochs=1, activation=Tanh)
    [run] = train_stack([any_activation.STARTS["He"]], [1], dataset.images[:1000], dataset.labels[:1000], settings)
    assert numbers["accuracy"][2, 3, 1] == 100 * run.validation_accuracy
    assert len(any_activation.judge(numbers).rows) == 7


def outcome(lsuv, others=70.0):
    accuracy = np.full((5, 5, 4), float(others))
    accuracy[:, 0] = lsuv
    accuracy += np.array([-1, 0, 0.2, 0.5])
    accuracy[:, 0] += np.array([0.3, -0.2, 0.1, 0])
    return any_activation.judge({"depth": 16, "accuracy": accuracy}).outcome


def test_the_rule_can_come_out_each_way():
    assert outcome(lsuv=69) == outcome(lsuv=75) == Outcome.HELD
    assert outcome(lsuv=60) == outcome(lsuv=30, others=30) == Outcome.DID_NOT_HOLD
    assert outcome(lsuv=65.1) == Outcome.UNDECIDED
