"""Where work is done: on worker processes, in this process, or on a GPU. The numbers do not depend on it.

`train_unit` is the work of a comparison, and a `Unit` its spec. The functions here do the work for each of several
specs, and yield (i, result) for the i-th spec as soon as it is done: see `work`.
"""

from __future__ import annotations

import ast
import io
import os
import pickle
import queue
import signal
import sys
import threading
import types
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from scratchnet.backend import free_bytes, to_device
from scratchnet.data import Dataset
from scratchnet.lab.experiment import Arm, Run, Settings, bytes_of_a_network, train_stack
from scratchnet.lab.journal import Journal, recorded
from scratchnet.lab.parts import told
from scratchnet.lab.work import CannotSend, Done, Failed, Tick, Work, WorkerDied, attempt

# Networks that train side by side in one process on a CPU share batches and masks. More than this and their
# parameters push each other out of the caches.
STACK = 4


class Unit(NamedTuple):
    """Arms and seeds that are trained as one stack."""

    arms: Sequence[Arm]
    seeds: Sequence[int]
    settings: Settings


def train_unit(unit: Unit, images: Any, labels: Any, tick: Tick) -> list[Run]:
    """Train a unit. A step of the stack counts as one for each of its networks."""
    networks = len(unit.arms) * len(unit.seeds)
    return train_stack(unit.arms, unit.seeds, images, labels, unit.settings, lambda: tick(networks))


def units_of(arms: Sequence[Arm], seeds: Sequence[int], settings: Settings) -> list[Unit]:
    """For a CPU: STACK arms of one seed at a time."""
    return [Unit(arms[i : i + STACK], [seed], settings) for seed in seeds for i in range(0, len(arms), STACK)]


def anywhere(
    work: Work,
    specs: Sequence[Any],
    dataset: Dataset,
    tick: Tick,
    jobs: int | None = None,
    journal: Journal | None = None,
) -> Done:
    """On worker processes. What they cannot be given is done in this process, and one line on stderr says so.

    With a journal, what it has of the specs comes first, and each of the others is recorded as it is finished.
    """
    if journal is not None:
        return recorded(partial(_anywhere, jobs=jobs), journal, work, specs, dataset, tick)
    return _anywhere(work, specs, dataset, tick, jobs)


def _anywhere(work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick, jobs: int | None = None) -> Done:
    left = set(range(len(specs)))
    try:
        with closing(in_processes(work, specs, dataset, tick, jobs)) as done:
            for i, result in done:
                left.remove(i)
                yield i, result
    except CannotSend as reason:
        from tqdm import tqdm

        tqdm.write(f"scratchnet: training in this process, without workers: {reason}", file=sys.stderr)
        rest = sorted(left)
        for i, result in in_this_process(work, [specs[i] for i in rest], dataset, tick):
            yield rest[i], result


# --- in this process ------------------------------------------------------------------------------------------


def in_this_process(work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick) -> Done:
    """One spec after the other, with one BLAS thread, as in a worker."""
    from threadpoolctl import threadpool_limits

    with threadpool_limits(1, user_api="blas"):
        for i, spec in enumerate(specs):
            yield i, attempt(work, spec, dataset.images, dataset.labels, tick)


# --- on a GPU -------------------------------------------------------------------------------------------------


def on_gpu(work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick) -> Done:
    """One spec after the other, with the images on the GPU. A `Unit` is as large as fits: see `units_for_gpu`."""
    images, labels = to_device(dataset.images, "cuda"), to_device(dataset.labels, "cuda")
    for i, spec in enumerate(specs):
        yield i, attempt(work, spec, images, labels, tick)


def units_for_gpu(arms: Sequence[Arm], seeds: Sequence[int], settings: Settings, dataset: Dataset) -> list[Unit]:
    """Stacks of all arms and of as many seeds as fit into the GPU's free memory, beside the images."""
    free = free_bytes() - dataset.images.nbytes
    seeds_at_once, arms_at_once = stack_sizes(len(arms), len(seeds), bytes_of_a_network(settings), free)
    return [
        Unit(arms[a : a + arms_at_once], seeds[s : s + seeds_at_once], settings)
        for s in range(0, len(seeds), seeds_at_once)
        for a in range(0, len(arms), arms_at_once)
    ]


def stack_sizes(arms: int, seeds: int, bytes_each: int, free: int) -> tuple[int, int]:
    """(seeds, arms) to train at once: all, or else fewer seeds, or else one seed and fewer arms; never none.

    Whole seeds are preferred, since the arms of a seed share its batches and masks. A fifth of the memory is left.
    """
    room = max(1, int(0.8 * free) // bytes_each)
    return (min(seeds, room // arms), arms) if room >= arms else (1, room)


# --- on worker processes --------------------------------------------------------------------------------------


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def in_processes(work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick, jobs: int | None = None) -> Done:
    """Spread over `jobs` processes (default: one a core), each with one BLAS thread.

    Raises CannotSend where worker processes cannot be given the work or cannot be started, Failed where the work on a
    spec raises, WorkerDied where a worker ends in the middle. All workers have ended when this has.
    """
    payloads = [pack((work, spec)) for spec in specs]  # first: nothing is started for work that cannot be sent
    # Only this needs processes: `import scratchnet` takes 47 ms without them and 57 with.
    import multiprocessing
    from concurrent.futures import Future, ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool

    if multiprocessing.current_process().daemon:  # a worker of multiprocessing.Pool, for example
        raise CannotSend("this is a daemonic process, which may start no others")
    context = multiprocessing.get_context("spawn")
    jobs = min(jobs or cores(), len(specs), 61)  # Windows waits for no more than 61 processes
    try:
        shared = context.RawArray("f", dataset.images.size)
        np.frombuffer(shared, np.float32)[:] = dataset.images.reshape(-1)
        progress, started, stop = context.Value("q", 0), context.Value("q", 0), context.Value("b", 0, lock=False)
        given = (shared, dataset.images.shape, dataset.labels, progress, started, stop)
        pool = ProcessPoolExecutor(jobs, context, _start_worker, given)
    except OSError as error:  # no semaphores, as in some containers
        raise CannotSend(f"worker processes cannot be started here ({error.strerror})") from error
    # Neither `concurrent.futures.wait` nor `progress.value`: a Ctrl-C in the middle would leave locks taken, for which
    # the pool's shutdown and the workers would wait for ever.
    finished: queue.SimpleQueue[Future[Any]] = queue.SimpleQueue()
    try:
        with workers_with_one_thread(import_main=any(b"__main__" in payload for payload in payloads)):
            waiting = {pool.submit(_work, payload): i for i, payload in enumerate(payloads)}
            for future in waiting:
                future.add_done_callback(finished.put)
        told_of = 0
        while waiting:
            with suppress(queue.Empty):
                future = finished.get(timeout=0.1)
                yield waiting.pop(future), future.result()
            steps = progress.get_obj().value
            tick(steps - told_of)
            told_of = steps
    except BrokenProcessPool:
        if started.value == 0:
            raise CannotSend("worker processes end before they have started") from None
        raise WorkerDied("a worker process ended: it was killed, or memory ran out (try a smaller --jobs)") from None
    finally:
        stop.value = 1  # workers look at it at each step, so that nobody waits for them
        pool.shutdown(wait=True, cancel_futures=True)


def pack(work: Any) -> bytes:
    """`work` as bytes for a worker process. Raises CannotSend where there is something in it that it cannot find."""
    file = io.BytesIO()
    try:
        _Packer(file, protocol=5).dump(work)
    except CannotSend:
        raise
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError, …
        raise CannotSend(told(error)) from error
    return file.getvalue()


class _Packer(pickle.Pickler):
    """Pickle sends a function by its name. That of `__main__` is no use to a worker that has another `__main__`."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)):
            if "<" in obj.__qualname__:
                raise CannotSend(f"{obj.__qualname__.rpartition('.')[2]} is a lambda or a local function")
            if obj.__module__ == "__main__" and obj.__qualname__ not in _importable_names():
                raise CannotSend(f"{obj.__qualname__} is defined in __main__")
        return NotImplemented


def _importable_names() -> set[str]:
    """The functions and classes of a script that worker processes may import: one with a main guard, in a file."""
    path = getattr(sys.modules["__main__"], "__file__", None)
    try:
        body = ast.parse(Path(path or "").read_bytes()).body
    except (OSError, SyntaxError, ValueError):
        return set()
    guarded = any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in body)
    return {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))} if guarded else set()


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


class _Stopped(BaseException):
    """Raised in a worker when it has been told to stop."""


_worker: dict[str, Any] = {}


def _start_worker(
    shared: Any, shape: tuple[int, int], labels: np.ndarray, progress: Any, started: Any, stop: Any
) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # on Windows, where nothing shields it
    end_with_parent()
    with started.get_lock():
        started.value += 1
    images = np.frombuffer(shared, np.float32).reshape(shape)
    _worker.update(images=images, labels=labels, progress=progress, stop=stop)


def end_with_parent() -> None:
    """End this worker process when the process that started it has ended, however that ended, and whatever it does."""
    import multiprocessing

    parent = multiprocessing.parent_process()

    def watch() -> None:
        parent.join()  # type: ignore[union-attr]
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(payload: bytes) -> Any:
    try:
        work, spec = pickle.loads(payload)
    except Exception as error:
        raise CannotSend(told(error)) from None
    progress, stop = _worker["progress"], _worker["stop"]

    def tick(steps: int) -> None:
        if stop.value:
            raise _Stopped
        with progress.get_lock():
            progress.value += steps

    try:
        return attempt(work, spec, _worker["images"], _worker["labels"], tick)
    except Failed as error:  # without the reader's exception, which another process may not be able to read
        raise Failed(str(error)) from None
