"""What a training keeps of its way: a few looks at signals, gradients and units, at a few steps."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from scratchnet.backend import Array, like, to_host
from scratchnet.lab.outputs import mean_square, output_gradients, outputs
from scratchnet.lab.symmetry import distinct_units, effective_rank
from scratchnet.layers import Linear
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network

LOOKED_AT = 100  # validation images, in evaluation mode
STEPS = (0, 1, 10, 100)  # and the last


class Recording:
    """Looks at a network, or a stack, before its first step and after some others, at the same images each time.

    `images: (S, n, n_in)` and `labels: (S, n)` are the first LOOKED_AT rows of each seed's validation images. A look
    costs about as much as a step, and overwrites the gradients, which the next step fills anew. Only the Linear layers
    of the network itself are looked at.
    """

    def __init__(self, network: Network, images: Array, labels: Array, validation: np.ndarray, last: int) -> None:
        rows = like(validation[..., :LOOKED_AT], images)
        self.network, self.X, self.labels = network, images[rows], labels[rows]
        self.steps = sorted({*(step for step in STEPS if step < last), last})
        self.done = 0
        self.looks: dict[str, list[np.ndarray]] = {name: [] for name in ("signal", "gradient", "distinct", "rank")}
        self.look()

    def look(self) -> None:
        """E[y²] and E[dY²] of each Linear layer, and its distinct units and their effective rank: `(layers, ...)`."""
        linears = [i for i, layer in enumerate(self.network.layers) if isinstance(layer, Linear)]
        loss = CrossEntropy()
        with np.errstate(all="ignore"):
            Ys = outputs(self.network, self.X)
            loss.forward(Ys[-1], self.labels)
            dYs = output_gradients(self.network, loss.backward())
            Ws = [to_host(self.network.layers[i].W) for i in linears]
            self.looks["signal"].append(np.array([to_host(mean_square(Ys[i])) for i in linears]))
            self.looks["gradient"].append(np.array([to_host(mean_square(dYs[i])) for i in linears]))
            self.looks["distinct"].append(np.array([distinct_units(W) for W in Ws]))
            self.looks["rank"].append(np.array([effective_rank(to_host(Ys[i])) for i in linears]))

    def after_step(self) -> None:
        """Call this after each step."""
        self.done += 1
        if self.done in self.steps:
            self.look()

    def of(self, index: tuple[int, ...]) -> Mapping[str, np.ndarray]:
        """What was seen of one replica: "steps" `(looks,)`, and each quantity `(looks, layers)`."""
        seen: dict[str, np.ndarray] = {}
        for name, looks in self.looks.items():
            seen[name] = np.moveaxis(np.array(looks), (0, 1), (-2, -1))[index]
        return {"steps": np.array(self.steps[: len(self.looks["signal"])]), **seen}
