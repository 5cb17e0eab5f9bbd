"""Kill runs at random moments, fill their disk, stop their workers, and see that nothing is lost or silently wrong.

    python scripts/torture.py                              200 kills and everything else: ten minutes on two cores
    python scripts/torture.py --only kill --kills 1000     kills alone
    python scripts/torture.py --only twice,compare         one torment, of one victim

A kill meets download, compare, study, sweep or play, at a moment drawn from the duration of a run that nobody disturbs:
SIGKILL half of the time, else SIGTERM, SIGINT or SIGHUP. A run has survived if

- every byte is still there that an earlier complete run, or the user, had left in its folder (the index of a folder of
  studies may be made anew);
- no process of the run is left after 5 seconds, and its exit code says how it ended;
- the same command, started again, goes on with what was finished, ends with exit code 0 and has the very numbers of a
  run that nobody disturbed: the same SHA-256;
- that run leaves the files of an undisturbed run, and no temporary one;
- no traceback reaches standard error. Ctrl-C while Python starts, before the first line of cli.py, does not count;
- JSON is whole at all times, and a file of Fashion-MNIST in the cache is whole and verified, or not there.

Linux or macOS. What cannot be tried is skipped, and the table says why. The folder of a failure is kept, and a line
says how to repeat it: the same signal after the same share of the run, and not at the same instruction.
"""

from __future__ import annotations

import argparse
import shutil
import signal
import sys
import tempfile
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import NamedTuple

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from torments import judge
from torments.torments import TORMENTS, WHO, WORDS, WRITERS, Skipped, Trial
from torments.victim import Run, Undisturbed, Victim
from torments.victims import at_hand, mirror, victims
from tqdm import tqdm

from scratchnet.data import load
from scratchnet.lab.processes import cores

NAMES = WHO["kill"]


class Job(NamedTuple):
    torment: str
    victim: Victim
    number: int


class Outcome(NamedTuple):
    job: Job
    faults: list[str]
    skipped: str = ""


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--kills", type=cli.whole(1), default=200, metavar="N", help="over all victims (default 200)")
    add("--rounds", type=cli.whole(1), default=2, metavar="N", help="of each other torment and victim (default 2)")
    add("--only", default="", metavar="NAME,…", help=f"of {', '.join(TORMENTS)}; {', '.join(NAMES)}")
    add("--seed", type=cli.whole(0), default=0, metavar="N", help="of the moments and signals (default 0)")
    add("--trial", type=cli.whole(0), metavar="N", help="this one alone, to repeat a failure")
    add("--jobs", type=cli.whole(1), default=cores(), metavar="N", help="runs at a time (default: one a core)")
    add("--out", type=cli.folder, metavar="FOLDER", help="where failures are kept (default: a temporary folder)")
    args = parser.parse_args()
    args.only = args.only.split(",") if args.only else []
    if unknown := [name for name in args.only if name not in (*TORMENTS, *NAMES)]:
        parser.error(f"there is no {unknown[0]!r}; there are {', '.join((*TORMENTS, *NAMES))}")
    if sys.platform == "win32":
        parser.error("it sends signals, which Windows does not have: use Linux or macOS")
    return args


def main() -> int:
    args = arguments()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        if signal.getsignal(number) is signal.SIG_IGN:  # `torture.py &`: what this process ignores, its runs would
            signal.signal(number, lambda *_: None)
    place = Path(args.out or tempfile.mkdtemp(prefix="torture-")).absolute()
    place.mkdir(parents=True, exist_ok=True)
    dataset = load().name
    with mirror(at_hand()) as address:
        if not address:
            cli.complain("without download: the four files of Fashion-MNIST are not on this machine")
        chosen = victims(dataset, place, address)
        if not (wanted := jobs(args, chosen)):
            cli.complain(f"nothing to do: --only {','.join(args.only)} names no torment with one of its victims")
            if args.out is None:
                shutil.rmtree(place)
            return 2
        outcomes = tormented(wanted, place, args.seed, args.jobs)
    printed = cli.say(table(outcomes, args))
    failed = any(outcome.faults for outcome in outcomes)
    if not failed and args.out is None:
        shutil.rmtree(place)
    return 1 if failed or not printed else 0


def jobs(args: argparse.Namespace, chosen: Sequence[Victim]) -> list[Job]:
    """Every trial of the torments and victims that are wanted, the kills spread evenly."""
    wanted = []
    for torment in TORMENTS:
        met = [victim for victim in chosen if victim.name in WHO.get(torment, WRITERS)]
        count = args.kills if torment == "kill" else args.rounds * len(met)
        if args.trial is None:
            wanted += [Job(torment, met[i % len(met)], i // len(met)) for i in range(count) if met]
        else:
            wanted += [Job(torment, victim, args.trial) for victim in met]
    for names in (TORMENTS, NAMES):
        if some := set(args.only) & set(names):
            wanted = [job for job in wanted if {job.torment, job.victim.name} & some]
    return wanted


def tormented(wanted: Sequence[Job], place: Path, seed: int, at_a_time: int) -> list[Outcome]:
    """Torment, several at a time; tell each failure as soon as it is found."""
    outcomes = []
    with ThreadPoolExecutor(at_a_time) as threads:
        ones = {job.victim.name: job.victim for job in wanted}
        calm = dict(zip(ones, threads.map(lambda victim: undisturbed(victim, place), ones.values()), strict=True))
        tried = [threads.submit(trial, job, place, calm[job.victim.name], seed) for job in wanted]
        try:
            for future in tqdm(as_completed(tried), total=len(tried), desc="torments", disable=None):
                outcomes.append(future.result())
                for fault in outcomes[-1].faults:
                    tqdm.write(told(outcomes[-1].job, fault, place, seed))
        except BaseException:
            threads.shutdown(cancel_futures=True)
            raise
    return outcomes


def undisturbed(victim: Victim, place: Path) -> Undisturbed:
    """A run that nobody disturbs."""
    own = place / f"undisturbed-{victim.name}"
    (own / "out").mkdir(parents=True)
    run = Run(victim, own, "undisturbed")
    if run.end() != victim.code or not victim.numbers(run):
        raise OSError(f"{victim.name} does not even run undisturbed: {run.stderr.read_text()}")
    return Undisturbed(victim.numbers(run), frozenset(judge.files(run.folder)), own, run.seconds)


def trial(job: Job, place: Path, calm: Undisturbed, seed: int) -> Outcome:
    """One torment of one victim, in a folder of its own, which is kept if it finds a fault."""
    own = place / f"{job.torment}-{job.victim.name}-{job.number}"
    rng = np.random.default_rng([seed, zlib.crc32(f"{job.torment} {job.victim.name}".encode()), job.number])
    had = judge.earlier(job.victim, calm, own / "out")
    try:
        faults = list(TORMENTS[job.torment](Trial(job.victim, own, calm, rng, had)))
    except Skipped as reason:
        return Outcome(job, [], str(reason))
    if not faults:
        shutil.rmtree(own)
    return Outcome(job, faults)


def told(job: Job, fault: str, place: Path, seed: int) -> str:
    names = f"{job.torment}-{job.victim.name}-{job.number}"
    again = f"--only {job.torment},{job.victim.name} --seed {seed} --trial {job.number}"
    return f"{place / names}: {fault}; again: torture.py {again}"


def table(outcomes: Sequence[Outcome], args: argparse.Namespace) -> str:
    """How many were tried and survived, in Markdown: a row for each torment and victim, with its command."""
    tried, survived = Counter[tuple[str, str]](), Counter[tuple[str, str]]()
    skipped: dict[tuple[str, str], str] = {}
    for job, faults, reason in outcomes:
        name = job.torment, job.victim.name
        tried[name] += not reason
        survived[name] += not (reason or faults)
        if reason:
            skipped[name] = f"skipped: {reason}"
    rows = []
    for name in sorted(tried, key=_order):
        torment, victim = name
        count = f"--kills {args.kills}" if torment == "kill" else f"--rounds {args.rounds}"
        command = f"`python scripts/torture.py --only {torment},{victim} {count} --seed {args.seed}`"
        rows.append([WORDS[torment], victim, str(tried[name]), str(survived[name]), skipped.get(name, command)])
    rows.append(["all", "", str(sum(tried.values())), str(sum(survived.values())), ""])
    head = ["torment", "victim", "tried", "survived", "command"]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, ["---"] * len(head), *rows])


def _order(name: tuple[str, str]) -> list[int]:
    return [list(TORMENTS).index(name[0]), NAMES.index(name[1])]


if __name__ == "__main__":
    cli.run(main)
