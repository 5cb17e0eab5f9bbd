"""The standard streams of a script: none of them fails, whatever becomes of the terminal, the pipe or the disk."""

from __future__ import annotations

import io
import os
import sys
from typing import Any


def make_ready() -> None:
    """Open the streams that are closed, and let none fail, not even for a character that its encoding lacks."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:  # closed: a file opened later would get its number, and its content
            os.open(os.devnull, os.O_RDWR)
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "r" if name == "stdin" else "w", encoding="utf-8"))  # noqa: SIM115
    sys.stdout, sys.stderr = _without_errors(sys.stdout), _without_errors(sys.stderr)


class _Dropping(io.BufferedIOBase):
    """The bytes of a text stream. What a full disk, a closed pipe or a lost terminal does not take is dropped."""

    def __init__(self, stream: Any) -> None:
        self.stream = stream  # kept, since it closes its bytes when nobody uses it any more
        self.bytes = getattr(stream.buffer, "raw", stream.buffer)  # `python -u` has nothing in between
        self.error: OSError | None = None

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self.bytes.fileno()

    def isatty(self) -> bool:
        return self.bytes.isatty()

    def write(self, data: Any) -> int:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[self.bytes.write(rest) or len(rest) :]
        except OSError as error:
            self.error = error
        return len(data)


def _without_errors(stream: Any) -> Any:
    by_line = stream.line_buffering or stream.write_through
    dropping: Any = _Dropping(stream)
    return io.TextIOWrapper(dropping, stream.encoding, errors="replace", line_buffering=by_line)


def refused() -> OSError | None:
    """Why standard output has not taken everything, if that is an error: a closed pipe is none."""
    sys.stdout.flush()
    error = getattr(sys.stdout.buffer, "error", None)
    return None if isinstance(error, BrokenPipeError) else error
