"""Parts of a comparison by name: a scheme, an activation, an optimizer or a network, of this package or of your own.

    he_normal    orthogonal:gain=1.3    my.py:mine    my.py:mine:gain=2,mode=fan_out

A part is something to call. What is found here can be sent to a worker process: a function or class of this package,
or a `FromFile`, which the worker loads by its path, with arguments bound by `functools.partial`.
"""

from __future__ import annotations

import ast
import difflib
import functools
import importlib.util
import inspect
import os
import re
import sys
import sysconfig
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from scratchnet import init, layers
from scratchnet.network import mlp
from scratchnet.normalization import BatchNorm, LayerNorm
from scratchnet.optim import SGD, Adam
from scratchnet.residual import residual_mlp

Part = Callable[..., Any]

ACTIVATIONS: dict[str, Part] = {
    "identity": layers.Identity,
    "relu": layers.ReLU,
    "leaky_relu": layers.LeakyReLU,
    "prelu": layers.PReLU,
    "tanh": layers.Tanh,
    "sigmoid": layers.Sigmoid,
    "elu": layers.ELU,
    "selu": layers.SELU,
    "gelu": layers.GELU,
    "silu": layers.SiLU,
}
NORMALIZATIONS: dict[str, Part] = {"layer": LayerNorm, "batch": BatchNorm}
OPTIMIZERS: dict[str, Part] = {
    "adam": Adam,
    "sgd": SGD,
    "momentum": functools.partial(SGD, momentum=0.9),
}
NETWORKS: dict[str, Part] = {"mlp": mlp, "residual_mlp": residual_mlp}

# What a comparison gives to each kind of part, by position or by name: nobody else may.
GIVEN = {
    "initialization": {"shape", "rng", "fan_in", "phi", "network", "X", "labels"},
    "activation": set(),
    "normalization": {"gamma", "beta"},
    "optimizer": {"theta", "grad", "learning_rate"},
    "network": {"sizes", "activation", "normalization", "dropout", "rng", "dtype", "replicas"},
}


class PartError(ValueError):
    """A part cannot be used; the message says which, why and what to do."""


@dataclass(frozen=True)
class FromFile:
    """A function or class in a Python file. It is loaded by the file's path, in each process anew."""

    path: str
    name: str

    @property
    def target(self) -> Part:
        return getattr(load_file(self.path), self.name)

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.target(*args, **kwargs)


def load_file(path: str) -> ModuleType:
    """The module in the file `path`, executed once, and again after the file has changed.

    Raises PartError where there is no such file, or where it cannot be executed. As for a script, the file's own folder
    is searched for the modules that it imports.
    """
    try:
        return _module(path, os.stat(path).st_mtime_ns)
    except OSError as error:
        raise PartError(f"{path} cannot be read: {error.strerror}") from None


@functools.cache
def _module(path: str, changed: int) -> ModuleType:
    name = f"scratchnet_part_{Path(path).stem}_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PartError(f"{path} is no Python file: its name must end in .py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    sys.path.insert(0, str(Path(path).parent))
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PartError(f"{path} cannot be loaded: {told(error, path)}") from error
    finally:
        sys.path.remove(str(Path(path).parent))
    return module


def told(error: BaseException, path: str | None = None) -> str:
    """An exception in one line: its message, and the last line of a reader's file that it passed through."""
    text = " ".join(str(error).split())
    if not isinstance(error, ValueError) or not text:  # a ValueError's message is a sentence by itself
        text = f"{type(error).__name__}: {text}".removesuffix(": ")
    if isinstance(error, SyntaxError):
        return text
    others = (str(Path(__file__).parent.parent), sysconfig.get_path("stdlib"), "<frozen")
    for frame in reversed(traceback.extract_tb(error.__traceback__)):
        own = os.path.abspath(frame.filename) == path if path else not frame.filename.startswith(others)
        if own and "site-packages" not in frame.filename:
            return f"{text} ({Path(frame.filename).name}, line {frame.lineno})"
    return text


def find(text: str, known: Mapping[str, Part], kind: str) -> Part:
    """The part that `text` names: NAME, one of `known`, or FILE.py:NAME; then perhaps arguments, as in NAME:gain=2,k=3.

    `kind` is a key of GIVEN. Raises PartError, in one sentence, for a name, a file or an argument that does not exist.
    """
    match = re.fullmatch(r"(?:(?P<file>.+\.py):)?(?P<name>[^:=]*)(?::(?P<arguments>.*))?", text)
    if match is None or not match["name"]:
        raise PartError(f"expected a NAME, NAME:ARGUMENT=VALUE or FILE.py:NAME, got {text!r}")
    if match["name"].endswith(".py"):
        raise PartError(f"{text} names a file: name the {kind} in it too, as in {match['name']}:NAME")
    part = _in_file(match["file"], match["name"], kind) if match["file"] else _known(match["name"], known, kind)
    if match["arguments"] is None:
        return part
    return functools.partial(part, **_arguments(text, match["arguments"], part, kind))


def _known(name: str, known: Mapping[str, Part], kind: str) -> Part:
    names = {key.lower(): key for key in known}
    if name.lower() in names:
        return known[names[name.lower()]]
    near = difflib.get_close_matches(name.lower(), names, n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise PartError(f"there is no {kind} {name!r}; {hint} (one of your own is FILE.py:NAME)")


def _in_file(file: str, name: str, kind: str) -> FromFile:
    part = FromFile(os.path.abspath(os.path.expanduser(file)), name)
    module = load_file(part.path)
    if not hasattr(module, name):
        own = [key for key, value in vars(module).items() if getattr(value, "__module__", None) == module.__name__]
        raise PartError(f"{file} has no {name!r}; it has {', '.join(own) if own else 'no functions or classes'}")
    if not callable(part.target):
        raise PartError(f"{name} in {file} is {type(part.target).__name__}: expected a function or class ({kind})")
    return part


def _arguments(text: str, arguments: str, part: Part, kind: str) -> dict[str, Any]:
    parameters = inspect.signature(target(part)).parameters.values()
    names = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    names = [name for name in names if name not in GIVEN[kind]]
    takes_any = any(p.kind is p.VAR_KEYWORD for p in parameters)
    values: dict[str, Any] = {}
    for pair in arguments.split(","):
        name, _, value = (piece.strip() for piece in pair.partition("="))
        if not (name and value):
            raise PartError(f"expected ARGUMENT=VALUE in {text!r}, got {pair!r}")
        if name not in names and not (takes_any and name not in GIVEN[kind]):
            has = f"it has {', '.join(names)}" if names else "it has none that can be set"
            raise PartError(f"{text.rpartition(':')[0]} has no argument {name!r}; {has}")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = value  # a word, such as mode=fan_out
    return values


def target(part: Part) -> Part:
    """The function or class itself, without bound arguments."""
    while isinstance(part, functools.partial):
        part = part.func
    return part.target if isinstance(part, FromFile) else part


def describe(part: Part) -> str:
    """A part in the words of the command line, as far as there are some: tanh, leaky_relu:slope=0.2, my.py:Mine."""
    for known in (ACTIVATIONS, NORMALIZATIONS, OPTIMIZERS, NETWORKS, init.SCHEMES, init.PREPARATIONS):
        for name, value in known.items():
            if part is value:
                return name
    if isinstance(part, FromFile):
        return f"{Path(part.path).name}:{part.name}"
    if isinstance(part, functools.partial):
        return f"{describe(part.func)}:{','.join(f'{name}={value}' for name, value in part.keywords.items())}"
    # before 2.2, NumPy's ufuncs have no __qualname__
    return getattr(part, "__qualname__", None) or getattr(part, "__name__", None) or type(part).__name__
