"""The lesson's networks trained in PyTorch, in every way that was found: what scripts/benchmark.py is measured against.

From a learner's loop to stacks of networks with gradients by hand; each starts from scratchnet's initial weights and
walks its batches. A `Team` is the processes that train.
"""

from __future__ import annotations

import dataclasses
import math
import multiprocessing
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.data import split
from scratchnet.lab.experiment import Arm, Run, Settings, stream, workers_with_one_thread
from scratchnet.network import Network, mlp
from scratchnet.train import batches

WARM_UP_IMAGES = 1_000
PYTORCH_STACK = 8  # networks that PyTorch trains side by side in one process, at most; 4 to 8 were equally fast


@dataclasses.dataclass(frozen=True)
class Variant:
    """A way to train in PyTorch: how a step is computed, and whether every core gets a process of its own."""

    key: str
    label: str
    kind: str  # learner, fused, vmap or stacked
    processes: bool = False  # one a core, with one thread each; otherwise a single one with PyTorch's default
    compiled: bool = False  # torch.compile
    graph: bool = False  # a CUDA graph


ON_CPU = (
    Variant("pytorch_eager", "as a learner writes it", "learner"),
    Variant("pytorch_fused", "fused Adam", "fused"),
    Variant("pytorch_compiled", "fused Adam, compiled", "fused", compiled=True),
    Variant("pytorch_vmap", "stacked by vmap", "vmap"),
    Variant("pytorch_stacked", "stacked by hand", "stacked"),
    Variant("pytorch_fused_processes", "fused Adam, a process a core", "fused", processes=True),
    Variant("pytorch_stacked_processes", "stacked by hand, a process a core", "stacked", processes=True),
    Variant(
        "pytorch_stacked_compiled_processes",
        "stacked, compiled, a process a core",
        "stacked",
        processes=True,
        compiled=True,
    ),
)
ON_CUDA = (  # never run so far: no GPU was at hand
    Variant("pytorch_eager", "as a learner writes it", "learner"),
    Variant("pytorch_fused", "fused Adam", "fused"),
    Variant("pytorch_vmap", "stacked by vmap", "vmap"),
    Variant("pytorch_stacked", "stacked by hand", "stacked"),
    Variant("pytorch_stacked_compiled", "stacked by hand, compiled", "stacked", compiled=True),
    Variant("pytorch_stacked_graph", "stacked by hand, CUDA graph", "stacked", graph=True),
)


def started(arm: Arm, seed: int, settings: Settings) -> Network:
    """The network as `compare` starts it, for those who train it elsewhere."""
    return mlp(settings.sizes).apply(init.linear(arm.scheme, rng=stream(seed, "weights"), bias=arm.bias))


kept: dict[str, Any] = {}  # what a worker process keeps between calls


def keep(folder: Path, device: str, threads: int | None, barrier: Any) -> None:
    kept.update(folder=folder, device=device, threads=threads, barrier=barrier)


def warm_up(variant: Variant, arms: Sequence[Arm], settings: Settings) -> str:
    """Load PyTorch and the images, train a little, so that all is compiled; then wait until every process has.

    Returns PyTorch's version and what it computes with.
    """
    import torch

    if "images" not in kept:
        if kept["threads"] is not None:
            torch.set_num_threads(kept["threads"])
        # "c": a window on the file; the processes share one copy of it in memory
        images, labels = (np.load(kept["folder"] / f"{name}.npy", mmap_mode="c") for name in ("images", "labels"))
        kept["images"] = torch.from_numpy(images).to(kept["device"])
        kept["labels"] = torch.from_numpy(labels.astype(np.int64)).to(kept["device"])
    train_in_pytorch(variant, arms, [0], settings, examples=min(WARM_UP_IMAGES, len(kept["images"])))
    kept["barrier"].wait(600)
    gpu = f", {torch.cuda.get_device_name()}" if kept["device"] == "cuda" else ""
    return f"{torch.__version__}, {torch.get_num_threads()} threads{gpu}"


def train_in_pytorch(
    variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], settings: Settings, examples: int | None = None
) -> list[Run]:
    """Train and validate, on scratchnet's initial weights and batches, with masks of PyTorch's own."""
    import torch

    # Numbers too small to be normal slow a processor down a hundredfold. A learner does not know.
    torch.set_flush_denormal(variant.kind != "learner")
    torch.manual_seed(seeds[0])
    images, labels = kept["images"][:examples], kept["labels"][:examples]
    parts = [split(len(images), rng=stream(s, "split"), validation=settings.validation) for s in seeds]
    training, validation = (np.stack(part) for part in zip(*parts, strict=True))
    orders = [stream(s, "order") for s in seeds]
    learner = LEARNERS[variant.kind](variant, arms, seeds, images, labels, settings)
    losses: Any = []
    for _ in range(settings.epochs):
        order = np.concatenate(list(batches(training, settings.batch_size, rng=orders)), axis=-1)
        for rows in torch.from_numpy(order).to(images.device).split(settings.batch_size, dim=-1):
            losses.append(learner.step(rows))
    rows = torch.from_numpy(validation).to(images.device)
    with torch.no_grad():
        Z = learner.logits(rows)  # (arms, seeds, n, classes)
        y = labels[rows].expand(Z.shape[:-1])
        loss = torch.nn.functional.cross_entropy(Z.reshape(-1, Z.shape[-1]), y.reshape(-1), reduction="none")
        validation_loss = loss.view(y.shape).mean(dim=-1).cpu().numpy()
        accuracy = (Z.argmax(dim=-1) == y).float().mean(dim=-1).cpu().numpy()
    shape = (len(losses), len(arms), len(seeds))
    if isinstance(losses[0], torch.Tensor):
        losses = torch.stack(losses).cpu().numpy()
    history = np.asarray(losses, dtype=np.float64).reshape(shape)
    return [
        Run(arm.key, seed, history[:, a, s], float(validation_loss[a, s]), float(accuracy[a, s]))
        for a, arm in enumerate(arms)
        for s, seed in enumerate(seeds)
    ]


def sequential(arm: Arm, seed: int, settings: Settings) -> Any:
    """The lesson's network in PyTorch, with the weights that `arm` starts from."""
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    with torch.no_grad():
        for ours in started(arm, seed, settings).layers:
            if hasattr(ours, "W"):
                theirs = nn.Linear(*ours.W.shape)
                theirs.weight.copy_(torch.from_numpy(ours.W.T))  # PyTorch keeps the transpose
                theirs.bias.copy_(torch.from_numpy(ours.b))
                layers.append(theirs)
            else:
                layers += [nn.ReLU(), nn.Dropout(settings.dropout)]
    return nn.Sequential(*layers)


class Learner:
    """One network, as PyTorch's tutorials write it; with `fused`, Adam in one kernel and no look at each loss."""

    def __init__(
        self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], images: Any, labels: Any, settings: Settings
    ) -> None:
        import torch

        [arm], [seed] = arms, seeds
        self.images, self.labels = images, labels
        self.fused = variant.kind == "fused"
        self.network = sequential(arm, seed, settings).to(images.device)
        self.criterion = torch.nn.CrossEntropyLoss()
        rate = settings.learning_rate
        self.adam = torch.optim.Adam(self.network.parameters(), lr=rate, fused=self.fused or None)
        self.forward: Callable[[Any, Any], Any] = lambda X, y: self.criterion(self.network(X), y)
        if variant.compiled:
            # one compiled function for all networks, so that PyTorch compiles once
            compiled = kept.setdefault("compiled", torch.compile(_loss, dynamic=False))
            self.forward = lambda X, y: compiled(X, y, *self.network.parameters(), settings.dropout)

    def step(self, rows: Any) -> Any:
        batch = rows[0]
        self.adam.zero_grad()
        loss = self.forward(self.images[batch], self.labels[batch])
        loss.backward()
        self.adam.step()
        return loss.detach() if self.fused else loss.item()

    def logits(self, rows: Any) -> Any:
        self.network.eval()
        return self.network(self.images[rows[0]])[None, None]


def _loss(X: Any, y: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, p: float) -> Any:
    """The network as a function of its parameters: compiled once, it serves every network."""
    from torch.nn import functional as F

    X = F.dropout(F.relu(F.linear(X, W1, b1)), p)
    X = F.dropout(F.relu(F.linear(X, W2, b2)), p)
    return F.cross_entropy(F.linear(X, W3, b3), y)


class Vmapped:
    """Networks side by side by PyTorch's own means: torch.func.vmap over the gradient of one network's loss."""

    def __init__(
        self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], images: Any, labels: Any, settings: Settings
    ) -> None:
        import torch
        from torch.func import functional_call, grad_and_value, stack_module_state, vmap

        [seed] = seeds
        self.images, self.labels = images, labels
        networks = [sequential(arm, seed, settings).to(images.device) for arm in arms]
        stacked, _ = stack_module_state(networks)
        self.params = {name: A.detach().requires_grad_() for name, A in stacked.items()}
        self.adam = torch.optim.Adam(self.params.values(), lr=settings.learning_rate, fused=True)
        self.network = networks[0]

        def logits(params: dict[str, Any], X: Any) -> Any:
            return functional_call(self.network, params, (X,))

        def loss(params: dict[str, Any], X: Any, y: Any) -> Any:
            return torch.nn.functional.cross_entropy(logits(params, X), y)

        # randomness "same": all networks share a mask, as they do here
        self.gradients = vmap(grad_and_value(loss), in_dims=(0, None, None), randomness="same")
        self.predict = vmap(logits, in_dims=(0, None))

    def step(self, rows: Any) -> Any:
        batch = rows[0]
        params = {name: A.detach() for name, A in self.params.items()}
        gradients, loss = self.gradients(params, self.images[batch], self.labels[batch])
        for name, A in self.params.items():
            A.grad = gradients[name]
        self.adam.step()
        return loss

    def logits(self, rows: Any) -> Any:
        self.network.eval()
        return self.predict(dict(self.params), self.images[rows[0]])[:, None]


class Stacked:
    """Networks side by side, every product of a layer in one call, gradients by hand, masks from random bits.

    The fastest way that was found. `R` networks are the (arms, seeds) in a row; a batch and a mask are shared by
    the arms of a seed.
    """

    def __init__(
        self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], images: Any, labels: Any, settings: Settings
    ) -> None:
        import torch

        self.images, self.labels, self.settings = images, labels, settings
        self.axes = (len(arms), len(seeds))
        networks = [started(arm, seed, settings) for arm in arms for seed in seeds]
        self.W, self.b = [], []
        for i, layer in enumerate(networks[0].layers):
            if hasattr(layer, "W"):
                W = np.stack([network.layers[i].W for network in networks])
                b = np.stack([network.layers[i].b for network in networks])[:, None]
                self.W.append(torch.from_numpy(W).to(images.device))
                self.b.append(torch.from_numpy(b).to(images.device))
        for A in (*self.W, *self.b):
            A.grad = torch.zeros_like(A)
        self.dW, self.db = [W.grad for W in self.W], [b.grad for b in self.b]
        on_cuda = images.device.type == "cuda"
        self.adam = torch.optim.Adam(
            [*self.W, *self.b], lr=settings.learning_rate, fused=True, capturable=on_cuda and variant.graph
        )
        self.gradients: Callable[..., Any] = _gradients
        if variant.compiled:
            self.gradients = kept.setdefault("compiled_stack", torch.compile(_gradients, dynamic=False))
        # drops with probability threshold/2¹⁶, as scratchnet does
        self.threshold = round(settings.dropout * (1 << 16))
        self.scale = (1 << 16) / ((1 << 16) - self.threshold)
        self.graph: Any = None
        if variant.graph:
            self._capture()

    def step(self, rows: Any) -> Any:
        import torch

        if self.graph is not None and rows.shape == self.rows.shape:
            self.rows.copy_(rows)
            self.graph.replay()
            return self.loss.clone()
        with torch.no_grad():
            X, y = self._shared(self.images[rows]), self._shared(self.labels[rows])
            masks = [self._shared(self._mask((*rows.shape, W.shape[-1]))) for W in self.W[:-1]]
            loss = self.gradients(X, y, masks, self.scale, self.W, self.b, self.dW, self.db)
            self.adam.step()
        return loss

    def _shared(self, A: Any) -> Any:
        """(seeds, ...) → (arms·seeds, ...); a window on the same numbers where there is one seed."""
        return A.expand(self.axes[0], *A.shape).reshape(-1, *A.shape[1:])

    def _mask(self, shape: tuple[int, ...]) -> Any:
        import torch

        device = self.images.device
        if device.type == "cuda":
            return torch.empty(shape, device=device).bernoulli_(1 / self.scale).mul_(self.scale)
        # four masks' 16 bits from each random number: a fifth of bernoulli_'s time
        count = math.prod(shape)
        bits = torch.empty((count + 3) // 4, dtype=torch.int64).random_(-(1 << 63), None).view(torch.int16)[:count]
        return (bits >= self.threshold - (1 << 15)).view(shape) * self.scale

    def _capture(self) -> None:
        """Record one step as a CUDA graph, after three on a side stream, as PyTorch's manual has it; undo them."""
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
                state.zero_()  # m, v and t
        self.graph = graph

    def logits(self, rows: Any) -> Any:
        import torch

        X = self._shared(self.images[rows])
        for i, (W, b) in enumerate(zip(self.W, self.b, strict=True)):
            X = torch.baddbmm(b, X if i == 0 else X.clamp_min(0), W)
        return X.view(*self.axes, *X.shape[1:])


def _gradients(
    X: Any, y: Any, masks: list[Any], scale: float, W: list[Any], b: list[Any], dW: list[Any], db: list[Any]
) -> Any:
    """Forward and backward of a stack, `X: (R, n, n_in)`, `y: (R, n)`; fills dW and db, returns the losses (R,)."""
    import torch
    from torch.nn import functional as F

    inputs = [X]
    for i, mask in enumerate(masks):
        inputs.append(torch.baddbmm(b[i], inputs[i], W[i]).clamp_min_(0).mul_(mask))
    log_P = torch.log_softmax(torch.baddbmm(b[-1], inputs[-1], W[-1]), dim=-1)
    Y = F.one_hot(y, log_P.shape[-1]).to(log_P.dtype)
    loss = -(log_P * Y).sum(dim=-1).mean(dim=-1)
    dY = (log_P.exp() - Y) / y.shape[-1]
    for i in reversed(range(len(W))):
        torch.bmm(inputs[i].mT, dY, out=dW[i])
        torch.sum(dY, dim=1, keepdim=True, out=db[i])
        if i > 0:
            # what ReLU or Dropout made 0 has no gradient; the rest was multiplied by `scale`
            dY = torch.ops.aten.threshold_backward(torch.bmm(dY, W[i].mT), inputs[i], 0).mul_(scale)
    return loss


LEARNERS: dict[str, Any] = {"learner": Learner, "fused": Learner, "vmap": Vmapped, "stacked": Stacked}


class Team:
    """Worker processes for some of PyTorch's variants, started once; close it to end them."""

    def __init__(self, processes: int, threads: int | None, folder: Path, device: str) -> None:
        context = multiprocessing.get_context("spawn")
        self.processes = processes
        self.threads = threads
        self.pool = ProcessPoolExecutor(processes, context, keep, (folder, device, threads, context.Barrier(processes)))

    def warm_up(self, variant: Variant, arms: Sequence[Arm], settings: Settings) -> str:
        """Every process trains a little, as large a stack as it will get."""
        size = self.stack(variant, len(arms))
        with workers_with_one_thread() if self.threads == 1 else nullcontext():
            futures = [self.pool.submit(warm_up, variant, arms[:size], settings) for _ in range(self.processes)]
            return max(future.result() for future in futures)

    def stack(self, variant: Variant, arms: int) -> int:
        """How many networks of one seed to train side by side."""
        return 1 if variant.kind in ("learner", "fused") else min(PYTORCH_STACK, math.ceil(arms / self.processes))

    def train(self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], settings: Settings) -> list[Run]:
        if settings.device == "cuda" and variant.kind == "stacked":
            units = [(arms, seeds)]  # a GPU takes everything at once
        else:
            size = self.stack(variant, len(arms))
            units = [(arms[i : i + size], [seed]) for seed in seeds for i in range(0, len(arms), size)]
        futures = [self.pool.submit(train_in_pytorch, variant, *unit, settings) for unit in units]
        return [run for future in futures for run in future.result()]

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
