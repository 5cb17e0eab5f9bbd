"""A grid of settings: every value of every axis with every value of the others, each with every seed.

python scripts/sweep.py docs/examples/sweep.toml           train the grid; again: go on where it stopped
python scripts/sweep.py docs/examples/sweep.toml --count   how many runs that would be
python scripts/sweep.py GRID.toml --map width,depth        the heat map of these two axes
python scripts/sweep.py GRID.toml --dask tcp://HOST:8786   on the workers of a Dask cluster: see docs/scale.md

Prints the best cells; writes sweep.csv, a row a run, sweep.json, heat maps and report.html.
docs/scale.md says what a grid file may hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from itertools import permutations
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np

from scratchnet.data import Dataset, load
from scratchnet.files import set_aside
from scratchnet.lab.grid import CELL, Cell, Grid, GridError, absolute, read
from scratchnet.lab.journal import Execute, Journal
from scratchnet.lab.sweep import across, check, summary, sweep, units
from scratchnet.report import page, sweeps
from scratchnet.report.results import write_json

MANY = 10_000  # runs: more than these have to be asked for
JOURNAL = "sweep.journal"  # what is finished: the same command goes on from there, or only draws


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("grid", type=Path, metavar="GRID.toml", help="the values of each axis")
    add("--count", action="store_true", help="say how many runs the grid has, and stop")
    add("--yes", action="store_true", help=f"train more than {MANY:,} runs")
    add("--map", type=_axes, action="append", metavar="X,Y", help="axes of a heat map, several times for several maps")
    cli.add_work_options(parser)
    cli.add_data_options(parser)
    add("--out", type=cli.folder, metavar="FOLDER", help="folder for the results (default results/GRID)")
    return parser.parse_args()


def _axes(text: str) -> tuple[str, str]:
    pair = tuple(name.strip() for name in text.split(","))
    if len(set(pair)) != 2 or not set(pair) <= set(CELL):
        raise argparse.ArgumentTypeError(f"expected two of {', '.join(CELL)}, with a comma between, got {text!r}")
    return pair[0], pair[1]


def main() -> int:
    args = arguments()
    grid = read(args.grid)
    for pair in args.map or []:
        if single := [name for name in pair if name not in grid.varying]:
            raise GridError(f"--map {','.join(pair)}: {single[0]} has a single value in this grid")
    many = grid.size > MANY and not (args.yes or args.count)
    if many and (runs := sum(1 for _ in grid.cells()) * len(grid.seeds)) > MANY:  # without what is skipped
        cli.complain(f"the grid has {runs:,} runs: to train more than {MANY:,}, say --yes (--count says more)")
        return 2
    if args.count:
        return count(grid, load(args.dataset, args.data_dir))
    files = {digest: absolute(name, grid.folder).read_bytes() for name, digest in grid.files().items()}
    return train(grid, cli.executor(args, files), args)


def count(grid: Grid, dataset: Dataset) -> int:
    """Print how large the grid is."""
    cells = list(grid.cells())
    todo = units(grid, cells, dataset)
    steps, runs = sum(unit.steps for unit in todo), len(cells) * len(grid.seeds)
    said = f"{runs:,} runs: {len(cells):,} cells, {len(grid.seeds):,} seeds; {steps:,} steps in {len(todo):,} units"
    return 0 if cli.say(said) else 1


def train(grid: Grid, execute: Execute, args: argparse.Namespace) -> int:
    """Train what is not yet in the folder's journal, and show everything."""
    out = args.out or Path("results") / args.grid.stem
    cli.own(out)
    dataset = load(args.dataset, args.data_dir)
    complete = same_grid(out, grid, dataset)
    cells = list(grid.cells())
    check(grid, cells, dataset)
    began, identity = time.monotonic(), sweeps.identity(grid, dataset)
    made = [f"map-{x}-{y}.png" for x, y in permutations(CELL, 2)]
    made += ["sweep.csv", "sweep.json", "report.html"] if complete or (out / "sweep.csv").exists() else []
    journal = Journal(out / JOURNAL, dataset, identity, cli.complain, made)
    if not (out / "sweep.json").exists():
        write_json(out / "sweep.json", {"complete": False, **identity})
    results = sweep(grid, cells, dataset, execute=execute, journal=journal)
    return 0 if show(out, grid, cells, results, dataset, args, time.monotonic() - began) else 1


def same_grid(out: Path, grid: Grid, dataset: Dataset) -> bool:
    """Whether the folder holds this grid's sweep, and all of it. Raises GridError where it holds that of another."""
    path = out / "sweep.json"
    if not path.exists():
        return False
    try:
        earlier = json.loads(path.read_text("utf-8"))
        other = sweeps.difference(sweeps.identity(grid, dataset), earlier)
    except (ValueError, AttributeError, TypeError, RecursionError):
        other = "its sweep.json cannot be read"
    if other:
        raise GridError(f"{out} holds another sweep ({other}): choose another folder with --out, or remove this one")
    return earlier.get("complete") is True


def show(
    out: Path,
    grid: Grid,
    cells: list[Cell],
    results: np.ndarray,
    dataset: Dataset,
    args: argparse.Namespace,
    seconds: float,
) -> bool:
    """Write everything to the folder, then print the best cells. False where standard output could not take them."""
    from scratchnet.report import heatmaps, style  # matplotlib: only now

    found = summary(results)
    text = [
        f"{dataset.title}: {len(cells) * len(grid.seeds):,} runs, {sweeps.common(grid)}.",
        "The best cells by mean validation accuracy, ± standard deviation over the seeds:",
        "",
        sweeps.best(grid, cells, found),
        "",
        *sweeps.answer(grid, cells, found),
    ]
    with cli.saving("\n".join(text)):
        others = [] if cli.holds(out / "report.html", f"<title>{sweeps.TITLE}</title>") else ["report.html"]
        if aside := set_aside(out, others):
            cli.complain(f"a report.html of something else is now in {aside}")
        sweeps.write_csv(out / "sweep.csv", grid, cells, results, dataset)
        write_json(out / "sweep.json", sweeps.record(grid, cells, found, dataset, seconds=seconds, command=sys.argv))
    common: dict[str, Any] = {"dataset": dataset.title, "stand_in": dataset.stand_in, "note": sweeps.common(grid)}
    pictures = {}
    for x, y in args.map or sweeps.chosen(grid, cells, found):
        drawn = heatmaps.figure(grid, across(grid, cells, results, x, y), **common)
        style.save(drawn, out / f"map-{x}-{y}.png")
        pictures[f"{x} and {y}"] = style.svg(drawn)
    page.write(
        out / "report.html",
        sweeps.report(grid, cells, found, pictures, dataset=dataset.title, stand_in=dataset.stand_in, command=sys.argv),
    )
    return cli.say("\n".join([*text, f"report.html, sweep.csv, sweep.json and heat maps are in {out}/"]))


if __name__ == "__main__":
    cli.run(main)
