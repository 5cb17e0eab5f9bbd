"""Files that are written whole or not at all, and never over something that might be wanted."""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path


@contextmanager
def replacing(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new file's path in the same folder; on success it takes `path`'s place, on any failure it is removed.

    The old file stays as it was until the new one is complete, and two writers never mix: the last one wins.
    """
    path = Path(path)
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.", suffix=".tmp")
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        # mkstemp makes files private; the result gets the permissions of any new file
        mask = os.umask(0)
        os.umask(mask)
        temporary.chmod(0o666 & ~mask)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def must_be_writable(folder: Path) -> None:
    """Make `folder` where it is not there, and OSError unless a file can be written to it: to fail before the work."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryFile(dir=folder):
        pass


def set_aside(folder: Path, names: Iterable[str]) -> Path | None:
    """Move those of `names` that are in `folder` to a new folder `earlier/DATE`; return it, or None for none.

    A new run's results then take the place of an old run's without losing them.
    """
    present = [folder / name for name in names if (folder / name).exists()]
    if not present:
        return None
    stamp = datetime.fromtimestamp(max(path.stat().st_mtime for path in present)).strftime("%Y-%m-%d-%H%M%S")
    aside = folder / "earlier" / stamp
    for n in itertools.count(2):
        try:
            aside.mkdir(parents=True)
            break
        except FileExistsError:
            aside = folder / "earlier" / f"{stamp}-{n}"
    for path in present:
        os.replace(path, aside / path.name)
    return aside
