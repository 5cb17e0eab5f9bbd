"""A reader's answers: load them, call them, and say in a sentence what is wrong with what they return."""

import copy
import importlib.util
import linecache
import math
import numbers
import traceback
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np


class Wrong(Exception):
    """An answer is wrong; the message says why."""


class NotFilled(Exception):
    """The stub is as it was; the message says what to fill in."""


def load(path: Path) -> ModuleType:
    """The reader's file as a module. Raises Wrong where it is not there or does not run."""
    linecache.checkcache()
    spec = importlib.util.spec_from_file_location(f"answers_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise Wrong(f"There is no file {path}: `git checkout` brings back the stubs.")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except SyntaxError as error:
        raise Wrong(
            f"Line {error.lineno}, `{(error.text or '').strip()}`: Python cannot read it ({error.msg})."
        ) from None
    except (Exception, SystemExit) as error:
        raise Wrong(_raised(error, path)) from None
    return module


def answer(module: ModuleType, name: str) -> Any:
    if not hasattr(module, name):
        raise Wrong(f"The file has no {name} any more: take the name of the stub again.")
    return getattr(module, name)


COMPUTE_A_NEW_ARRAY = (
    "It changed an array that it was given, and the caller still needs it. Compute a new array: `A = A * b` does; `A *= b` "
    "and `A[i] = …` do not, unless A is a copy (`A = A.copy()`)."
)


def call(function: Callable[..., Any], *arguments: Any, unchanged: str = COMPUTE_A_NEW_ARRAY) -> Any:
    """function(*arguments), which may neither raise nor change an array that it is given; else `unchanged` is told."""
    if not callable(function):
        raise Wrong(f"It is a {type(function).__name__}, expected a function: keep the `def` line of the stub.")
    given = copy.deepcopy(arguments)
    try:
        with np.errstate(all="ignore"):
            result = function(*given)
    except NotImplementedError as error:
        stub = traceback.extract_tb(error.__traceback__)[-1].name
        if stub != getattr(function, "__name__", stub):
            raise NotFilled(f"It calls {stub}, which is not filled yet.") from None
        raise NotFilled("Replace the line `raise NotImplementedError`; the docstring says what to compute.") from None
    except (Exception, SystemExit) as error:
        code = getattr(function, "__code__", getattr(getattr(function, "__init__", None), "__code__", None))
        raise Wrong(_raised(error, Path(code.co_filename if code else ""))) from None
    for before, after in zip(arguments, given, strict=True):
        if isinstance(before, np.ndarray) and not np.allclose(before, after, rtol=1e-9, atol=1e-12):
            raise Wrong(unchanged)
    return result


def _raised(error: BaseException, path: Path) -> str:
    """The reader's own line that raised, and the error; `path` is the reader's file."""
    lines = [frame for frame in traceback.extract_tb(error.__traceback__) if Path(frame.filename) == path]
    where = f"Line {lines[-1].lineno}, `{lines[-1].line}`, raised " if lines else "The call raised "
    hint = ""
    if isinstance(error, ValueError) and ("matmul" in str(error) or "broadcast" in str(error)):
        hint = "\nWrite the shape of each array beside its name: the inner sizes of a product must be equal."
    elif isinstance(error, np.exceptions.AxisError):
        hint = "\nAxis 0 (or −2) runs over the examples, axis −1 over the units."
    return f"{where}{type(error).__name__}: {str(error) or 'no message'}.{hint}"


def several(result: Any, names: Sequence[str]) -> list[Any]:
    """The values of a function that returns more than one."""
    if not isinstance(result, (tuple, list)) or len(result) != len(names):
        got = f"{len(result)} values" if isinstance(result, (tuple, list)) else _kind(result)
        raise Wrong(f"It returns {got}, expected {len(names)}: `return {', '.join(names)}`.")
    return list(result)


def _kind(value: Any) -> str:
    if value is None:
        return "None (is a `return` missing?)"
    return f"one array of shape {value.shape}" if isinstance(value, np.ndarray) else f"one {type(value).__name__}"


def expect(name: str, got: Any, right: Any, mistakes: Mapping[str, Any] | None = None, rtol: float = 1e-7) -> None:
    """Raise Wrong unless the array `got` is `right`; where it equals one of the `mistakes`, by that one's sentence."""
    right = np.asarray(right)
    if not isinstance(got, (np.ndarray, numbers.Number)) or np.asarray(got).dtype.kind not in "biuf":
        expected = f"an array of numbers of shape {right.shape}" if right.shape else "a number"
        raise Wrong(f"{name} is {_kind(got)}, expected {expected}.")
    got = np.asarray(got)
    if _close(got, right, rtol):
        return
    for sentence, mistake in (mistakes or {}).items():
        if _close(got, np.asarray(mistake), rtol):
            raise Wrong(sentence)
    if got.shape != right.shape:
        hint = " It is transposed." if got.shape == right.shape[::-1] else ""
        raise Wrong(f"{name} has the shape {got.shape}, expected {right.shape}.{hint}")
    if not np.isfinite(got).all():
        i = tuple(int(k) for k in np.argwhere(~np.isfinite(got))[0])
        raise Wrong(f"{name}{_index(i)} is {got[i]}, expected {right[i]:.4g}.")
    with np.errstate(all="ignore"):
        ratios = got[right != 0] / right[right != 0]
    if ratios.size > 1 and np.allclose(ratios, ratios[0], rtol=1e-6) and np.allclose(got[right == 0], 0):
        if ratios[0] == 0:
            raise Wrong(f"{name} is 0 everywhere.")
        raise Wrong(f"Every element of {name} is {ratios[0]:.4g} times what it should be.")
    wrong = np.argwhere(~np.isclose(got, right, rtol=rtol, atol=1e-12))
    i = tuple(int(k) for k in wrong[0])
    count = f"; {len(wrong)} of {right.size} elements are wrong" if right.size > 1 else ""
    raise Wrong(f"{name}{_index(i)} is {got[i]:.4g}, expected {right[i]:.4g}{count}.")


def _close(got: np.ndarray, right: np.ndarray, rtol: float) -> bool:
    return got.shape == right.shape and np.allclose(got, right, rtol=rtol, atol=1e-12)


def _index(i: tuple[int, ...]) -> str:
    return str(list(i)) if i else ""


def expect_prediction(got: Any, right: float, mistakes: Mapping[str, float], within: float = 0.01) -> None:
    """Raise Wrong unless the number `got` is `right` within a share; where it is one of `mistakes`, by its sentence."""
    if got is None:
        raise NotFilled("Put a number in the place of None before you measure.")
    if isinstance(got, bool) or not isinstance(got, (int, float, np.number)):
        raise Wrong(f"It is {got!r}, expected a number.")
    if abs(got) > 1e300:
        raise Wrong("It is infinite, or as good as that. Measure it: the page says how.")
    if math.isclose(got, right, rel_tol=within):
        return
    for sentence, mistake in mistakes.items():
        if math.isclose(got, mistake, rel_tol=within):
            raise Wrong(sentence)
    raise Wrong(f"It is not {got:.4g}. Measure it: the page says how.")
