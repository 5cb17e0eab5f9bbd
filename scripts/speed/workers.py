"""Worker processes that leave Ctrl-C to the script that started them, and that end with it."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from types import TracebackType
from typing import Any, Self

from scratchnet.lab.processes import end_with_parent, shielding_children, workers_with_one_thread

TOGETHER = 600  # seconds that a process waits for the others, at most


class Workers:
    """Processes that call functions of importable modules, with one thread each or (None) as many as libraries take.

    They are started when there is work, and end with the block of `with`: at once where it ends with an exception.
    """

    def __init__(self, processes: int, threads: int | None = 1) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes, self.threads = processes, threads
        self.pool = ProcessPoolExecutor(processes, context, _begin, (context.Barrier(processes),))

    def in_each(self, work: Callable[..., Any], *given: Any) -> list[Any]:
        """`work(*given)` in every process, once in each."""
        return [future.result() for future in self._submit(_with_the_others, [(work, *given)] * self.processes)]

    def map(self, work: Callable[..., Any], units: Iterable[tuple[Any, ...]]) -> Iterator[Any]:
        """`work(*unit)` for all units, spread over the processes; the results in the order of the units."""
        futures = self._submit(work, units)
        return (future.result() for future in futures)

    def _submit(self, work: Callable[..., Any], units: Iterable[tuple[Any, ...]]) -> list[Future[Any]]:
        with workers_with_one_thread() if self.threads == 1 else shielding_children():  # processes start in here
            return [self.pool.submit(work, *unit) for unit in units]

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is not None:  # nobody wants what they are working on any more
            for process in multiprocessing.active_children():
                process.terminate()
        self.pool.shutdown(wait=True, cancel_futures=True)
        if isinstance(error, BrokenProcessPool):
            raise ChildProcessError("a worker process died; perhaps it ran out of memory") from error


_together: Any = None  # a barrier, in a worker process


def _begin(barrier: Any) -> None:
    global _together
    _together = barrier
    end_with_parent()


def _with_the_others(work: Callable[..., Any], *given: Any) -> Any:
    """Call `work`, then wait until all processes have called it, so that none of them calls it twice."""
    try:
        return work(*given)
    finally:
        _together.wait(TOGETHER)
