"""One network that trains step by step, exactly as a comparison trains it, and remembers its curves."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator

import numpy as np

from playground.setting import Refused, Setting
from scratchnet.data import Dataset
from scratchnet.lab import parts
from scratchnet.lab.experiment import initialized, put, rows, seen_rows, stream
from scratchnet.layers import states
from scratchnet.network import Network
from scratchnet.train import batches, evaluate, step

JUDGED = 1000  # validation images on which the accuracy is measured on the way
EARLY, EVERY = (0, 1, 2, 5, 10, 15), 25  # steps at which it is
MOST = 20_000  # steps; then a training is over


class Training:
    """A network at some step. The same setting and seed give the same numbers, to the last bit, as `train_stack` does.

    `losses[i]` is the loss of the batch before step i + 1. Training stops where a loss is infinite or not a number.
    """

    def __init__(self, setting: Setting, seed: int, dataset: Dataset) -> None:
        settings = setting.settings
        self.setting, self.seed, self.dataset = setting, seed, dataset
        self.training, self.validation = rows(len(dataset.images), seed, settings)
        with np.errstate(all="ignore"):
            self.network = self._start()
        self.start = fingerprint(self.network)
        self.optimizer = settings.optimizer(self.network.theta, self.network.grad, learning_rate=settings.learning_rate)
        self.losses: list[float] = []
        self.judged: list[tuple[int, float]] = []  # (step, accuracy)
        self.batches = self._batches()
        self.judge()

    def _start(self) -> Network:
        """The network as the arm initializes it, whose masks are drawn from the beginning of their stream."""
        seen = seen_rows(self.training, self.seed)
        X, t = self.dataset.images[seen], self.dataset.labels[seen]
        try:
            initial = initialized(self.setting.arm, self.seed, self.setting.settings, X, t)
        except Exception as error:
            raise Refused(f"{self.setting.label} cannot start this network: {parts.told(error)}") from error
        network = self.setting.settings.network(stream(self.seed, "dropout"))
        put(network, (), initial)
        return network

    def _batches(self) -> Iterator[np.ndarray]:
        order = stream(self.seed, "order")
        while True:
            yield from batches(self.training, self.setting.settings.batch_size, rng=order)

    @property
    def done(self) -> int:
        """How many steps have been made."""
        return len(self.losses)

    @property
    def diverged(self) -> bool:
        return bool(self.losses) and not math.isfinite(self.losses[-1])

    @property
    def over(self) -> bool:
        return self.diverged or self.done >= MOST

    def step(self) -> None:
        """The next step, unless training is over."""
        if self.over:
            return
        batch = next(self.batches)
        with np.errstate(all="ignore"):
            loss = step(self.network, self.optimizer, self.dataset.images[batch], self.dataset.labels[batch])
        self.losses.append(float(loss))
        if self.done in EARLY or self.done % EVERY == 0 or self.diverged:
            self.judge()

    def judge(self) -> None:
        """Measure the accuracy on the first JUDGED validation images, in evaluation mode."""
        chosen = self.validation[:JUDGED]
        found = evaluate(self.network, self.dataset.images, self.dataset.labels, indices=chosen)
        self.judged.append((self.done, float(found.accuracy)))


def fingerprint(network: Network) -> str:
    """Eight letters that differ, as good as surely, where any bit of the parameters or states does."""
    digest = hashlib.sha256(network.theta.tobytes())
    for _, A in states(network):
        digest.update(A.tobytes())
    return digest.hexdigest()[:8]
