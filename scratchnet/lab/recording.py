"""What a training keeps of its way: a few looks at signals, gradients and units, at a few steps."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import NormalDist

import numpy as np

from scratchnet.backend import Array, like, to_host
from scratchnet.lab.outputs import dead_units, elementwise, mean_square, output_gradients, outputs, saturation
from scratchnet.lab.symmetry import distinct_units, effective_rank
from scratchnet.layers import Dropout, Layer, Linear
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network

LOOKED_AT = 100  # validation images, in evaluation mode
STEPS = (0, 1, 10, 100)  # and the last
BINS = 32  # of a histogram
NORMAL = np.array([[NormalDist().inv_cdf((i + 0.5) / 1000)] for i in range(1000)])  # N(0, 1) in equal shares


class Recording:
    """Looks at a network, or a stack, before its first step and after some others, at the same images each time.

    `images: (S, n, n_in)` and `labels: (S, n)` are the first LOOKED_AT rows of each seed's validation images. A look
    costs about as much as a step, and overwrites the gradients, which the next step fills anew. Only the Linear layers
    of the network itself are looked at: their outputs Y, before the activation, and the gradients dY there.
    """

    def __init__(self, network: Network, images: Array, labels: Array, validation: np.ndarray, last: int) -> None:
        rows = like(validation[..., :LOOKED_AT], images)
        self.network, self.X, self.labels = network, images[rows], labels[rows]
        self.steps = sorted({*(step for step in STEPS if step < last), last})
        self.done = 0
        self.looks: list[dict[str, np.ndarray]] = []
        self.linears = [i for i, layer in enumerate(network.layers) if isinstance(layer, Linear)]
        with np.errstate(all="ignore"):
            self.phis = [self._phi(i) for i in self.linears]
            usual = [np.nan if phi is None else to_host(saturation(like(NORMAL, images), phi)) for phi in self.phis]
        self.fixed = {
            "images": self._each(to_host(mean_square(self.X)))[..., None],
            "units": self._layers([network.layers[i].W.shape[-1] for i in self.linears]),
            "usual": self._layers([np.median(share) for share in usual]),
        }
        self.look()

    def _phi(self, i: int) -> Layer | None:
        """The activation that follows layer i, dropout left out; None where what follows is none."""
        following = [layer for layer in self.network.layers[i + 1 :] if not isinstance(layer, Dropout)]
        if not following or isinstance(following[0], Linear):
            return None
        Y = outputs(self.network, self.X[..., :2, :])[i]
        return following[0] if elementwise(following[0], Y) else None

    def _each(self, x: np.ndarray | float) -> np.ndarray:
        return np.broadcast_to(x, self.network.replicas)

    def _layers(self, values: list) -> np.ndarray:
        """A number for each layer, the same for all replicas or one for each: (*replicas, layers)."""
        return np.stack([self._each(value) for value in values], axis=-1)

    def look(self) -> None:
        """Keep the loss, and of each Linear layer E[y²] and E[dY²], its distinct units and their effective rank, the
        shares of silent units and of saturated outputs, and histograms of y and of log₁₀|dY|.
        """
        loss = CrossEntropy()
        with np.errstate(all="ignore"):
            outs = outputs(self.network, self.X)
            value = loss.forward(outs[-1], self.labels)
            back = output_gradients(self.network, loss.backward())
            Ys, dYs = ([arrays[i] for i in self.linears] for arrays in (outs, back))
            flat = [(np.nan, np.nan) if phi is None else (dead_units(Y, phi), saturation(Y, phi))
                    for Y, phi in zip(Ys, self.phis, strict=True)]  # fmt: skip
            hosts = [to_host(Y) for Y in Ys]
            y, y_range = _histograms(hosts)
            log_dY, log_dY_range = _histograms([np.log10(np.abs(to_host(dY))) for dY in dYs])
            seen = {
                "signal": [to_host(mean_square(Y)) for Y in Ys],
                "gradient": [to_host(mean_square(dY)) for dY in dYs],
                "distinct": [distinct_units(to_host(self.network.layers[i].W)) for i in self.linears],
                "rank": [effective_rank(Y) for Y in hosts],
                "silent": [to_host(share) for share, _ in flat],
                "saturation": [to_host(share) for _, share in flat],
            }
        self.looks.append(
            {"loss": self._each(to_host(value))}
            | {name: self._layers(values) for name, values in seen.items()}
            | {"y": y, "y_range": y_range, "log_dY": log_dY, "log_dY_range": log_dY_range}
        )

    def after_step(self) -> None:
        """Call this after each step."""
        self.done += 1
        if self.done in self.steps:
            self.look()

    def of(self, index: tuple[int, ...]) -> Mapping[str, np.ndarray]:
        """What was seen of one replica.

        "steps" and "loss" `(looks,)`; each quantity `(looks, layers)`; the histograms "y" and "log_dY"
        `(looks, layers, BINS)`: how many outputs, and how many gradients that are not 0, lie in each of BINS equal
        parts of their range `(looks, layers, 2)`. What stays the same: "images", E[x²] `(1,)`, and for each layer
        `(layers,)` its "units" and the "usual" saturation, that of y ~ N(0, 1).
        """
        seen = {name: np.stack([look[name][index] for look in self.looks]) for name in self.looks[0]}
        fixed = {name: values[index] for name, values in self.fixed.items()}
        return {"steps": np.array(self.steps[: len(self.looks)]), **seen, **fixed}


def _histograms(layers: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """Counts `(..., layers, BINS)` and ranges `(..., layers, 2)` of arrays `(..., n, units)`; see `histogram`."""
    pairs = [histogram(A) for A in layers]
    return np.stack([counts for counts, _ in pairs], axis=-2), np.stack([ends for _, ends in pairs], axis=-2)


@np.errstate(all="ignore")
def histogram(A: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How many numbers of `A: (..., n, units)` lie in each of BINS equal parts of their own range, and that range.

    What is not finite is left out; without a finite number the range is NaN. Equal numbers lie in the middle part.
    """
    flat = A.reshape(*A.shape[:-2], -1)
    finite = np.isfinite(flat)
    low = np.where(finite, flat, np.inf).min(axis=-1, keepdims=True)
    high = np.where(finite, flat, -np.inf).max(axis=-1, keepdims=True)
    scale = np.where(high > low, BINS / (high - low), 0)
    part = np.where(scale > 0, (flat - low) * scale, BINS // 2)
    part = np.where(finite, np.minimum(part, BINS - 1), BINS).astype(np.int32)
    of_replica = np.arange(low.size).reshape(low.shape) * (BINS + 1)
    counts = np.bincount((part + of_replica).ravel(), minlength=low.size * (BINS + 1))
    ends = np.concatenate([low, high], axis=-1)
    return counts.reshape(*A.shape[:-2], BINS + 1)[..., :BINS], np.where(np.isfinite(ends), ends, np.nan)
