"""What a training keeps of its way, against a network that is looked at by itself."""

import json
from dataclasses import replace

import numpy as np

from scratchnet.data import split
from scratchnet.lab.experiment import Settings, initialized, named, stream, train_stack
from scratchnet.lab.recording import LOOKED_AT, STEPS
from scratchnet.loss import CrossEntropy
from scratchnet.report.results import _plain

SETTINGS = replace(Settings(), sizes=(784, 20, 16, 10), epochs=1)


def trained(dataset, *arms, seeds=(0,), settings=SETTINGS, images=2000):
    return train_stack([named(arm) for arm in arms], seeds, dataset.images[:images], dataset.labels[:images], settings)


def test_it_looks_before_the_first_step_after_a_few_and_after_the_last(dataset):
    [run] = trained(dataset, "he_normal")
    assert list(run.recording["steps"]) == [0, 1, 10, 16]
    assert len(run.training_loss) == 16
    assert STEPS == (0, 1, 10, 100)
    assert {run.recording[name].shape for name in ("signal", "gradient", "distinct", "rank")} == {(4, 3)}


def test_the_first_look_is_at_the_initial_network(dataset):
    [run] = trained(dataset, "he_normal")
    images, labels = dataset.images[:2000], dataset.labels[:2000]
    _, validation = split(2000, rng=stream(0, "split"))
    network, rows = initialized(named("he_normal"), 0, SETTINGS), validation[:LOOKED_AT]
    X, Ys = images[rows], []
    for layer in network.layers:
        X = layer.forward(X)
        Ys.append(X)
    loss = CrossEntropy()
    loss.forward(X, labels[rows])
    dY, dYs = loss.backward(), []
    for layer in reversed(network.layers):
        dYs.insert(0, dY)
        dY = layer.backward(dY)
    linear = [0, 3, 6]
    assert np.allclose(run.recording["signal"][0], [np.mean(Ys[i] ** 2) for i in linear], rtol=1e-5)
    assert np.allclose(run.recording["gradient"][0], [np.mean(dYs[i] ** 2) for i in linear], rtol=1e-5)
    assert list(run.recording["distinct"][0]) == [20, 16, 10]


def test_looking_changes_no_number_of_the_training(dataset, monkeypatch):
    watched = trained(dataset, "he_normal", "zeros")
    monkeypatch.setattr("scratchnet.lab.recording.STEPS", ())
    for one, other in zip(watched, trained(dataset, "he_normal", "zeros"), strict=True):
        assert np.array_equal(one.training_loss, other.training_loss)
        assert one.validation_accuracy == other.validation_accuracy


def test_each_network_of_a_stack_has_its_own_recording(dataset):
    stack = trained(dataset, "he_normal", "rule_uniform", seeds=(0, 1))
    for run in stack:
        [alone] = trained(dataset, run.arm, seeds=(run.seed,))
        for name, values in run.recording.items():
            if name in ("y", "log_dY"):  # a number at the border of two bins may lie in either
                assert np.abs(values - alone.recording[name]).sum(axis=-1).max() <= 4, name
            else:
                assert np.allclose(values, alone.recording[name], rtol=1e-4, equal_nan=True), name


def test_zeros_keep_one_distinct_unit_and_ones_with_dropout_do_not(dataset):
    zeros, ones = trained(dataset, "zeros", "ones")
    assert list(zeros.recording["distinct"][:, 0]) == [1, 1, 1, 1]
    assert ones.recording["distinct"][0, 0] == 1
    assert ones.recording["distinct"][1, 0] == 20


def test_a_diverged_run_is_recorded_and_ready_for_json(dataset):
    [run] = trained(dataset, "constant:value=1e30", images=500)
    plain = _plain(run.recording)
    assert json.loads(json.dumps(plain, allow_nan=False))["steps"] == [0, 1, 4]
    assert plain["signal"][-1][-1] is None
