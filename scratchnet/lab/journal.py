"""What a run has finished so far, in a file: each unit as soon as it is done, so that no end of the run loses it.

A line is a checksum and a list in JSON: the header, then [key, result] for each unit. There is one writer, the process
that owns the folder. A line that was torn by a kill or a full disk is cut off, and a unit that is written twice does no
harm. Results are decoded from numbers and text alone: nothing that is read is executed.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import math
import os
import re
import shutil
import sys
import time
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.data import Dataset
from scratchnet.files import check_owned, set_aside
from scratchnet.lab.experiment import Run
from scratchnet.lab.keys import Indescribable, described, differences, edited, environment, key
from scratchnet.lab.work import Done, Tick, Work

# Seconds. A line is in the system's hands at once, where a kill leaves it, and on the disk too, unless the one before
# was written so shortly before it: then with the next one, or when the file is closed. A disk takes up to 20 ms.
SYNC = 0.1
Execute = Callable[[Work, Sequence[Any], Dataset, Tick], Done]


class Journal:
    """The units that a run on `dataset` has finished, in the file `path`, which is made when the first is recorded.

    `run` says what the run is: anything that `keys.described` describes. If the file is of another run, or was made
    where the same work may give other bits, such as with another NumPy, then it is moved to a folder `earlier/DATE`
    with the `results` beside it, which are names of files. If such a folder has the file of this run, it comes back.
    `say` is told of both. Raises OSError where the file cannot be read or written, and Indescribable for such a run.
    """

    def __init__(
        self,
        path: Path,
        dataset: Dataset,
        run: Any = None,
        say: Callable[[str], Any] = print,
        results: Sequence[str] = (),
    ) -> None:
        self._file: Any = None
        self.path, self.data = path, dataset.sha256
        self.header = [described(run), self.data, environment()]
        self._places: dict[str, tuple[int, int]] = {}  # key → where its line starts, and how long it is
        self._synced = 0.0
        self.unknown = ""  # why a unit has no key
        self._looked, self._edited = -math.inf, False  # when, and whether files of this package have changed
        self._headed = False  # whether what is added to the file stands below the header of this run
        reason = self._read() if path.exists() else f"there is no {path.name}"
        if not reason:
            return
        if aside := set_aside(path.parent, [path.name, *results]):
            say(f"what an earlier run had finished is now in {aside}, and is not used: {reason}")
        if place := self._bring_back():
            say(f"what an earlier start of this run had finished was in {place}, and is used")

    # --- units ---

    def key(self, work: Work, spec: Any) -> str | None:
        """The key of a unit; None for one that cannot be described, which is not recorded."""
        if time.monotonic() - self._looked > 1:
            self._looked, self._edited = time.monotonic(), edited()
        try:
            if self._edited:
                raise Indescribable("files of scratchnet have changed since they were imported")
            return key(work, spec, self.data)
        except Indescribable as error:
            self.unknown = str(error)
            return None

    def has(self, work: Work, spec: Any) -> bool:
        """Whether the unit was finished earlier."""
        return self.key(work, spec) in self._places

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: str | None) -> bool:
        return key in self._places

    def __getitem__(self, key: str) -> Any:
        """The result of the unit with this key."""
        start, length = self._places[key]
        file = self._open()
        file.seek(start)
        return decoded(_content(file.read(length))[1])

    def __setitem__(self, key: str | None, result: Any) -> None:
        """Record a unit as finished, unless it has no key. Raises Indescribable for what is no plain data."""
        if key is None:
            return
        line = _line([key, encoded(result)])
        file = self._open()
        if not self._headed:
            self._write(_line(self.header))
            self._headed = True
        start = file.seek(0, os.SEEK_END)
        self._write(line)
        self._places[key] = start, len(line)

    # --- the file ---

    def close(self) -> None:
        """Let go of the file, which stays."""
        if self._file is not None:
            with suppress(OSError, ValueError):  # ValueError: Python is ending, and has closed it
                os.fsync(self._file.fileno())
            self._file.close()
            self._file = None

    __del__ = close

    def remove(self) -> None:
        """The run is complete, and its results are elsewhere. Raises OSError if the folder is another one by now."""
        check_owned(self.path.parent)
        self.close()
        self.path.unlink(missing_ok=True)
        self._places, self._headed = {}, False

    def _open(self) -> Any:
        if self._file is None:
            check_owned(self.path.parent)
            self._file = open(self.path, "a+b", buffering=0)  # noqa: SIM115
        return self._file

    def _write(self, line: bytes) -> None:
        """All of a line, or none of it."""
        start = self._file.seek(0, os.SEEK_END)
        try:
            rest = memoryview(line)
            while rest:
                rest = rest[self._file.write(rest) :]
            if time.monotonic() - self._synced > SYNC:
                os.fsync(self._file.fileno())
                self._synced = time.monotonic()
        except OSError as error:
            with suppress(OSError):
                self._file.truncate(start)
            raise OSError(error.errno, error.strerror, str(self.path)) from None

    def _read(self) -> str:
        """Find the lines, and cut off what was torn at the end. Returns why the file cannot be used, or "".

        Where somebody has put two files together, there is a second header, and what is below it counts if it is equal.
        """
        end = 0
        with open(self.path, "rb") as file:
            for line in file:
                start, content = _last(line)
                if end == 0 and (reason := self._differs(content)):
                    return reason
                if isinstance(content, list) and len(content) == len(self.header):
                    self._headed = not self._differs(content)
                elif self._headed and isinstance(content, list) and len(content) == 2 and isinstance(content[0], str):
                    self._places[content[0]] = end + start, len(line) - start
                end += len(line)
                torn = 0 if line.endswith(b"\n") else len(line)
        if end and torn:
            self._open().truncate(end - torn)
        return ""

    def _bring_back(self) -> Path | None:
        """Move the latest file of this run back from `earlier`, where another run has put it. Returns its folder."""
        places = self.path.parent.glob(f"earlier/*/{self.path.name}")
        for path in sorted(places, key=lambda path: path.stat().st_mtime, reverse=True):
            header = None
            with suppress(OSError), open(path, "rb") as file:
                _, header = _last(file.readline())
            if not self._differs(header):
                shutil.move(path, self.path)  # `earlier` may be a link to another disk
                self._read()
                with suppress(OSError):
                    path.parent.rmdir()
                return path.parent
        return None

    def _differs(self, header: Any) -> str:
        if not (isinstance(header, list) and len(header) == 3 and isinstance(header[2], Mapping)):
            return "it cannot be read"
        if header[:2] != json.loads(json.dumps(self.header[:2])):
            return "its settings or its data were others"
        return "; ".join(differences(header[2], self.header[2]))


def _line(content: Any) -> bytes:
    text = json.dumps(content, separators=(",", ":")).encode()
    return b"%08x %s\n" % (zlib.crc32(text), text)


def _content(line: bytes) -> Any:
    """What a line holds. Raises ValueError where it is not whole."""
    if line[-1:] != b"\n" or int(line[:8], 16) != zlib.crc32(line[9:-1]):
        raise ValueError("a torn line")
    return json.loads(line[9:-1])


def _last(line: bytes) -> tuple[int, Any]:
    """Where in a line something whole begins, and what it holds: None if there is nothing, and it is done again.

    It is the line itself but where a file that ends in a torn line was followed by another one.
    """
    for begin in re.finditer(rb"[0-9a-f]{8} \[", line):
        with suppress(ValueError):
            return begin.start(), _content(line[begin.start() :])
    return 0, None


def recorded(
    execute: Execute, journal: Journal, work: Work, specs: Sequence[Any], dataset: Dataset, tick: Tick
) -> Done:
    """What the journal has of the specs; then `execute` does the others, and each is recorded when it is finished.

    One line on stderr says of what cannot be recorded, and why. Raises ValueError for a dataset that is not the
    journal's.
    """
    from tqdm import tqdm

    if dataset.sha256 != journal.data:
        raise ValueError(f"the journal {journal.path} is of a dataset with SHA-256 {journal.data}, not of this one")
    keys = [journal.key(work, spec) for spec in specs]
    if unknown := keys.count(None):
        said = f"{unknown} of {len(specs)} units are not recorded, and a kill loses them: {journal.unknown}"
        tqdm.write(f"scratchnet: {said}", file=sys.stderr)
    rest, warned = [], False
    for i, known in enumerate(keys):
        if known is not None and known in journal:
            yield i, journal[known]
        else:
            rest.append(i)
    done = execute(work, [specs[i] for i in rest], dataset, tick)
    try:
        for j, result in done:
            try:
                journal[keys[rest[j]]] = result
            except Indescribable as error:
                if not warned:
                    tqdm.write(f"scratchnet: results are not recorded, and a kill loses them: {error}", file=sys.stderr)
                warned = True
            yield rest[j], result
    finally:
        done.close()


# --- results as JSON --------------------------------------------------------------------------------------------------

_PLAIN = "biufcSU"  # kinds of array that are bytes and nothing else


def encoded(x: Any) -> Any:
    """A result for JSON, from which `decoded` makes it again, to the last bit. Raises Indescribable."""
    if x is None or type(x) in (bool, int, float, str):
        return x
    if type(x) is list:
        return [encoded(value) for value in x]
    if type(x) is tuple:
        return {"tuple": [encoded(value) for value in x]}
    if type(x) is dict:
        return {"dict": [[encoded(name), encoded(value)] for name, value in x.items()]}
    if isinstance(x, Run):
        return {"Run": [encoded(getattr(x, field.name)) for field in dataclasses.fields(Run)]}
    if isinstance(x, (np.ndarray, np.generic)) and x.dtype.kind in _PLAIN and x.dtype.isnative:
        kind = "array" if type(x) is np.ndarray else "scalar"
        order: Any = "F" if x.flags.fnc else "C"  # a sum's rounding depends on it
        return {kind: [x.dtype.str, list(x.shape), order, base64.b64encode(x.tobytes(order)).decode()]}
    raise Indescribable(f"{type(x).__name__} is no plain data")


def decoded(x: Any) -> Any:
    """The result that `encoded` was given."""
    if isinstance(x, list):
        return [decoded(value) for value in x]
    if not isinstance(x, dict):
        return x
    [(kind, content)] = x.items()
    if kind == "tuple":
        return tuple(decoded(value) for value in content)
    if kind == "dict":
        return {decoded(name): decoded(value) for name, value in content}
    if kind == "Run":
        return Run(*map(decoded, content))
    dtype, shape, order, data = content
    A = np.frombuffer(bytearray(base64.b64decode(data)), dtype).reshape(shape, order=order)
    return A if kind == "array" else A[()]
