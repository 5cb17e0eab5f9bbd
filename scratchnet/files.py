"""Writing files safely: a file is complete or absent, a run owns its folder, and an earlier run's results are kept."""

from __future__ import annotations

import errno
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime
from pathlib import Path
from typing import IO

HALF = ".*.scratchnet-????????.tmp"  # the names that `_temporary` makes, and no others
TAKEN = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)  # another process has the lock


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """Yield the path of a temporary file in the same folder, which replaces `path` at the end of the `with` block.

    If the block raises an exception, the temporary file is removed and `path` stays as it was. The replacement is one
    atomic step: `path` is always either the old file or the complete new one, after a power cut too. If two processes
    write the same path, the last one wins and their content is never mixed. An OSError that names no file, as that of
    a full disk does not, is raised with the name of this one. Raises OSError where `check_owned` does.
    """
    path = Path(path)
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "expected the name of a file, and this is a folder", str(path))
    check_owned(path.parent)
    file, temporary = _temporary(path)
    try:
        yield temporary
        # mkstemp makes files private; give the result the usual permissions of a new file
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        with open(temporary, "r+b") as content:
            os.fsync(content.fileno())  # before the name is on the disk: 0.3 ms
        os.replace(temporary, path)
        _sync_names(path.parent)
    except OSError as error:
        check_owned(path.parent)  # "no such file", since the folder has been moved
        if error.errno is None or error.filename is not None:
            raise
        raise OSError(error.errno, error.strerror, str(path)) from error
    finally:
        file.close()
        temporary.unlink(missing_ok=True)


def _temporary(path: Path) -> tuple[IO[str], Path]:
    """A new file beside `path`. It is locked where files can be, so that `clear` does not take it for a leftover."""
    while True:
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.scratchnet-", suffix=".tmp")
        file = open(handle, "w", encoding="utf-8")  # noqa: SIM115
        if sys.platform == "win32":  # which renames no open file
            file.close()
            return file, Path(name)
        try:
            _lock(file)
            mine = os.path.exists(name)
        except OSError as error:
            mine = error.errno not in TAKEN  # this file system has no locks
        if mine:
            return file, Path(name)
        file.close()  # `clear` was faster


def _sync_names(folder: Path) -> None:
    """Let the names in a folder be on the disk now, where a system can do that."""
    if sys.platform != "win32":
        with suppress(OSError):
            handle = os.open(folder, os.O_RDONLY)
            try:
                os.fsync(handle)
            finally:
                os.close(handle)


def clear(folder: Path) -> None:
    """Remove what killed processes have left half written in `folder`, in which others may be writing meanwhile."""
    for left in folder.glob(HALF) if sys.platform != "win32" else ():
        with suppress(OSError), open(left, "r+", encoding="utf-8") as file:
            _lock(file)
            left.unlink()


def must_be_writable(folder: Path) -> None:
    """Create `folder` if necessary, and raise OSError if no file can be written to it. Call this before long work."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


_mine: dict[str, os.stat_result] = {}  # the folders that this process owns → their lock files


class Owned(OSError):
    """Another run owns the folder; the message says which."""


@contextmanager
def owning(folder: Path) -> Iterator[None]:
    """Create `folder` if necessary, and be the only run that writes to it, until the end of the `with` block.

    The lock is on the file `.lock` and dies with this process, however that ends; whoever moves the folder moves it
    too: see `check_owned`. What a killed run has left half written is removed. Raises Owned where another run has the
    folder, and OSError where it cannot be written to: so call this before long work.
    """
    must_be_writable(folder)
    path, place = folder / ".lock", os.path.abspath(folder)
    with _locked(path) as lock:
        own = os.fstat(lock.fileno())
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        for left in folder.glob(HALF):
            if left.is_file():
                left.unlink(missing_ok=True)
        _mine[place] = own
        try:
            yield
        finally:
            del _mine[place]
            with suppress(OSError):  # Windows removes no open file
                if os.path.samestat(os.stat(path), own):
                    path.unlink()


def check_owned(folder: Path) -> None:
    """Raise OSError if this process owns `folder` but another one stands in its place now. Call this before writing.

    So a run whose folder is moved does no harm to the next one, which makes a new folder of the same name.
    """
    own = _mine.get(os.path.abspath(folder))
    if own is None:
        return
    with suppress(OSError):
        if os.path.samestat(os.stat(folder / ".lock"), own):
            return
    raise OSError(
        f"the folder {folder} was moved or replaced while this run wrote to it; what it had written is in the old one: "
        "move that back, and start again"
    )


@contextmanager
def _locked(path: Path) -> Iterator[IO[str]]:
    """The file, locked. Whoever had it may have removed it meanwhile: then there is another one to lock."""
    while True:
        with open(path, "a+", encoding="utf-8") as file:
            try:
                _lock(file)
            except OSError as error:
                if error.errno in TAKEN:
                    file.seek(0)
                    owner = f"another run (process {file.read() or 'unknown'})"
                    raise Owned(f"{owner} owns {path.parent}: wait until it has ended, or give another --out") from None
                # else this file system has no locks: a run without one is better than none
            try:
                same = os.path.samestat(os.stat(path), os.fstat(file.fileno()))
            except FileNotFoundError:
                same = False
            if same:
                yield file
                return


def _lock(file: IO[str]) -> None:
    """Lock a file for this process alone, at once or not at all."""
    if sys.platform == "win32":
        import msvcrt

        file.seek(1 << 30)  # beyond the number, which others may read
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
    else:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def set_aside(folder: Path, names: Iterable[str]) -> Path | None:
    """Move the files in `folder` that are called one of `names` to a new folder `earlier/DATE`, and return its path.

    So a new run can write its results without overwriting those of an earlier run. Returns None if there was no file
    to move. Raises OSError where there can be no such folder, and where `check_owned` does.
    """
    check_owned(folder)
    present = [folder / name for name in names if (folder / name).exists()]
    if not present:
        return None
    stamp = datetime.fromtimestamp(max(path.stat().st_mtime for path in present)).strftime("%Y-%m-%d-%H%M%S")
    aside = folder / "earlier" / stamp
    try:
        aside.parent.mkdir(exist_ok=True)  # alone: that something else has this name is no reason to try another DATE
        for number in itertools.count(2):
            try:
                aside.mkdir()
                break
            except FileExistsError:
                aside = folder / "earlier" / f"{stamp}-{number}"
    except OSError as error:
        reason = f"no folder can be made in {aside.parent} ({error.strerror})"
        raise OSError(
            f"an earlier run's files stay in {folder}, since {reason}: mend that, or give another --out"
        ) from None
    for path in present:
        shutil.move(path, aside / path.name)  # `earlier` may be a link to another disk
    return aside


LONGEST = 200  # characters that are repeated of what somebody else wrote


def cut(text: str) -> str:
    """`text` as one line that does nothing to a terminal: control characters are escaped, and what is long is cut."""
    text = text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)
