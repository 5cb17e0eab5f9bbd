"""Shape or scale, momentum, lottery tickets: tiny versions, and rules that can come out each way."""

import numpy as np
import pytest

from scratchnet.lab.studies import lottery, momentum, shape_or_scale
from scratchnet.lab.study import Laboratory, Outcome
from scratchnet.network import mlp


def wobbling(means, seeds=6):
    """Values `(seeds, …)` around the means, with a spread that differs from place to place."""
    means = np.asarray(means, dtype=float)
    return means + np.random.default_rng(3).normal(0, 0.2, (seeds, *means.shape))


# --- shape or scale ---


def test_the_four_arms_have_two_shapes_and_two_variances(rng):
    for (shape, name), arm in shape_or_scale.ARMS.items():
        W = arm.scheme((300, 400), rng=rng)
        variance = {shape_or_scale.WIDE: 1 / 300, shape_or_scale.NARROW: 1 / 900}[name]
        assert abs(W.var() / variance - 1) < 0.03
        assert (np.abs(W).max() <= np.sqrt(3 * variance) + 1e-7) == (shape == "uniform")


def test_shape_or_scale_is_measured_for_each_width(dataset):
    numbers = shape_or_scale.measure(Laboratory(dataset, jobs=1), widths=(8, 16), seeds=3, images=1000)
    assert {a.shape for a in numbers["accuracy"].values()} == {(3, 2)}
    assert len(shape_or_scale.judge(numbers).rows) == 8


@pytest.mark.parametrize(
    ("shape", "outcome"), [(3.0, Outcome.HELD), (0.0, Outcome.DID_NOT_HOLD), (-3.0, Outcome.UNDECIDED)]
)
def test_shape_or_scale_can_come_out_each_way(shape, outcome):
    accuracy = {}
    for i, ((kind, name), arm) in enumerate(shape_or_scale.ARMS.items()):
        mean = 80 + 5 * (name == shape_or_scale.WIDE) + shape * (kind == "normal")
        accuracy[arm.key] = mean + np.random.default_rng(i).normal(0, 0.2, (8, 2))
    assert shape_or_scale.judge({"widths": (32, 128), "accuracy": accuracy}).outcome == outcome


# --- momentum ---


def test_a_bad_scale_stays_bad_where_nothing_reaches_the_logits(dataset):
    """A quarter of He's scale over 8 layers: the signal's mean square falls by 16 a layer, and nothing is learned."""
    numbers = momentum.measure(
        Laboratory(dataset, jobs=1), scales=(0.25, 1.0), momenta=(0.0, 0.9), rates=(0.1,), seeds=3, images=1500
    )
    assert numbers["accuracy"].shape == (2, 3, 2, 1)
    assert numbers["accuracy"][..., 0, :].max() < 25
    assert (numbers["accuracy"][1, :, 1] > numbers["accuracy"][1, :, 0] + 5).all()


@pytest.mark.parametrize(
    ("scales", "outcome"),
    [((20, 80, 30), Outcome.HELD), ((80, 80, 80), Outcome.DID_NOT_HOLD), ((20, 80, 80), Outcome.UNDECIDED)],
)
def test_momentum_can_come_out_each_way(scales, outcome):
    accuracy = wobbling([scales, scales]).swapaxes(0, 1)[..., None]  # (momenta, seeds, scales, rates)
    found = momentum.judge({"scales": (0.25, 1.0, 4.0), "momenta": (0.0, 0.9), "accuracy": accuracy})
    assert found.outcome == outcome


# --- lottery ---


def test_pruning_takes_the_smallest_fifth_of_each_layer_and_no_bias(rng):
    network = mlp([40, 30, 10])
    for layer in network.layers[::2]:
        layer.W[...] = rng.normal(size=layer.W.shape)
    keep = np.ones(network.theta.size, dtype=bool)
    once = lottery.prune(network, keep)
    twice = lottery.prune(network, once)
    first, last = (layer.W.size for layer in network.layers[::2])
    assert (~once[:first]).sum() == round(0.2 * first)
    assert (~twice[:first]).sum() == round(0.2 * first) + round(0.2 * (first - round(0.2 * first)))
    assert (~once[first + 30 : first + 30 + last]).sum() == round(0.1 * last)
    assert once[first : first + 30].all()
    gone, left = (np.abs(network.theta[:first][mask]) for mask in (~once[:first], once[:first]))
    assert gone.max() < left.min()
    assert not twice[~once].any()  # what is gone stays gone


def test_a_round_of_the_lottery_starts_from_the_same_weights_and_prunes(dataset):
    found = lottery.play((0, 3, 600, 1, 0.0012), dataset.images, dataset.labels, lambda steps: None)
    assert found["accuracy"].shape == found["loss"].shape == (3, 3)
    assert np.allclose(found["left"], [100, 80, 64], atol=1)


@pytest.mark.parametrize(
    ("own", "outcome"), [(85, Outcome.HELD), (75, Outcome.DID_NOT_HOLD), (80, Outcome.DID_NOT_HOLD)]
)
def test_the_lottery_can_come_out_each_way(own, outcome):
    accuracy = wobbling([[own, 80, 80]] * 3)
    loss = wobbling([[1 - (own - 80) / 5, 1, 1]] * 3)
    found = lottery.judge({"left": [100, 20, 10], "accuracy": accuracy, "loss": loss})
    assert found.outcome == outcome
    assert {len(row) for row in found.rows} == {6}


def test_a_ticket_that_is_only_faster_is_not_told():
    accuracy, loss = wobbling([[80, 80, 80]] * 3), wobbling([[0.2, 3, 3]] * 3)
    assert lottery.judge({"left": [100, 20, 10], "accuracy": accuracy, "loss": loss}).outcome == Outcome.UNDECIDED
