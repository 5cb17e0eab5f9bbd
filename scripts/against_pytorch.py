"""Train the lesson's arms here and in PyTorch, each with random numbers of its own, and compare the distributions.

    python scripts/against_pytorch.py --seeds 10

PyTorch trains the lesson's own network, one seed after another, as its author wrote it, except that dropout is
switched off for the validation. Prints the table of docs/against-pytorch.md. Needs PyTorch: pip install -e ".[test]".
"""

from __future__ import annotations

import argparse
import math
import sys
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from compare import CENTERED, COMPARISONS
from tqdm import tqdm

from scratchnet.data import Dataset, load, split
from scratchnet.data.fashion_mnist import FashionMNISTUnavailable
from scratchnet.lab.experiment import Arm, Run, Settings, by_arm, compare, cores

LAST = 100  # the last batch's loss alone is noise: take the mean of so many


def train_in_pytorch(arm: str, seed: int, images: np.ndarray, labels: np.ndarray, settings: Settings) -> Run:
    """The lesson's Net, initialized with PyTorch's own functions, trained by its own Adam."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    layers: list[nn.Module] = []
    for n_in, n_out in zip(settings.sizes[:-1], settings.sizes[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(settings.dropout)]
    network = nn.Sequential(*layers[:-2])

    def initialize(module: nn.Module) -> None:
        if isinstance(module, nn.Linear) and arm != "torch_linear":
            y = 1 / math.sqrt(module.in_features)
            if arm == "zeros":
                nn.init.constant_(module.weight, 0)
            elif arm == "ones":
                nn.init.constant_(module.weight, 1)
            elif arm == "uniform":
                nn.init.uniform_(module.weight, 0, 1)
            elif arm == CENTERED.key:
                nn.init.uniform_(module.weight, -0.5, 0.5)
            elif arm == "rule_uniform":
                nn.init.uniform_(module.weight, -y, y)
            elif arm == "rule_normal":
                nn.init.normal_(module.weight, 0, y)
            else:
                raise ValueError(f"PyTorch's counterpart of the arm {arm} is not written")
            nn.init.zeros_(module.bias)

    network.apply(initialize)
    train, validation = split(len(images), rng=np.random.default_rng([seed, 1000]), validation=settings.validation)
    X, y = torch.from_numpy(images), torch.from_numpy(labels.astype(np.int64))
    rows = torch.from_numpy(train)
    adam = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    criterion = nn.CrossEntropyLoss()
    losses = []
    network.train()
    for _ in range(settings.epochs):
        for batch in rows[torch.randperm(len(rows))].split(settings.batch_size):
            adam.zero_grad()
            loss = criterion(network(X[batch]), y[batch])
            loss.backward()
            adam.step()
            losses.append(loss.item())
    network.eval()
    held_out = torch.from_numpy(validation)
    with torch.no_grad():
        Z = network(X[held_out])
        accuracy = float((Z.argmax(dim=1) == y[held_out]).float().mean())
        return Run(arm, seed, np.array(losses), float(criterion(Z, y[held_out])), accuracy)


def pytorch_runs(arms: list[Arm], dataset: Dataset, settings: Settings, seeds: range) -> list[Run]:
    with ProcessPoolExecutor(cores(), get_context("spawn"), keep, (dataset.images, dataset.labels)) as pool:
        futures = [pool.submit(in_worker, arm.key, seed, settings) for arm in arms for seed in seeds]
        return [future.result() for future in tqdm(futures, desc="PyTorch", unit="network", disable=None)]


kept: dict[str, np.ndarray] = {}


def keep(images: np.ndarray, labels: np.ndarray) -> None:
    kept.update(images=images, labels=labels)


def in_worker(arm: str, seed: int, settings: Settings) -> Run:
    return train_in_pytorch(arm, seed, kept["images"], kept["labels"], settings)


def row(label: str, ours: list[float], theirs: list[float], number: str) -> str:
    """A row of the table: both means with their standard errors, and how many of them the means are apart."""

    def mean_and_error(values: list[float]) -> tuple[float, float]:
        return float(np.mean(values)), float(np.std(values, ddof=1) / math.sqrt(len(values)))

    (a, error_a), (b, error_b) = mean_and_error(ours), mean_and_error(theirs)
    apart = (a - b) / math.hypot(error_a, error_b)
    cells = [label, *(f"{m:{number}} ± {e:{number}}" for m, e in ((a, error_a), (b, error_b))), f"{apart:+.1f}"]
    return "| " + " | ".join(cells) + " |"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=10, metavar="N", help="seeds of each arm, at least 2 (default 10)")
    parser.add_argument("--data-dir", type=Path, help="folder of the four Fashion-MNIST files")
    args = parser.parse_args()
    if args.seeds < 2:
        parser.error(f"--seeds {args.seeds} came, and a standard error needs at least 2")
    try:
        import torch
    except ImportError:
        print('against_pytorch.py: PyTorch is not installed: python -m pip install -e ".[test]"', file=sys.stderr)
        return 1
    try:
        dataset = load("fashion-mnist", args.data_dir)
    except FashionMNISTUnavailable as error:
        print(f"against_pytorch.py: {error}", file=sys.stderr)
        return 1
    settings, seeds = Settings(), range(args.seeds)
    arms = list(dict.fromkeys(arm for comparison in COMPARISONS for arm in comparison.arms))
    ours = by_arm(compare(arms, dataset, settings, seeds=seeds))
    theirs = by_arm(pytorch_runs(arms, dataset, settings, seeds))

    print(f"{args.seeds} seeds each, mean ± standard error; PyTorch {torch.__version__}.\n")
    head = "| {} | scratchnet | PyTorch | apart, in standard errors |\n|---|---|---|---|"
    print(head.format("validation accuracy, %"))
    for arm in arms:
        a, b = ([100 * run.validation_accuracy for run in runs[arm.key]] for runs in (ours, theirs))
        print(row(arm.label, a, b, ".2f"))
    print("\n" + head.format(f"training loss, mean of the last {LAST} batches"))
    for arm in arms:
        a, b = ([float(run.training_loss[-LAST:].mean()) for run in runs[arm.key]] for runs in (ours, theirs))
        print(row(arm.label, a, b, ".4g"))
    return 0


if __name__ == "__main__":
    sys.exit(main())
