"""What numbers depend on: a key for each unit of work, and the versions and kernels that everything is made with."""

from __future__ import annotations

import ast
import copyreg
import dataclasses
import functools
import hashlib
import json
import os
import platform
import sys
import time
import types
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any

import numpy as np

import scratchnet
from scratchnet.lab.parts import FromFile, file_digest
from scratchnet.lab.script import script

PACKAGE = Path(scratchnet.__file__).parent


class Indescribable(Exception):
    """Something in a spec, such as a lambda, has no description that would be the same tomorrow."""


# --- the key of a unit ------------------------------------------------------------------------------------------------


def key(work: Any, spec: Any, data: str = "") -> str:
    """A SHA-256 digest of everything that decides a unit's result, but for `environment`; `data` is the dataset's.

    Equal keys mean equal results. The converse need not hold: a unit that is said in other words, such as gain=2 and
    gain=2.0, is only done again. Raises Indescribable.
    """
    try:
        text = json.dumps([described(work), described(spec), data])
    except RecursionError:
        raise Indescribable(f"{type(spec).__name__} refers to itself") from None
    except ValueError as error:  # an integer of more than 4,300 digits
        raise Indescribable(str(error)) from None
    return hashlib.sha256(text.encode()).hexdigest()


def described(x: Any) -> Any:
    """`x` as lists, strings and numbers, for JSON: functions by name and source, files and arrays by content.

    What may hold more than is seen here, such as a subclass of a number or of a dict, has no description.
    """
    if x is None or type(x) in (bool, int, float, str):
        return x  # JSON has 17 digits of a float, which are all
    if isinstance(x, FromFile):
        return ["file", x.name, *(digest for _, digest in x.files)]
    if isinstance(x, (type, types.FunctionType, types.BuiltinFunctionType)) or _is_found_by_name(x):
        return _named(x)
    if isinstance(x, types.MethodType):
        return ["method", described(x.__self__), _named(x.__func__)]
    if type(x) is functools.partial:
        return ["partial", described(x.func), described(x.args), described(x.keywords), described(vars(x))]
    if (type(x) is np.ndarray or isinstance(x, np.generic)) and x.dtype.kind in "biufcSUmM":
        order = list(x.strides)  # on which the rounding of a sum depends
        return ["array", x.dtype.str, list(x.shape), order, hashlib.sha256(x.tobytes()).hexdigest()]
    if isinstance(x, (list, tuple, range)) and not hasattr(x, "__dict__"):  # a NamedTuple is a tuple too
        return [_named(type(x)), *map(described, x)]
    if type(x) is dict:
        return [_named(type(x)), *([described(name), described(value)] for name, value in x.items())]
    if isinstance(x, Enum):
        return [_named(type(x)), x.name]
    if _holds_no_more(x):  # such as an activation, or a dataclass
        return [_named(type(x)), described(object.__getstate__(x))]  # with what is in __slots__
    raise Indescribable(f"{type(x).__name__} has no description")


def _is_found_by_name(x: Any) -> bool:
    """Whether what a module has under the name of `x` is `x`: np.tanh and np.sort are no functions of Python's."""
    found: Any = sys.modules.get(str(getattr(x, "__module__", None)))
    for name in str(getattr(x, "__qualname__", None)).split("."):
        found = getattr(found, name, None)
    return getattr(found, "__func__", found) is x  # of a class method, what is found is bound to its class


def _holds_no_more(x: Any) -> bool:
    """Whether an object is nothing but its attributes: none of its classes is one of C's."""
    kind = type(x)
    if not all(base.__flags__ & 1 << 9 for base in kind.__mro__[:-1]):  # Py_TPFLAGS_HEAPTYPE: no int, list, ndarray
        return False
    if kind.__reduce__ is not object.__reduce__ or kind.__reduce_ex__ is not object.__reduce_ex__:
        return False
    try:
        x.__reduce_ex__(2)  # which refuses what is written in C, such as a lock
    except Exception:
        return False
    return kind not in copyreg.dispatch_table


def _named(x: Any) -> list[str]:
    """A function or class by its module and name, with a digest of the file that it is in."""
    if "<" in x.__qualname__:
        raise Indescribable(f"{x.__qualname__.rpartition('.')[2]} is a lambda or a local function")
    if x.__module__ is None:  # a method of an object of Python's own, such as a list
        raise Indescribable(f"{x.__qualname__} belongs to no module")
    if not _is_found_by_name(x):  # functools.wraps gives a function the name of another one
        raise Indescribable(f"{x.__module__}.{x.__qualname__} is another one")
    if x.__module__ == "__main__" and (late := script().late.get(x.__qualname__)):
        raise Indescribable(f"{x.__qualname__} reads {late}, which the file alone does not tell")
    return [x.__module__, x.__qualname__, _source(x.__module__)]


_seen: dict[str, str] = {}  # path → digest, as it was when it was first asked for
_began = time.time_ns()


def _source(module: str) -> str:
    """A digest of the file of a module; none of a module without a file that is no part of Python or NumPy."""
    if module == "builtins" or module.partition(".")[0] == "numpy":
        return ""
    path = getattr(sys.modules.get(module), "__file__", None) or ""
    try:
        changed = os.stat(path).st_mtime_ns
        digest = _digest(path, changed)
    except OSError:
        raise Indescribable(f"{module} is no file") from None
    except (SyntaxError, ValueError) as error:
        raise Indescribable(f"{path} is no valid Python any more: {error}") from None
    late = changed > _began and not Path(path).is_relative_to(PACKAGE)  # by the clock, which may be wrong
    if _seen.setdefault(path, digest) != digest or late:
        raise Indescribable(f"{path} has changed: nobody knows which one this process has imported")
    return digest


@functools.cache
def _digest(path: str, changed: int) -> str:
    """Of what the file holds, but for a function called `judge`: it works on results, and to mend it loses none."""
    if Path(path).suffix != ".py":
        return file_digest(path)
    body = ast.parse(Path(path).read_bytes()).body
    kept = [ast.unparse(node) for node in body if getattr(node, "name", None) != "judge"]
    return hashlib.sha256("\n".join(kept).encode()).hexdigest()


def part_files(x: Any) -> dict[str, str]:
    """Path → digest of each FILE.py in `x`, wherever in it, and of those that it imports from its own folder."""
    if isinstance(x, FromFile):
        return dict(x.files)
    if isinstance(x, functools.partial):
        x = [x.func, x.args, *x.keywords.values()]
    elif dataclasses.is_dataclass(x) and not isinstance(x, type):
        x = [getattr(x, field.name) for field in dataclasses.fields(x)]
    inside = map(part_files, x) if isinstance(x, (list, tuple)) else ()
    return {path: digest for files in inside for path, digest in files.items()}


# --- what everything is made with -------------------------------------------------------------------------------------


def environment() -> dict[str, str]:
    """What the numbers are made with. Where all but "platform" is equal, the same work gives the same bits.

    The BLAS library chooses its kernels by the processor, and NumPy its loops: so both choices are here. `code` is a
    digest of this package's files, but for those that only tell or judge what was found.
    """
    from threadpoolctl import threadpool_info

    config: Any = np.show_config(mode="dicts")
    blas = config["Build Dependencies"]["blas"]
    loaded = [one for one in threadpool_info() if one["user_api"] == "blas"]
    own = [one for one in loaded if "numpy" in one["filepath"]] or loaded  # others may have come with other packages
    kernels = {f"{one['internal_api']} {one['version']} {one.get('architecture', '')}".strip() for one in own}
    return {
        "python": platform.python_version(),
        "numpy": np.__version__,
        "scratchnet": scratchnet.__version__,
        "code": _code(),
        "platform": platform.platform(),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "kernels": ", ".join(sorted(kernels)) or "unknown",
        "simd": " ".join(config.get("SIMD Extensions", {}).get("found", [])),
    }


@functools.cache
def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(("report/", "lab/studies/")):
            digest.update(place.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two environments and may change the bits: "numpy 2.1.0, now 2.2.0"."""
    names = [name for name in {**then, **now} if name != "platform" and then.get(name) != now.get(name)]
    return [f"{name} {then.get(name, 'unknown')}, now {now.get(name, 'unknown')}" for name in names]
