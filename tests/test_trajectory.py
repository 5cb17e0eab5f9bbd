"""Training looked at on the way: it is the training of a comparison, and the lesson's surprise is there."""

import numpy as np

from scratchnet import init
from scratchnet.data import split
from scratchnet.lab.experiment import Arm, Settings, initialized, seen_rows, stream, train_stack
from scratchnet.lab.maps import alone
from scratchnet.lab.trajectory import follow, stack, steps_up_to
from scratchnet.layers import Linear, states
from scratchnet.normalization import BatchNorm
from scratchnet.optim import Adam
from scratchnet.train import evaluate

SEEDS = [0, 1]


def walk(arm, dataset, dropout, at, sizes=(784, 32, 16, 10)):
    settings = Settings(sizes=sizes, dropout=dropout, epochs=1)
    network = stack(arm, SEEDS, dataset.images, dataset.labels, settings)
    optimizer = Adam(network.theta, network.grad)
    path = follow(network, optimizer, SEEDS, dataset.images, dataset.labels, settings, at=at)
    return path, network


def mean_of_inputs(shape, *, rng):
    return np.full(shape, 1 / shape[0])


def test_a_look_on_the_way_changes_nothing(dataset):
    """After one epoch, it is the network that a comparison trains."""
    arm = Arm("rule", "rule", init.rule_uniform)
    data = dataset.first(3000)
    settings = Settings(sizes=(784, 16, 10), epochs=1)
    last = settings.steps(3000)
    path, _ = walk(arm, data, 0.2, [0, 3, last], sizes=settings.sizes)
    for s, run in enumerate(train_stack([arm], SEEDS, data.images, data.labels, settings)):
        assert run.validation_accuracy == path.accuracy[-1, s]  # on 600 images, all of them
    assert path.steps == (0, 3, last)
    assert path.units == (16,)


def test_the_state_that_a_preparation_leaves_is_in_the_stack(dataset):
    """As in `train_stack`: running statistics decide what evaluation sees."""

    def prepared(network, X, labels, *, rng):
        network.apply(init.linear(init.he_normal, rng=rng))
        for _, A in states(network):
            A[...] = rng.uniform(1, 2, A.shape)

    arm = Arm("own", "own", init.he_normal, preparation=prepared)
    settings = Settings(sizes=(784, 8, 10), normalization=BatchNorm, epochs=0)
    network = stack(arm, SEEDS, dataset.images, dataset.labels, settings)
    losses = evaluate(network, dataset.images[:100], dataset.labels[:100]).loss
    training = [split(len(dataset.images), rng=stream(seed, "split"))[0] for seed in SEEDS]
    for s, seed in enumerate(SEEDS):
        seen = seen_rows(training[s], seed)
        one = initialized(arm, seed, settings, dataset.images[seen], dataset.labels[seen])
        for network_alone in (one, alone(network, (s,))):
            assert network_alone.replicas == ()
            found = evaluate(network_alone, dataset.images[:100], dataset.labels[:100])
            np.testing.assert_allclose(found.loss, losses[s], rtol=1e-6)


def test_dropout_frees_ones_from_its_symmetry_but_not_from_its_scale(dataset):
    """The lesson's surprise. Without dropout, the few units that differ do so by rounding: their rank is 1."""
    paths = {
        (name, p): walk(Arm(name, name, scheme), dataset, p, [0, 1, 24])[0]
        for name, scheme in (("zeros", init.zeros), ("ones", init.ones), ("mean", mean_of_inputs))
        for p in (0.0, 0.2)
    }
    for (name, p), path in paths.items():
        assert (path.distinct[0, 0] == 1).all()  # all start symmetric
        if name == "zeros" or not p:
            assert (path.distinct[-1, 0] <= 8).all(), name
        else:
            assert (path.distinct[1, 0] == 32).all(), name  # after one step
        assert path.rank[-1, 0].max() < 1.1 or (name, p) == ("mean", 0.2)
    assert (paths["mean", 0.2].rank[-1, 0] > 1.2).all()
    assert (paths["ones", 0.2].loss[-1] > 10 * np.log(10)).all()


def test_what_is_seen_is_that_of_the_network_that_is_left(dataset):
    path, network = walk(Arm("he", "he", init.he_normal), dataset, 0.2, [2, 5])
    weights = [layer.W for layer in network.layers if isinstance(layer, Linear)]
    assert path.distinct.shape == path.rank.shape == (2, 2, 2)
    assert (path.distinct[-1, 0] == 32).all()
    assert all(len(np.unique(W[s], axis=1).T) == W.shape[-1] for W in weights for s in (0, 1))
    assert path.loss.shape == (2, 2)
    assert evaluate(network, dataset.images, dataset.labels).loss.shape == (2,)


def test_steps_are_dense_at_the_start():
    assert steps_up_to(1) == [0, 1]
    assert steps_up_to(240) == [0, 1, 2, 3, 5, 10, 20, 30, 50, 100, 200, 240]
