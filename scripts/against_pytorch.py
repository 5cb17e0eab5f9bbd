"""Train the lesson's arms here and in PyTorch, each with random numbers of its own, and compare the distributions.

    python scripts/against_pytorch.py --seeds 10

PyTorch trains the lesson's own network, one seed after another, as its author wrote it, except that dropout is
switched off for the validation. Prints the table of docs/against-pytorch.md. Needs PyTorch: pip install -e ".[test]".
"""

from __future__ import annotations

import argparse
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from lesson import ARMS
from speed import author, images
from speed.machine import pytorch_version
from speed.workers import Workers
from tqdm import tqdm

from scratchnet.data import Dataset, load
from scratchnet.lab.comparison import by_arm, compare
from scratchnet.lab.experiment import Run, Settings
from scratchnet.lab.processes import cores

LAST = 100  # the last batch's loss alone is noise: take the mean of so many


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument(
        "--seeds",
        type=cli.whole(2, cli.MOST_SEEDS),
        default=10,
        metavar="N",
        help="seeds of each arm, at least 2 (default 10)",
    )
    parser.add_argument("--data-dir", type=cli.folder, metavar="FOLDER", help="folder of the four Fashion-MNIST files")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    version = pytorch_version()
    dataset = load("fashion-mnist", args.data_dir)
    settings, seeds = Settings(), range(args.seeds)
    ours = by_arm(compare(ARMS, dataset, settings, seeds=seeds))
    theirs = by_arm(pytorch_runs(dataset, settings, seeds))

    head = "| {} | scratchnet | PyTorch | apart, in standard errors |\n|---|---|---|---|"
    lines = [f"{args.seeds} seeds each, mean ± standard error; PyTorch {version}.", ""]
    lines.append(head.format("validation accuracy, %"))
    for arm in ARMS:
        a, b = ([100 * run.validation_accuracy for run in runs[arm.key]] for runs in (ours, theirs))
        lines.append(row(arm.label, a, b, ".2f"))
    lines += ["", head.format(f"training loss, mean of the last {LAST} batches")]
    for arm in ARMS:
        a, b = ([float(run.training_loss[-LAST:].mean()) for run in runs[arm.key]] for runs in (ours, theirs))
        lines.append(row(arm.label, a, b, ".4g"))
    return 0 if cli.say("\n".join(lines)) else 1


def pytorch_runs(dataset: Dataset, settings: Settings, seeds: Sequence[int]) -> list[Run]:
    with TemporaryDirectory(prefix="scratchnet-against-pytorch-") as name, Workers(cores()) as workers:
        folder = Path(name)
        images.save(dataset, folder)
        units = [(arm.key, seed, settings, folder) for arm in ARMS for seed in seeds]
        runs = workers.map(author.train, units)
        return list(tqdm(runs, total=len(units), desc="PyTorch", unit="network", disable=None))


def row(label: str, ours: list[float], theirs: list[float], number: str) -> str:
    """A row of the table: both means with their standard errors, and how many of them the means are apart."""

    def mean_and_error(values: list[float]) -> tuple[float, float]:
        return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))

    (a, error_a), (b, error_b) = mean_and_error(ours), mean_and_error(theirs)
    apart = (a - b) / math.hypot(error_a, error_b)
    cells = [label, *(f"{m:{number}} ± {e:{number}}" for m, e in ((a, error_a), (b, error_b))), f"{apart:+.1f}"]
    return "| " + " | ".join(cells) + " |"


if __name__ == "__main__":
    cli.run(main)
