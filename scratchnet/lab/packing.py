"""What can be sent to a worker process, as bytes: everything that it finds by a name of its own."""

from __future__ import annotations

import ast
import functools
import io
import os
import pickle
import sys
import types
from pathlib import Path
from typing import Any

from scratchnet.lab.parts import told
from scratchnet.lab.work import CannotSend


def pack(work: Any) -> bytes:
    """`work` as bytes for a worker process. Raises CannotSend where there is something in it that it cannot find."""
    file = io.BytesIO()
    try:
        _Packer(file, protocol=5).dump(work)
    except CannotSend:
        raise
    except Exception as error:  # pickle raises PicklingError, AttributeError, TypeError, …
        raise CannotSend(told(error)) from error
    return file.getvalue()


class _Packer(pickle.Pickler):
    """Pickle sends a function by its name. That of `__main__` is no use to a worker that has another `__main__`."""

    def reducer_override(self, obj: Any) -> Any:
        if isinstance(obj, (type, types.FunctionType)):
            if "<" in obj.__qualname__:
                raise CannotSend(f"{obj.__qualname__.rpartition('.')[2]} is a lambda or a local function")
            if obj.__module__ == "__main__" and obj.__qualname__ not in _importable_names():
                raise CannotSend(f"{obj.__qualname__} is defined in __main__")
        return NotImplemented


def _importable_names() -> set[str]:
    """The functions and classes of a script that worker processes may import: one with a main guard, in a file."""
    path = getattr(sys.modules["__main__"], "__file__", None) or ""
    try:
        return _names_in(path, os.stat(path).st_mtime_ns)
    except (OSError, SyntaxError, ValueError):
        return set()


@functools.cache
def _names_in(path: str, changed: int) -> set[str]:
    body = ast.parse(Path(path).read_bytes()).body
    guarded = any(isinstance(node, ast.If) and "__name__" in ast.unparse(node.test) for node in body)
    return {node.name for node in body if isinstance(node, (ast.FunctionDef, ast.ClassDef))} if guarded else set()
