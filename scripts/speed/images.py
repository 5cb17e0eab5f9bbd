"""The training images in files that all worker processes map, so that memory holds one copy of them."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.data import Dataset


def save(dataset: Dataset, folder: Path) -> None:
    np.save(folder / "images.npy", dataset.images)
    np.save(folder / "labels.npy", dataset.labels)


@cache
def tensors(folder: Path, device: str) -> tuple[Any, Any]:
    """The images and labels as PyTorch's tensors on `device`; each process loads them once."""
    import torch

    # "c": a view of the file whose changes, if there were any, would stay in this process
    images, labels = (np.load(folder / f"{name}.npy", mmap_mode="c") for name in ("images", "labels"))
    return torch.from_numpy(images).to(device), torch.from_numpy(labels.astype(np.int64)).to(device)
