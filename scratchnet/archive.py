"""Reading arrays from an .npz file that may be damaged, foreign or made to do harm: all that is expected or nothing."""

from __future__ import annotations

import math
import os
import zipfile
from collections.abc import Mapping
from typing import Any, BinaryIO

import numpy as np

from scratchnet.files import cut

VERSION = (1, 0)  # of the .npy format: what NumPy writes for arrays of numbers; its header is at most 64 KiB long
PACKED = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)  # as NumPy packs; zipfile unpacks others without a limit


class NetworkFileError(ValueError):
    """A file does not hold this network's parameters; the message says what differs."""


def read_arrays(
    source: str | os.PathLike[str] | BinaryIO, shapes: Mapping[str, tuple[int, ...]], dtype: Any
) -> dict[str, np.ndarray]:
    """The arrays of these names and shapes from an .npz file, as `dtype`, a floating-point type.

    `source` is a path or a seekable binary file. Names are compared before anything is unpacked, and each array's shape
    and type before its numbers are: a small file cannot fill the memory. Raises NetworkFileError where the file is
    damaged, holds other arrays, or finite numbers that `dtype` cannot hold; OSError where `source` cannot be opened.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return _read(file, os.fspath(source), shapes, np.dtype(dtype))
    return _read(source, getattr(source, "name", "the data"), shapes, np.dtype(dtype))


def _read(file: BinaryIO, path: str, shapes: Mapping[str, tuple[int, ...]], dtype: np.dtype) -> dict[str, np.ndarray]:
    try:
        if file.read(6) == b"\x93NUMPY":
            raise NetworkFileError("is not an .npz file of parameters: it is a single array")
        with zipfile.ZipFile(file) as archive:
            members = {member.filename.removesuffix(".npy"): member for member in archive.infolist()}
            if members.keys() != shapes.keys() or len(archive.infolist()) != len(shapes):
                raise NetworkFileError(f"holds {_listed(archive)}, and this network has {cut(', '.join(shapes))}")
            return {name: _array(archive, members[name], name, shapes[name], dtype) for name in shapes}
    except NetworkFileError as error:
        raise NetworkFileError(f"{path} {error}") from None
    # zipfile, its decompressors and the parser of NumPy's headers raise whatever damaged bytes bring them to
    except Exception as error:
        said = cut(str(error)) or type(error).__name__
        raise NetworkFileError(f"{path} is not an .npz file of parameters: {said}") from error


def _listed(archive: zipfile.ZipFile) -> str:
    names = [name.removesuffix(".npy") for name in archive.namelist()]
    return cut(", ".join(names)) or "nothing"


def _array(
    archive: zipfile.ZipFile, member: zipfile.ZipInfo, name: str, shape: tuple[int, ...], dtype: np.dtype
) -> np.ndarray:
    """One array, after a look at its header."""
    if member.compress_type not in PACKED:
        raise NetworkFileError(f"has {name} packed by method {member.compress_type}, expected one that NumPy uses")
    with archive.open(member) as file:
        if np.lib.format.read_magic(file) != VERSION:
            raise NetworkFileError(f"has {name} in another version of NumPy's format than {VERSION}")
        found, columns_first, stored = np.lib.format.read_array_header_1_0(file)
        if found != shape:
            raise NetworkFileError(f"has {name} of shape {found}, and the network {shape}")
        if stored.kind != "f":
            raise NetworkFileError(f"has {name} of type {stored}, expected floating-point numbers")
        size = math.prod(shape) * stored.itemsize
        content = file.read(size + 1)  # one byte more, so that zipfile comes to the end and checks the CRC
    if len(content) != size:
        more = "more" if len(content) > size else f"{len(content):,}"
        raise NetworkFileError(f"has {name} damaged: expected {size:,} bytes of numbers, got {more}")
    A = np.frombuffer(content, stored).reshape(shape, order="F" if columns_first else "C")
    with np.errstate(all="ignore"):
        numbers = A.astype(dtype)
        lost = np.isfinite(A) & ~np.isfinite(numbers)
    if lost.any():
        raise NetworkFileError(f"has {name} with {A[lost].flat[0]:g}, which is too large for the network's {dtype}")
    return numbers
