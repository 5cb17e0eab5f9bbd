"""What a training keeps of its way, against a network that is looked at by itself."""

import json
from dataclasses import replace

import numpy as np
import pytest

from scratchnet.data import split
from scratchnet.lab.experiment import Settings, initialized, named, stream, train_stack
from scratchnet.lab.recording import BINS, LOOKED_AT, STEPS, histogram
from scratchnet.layers import Tanh
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


def test_a_histogram_counts_every_output_in_equal_parts_of_its_range(dataset, rng):
    [run] = trained(dataset, "he_normal")
    assert run.recording["y"].shape == run.recording["log_dY"].shape == (4, 3, BINS)
    assert (run.recording["y"].sum(axis=-1) == LOOKED_AT * np.array([20, 16, 10])).all()
    A = rng.normal(size=(2, 3, 50, 8))
    A[0, 0, 0, :3] = [np.nan, np.inf, -np.inf]
    counts, ends = histogram(A)
    for a, s in np.ndindex(2, 3):
        flat = A[a, s][np.isfinite(A[a, s])]
        assert np.array_equal(counts[a, s], np.histogram(flat, BINS)[0])
        assert ends[a, s].tolist() == [flat.min(), flat.max()]


def test_equal_numbers_are_one_bar_and_no_number_is_none():
    counts, ends = histogram(np.full((4, 3), 2.5))
    assert (counts[BINS // 2], counts.sum()) == (12, 12)
    assert ends.tolist() == [2.5, 2.5]
    counts, ends = histogram(np.full((4, 3), np.nan))
    assert counts.sum() == 0
    assert np.isnan(ends).all()


def test_gradients_are_counted_by_powers_of_ten_without_those_that_are_zero(dataset):
    [run] = trained(dataset, "he_normal")
    counts, ends = run.recording["log_dY"][0], run.recording["log_dY_range"][0]
    assert counts[2].sum() == LOOKED_AT * 10  # P − T is never 0,
    assert 0.2 < counts[0].sum() / (LOOKED_AT * 20) < 0.8  # and where ReLU is off, the gradient is
    assert 10 ** ends[2, 1] <= 1 / LOOKED_AT  # |P − T|/n


def test_each_layer_has_its_units_and_what_is_usual_for_its_activation(dataset):
    [relu] = trained(dataset, "he_normal")
    [tanh] = trained(dataset, "he_normal", settings=replace(SETTINGS, activation=Tanh))
    assert list(relu.recording["units"]) == [20, 16, 10]
    assert np.allclose(relu.recording["usual"][:2], 0.5, atol=0.01)
    assert np.allclose(tanh.recording["usual"][:2], 0.029, atol=0.002)
    assert np.isnan(relu.recording["usual"][2])
    assert (tanh.recording["silent"][:, :2] == 0).all()
    [zeros] = trained(dataset, "zeros")
    assert (zeros.recording["silent"][:, :2] == 1).all()


def test_the_loss_of_a_look_is_that_of_the_same_images(dataset):
    [run] = trained(dataset, "zeros")
    assert run.recording["loss"][0] == pytest.approx(np.log(10))
    assert run.recording["images"].shape == (1,)


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
