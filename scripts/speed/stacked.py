"""Networks side by side in PyTorch with gradients written by hand: the fastest way that was found."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np

from scratchnet.lab.experiment import Arm, Settings, initialized
from speed.learner import linear_layers
from speed.variants import Variant


class Stacked:
    """Every product of a layer is one call for all networks; masks are made from random bits.

    `R` networks are the (arms, seeds) in a row; a batch and a mask are shared by the arms of a seed.
    """

    def __init__(
        self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], images: Any, labels: Any, settings: Settings
    ) -> None:
        import torch

        self.images, self.labels, self.settings = images, labels, settings
        self.axes = (len(arms), len(seeds))
        networks = [linear_layers(initialized(arm, seed, settings)) for arm in arms for seed in seeds]
        self.W, self.b = [], []
        for layers in zip(*networks, strict=True):  # the same layer of every network
            W, b = np.stack([layer.W for layer in layers]), np.stack([layer.b for layer in layers])[:, None]
            self.W.append(torch.from_numpy(W).to(images.device))
            self.b.append(torch.from_numpy(b).to(images.device))
        for A in (*self.W, *self.b):
            A.grad = torch.zeros_like(A)
        self.dW, self.db = [W.grad for W in self.W], [b.grad for b in self.b]
        on_cuda = images.device.type == "cuda"
        self.adam = torch.optim.Adam(
            [*self.W, *self.b], lr=settings.learning_rate, fused=True, capturable=on_cuda and variant.graph
        )
        self.gradients = _compiled_gradients() if variant.compiled else _gradients
        # drops with probability threshold/2¹⁶, as scratchnet does
        self.threshold = round(settings.dropout * (1 << 16))
        self.scale = (1 << 16) / ((1 << 16) - self.threshold)
        self.graph: Any = None
        if variant.graph:
            self._capture()

    def step(self, rows: Any) -> Any:
        """Train on the images of `rows: (seeds, n)`; return the losses `(R,)`."""
        import torch

        if self.graph is not None and rows.shape == self.rows.shape:
            self.rows.copy_(rows)
            self.graph.replay()
            return self.loss.clone()
        with torch.no_grad():
            X, t = self._shared(self.images[rows]), self._shared(self.labels[rows])
            masks = [self._shared(self._mask((*rows.shape, W.shape[-1]))) for W in self.W[:-1]]
            loss = self.gradients(X, t, masks, self.scale, self.W, self.b, self.dW, self.db)
            self.adam.step()
        return loss

    def logits(self, rows: Any) -> Any:
        """(arms, seeds, n, classes) of the images of `rows: (seeds, n)`, without dropout."""
        import torch

        X = self._shared(self.images[rows])
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            X = torch.baddbmm(b, X if i == 0 else X.clamp_min(0), W)
        return X.view(*self.axes, *X.shape[1:])

    def _shared(self, A: Any) -> Any:
        """(seeds, ...) → (arms·seeds, ...); a view of the same numbers where there is one seed."""
        return A.expand(self.axes[0], *A.shape).reshape(-1, *A.shape[1:])

    def _mask(self, shape: tuple[int, ...]) -> Any:
        import torch

        device = self.images.device
        if device.type == "cuda":
            return torch.empty(shape, device=device).bernoulli_(1 / self.scale).mul_(self.scale)
        # each random number of 64 bits makes four numbers of 16: this takes a fifth of bernoulli_'s time
        count = math.prod(shape)
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)[:count]
        return (bits >= self.threshold - (1 << 15)).view(shape) * self.scale

    def _capture(self) -> None:
        """Record one step as a CUDA graph, after three on a side stream, as PyTorch's manual says; undo all of them."""
        import torch

        self.rows = torch.zeros((self.axes[1], self.settings.batch_size), dtype=torch.int64, device="cuda")
        before = [A.clone() for A in (*self.W, *self.b)]
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(3):
                self.step(self.rows)
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            self.loss = self.step(self.rows)
        for A, start in zip((*self.W, *self.b), before, strict=True):
            A.copy_(start)
            for state in self.adam.state[A].values():
                state.zero_()  # Adam's m, v and step count
        self.graph = graph


@cache
def _compiled_gradients() -> Callable[..., Any]:
    import torch

    compiled: Callable[..., Any] = torch.compile(_gradients, dynamic=False)
    return compiled


def _gradients(
    X: Any, t: Any, masks: list[Any], scale: float, W: list[Any], b: list[Any], dW: list[Any], db: list[Any]
) -> Any:
    """Forward and backward with images `X: (R, n, n_in)` and labels `t: (R, n)`: fill dW and db, return the losses."""
    import torch
    from torch.nn import functional as F

    inputs = [X]
    for i, mask in enumerate(masks):
        inputs.append(torch.baddbmm(b[i], inputs[i], W[i]).clamp_min_(0).mul_(mask))
    log_P = torch.log_softmax(torch.baddbmm(b[-1], inputs[-1], W[-1]), dim=-1)
    T = F.one_hot(t, log_P.shape[-1]).to(log_P.dtype)
    loss = -(log_P * T).sum(dim=-1).mean(dim=-1)
    dY = (log_P.exp() - T) / t.shape[-1]
    for i in reversed(range(len(W))):
        torch.bmm(inputs[i].mT, dY, out=dW[i])
        torch.sum(dY, dim=1, keepdim=True, out=db[i])
        if i > 0:
            # what ReLU or Dropout made 0 has no gradient; the rest was multiplied by `scale`
            dY = torch.ops.aten.threshold_backward(torch.bmm(dY, W[i].mT), inputs[i], 0).mul_(scale)
    return loss
