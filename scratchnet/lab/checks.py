"""What a comparison is given is looked at once, at its border: one clear sentence for each mistake."""

from __future__ import annotations

import math
import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from scratchnet.backend import DEVICES
from scratchnet.data import Dataset
from scratchnet.loss import check_labels


def check_settings(settings: Any) -> None:
    """Raise ValueError unless the numbers and names in `Settings` can be trained with."""
    sizes = settings.sizes
    if len(sizes) < 2 or not all(_whole(size, 1) for size in sizes):
        raise ValueError(f"sizes: expected at least two integers ≥ 1, got {sizes!r}")
    for name, least in (("batch_size", 1), ("epochs", 0)):
        if not _whole(value := getattr(settings, name), least):
            raise ValueError(f"{name}: expected an integer ≥ {least}, got {value!r}")
    if not (_number(settings.dropout) and 0 <= settings.dropout < 1):
        raise ValueError(f"dropout: expected a probability, 0 ≤ p < 1, got {settings.dropout!r}")
    if not (_number(settings.validation) and 0 < settings.validation < 1):
        raise ValueError(f"validation: expected a share between 0 and 1, got {settings.validation!r}")
    _check_rate("learning_rate", settings.learning_rate)
    for name, known in (("dtype", ("float32", "float64")), ("device", DEVICES)):
        if (value := getattr(settings, name)) not in known:
            raise ValueError(f"{name}: expected {' or '.join(known)}, got {value!r}")


def check_work(arms: Sequence[Any], seeds: Sequence[int], dataset: Dataset, settings: Any, jobs: int | None) -> None:
    """Raise ValueError unless there are arms, seeds and examples for a comparison."""
    for name, values in (("arms", arms), ("seeds", seeds)):
        if isinstance(values, str) or not hasattr(values, "__len__"):
            raise ValueError(f"{name}: expected a list, got {values!r}")
    if not (len(arms) and len(seeds)):
        raise ValueError(f"expected at least one arm and one seed, got {len(arms)} arms and {len(seeds)} seeds")
    if wrong := [arm for arm in arms if not hasattr(arm, "key")]:
        raise ValueError(f"arms: expected objects of Arm, got {wrong[0]!r}: named(...) makes one from a name")
    keys = [arm.key for arm in arms]
    if len(set(keys)) < len(keys):
        raise ValueError(f"expected a key of its own for each arm, got {', '.join(keys)}")
    if wrong := [seed for seed in seeds if not _whole(seed, 0)]:
        raise ValueError(f"seeds: expected integers ≥ 0, got {wrong[0]!r}")
    if len(set(seeds)) < len(seeds):
        raise ValueError(f"seeds: expected each seed once, got {list(seeds)}")
    if not (jobs is None or _whole(jobs, 1)):
        raise ValueError(f"jobs: expected an integer ≥ 1, got {jobs!r}")
    for arm in arms:
        for seed in seeds:
            try:
                _check_rate(f"learning_rate of {arm.label}", arm.rate(seed, settings))
            except KeyError:
                raise ValueError(f"learning_rate of {arm.label}: there is none for the seed {seed}") from None
    _check_data(dataset.images, dataset.labels, settings)


def _check_data(images: Any, labels: Any, settings: Any) -> None:
    shapes = np.shape(images), np.shape(labels)
    if not isinstance(images, np.ndarray) or images.ndim != 2 or images.dtype.kind != "f":
        kind = getattr(images, "dtype", type(images).__name__)
        raise ValueError(f"images: expected rows of floating-point numbers, got {kind} of shape {shapes[0]}")
    if not isinstance(labels, np.ndarray) or shapes[1] != shapes[0][:1]:
        raise ValueError(f"labels: expected one for each of {len(images):,} images, got an array of shape {shapes[1]}")
    n = len(images)
    for _ in range(2 if settings.choosing else 1):
        held_out = round(n * settings.validation)
        if not 0 < held_out < n:
            raise ValueError(
                f"expected images to train on and others to validate with, got {n} images and a validation share of "
                f"{settings.validation}: that leaves {n - held_out} and {held_out}"
            )
        n -= held_out
    check_labels(labels, settings.sizes[-1])
    if not np.isfinite([images.min(), images.max()]).all():
        raise ValueError("images: expected finite numbers, got infinite ones or NaN")


def _check_rate(name: str, value: Any) -> None:
    if not (_number(value) and value >= 0 and math.isfinite(value)):
        raise ValueError(f"{name}: expected a finite number ≥ 0, got {value!r}")


def _number(value: Any) -> bool:
    return isinstance(value, numbers.Real) and not isinstance(value, bool)


def _whole(value: Any, least: int) -> bool:
    return isinstance(value, numbers.Integral) and not isinstance(value, bool) and int(value) >= least
