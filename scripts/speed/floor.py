"""The floor: the matrix products of training steps and nothing else, which no program can do without."""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from scratchnet.backend import Array, to_device
from scratchnet.lab.experiment import Settings
from speed.workers import Workers

COPIED = 1 << 30  # bytes: no cache holds them


def products(
    sizes: Sequence[int],
    batch_size: int,
    replicas: tuple[int, ...] = (),
    *,
    shared_batch: bool = True,
    device: str = "cpu",
) -> Callable[[], None]:
    """A function that computes one step's products into arrays that exist already.

    These are Y = XW and dW = Xᵀ dY in every layer, and dX = dY Wᵀ in all but the first. The replicas share one batch of
    images, or each has its own.
    """
    rng = np.random.default_rng(0)

    def array(*shape: int) -> Array:
        return to_device(rng.random(shape, dtype=np.float32), device)

    layers = []
    for i, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
        X = array(*(() if i == 0 and shared_batch else replicas), batch_size, n_in)
        dX = None if i == 0 else array(*replicas, batch_size, n_in)  # nobody needs the gradient of the images
        Y, dY = (array(*replicas, batch_size, n_out) for _ in range(2))
        W, dW = (array(*replicas, n_in, n_out) for _ in range(2))
        layers.append((X, W, Y, dX, dW, dY))

    def step() -> None:
        for X, W, Y, _, _, _ in layers:
            np.matmul(X, W, out=Y)
        for X, W, _, dX, dW, dY in reversed(layers):
            np.matmul(X.mT, dY, out=dW)
            if dX is not None:
                np.matmul(dY, W.mT, out=dX)

    return step


def seconds_in_this_process(steps: int, settings: Settings) -> float:
    """Seconds for the products of `steps` steps of one network."""
    step = products(settings.sizes, settings.batch_size)
    start = time.perf_counter()
    for _ in range(steps):
        step()
    return time.perf_counter() - start


def seconds_on_cpu(workers: Workers, networks: int, steps: int, settings: Settings) -> float:
    """Seconds for the products of `networks` networks of `steps` steps each, spread evenly over the processes."""
    share = math.ceil(networks * steps / workers.processes)
    slowest = max(workers.map(seconds_in_this_process, [(share, settings)] * workers.processes))
    return slowest * networks * steps / (share * workers.processes)


def seconds_on_cuda(networks: int, steps: int, settings: Settings) -> float:
    """Seconds for the products of all networks as batched products, and for the bytes that Adam must move.

    Adam reads θ, g, m and v and writes θ, m and v: 28 bytes a parameter and step, at the speed of a plain copy.
    This has never been run: there was no GPU.
    """
    import cupy

    def seconds(work: Callable[[], Any], times: int) -> float:
        work()
        cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        for _ in range(times):
            work()
        cupy.cuda.Device().synchronize()
        return time.perf_counter() - start

    step = products(settings.sizes, settings.batch_size, (networks,), shared_batch=False, device="cuda")
    here = cupy.zeros(COPIED, dtype=cupy.uint8)
    there = cupy.empty_like(here)
    bytes_a_second = 2 * COPIED * 10 / seconds(lambda: cupy.copyto(there, here), 10)
    parameters = sum((n_in + 1) * n_out for n_in, n_out in itertools.pairwise(settings.sizes))
    return seconds(step, steps) + 28 * parameters * networks * steps / bytes_a_second
