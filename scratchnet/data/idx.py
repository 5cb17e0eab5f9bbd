"""The IDX format: arrays in a file, as MNIST and its relatives are published.

An IDX file is a header and the numbers, all big-endian:

    byte 0, 1        0, 0
    byte 2           the type of the elements, one of TYPES
    byte 3           the number of dimensions, d
    d × 4 bytes      the length of each dimension, unsigned
    the rest         the elements, the last dimension running fastest

often compressed as a whole by gzip. Source: LeCun, Cortes & Burges, "The MNIST database", the file format section.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scratchnet.files import replacing

# 0x0A is not defined.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CODES = {np.dtype(name): code for code, name in TYPES.items()}

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20


class IdxError(ValueError):
    """A file is not IDX, or not whole, or an array cannot be stored as IDX; the message says what is wrong."""


def read_idx(source: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """The array in an IDX file, compressed or not (its content tells), in the machine's byte order.

    `source` is a path, or a binary file that can seek. Raises IdxError where it is not exactly one whole IDX array.
    Whatever the header claims, no more memory is taken than the numbers that are really there.
    """
    if isinstance(source, (str, os.PathLike)):
        with open(source, "rb") as file:
            return _read(file, os.fspath(source))
    return _read(source, getattr(source, "name", "the data"))


def _read(file: BinaryIO, path: str) -> np.ndarray:
    compressed = file.read(2) == GZIP_MAGIC
    file.seek(0)
    try:
        if not compressed:
            return _parse(file, path)
        with gzip.GzipFile(fileobj=file) as plain:
            return _parse(plain, path)
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise IdxError(f"{path} is a damaged or truncated gzip file ({error})") from error


def _parse(file: BinaryIO | gzip.GzipFile, path: str) -> np.ndarray:
    magic = file.read(4)
    if len(magic) < 4:
        raise IdxError(f"{path} is no IDX file: it has {len(magic)} bytes, and the header alone has at least 4")
    zero, code, ndim = magic[:2], magic[2], magic[3]
    if zero != b"\0\0":
        raise IdxError(f"{path} is no IDX file: it starts with the bytes {zero.hex(' ')}, and IDX with 00 00")
    if code not in TYPES:
        known = ", ".join(f"0x{known:02X}" for known in TYPES)
        raise IdxError(f"{path} has elements of the type 0x{code:02X}, and IDX knows {known}")
    lengths = file.read(4 * ndim)
    if len(lengths) < 4 * ndim:
        raise IdxError(f"{path} ends in its header: {ndim} dimensions need {4 * ndim} bytes, {len(lengths)} are there")
    shape = tuple(int(n) for n in np.frombuffer(lengths, ">u4"))
    dtype = np.dtype(TYPES[code])
    expected = math.prod(shape) * dtype.itemsize
    content = bytearray()  # grows with what is there, not with what the header claims
    while chunk := file.read(min(CHUNK, expected + 1 - len(content))):
        content += chunk
    if len(content) != expected:
        came = "more" if len(content) > expected else f"{len(content):,}"
        raise IdxError(f"{path} should hold {expected:,} bytes of numbers, {shape} of {dtype.name}, and holds {came}")
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # over 64 dimensions, or lengths whose product overflows beside a 0
        raise IdxError(f"{path} has {ndim} dimensions {shape}, which NumPy cannot hold ({error})") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def write_idx(path: str | os.PathLike[str], array: np.ndarray, *, compress: bool | None = None) -> None:
    """Write `array` as an IDX file, whole or not at all; by default compressed where the name ends in ".gz".

    Equal arrays give equal files: the gzip header carries no time. Raises IdxError for a type that IDX lacks.
    """
    # NumPy's variable-length strings have no byte order to ask for
    big_endian = array.dtype.newbyteorder(">") if array.dtype.kind in "iuf" else array.dtype
    if big_endian not in CODES:
        known = ", ".join(dtype.name for dtype in CODES)
        raise IdxError(f"IDX cannot store {array.dtype} numbers: convert the array to one of {known}")
    if max(array.shape, default=0) >= 1 << 32:
        raise IdxError(f"IDX stores lengths in 32 bits, and the array has the shape {array.shape}")
    header = bytes([0, 0, CODES[big_endian], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(big_endian, copy=False).tobytes()
    if compress or (compress is None and Path(path).suffix == ".gz"):
        content = gzip.compress(content, mtime=0)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
