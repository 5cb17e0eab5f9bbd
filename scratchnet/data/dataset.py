"""Datasets as plain arrays: load one and split it into a training and a validation part."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import sys
from dataclasses import dataclass

import numpy as np

from scratchnet.data import fashion_mnist, synthetic

DATASETS = ("auto", "fashion-mnist", "synthetic")


@dataclass(frozen=True)
class Dataset:
    """Images and labels for training, and others for testing.

    One row of `images` is one flattened 28 × 28 picture: 784 pixels, row by row from the top left corner, each
    from 0 (background) to 1 (brightest). `labels` are integers that index `classes`.
    """

    name: str
    images: np.ndarray  # (60000, 784) float32
    labels: np.ndarray  # (60000,) uint8
    test_images: np.ndarray  # (10000, 784) float32
    test_labels: np.ndarray  # (10000,) uint8
    classes: tuple[str, ...] = fashion_mnist.CLASSES

    def first(self, n: int) -> Dataset:
        """The same with the first n images to train on: for a quick look."""
        if n < 1:
            raise ValueError(f"expected a number of images ≥ 1, got {n}")
        return dataclasses.replace(self, images=self.images[:n], labels=self.labels[:n])

    @property
    def sha256(self) -> str:
        """A digest of the images and labels to train on: equal data have equal digests."""
        digest = hashlib.sha256(np.ascontiguousarray(self.images).data)
        digest.update(np.ascontiguousarray(self.labels).data)
        return digest.hexdigest()

    @property
    def stand_in(self) -> bool:
        """True if this is not the real Fashion-MNIST. Every figure and table made from it must say so."""
        return self.name == "synthetic"

    @property
    def title(self) -> str:
        return "synthetic stand-in (NOT Fashion-MNIST)" if self.stand_in else "Fashion-MNIST"


def pixels(images: np.ndarray) -> np.ndarray:
    """Convert images `(n, 28, 28)` of bytes from 0 to 255 to rows `(n, 784)` of float32 from 0 to 1: x/255."""
    return np.divide(images.reshape(len(images), 784), 255, dtype=np.float32)  # one array of 188 MB, and not two


def load(name: str = "auto", data_dir: str | os.PathLike[str] | None = None) -> Dataset:
    """Load the dataset called `name`: "fashion-mnist", "synthetic" or "auto".

    "auto" loads Fashion-MNIST if it is on this machine or can be downloaded. Otherwise it loads the synthetic
    stand-in and prints a warning on stderr. "fashion-mnist" never falls back: it raises `FashionMNISTUnavailable`.
    `data_dir` is the folder of Fashion-MNIST's four files. It defaults to the environment variable SCRATCHNET_DATA,
    and, if that is not set, to a folder in the user's cache. A folder that is named has to exist, also for "auto":
    `fashion_mnist.NoSuchFolder` is raised otherwise.
    """
    if name not in DATASETS:
        raise ValueError(f"unknown dataset {name!r}: choose one of {', '.join(DATASETS)}")
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
                f"{line}\nNOT FASHION-MNIST: the real images could not be found or downloaded. This run uses a\n"
                "synthetic stand-in, garments drawn by code. Do not compare its numbers with published ones.\n\n"
                f"{error}\n{line}",
                file=sys.stderr,
            )
    images, labels, test_images, test_labels = arrays if arrays is not None else synthetic.load()
    return Dataset(name, pixels(images), labels, pixels(test_images), test_labels)


def split(n: int, *, rng: np.random.Generator, validation: float = 0.2) -> tuple[np.ndarray, np.ndarray]:
    """Split the row numbers 0 … n − 1 at random; return (training, validation). `validation` is the share held out.

    Both parts are sorted: `batches` shuffles the training rows anyway, and the order does not matter for evaluation.
    """
    if not 0 <= validation < 1:
        raise ValueError(f"expected a validation share of at least 0 and below 1, got {validation}")
    order = rng.permutation(n)
    held_out = round(n * validation)
    return np.sort(order[held_out:]), np.sort(order[:held_out])
