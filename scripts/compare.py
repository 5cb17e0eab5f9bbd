"""The lesson's five comparisons of initial weights, each with several seeds: tables, verdicts, figures.

python scripts/compare.py                     all of them, on Fashion-MNIST
python scripts/compare.py zeros-vs-ones       one of them
python scripts/compare.py --quick             a look in a few seconds, at a tenth of the data
"""

from __future__ import annotations

import argparse
import dataclasses
import math
import sys
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.backend import DeviceError, describe, resolve
from scratchnet.data import DATASETS, Dataset, load
from scratchnet.data.fashion_mnist import FashionMNISTUnavailable
from scratchnet.files import must_be_writable, replacing, set_aside
from scratchnet.init import PREPARATIONS, SCHEMES
from scratchnet.lab.experiment import Arm, Run, Settings, Unfinished, by_arm, compare, named, stream
from scratchnet.report.results import results, write_json
from scratchnet.report.tables import Comparison, table, verdicts

# --- settings -------------------------------------------------------------------------------------------------

ZEROS = Arm("zeros", "All zeros", init.zeros)
ONES = Arm("ones", "All ones", init.ones)
UNIFORM = Arm("uniform", "Uniform [0, 1)", init.uniform)
CENTERED = Arm("uniform_centered", "Centered [−0.5, 0.5)", partial(init.uniform, low=-0.5, high=0.5))
RULE = Arm("rule_uniform", "General rule, uniform", init.rule_uniform)
NORMAL = Arm("rule_normal", "General rule, normal", init.rule_normal)
DEFAULT = Arm("torch_linear", "PyTorch's default", init.torch_linear, bias=init.torch_linear_bias)

COMPARISONS = (
    Comparison(
        "zeros-vs-ones",
        "All zeros vs all ones",
        (ZEROS, ONES),
        {"zeros": (9.475, 2.304), "ones": (10.175, 1914.703)},
    ),
    Comparison("uniform-baseline", "Uniform baseline", (UNIFORM,), {}),
    Comparison("centered-vs-rule", "Uniform centered vs general rule", (CENTERED, RULE), {}),
    Comparison("uniform-vs-normal", "Uniform vs normal", (RULE, NORMAL), {}),
    Comparison("defaults", "Default vs normal vs general rule", (DEFAULT, NORMAL, RULE), {}),
)

QUICK = {"seeds": 2, "epochs": 1}
QUICK_IMAGES = 6_000


def arguments(argv: list[str] | None) -> argparse.Namespace:
    keys = [comparison.key for comparison in COMPARISONS]
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("comparisons", nargs="*", metavar="COMPARISON", help=f"any of: {', '.join(keys)}")
    parser.add_argument(
        "--arms", type=_arms, metavar="NAME,…", help="compare these initializations instead, or: all (see --list)"
    )
    parser.add_argument("--list", action="store_true", help="list the comparisons and all arms, and stop")
    parser.add_argument(
        "--dataset", choices=DATASETS, default="auto", help="auto: Fashion-MNIST, else the stand-in (default)"
    )
    parser.add_argument("--data-dir", type=Path, help="folder of the four Fashion-MNIST files")
    parser.add_argument("--seeds", type=_whole(1), metavar="N", help="seeds of each arm (default 5)")
    parser.add_argument("--epochs", type=_whole(1), metavar="N", help="passes over the data (default 2)")
    parser.add_argument("--batch-size", type=_whole(1), default=100, metavar="N", help="default 100")
    parser.add_argument("--learning-rate", type=_positive, default=0.001, metavar="X", help="Adam's (default 0.001)")
    parser.add_argument(
        "--first-batches", type=_whole(1), default=100, metavar="N", help="batches that a figure shows (default 100)"
    )
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--jobs", type=_whole(1), metavar="N", help="worker processes (default: one a core)")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for what is made (default results)")
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_IMAGES:,} images, 1 epoch, 2 seeds: a look, not the lesson"
    )
    args = parser.parse_args(argv)
    if unknown := [key for key in args.comparisons if key not in keys]:
        parser.error(f"there is no comparison {unknown[0]!r}; there are {', '.join(keys)}")
    if args.arms and args.comparisons:
        parser.error(f"--arms makes a comparison of its own: leave out {' '.join(args.comparisons)}, or --arms")
    args.seeds = args.seeds or (QUICK["seeds"] if args.quick else 5)
    args.epochs = args.epochs or (QUICK["epochs"] if args.quick else 2)
    return args


def _whole(least: int):  # type: ignore[no-untyped-def]
    def parse(text: str) -> int:
        try:
            value = int(text)
        except ValueError:
            value = least - 1
        if value < least:
            raise argparse.ArgumentTypeError(f"{text!r} came, and a whole number of at least {least} is wanted")
        return value

    return parse


def _arms(text: str) -> tuple[Arm, ...]:
    names = [*SCHEMES, *PREPARATIONS] if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    try:
        arms = tuple(dict.fromkeys(named(name) for name in names))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    if not arms:
        raise argparse.ArgumentTypeError(f"{text!r} came, and names with commas between them are wanted")
    return arms


def _positive(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not (value > 0 and math.isfinite(value)):
        raise argparse.ArgumentTypeError(f"{text!r} came, and a number above 0 is wanted")
    return value


# --- one call -------------------------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    chosen = [c for c in COMPARISONS if c.key in args.comparisons or not args.comparisons]
    if args.arms:
        chosen = [Comparison("chosen-arms", "Chosen arms", args.arms)]
    if args.list:
        for comparison in COMPARISONS:
            print(f"{comparison.key:20}{comparison.title}: {', '.join(arm.label for arm in comparison.arms)}")
        print(f"{'--arms':20}{', '.join([*SCHEMES, *PREPARATIONS])}")
        return 0
    try:
        must_be_writable(args.out)
        device = resolve(args.device)
        if args.device != "cpu":
            print(f"compare.py: training on {describe(device)}", file=sys.stderr)
        dataset = load(args.dataset, args.data_dir)
        if args.quick:
            dataset = dataclasses.replace(
                dataset, images=dataset.images[:QUICK_IMAGES], labels=dataset.labels[:QUICK_IMAGES]
            )
        settings = Settings(
            epochs=args.epochs, batch_size=args.batch_size, learning_rate=args.learning_rate, device=device
        )
        arms = list(dict.fromkeys(arm for comparison in chosen for arm in comparison.arms))
        unfinished = None
        try:
            finished = compare(arms, dataset, settings, seeds=range(args.seeds), jobs=args.jobs)
        except Unfinished as stopped:
            unfinished, finished = stopped, stopped.runs
        show(chosen, finished, dataset, settings, args, unfinished)
    except (FashionMNISTUnavailable, DeviceError, OSError, MemoryError, ValueError) as error:
        print(f"compare.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"compare.py: interrupted; what was written is in {args.out}", file=sys.stderr)
        return 130
    return 0 if unfinished is None else 130 if unfinished.interrupted else 1


# --- tables and figures ---------------------------------------------------------------------------------------


def show(
    chosen: list[Comparison],
    finished: list[Run],
    dataset: Dataset,
    settings: Settings,
    args: argparse.Namespace,
    unfinished: Unfinished | None,
) -> None:
    """Print tables and verdicts; write results.json, the tables and the figures to the folder `args.out`."""
    runs = by_arm(finished)
    if unfinished is not None:
        # only seeds that every arm has: pairs need both, and no arm may look better for having fewer
        arms = {arm.key for comparison in chosen for arm in comparison.arms}
        whole = [s for s in range(args.seeds) if {run.arm for run in finished if run.seed == s} == arms]
        runs = by_arm(run for run in finished if run.seed in whole)
        kept = f"{len(whole)} of {args.seeds} seeds were complete and are kept" if whole else "no seed was complete"
        print(f"compare.py: {unfinished}; {kept}", file=sys.stderr)
        if not whole:
            return

    seeds = len(next(iter(runs.values())))
    look = f", a quick look at {len(dataset.images):,} images" if args.quick else ""
    note = f"{settings.epochs} epoch{'s' * (settings.epochs > 1)} of batches of {settings.batch_size}{look}"
    text = [
        f"{dataset.title}: {note}; validation accuracy and last training batch's loss,",
        f"mean ± standard deviation over {seeds} seed{'s' * (seeds > 1)} (seeds share split, batches and masks).",
    ]
    for comparison in chosen:
        text += ["", f"== {comparison.title} ==  [{dataset.title}]", table(comparison, runs)]
        text += [f"  → {sentence}" for sentence in verdicts(comparison, runs)]
    print("\n".join(text))

    names = [f"{comparison.key}.png" for comparison in chosen]
    names += ["samples.png", "uniform-distribution.png", "normal-distribution.png", "results.json", "tables.txt"]
    if aside := set_aside(args.out, names):
        print(f"compare.py: an earlier run's files are now in {aside}", file=sys.stderr)
    write_json(args.out / "results.json", results(chosen, runs, dataset, settings, complete=unfinished is None))
    with replacing(args.out / "tables.txt") as temporary:
        temporary.write_text("\n".join(text) + "\n", encoding="utf-8")
    figures(chosen, runs, dataset, args, look.removeprefix(", "))
    print(f"\nFigures, tables.txt and results.json are in {args.out}/")


def figures(
    chosen: list[Comparison], runs: dict[str, list[Run]], dataset: Dataset, args: argparse.Namespace, look: str
) -> None:
    from tqdm import tqdm

    from scratchnet.report import plots  # matplotlib: only now, since the tables need none of it

    order = stream(0, "order").permutation(len(dataset.images))[:20]
    draws = np.random.default_rng(0)
    made = {
        "samples": lambda: plots.samples(
            dataset.images[order],
            dataset.labels[order],
            dataset.classes,
            dataset=dataset.title,
            stand_in=dataset.stand_in,
        ),
        "uniform-distribution": lambda: plots.histogram(
            "Uniform distribution",
            draws.uniform(-3, 3, 1000),
            lambda x: np.where((x >= -3) & (x < 3), 1 / 6, 0.0),
            note="U(−3, 3): every value in the range is as likely as any other",
        ),
        "normal-distribution": lambda: plots.histogram(
            "Normal distribution",
            draws.normal(size=1000),
            lambda x: np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
            note="N(0, 1): values near the mean are likelier",
        ),
    }
    for comparison in chosen:
        curves = {
            arm.label: np.array([run.training_loss[: args.first_batches] for run in runs[arm.key]])
            for arm in comparison.arms
        }
        common: dict[str, Any] = {"dataset": dataset.title, "stand_in": dataset.stand_in, "note": look}
        if len(curves) <= len(plots.COLORS):
            made[comparison.key] = partial(plots.losses, comparison.title, curves, **common)
        else:  # more lines than anyone can tell apart
            rows = {
                arm.label: (
                    curves[arm.label].mean(axis=1),
                    np.array([100 * run.validation_accuracy for run in runs[arm.key]]),
                )
                for arm in comparison.arms
            }
            first = f"Training loss, mean of the first {args.first_batches} batches"
            made[comparison.key] = partial(plots.ranking, comparison.title, rows, loss_label=first, **common)
    for name, figure in tqdm(made.items(), desc="drawing figures", disable=None):
        plots.save(figure(), args.out / f"{name}.png")


if __name__ == "__main__":
    sys.exit(main())
