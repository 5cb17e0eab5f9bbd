"""Pretorius et al. 2018: with dropout, the signal of a ReLU network grows from layer to layer under He's rule."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab import outputs
from scratchnet.lab.executors import Tick
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, accuracies, plus_minus, train
from scratchnet.layers import Linear
from scratchnet.network import mlp
from scratchnet.optim import SGD, Adam

NEAR = 0.05  # the share by which a measured factor may differ from the theory's
WIDTH, NETWORKS = 100, 8
OPTIMIZERS = {"Adam": (Adam, 0.001), "SGD": (SGD, 0.01)}


def schemes(p: float) -> dict[str, init.Scheme]:
    """He's rule, Var w = 2/n_in, and the corrected one, Var w = 2(1 − p)/n_in."""
    return {"He": init.he_normal, "corrected": partial(init.variance_scaling, scale=2 * (1 - p))}


def sizes(spec: tuple[float, str, int, int, bool], images: np.ndarray, labels: np.ndarray, tick: Tick) -> np.ndarray:
    """`(layers, networks)`: the mean square q_l of each hidden layer's outputs, before the activation.

    Dropout keeps a unit with probability 1 − p and divides it by 1 − p. So it multiplies the mean square by
    (1 − p)·1/(1 − p)² = 1/(1 − p), and with ReLU, which halves it,

        q_next = n_in·Var w·(q/2)·1/(1 − p)

    which is q/(1 − p) under He's rule. Equal signals need Var w = 2(1 − p)/n_in. In evaluation nothing is dropped.
    """
    p, scheme, depth, seed, dropping = spec
    masks, weights = np.random.default_rng([seed, 0]), np.random.default_rng([seed, 1])
    network = mlp([images.shape[1], *[WIDTH] * depth, 10], dropout=p, rng=masks, replicas=(NETWORKS,))
    network.apply(init.linear(schemes(p)[scheme], rng=weights))
    Ys = outputs.outputs(network, images[seed * 100 : (seed + 1) * 100], train=dropping)
    tick(1)
    return np.array(
        [outputs.mean_square(Y) for layer, Y in zip(network.layers, Ys, strict=True) if isinstance(layer, Linear)]
    )[:-1]


def measure(
    laboratory: Laboratory,
    *,
    ps: tuple[float, ...] = (0.2, 0.5),
    depths: tuple[int, ...] = (2, 5, 10, 15, 20),
    layers: int = 30,
    seeds: int = 5,
    images: int = 20_000,
) -> dict[str, Any]:
    """Signals, `(ps, schemes, train or evaluate, seeds, layers, networks)`, and accuracies in percent after training.

    Accuracies are `(optimizers, ps, schemes, seeds, depths)`.
    """
    names = list(schemes(0.0))
    specs = [(*key, layers, seed, dropping) for *key, dropping, seed in product(ps, names, (True, False), range(seeds))]
    q = np.array(laboratory.each(sizes, specs)).reshape(len(ps), 2, 2, seeds, layers, NETWORKS)
    cells = list(product(OPTIMIZERS.values(), ps, range(seeds), depths))
    trainings = []
    for (optimizer, rate), p, seed, depth in cells:
        network = (784, *[WIDTH] * depth, 10)
        settings = Settings(sizes=network, dropout=p, optimizer=optimizer, learning_rate=rate, epochs=2)
        arms = [Arm(name, name, scheme) for name, scheme in schemes(p).items()]
        trainings.append(Training(arms, [seed], settings, images))
    runs = laboratory.each(train, trainings)
    accuracy = np.array([[accuracies(some, Arm(name, name))[0] for name in names] for some in runs])
    accuracy = np.moveaxis(accuracy.reshape(len(OPTIMIZERS), len(ps), seeds, len(depths), 2), -1, 2)
    return {"ps": ps, "depths": depths, "seeds": seeds, "images": images, "signal": q, "accuracy": accuracy}


def factors(q: np.ndarray) -> np.ndarray:
    """`(…, seeds)`: what a layer multiplies the mean square by, the mean of q_next/q over layers and networks.

    Its expectation is n_in·Var w/(2(1 − p)) at any width, since y is as likely as −y.
    """
    return (q[..., 1:, :] / q[..., :-1, :]).mean(axis=(-2, -1))


def judge(numbers: Mapping[str, Any]) -> Finding:
    ps, depths = list(numbers["ps"]), list(numbers["depths"])
    q, accuracy = np.asarray(numbers["signal"]), np.asarray(numbers["accuracy"])
    names = list(schemes(0.0))
    factor = factors(q)  # (ps, schemes, train or evaluate, seeds)
    theory = np.array([[1 / (1 - p), 1.0] for p in ps])
    as_said = bool((abs(factor[:, :, 0].mean(axis=-1) / theory - 1) <= NEAR).all())
    gain = accuracy[0, :, 1] - accuracy[0, :, 0]  # with Adam, corrected − He: (ps, seeds, depths)
    found = verdicts({(i, d): gain[i, :, d] for i in range(len(ps)) for d in range(len(depths))})
    gains = [verdict.difference.mean for verdict in found.values() if verdict.established]
    if not as_said or min(gains, default=0) < 0:
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.HELD if gains else Outcome.UNDECIDED
    shown = factor[-1, :, 0].mean(axis=-1)
    better = [d for d in range(len(depths)) if found[len(ps) - 1, d].established and gain[-1, :, d].mean() > 0]
    trained = (
        f"after training, corrected weights are ahead with {' and '.join(str(depths[d]) for d in better)} layers"
        if better
        else "after training, no depth shows corrected weights ahead"
    )
    answer = (
        f"With dropout {ps[-1]:g}, a layer multiplies the mean square by {shown[0]:.2f} under He's rule and by "
        f"{shown[1]:.2f} with corrected weights; {trained}."
    )
    layers = np.arange(1, q.shape[-2] + 1)
    relative = (q / q[..., :1, :]).mean(axis=-1)  # (ps, schemes, train or evaluate, seeds, layers)
    signal = Lines(
        f"The signal with dropout {ps[-1]:g}, relative to the first layer's",
        "Layer",
        "Mean square of the outputs",
        {
            f"{name}, {phase}": (layers, relative[-1, a, t])
            for a, name in enumerate(names)
            for t, phase in enumerate(("training", "evaluation"))
        },
        log_y=True,
    )
    trainings = [
        Lines(
            f"Trained with dropout {p:g}",
            "Hidden layers",
            "Validation accuracy, %",
            {
                f"{name}, {optimizer}": (depths, accuracy[o, i, a])
                for o, optimizer in enumerate(OPTIMIZERS)
                for a, name in enumerate(names)
            },
            levels={"blind guess": 10.0},
        )
        for i, p in enumerate(ps)
    ]
    some = sorted({0, len(depths) // 2, len(depths) - 1})
    rows = [["dropout", "weights", "factor", "expected", *(f"% at {depths[d]}" for d in some)]]
    for (i, p), (a, name) in product(enumerate(ps), enumerate(names)):
        row = [f"{p:g}", name, plus_minus(factor[i, a, 0], "{:.3f}"), f"{theory[i, a]:.3f}"]
        rows.append(row + [plus_minus(accuracy[0, i, a, :, d]) for d in some])
    return Finding(outcome, answer, [signal, *trainings], rows)


STUDY = Study(
    name="dropout_scale",
    title="Does dropout ask for smaller weights?",
    source="Pretorius, Van Biljon, Kroon & Kamper 2018, NeurIPS, arXiv 1811.00293",
    claim="""Dropout with probability p moves the variance that keeps a ReLU network's signal from 2/n_in to
    2(1 − p)/n_in. Deep networks with the first explode, and with the second they can be trained.""",
    experiment=f"""Networks of {WIDTH} units a layer with dropout in each, on Fashion-MNIST, with He's weights and with
    the same ones times √(1 − p). First the mean square of each of 30 layers' outputs at the start, in 8 networks a
    seed; then training with Adam at 0.001 and with plain SGD at 0.01, for two epochs of 20,000 images.""",
    rule=f"""It holds if at each p the factor of a layer on the mean square, in training mode, is within
    {100 * NEAR:g} % of 1/(1 − p) for He and within {100 * NEAR:g} % of 1 for corrected weights; and if, with Adam,
    corrected weights are ahead in validation accuracy at some p and depth, and behind at none (paired Student's tests
    with Holm's correction). If neither is ahead anywhere, it cannot be told.""",
    measure=measure,
    judge=judge,
    quick={"ps": (0.5,), "depths": (2, 5, 10), "seeds": 3, "images": 5_000},
    remarks="""The signal does what the theory says, to a percent; the training hardly cares. With 0.2 of dropout and
    Adam, corrected weights lead by 12 points at 15 layers, but the seeds scatter too much for the ten tests together
    (p = 0.013). Smaller weights do not lift the limit that dropout sets to the depth: with 0.5 of it, neither start
    learns anything with 10 layers or more. They have a price, too: in evaluation nothing is dropped, so each layer
    multiplies the mean square of the corrected network by 1 − p, and the logits of a deep one begin near 0. Plain SGD
    is no better off with them, at one and the same rate: with fewer layers He's larger weights are a little ahead.""",
)
