"""Yang & Hu 2021: in the usual parametrization the best learning rate moves with the width, and in µP it stays."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.data import split
from scratchnet.lab.diagnostics import mean_size
from scratchnet.lab.executors import Tick
from scratchnet.lab.experiment import stream
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, plus_minus
from scratchnet.layers import Linear, parameters
from scratchnet.network import Network, mlp
from scratchnet.optim import Adam
from scratchnet.train import fit

BASE = 64  # the width at which both parametrizations are the same
USUAL, MU = "usual", "µP"
RATES = tuple(2.0**k for k in range(-13, -3))
LAST = 30  # batches, whose mean loss says how good a rate is
BATCH = 100
MOVES, STAYS = 1.0, 1.0  # in powers of 2
FLAT = 0.25  # the largest exponent of the width that counts as flat


def network_of(width: int, parametrization: str, seed: int) -> Network:
    """784-n-n-10 with ReLU. He's weights in the hidden layers and LeCun's in the last, for both at the width BASE.

    µP, by the table of Yang & Hu for Adam (Table 3 of "Tensor Programs V", from memory), n the width:

        layer               Var w                     Adam's rate
        first, all biases   2/784, and b = 0          α
        hidden              2/n                       α·BASE/n
        last                1/n · BASE/n              α·BASE/n

    The usual parametrization has the same without BASE/n. Adam's step is about α for each weight, whatever the
    gradient. A unit sums n of them, each times an input of ordinary size, and many in one direction, so it moves by
    about n·α. Hence α·BASE/n for the weights that have n inputs. The first layer's number of inputs does not change.
    """
    rng = np.random.default_rng([seed, width])
    network = mlp([784, width, width, 10])
    network.apply(init.linear(init.he_normal, rng=rng))
    last = network.layers[-1]
    last.W[...] = init.lecun_normal(last.W.shape, rng=rng)
    if parametrization == MU:
        last.W *= np.sqrt(BASE / width)
    return network


def rates_of(network: Network, parametrization: str) -> np.ndarray:
    """`(size,)`: what α is multiplied by, for each parameter: the last column of the table above."""
    first = network.layers[0]
    width = first.W.shape[-1]
    factors = [
        np.full(A.size, BASE / width if parametrization == MU and A.ndim == 2 and A is not first.W else 1.0)
        for _, A, _ in parameters(network)
    ]
    return np.concatenate(factors)


@dataclass(frozen=True)
class Trial:
    """One network, trained at several rates side by side."""

    width: int
    parametrization: str
    rates: tuple[float, ...]
    seed: int
    steps: int


def losses(spec: Trial, images: np.ndarray, labels: np.ndarray, tick: Tick) -> np.ndarray:
    """`(rates,)`: the mean loss of the last batches. Infinite where it is worse than a blind guess."""
    network = network_of(spec.width, spec.parametrization, spec.seed)
    factors = rates_of(network, spec.parametrization)
    network.replicate((len(spec.rates),))
    optimizer = Adam(network.theta, network.grad, learning_rate=np.outer(spec.rates, factors))
    training, _ = split(len(images), rng=stream(spec.seed, "split"))
    some = stream(spec.seed, "seen").permutation(training)[: spec.steps * BATCH]
    order = stream(spec.seed, "order")
    history = fit(
        network, optimizer, images, labels, epochs=1, batch_size=BATCH, rng=order, indices=some, on_step=lambda: tick(1)
    )
    loss = history[-LAST:].mean(axis=0)
    return np.where(loss < np.log(10), loss, np.inf)


def coordinates(spec: Trial, images: np.ndarray, labels: np.ndarray, tick: Tick) -> np.ndarray:
    """`(3,)`: how far each Linear layer's own steps have moved its outputs, E|X_t (W_t − W_0)|, after a few of them.

    This is µP's coordinate check, layer by layer: no layer's may depend on the width. The change of its outputs as a
    whole, y_t − y_0, contains what earlier layers add as well. Here that hides it: the first layer sums 784 inputs,
    and so moves as far as a hidden layer of 784 units does.
    """
    network = network_of(spec.width, spec.parametrization, spec.seed)
    layers = [layer for layer in network.layers if isinstance(layer, Linear)]
    start = [layer.W.copy() for layer in layers]
    few = stream(spec.seed, "seen").permutation(len(images))[: spec.steps * BATCH]
    rates = spec.rates[0] * rates_of(network, spec.parametrization)
    optimizer = Adam(network.theta, network.grad, learning_rate=rates)
    fit(network, optimizer, images, labels, epochs=1, batch_size=BATCH, rng=stream(spec.seed, "order"), indices=few)
    tick(spec.steps)
    network.forward(images[:500])
    return np.array([mean_size(layer.X @ (layer.W - W_0)) for layer, W_0 in zip(layers, start, strict=True)])


def measure(
    laboratory: Laboratory,
    *,
    widths: tuple[int, ...] = (64, 128, 256, 512, 1024),
    rates: tuple[float, ...] = RATES,
    seeds: int = 5,
    steps: int = 150,
    checked: tuple[float, int] = (2.0**-10, 4),
) -> dict[str, Any]:
    """For each parametrization the losses `(seeds, widths, rates)` and the movements `(seeds, widths, layers)`.

    `checked` is the rate and the number of steps of the coordinate check.
    """
    cases = [(p, seed, width) for p in (USUAL, MU) for seed in range(seeds) for width in widths]
    trials = [Trial(width, p, rates, seed, steps) for p, seed, width in cases]
    checks = [Trial(width, p, checked[:1], seed, checked[1]) for p, seed, width in cases]
    shape = (2, seeds, len(widths), -1)
    loss, moved = (
        np.array(laboratory.each(work, specs)).reshape(shape)
        for work, specs in ((losses, trials), (coordinates, checks))
    )
    return {
        "widths": widths,
        "rates": rates,
        "steps": steps,
        "loss": dict(zip((USUAL, MU), loss, strict=True)),
        "moved": dict(zip((USUAL, MU), moved, strict=True)),
    }


def best_rate(rates: np.ndarray, loss: np.ndarray) -> float:
    """log₂ of the best rate: the lowest point of a parabola through the least loss and its two neighbours, in log-log.

    At an end of the rates, or beside a network that diverged, it is the rate of the least loss itself.
    """
    k = int(np.argmin(loss))
    x = np.log2(rates)
    if k in (0, len(rates) - 1) or not np.isfinite(loss[k - 1 : k + 2]).all():
        return float(x[k])
    left, low, right = np.log(loss[k - 1 : k + 2])
    return float(x[k] + (x[k + 1] - x[k]) * (left - right) / (2 * (left - 2 * low + right)))


def exponents(widths: np.ndarray, moved: np.ndarray) -> np.ndarray:
    """`(seeds, layers)`: the e in E|y_t − y_0| ∝ n^e, by least squares in log-log, from `(seeds, widths, layers)`."""
    x = np.log(widths) - np.log(widths).mean()
    return np.einsum("w,swl->sl", x, np.log(moved)) / (x @ x)


def judge(numbers: Mapping[str, Any]) -> Finding:
    widths, rates = np.asarray(numbers["widths"]), np.asarray(numbers["rates"])
    loss = {p: np.asarray(numbers["loss"][p], np.float64) for p in (USUAL, MU)}
    best = {p: np.array([[best_rate(rates, row) for row in seed] for seed in loss[p]]) for p in loss}
    grows = {p: exponents(widths, np.asarray(numbers["moved"][p])) for p in loss}
    drift = {p: b[:, -1] - b[:, 0] for p, b in best.items()}
    found = verdicts(
        {"moves": -drift[USUAL] - MOVES, "does not rise": STAYS - drift[MU], "does not fall": STAYS + drift[MU]}
    )
    is_mu = bool((np.abs(grows[MU].mean(axis=0)) < FLAT).all() and (grows[USUAL].mean(axis=0)[1:] > FLAT).all())
    if not is_mu:
        outcome = Outcome.UNDECIDED
    elif all(v.established and v.difference.mean > 0 for v in found.values()):
        outcome = Outcome.HELD
    elif any(v.established and v.difference.mean < 0 for v in found.values()):
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.UNDECIDED
    answer = (
        f"From width {widths[0]} to {widths[-1]}, the best rate changes by a factor {2 ** drift[USUAL].mean():.2g} in "
        f"the usual parametrization and {2 ** drift[MU].mean():.2g} in µP."
    )
    labels = [f"width {width}" for width in widths]
    finite = {p: np.where(np.isfinite(x).all(axis=0), x, np.nan) for p, x in loss.items()}
    panels = [
        Lines(
            f"Training loss after {numbers['steps']} steps: {p}",
            "Learning rate α",
            "Mean loss of the last batches",
            {label: (rates, finite[p][:, i]) for i, label in enumerate(labels)},
            log_x=True,
            log_y=True,
        )
        for p in loss
    ]
    panels.append(
        Lines(
            "The best rate",
            "Width",
            "Best learning rate α",
            {p: (widths, 2**b) for p, b in best.items()},
            log_x=True,
            log_y=True,
        )
    )
    names = ("first", "hidden", "last")
    panels.append(
        Lines(
            "Coordinate check: what a layer's own steps move",
            "Width",
            "Mean |change of its outputs|, a few steps",
            {
                f"{p}, {name} layer": (widths, np.asarray(numbers["moved"][p])[..., layer])
                for p in loss
                for layer, name in enumerate(names)
                if layer > 0
            },
            log_x=True,
            log_y=True,
        )
    )
    rows = [["width", *(f"log₂ best rate, {p}" for p in loss), *(f"loss there, {p}" for p in loss)]]
    for i, width in enumerate(widths):
        rows.append([str(width), *(plus_minus(b[:, i], "{:.2f}") for b in best.values())])
        rows[-1] += [plus_minus(x[:, i].min(axis=-1), "{:.3f}") for x in loss.values()]
    rows.append(["coordinate check", "power of n, usual", "power of n, µP", "", ""])
    for layer, name in enumerate(names):
        rows.append([f"{name} layer", *(plus_minus(e[:, layer], "{:.2f}") for e in grows.values()), "", ""])
    return Finding(outcome, answer, panels, rows)


STUDY = Study(
    name="width_and_rate",
    title="Does the best learning rate depend on the width?",
    source="Yang & Hu 2021, ICML, arXiv 2011.14522; Yang et al. 2021, NeurIPS, arXiv 2203.03466 (tables from memory)",
    claim="""With the usual initial weights and one learning rate for all of them, the best rate falls as a network gets
    wider. In the maximal update parametrization, µP, every layer's outputs change by as much at any width, and the best
    rate stays the same: it can be found with a small network.""",
    experiment=f"""784-n-n-10 with ReLU, n from 64 to 1024, trained by Adam for 150 steps of 100 images of
    Fashion-MNIST at 10 learning rates, powers of 2. With µP, where n is {BASE} times k, the hidden and the last layer
    have 1/k of the rate, and the last layer 1/k of the variance as well (the paper's table for Adam). A rate is as good
    as the mean loss of the last {LAST} batches; a parabola through the three best puts the best rate between them.
    Coordinate check: how far each layer's own changes have moved its outputs after 4 steps at 2^−10, and with which
    power of the width.""",
    rule=f"""It holds if, from the narrowest to the widest, the usual parametrization's best rate falls to less than
    half, and µP's neither doubles nor halves; each established over the seeds (paired Student's tests of log₂ rate,
    Holm's correction). It does not hold if the contrary of one of them is established. Unless the coordinate check says
    that our µP is one (all its powers within ±{FLAT:g} on average, and above {FLAT:g} for the hidden and the last layer
    of the usual one), nothing can be told.""",
    measure=measure,
    judge=judge,
    remarks="""Our µP passes the coordinate check. Its best rate rises from width 64 to 256 and then stays, at 2^−6.8,
    2^−6.8 and 2^−6.7, while the usual one's falls by about half with each doubling from 512 on. But µP's minimum is so
    flat that five seeds do not tell a rise of a factor 1.8 from one of 2. What one wants from it is there: the rate
    that is best for 64 units, 2^−8, costs 1024 units 0.005 of loss in µP, and 0.035 in the usual parametrization. Yet
    at its own best rate the usual network of 1024 units has the lower loss, 0.486 against 0.512, with each of the five
    seeds: µP makes the small network's rate right, and not the large network's result better.""",
    quick={"widths": (64, 256), "rates": RATES[::2], "seeds": 3, "steps": 60},
)
