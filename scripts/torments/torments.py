"""What is done to a run: kills at random moments, and what else can happen to it."""

from __future__ import annotations

import os
import shutil
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import numpy as np

from torments import judge
from torments.victim import Run, Undisturbed, Victim

SIGNALS = ["SIGKILL"] * 3 + ["SIGTERM", "SIGINT", "SIGHUP"]
TRIES = 5  # runs in which to meet a worker
CLOCK = """import time as _time
_real, _since, _day = _time.time, _time.monotonic(), {day}
_time.time = lambda: _real() + _day * (_time.monotonic() - _since > {after})
"""


class Skipped(Exception):
    """It cannot be tried here; the message says why."""


class Trial(NamedTuple):
    victim: Victim
    place: Path  # a folder of its own
    undisturbed: Undisturbed
    rng: np.random.Generator
    had: dict[str, str]  # what is in its folder beforehand

    def run(self, label: str, **options: str | list[str]) -> Run:
        return Run(self.victim, self.place, label, **options)  # type: ignore[arg-type]

    def next(self) -> Iterator[str]:
        """The same command once more, and what is wrong then."""
        yield from (f"the next run: {fault}" for fault in self.ends_well(self.run("next")))

    def ends_well(self, run: Run) -> Iterator[str]:
        """What is wrong at the end of a run that has to end as if nothing had happened."""
        run.end()
        yield from judge.after_all(run, self.had, self.undisturbed)


def codes(victim: Victim, number: int) -> set[int]:
    """The exit codes that a run may have after a signal, or before: its end may come first."""
    return {victim.code, -number, 128 + number} - ({128 + number} if number == signal.SIGKILL else set())


def kill(trial: Trial) -> Iterator[str]:
    """Half of them SIGKILL, else SIGTERM, SIGINT or SIGHUP; to the first process or to all, as a terminal does."""
    number, alone = getattr(signal, trial.rng.choice(SIGNALS)), bool(trial.rng.integers(2))
    yield from _signalled(trial, number, [trial.rng.uniform(0, trial.undisturbed.seconds)], alone)


def twice(trial: Trial) -> Iterator[str]:
    """Ctrl-C, or a closed terminal, and again within half a second."""
    number = int(trial.rng.choice([signal.SIGINT, signal.SIGHUP]))
    first = trial.rng.uniform(0, trial.undisturbed.seconds)
    yield from _signalled(trial, number, [first, first + trial.rng.uniform(0, 0.5)])


def _signalled(trial: Trial, number: int, moments: list[float], alone: bool = False) -> Iterator[str]:
    run = trial.run("killed")
    timers = [threading.Timer(seconds, run.send, (number, alone)) for seconds in moments]
    for timer in timers:
        timer.start()
    run.end()
    for timer in timers:
        timer.cancel()
    yield from judge.after_torment(run, trial.had, codes(trial.victim, number))
    yield from trial.next()


# --- workers ----------------------------------------------------------------------------------------------------------


def dead_worker(trial: Trial) -> Iterator[str]:
    """SIGKILL for one worker: the run goes on without it."""
    yield from _worker(trial, signal.SIGKILL)


def stopped_worker(trial: Trial) -> Iterator[str]:
    """SIGSTOP for one worker: the run waits for it for half a minute, and goes on without it."""
    yield from _worker(trial, signal.SIGSTOP)


def _worker(trial: Trial, number: int) -> Iterator[str]:
    for attempt in range(1, TRIES + 1):
        run, met = trial.run("worker"), False
        while not (workers := run.workers()) and run.process.poll() is None:
            time.sleep(0.05)
        time.sleep(trial.rng.uniform(0, trial.undisturbed.seconds / 4**attempt))
        with suppress(ProcessLookupError, ValueError):  # the work was done before: earlier, the next time
            os.kill(int(trial.rng.choice(workers)), number)
            met = True
        yield from trial.ends_well(run)
        if met:
            return
        shutil.rmtree(run.folder)  # a sweep that is complete has no more work
        judge.earlier(trial.victim, trial.undisturbed, run.folder)
    yield f"in {TRIES} runs no worker was met"


# --- files ------------------------------------------------------------------------------------------------------------


def two_runs(trial: Trial) -> Iterator[str]:
    """A second run into the folder of the first one, which is stopped meanwhile, is told so."""
    first, lock = trial.run("first"), trial.place / "out" / ".lock"
    while not (lock.exists() and lock.read_text()) and first.process.poll() is None:
        time.sleep(0.005)
    first.send(signal.SIGSTOP)
    second = trial.run("second")
    second.end()
    first.send(signal.SIGCONT)
    said = second.stderr.read_text()
    if not (second.process.returncode == 1 and " owns " in said):
        yield f"the second run: exit code {second.process.returncode}, {said!r}"
    yield from trial.ends_well(first)


def limited_files(trial: Trial) -> Iterator[str]:
    """No file may have more than some random number of kilobytes (ulimit -f): writing fails in the middle of one."""
    blocks = int(trial.rng.integers(1, 300))
    run = trial.run("limited", before=["sh", "-c", f'ulimit -f {blocks}; exec "$@"', "sh"])
    run.end()
    yield from judge.after_torment(run, trial.had, {0, 1})
    yield from trial.next()


def full_disk(trial: Trial) -> Iterator[str]:
    """A small file system of its own, in memory, is full in the middle of the run; then there is room again.

    Where the system allows namespaces to its users, no other rights are needed.
    """
    folder, kilobytes = trial.place / "out", int(trial.rng.integers(1, 500))
    if not shutil.which("unshare"):
        raise Skipped("needs unshare")
    script = (
        'cp -r "$1" "$1.was"; mount -t tmpfs -o size=100m full "$1" || exit 99; cp -r "$1.was/." "$1"; '
        'used=$(du -sk "$1" | cut -f1); mount -o remount,size=$((used + $2))k "$1"; folder="$1"; shift 2; '
        '"$@"; code=$?; mount -o remount,size=100m "$folder"; rm -r "$folder.was"; '
        'cp -a "$folder" "$folder.was"; exit $code'
    )
    run = trial.run(
        "full", before=["unshare", "--map-root-user", "--mount", "sh", "-c", script, "sh", str(folder), str(kilobytes)]
    )
    run.end()
    if run.process.returncode == 99 or "unshare failed" in run.stderr.read_text():
        raise Skipped("needs the right to mount a file system of its own")
    shutil.rmtree(folder)
    folder.with_name("out.was").rename(folder)
    yield from judge.after_torment(run, trial.had, {0, 1})
    yield from trial.next()


def full_output(trial: Trial) -> Iterator[str]:
    """Standard output takes nothing (/dev/full): exit code 1, and everything is in the folder."""
    if not os.path.exists("/dev/full"):
        raise Skipped("needs /dev/full")
    run = trial.run("unheard", stdout="/dev/full")
    run.end()
    yield from judge.after_torment(run, trial.had, {1})
    if trial.victim.numbers(run) != trial.undisturbed.numbers:
        yield "other numbers"
    yield from trial.next()


def read_only(trial: Trial) -> Iterator[str]:
    """A folder that cannot be written to: one line, exit code 1, and nothing is changed."""
    before: list[str] = []
    if os.geteuid() == 0:  # root may write everywhere, but for one that has given this right away
        if not shutil.which("setpriv"):
            raise Skipped("root ignores permissions")
        before = ["setpriv", "--bounding-set", "-dac_override,-dac_read_search"]
    folder = trial.place / "out"
    folder.chmod(0o555)
    try:
        run = trial.run("read-only", before=before)
        run.end()
        yield from judge.after_torment(run, trial.had, {1})
        if len(lines := run.stderr.read_text().splitlines()) != 1:
            yield f"one line was expected: {lines}"
        if judge.files(folder).keys() != trial.had.keys():
            yield "files have come"
    finally:
        folder.chmod(0o755)
    yield from trial.next()


# --- time -------------------------------------------------------------------------------------------------------------


def clock_jump(trial: Trial) -> Iterator[str]:
    """The clock jumps by a day, back or forth, in the middle of the run and in each of its processes."""
    day, after = 86_400 * int(trial.rng.choice([-1, 1])), trial.rng.uniform(0, trial.undisturbed.seconds)
    (trial.place / "sitecustomize.py").write_text(CLOCK.format(day=day, after=after))
    yield from trial.ends_well(trial.run("jump", first_path=str(trial.place)))


TORMENTS: dict[str, Callable[[Trial], Iterator[str]]] = {
    "kill": kill,
    "twice": twice,
    "dead-worker": dead_worker,
    "stopped-worker": stopped_worker,
    "two-runs": two_runs,
    "full-disk": full_disk,
    "limited-files": limited_files,
    "full-output": full_output,
    "read-only": read_only,
    "clock-jump": clock_jump,
}
WORDS = {  # what each is, in a table
    "kill": "SIGKILL, SIGTERM, Ctrl-C or SIGHUP at a random moment",
    "twice": "Ctrl-C, or a closed terminal, twice within half a second",
    "dead-worker": "SIGKILL for one worker",
    "stopped-worker": "SIGSTOP for one worker",
    "two-runs": "a second run into the same folder",
    "full-disk": "a file system with room for 1 to 500 kB more",
    "limited-files": "`ulimit -f`: writing fails inside a file",
    "full-output": "standard output is `/dev/full`",
    "read-only": "a folder without the right to write",
    "clock-jump": "the clock jumps by a day",
}
WHO = {  # all but these meet whoever writes to a folder of its own
    "kill": ["download", "compare", "study", "sweep", "play"],
    "twice": ["download", "compare", "study", "sweep", "play"],
}
WRITERS = ["compare", "study", "sweep"]
