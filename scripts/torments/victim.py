"""What is tormented: a command that writes to a folder, a run of it, and the numbers that it finds."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parent.parent.parent
LONGEST = 240.0  # seconds: a run that takes longer hangs
MARK = b"\n"  # what is added to each file of an earlier run, so that it differs from what a new run writes


@dataclass(frozen=True)
class Victim:
    """A command, without `python`; "FOLDER" in it is the folder that it writes to, which environment may name too."""

    name: str
    command: Sequence[str]
    numbers: Callable[[Run], str]  # what a run has found: equal to the last bit for equal runs
    keep: str = ""  # a pattern: these files of an earlier complete run are in the folder
    environment: Mapping[str, str] = field(default_factory=dict)
    talk: Callable[[Run], None] | None = None  # what has to be said to a server before it ends
    code: int = 0  # the exit code of a run that nobody disturbs


@dataclass(frozen=True)
class Undisturbed:
    """What a run finds that nobody disturbs, and how long it takes."""

    numbers: str
    names: frozenset[str]  # of its files
    place: Path
    seconds: float


class Run:
    """A running command, in a session of its own as in a terminal of its own. `place/out` is its folder."""

    def __init__(
        self, victim: Victim, place: Path, label: str, *, before: Sequence[str] = (), stdout: str = "", **more: str
    ) -> None:
        self.victim, self.folder, self.told, self.hung = victim, place / "out", "", False
        self.stdout, self.stderr = Path(stdout or place / f"{label}.stdout"), place / f"{label}.stderr"
        path = os.pathsep.join(map(str, filter(None, [more.pop("first_path", ""), ROOT, ROOT / "scripts"])))
        environment = os.environ | {"PYTHONPATH": path, "OPENBLAS_NUM_THREADS": "1", **victim.environment, **more}
        fill = str(self.folder)
        self.began = time.monotonic()
        with open(self.stdout, "w") as out, open(self.stderr, "w") as err:
            self.process = subprocess.Popen(
                [*before, sys.executable, *(word.replace("FOLDER", fill) for word in victim.command)],
                cwd=place,
                env={name: value.replace("FOLDER", fill) for name, value in environment.items()},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                start_new_session=True,
            )

    def send(self, number: int, alone: bool = False) -> None:
        """A signal to all processes of the run, as a terminal does, or to the first one alone."""
        with suppress(ProcessLookupError):  # it has ended
            if not alone:
                os.killpg(self.process.pid, number)
            elif self.process.poll() is None:
                os.kill(self.process.pid, number)

    def end(self) -> int:
        """Talk to it, and wait for its end; returns its exit code. What hangs is killed."""
        if self.victim.talk:
            self.victim.talk(self)
        try:
            self.process.wait(LONGEST)
        except subprocess.TimeoutExpired:
            self.hung = True
            self.send(signal.SIGKILL)
            self.process.wait()
        self.seconds = time.monotonic() - self.began
        return self.process.returncode

    def workers(self) -> list[int]:
        """Its worker processes."""
        listed = subprocess.run(["ps", "-A", "-o", "pid=,ppid=,args="], capture_output=True, text=True, check=True)
        rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
        mine = str(self.process.pid)
        return [int(pid) for pid, parent, *words in rows if parent == mine and "spawn_main" in "".join(words)]

    def left(self, seconds: float) -> str:
        """The processes of the run that are left after so many seconds, with their commands."""
        deadline = time.monotonic() + seconds
        while True:
            listed = subprocess.run(["ps", "-A", "-o", "pid=,pgid=,state=,args="], capture_output=True, text=True)
            rows = [line.split(None, 3) for line in listed.stdout.splitlines()]
            there = [f"{r[0]} {r[-1]}" for r in rows if r[1] == str(self.process.pid) and not r[2].startswith("Z")]
            if not there or time.monotonic() > deadline:
                return "; ".join(there)
            time.sleep(0.05)
