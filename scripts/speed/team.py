"""A team: worker processes that hold the images and PyTorch, and train the networks of a variant between them."""

from __future__ import annotations

import dataclasses
import math
import threading
from collections.abc import Sequence
from pathlib import Path

from scratchnet.lab.experiment import Arm, Run, Settings
from speed.images import tensors
from speed.training import train
from speed.variants import Variant
from speed.workers import Workers

WARM_UP_IMAGES = 1_000
PYTORCH_STACK = 8  # networks that PyTorch trains side by side in one process, at most; 4 to 8 were equally fast


class Team(Workers):
    """Workers on the images that `images.save` wrote to `folder`."""

    def __init__(self, processes: int, threads: int | None, folder: Path) -> None:
        super().__init__(processes, threads)
        self.folder = folder

    def warm_up(self, variant: Variant, arms: Sequence[Arm], settings: Settings) -> str:
        """Every process trains a little, as large a stack as it will get; returns what PyTorch says of itself."""
        some = arms[: self.stack(variant, len(arms))]
        described: str = self.in_each(warm_up, self.folder, self.threads, variant, some, settings)[0]
        return described

    def train(self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], settings: Settings) -> list[Run]:
        """Every arm with every seed."""
        if settings.device == "cuda" and variant.kind == "stacked":
            units = [(arms, seeds)]  # a GPU takes everything at once
        else:
            size = self.stack(variant, len(arms))
            units = [(arms[i : i + size], [seed]) for seed in seeds for i in range(0, len(arms), size)]
        finished = self.map(train_unit, [(self.folder, variant, *unit, settings) for unit in units])
        return [run for runs in finished for run in runs]

    def stack(self, variant: Variant, arms: int) -> int:
        """How many networks of one seed to train side by side."""
        return 1 if variant.kind in ("learner", "fused") else min(PYTORCH_STACK, math.ceil(arms / self.processes))


def warm_up(folder: Path, threads: int | None, variant: Variant, arms: Sequence[Arm], settings: Settings) -> str:
    """In a worker: load PyTorch and the images, and train a little, so that everything is compiled."""
    import torch
    from tqdm import tqdm

    tqdm.set_lock(threading.RLock())  # torch.compile makes a bar: its usual lock leaks where this process is terminated
    if threads is not None:
        torch.set_num_threads(threads)
    images, labels = tensors(folder, settings.device)
    once = dataclasses.replace(settings, epochs=1)
    train(variant, arms, [0], once, images[:WARM_UP_IMAGES], labels[:WARM_UP_IMAGES])
    gpu = f", {torch.cuda.get_device_name()}" if settings.device == "cuda" else ""
    return f"{torch.__version__}, {torch.get_num_threads()} threads{gpu}"


def train_unit(
    folder: Path, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], settings: Settings
) -> list[Run]:
    """In a worker: train networks side by side."""
    return train(variant, arms, seeds, settings, *tensors(folder, settings.device))
