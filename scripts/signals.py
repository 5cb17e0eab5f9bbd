"""Ctrl-C, SIGTERM and SIGHUP: each ends a script once what is finished has been saved, wherever it meets it."""

from __future__ import annotations

import math
import signal
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

# Seconds after SIGTERM or SIGHUP in which another one is ignored, so that what is finished can be saved.
SAVING = 5.0


class Stopped(KeyboardInterrupt):
    """The process was asked to end by SIGTERM or SIGHUP: handled as Ctrl-C is."""

    def __init__(self, number: int) -> None:
        super().__init__(f"stopped by {signal.Signals(number).name}")
        self.number = number


def exit_code(stopped: BaseException | None) -> int:
    """128 + the signal's number, as shells have it: 130 for Ctrl-C."""
    return 128 + (stopped.number if isinstance(stopped, Stopped) else int(signal.SIGINT))


@contextmanager
def as_ctrl_c(came: list[tuple[float, BaseException]]) -> Iterator[None]:
    """SIGTERM and SIGHUP end a script as Ctrl-C does, where nobody has asked to ignore them (nohup).

    A second one within SAVING seconds is ignored: a terminal that is closed sends SIGHUP twice, and systemd SIGTERM and
    SIGHUP. What is raised is added to `came`, with its time.
    """
    last = -math.inf

    def stop(number: int, frame: FrameType | None) -> None:
        nonlocal last
        raised: BaseException = KeyboardInterrupt()
        if number != signal.SIGINT:
            if time.monotonic() - last <= SAVING:
                return
            last, raised = time.monotonic(), Stopped(number)
        came.append((time.monotonic(), raised))
        raise raised

    def dropped(left: Any) -> None:
        """Python drops what is raised in a destructor: then the signal comes once more, when that has ended."""
        nonlocal last
        if came and left.exc_value is came[-1][1]:
            last = -math.inf
            number = getattr(came[-1][1], "number", signal.SIGINT)
            again = threading.Timer(0.05, signal.pthread_kill, [threading.main_thread().ident, number])
            again.daemon = True
            again.start()
        else:
            sys.__unraisablehook__(left)

    names = [name for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]
    kept = {}
    for number in [getattr(signal, name) for name in names]:
        if signal.getsignal(number) in (signal.SIG_DFL, signal.default_int_handler):
            kept[number] = signal.signal(number, stop)
    if hasattr(signal, "pthread_kill"):
        sys.unraisablehook = dropped
    try:
        yield
    finally:
        sys.unraisablehook = sys.__unraisablehook__
        for number, handler in kept.items():
            signal.signal(number, handler)
        if signal.getsignal(signal.SIGINT) is signal.default_int_handler:  # a Ctrl-C from now on interrupts only the
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # end of the process, where it would show as a traceback
