"""Why an initialization fails or works: layer by layer, measured beside what theory expects, with a verdict.

python scripts/why.py                                  the lesson's arms, before any training
python scripts/why.py zeros ones                       some of them
python scripts/why.py glorot_normal --activation tanh --hidden 100x20 --dropout 0
python scripts/why.py zeros ones --train 240           and what 240 steps make of it, with and without dropout

An ARM is an arm of the lesson, or any initialization as in compare.py --arms: he_normal, orthogonal:gain=1.3,
my.py:mine. Prints tables; writes report.html, a page of pictures for each comparison, why.txt and why.json.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from lesson import ARMS, COMPARISONS, ONES, RULE, ZEROS

from scratchnet import init
from scratchnet.data import Dataset, load
from scratchnet.files import replacing, set_aside
from scratchnet.init.schemes import Shape, fan_in
from scratchnet.lab import parts
from scratchnet.lab.diagnostics import Diagnosis, diagnose
from scratchnet.lab.experiment import Arm, Settings, stream
from scratchnet.lab.rehearsal import rehearse
from scratchnet.lab.trajectory import Trajectory, follow, stack, steps_up_to
from scratchnet.report import accounts, page
from scratchnet.report.diagnoses import EXPLANATION, reasons, record, table, whole
from scratchnet.report.results import environment, write_json
from scratchnet.report.tables import Comparison

# --- settings -----------------------------------------------------------------------------------------------------

SEEDS = 3
GAIN = 0.1  # of accuracy: what dropout must add for an arm to be called learning with it
CHOSEN = "chosen-arms"
OUTPUTS = [f"why-{key}.png" for key in (*(c.key for c in COMPARISONS), CHOSEN, "units")] + [
    "why.txt",
    "why.json",
    "report.html",
]


def one_over_n_in(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W = 1/n_in everywhere: each unit computes the mean of its inputs. As symmetric as `ones`, and of a good size."""
    return init.constant(shape, rng=rng, value=1 / fan_in(shape))


MEAN = Arm("one_over_n_in", "Constant 1/n_in", one_over_n_in)
UNITS = (ZEROS, ONES, MEAN, RULE)  # whose units are followed over steps, where no others are chosen


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("arms", nargs="*", metavar="ARM", help="initializations (default: the comparisons of the lesson)")
    add("--arms", dest="more", metavar="NAME,…", help="the same, as in compare.py")
    add("--train", type=cli.whole(1), metavar="N", help="also train N steps, and look again")
    few = cli.whole(1, cli.MOST_SEEDS)
    add("--seeds", type=few, default=SEEDS, metavar="N", help=f"seeds of each arm (default {SEEDS})")
    cli.add_settings_options(parser)
    cli.add_data_options(parser)
    cli.add_out_option(parser)
    args = parser.parse_args()
    try:
        lessons = {arm.key: arm for arm in (*ARMS, MEAN)}
        named = [cli.arms(text) if text not in lessons else (lessons[text],) for text in args.arms]
        named += [cli.arms(args.more)] if args.more is not None else []
    except parts.PartError as error:
        parser.error(f"argument ARM: {error}")
    args.arms = list(cli.distinct(arm for some in named for arm in some))
    return args


# --- one call -----------------------------------------------------------------------------------------------------


def main() -> int:
    args = arguments()
    cli.own(args.out)
    dataset = load(args.dataset, args.data_dir)
    settings = cli.settings(args, dataset, 1)
    if settings.device != "cpu":
        cli.complain("diagnoses are made on the CPU")
        settings = replace(settings, device="cpu")
    chosen = [Comparison(CHOSEN, "Chosen arms", tuple(args.arms))] if args.arms else list(COMPARISONS)
    arms = list(dict.fromkeys(arm for comparison in chosen for arm in comparison.arms))
    seeds = range(args.seeds)
    rehearse(arms, seeds[0], dataset.images, dataset.labels, settings)
    start = at_the_start(arms, seeds, dataset, settings)
    paths, after = trained(args.arms or list(UNITS), seeds, dataset, settings, args.train)

    note = f"{settings.summary().rsplit(', ', 1)[0]}, {args.seeds} seed{'s' * (args.seeds > 1)}"
    text = [textwrap.fill(f"{dataset.title}: {note}.", 80), "", EXPLANATION]
    for arm in arms:
        text += ["", *told(arm.label, start[arm.key], len(dataset.classes))]
    for arm in args.arms or UNITS if args.train else ():
        text += ["", *told(after_steps(arm, args.train), after[arm.key], len(dataset.classes))]
    if args.train:
        heading = f"Units of the first hidden layer, their effective rank, and accuracy after {args.train} steps:"
        lines = [textwrap.fill(line, 80, subsequent_indent="  ") for line in (heading, *sentences(paths))]
        text += ["", *lines, "A few units may be distinct by rounding alone.", ""]
        text.append(textwrap.fill(f"→ {surprise(paths)}.", 80, subsequent_indent="  "))

    found = {
        "command": sys.argv,
        "dataset": {"name": dataset.name, "sha256": dataset.sha256, "stand_in": dataset.stand_in},
        "settings": {"summary": settings.summary(), "sizes": settings.sizes, "seeds": list(seeds)},
        "environment": environment(),
        "start": {arm.key: {"label": arm.label} | record(start[arm.key]) for arm in arms},
        "steps": args.train or 0,
        "after": record(after),
        "units": record(paths),
    }
    with cli.saving("\n".join(text)):
        if aside := set_aside(args.out, OUTPUTS):
            cli.complain(f"an earlier run's files are now in {aside}")
        write_json(args.out / "why.json", found)
        with replacing(args.out / "why.txt") as temporary:
            temporary.write_text("\n".join(text) + "\n", encoding="utf-8")
    printed = cli.say("\n".join(text))
    pictures = figures(chosen, start, paths, dataset, args, note)
    document = accounts.why(
        chosen,
        start,
        {a.key: (after_steps(a, args.train), after[a.key]) for a in args.arms or UNITS} if args.train else {},
        units=[*sentences(paths), f"{surprise(paths)}."] if args.train else (),
        pictures=pictures,
        dataset=dataset.title,
        stand_in=dataset.stand_in,
        note=note,
        classes=len(dataset.classes),
        command=sys.argv,
    )
    page.write(args.out / "report.html", document)
    printed = cli.say(f"\nPictures, why.txt and why.json are in {args.out}/") and printed
    return 0 if cli.say(f"Open {args.out / 'report.html'}") and printed else 1


def after_steps(arm: Arm, steps: int) -> str:
    return f"{arm.label}, after {steps} step{'s' * (steps > 1)}"


def at_the_start(
    arms: Sequence[Arm], seeds: Sequence[int], dataset: Dataset, settings: Settings
) -> dict[str, Diagnosis]:
    """Each arm before its first step."""
    from tqdm import tqdm

    found = {}
    for arm in tqdm(arms, desc="looking at each arm", unit="arm", disable=None, leave=False):
        network = stack(arm, seeds, dataset.images, dataset.labels, settings)
        found[arm.key] = looked_at(network, optimizer(network, settings), dataset, settings)
    return found


def optimizer(network: Any, settings: Settings) -> Any:
    return settings.optimizer(network.theta, network.grad, learning_rate=settings.learning_rate)


def looked_at(network: Any, optimizer: Any, dataset: Dataset, settings: Settings) -> Diagnosis:
    order = stream(0, "order").permutation(len(dataset.images))
    return diagnose(
        network,
        optimizer,
        dataset.images[order],
        dataset.labels[order],
        batch_size=settings.batch_size,
        rate=settings.learning_rate,
    )


def trained(
    arms: Sequence[Arm], seeds: Sequence[int], dataset: Dataset, settings: Settings, steps: int | None
) -> tuple[dict[str, dict[str, Trajectory]], dict[str, Diagnosis]]:
    """Trajectories by setting and label, without and with dropout; and diagnoses after the last step, as set."""
    from tqdm import tqdm

    paths: dict[str, dict[str, Trajectory]] = {}
    after: dict[str, Diagnosis] = {}
    if not steps:
        return paths, after
    rates = list(dict.fromkeys([0.0, settings.dropout]))
    with tqdm(total=steps * len(arms) * len(rates), desc="training", unit="step", disable=None, leave=False) as bar:
        for p in rates:
            setting = replace(settings, dropout=p)
            name = f"dropout {p:g}" if p else "without dropout"
            paths[name] = {}
            for arm in arms:
                network = stack(arm, seeds, dataset.images, dataset.labels, setting)
                made = optimizer(network, setting)
                data = (dataset.images, dataset.labels, setting)
                path = follow(network, made, seeds, *data, at=steps_up_to(steps), on_step=bar.update)
                paths[name][arm.label] = path
                if p == settings.dropout:
                    after[arm.key] = looked_at(network, made, dataset, setting)
    return paths, after


# --- tables and figures -------------------------------------------------------------------------------------------


def told(heading: str, diagnosis: Diagnosis, classes: int) -> list[str]:
    """An arm's table and its verdicts."""
    lines = [f"== {heading}: {', '.join(diagnosis.words)} ==", table(diagnosis)]
    for sentence in reasons(diagnosis):
        lines.append(textwrap.fill(sentence, 80, initial_indent="  → ", subsequent_indent="    "))
    return [*lines, whole(diagnosis, classes)]


def sentences(paths: Mapping[str, Mapping[str, Trajectory]]) -> list[str]:
    """What became of the units of the first hidden layer, a line for each arm: distinct, effective rank, accuracy."""
    lines = []
    for label in next(iter(paths.values())):
        ends = {setting: arms[label] for setting, arms in paths.items()}
        found = [
            f"{setting}: {np.median(path.distinct[-1, 0]):.0f} of {path.units[0]} distinct, "
            f"rank {np.median(path.rank[-1, 0]):.1f}, {100 * np.median(path.accuracy[-1]):.0f} %"
            for setting, path in ends.items()
        ]
        lines.append(f"{label}, {'; '.join(found)}")
    return lines


def surprise(paths: Mapping[str, Mapping[str, Trajectory]]) -> str:
    """Which arms dropout frees from their symmetry, and which of those learn: in a sentence, if there are some."""
    if len(paths) < 2:
        return "How different the units of the first hidden layer become"
    before, after = paths.values()

    def apart(path: Trajectory) -> bool:
        return float(np.median(path.distinct[-1, 0])) > path.units[0] / 2

    freed = [label for label in after if apart(after[label]) and not apart(before[label])]
    if not freed:
        return "Dropout frees no arm from its symmetry"
    gain = {label: float(np.median(after[label].accuracy[-1] - before[label].accuracy[-1])) for label in freed}
    learn = [label for label in freed if gain[label] > GAIN]
    stay = [label for label in freed if gain[label] <= GAIN]
    parts = [f"Dropout makes the units of {' and '.join(freed)} differ"]
    parts += [f"{' and '.join(learn)} then learn{'s' * (len(learn) == 1)}"] if learn else []
    parts += [f"{' and '.join(stay)} {'do' if len(stay) > 1 else 'does'} not"] if stay else []
    return "; ".join(parts)


def figures(
    chosen: Sequence[Comparison],
    start: Mapping[str, Diagnosis],
    paths: Mapping[str, Mapping[str, Trajectory]],
    dataset: Dataset,
    args: argparse.Namespace,
    note: str,
) -> dict[str, bytes]:
    """Write the pictures as PNGs; return them by name, as SVGs for the page."""
    from tqdm import tqdm

    from scratchnet.report import plots, reasons  # matplotlib: only now, since the tables need none of it

    common: dict[str, Any] = {"dataset": dataset.title, "stand_in": dataset.stand_in, "note": note}
    made = {}
    for comparison in chosen:
        if len(comparison.arms) <= len(plots.COLORS):
            labelled = {arm.label: start[arm.key] for arm in comparison.arms}
            made[f"why-{comparison.key}"] = partial(reasons.page, comparison.title, labelled, **common)
        else:
            cli.complain(f"no page of pictures: {len(comparison.arms)} arms are more than anyone can tell apart")
    if paths and all(len(arms) <= len(plots.COLORS) for arms in paths.values()):
        answer = "\n".join(sentences(paths))
        made["why-units"] = partial(reasons.units_over_steps, paths, title=surprise(paths), answer=answer, **common)
    pictures: dict[str, bytes] = {}
    for name, figure in tqdm(made.items(), desc="drawing pictures", disable=None, leave=False):
        drawn = figure()
        plots.save(drawn, args.out / f"{name}.png")
        pictures[name] = plots.svg(drawn)
    return pictures


if __name__ == "__main__":
    cli.run(main)
