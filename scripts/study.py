"""Papers' claims about initial weights, re-run: what each says, an experiment, and whether it held.

python scripts/study.py --list               what there is
python scripts/study.py born_dead            one study, or several
python scripts/study.py --all                all of them
python scripts/study.py --all --quick        a look at each, in at most 20 seconds

Prints each claim, the rule it is judged by, a table and the outcome; writes NAME.png, NAME.svg, NAME.json, NAME.md
and a page of all, report.html. What an earlier run left under these names is moved to earlier/DATE.
"""

from __future__ import annotations

import argparse
import difflib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli

from scratchnet.data import Dataset, load
from scratchnet.files import replacing, set_aside
from scratchnet.lab.journal import Execute, Journal
from scratchnet.lab.studies import NAMES, study
from scratchnet.lab.study import Laboratory, Study
from scratchnet.lab.work import Failed, WorkerDied
from scratchnet.report import accounts, findings, page
from scratchnet.report.results import write_json

# The pages of all studies in a folder, and what shows that one is ours: other scripts write a report.html as well.
PAGES = {"README.md": "# Papers' claims, re-run\n", "report.html": "<title>Papers’ claims, re-run</title>"}


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("studies", nargs="*", metavar="NAME", help="see --list")
    add("--all", action="store_true", help="all studies")
    add("--list", action="store_true", help="list the studies and their claims, and stop")
    add("--quick", action="store_true", help="a look: fewer seeds, depths and steps")
    cli.add_work_options(parser)
    cli.add_data_options(parser)
    cli.add_out_option(parser)
    args = parser.parse_args()
    args.studies = [name.replace("-", "_").lower() for name in args.studies]
    for name in args.studies:
        if name not in NAMES:
            near = difflib.get_close_matches(name, NAMES, n=3, cutoff=0.6)
            hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(NAMES)}"
            parser.error(f"there is no study {name!r}; {hint}")
    if args.all and args.studies:
        parser.error(f"--all runs every study: leave out {' '.join(args.studies)}, or --all")
    if not (args.all or args.studies or args.list):
        parser.error("expected the name of a study, --all or --list")
    args.studies = list(NAMES) if args.all else list(dict.fromkeys(args.studies))
    return args


def main() -> int:
    args = arguments()
    if args.list:
        rows = [[name, study(name).title] for name in NAMES]
        return 0 if cli.say(findings.table([["study", "what it asks"], *rows])) else 1
    cli.own(args.out)
    dataset = load(args.dataset, args.data_dir)
    execute = cli.executor(args)
    journal = Journal(args.out / "study-journal.txt", dataset, [args.studies, args.quick], cli.complain)
    printed = True
    for i, name in enumerate(args.studies):
        try:
            printed = one(study(name), dataset, args, journal, execute, first=i == 0) and printed
        except (Failed, WorkerDied) as error:
            cli.complain(f"{name}: {error}")
            return 1
        write_index(args.out)
    journal.remove()
    printed = cli.say(f"\nFigures, numbers and pages are in {args.out}/") and printed
    return 0 if cli.say(f"Open {args.out / 'report.html'}") and printed else 1


def write_index(folder: Path) -> None:
    """README.md and report.html of all studies whose numbers are in the folder, those of earlier runs included."""
    found = {name: read(folder / f"{name}.json") for name in NAMES if (folder / f"{name}.json").exists()}
    names = [name for name, record in found.items() if record is not None]
    records = [record for record in found.values() if record is not None]
    with replacing(folder / "README.md") as temporary:
        temporary.write_text(findings.index([study(name) for name in names], records), encoding="utf-8")
    figures = {name: folder / f"{name}.svg" for name in names}
    figures |= {name: folder / f"{name}.png" for name in names if not figures[name].exists()}
    pictures = {name: path.read_bytes() for name, path in figures.items() if path.exists()}
    page.write(folder / "report.html", accounts.studies([study(name) for name in names], records, pictures))


def read(path: Path) -> dict[str, Any] | None:
    """The record in a file of this script, and None for another file, which is named."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        found = None
    if findings.is_record(found):
        return found
    cli.complain(f"{path} is not as study.py writes it: it is left out of README.md and report.html")
    return None


def one(
    chosen: Study, dataset: Dataset, args: argparse.Namespace, journal: Journal, execute: Execute, *, first: bool
) -> bool:
    """Run one study; save what it found, then print it. False where standard output could not take it.

    What it has measured is in the journal: it is not lost if the rule, the figure or the disk fails.
    """
    from tqdm import tqdm

    from scratchnet.report import panels, plots  # matplotlib: only now, since `--list` needs none of it

    began, used = time.monotonic(), sum(os.times()[:4])
    with tqdm(total=0, desc=chosen.name, unit="part", disable=None) as bar:

        def expect(count: int) -> None:
            bar.total = (bar.total or 0) + count
            bar.refresh()

        laboratory = Laboratory(dataset, expect=expect, done=bar.update, journal=journal, execute=execute)
        numbers = chosen.measure(laboratory, **(chosen.quick if args.quick else {}))
    seconds, used = time.monotonic() - began, sum(os.times()[:4]) - used
    finding = chosen.judge(numbers)
    note = f"Data: {dataset.title}." + (" A quick look, too small to decide." if args.quick else "")
    if laboratory.earlier:
        note += f" The time of {laboratory.earlier} parts that an earlier start had finished is not counted."
    files = [f"{chosen.name}.{ending}" for ending in ("png", "svg", "json", "md")]
    text = findings.text(chosen, finding, note=note)
    with cli.saving(text):
        files += [name for name, mark in PAGES.items() if not cli.holds(args.out / name, mark)]
        if aside := set_aside(args.out, files):
            cli.complain(f"an earlier run's files are now in {aside}")
        how: Any = {"command": sys.argv, "seconds": seconds, "used": used, "quick": args.quick}
        write_json(args.out / f"{chosen.name}.json", findings.record(chosen, finding, numbers, dataset, **how))
        command = f"python scripts/study.py {chosen.name}" + " --quick" * args.quick
        text_page = findings.section(chosen, finding, command=command, minutes=used / 60, note=note, look=args.quick)
        with replacing(args.out / f"{chosen.name}.md") as temporary:
            temporary.write_text(text_page, encoding="utf-8")
    drawn = panels.figure(finding, note="a quick look" * args.quick, dataset=dataset.title, stand_in=dataset.stand_in)
    plots.save(drawn, args.out / f"{chosen.name}.png")
    with replacing(args.out / f"{chosen.name}.svg") as temporary:
        temporary.write_bytes(plots.svg(drawn))
    return cli.say(text if first else "\n" + text)


if __name__ == "__main__":
    cli.run(main)
