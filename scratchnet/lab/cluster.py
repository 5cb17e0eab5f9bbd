"""Units of work on the machines of a Dask cluster. The only file that imports Dask (extra `cluster`).

Each worker is given the images once, as bytes where they are bytes. The driver sends a few units a worker ahead and is
the only one that writes results. What ends with a worker is tried again elsewhere, and a worker whose versions or
processor could give other bits is refused. A scheduler runs what it is sent: use it in a network that you trust.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import time
import uuid
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
from distributed import Client, KilledWorker, WorkerPlugin
from distributed.comm import connect

from scratchnet.data import Dataset
from scratchnet.lab import sweep
from scratchnet.lab.keys import differences, environment, imported
from scratchnet.lab.work import Done, Failed, Tick, Work, WorkerDied, attempt, name_of

CONNECT = 5.0  # seconds for a scheduler to answer, and again for a first worker
PATIENCE = 900.0  # seconds without any finished unit: units take a few, see `sweep.SECONDS`, but for huge networks
AHEAD = 4  # units in flight for each thread of the workers
RETRIES = 2  # of a unit whose worker died or lost its way; Dask gives up after three deaths

Tell = Callable[[str], Any]


class ClusterError(OSError):
    """The cluster cannot be used; the message says why and what to do."""


@contextmanager
def connected(address: str) -> Iterator[Client]:
    """The client of the scheduler at `address`. Raises ClusterError where none answers, or has no workers."""
    for name in [name for name in logging.root.manager.loggerDict if name.partition(".")[0] == "distributed"]:
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what goes wrong is said here, in a sentence
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of versions of Dask's own packages
        try:
            asyncio.run(_greet(address))  # first: a Client that has failed takes its time to end
            client = Client(address, timeout=CONNECT, set_as_default=False)
        except Exception as error:  # also what another kind of server answers
            reason = " ".join(str(error).split()) or type(error).__name__
            raise ClusterError(f"no Dask scheduler answers at {address} ({reason})") from None
    try:
        try:
            client.wait_for_workers(1, timeout=CONNECT)
        except TimeoutError:
            raise ClusterError(f"the scheduler at {address} has no workers: start some, see docs/scale.md") from None
        yield client
    finally:
        with suppress(Exception):  # a scheduler that has gone
            client.close(timeout=CONNECT)


async def _greet(address: str) -> None:
    comm = await connect(address, timeout=CONNECT)
    comm.abort()


# --- in a worker ----------------------------------------------------------------------------------------------

# What this worker process was given: the name of a run's plugin → (images, labels, why the bits could differ here).
_given: dict[str, tuple[np.ndarray, np.ndarray, str]] = {}


class Given(WorkerPlugin):
    """What each worker needs besides the specs: the dataset, copies of files, one BLAS thread.

    The scheduler hands it to every worker, those that start later included.
    """

    def __init__(self, dataset: Dataset, files: Mapping[str, bytes]) -> None:
        self.labels, self.files = dataset.labels, dict(files)
        self.images, self.environment = _as_bytes(dataset.images), environment()
        self.name = f"scratchnet-{uuid.uuid4()}"

    def setup(self, worker: Any) -> None:
        from threadpoolctl import threadpool_info, threadpool_limits

        threadpool_limits(1, user_api="blas")  # for good: how a product is cut, and rounded, depends on it
        different = differences(self.environment, environment())
        if any(library["num_threads"] > 1 for library in threadpool_info() if library["user_api"] == "blas"):
            different.append("BLAS threads 1, now several")
        _given[self.name] = _as_numbers(self.images), self.labels, "; ".join(different)
        for digest, content in self.files.items():  # into a folder that Dask removes when the worker ends
            path = Path(worker.local_directory) / f"scratchnet-{digest}"
            path.write_bytes(content)
            sweep.COPIES[digest] = str(path)

    def teardown(self, worker: Any) -> None:
        """At the end of a run: a worker that serves many would keep the images of all."""
        _given.pop(self.name, None)


def _as_bytes(images: np.ndarray) -> np.ndarray:
    """Images of float32 as uint8, where these are all that there is to them: a quarter of the size."""
    with np.errstate(invalid="ignore"):  # of what is beyond 0 to 255
        small = np.rint(images * 255).astype(np.uint8)
    return small if images.dtype == np.float32 and np.array_equal(_as_numbers(small), images) else images


def _as_numbers(images: np.ndarray) -> np.ndarray:
    """The images that `_as_bytes` was given."""
    return images.astype(np.float32) / 255 if images.dtype == np.uint8 else images


def _work(known: Mapping[str, str], work: Work, spec: Any, given: str) -> tuple[str, Any]:
    """("done", result), or why there is none: what would fail again is returned, since what is raised is retried."""
    images, labels, different = _given[given]
    different = different or "; ".join(differences(known, {**known, **imported()}))  # studies: not in `environment`
    if different:
        return "differs", different
    try:
        return "done", attempt(work, spec, images, labels, lambda steps: None)
    except Failed as error:
        return "failed", str(error)


# --- in the driver --------------------------------------------------------------------------------------------


def on_dask(
    work: Work,
    specs: Sequence[Any],
    dataset: Dataset,
    tick: Tick,
    client: Client,
    files: Mapping[str, bytes] | None = None,
    patience: float = PATIENCE,
) -> Done:
    """On the workers of `client`; `files` are copies for machines that lack them: SHA-256 → content.

    Raises ClusterError where a worker lacks the package or could give other bits, Failed where the work on a spec
    raises, WorkerDied where a unit ends its workers again and again, or nothing is finished for `patience` seconds.
    `tick` is not called: steps are not followed over the network.
    """
    if not specs:
        return
    _check_workers(client)
    known = imported()
    given = Given(dataset, files or {})
    client.register_plugin(given)
    finished: queue.SimpleQueue[Any] = queue.SimpleQueue()
    waiting: dict[str, tuple[int, Any]] = {}
    rest = iter(range(len(specs)))
    asked, room, last = -np.inf, 0, time.monotonic()
    try:
        while True:
            if time.monotonic() - asked > 2:
                asked, room = time.monotonic(), AHEAD * _threads(client, room)
            while len(waiting) < max(room, 1) and (i := next(rest, None)) is not None:
                key = f"{given.name}-{i}"
                what = known, work, specs[i], given.name
                future = client.submit(_work, *what, key=key, pure=False, retries=RETRIES)
                waiting[key] = i, future
                future.add_done_callback(finished.put)
            if not waiting:
                return
            try:
                future = finished.get(timeout=0.5)
            except queue.Empty:
                if time.monotonic() - last > patience:
                    raise WorkerDied(f"no unit was finished on the cluster for {patience:.0f} seconds") from None
                continue
            i, _ = waiting.pop(future.key)
            result = _result(future, specs[i], patience)
            last = time.monotonic()
            yield i, result
            del future
    finally:
        with suppress(Exception):  # a scheduler that has gone
            client.cancel([future for _, future in waiting.values()], force=True)
            client.unregister_worker_plugin(given.name)


def _threads(client: Client, before: int) -> int:
    try:
        return sum(client.nthreads().values())
    except Exception:  # it does not answer: patience decides
        return before // AHEAD


def _check_workers(client: Client) -> None:
    here = environment()
    for worker, found in client.run(environment, on_error="return").items():
        if isinstance(found, BaseException):
            raise ClusterError(f"worker {worker} cannot use scratchnet: {type(found).__name__}: {found}")
        _refuse(worker, "; ".join(differences(here, found)))


def _refuse(worker: str, different: str) -> None:
    if different:
        different = different.replace(", now ", " here and ") + " there"
        raise ClusterError(f"worker {worker} could give other bits than this process: {different}; install the same")


def _result(future: Any, spec: Any, patience: float) -> Any:
    try:
        said, result = future.result(timeout=patience)
    except KilledWorker:
        raise WorkerDied(f"every worker that was given this unit ended, {name_of(spec)}") from None
    except Exception as error:  # the scheduler has gone, or the result cannot be fetched
        raise WorkerDied(f"a unit was lost on the cluster ({type(error).__name__}: {error})") from None
    if said == "differs":
        _refuse("of the cluster", result)
    if said == "failed":
        raise Failed(result)
    return result
