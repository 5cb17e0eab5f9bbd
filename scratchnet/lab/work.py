"""A unit of work, and how it can fail: what everything that does work, wherever it does it, has in common.

A unit is `work(spec, images, labels, tick) -> result`: a function that can be imported, and a spec that says all that
it needs to know besides the images. `tick(n)` says that n more steps are done, for a progress bar; n is negative where
a unit has to begin anew.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from typing import Any

from scratchnet.lab.parts import told

Tick = Callable[[int], Any]
Work = Callable[[Any, Any, Any, Tick], Any]
Done = Generator[tuple[int, Any], None, None]  # (i, result) of the i-th spec, as soon as it is done


class CannotSend(Exception):
    """Worker processes cannot do this work; the message says why. This process can."""


class Failed(Exception):
    """The work on a spec raised; the message is the exception in one line."""


class WorkerDied(Exception):
    """Worker processes ended in the middle of a unit, again and again; the message names it."""


def attempt(work: Work, spec: Any, images: Any, labels: Any, tick: Tick) -> Any:
    """Do a unit. Raises Failed for whatever it raises, Ctrl-C excepted."""
    try:
        return work(spec, images, labels, tick)
    except (Exception, SystemExit) as error:
        raise Failed(told(error)) from error


def name_of(spec: Any) -> str:
    """A spec in a few words, for a message."""
    named = ", ".join(f"{key} {value}" for key, value in spec.items()) if isinstance(spec, Mapping) else str(spec)
    words = " ".join(named.split())
    return words if len(words) < 100 else f"{words[:97]}..."
