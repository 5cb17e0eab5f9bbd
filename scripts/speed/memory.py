"""Memory: the most that processes hold together while some work is done."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any


def peak_memory(work: Callable[[], Any], *, myself: bool) -> int | None:
    """The most memory held while `work` runs, in bytes, by this process (if `myself`) and those it has started.

    Looks every 50 ms. None where the system does not tell (it takes Linux's /proc).
    """
    if not Path("/proc/self/smaps_rollup").exists():
        work()
        return None
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            members = family(os.getpid())
            peak = max(peak, proportional_set_size(members if myself else members[1:]))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return peak


def family(ancestor: int) -> list[int]:
    """The process `ancestor` and all its descendants."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has ended meanwhile
    members = [ancestor]
    for member in members:
        members += [process for process, parent in parents.items() if parent == member]
    return members


def proportional_set_size(processes: Sequence[int]) -> int:
    """Bytes of memory that the processes hold together: what several share counts once."""
    total = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total
