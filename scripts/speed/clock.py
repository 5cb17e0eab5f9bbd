"""A clock that times everyone's turns, round after round, and shows who is at work."""

from __future__ import annotations

import time
from collections.abc import Callable
from types import TracebackType
from typing import Any, Self

import numpy as np
from tqdm import tqdm

from scratchnet.lab.processes import shielding_children


class Clock:
    """`seconds[key]` has one number a round. The progress bar counts `turns`, warm-ups included."""

    def __init__(self, turns: int) -> None:
        self.seconds: dict[str, list[float]] = {}
        with shielding_children():
            self.bar = tqdm(total=turns, disable=None, unit="run")

    def turn(self, key: str, label: str, work: Callable[[], Any]) -> Any:
        """Time `work()`; return its result."""
        self.show(label)
        start = time.perf_counter()
        result = work()
        self.note(key, time.perf_counter() - start)
        return result

    def note(self, key: str, seconds: float) -> None:
        """One turn took `seconds`."""
        self.seconds.setdefault(key, []).append(seconds)
        self.bar.update()

    def show(self, label: str) -> None:
        self.bar.set_description(label)

    def over(self, key: str, other: str) -> list[float]:
        """The time of `key` as a multiple of that of `other`, within each round."""
        return [a / b for a, b in zip(self.seconds[key], self.seconds[other], strict=True)]

    def median(self, key: str) -> float:
        return float(np.median(self.seconds[key]))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.bar.close()
