"""The initializations that every contestant trains: draws of rules with which the lesson's network trains normally."""

from __future__ import annotations

from functools import partial

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm

SCHEMES = (init.rule_uniform, init.rule_normal, init.torch_linear)


def chosen_arms(count: int) -> list[Arm]:
    """The general rule, uniform and normal, and PyTorch's default in turn, each time with other random numbers."""
    arms = []
    for i in range(count):
        scheme, number = SCHEMES[i % len(SCHEMES)], i // len(SCHEMES)
        key = f"{scheme.__name__}_{number}"
        bias = init.torch_linear_bias if scheme is init.torch_linear else None
        arms.append(Arm(key, key, partial(numbered, scheme=scheme, number=number), bias))
    return arms


def numbered(shape: tuple[int, ...], *, rng: np.random.Generator, scheme: init.Scheme, number: int) -> np.ndarray:
    """`scheme` with random numbers of its own for each `number`."""
    return scheme(shape, rng=np.random.default_rng([number, int(rng.integers(1 << 32))]))
