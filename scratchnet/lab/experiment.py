"""A comparison changes one thing: same split, same batches, same dropout masks, other initial weights."""

from __future__ import annotations

import itertools
import math
import os
import signal
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.backend import Array, free_bytes, like, to_device, to_host
from scratchnet.data import Dataset, split
from scratchnet.network import Network, mlp
from scratchnet.optim import Adam
from scratchnet.train import EVALUATION_BATCH, evaluate, fit

# What random numbers are for. A stream depends on the seed and on its purpose alone, never on who ran first.
PURPOSES = ("split", "weights", "order", "dropout")

# Networks that train side by side in one process on a CPU share batches and masks. More than this and their
# parameters push each other out of the caches.
STACK = 4

# Images that a preparation looks at.
SEEN = 2000


@dataclass(frozen=True)
class Arm:
    """One way to initialize the network.

    `scheme` fills the weights and `bias` the biases (None: 0). Or `preparation`, one of `init.PREPARATIONS`, fills
    the whole network, looking at the first SEEN training images of the seed.
    """

    key: str
    label: str
    scheme: init.Scheme = init.zeros
    bias: init.Scheme | None = None
    preparation: init.Preparation | None = None


def named(name: str) -> Arm:
    """The arm of a scheme in `init.SCHEMES` or of a preparation; ValueError, with near names, for others."""
    name = init.resolve(name, {**init.SCHEMES, **init.PREPARATIONS})
    if name in init.PREPARATIONS:
        return Arm(name, name, preparation=init.PREPARATIONS[name])
    return Arm(name, name, init.SCHEMES[name], init.BIASES.get(name))


@dataclass(frozen=True)
class Settings:
    """What all arms have in common; the defaults are the lesson's."""

    sizes: tuple[int, ...] = (784, 256, 128, 10)
    dropout: float = 0.2
    epochs: int = 2
    batch_size: int = 100
    learning_rate: float = 0.001
    validation: float = 0.2
    device: str = "cpu"

    def steps(self, examples: int) -> int:
        """Optimizer steps of one run on a dataset of `examples` images."""
        return self.epochs * math.ceil((examples - round(examples * self.validation)) / self.batch_size)


@dataclass(frozen=True)
class Run:
    """One arm trained with one seed."""

    arm: str
    seed: int
    training_loss: np.ndarray  # (steps,): each batch's loss before its step, dropout included
    validation_loss: float
    validation_accuracy: float  # from 0 to 1

    @property
    def diverged(self) -> bool:
        """Some loss is infinite or not a number."""
        return not (np.isfinite(self.training_loss).all() and np.isfinite(self.validation_loss))


class Unfinished(Exception):
    """Training stopped early; `runs` are those that were complete, `interrupted` whether a person stopped it."""

    def __init__(self, message: str, runs: list[Run], interrupted: bool) -> None:
        super().__init__(message)
        self.runs = runs
        self.interrupted = interrupted


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of `seed` for one of PURPOSES."""
    return np.random.default_rng(np.random.SeedSequence([seed, PURPOSES.index(purpose)]))


def initialized(
    arm: Arm, seed: int, settings: Settings, images: np.ndarray | None = None, labels: np.ndarray | None = None
) -> Network:
    """A network as `arm` starts it; `images` and `labels` are what a preparation may look at.

    Arms share the seed's weight stream, so those that differ in scale alone have the same numbers behind their weights:
    U(−½, ½) is U(−y, y), only wider.
    """
    weights = stream(seed, "weights")
    network = mlp(settings.sizes)
    if arm.preparation is not None:
        arm.preparation(network, images, labels, rng=weights)
        return network
    return network.apply(init.linear(arm.scheme, rng=weights, bias=arm.bias))


def train_stack(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    images: Array,
    labels: Array,
    settings: Settings,
    on_step: Callable[[], None] | None = None,
) -> list[Run]:
    """Train every arm with every seed, all side by side: replica axes (arms, seeds).

    Batches and masks are drawn once for each seed and shared by all arms.
    """
    parts = [split(len(images), rng=stream(s, "split"), validation=settings.validation) for s in seeds]
    training, validation = (np.stack(part) for part in zip(*parts, strict=True))
    masks = [stream(s, "dropout") for s in seeds]
    network = mlp(settings.sizes, dropout=settings.dropout, rng=masks, replicas=(len(arms), len(seeds)))
    for s, seed in enumerate(seeds):
        seen = like(training[s, :SEEN], images)
        X, y = to_host(images[seen]), to_host(labels[seen])
        for a, arm in enumerate(arms):
            network.theta[a, s] = initialized(arm, seed, settings, X, y).theta
    network.to(settings.device)
    losses = fit(
        network,
        Adam(network.theta, network.grad, learning_rate=settings.learning_rate),
        images,
        labels,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rng=[stream(s, "order") for s in seeds],
        indices=training,
        on_step=on_step,
    )
    loss, accuracy = evaluate(network, images, labels, indices=validation)
    return [
        Run(arm.key, seed, losses[:, a, s], float(loss[a, s]), float(accuracy[a, s]))
        for a, arm in enumerate(arms)
        for s, seed in enumerate(seeds)
    ]


def compare(
    arms: Sequence[Arm],
    dataset: Dataset,
    settings: Settings,
    *,
    seeds: Sequence[int],
    jobs: int | None = None,
) -> list[Run]:
    """Train every arm with every seed; one Run for each, in the order of the seeds, then of the arms.

    On a CPU the work is spread over `jobs` processes (default: one a core) with one BLAS thread each. The numbers
    do not depend on `jobs`. On a GPU everything is one stack, or several where memory asks for it. Progress is shown
    on stderr where that is a terminal.

    Raises Unfinished, with the runs that are complete, on Ctrl-C, when a worker process dies, or when one fails.
    """
    from concurrent.futures.process import BrokenProcessPool

    from tqdm import tqdm

    keys = [arm.key for arm in arms]
    if len(set(keys)) < len(keys):
        raise ValueError(f"each arm needs a key of its own, and these came: {', '.join(keys)}")
    steps = settings.steps(len(dataset.images))
    total = len(arms) * len(seeds) * steps
    title = f"training {len(arms) * len(seeds)} networks"
    runs: list[Run] = []
    with tqdm(total=total, desc=title, unit="step", unit_scale=True, disable=None) as bar:
        try:
            for some in _trained(arms, dataset, settings, seeds, jobs, lambda done: bar.update(done - bar.n)):
                runs += some
            bar.update(total - bar.n)
        except KeyboardInterrupt:
            raise Unfinished("interrupted", _sorted(runs, keys), interrupted=True) from None
        except BrokenProcessPool:
            message = "a worker process died: it was killed, perhaps for want of memory (try a smaller --jobs)"
            raise Unfinished(message, _sorted(runs, keys), interrupted=False) from None
        except (MemoryError, ValueError) as error:  # an initialization that does not fit, say
            raise Unfinished(str(error) or "out of memory", _sorted(runs, keys), interrupted=False) from error
    return _sorted(runs, keys)


def _sorted(runs: list[Run], keys: list[str]) -> list[Run]:
    return sorted(runs, key=lambda run: (run.seed, keys.index(run.arm)))


def _trained(
    arms: Sequence[Arm],
    dataset: Dataset,
    settings: Settings,
    seeds: Sequence[int],
    jobs: int | None,
    report: Callable[[int], Any],
) -> Iterator[list[Run]]:
    """The runs, as they are finished; `report(n)` is told how many steps of single networks are done."""
    if settings.device != "cpu":
        yield from _trained_on_gpu(arms, dataset, settings, seeds, report)
        return
    # Only this needs processes, and `import scratchnet` takes 47 ms without them and 57 with.
    import multiprocessing
    from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait

    chunks = [arms[i : i + STACK] for i in range(0, len(arms), STACK)]
    units = [(chunk, [seed]) for seed in seeds for chunk in chunks]
    jobs = min(jobs or cores(), len(units), 61)  # Windows waits for no more than 61 processes
    context = multiprocessing.get_context("spawn")
    shared = context.RawArray("f", dataset.images.size)
    np.frombuffer(shared, np.float32)[:] = dataset.images.reshape(-1)
    progress, stop = context.Value("q", 0), context.Value("b", 0, lock=False)
    arguments = (shared, dataset.images.shape, dataset.labels, settings, progress, stop)
    with ProcessPoolExecutor(jobs, context, _start_worker, arguments) as pool:
        with workers_with_one_thread():
            waiting: set[Future[list[Run]]] = {pool.submit(_work, *unit) for unit in units}
        try:
            while waiting:
                finished, waiting = wait(waiting, timeout=0.1, return_when=FIRST_COMPLETED)
                report(progress.value)
                for future in finished:
                    yield future.result()
        finally:
            stop.value = 1  # workers look at it at each step, so that nobody waits for them
            pool.shutdown(wait=True, cancel_futures=True)


def _trained_on_gpu(
    arms: Sequence[Arm], dataset: Dataset, settings: Settings, seeds: Sequence[int], report: Callable[[int], Any]
) -> Iterator[list[Run]]:
    """Stacks of all arms and of as many seeds as fit into the GPU's free memory, one stack after the other."""
    images = to_device(dataset.images, settings.device)
    labels = to_device(dataset.labels, settings.device)
    seeds_at_once, arms_at_once = stack_sizes(len(arms), len(seeds), bytes_of_a_network(settings), free_bytes())
    done = 0
    for s in range(0, len(seeds), seeds_at_once):
        for a in range(0, len(arms), arms_at_once):
            some_seeds, some_arms = seeds[s : s + seeds_at_once], arms[a : a + arms_at_once]
            networks = len(some_seeds) * len(some_arms)

            def on_step(networks: int = networks) -> None:
                nonlocal done
                done += networks
                report(done)

            yield train_stack(some_arms, some_seeds, images, labels, settings, on_step)


def bytes_of_a_network(settings: Settings) -> int:
    """What one network of a stack takes while it trains, roughly, and not less.

    θ, its gradient and Adam's two sums; and for each example of a batch, of training or of evaluation, each layer's
    input, its output and a few intermediate results of the same size.
    """
    sizes = settings.sizes
    parameters = sum(n * m + m for n, m in itertools.pairwise(sizes))
    units = sizes[0] + 6 * sum(sizes[1:])
    return 4 * (4 * parameters + units * max(settings.batch_size, EVALUATION_BATCH))


def stack_sizes(arms: int, seeds: int, bytes_each: int, free: int) -> tuple[int, int]:
    """(seeds, arms) to train at once: all, or else fewer seeds, or else one seed and fewer arms; never none.

    Whole seeds are preferred, since the arms of a seed share its batches and masks. A fifth of the memory is left.
    """
    room = max(1, int(0.8 * free) // bytes_each)
    return (min(seeds, room // arms), arms) if room >= arms else (1, room)


def cores() -> int:
    """The processor cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


@contextmanager
def workers_with_one_thread() -> Iterator[None]:
    """While worker processes are started: one BLAS thread, and Ctrl-C is this process's business alone.

    One thread each is faster than two threads in one process, and makes the numbers the same for any number of
    workers: how a product is cut into blocks, and so its rounding, depends on the number of threads. The
    libraries read these variables when they are loaded.
    """
    names = ("OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "OMP_NUM_THREADS", "VECLIB_MAXIMUM_THREADS")
    kept = {name: os.environ.get(name) for name in names}
    os.environ.update(dict.fromkeys(names, "1"))
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.signal(signal.SIGINT, signal.SIG_IGN) if in_main_thread else None
    try:
        yield
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)
        for name, value in kept.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


class _Stopped(Exception):
    """Raised in a worker when it has been told to stop."""


_worker: dict[str, Any] = {}


def _start_worker(
    shared: Any, shape: tuple[int, int], labels: np.ndarray, settings: Settings, progress: Any, stop: Any
) -> None:
    images = np.frombuffer(shared, np.float32).reshape(shape)
    _worker.update(images=images, labels=labels, settings=settings, progress=progress, stop=stop, parent=os.getppid())


def _work(arms: Sequence[Arm], seeds: Sequence[int]) -> list[Run]:
    progress, stop, parent = _worker["progress"], _worker["stop"], _worker["parent"]

    def on_step() -> None:
        if stop.value:
            raise _Stopped
        if os.getppid() != parent:  # it was killed, and nobody waits for this any more
            os._exit(1)
        with progress.get_lock():
            progress.value += len(arms) * len(seeds)

    return train_stack(arms, seeds, _worker["images"], _worker["labels"], _worker["settings"], on_step)


def by_arm(runs: Iterable[Run]) -> dict[str, list[Run]]:
    """The runs of each arm, in the order of their seeds."""
    groups: dict[str, list[Run]] = {}
    for run in sorted(runs, key=lambda run: run.seed):
        groups.setdefault(run.arm, []).append(run)
    return groups
