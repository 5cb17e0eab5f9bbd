"""Glorot & Bengio 2010: with the usual rule of their time gradients fade towards the input, and sigmoids get stuck."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab import outputs
from scratchnet.lab.executors import Tick
from scratchnet.lab.experiment import stream
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, plus_minus
from scratchnet.layers import Layer, Linear, Sigmoid, Tanh
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network, mlp
from scratchnet.optim import SGD

RULES = {"heuristic": init.rule_uniform, "normalized": init.glorot_uniform}  # U(±1/√n_in), U(±√(6/(n_in + n_out)))
RATES: dict[type[Layer], float] = {Tanh: 0.1, Sigmoid: 1.0}
STUCK, OPEN = 0.1, 0.25  # mean outputs of a sigmoid layer
BATCH, LOOKED_AT, LOOKS = 50, 1000, 25


def stack(activation: type[Layer], depth: int, width: int, n_in: int, seed: int) -> Network:
    """Two networks side by side, one for each of RULES, drawn from the same random numbers."""
    network = mlp([n_in, *[width] * depth, 10], activation=activation, replicas=(len(RULES),))
    for i, rule in enumerate(RULES.values()):
        one = mlp([n_in, *[width] * depth, 10], activation=activation)
        network.theta[i] = one.apply(init.linear(rule, rng=stream(seed, "weights"))).theta
    return network


def gradients(spec: tuple[int, int, int], images: np.ndarray, labels: np.ndarray, tick: Tick) -> np.ndarray:
    """`(2, hidden layers, rules)`: E[dY²] and E[dW²] of tanh networks at the start, Y before the activation.

    On its way back from one hidden layer to the one below, a gradient's mean square is multiplied by

        n_out·Var w·E[φ'²]        with n_out·Var w = 1/3 for the heuristic rule, 1 for the normalized one

    where layers are of equal width; E[tanh'²] is below 1, and near 1 where the signal is small.
    """
    depth, width, seed = spec
    network, loss = stack(Tanh, depth, width, images.shape[1], seed), CrossEntropy()
    rows = stream(seed, "order").permutation(len(images))[:LOOKED_AT]
    loss.forward(network.forward(images[rows]), labels[rows])
    dYs = outputs.output_gradients(network, loss.backward())
    hidden = [(layer, dY) for layer, dY in zip(network.layers, dYs, strict=True) if isinstance(layer, Linear)][:-1]
    tick(1)
    return np.array(
        [
            [outputs.mean_square(dY) for _, dY in hidden],
            [outputs.mean_square(layer.dW) for layer, _ in hidden],
        ]
    )


def training(
    spec: tuple[type[Layer], int, int, int, int], images: np.ndarray, labels: np.ndarray, tick: Tick
) -> np.ndarray:
    """`(looks, rules, 1 + hidden layers)`: accuracy in percent, then E|y| after each activation, as SGD goes on.

    A sigmoid's outputs are positive, so E|y| is their mean.
    """
    activation, depth, width, steps, seed = spec
    network, loss, rng = stack(activation, depth, width, images.shape[1], seed), CrossEntropy(), stream(seed, "order")
    optimizer = SGD(network.theta, network.grad, learning_rate=RATES[activation])
    order = rng.permutation(len(images))
    held_out, order = order[:LOOKED_AT], order[LOOKED_AT:]
    looks = []
    with np.errstate(all="ignore"):
        for step in range(steps + 1):
            if step % (steps // LOOKS) == 0:
                *Ys, Z = outputs.outputs(network, images[held_out])
                accuracy = 100 * (Z.argmax(axis=-1) == labels[held_out]).mean(axis=-1)
                looks.append(np.stack([accuracy, *map(outputs.mean_size, Ys[1::2])], axis=-1))
            rows = rng.choice(order, BATCH)
            loss.forward(network.forward(images[rows], train=True), labels[rows])
            network.backward(loss.backward(), need_dX=False)
            optimizer.step()
            tick(1)
    return np.array(looks)


def measure(
    laboratory: Laboratory, *, depth: int = 5, width: int = 300, steps: int = 1000, seeds: int = 5
) -> dict[str, Any]:
    """Gradients at the start, `(2, rules, seeds, hidden layers)`, and what training shows.

    For "tanh" and "sigmoid": `(rules, 1 + hidden layers, seeds, looks)`.
    """
    start = np.array(laboratory.each(gradients, [(depth, width, seed) for seed in range(seeds)]))
    specs = [(activation, depth, width, steps, seed) for activation, seed in product(RATES, range(seeds))]
    seen = np.array(laboratory.each(training, specs)).reshape(len(RATES), seeds, LOOKS + 1, len(RULES), 1 + depth)
    tanh, sigmoid = seen.transpose(0, 3, 4, 1, 2)
    return {"steps": steps, "seeds": seeds, "start": start.transpose(1, 3, 0, 2), "tanh": tanh, "sigmoid": sigmoid}


def judge(numbers: Mapping[str, Any]) -> Finding:
    start, tanh, sigmoid = (np.asarray(numbers[name]) for name in ("start", "tanh", "sigmoid"))
    depth = start.shape[-1]
    steps = np.linspace(0, numbers["steps"], tanh.shape[-1])
    dY = start[0]  # (rules, seeds, hidden layers)
    factor = (dY[..., 0] / dY[..., -1]) ** (1 / (depth - 1))  # of one layer, going back: (rules, seeds)
    heuristic, normalized = factor.mean(axis=-1)
    apart = verdicts({"factor": np.log(factor[1] / factor[0])})["factor"]
    top, others = sigmoid[0, depth], sigmoid[0, 1:depth].min(axis=0)  # of the heuristic rule: (seeds, looks)
    stuck = ((top < STUCK) & (others > OPEN)).mean(axis=-1)  # the share of the looks, for each seed
    fades = 0.75 / 3 < heuristic < 1.25 / 3 and normalized > 3**-0.5
    if not apart.established:
        outcome = Outcome.UNDECIDED
    else:
        outcome = Outcome.HELD if fades and (stuck >= 0.5).all() else Outcome.DID_NOT_HOLD
    answer = (
        f"From layer {depth} to layer 1 of tanh, a gradient's mean square is multiplied by {heuristic:.2f} a layer "
        f"under U(±1/√n_in) and by {normalized:.2f} under the normalized rule; sigmoids end at "
        f"{sigmoid[0, 0, :, -1].mean():.0f} % accuracy, tanh at {tanh[0, 0, :, -1].mean():.0f} and "
        f"{tanh[1, 0, :, -1].mean():.0f} %."
    )
    layers = np.arange(1, depth + 1)
    thirds = 3.0 ** (layers - depth)
    by_layer = [
        Lines(
            title,
            "Hidden layer, from the input",
            f"{symbol}, relative to layer {depth}'s",
            {name: (layers, g[i] / g[i, :, -1:]) for i, name in enumerate(RULES)} | extra,
            log_y=True,
        )
        for title, symbol, g, extra in (
            ("Gradients of the outputs at the start, tanh", "E[dY²]", dY, {"a third each": (layers, thirds)}),
            ("Gradients of the weights at the start, tanh", "E[dW²]", start[1], {}),
        )
    ]
    sizes = Lines(
        "Sigmoid layers under U(±1/√n_in)",
        "Step",
        "Mean output",
        {f"layer {k}": (steps, sigmoid[0, k]) for k in layers},
        levels={"stuck below this": STUCK},
    )
    curves = {"tanh": tanh, "sigmoid": sigmoid}
    accuracy = Lines(
        "Accuracy while training",
        "Step",
        "Accuracy on held-out images, %",
        {f"{act}, {rule}": (steps, seen[i, 0]) for act, seen in curves.items() for i, rule in enumerate(RULES)},
        levels={"blind guess": 10.0},
    )
    rows = [["rule", "dY² a layer", "dW² a layer", "tanh, %", "sigmoid, %", "stuck, %"]]
    for i, name in enumerate(RULES):
        by_weights = (start[1, i, :, 1] / start[1, i, :, -1]) ** (1 / (depth - 2))  # hidden layers of equal fans
        share = 100 * ((sigmoid[i, depth] < STUCK) & (sigmoid[i, 1:depth].min(axis=0) > OPEN)).mean(axis=-1)
        row = [name, plus_minus(factor[i], "{:.3f}"), plus_minus(by_weights, "{:.3f}")]
        rows.append(row + [plus_minus(x) for x in (tanh[i, 0, :, -1], sigmoid[i, 0, :, -1], share)])
    return Finding(outcome, answer, [*by_layer, sizes, accuracy], rows)


STUDY = Study(
    name="vanishing_gradients",
    title="Does the normalized rule keep gradients that the usual one loses?",
    source="Glorot & Bengio 2010, AISTATS; details from memory",
    claim="""With weights from U(±1/√n_in), the heuristic rule of the time, gradients get smaller from layer to layer
    on their way back. With the normalized rule, U(±√(6/(n_in + n_out))), they keep about their size. In a deep network
    of sigmoids the last hidden layer soon saturates at 0, and training is stuck there for a long time.""",
    experiment="""784-300×5-10. With tanh, the mean squares of the gradients at the start, for 1,000 images; then 1,000
    steps of plain SGD on batches of 50, at a rate of 0.1 for tanh and of 1 for sigmoid.""",
    rule=f"""It holds if a layer of tanh multiplies the gradient's mean square by 1/3, give or take a quarter of that,
    under the heuristic rule, and by more than 1/√3 under the normalized one, with a difference established over the
    seeds (Student's paired test); and if in every seed, for at least half of the looks during training, the last hidden
    layer of sigmoids has a mean output below {STUCK:g} while all others are above {OPEN:g}.""",
    measure=measure,
    judge=judge,
    quick={"steps": 100, "seeds": 3},
    remarks="""The gradients of the weights do not fade under either rule: between layers 5 and 2 their mean square
    changes by 2 to 4 % a layer. It is the product of the input's mean square, which falls from layer to layer under the
    heuristic rule, and of the gradient's, which falls in the other direction. So the rule costs tanh only 3 points of
    accuracy at this depth. The sigmoids are stuck under the normalized rule as well.""",
)
