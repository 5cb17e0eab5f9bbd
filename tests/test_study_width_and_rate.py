"""µP: its table, its coordinate check, the best rate between rates, and a rule that can come out each way."""

import numpy as np
import pytest

from scratchnet.lab.studies import width_and_rate
from scratchnet.lab.studies.width_and_rate import BASE, MU, USUAL, Trial, best_rate, coordinates, exponents
from scratchnet.lab.study import Laboratory, Outcome
from scratchnet.layers import parameters


def test_both_parametrizations_are_the_same_at_the_base_width():
    usual, mu = (width_and_rate.network_of(BASE, p, 0) for p in (USUAL, MU))
    assert np.array_equal(usual.theta, mu.theta)
    assert (width_and_rate.rates_of(mu, MU) == 1).all()


def test_with_mu_p_the_rates_and_variances_are_those_of_the_table():
    network = width_and_rate.network_of(4 * BASE, MU, 0)
    rates = width_and_rate.rates_of(network, MU)
    network.theta[...] = rates
    found = {name: set(A.flat) for name, A, _ in parameters(network)}
    assert found == {"0.W": {1}, "0.b": {1}, "2.W": {0.25}, "2.b": {1}, "4.W": {0.25}, "4.b": {1}}
    W = [width_and_rate.network_of(4 * BASE, MU, seed).layers[-1].W for seed in range(5)]
    assert np.var(W) == pytest.approx(1 / (4 * BASE) / 4, rel=0.1)


def test_the_first_step_of_adam_moves_a_hidden_layer_as_far_at_any_width_in_mu_p_only(dataset):
    """After one step each weight has moved by its rate, so the exponents have no seeds' worth of noise in them."""
    widths = np.array([64, 256, 1024])
    moved = np.array(
        [
            [
                coordinates(Trial(width, p, (2.0**-10,), 0, 1), dataset.images, dataset.labels, lambda n: None)
                for width in widths
            ]
            for p in (USUAL, MU)
        ]
    )
    usual, mu = exponents(widths, moved)
    assert mu == pytest.approx(usual - [0, 1, 1], abs=0.2)
    assert np.abs(mu[:2]).max() < 0.3


def test_the_best_rate_is_the_lowest_point_of_a_parabola():
    rates = 2.0 ** np.arange(-8, 0)
    loss = np.exp((np.log2(rates) + 4.3) ** 2 / 10)
    assert best_rate(rates, loss) == pytest.approx(-4.3)
    assert best_rate(rates, rates) == -8
    assert best_rate(rates, np.where(rates > 2.0**-5, np.inf, loss)) == -5


def test_losses_and_movements_have_a_place_for_each_seed_and_width(dataset):
    size = {"widths": (8, 16), "rates": (0.001, 0.01, 0.1), "seeds": 3, "steps": 20}
    numbers = width_and_rate.measure(Laboratory(dataset, jobs=1), **size)
    assert numbers["loss"][MU].shape == (3, 2, 3)
    assert numbers["moved"][USUAL].shape == (3, 2, 3)
    width_and_rate.judge(numbers)


def outcome(usual, mu, power=0.0):
    """The rule's outcome, where the best rate drifts by so many powers of 2, and µP's outputs grow like n^power."""
    widths, rates = np.array([64, 1024]), 2.0 ** np.arange(-14, 0)
    x = np.log2(rates)
    seeds = np.array([-0.2, -0.1, 0, 0.1, 0.25])[:, None]

    def loss(drift):
        best = np.stack([-7 + 0 * seeds, -7 + drift + seeds], axis=1)
        return np.exp((x - best) ** 2 / 20)

    def moved(power):
        return np.broadcast_to((widths**power)[None, :, None], (5, 2, 3))

    numbers = {"widths": widths, "rates": rates, "steps": 1}
    numbers |= {"loss": {USUAL: loss(usual), MU: loss(mu)}, "moved": {USUAL: moved(0.9), MU: moved(power)}}
    return width_and_rate.judge(numbers).outcome


def test_the_rule_can_come_out_each_way():
    assert outcome(-3, 0) == Outcome.HELD
    assert outcome(0, 0) == outcome(-3, -3) == outcome(-3, 3) == Outcome.DID_NOT_HOLD
    assert outcome(-1.05, 0) == outcome(-3, 0, power=0.5) == Outcome.UNDECIDED
