"""Where scratchnet's time goes: the parts of a training step."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from typing import Any

from scratchnet.data import Dataset, split
from scratchnet.lab.experiment import Arm, Settings, initialized, stream
from scratchnet.layers import Dropout
from scratchnet.loss import CrossEntropy
from scratchnet.optim import Adam
from scratchnet.train import batches
from speed.floor import seconds_in_this_process


def time_by_part(arms: Sequence[Arm], dataset: Dataset, settings: Settings) -> dict[str, float]:
    """Seconds an epoch and network for each part of a step: `train.fit`'s loop with a clock around every call.

    Runs in a process with one BLAS thread, on a stack of the arms.
    """
    training, _ = split(len(dataset.images), rng=stream(0, "split"), validation=settings.validation)
    network = settings.network(stream(0, "dropout")).replicate((len(arms),))
    for a, arm in enumerate(arms):
        network.theta[a] = initialized(arm, 0, settings).theta
    adam = Adam(network.theta, network.grad, learning_rate=settings.learning_rate)
    loss, order = CrossEntropy(), stream(0, "order")
    spent = dict.fromkeys(("gather", "forward", "masks", "loss", "backward", "Adam"), 0.0)

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = work(*given, **named)
            spent[part] += time.perf_counter() - start
            return result

        return wrapped

    for layer in network.layers:
        if isinstance(layer, Dropout):
            layer.draw_mask = timed("masks", layer.draw_mask)  # type: ignore[method-assign]
    gather = timed("gather", lambda rows: (dataset.images[rows], dataset.labels[rows]))
    forward, backward = timed("forward", network.forward), timed("backward", network.backward)
    loss_forward, loss_backward = timed("loss", loss.forward), timed("loss", loss.backward)
    step = timed("Adam", adam.step)
    start = time.perf_counter()
    for rows in batches(training, settings.batch_size, rng=order):
        X, labels = gather(rows)
        loss_forward(forward(X, train=True), labels)
        backward(loss_backward(), need_dX=False)
        step()
    spent["rest"] = time.perf_counter() - start - sum(spent.values()) + spent["masks"]
    spent["forward"] -= spent["masks"]  # they are drawn in it
    steps = math.ceil(len(training) / settings.batch_size)
    each = {part: seconds / len(arms) for part, seconds in spent.items()}
    return each | {"products alone": seconds_in_this_process(steps, settings)}
