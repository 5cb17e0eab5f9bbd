"""Parts of a comparison by name: a scheme, an activation, an optimizer or a network, of this package or of your own.

    he_normal    orthogonal:gain=1.3    my.py:mine    my.py:mine:gain=2,mode=fan_out

A part is something to call. What is found here can be sent to a worker process: a function or class of this package,
or a `FromFile`, which the worker loads by its path, with arguments bound by `functools.partial`.
"""

from __future__ import annotations

import ast
import difflib
import functools
import hashlib
import importlib.util
import inspect
import math
import os
import re
import sys
import sysconfig
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
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
PACKAGE = Path(__file__).resolve().parent.parent

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

# What literal_eval does not know.
NUMBERS = {"true": True, "false": False, "inf": math.inf, "-inf": -math.inf, "nan": math.nan}

MODULE = "scratchnet_part_"  # how the name of a FILE.py's module begins

# Modules that exist once in a process, whatever lies beside a file.
KEPT = {"scratchnet", "numpy", *sys.stdlib_module_names}


class PartError(ValueError):
    """A part cannot be used; the message says which, why and what to do."""


@dataclass(frozen=True)
class FromFile:
    """A function or class in a Python file. It is loaded by the file's path, in each process anew.

    `files` are that file and those that it imports from its own folder, each with its digest: what they are now, if
    not given. A process that finds other ones raises PartError, since one run has one version of a file.
    """

    path: str
    name: str
    files: tuple[tuple[str, str], ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "path", os.path.abspath(self.path))
        files = [(os.path.abspath(path), digest) for path, digest in self.files]
        object.__setattr__(self, "files", tuple(files) or digests(self.path))

    @property
    def target(self) -> Part:
        return getattr(_module(self.path, self.files), self.name)

    @property
    def __name__(self) -> str:
        return self.name

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self.target(*args, **kwargs)


def own_files(path: str | Path) -> list[Path]:
    """A Python file and those that it imports from its own folder, and so on; each once, the file itself first.

    Of a package, all files count. What is not valid Python imports nothing. Raises OSError.
    """
    files = [Path(path)]
    for file in files:  # which grows meanwhile
        for name in _imported(file.read_bytes()):
            near = files[0].parent / name
            found = [near.with_name(f"{name}.py")] if near.with_name(f"{name}.py").is_file() else []
            found += sorted(near.rglob("*.py")) if near.is_dir() and near.resolve() != PACKAGE else []
            files += [other for other in found if other not in files]
    return files


def _imported(source: bytes) -> dict[str, None]:
    """The first names of the modules that a file imports; relative imports, which only packages have, left out."""
    try:
        nodes = list(ast.walk(ast.parse(source)))
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return {}
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module and not node.level]
    return dict.fromkeys(name.partition(".")[0] for name in names)


def file_digest(path: str | Path) -> str:
    """The SHA-256 digest of a file, as `sha256sum` prints it. Raises OSError."""
    return hashlib.sha256(Path(path).read_bytes()).hexdigest()


def digests(path: str) -> tuple[tuple[str, str], ...]:
    """Each of `own_files` with its digest. Raises PartError where one cannot be read."""
    try:
        with _loading:  # in several threads at once, Python 3.11 miscounts how deep it parses
            return tuple((str(file), file_digest(file)) for file in own_files(path))
    except OSError as error:
        raise PartError(f"{error.filename or path} cannot be read: {error.strerror}") from None


def load_file(path: str) -> ModuleType:
    """The module in the file `path`, executed once, and again after it or a file that it imports has changed.

    Raises PartError where there is no such file, or where it cannot be executed. As for a script, the file's own folder
    is searched for the modules that it imports, while it is executed.
    """
    return _module(path, digests(path))


_loading = threading.RLock()  # since what lies beside a file is taken out of sys.modules meanwhile


def _module(path: str, files: tuple[tuple[str, str], ...]) -> ModuleType:
    with _loading:
        return _executed(path, files)


@functools.cache
def _executed(path: str, files: tuple[tuple[str, str], ...]) -> ModuleType:
    name = f"{MODULE}{Path(path).stem}_{abs(hash(path))}"
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise PartError(f"{path} is no Python file: its name must end in .py")
    _unchanged(path, files)
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module  # dataclasses and pickle look a class's module up there
    try:
        with _neighbours(Path(path).parent) as found:
            spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        del sys.modules[name]
        raise PartError(f"{path} cannot be loaded: {told(error, path)}") from error
    _unchanged(path, files)  # nor has it meanwhile
    if unknown := found - {file for file, _ in files}:
        raise PartError(f"{path} loads {min(unknown)} in a way that nobody can follow: write `import` and its name")
    return module


def _unchanged(path: str, files: tuple[tuple[str, str], ...]) -> None:
    now = digests(path)
    if now != files:
        [(changed, _), *_] = sorted(set(files) ^ set(now)) or [(path, "")]
        raise PartError(f"{changed} has changed since this run began: start again")


@contextmanager
def _neighbours(folder: Path) -> Iterator[set[str]]:
    """While a file of `folder` is executed, the modules beside it are found first, and they are forgotten afterwards.

    So two files in two folders may each have a neighbour called helper. Yields a set that then has the files of those
    that were imported.
    """
    beside = {file.stem for file in folder.glob("*.py")} | {file.parent.name for file in folder.glob("*/__init__.py")}
    modules = sys.modules.copy()  # other threads may import meanwhile
    lie = {name for name in modules if _lies_beside(name, folder)}
    tops = {name.partition(".")[0] for name in {*modules} - lie} & beside - KEPT
    tops |= {name.partition(".")[0] for name in lie if _may_have_changed(name)}
    earlier = {name: module for name, module in modules.items() if name.partition(".")[0] in tops}
    for name in earlier:
        del sys.modules[name]
    before, cached = set(sys.modules), sys.dont_write_bytecode
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # a neighbour that changes twice in a second would be taken for its bytecode
    files: set[str] = set()
    try:
        yield files
    finally:
        with suppress(ValueError):  # the file has taken it out itself
            sys.path.remove(str(folder))
        sys.dont_write_bytecode = cached
        for name in [name for name in sys.modules.copy() if name not in before and _lies_beside(name, folder)]:
            file = getattr(sys.modules.pop(name), "__file__", None) or ""
            files |= {file} if file.endswith(".py") else set()
        sys.modules.update(earlier)


def _lies_beside(name: str, folder: Path) -> bool:
    """Whether a module is `folder`/NAME.py or in the package `folder`/NAME, and not in a virtual environment there."""
    top, module = name.partition(".")[0], getattr(sys.modules.get(name), "__dict__", {})  # some invent what they lack
    places = [module.get("__file__"), *(module.get("__path__") or ())]  # a package may have no file
    within = [str(place)[len(f"{folder}{os.sep}") :] for place in places if str(place).startswith(f"{folder}{os.sep}")]
    return top not in KEPT and any(re.split(r"[./\\]", place)[0] == top for place in within)


_began = time.time()


def _may_have_changed(name: str) -> bool:
    """Whether a module's file was changed after this package was imported, and so perhaps after its own import."""
    try:
        return os.stat(getattr(sys.modules.get(name), "__file__", None) or "").st_mtime > _began
    except OSError:
        return False


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


def came_from_a_file(error: BaseException) -> bool:
    """Whether an exception was raised in a FILE.py, or in what that called."""
    frames = (frame for frame, _ in traceback.walk_tb(error.__traceback__))
    return any(str(frame.f_globals.get("__name__")).startswith(MODULE) for frame in frames)


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
    module = _module(part.path, part.files)
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
        if name in values:
            raise PartError(f"{text.rpartition(':')[0]} has {name!r} twice")
        if name not in names and not (takes_any and name not in GIVEN[kind]):
            has = f"it has {', '.join(names)}" if names else "it has none that can be set"
            raise PartError(f"{text.rpartition(':')[0]} has no argument {name!r}; {has}")
        try:
            values[name] = ast.literal_eval(value)
        except (ValueError, SyntaxError):
            values[name] = NUMBERS.get(value.lower(), value)  # else a word, such as mode=fan_out
        except (RecursionError, MemoryError):
            raise PartError(f"the argument {name!r} of {text.partition(':' + name)[0]} is nested too deeply") from None
        if any(p.name == name and isinstance(p.default, bool) for p in parameters) and values[name] not in (0, 1):
            raise PartError(f"{text.partition(':' + name)[0]} has {name}={value}: expected True or False")
        if not _plain(values[name]):
            shown = value if len(value) <= 40 else f"{value[:39]}…"
            expected = "a number, a word, True, False, None, or a list, tuple or dict of these"
            raise PartError(f"{text.partition(':' + name)[0]} has {name}={shown}: expected {expected}")
    return values


def _plain(value: Any) -> bool:
    """Whether an argument can be described, written to JSON and sent to a worker."""
    if isinstance(value, dict):
        return all(map(_plain, [*value, *value.values()]))
    if isinstance(value, (list, tuple)):
        return all(map(_plain, value))
    return value is None or isinstance(value, (float, str)) or (isinstance(value, int) and value.bit_length() <= 1024)


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
