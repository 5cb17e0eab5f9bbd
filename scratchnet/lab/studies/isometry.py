"""Pennington et al. 2017: tanh with orthogonal weights reaches dynamical isometry, ReLU and Gaussian weights do not."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
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
SEEN = 8  # inputs whose Jacobian is computed


def orthogonal(shape: init.Shape, *, rng: np.random.Generator, phi: Layer, q: float) -> np.ndarray:
    """Orthogonal weights with the gain σ_w that puts φ on the edge of chaos at the variance q."""
    sigma_w, _ = meanfield.edge_of_chaos(phi, q=q)
    return init.orthogonal(shape, rng=rng, gain=sigma_w)


@dataclass(frozen=True)
class Case:
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
        """√Var(s²)/E[s²] of the singular values s after `depth` layers, in the limit of many units.

        Each layer multiplies the Jacobian by D·W, D the diagonal of all φ'. The squared singular values then have
        Var(s²)/E[s²]² = L·(E[φ'⁴]/E[φ'²]² − 1 − s₁), with s₁ = 0 for orthogonal W and −1 for Gaussian W.
        """
        phi = self.activation()
        fourth = meanfield.expectation(lambda z: _slope(phi, math.sqrt(self.q) * z) ** 4)
        return math.sqrt(depth * (fourth / meanfield.slope_moment(phi, self.q) ** 2 - 1 + self.gaussian))


def _slope(phi: Layer, x: np.ndarray) -> np.ndarray:
    phi.forward(x)
    return phi.backward(np.ones_like(x))


def singular_values(spec: tuple[Case, int, int, int], images: np.ndarray, labels: np.ndarray, tick: Tick) -> np.ndarray:
    """`(SEEN, width)`: the singular values of ∂Y/∂X of a stack of square layers, largest first, at some inputs X.

    X is what the first layer of a network would make of images: it has the variance q.
    """
    case, width, depth, seed = spec
    settings = Settings(sizes=(width,) * (depth + 1), activation=case.activation, dropout=0, dtype="float64")
    network = initialized(case.arm, seed, settings)
    rng = np.random.default_rng([seed, width])
    X = images[rng.permutation(len(images))[:SEEN]] @ init.lecun_normal((images.shape[1], width), rng=rng)
    J = jacobian(network, X * math.sqrt(case.q / np.square(X).mean()))
    tick(1)
    return np.linalg.svd(J, compute_uv=False)


def measure(
    laboratory: Laboratory,
    *,
    depth: int = 50,
    width: int = 100,
    q: float = 1 / 50,
    seeds: int = 5,
    steps: int = 500,
) -> dict[str, Any]:
    """Singular values `(seeds, SEEN, width)` and steps to the goal `(seeds,)` for each case, with its rate."""
    cases = {
        f"{name}, {'Gaussian' if gaussian else 'orthogonal'}": Case(phi, variance, gaussian)
        for name, phi, variance in (("tanh", Tanh, q), ("ReLU", ReLU, 1.0))
        for gaussian in (False, True)
    }
    specs = [(case, width, depth, seed) for case in cases.values() for seed in range(seeds)]
    values = np.array(laboratory.each(singular_values, specs)).reshape(len(cases), seeds, SEEN, width)
    sizes = (784, *[width] * depth, 10)
    size = float(np.square(laboratory.dataset.images).mean())
    races = []
    for case in cases.values():
        sigma_w, _ = meanfield.edge_of_chaos(case.activation(), q=case.q)
        settings = Settings(sizes=sizes, activation=case.activation, dropout=0, optimizer=SGD)
        scale = math.sqrt(case.q / size) / sigma_w  # the first layer's outputs have the variance q, too
        races.append(Race(case.arm, settings, RATES, GOAL, steps, scale=scale))
    found = fastest(laboratory, races, seeds)
    return {
        "depth": depth,
        "steps": steps,
        "singular values": dict(zip(cases, values, strict=True)),
        "expected spread": {name: case.spread(depth) for name, case in cases.items()},
        "rate": {name: rate for name, (rate, _) in zip(cases, found, strict=True)},
        "time": {name: time for name, (_, time) in zip(cases, found, strict=True)},
    }


def judge(numbers: Mapping[str, Any]) -> Finding:
    depth, steps = numbers["depth"], numbers["steps"]
    squares = {name: np.square(np.asarray(s)) for name, s in numbers["singular values"].items()}
    spread = {name: (s.std(axis=-1) / s.mean(axis=-1)).mean(axis=-1) for name, s in squares.items()}
    time = {name: np.asarray(t, np.float64) for name, t in numbers["time"].items()}
    isometric, *others = spread
    spectra = bool((spread[isometric] < NARROW).all() and all((spread[name] > BROAD).all() for name in others))
    found = verdicts({name: np.log2(time[name] / time[isometric]) for name in others})
    ahead = [found[name].established and found[name].difference.mean > 0 for name in others]
    behind = [found[name].established and found[name].difference.mean < 0 for name in others]
    if not spectra or any(behind):
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.HELD if all(ahead) else Outcome.UNDECIDED
    nearest = min(others, key=lambda name: time[name].mean())
    reached = "at least " * bool((time[nearest] >= steps).any())
    answer = (
        f"With {depth} layers, tanh with orthogonal weights is near isometry (spread {spread[isometric].mean():.2g}) "
        f"and needs {time[isometric].mean():.0f} steps, {nearest} {reached}{time[nearest].mean():.0f} "
        f"(spread {spread[nearest].mean():.2g})."
    )
    shown = {}
    for name, s in squares.items():
        s = np.sqrt(np.sort(s, axis=-1).mean(axis=1)[:, ::-1])  # (seeds, width): the k-th largest
        shown[name] = (np.arange(1, s.shape[-1] + 1), s)
    panels = [
        Lines(
            f"Singular values of ∂Y/∂X, {depth} layers",
            "Singular value, from the largest on",
            "Size",
            shown,
            log_y=True,
            levels={"1": 1.0},
        ),
        Lines(
            f"Steps to a training loss of {GOAL}",
            "Start: " + ", ".join(f"{k} {name}" for k, name in enumerate(time, 1)),
            "Steps, each at its best rate",
            {"steps": (np.arange(1, len(time) + 1), np.stack(list(time.values()), axis=1))},
            log_y=True,
            levels={"given up": steps},
        ),
    ]
    rows = [["start", "spread of s²", "in theory", "best rate", "steps to the goal"]]
    for name, t in time.items():
        late = int((t >= steps).sum())
        cell = plus_minus(t, "{:.0f}") + (f", {late} of {len(t)} not there" if late else "")
        expected = numbers["expected spread"][name]
        rows.append([name, plus_minus(spread[name], "{:.2f}"), f"{expected:.2f}", f"{numbers['rate'][name]:.2g}", cell])
    return Finding(outcome, answer, panels, rows)


STUDY = Study(
    name="isometry",
    title="Does dynamical isometry make deep networks learn faster?",
    source="Pennington, Schoenholz & Ganguli 2017, NeurIPS, arXiv 1711.04735, from memory",
    claim="""On the edge of chaos the mean of the squared singular values of a network's Jacobian is 1 at any depth, but
    they spread. With tanh, a small variance q of the signals and orthogonal weights they all stay near 1, which is
    dynamical isometry. Gaussian weights never reach it, and ReLU not even with orthogonal ones. Networks with it learn
    much faster.""",
    experiment=f"""50 hidden layers of 100 units: tanh with q = 1/50, and ReLU, each with orthogonal and with Gaussian
    weights on its edge of chaos. The singular values are those of 50 square layers, at {SEEN} inputs of variance q; by
    their spread we mean the standard deviation of their squares over its mean. Then plain gradient descent on batches
    of 100 images of Fashion-MNIST, scaled so that the first layer has the variance q, until the mean training loss of
    20 batches is below {GOAL}, for at most 500 steps. Each has the fastest of {len(RATES)} learning rates, powers of
    2, chosen with two seeds that are not reported.""",
    rule=f"""It holds if, in all networks, the spread is below {NARROW:g} for tanh with orthogonal weights and above
    {BROAD:g} for the three others, and if that start reaches the loss in fewer steps than each of them, established
    over five other seeds (paired Student's tests of log₂ steps, Holm's correction). It does not hold if a spread is on
    the wrong side, or if another start is established to be faster. A network that has not arrived counts with the
    steps that were made.""",
    measure=measure,
    judge=judge,
    quick={"depth": 16, "width": 50, "q": 1 / 16, "seeds": 3, "steps": 150},
)
