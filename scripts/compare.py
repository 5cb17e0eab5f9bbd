"""The lesson's five comparisons of initial weights, or one of your own, each with several seeds.

python scripts/compare.py                              all five, on Fashion-MNIST
python scripts/compare.py zeros-vs-ones                one of them
python scripts/compare.py --quick                      a look in some fifteen seconds: a third of the images, one epoch
python scripts/compare.py --arms he_normal,lsuv        other initializations: see --list
python scripts/compare.py --repeat results/results.json  the same run again: does it come out the same?
python scripts/compare.py --activation tanh --hidden 100x20 --arms lecun_normal,orthogonal:gain=1.1,my.py:mine

Prints tables and verdicts; writes figures, tables.txt and results.json.
The lesson is Udacity's "Weight Initialization": https://github.com/udacity/deep-learning-v2-pytorch, in the folder
weight-initialization. docs/lesson.md says what is done differently here.
"""

from __future__ import annotations

import argparse
import math
import os
import sys
import textwrap
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from lesson import COMPARISONS

from scratchnet.backend import describe
from scratchnet.data import Dataset, load
from scratchnet.files import replacing, set_aside
from scratchnet.lab import parts
from scratchnet.lab.comparison import Unfinished, blind_accuracy, by_arm, compare
from scratchnet.lab.experiment import Run, Settings, stream
from scratchnet.lab.journal import Journal
from scratchnet.lab.rates import Choice, choose
from scratchnet.report import repetition, story
from scratchnet.report.results import results, write_json
from scratchnet.report.tables import (
    LAST,
    Comparison,
    chosen_rates,
    ends,
    explanation,
    judged,
    last_loss,
    table,
    verdicts,
)

# --- settings -------------------------------------------------------------------------------------------------

CHOSEN = Comparison("chosen-arms", "Chosen arms", ())  # those of --arms
EPOCHS, SEEDS = 2, 10
QUICK_EPOCHS, QUICK_SEEDS, QUICK_IMAGES = 1, 5, 20_000


# Everything that a run may write: the next run into the same folder moves all of it aside.
OUTPUTS = [f"{comparison.key}.png" for comparison in (*COMPARISONS, CHOSEN)]
OUTPUTS += ["samples.png", "uniform-distribution.png", "normal-distribution.png"]
OUTPUTS += ["results.json", "tables.txt", "report.html"]
JOURNAL = "journal.txt"  # what a run has finished, until it is complete


def arguments() -> argparse.Namespace:
    keys = [comparison.key for comparison in COMPARISONS]
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("comparisons", nargs="*", metavar="COMPARISON", help=f"any of: {', '.join(keys)}")
    add("--arms", metavar="NAME,…", help="compare these initializations instead, or: all (see --list)")
    add("--list", action="store_true", help="list the comparisons and the names of all parts, and stop")
    add("--seeds", type=cli.whole(1, cli.MOST_SEEDS), metavar="N", help=f"seeds of each arm (default {SEEDS})")
    add(
        "--learning-rates",
        type=cli.rates,
        metavar="X,…",
        help="each arm at its own best of these, chosen for each seed on a part of its training images",
    )
    add("--first-batches", type=cli.whole(1), default=100, metavar="N", help="batches in a figure (default 100)")
    cli.add_work_options(parser)
    add(
        "--quick",
        action="store_true",
        help=f"a look: {QUICK_IMAGES:,} images, {QUICK_EPOCHS} epoch, {QUICK_SEEDS} seeds",
    )
    cli.add_settings_options(parser)
    cli.add_data_options(parser)
    cli.add_out_option(parser)
    add("--repeat", type=Path, metavar="FILE", help="repeat the run of a results.json, and say whether it is the same")
    args = parser.parse_args()
    args.command, args.then = sys.argv, None
    if args.repeat is not None:
        args = again(parser, args)
    if unknown := [key for key in args.comparisons if key not in keys]:
        parser.error(f"there is no comparison {unknown[0]!r}; there are {', '.join(keys)}")
    if args.arms is not None and args.comparisons:
        parser.error(f"--arms makes a comparison of its own: leave out {' '.join(args.comparisons)}, or --arms")
    if args.learning_rates and args.learning_rate:
        parser.error("--learning-rate is one rate for all arms: leave it out, or --learning-rates")
    if args.dask and args.device != "cpu":
        parser.error("--dask trains on the processors of a cluster: leave it out, or --device")
    try:
        args.arms = None if args.arms is None else cli.arms(args.arms)
    except parts.PartError as error:
        parser.error(f"argument --arms: {error}")
    args.seeds = args.seeds or (QUICK_SEEDS if args.quick else SEEDS)
    return args


def again(parser: argparse.ArgumentParser, args: argparse.Namespace) -> argparse.Namespace:
    """The arguments of the run whose results.json `--repeat` names, to be made in its folder, into one of its own."""
    free = {"repeat", "out", "jobs", "dask", "data_dir", "command", "then"}
    absent: Any = object()  # in the place of defaults, which may be given as well
    given = vars(parser.parse_args(namespace=argparse.Namespace(**dict.fromkeys(vars(args), absent))))
    for name, value in given.items():
        if name not in free and value is not absent and value != []:
            option = "the comparisons" if name == "comparisons" else f"--{name.replace('_', '-')}"
            parser.error(f"--repeat takes all else from FILE: leave out {option}")
    then = repetition.read(args.repeat)
    repetition.check_files(then)
    out = args.repeat.parent / "repeat" if given["out"] is absent else args.out
    out, data_dir = out.absolute(), args.data_dir and args.data_dir.absolute()
    if os.path.isdir(then["folder"]):
        os.chdir(then["folder"])  # where its FILE.py were found
    resolved = ["--dataset", then["dataset"]["name"], "--device", then["settings"]["device"]]
    repeated = parser.parse_args([*then["command"][1:], *resolved])
    repeated.out, repeated.data_dir, repeated.jobs, repeated.dask = out, data_dir, args.jobs, args.dask
    repeated.command, repeated.then = then["command"], then
    return repeated


# --- one call -------------------------------------------------------------------------------------------------


def main() -> int:
    args = arguments()
    if args.list:
        return 0 if cli.say(listed()) else 1
    chosen = [c for c in COMPARISONS if c.key in args.comparisons or not args.comparisons]
    cli.own(args.out)
    dataset = load(args.dataset, args.data_dir)
    if args.quick:
        dataset = dataset.first(QUICK_IMAGES)
    settings = cli.settings(args, dataset, QUICK_EPOCHS if args.quick else EPOCHS)
    if args.then:
        repetition.check(args.then, dataset, settings)
    if args.arms:
        chosen = [replace(CHOSEN, title=f"Initial weights of {settings.architecture}", arms=args.arms)]
    if args.device != "cpu":
        cli.complain(f"training on {describe(settings.device)}")
    arms = list(dict.fromkeys(arm for comparison in chosen for arm in comparison.arms))
    seeds, choice = range(args.seeds), None
    run = [[comparison.key for comparison in chosen], arms, seeds, settings, args.learning_rates]
    journal = Journal(args.out / JOURNAL, dataset, run, cli.complain)
    how: Any = {"jobs": args.jobs, "journal": journal, "execute": cli.executor(args) if args.dask else None}
    if args.learning_rates:
        try:
            choice = choose(arms, dataset, settings, args.learning_rates, seeds=seeds, **how)
        except Unfinished as stopped:
            cli.complain(f"{stopped}; the learning rates were still being chosen: the same command goes on with that")
            return cli.exit_code(stopped.__cause__) if stopped.interrupted else 1
        arms = [choice.applied(arm) for arm in arms]
    try:
        finished = compare(arms, dataset, settings, seeds=seeds, **how)
    except Unfinished as stopped:
        # only seeds that every arm has: pairs need both, and no arm may look better for having fewer
        whole = [s for s in range(args.seeds) if sum(run.seed == s for run in stopped.runs) == len(arms)]
        kept = f"{len(whole)} of {args.seeds} seeds were complete and are kept" if whole else "no seed was complete"
        cli.complain(f"{stopped}; {kept}")
        if whole:
            kept_runs = [run for run in stopped.runs if run.seed in whole]
            show(chosen, kept_runs, dataset, settings, args, choice, complete=False)
        return cli.exit_code(stopped.__cause__) if stopped.interrupted else 1
    shown = show(chosen, finished, dataset, settings, args, choice, complete=True)
    journal.remove()
    if args.then:
        same, said = repetition.compared(args.then, repetition.read(args.out / "results.json"))
        shown = cli.say(f"\n{textwrap.fill(said, 80)}") and shown and same
    return 0 if shown else 1


def listed() -> str:
    """The names that the command line knows, and what they stand for."""
    from listing import listing

    known = {
        "--activation": parts.ACTIVATIONS,
        "--normalization": ["none", *parts.NORMALIZATIONS],
        "--network": parts.NETWORKS,
        "--optimizer": parts.OPTIMIZERS,
    }
    return listing(COMPARISONS, known)


# --- tables and figures ---------------------------------------------------------------------------------------


def show(
    chosen: list[Comparison],
    finished: list[Run],
    dataset: Dataset,
    settings: Settings,
    args: argparse.Namespace,
    choice: Choice | None = None,
    *,
    complete: bool,
) -> bool:
    """Write results.json, the tables and the figures to the folder `args.out`; print the tables and verdicts.

    The numbers are saved before anything is printed. False where standard output could not take the tables.
    """
    runs = by_arm(finished)
    seeds = [run.seed for run in next(iter(runs.values()))]
    judgement = judged(chosen, runs, [blind_accuracy(dataset.labels, seed, settings) for seed in seeds])
    look = f"a quick look at {len(dataset.images):,} images" if args.quick else ""
    tried = f"the best of {', '.join(f'{rate:g}' for rate in choice.rates)}" if choice else ""
    note = "; ".join(filter(None, (settings.summary(tried), look)))
    lessons = settings == Settings(device=settings.device) and not (dataset.stand_in or args.quick or choice)
    rated = [replace(c, arms=tuple(map(choice.applied, c.arms))) for c in chosen] if choice else chosen
    text = [
        textwrap.fill(f"{dataset.title}: {note}.", 80),
        f"Validation accuracy and training loss (mean of the last {LAST} batches):",
        f"mean ± standard deviation over {len(seeds)} seed{'s' * (len(seeds) > 1)}, paired in split, batches, masks.",
    ]
    if not complete:
        text.append(f"The run was stopped: it has {len(seeds)} of {args.seeds} seeds.")
    for comparison, its_rates in zip(chosen, rated, strict=True):
        text += ["", f"== {comparison.title} ==  [{dataset.title}]", table(its_rates, runs, lesson=lessons)]
        for sentence in verdicts(comparison, judgement):
            text.append(textwrap.fill(sentence, 80, initial_indent="  → ", subsequent_indent="    "))
    text += ["", explanation(judgement, len(seeds))]
    if choice:
        arms = list(dict.fromkeys(arm for comparison in chosen for arm in comparison.arms))
        share = f"{settings.validation:.0%} of the training images"
        said = f"Accuracy with each learning rate on {share}, set aside for choosing; each seed takes its own best."
        text += ["", textwrap.fill(said, 80), chosen_rates(choice, arms)]
        text += [textwrap.fill(sentence, 80) for sentence in ends(choice, arms)]
    if args.quick:
        steps = settings.steps(len(dataset.images))
        text.append(f"After {steps} step{'s' * (steps > 1)}: an early lead may be gone after a whole training.")

    with cli.saving("\n".join(text)):
        if aside := set_aside(args.out, OUTPUTS):
            cli.complain(f"an earlier run's files are now in {aside}")
        found = results(
            chosen,
            runs,
            dataset,
            settings,
            judgement,
            quick=args.quick,
            complete=complete,
            command=args.command,
            choice=choice,
        )
        write_json(args.out / "results.json", found)
        with replacing(args.out / "tables.txt") as temporary:
            temporary.write_text("\n".join(text) + "\n", encoding="utf-8")
    printed = cli.say("\n".join(text))
    pictures = figures(rated, runs, dataset, args, note, {c.key: verdicts(c, judgement) for c in chosen})
    story.write(
        args.out / "report.html",
        found,
        chosen,
        dataset=dataset.title,
        note=note,
        explanation=explanation(judgement, len(seeds)),
        pictures=pictures,
        first=args.first_batches,
        classes=len(dataset.classes),
        lesson=lessons,
        choice=choice,
    )
    printed = cli.say(f"\nFigures, tables.txt and results.json are in {args.out}/") and printed
    return cli.say(f"Open {args.out / 'report.html'}") and printed


def figures(
    chosen: list[Comparison],
    runs: dict[str, list[Run]],
    dataset: Dataset,
    args: argparse.Namespace,
    note: str,
    answers: dict[str, list[str]],
) -> dict[str, bytes]:
    """Write the figures as PNGs; return those of the comparisons, by key, as SVGs for the page."""
    from tqdm import tqdm

    from scratchnet.report import plots  # matplotlib: only now, since the tables need none of it

    order = stream(0, "order").permutation(len(dataset.images))[:20]
    draws = np.random.default_rng(0)
    common: dict[str, Any] = {"dataset": dataset.title, "stand_in": dataset.stand_in}
    made = {
        "samples": lambda: plots.samples(dataset.images[order], dataset.labels[order], dataset.classes, **common),
        "uniform-distribution": lambda: plots.histogram(
            "Uniform distribution",
            draws.uniform(-3, 3, 1000),
            lambda x: np.where((x >= -3) & (x < 3), 1 / 6, 0.0),
            answer="U(−3, 3): every value in the range is as likely as any other",
        ),
        "normal-distribution": lambda: plots.histogram(
            "Normal distribution",
            draws.normal(size=1000),
            lambda x: np.exp(-(x**2) / 2) / math.sqrt(2 * math.pi),
            answer="N(0, 1): values near the mean are likelier",
        ),
    }
    for comparison in chosen:
        curves = {arm.label: np.array([run.training_loss for run in runs[arm.key]]) for arm in comparison.arms}
        if len(curves) <= len(plots.COLORS):
            answer = "\n".join(answers[comparison.key])
            draw = partial(plots.losses, comparison.title, curves, answer=answer, first=args.first_batches)
        else:  # more lines than anyone can tell apart
            rows = {
                arm.label: (
                    np.array([last_loss(run) for run in runs[arm.key]]),
                    np.array([100 * run.validation_accuracy for run in runs[arm.key]]),
                )
                for arm in comparison.arms
            }
            label = f"Training loss, mean of the last {LAST} batches"
            draw = partial(plots.ranking, comparison.title, rows, loss_label=label)
        made[comparison.key] = partial(draw, note=note, **common)
    pictures: dict[str, bytes] = {}
    for name, figure in tqdm(made.items(), desc="drawing figures", disable=None):
        drawn = figure()
        plots.save(drawn, args.out / f"{name}.png")
        if name in answers:
            pictures[name] = plots.svg(drawn)
    return pictures


if __name__ == "__main__":
    cli.run(main)
