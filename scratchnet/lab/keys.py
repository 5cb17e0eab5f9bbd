"""What numbers depend on: a key for each unit of work, and the versions and kernels that everything is made with."""

from __future__ import annotations

import ast
import dataclasses
import functools
import hashlib
import json
import os
import platform
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

import scratchnet
from scratchnet.lab.parts import FromFile, told

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
        text = json.dumps([described(work), described(spec), data], ensure_ascii=False)
    except Indescribable:
        raise
    except Exception as error:  # what refers to itself, an integer of more than 4,300 digits, a class of strange ways
        raise Indescribable(told(error)) from None
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def described(x: Any) -> Any:
    """`x` as lists, strings and numbers, for JSON: functions and classes by name and source, all else by what it holds.

    A name says what a thing is only in this package, in NumPy and among Python's own. A module of yours may set its
    globals, make a function twice, or have been edited since Python began: what is in it needs to be a `FromFile`.
    """
    kind = type(x)
    if x is None or kind in (bool, int, float, str):
        return x  # JSON has 17 digits of a float, which are all
    if kind is FromFile:
        folder = os.path.dirname(x.path)
        return ["file", x.name, *([os.path.relpath(path, folder), digest] for path, digest in x.files)]
    if isinstance(x, type) or (callable(x) and kind.__module__ in ("builtins", "numpy")):
        return _named(x)
    if kind is functools.partial:
        return ["partial", *map(described, (x.func, x.args, x.keywords, vars(x)))]
    plain = kind is np.ndarray or (isinstance(x, np.generic) and kind.__module__ == "numpy")
    if plain and x.dtype.char in PLAIN:
        order = list(x.strides)  # on which the rounding of a sum depends
        return [kind.__name__, x.dtype.str, list(x.shape), order, hashlib.sha256(x.tobytes()).hexdigest()]
    if kind is dict:
        return ["dict", *([described(name), described(value)] for name, value in x.items())]
    if kind in (list, tuple, range):
        return [kind.__name__, *map(described, x)]
    if isinstance(x, tuple):  # a NamedTuple
        return [_named(kind), *map(described, x)]
    if kind.__module__.startswith("scratchnet."):  # such as an activation
        return [_named(kind), described(object.__getstate__(x))]
    raise Indescribable(f"{kind.__name__} has no description")


# The types of an array whose bytes are all that it holds: numbers but for longdouble, which has padding; text; times.
PLAIN = "?" + np.typecodes["AllInteger"] + "efdFDSUmM"


def _named(x: Any) -> list[str]:
    """A function or class of this package, of NumPy or of Python by its module and name, with a digest of its file."""
    module, name = str(getattr(x, "__module__", None)), str(getattr(x, "__qualname__", None))
    if "<" in name:
        raise Indescribable(f"{name.rpartition('.')[2]} is a lambda or a local function")
    if module.partition(".")[0] not in ("builtins", "numpy", "scratchnet"):
        advice = f'give it as FromFile("FILE.py", "{name}")'
        raise Indescribable(f"{name} of {module} may be another one next time: {advice}")
    if getattr(sys.modules.get(module), name, None) is not x:  # such as what functools.wraps has given a name
        raise Indescribable(f"{module} has something else under the name {name}")
    return [module, name, note(module)]


_seen: dict[str, str] = {}  # path → digest, as it was when it was first asked for


def imported() -> dict[str, str]:
    """Digests of the code of this package as this process has imported it: of what makes numbers, and of each study."""
    found = {"code": _CODE}
    for module in [*sys.modules]:
        if module.startswith("scratchnet.lab.studies."):
            with suppress(Indescribable):  # it has changed since then
                note(module)
            found[module] = _seen.get(str(sys.modules[module].__file__), "")[:16]
    return found


def edited() -> bool:
    """Whether files of this package that make numbers have changed since this process imported them: 3 ms."""
    try:
        return _code() != _CODE
    except OSError:  # one is just being replaced
        return True


def note(module: str) -> str:
    """A digest of the file of a module of this package, "" for others: Python's and NumPy's are in the environment.

    What it is when it is first asked for is what this process has imported: a study asks while it is imported.
    """
    if not module.startswith("scratchnet."):
        return ""
    path = str(sys.modules[module].__file__)
    try:
        digest = _digest(path, os.stat(path).st_mtime_ns)
    except (OSError, SyntaxError, ValueError) as error:
        raise Indescribable(f"{path} is not what it was: {error}") from None
    if _seen.setdefault(path, digest) != digest:
        raise Indescribable(f"{path} has changed: nobody knows which one this process has imported")
    return digest


@functools.cache
def _digest(path: str, changed: int) -> str:
    """Of what the file holds, but for a function called `judge`: it works on results, and to mend it loses none."""
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
    digest of this package's files, but for those that only tell or judge what was found. Where they have changed since
    they were imported, as in a notebook, nobody knows what runs, and `code` is like no other.
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
        "code": f"{_CODE}, but changed since, at {time.time():.6f}" if edited() else _CODE,
        "platform": platform.platform(),
        "blas": f"{blas.get('name', 'unknown')} {blas.get('version', '')}".strip(),
        "kernels": ", ".join(sorted(kernels)) or "unknown",
        "simd": " ".join(config.get("SIMD Extensions", {}).get("found", [])),
    }


def _code() -> str:
    digest = hashlib.sha256()
    for path in sorted(PACKAGE.rglob("*.py")):
        place = path.relative_to(PACKAGE).as_posix()
        if not place.startswith(("report/", "lab/studies/")) and "/." not in f"/{place}":  # editors make .names
            digest.update(place.encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()[:16]


_CODE = _code()


def differences(then: Mapping[str, str], now: Mapping[str, str]) -> list[str]:
    """What differs between two environments and may change the bits: "numpy 2.1.0, now 2.2.0"."""
    names = [name for name in {**then, **now} if name != "platform" and then.get(name) != now.get(name)]
    return [f"{name} {then.get(name, 'unknown')}, now {now.get(name, 'unknown')}" for name in names]
