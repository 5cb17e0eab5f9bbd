"""Datasets as plain arrays: load one, split it, walk it in batches."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass

import numpy as np

from scratchnet.data import fashion_mnist, synthetic

DATASETS = ("auto", "fashion-mnist", "synthetic")


@dataclass(frozen=True)
class Dataset:
    """Images and labels, to train on and to test with.

    One row of `images` is one picture, flattened: 784 numbers, row after row from the top left corner, each
    from 0 (background) to 1 (brightest). `labels` are integers that index `classes`.
    """

    name: str
    images: np.ndarray  # (60000, 784) float32
    labels: np.ndarray  # (60000,) uint8
    test_images: np.ndarray  # (10000, 784) float32
    test_labels: np.ndarray  # (10000,) uint8
    classes: tuple[str, ...] = fashion_mnist.CLASSES

    @property
    def stand_in(self) -> bool:
        """True where this is not the real Fashion-MNIST: whatever shows its numbers must say so."""
        return self.name == "synthetic"

    @property
    def title(self) -> str:
        return "synthetic stand-in (NOT Fashion-MNIST)" if self.stand_in else "Fashion-MNIST"


def pixels(images: np.ndarray) -> np.ndarray:
    """`(n, 28, 28)` bytes 0 … 255 as `(n, 784)` float32 from 0 to 1: x/255."""
    return images.reshape(len(images), 784) * np.float32(1 / 255)


def load(name: str = "auto", data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """The dataset called `name`: "fashion-mnist", "synthetic", or "auto".

    "auto" is Fashion-MNIST where it is on this machine or can be downloaded, otherwise the synthetic stand-in,
    announced on stderr. "fashion-mnist" never falls back: it raises `FashionMNISTUnavailable`. `data_dir` is the
    folder of the four files (default: `SCRATCHNET_DATA`, else the user's cache folder).
    """
    if name not in DATASETS:
        raise ValueError(f"there is no dataset {name!r}: choose {', '.join(DATASETS)}")
    arrays = None
    if name != "synthetic":
        try:
            arrays = fashion_mnist.load(data_dir)
            name = "fashion-mnist"
        except fashion_mnist.FashionMNISTUnavailable as error:
            if name == "fashion-mnist":
                raise
            name = "synthetic"
            line = "=" * 100
            print(
                f"{line}\nNOT FASHION-MNIST: the real images could not be had, so a synthetic stand-in, garments drawn "
                f"by code,\ntakes their place. Its numbers are not comparable with published ones.\n\n{error}\n{line}",
                file=sys.stderr,
            )
    images, labels, test_images, test_labels = arrays if arrays is not None else synthetic.load()
    return Dataset(name, pixels(images), labels, pixels(test_images), test_labels)


def split(n: int, *, rng: np.random.Generator, validation: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """(training, validation): a random split of the row numbers 0 … n − 1; `validation` is the share kept aside.

    Each part is sorted: `batches` shuffles, and evaluation does not care.
    """
    if not 0 <= validation < 1:
        raise ValueError(f"the validation share must be at least 0 and below 1, and {validation} came")
    order = rng.permutation(n)
    held_out = round(n * validation)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
