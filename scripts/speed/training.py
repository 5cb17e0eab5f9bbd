"""Training and validation in PyTorch, from scratchnet's initial weights and on its batches."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.data import split
from scratchnet.lab.experiment import Arm, Run, Settings, stream
from scratchnet.train import batches
from speed.learner import Learner
from speed.stacked import Stacked
from speed.variants import Variant
from speed.vmapped import Vmapped

LEARNERS: dict[str, Any] = {"learner": Learner, "fused": Learner, "vmap": Vmapped, "stacked": Stacked}


def train(
    variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], settings: Settings, images: Any, labels: Any
) -> list[Run]:
    """Every arm with every seed; the dropout masks are PyTorch's own."""
    import torch

    # Numbers too small to be normal slow a processor down a hundredfold. A learner does not know that.
    torch.set_flush_denormal(variant.kind != "learner")
    torch.manual_seed(seeds[0])
    parts = [split(len(images), rng=stream(s, "split"), validation=settings.validation) for s in seeds]
    training, validation = (np.stack(part) for part in zip(*parts, strict=True))
    orders = [stream(s, "order") for s in seeds]
    learner = LEARNERS[variant.kind](variant, arms, seeds, images, labels, settings)
    losses: Any = []
    for _ in range(settings.epochs):
        order = np.concatenate(list(batches(training, settings.batch_size, rng=orders)), axis=-1)
        for rows in torch.from_numpy(order).to(images.device).split(settings.batch_size, dim=-1):
            losses.append(learner.step(rows))
    loss, accuracy = validate(learner, torch.from_numpy(validation).to(images.device), labels)
    shape = (len(losses), len(arms), len(seeds))
    if isinstance(losses[0], torch.Tensor):
        losses = torch.stack(losses).cpu().numpy()
    history = np.asarray(losses, dtype=np.float64).reshape(shape)
    return [
        Run(arm.key, seed, history[:, a, s], float(loss[a, s]), float(accuracy[a, s]))
        for a, arm in enumerate(arms)
        for s, seed in enumerate(seeds)
    ]


def validate(learner: Any, rows: Any, labels: Any) -> tuple[np.ndarray, np.ndarray]:
    """Mean loss and accuracy on `rows: (seeds, n)`, each (arms, seeds)."""
    import torch

    with torch.no_grad():
        Z = learner.logits(rows)  # (arms, seeds, n, classes)
        t = labels[rows].expand(Z.shape[:-1])
        loss = torch.nn.functional.cross_entropy(Z.reshape(-1, Z.shape[-1]), t.reshape(-1), reduction="none")
        correct = (Z.argmax(dim=-1) == t).float()
    return loss.view(t.shape).mean(dim=-1).cpu().numpy(), correct.mean(dim=-1).cpu().numpy()
