"""How the cost of a training step grows with replicas, width, depth and batch, beside the bare matrix products.

    python scripts/growth.py            about a minute: a figure each, and growth.json, in results/

One process with one BLAS thread, as each worker of `compare` is. Every point is measured in rounds, scratchnet and the
products in turns, and the median is drawn.
"""

from __future__ import annotations

import os

os.environ["OPENBLAS_NUM_THREADS"] = os.environ["MKL_NUM_THREADS"] = os.environ["OMP_NUM_THREADS"] = "1"

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from speed.floor import products
from tqdm import tqdm

from scratchnet import init
from scratchnet.files import set_aside
from scratchnet.lab.executors import STACK
from scratchnet.loss import CrossEntropy
from scratchnet.network import mlp
from scratchnet.optim import Adam
from scratchnet.report import plots
from scratchnet.report.results import environment, write_json

# --- settings -----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Work:
    """A training step: hidden layers of these sizes, a batch, and so many networks side by side."""

    hidden: tuple[int, ...] = (256, 128)
    batch: int = 100
    replicas: int = STACK

    @property
    def sizes(self) -> tuple[int, ...]:
        return (784, *self.hidden, 10)


SWEEPS: dict[str, tuple[str, dict[int, Work]]] = {
    "replicas": ("Networks side by side in one process", {r: Work(replicas=r) for r in (1, 2, 4, 8, 16)}),
    "width": (
        "Units of the first hidden layer (the second has half)",
        {w: Work(hidden=(w, w // 2)) for w in (64, 128, 256, 512, 1024)},
    ),
    "depth": ("Hidden layers of 128 units", {d: Work(hidden=(128,) * d) for d in (1, 2, 4, 8, 16)}),
    "batch": ("Examples in a batch", {n: Work(batch=n) for n in (10, 30, 100, 300, 1000)}),
}
ROUNDS = 7
SECONDS = 0.12  # for one contestant in one round, at least


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("sweeps", nargs="*", metavar="SWEEP", help=f"any of: {', '.join(SWEEPS)} (default: all)")
    cli.add_out_option(parser)
    parser.add_argument("--quick", action="store_true", help="one short round: to see that it works, not to measure")
    args = parser.parse_args()
    if unknown := [name for name in args.sweeps if name not in SWEEPS]:
        parser.error(f"there is no sweep {unknown[0]!r}; there are {', '.join(SWEEPS)}")
    return args


# --- measuring ----------------------------------------------------------------------------------------------------


def training_step(work: Work) -> Callable[[], None]:
    """One step as `fit` takes it, from the gather to Adam."""
    rng = np.random.default_rng(0)
    images = rng.random((5_000, 784), dtype=np.float32)
    labels = rng.integers(10, size=5_000)
    network = mlp(work.sizes, dropout=0.2, rng=rng, replicas=(work.replicas,))
    network.apply(init.linear(init.he_normal, rng=rng))
    adam, loss = Adam(network.theta, network.grad), CrossEntropy()

    def step() -> None:
        batch = rng.integers(5_000, size=work.batch)
        loss.forward(network.forward(images[batch], train=True), labels[batch])
        network.backward(loss.backward(), need_dX=False)
        adam.step()

    return step


def milliseconds(work: Work, rounds: int, seconds: float) -> dict[str, list[float]]:
    """Of a step and network, one number a round."""
    contestants = {
        "scratchnet": training_step(work),
        "matrix products alone": products(work.sizes, work.batch, (work.replicas,)),
    }
    times: dict[str, list[float]] = {name: [] for name in contestants}
    for again in range(rounds + 1):
        for name, step in contestants.items():
            count, start = 0, time.perf_counter()
            while count < 3 or time.perf_counter() - start < seconds:
                step()
                count += 1
            if again:  # the first round warms up
                times[name].append(1000 * (time.perf_counter() - start) / count / work.replicas)
    return times


# --- one call, figures and tables ---------------------------------------------------------------------------------


def main() -> int:
    args = arguments()
    rounds, seconds = (1, 0.005) if args.quick else (ROUNDS, SECONDS)
    chosen = {name: SWEEPS[name] for name in args.sweeps or SWEEPS}
    found: dict[str, dict[int, dict[str, list[float]]]] = {name: {} for name in chosen}
    points = [(name, x, work) for name, (_, works) in chosen.items() for x, work in works.items()]
    cli.own(args.out)
    for name, x, work in tqdm(points, desc="measuring", unit="point", disable=None):
        found[name][x] = milliseconds(work, rounds, seconds)
    lines, figures = [], {}
    for name, (label, _) in chosen.items():
        medians = {
            contestant: np.array([statistics.median(times[contestant]) for times in found[name].values()])
            for contestant in ("scratchnet", "matrix products alone")
        }
        figures[name] = plots.growth(f"Cost of a step: {name}", label, np.array(list(found[name])), medians)
        lines.append(f"{label}: milliseconds a step and network")
        for x, ours, floor in zip(found[name], *medians.values(), strict=True):
            lines.append(f"  {x:>5}  scratchnet {ours:7.3f}  products {floor:7.3f}  ratio {ours / floor:.2f}")
    with cli.saving("\n".join(lines)):
        if aside := set_aside(args.out, ["growth.json", *(path.name for path in args.out.glob("growth-*.png"))]):
            cli.complain(f"an earlier run's files are now in {aside}")
        write_json(args.out / "growth.json", {"environment": environment(), "milliseconds": found})
        for name, figure in figures.items():
            plots.save(figure, args.out / f"growth-{name}.png")
    return 0 if cli.say("\n".join(lines)) else 1


if __name__ == "__main__":
    cli.run(main)
