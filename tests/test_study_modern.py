"""What hides a bad start in modern networks: tiny versions, and rules that can come out each way."""

import numpy as np
import pytest

from scratchnet.lab.studies import fixup, normalization_forgives, skipinit
from scratchnet.lab.study import Laboratory, Outcome


def wobbling(means, seeds=6):
    """Values `(…, seeds)` around the means, with a spread that differs from place to place."""
    means = np.asarray(means, dtype=float)[..., None]
    return means + np.random.default_rng(3).normal(0, 0.2, (*means.shape[:-1], seeds))


def test_normalization_is_measured_for_each_start_and_depth(dataset):
    numbers = normalization_forgives.measure(Laboratory(dataset, jobs=1), depths=(1, 2), seeds=3, images=600)
    assert numbers["accuracy"].shape == (3, 4, 2, 3)
    assert len(normalization_forgives.judge(numbers).panels) == 3


def test_with_batchnorm_he_and_four_times_he_are_the_same_start_at_first(dataset):
    """The scale of the weights cancels, up to ε, so the first losses agree, and without normalization they do not."""
    from dataclasses import replace
    from functools import partial

    from scratchnet.lab.experiment import Settings, train_stack
    from scratchnet.network import mlp

    arms = [normalization_forgives.STARTS[name] for name in ("He", "four times He")]
    first = {}
    for name, normalization in normalization_forgives.NORMALIZATIONS.items():
        build = partial(mlp, normalization=normalization)
        settings = replace(Settings(), sizes=(784, 64, 64, 10), build=build, dropout=0.0, epochs=1, batch_size=300)
        # the last layer is not normalized: its weights are what differs, so compare relative to ln 10
        runs = train_stack(arms, [0], dataset.images[:400], dataset.labels[:400], settings)
        first[name] = [run.training_loss[0] for run in runs]
    apart = {name: b / a for name, (a, b) in first.items()}
    assert apart["BatchNorm"] < apart["no normalization"] / 2
    assert apart["LayerNorm"] < apart["no normalization"] / 2


FORGIVEN = [[20, 60, 80, 10], [80, 81, 80, 79], [80, 81, 80, 79]]
UNFORGIVEN = [[20, 60, 80, 10], [40, 81, 80, 79], [80, 81, 80, 79]]


@pytest.mark.parametrize(
    ("table", "outcome"),
    [
        (FORGIVEN, Outcome.HELD),
        (UNFORGIVEN, Outcome.DID_NOT_HOLD),
        ([[80, 80, 80, 80]] * 3, Outcome.UNDECIDED),
    ],
)
def test_normalization_forgives_can_come_out_each_way(table, outcome):
    accuracy = wobbling(np.asarray(table)[..., None])  # (normalizations, starts, depths, seeds)
    assert normalization_forgives.judge({"depths": (20,), "accuracy": accuracy}).outcome == outcome


@pytest.mark.parametrize("one", [fixup, skipinit], ids=["fixup", "skipinit"])
def test_a_race_of_residual_networks_reports_each_kind_at_each_number_of_blocks(dataset, one):
    numbers = one.measure(Laboratory(dataset, jobs=1), blocks=(1, 2), rates=(0.003, 0.01), seeds=3, images=500)
    assert numbers["accuracy"].shape == (3, 2, 3)
    assert one.judge(numbers).rows[0] == ["start", "1 blocks", "2 blocks"]


def test_a_rate_that_diverges_is_not_the_best(dataset):
    """With a rate of 10⁶ every network is at chance, so the other rate is chosen."""
    only = {"He": fixup.KINDS["He"]}
    laboratory = Laboratory(dataset, jobs=1)
    both, one = (
        fixup.race(laboratory, only, blocks=[1], rates=rates, seeds=3, images=1500) for rates in ((0.01, 1e6), (0.01,))
    )
    assert np.array_equal(both, one)


@pytest.mark.parametrize(
    ("last", "outcome"),
    [((20, 80, 79), Outcome.HELD), ((20, 80, 60), Outcome.DID_NOT_HOLD), ((79, 80, 79), Outcome.UNDECIDED)],
)
def test_fixup_can_come_out_each_way(last, outcome):
    accuracy = wobbling(np.asarray(last)[:, None])
    assert fixup.judge({"blocks": (48,), "accuracy": accuracy}).outcome == outcome


@pytest.mark.parametrize(
    ("ends", "outcome"),
    [((20, 80), Outcome.HELD), ((90, 80), Outcome.DID_NOT_HOLD), ((20, 50), Outcome.DID_NOT_HOLD)],
)
def test_skipinit_can_come_out_each_way(ends, outcome):
    one, zero = ends
    accuracy = wobbling([[80, one], [80, 80], [81, zero]])
    assert skipinit.judge({"blocks": (4, 48), "accuracy": accuracy}).outcome == outcome
