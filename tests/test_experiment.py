"""A comparison changes one thing, and its numbers do not depend on who computes them."""

import dataclasses
import math
from functools import partial

import numpy as np
import pytest
from comparing import ARMS, SETTINGS, same

from scratchnet import init
from scratchnet.data import split
from scratchnet.lab.experiment import (
    Arm,
    Settings,
    bytes_of_a_network,
    initialized,
    named,
    seen_rows,
    stream,
    train_stack,
)
from scratchnet.lab.parts import OPTIMIZERS, PartError
from scratchnet.lab.rehearsal import rehearse
from scratchnet.layers import PReLU, Tanh, states
from scratchnet.network import Network, mlp
from scratchnet.normalization import BatchNorm, LayerNorm
from scratchnet.optim import SGD
from scratchnet.residual import residual_mlp
from scratchnet.train import evaluate


def test_a_stack_over_arms_and_seeds_equals_the_separate_runs(dataset):
    images, labels = dataset.images[:1000], dataset.labels[:1000]
    together = train_stack(ARMS, [3, 5], images, labels, SETTINGS)
    separate = [run for arm in ARMS for seed in (3, 5) for run in train_stack([arm], [seed], images, labels, SETTINGS)]
    assert all(same(a, b) for a, b in zip(together, separate, strict=True))


def test_arms_of_one_seed_start_from_the_same_random_numbers():
    rule, centered = (
        initialized(Arm("", "", scheme), 7, SETTINGS).theta
        for scheme in (init.rule_uniform, lambda shape, *, rng: init.uniform(shape, rng=rng, low=-0.5, high=0.5))
    )
    first = 784 * 32
    np.testing.assert_allclose(centered[:first] / 0.5, rule[:first] * math.sqrt(784), atol=1e-6)


def test_streams_differ_by_seed_and_purpose_and_repeat():
    draws = {(s, p): stream(s, p).random() for s in (0, 1) for p in ("split", "weights", "order", "dropout")}
    assert len(set(draws.values())) == 8
    assert stream(1, "order").random() == draws[1, "order"]


def test_a_diverged_run_is_a_result(dataset):
    explode = Arm("explode", "explode", init.normal)
    settings = Settings(sizes=(784, 32, 16, 10), epochs=1, learning_rate=1e38)
    [run] = train_stack([explode], [0], dataset.images[:500], dataset.labels[:500], settings)
    assert run.diverged
    assert 0 <= run.validation_accuracy <= 1


def test_weights_that_float32_cannot_hold_diverge_without_a_warning(dataset):
    [run] = train_stack([named("normal:std=1e300")], [0], dataset.images[:400], dataset.labels[:400], SETTINGS)
    assert run.diverged


def test_steps_counts_the_short_last_batch():
    assert Settings().steps(60_000) == 2 * 480
    assert Settings(epochs=1, batch_size=7).steps(10) == 2


def test_no_epochs_leave_no_losses(dataset):
    [run] = train_stack(ARMS[:1], [0], dataset.images[:200], dataset.labels[:200], Settings(epochs=0))
    assert run.training_loss.shape == (0,)
    assert not run.diverged


def test_a_network_takes_at_least_its_parameters_gradient_and_adams_averages():
    assert bytes_of_a_network(Settings()) >= 4 * 4 * 235_146


# --- settings ---------------------------------------------------------------------------------------------------


def test_the_defaults_are_the_lessons():
    assert Settings().summary() == "784-256-128-10, relu, dropout 0.2, adam at 0.001, 2 epochs of batches of 100"


def test_every_setting_reaches_the_training(dataset):
    """Each change alone changes the losses: nothing is hard-coded."""
    images, labels = dataset.images[:500], dataset.labels[:500]
    changes = {
        "sizes": (784, 16, 10),
        "activation": Tanh,
        "normalization": LayerNorm,
        "dropout": 0.5,
        "optimizer": OPTIMIZERS["momentum"],
        "learning_rate": 0.01,
        "batch_size": 50,
        "epochs": 2,
        "validation": 0.5,
        "dtype": "float64",
        "build": lambda sizes, **kwargs: mlp([*sizes[:-1], 5, sizes[-1]], **kwargs),
        "choosing": True,
    }
    [plain] = train_stack(ARMS[:1], [0], images, labels, SETTINGS)
    for name, value in changes.items():
        [run] = train_stack(ARMS[:1], [0], images, labels, dataclasses.replace(SETTINGS, **{name: value}))
        assert not np.array_equal(run.training_loss, plain.training_loss), name
    assert {f.name for f in dataclasses.fields(Settings)} == {*changes, "device"}


NORMALIZED = {
    "LayerNorm": {"normalization": LayerNorm},
    "BatchNorm": {"normalization": BatchNorm},
    "Fixup": {"sizes": (784, 16, 16, 16, 10), "build": partial(residual_mlp, alpha=1, shifts=True)},
    "residual BatchNorm": {"sizes": (784, 16, 12, 16, 10), "build": residual_mlp, "normalization": BatchNorm},
}


@pytest.mark.parametrize("change", NORMALIZED.values(), ids=NORMALIZED)
def test_a_stack_with_normalization_or_skips_equals_the_separate_runs_and_learns(dataset, change):
    settings = dataclasses.replace(SETTINGS, epochs=4, **change)
    images, labels, arms = dataset.images[:1001], dataset.labels[:1001], ARMS[:2]  # the last batch is of one example
    rehearse(arms, 3, images, labels, settings)
    together = train_stack(arms, [3, 5], images, labels, settings)
    separate = [run for arm in arms for seed in (3, 5) for run in train_stack([arm], [seed], images, labels, settings)]
    assert all(same(a, b) for a, b in zip(together, separate, strict=True))
    assert all(run.training_loss[-9:-1].mean() < run.training_loss[:8].mean() for run in together)


def test_the_state_that_a_preparation_leaves_is_where_training_starts(dataset):
    """Without a step of learning, evaluation sees the running statistics that a preparation has set."""

    def seen(network, X, labels, *, rng):
        network.apply(init.linear(init.he_normal, rng=rng))
        for _ in range(50):
            network.forward(X, train=True)

    def unseen(network, X, labels, *, rng):
        network.apply(init.linear(init.he_normal, rng=rng))

    settings = dataclasses.replace(SETTINGS, normalization=BatchNorm, dropout=0.0, epochs=0)
    images, labels = dataset.images[:500], dataset.labels[:500]
    arms = [Arm("seen", "seen", preparation=seen), Arm("unseen", "unseen", preparation=unseen)]
    assert rehearse(arms, 0, images, labels, settings) == {"seen": "seen", "unseen": "unseen"}
    runs = train_stack(arms, [0], images, labels, settings)
    for arm, run in zip(arms, runs, strict=True):
        training, validation = split(len(images), rng=stream(0, "split"), validation=settings.validation)
        network = initialized(arm, 0, settings, images[seen_rows(training, 0)], labels)
        assert dict(states(network))["1.running_mean"].any() == (arm.key == "seen")
        expected = evaluate(network, images, labels, indices=validation)
        assert math.isclose(run.validation_loss, expected.loss, rel_tol=1e-5)
    assert runs[0].validation_loss != runs[1].validation_loss


@pytest.mark.parametrize(("name", "arm"), [("a scheme", ARMS[0]), ("lsuv", named("lsuv"))])
def test_normalization_stands_in_the_summary_and_a_scheme_that_cannot_deal_with_it_says_so(dataset, name, arm):
    settings = dataclasses.replace(SETTINGS, normalization=BatchNorm)
    assert "batch normalization, relu, dropout" in settings.summary()
    given = [arm], 0, dataset.images[:500], dataset.labels[:500], settings
    if name == "lsuv":
        with pytest.raises(PartError, match="the initialization lsuv does not work: the network has BatchNorm"):
            rehearse(*given)
    else:
        rehearse(*given)


def test_a_network_with_normalization_takes_more_memory():
    plain, normalized = bytes_of_a_network(Settings()), bytes_of_a_network(Settings(normalization=LayerNorm))
    assert normalized >= plain + 4 * (256 + 128) * 3 * 1000


def test_an_activations_own_parameter_is_learned_and_initialized_by_itself(dataset):
    settings = dataclasses.replace(SETTINGS, activation=PReLU)
    network = initialized(named("he_normal"), 0, settings)
    slopes = [layer for layer in network.layers if isinstance(layer, PReLU)]
    assert [float(layer.a) for layer in slopes] == [0.25, 0.25]
    together = train_stack(ARMS[:2], [3, 5], dataset.images[:1000], dataset.labels[:1000], settings)
    separate = [
        run
        for arm in ARMS[:2]
        for seed in (3, 5)
        for run in train_stack([arm], [seed], dataset.images[:1000], dataset.labels[:1000], settings)
    ]
    for a, b in zip(together, separate, strict=True):
        np.testing.assert_allclose(a.training_loss, b.training_loss, rtol=1e-5)  # da is summed over more than one axis


def test_a_scheme_that_asks_for_phi_is_given_the_networks_activation():
    tanh = dataclasses.replace(SETTINGS, activation=Tanh)
    own = Arm("own", "own", lambda shape, *, rng: init.edge_of_chaos(shape, rng=rng, phi=Tanh()))
    first = 784 * 32
    theta = initialized(named("edge_of_chaos"), 0, tanh).theta
    assert np.array_equal(theta[:first], initialized(own, 0, tanh).theta[:first])
    assert not np.array_equal(theta, initialized(named("edge_of_chaos"), 0, SETTINGS).theta)


def test_an_alias_and_a_name_are_the_same_arm_and_arguments_are_part_of_its_name():
    assert named("xavier_uniform").key == "glorot_uniform"
    assert named("kaiming_normal:a=0.2").key == "he_normal:a=0.2"
    assert named("torch").bias is init.torch_linear_bias


def test_a_name_with_arguments_is_the_function_with_them():
    with_gain = initialized(named("orthogonal:gain=1.5"), 0, SETTINGS).theta
    np.testing.assert_allclose(with_gain, 1.5 * initialized(named("orthogonal"), 0, SETTINGS).theta, rtol=1e-6)


def test_arguments_reach_the_biases_that_go_with_a_scheme():
    tanh = dataclasses.replace(SETTINGS, activation=Tanh)
    spread = {q: initialized(named(f"edge_of_chaos:q={q}"), 0, tanh).layers[0].b.std() for q in (0.1, 1)}
    assert spread[1] > 2 * spread[0.1]


def test_an_optimizer_of_ones_own_is_an_optimizer(dataset):
    """Any callable that takes theta, grad and learning_rate and returns something with a step."""
    own = dataclasses.replace(
        SETTINGS, optimizer=lambda theta, grad, learning_rate: SGD(theta, grad, learning_rate=0.1)
    )
    theirs = dataclasses.replace(SETTINGS, optimizer=SGD, learning_rate=0.1)
    a, b = (train_stack(ARMS[:1], [0], dataset.images[:500], dataset.labels[:500], s) for s in (own, theirs))
    assert same(a[0], b[0])


def test_a_network_of_networks_is_trained(dataset):
    def build(sizes, **kwargs):
        first, *rest = mlp(sizes, **kwargs).layers
        return Network([first, Network(rest)])

    settings = dataclasses.replace(SETTINGS, build=build)
    images, labels = dataset.images[:500], dataset.labels[:500]
    rehearse(ARMS[:1], 0, images, labels, settings)
    a, b = (train_stack(ARMS[:1], [0], images, labels, s) for s in (settings, SETTINGS))
    assert same(a[0], b[0])
