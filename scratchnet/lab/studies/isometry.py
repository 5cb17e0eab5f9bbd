"""Pennington et al. 2017: tanh with orthogonal weights reaches dynamical isometry, ReLU and Gaussian weights do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.init import meanfield
from scratchnet.lab.diagnostics import jacobian
from scratchnet.lab.executors import Tick
from scratchnet.lab.experiment import Arm, Settings, initialized
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Race, Study, fastest, plus_minus
from scratchnet.layers import Layer, ReLU, Tanh
from scratchnet.optim import SGD

GOAL = 0.8  # of the training loss
RATES = tuple(2.0**k for k in range(-11, 1))
NARROW, BROAD = 1.0, 2.0  # of the spread of the squared singular values
SMALLEST = 1e-6  # singular value that the figure shows
SEEN = 8  # inputs whose Jacobian is computed


def orthogonal(shape: init.Shape, *, rng: np.random.Generator, phi: Layer, q: float) -> np.ndarray:
    """Orthogonal weights with the gain σ_w that puts φ on the edge of chaos at the variance q."""
    sigma_w, _ = meanfield.edge_of_chaos(phi, q=q)
    return init.orthogonal(shape, rng=rng, gain=sigma_w)


@dataclass(frozen=True)
class Start:
    """An activation, the variance q that its signals keep, and a start on its edge of chaos."""

    activation: Callable[[], Layer]
    q: float
    gaussian: bool

    @property
    def arm(self) -> Arm:
        weights = partial(init.edge_of_chaos if self.gaussian else orthogonal, q=self.q)
        name = "Gaussian" if self.gaussian else "orthogonal"
        return Arm(name, name, weights, partial(init.edge_of_chaos_bias, q=self.q))

    def spread(self, depth: int) -> float:
        """√Var(s²)/E[s²] of the singular values s of `depth` square layers, in the limit of many units.

        The Jacobian is a product of L matrices W and, between them, L − 1 diagonal matrices D of slopes φ'. Each factor
        adds to Var(s²)/E[s²]²: a D adds E[φ'⁴]/E[φ'²]² − 1, a Gaussian W adds 1, and an orthogonal W adds 0.
        """
        phi, root = self.activation(), math.sqrt(self.q)
        fourth = meanfield.expectation(lambda z: _slope(phi, root * z) ** 4)
        slopes = fourth / meanfield.slope_moment(phi, self.q) ** 2 - 1
        return math.sqrt((depth - 1) * slopes + depth * self.gaussian)


def _slope(phi: Layer, x: np.ndarray) -> np.ndarray:
    phi.forward(x)
    return phi.backward(np.ones_like(x))


def singular_values(
    spec: tuple[Start, int, int, int], images: np.ndarray, labels: np.ndarray, tick: Tick
) -> np.ndarray:
    """`(SEEN, width)`: the singular values of ∂Y/∂X of a stack of square layers, largest first, at some inputs X.

    X is what the first layer of a network would make of images: it has the variance q.
    """
    start, width, depth, seed = spec
    settings = Settings(sizes=(width,) * (depth + 1), activation=start.activation, dropout=0, dtype="float64")
    network = initialized(start.arm, seed, settings)
    rng = np.random.default_rng([seed, width])
    X = images[rng.permutation(len(images))[:SEEN]] @ init.lecun_normal((images.shape[1], width), rng=rng)
    J = jacobian(network, X * math.sqrt(start.q / np.square(X).mean()))
    tick(1)
    return np.linalg.svd(J, compute_uv=False)


def measure(
    laboratory: Laboratory,
    *,
    depths: tuple[int, ...] = (8, 16, 32),
    width: int = 100,
    q: float = 1 / 32,
    seeds: int = 5,
    steps: int = 500,
) -> dict[str, Any]:
    """For each start the singular values at the greatest depth, `(seeds, SEEN, width)`, and their spread in theory;
    the steps to the goal, `(seeds, depths)`, and the best rates, `(depths,)`.
    """
    starts = {
        f"{name}, {'Gaussian' if gaussian else 'orthogonal'}": Start(phi, variance, gaussian)
        for name, phi, variance in (("tanh", Tanh, q), ("ReLU", ReLU, 1.0))
        for gaussian in (False, True)
    }
    specs = [(start, width, depths[-1], seed) for start in starts.values() for seed in range(seeds)]
    values = np.array(laboratory.each(singular_values, specs)).reshape(len(starts), seeds, SEEN, width)
    size = float(np.square(laboratory.dataset.images).mean())
    races = []
    for start, depth in product(starts.values(), depths):
        sizes = (784, *[width] * depth, 10)
        sigma_w, _ = meanfield.edge_of_chaos(start.activation(), q=start.q)
        settings = Settings(sizes=sizes, activation=start.activation, dropout=0, optimizer=SGD)
        scale = math.sqrt(start.q / size) / sigma_w  # the first layer's outputs have the variance q, too
        races.append(Race(start.arm, settings, RATES, GOAL, steps, scale=scale))
    found = fastest(laboratory, races, seeds)
    rates = np.array([rate for rate, _ in found]).reshape(len(starts), -1)
    times = np.array([time for _, time in found]).reshape(len(starts), -1, seeds).swapaxes(1, 2)
    return {
        "depths": depths,
        "steps": steps,
        "singular values": dict(zip(starts, values, strict=True)),
        "spread in theory": {name: start.spread(depths[-1]) for name, start in starts.items()},
        "rates": dict(zip(starts, rates, strict=True)),
        "times": dict(zip(starts, times, strict=True)),
    }


def judge(numbers: Mapping[str, Any]) -> Finding:
    depths, steps = list(numbers["depths"]), numbers["steps"]
    squares = {name: np.square(np.asarray(s)) for name, s in numbers["singular values"].items()}
    spread = {name: (s.std(axis=-1) / s.mean(axis=-1)).mean(axis=-1) for name, s in squares.items()}
    times = {name: np.asarray(t, np.float64) for name, t in numbers["times"].items()}
    deepest = {name: t[:, -1] for name, t in times.items()}
    isometric, *others = spread
    spectra = bool((spread[isometric] < NARROW).all() and all((spread[name] > BROAD).all() for name in others))
    found = verdicts({name: np.log2(deepest[name] / deepest[isometric]) for name in others})
    ahead = [found[name].established and found[name].difference.mean > 0 for name in others]
    behind = [found[name].established and found[name].difference.mean < 0 for name in others]
    if not spectra or any(behind):
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.HELD if all(ahead) else Outcome.UNDECIDED
    nearest = min(others, key=lambda name: deepest[name].mean())
    more = "at least " * bool((deepest[nearest] >= steps).any())
    answer = (
        f"With {depths[-1]} layers, tanh with orthogonal weights is near isometry and learns in "
        f"{deepest[isometric].mean():.0f} steps; the next, {nearest.replace(', ', ' with ')} ones, takes "
        f"{more}{deepest[nearest].mean():.0f}."
    )
    shown = {}
    for name, s in squares.items():
        ordered = np.sqrt(np.sort(s, axis=-1).mean(axis=1)[:, ::-1])  # (seeds, width): the largest first
        shown[name] = (np.arange(1, ordered.shape[-1] + 1), np.where(ordered > SMALLEST, ordered, np.nan))
    panels = [
        Lines(
            f"Singular values of ∂Y/∂X, {depths[-1]} layers",
            "The k-th largest",
            "Size",
            shown,
            log_y=True,
            levels={"1": 1.0},
        ),
        Lines(
            f"Steps to a training loss of {GOAL}",
            "Hidden layers",
            "Steps, each at its best rate",
            {name: (depths, t) for name, t in times.items()},
            log_x=True,
            log_y=True,
            levels={"given up": steps},
        ),
    ]
    rows = [["start", "spread of s²", "in theory", *(f"steps, {depth} layers" for depth in depths)]]
    for name, t in times.items():
        cells = [plus_minus(spread[name], "{:.2f}"), f"{numbers['spread in theory'][name]:.2f}"]
        for k in range(len(depths)):
            late = int((t[:, k] >= steps).sum())
            cells.append(plus_minus(t[:, k], "{:.0f}") + (f", {late} of {len(t)} not there" if late else ""))
        rows.append([name, *cells])
    return Finding(outcome, answer, panels, rows)


STUDY = Study(
    name="isometry",
    title="Does dynamical isometry make deep networks learn faster?",
    source="Pennington, Schoenholz & Ganguli 2017, NeurIPS, arXiv 1711.04735, from memory",
    claim="""On the edge of chaos the mean of the squared singular values of a network's Jacobian is 1 at any depth, but
    they spread. With tanh, a small variance q of the signals and orthogonal weights they all stay near 1, which is
    dynamical isometry. Gaussian weights never reach it, and ReLU not even with orthogonal ones. Networks with it learn
    much faster.""",
    experiment=f"""8, 16 and 32 hidden layers of 100 units: tanh with q = 1/32, and ReLU, each with orthogonal and with
    Gaussian weights on its edge of chaos. The singular values are those of 32 square layers, at {SEEN} inputs of
    variance q; by their spread we mean the standard deviation of their squares over its mean. Then plain gradient
    descent on batches of 100 images of Fashion-MNIST, scaled so that the first layer has the variance q, until the mean
    training loss of 20 batches is below {GOAL}, for at most 500 steps. Each has the fastest of {len(RATES)} learning
    rates, powers of 2, chosen with two seeds that are not reported.""",
    rule=f"""It holds if, in all networks of 32 layers, the spread is below {NARROW:g} for tanh with orthogonal weights
    and above {BROAD:g} for the three others, and if that start reaches the loss in fewer steps than each of them,
    established over five other seeds (paired Student's tests of log₂ steps, Holm's correction). It does not hold if a
    spread is on the wrong side, or if another start is established to be faster. A network that has not arrived counts
    with the steps that were made.""",
    measure=measure,
    judge=judge,
    remarks="""The spreads agree with the theory for wide networks. Which start comes second is not a matter of the
    spread alone: tanh with Gaussian weights and ReLU with orthogonal ones have nearly the same, and ReLU takes 1.6
    times as long. With 8 layers the four are much closer to each other. A network that is not there counts as 500.""",
    quick={"depths": (4, 16), "width": 50, "q": 1 / 16, "seeds": 3, "steps": 150},
)
