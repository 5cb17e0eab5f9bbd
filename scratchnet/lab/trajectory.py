"""A few steps of training, looked at on the way: how different the units are, and what the network has learned."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.data import split
from scratchnet.lab.expectations import places
from scratchnet.lab.experiment import Arm, Settings, initialized, put, seen_rows, stream
from scratchnet.lab.outputs import outputs
from scratchnet.lab.symmetry import distinct_units, effective_rank
from scratchnet.network import Network
from scratchnet.optim import Optimizer
from scratchnet.train import evaluate, fit

LOOKED_AT = 300  # validation images whose outputs are looked at,
JUDGED = 2000  # and those on which loss and accuracy are measured


class Enough(Exception):
    """Stops `fit` at the last step that is asked for."""


@dataclass(frozen=True)
class Trajectory:
    """One arm at some steps of its training, 0 being before the first; evaluation mode."""

    steps: tuple[int, ...]
    units: tuple[int, ...]  # of each hidden layer
    distinct: np.ndarray  # (steps, hidden layers, seeds): units whose weights differ
    rank: np.ndarray  # the same of the outputs' effective rank
    loss: np.ndarray  # (steps, seeds), on validation images
    accuracy: np.ndarray


def stack(arm: Arm, seeds: Sequence[int], images: np.ndarray, labels: np.ndarray, settings: Settings) -> Network:
    """The networks that `arm` starts with these seeds, side by side: replicas (seeds,)."""
    masks = [stream(seed, "dropout") for seed in seeds]
    network = settings.network(masks if len(seeds) > 1 else masks[0]).replicate((len(seeds),))
    for s, seed in enumerate(seeds):
        training, _ = split(len(images), rng=stream(seed, "split"), validation=settings.validation)
        seen = seen_rows(training, seed)
        put(network, (s,), initialized(arm, seed, settings, images[seen].astype(settings.dtype), labels[seen]))
    return network


def follow(
    network: Network,
    optimizer: Optimizer,
    seeds: Sequence[int],
    images: np.ndarray,
    labels: np.ndarray,
    settings: Settings,
    *,
    at: Sequence[int],
    on_step: Callable[[], Any] | None = None,
) -> Trajectory:
    """Train a `stack` up to the last step of `at`, as a comparison does, and look at it at each of them.

    `on_step` is called after each step. The network and the optimizer are left as the last step left them.
    """
    images = images.astype(settings.dtype, copy=False)
    pairs = [split(len(images), rng=stream(s, "split"), validation=settings.validation) for s in seeds]
    training, validation = (np.stack(part) for part in zip(*pairs, strict=True))
    with np.errstate(all="ignore"):
        hidden = places(network, images[:8])[:-1]
    steps = sorted(set(at))
    distinct, rank, judged = [], [], []

    def look() -> None:
        with np.errstate(all="ignore"):
            Ys = outputs(network, images[validation[:, :LOOKED_AT]])
            distinct.append([distinct_units(place.columns) for place in hidden])
            rank.append([effective_rank(Ys[place.index]) for place in hidden])
            judged.append(evaluate(network, images, labels, indices=validation[:, :JUDGED]))

    done = 0

    def after_step() -> None:
        nonlocal done
        done += 1
        if done in steps:
            look()
        if on_step is not None:
            on_step()
        if done == steps[-1]:
            raise Enough

    if steps[0] == 0:
        look()
    if steps[-1] > 0:
        epochs = math.ceil(steps[-1] * settings.batch_size / training.shape[1])
        with suppress(Enough):
            fit(
                network,
                optimizer,
                images,
                labels,
                epochs=epochs,
                batch_size=settings.batch_size,
                rng=[stream(s, "order") for s in seeds],
                indices=training,
                on_step=after_step,
            )
    units = tuple(place.columns.shape[-1] for place in hidden)
    loss, accuracy = (np.array(values) for values in zip(*judged, strict=True))
    shape = (len(steps), len(hidden), len(seeds))
    return Trajectory(tuple(steps), units, np.reshape(distinct, shape), np.reshape(rank, shape), loss, accuracy)


def steps_up_to(last: int) -> list[int]:
    """Steps to look at, dense at the start: 0, 1, 2, 3, 5, 10, 20, 30, 50, 100, … and the last one."""
    marks = [m * 10**k for k in range(len(str(last))) for m in (1, 2, 3, 5)]
    return sorted({0, last, *(step for step in marks if step < last)})
