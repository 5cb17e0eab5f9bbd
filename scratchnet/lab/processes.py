"""Worker processes: a team that does units of work, and outlives the death of any of its members.

Each worker has a pipe to this process, and says every BEAT seconds how many steps it has done. One that ends in the
middle of its unit, or is silent for `patience` seconds while this process runs (somebody has stopped it, say), costs
that unit alone: another one begins it anew. Processes share no lock and no semaphore, so that a kill at any moment
leaves nothing behind.
"""

from __future__ import annotations

import errno
import os
import pickle
import queue
import shutil
import signal
import sys
import tempfile
import threading
import time
import types
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

import numpy as np

from scratchnet.data import Dataset
from scratchnet.lab.keys import imported
from scratchnet.lab.packing import pack
from scratchnet.lab.parts import told
from scratchnet.lab.work import CannotSend, Done, Failed, Tick, Work, WorkerDied, attempt, name_of

BEAT = 0.2
PATIENCE = 30.0
TRIES = 3  # workers that end in the middle of the same unit, or before they have begun


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(
    work: Work,
    specs: Sequence[Any],
    dataset: Dataset,
    tick: Tick,
    jobs: int | None = None,
    patience: float = PATIENCE,
) -> Done:
    """Spread over `jobs` processes (default: one a core), each with one BLAS thread.

    Raises CannotSend where worker processes cannot be given the work or cannot be started, Failed where the work on a
    spec raises, WorkerDied where TRIES workers end in the middle of the same unit. All have ended when this has.
    """
    import multiprocessing  # only here: `import scratchnet` takes 47 ms without it and 57 with

    # First: nothing is started for work that cannot be sent. All payloads of a million specs would fill the memory.
    import_main = sum(b"__main__" in pack((work, spec)) for spec in specs) > 0
    if multiprocessing.current_process().daemon:  # a worker of multiprocessing.Pool, for example
        raise CannotSend("this is a daemonic process, which may start no others")
    waiting, left, lost = deque(range(len(specs))), len(specs), Counter[int]()
    known = imported()
    team = _Team(dataset, import_main, patience)
    try:
        team.start(min(jobs or cores(), left))
        while left:
            worker, kind, content = team.hear()
            i = worker.unit
            if kind == "steps":
                worker.steps += content
                tick(content)
            elif kind == "done":
                worker.unit, left = None, left - 1
            elif kind == "failed":
                raise Failed(content)
            elif kind == "cannot":
                raise CannotSend(content)
            elif kind == "ended":
                how = team.leave(worker)
                if i is not None:
                    tick(-worker.steps)
                    waiting.appendleft(i)
                    lost[i] += 1
                    if lost[i] == TRIES:
                        advice = "was memory short? then try a smaller --jobs"
                        raise WorkerDied(f"{TRIES} worker processes ended, {how}, in {name_of(specs[i])} ({advice})")
                    _say(f"a worker process ended, {how}; another one begins anew: {name_of(specs[i])}")
                if len(team.workers) < left:
                    team.start(1)
            for idle in team.idle() if waiting and kind != "steps" else ():
                if waiting:
                    unit = waiting.popleft()
                    idle.give(unit, pack((known, work, specs[unit])))
            if kind == "done" and i is not None:
                yield i, content
    finally:
        team.end()


def _say(message: str) -> None:
    from tqdm import tqdm

    tqdm.write(f"scratchnet: {message}", file=sys.stderr)


# --- the team ---------------------------------------------------------------------------------------------------------


class _Team:
    """The workers of this process, and what they say."""

    def __init__(self, dataset: Dataset, import_main: bool, patience: float) -> None:
        import multiprocessing

        self.context, self.import_main, self.patience = multiprocessing.get_context("spawn"), import_main, patience
        self.dataset = dataset
        self.images: Any = None
        self.workers: list[_Worker] = []
        # It has no lock of Python's, which a Ctrl-C could leave taken. Threads listen, since a worker may be stopped in
        # the middle of a word.
        self.said: queue.SimpleQueue[tuple[_Worker, str, Any]] = queue.SimpleQueue()
        self.began, self.unborn = False, 0

    def start(self, count: int) -> None:
        """Start more workers. Raises CannotSend where there were never any, and WorkerDied where there are none."""
        try:
            if self.images is None:
                images = self.dataset.images
                _check_room(images.nbytes)
                self.images = self.context.RawArray("b", images.nbytes)
                np.frombuffer(self.images, images.dtype)[:] = images.reshape(-1)
            given = self.images, self.dataset.images.dtype, self.dataset.images.shape, self.dataset.labels
            with workers_with_one_thread(self.import_main):
                for _ in range(count):
                    self.workers.append(_Worker(self.context, given, self.said))
        except (OSError, RuntimeError) as error:  # Python raises RuntimeError where it cannot start a thread
            reason = getattr(error, "strerror", None) or error
            if not self.began:
                raise CannotSend(f"worker processes cannot be started here ({reason})") from error
            if not self.workers:
                raise WorkerDied(f"no more worker processes can be started ({reason})") from error

    def idle(self) -> list[_Worker]:
        return [worker for worker in self.workers if worker.ready and worker.unit is None]

    def hear(self) -> tuple[_Worker, str, Any]:
        """What a worker says next. One that has been silent for too long is killed, and so says that it has ended."""
        while True:
            since, said = time.monotonic(), None
            with suppress(queue.Empty):
                said = self.said.get(timeout=BEAT)
            # Only the time in which this process waits counts: it may have been stopped too, or the machine asleep.
            waited = min(time.monotonic() - since, 2 * BEAT)
            for worker in self.workers:
                worker.wait(waited, self.patience)
            if said is not None:
                worker, kind, _ = said
                worker.silent = 0.0
                if kind == "ready":
                    worker.ready, self.began, self.unborn = True, True, 0
                return said

    def leave(self, worker: _Worker) -> str:
        """A worker has ended; returns how. Raises CannotSend or WorkerDied where TRIES have not even begun."""
        self.workers.remove(worker)
        how = worker.ended(1.0)
        self.unborn += not worker.ready
        if self.unborn >= TRIES and not any(other.ready for other in self.workers):
            if self.began:
                raise WorkerDied(f"worker processes end before they have started ({how})")
            raise CannotSend("worker processes end before they have started")
        return how

    def end(self) -> None:
        """Let go of idle workers, and kill the others."""
        for worker in self.workers:
            worker.release()
        for worker in self.workers:
            worker.ended(10.0)


def _check_room(needed: int) -> None:
    """Raise OSError where multiprocessing finds no room for shared memory: to write into it would kill the process."""
    if os.name == "posix":
        folders = [folder for folder in ("/dev/shm", tempfile.gettempdir()) if os.path.isdir(folder)]
        if all(shutil.disk_usage(folder).free < needed for folder in folders):
            raise OSError(errno.ENOSPC, f"{needed >> 20} MB of images find no room in {' or '.join(folders)}")


class _Worker:
    """A worker process as this one sees it, and a thread that speaks with it."""

    def __init__(self, context: Any, given: tuple[Any, ...], said: queue.SimpleQueue[tuple[_Worker, str, Any]]) -> None:
        self.unit: int | None = None  # what it works on
        self.steps, self.silent, self.ready, self.how = 0, 0.0, False, ""
        self.payloads: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self.connection, theirs = context.Pipe()
        # A daemon, so that it ends with this process even if Ctrl-C interrupts `end`.
        self.process = context.Process(target=_serve, args=(theirs, *given), daemon=True)
        self.process.start()
        theirs.close()
        self.listener = threading.Thread(target=self._listen, args=(said,), daemon=True)
        self.listener.start()

    def _listen(self, said: queue.SimpleQueue[tuple[_Worker, str, Any]]) -> None:
        try:
            said.put((self, *self.connection.recv()))
            for payload in iter(self.payloads.get, None):
                self.connection.send_bytes(payload)
                kind = "steps"
                while kind == "steps":
                    kind, content = self.connection.recv()
                    said.put((self, kind, content))
        except (EOFError, OSError):
            said.put((self, "ended", None))
        except Exception as error:  # a result that this process cannot read
            said.put((self, "failed", told(error)))
        finally:
            self.connection.close()  # an idle worker ends then

    def give(self, unit: int, payload: bytes) -> None:
        self.unit, self.steps, self.silent = unit, 0, 0.0
        self.payloads.put(payload)

    def wait(self, seconds: float, patience: float) -> None:
        """Kill it after `patience` seconds of waiting for it, or four times that for it to begin."""
        self.silent = self.silent + seconds if self.unit is not None or not self.ready else 0.0
        if self.silent > (patience if self.ready else 4 * patience):
            self.how = f"killed since it was silent for {self.silent:.0f} seconds"
            self.silent = 0.0
            self.process.kill()

    def release(self) -> None:
        if self.unit is None and self.ready:
            self.payloads.put(None)
        else:
            self.process.kill()

    def ended(self, seconds: float) -> str:
        """Wait for its end, and kill it after `seconds`; returns how it ended."""
        self.process.join(seconds)
        if self.process.is_alive():
            self.process.kill()
            self.process.join(seconds)
        self.payloads.put(None)
        self.listener.join(seconds)  # at its end, Python may crash with a thread that is just about to finish
        code = self.process.exitcode or 0
        return self.how or (f"killed by {signal.Signals(-code).name}" if code < 0 else f"with exit code {code}")


# --- how they start ---------------------------------------------------------------------------------------------------


@contextmanager
def workers_with_one_thread(import_main: bool = False) -> Iterator[None]:
    """Worker processes that are started meanwhile have one BLAS thread, and are shielded: see `shielding_children`.

    One thread each is faster than two threads in one process, and makes the numbers the same for any number of
    workers: how a product is cut into blocks, and so its rounding, depends on the number of threads. The libraries
    read these variables when they are loaded. Workers import the script that was started only if `import_main`: it
    may lack a main guard, or be no file.
    """
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    kept = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    main = sys.modules["__main__"]
    if not import_main:
        sys.modules["__main__"] = types.ModuleType("__main__")  # multiprocessing looks here for a file to import
    try:
        with shielding_children():
            yield
    finally:
        sys.modules["__main__"] = main
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextmanager
def shielding_children() -> Iterator[None]:
    """While processes are started: signals to this one wait, and the new ones do not get those of a terminal.

    A process that is started must be told its work, so nothing may interrupt this. A terminal sends Ctrl-C and, when it
    is closed, SIGHUP to all of its processes, but they are this one's business alone. That holds for Python's resource
    tracker too, which otherwise dies of SIGHUP and is missed at the end.
    """
    from multiprocessing import resource_tracker

    of_terminals = {getattr(signal, name) for name in ("SIGINT", "SIGHUP") if hasattr(signal, name)}
    came: list[int] = []
    handlers = {}
    if threading.current_thread() is threading.main_thread():
        for number in {*of_terminals, signal.SIGTERM}:
            if callable(signal.getsignal(number)):  # and is not ignored, nor the end of this process
                handlers[number] = signal.signal(number, lambda number, frame: came.append(number))
    try:
        if hasattr(signal, "pthread_sigmask"):  # on Windows workers ignore Ctrl-C as soon as they have started
            kept = signal.pthread_sigmask(signal.SIG_BLOCK, of_terminals)
            with suppress(OSError):  # no processes here: who needs them will say so
                resource_tracker.ensure_running()
            signal.pthread_sigmask(signal.SIG_BLOCK, of_terminals)  # the tracker's start has let SIGINT through
        yield
    finally:
        if hasattr(signal, "pthread_sigmask"):
            signal.pthread_sigmask(signal.SIG_SETMASK, kept)
        for number, handler in handlers.items():
            signal.signal(number, handler)
        if came:
            signal.raise_signal(came[0])


# --- in a worker ------------------------------------------------------------------------------------------------------


def _serve(connection: Any, shared: Any, dtype: np.dtype, shape: tuple[int, int], labels: np.ndarray) -> None:
    """Do each unit that comes, until nobody sends any more; say `steps` every BEAT seconds, and then how it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, where nothing shields it
    end_with_parent()
    images = np.frombuffer(shared, dtype).reshape(shape)
    speaking, busy, done, told_of = threading.Lock(), threading.Event(), 0, 0

    def tick(steps: int) -> None:
        nonlocal done
        done += steps

    def say_steps() -> None:
        nonlocal told_of
        steps = done - told_of
        told_of += steps
        connection.send(("steps", steps))

    def beat() -> None:
        with suppress(OSError):
            while busy.wait():
                with speaking:
                    if busy.is_set():
                        say_steps()
                time.sleep(BEAT)

    threading.Thread(target=beat, daemon=True).start()
    with suppress(EOFError, OSError):  # there is nobody any more who would send or listen
        connection.send(("ready", None))
        while True:
            payload = connection.recv_bytes()
            busy.set()
            kind, content = _answer(payload, images, labels, tick)
            with speaking:
                busy.clear()
                say_steps()
                try:
                    connection.send((kind, content))
                except Exception as error:  # a result that cannot be sent
                    connection.send(("failed", told(error)))


def _answer(payload: bytes, images: np.ndarray, labels: np.ndarray, tick: Tick) -> tuple[str, Any]:
    try:
        known, work, spec = pickle.loads(payload)
    except Exception as error:
        return "cannot", told(error)
    if {**known, **imported()} != known:  # of what this process has imported
        return "cannot", "files of scratchnet have changed since this process imported them"
    try:
        return "done", attempt(work, spec, images, labels, tick)
    except Failed as error:
        return "failed", str(error)
    except BaseException as error:  # no Ctrl-C, which does not reach a worker: the work has raised it
        return "failed", told(error)


def end_with_parent() -> None:
    """End this worker process when the process that started it has ended, however that ended, and whatever it does."""
    import multiprocessing

    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()  # type: ignore[union-attr]
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
