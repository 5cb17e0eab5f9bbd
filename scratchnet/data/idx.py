"""The IDX file format, in which MNIST and Fashion-MNIST are published: one array per file.

An IDX file has a header and then the elements, all big-endian:

    byte 0, 1        0, 0
    byte 2           the type of the elements, one of TYPES
    byte 3           the number of dimensions, d
    d × 4 bytes      the length of each dimension, unsigned
    the rest         the elements, the last dimension running fastest

Often the whole file is compressed with gzip.
Source: LeCun, Cortes & Burges, "The MNIST database", the section on the file format.
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import BinaryIO

import numpy as np

from scratchnet.files import cut, replacing

# The format does not define 0x0A.
TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
CODES = {np.dtype(name): code for code, name in TYPES.items()}

GZIP_MAGIC = b"\x1f\x8b"
CHUNK = 1 << 20


class IdxError(ValueError):
    """A file is not a complete IDX file, or an array cannot be stored as one. The message says what is wrong."""


def read_idx(source: str | os.PathLike[str] | BinaryIO) -> np.ndarray:
    """Read the array in an IDX file, in the machine's byte order.

    `source` is a path or a seekable binary file. Gzip compression is recognised by the file's content, not by its name.
    Raises IdxError unless the file holds exactly one complete IDX array. Memory is allocated only for elements that the
    file really has, whatever its header claims.
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
        raise IdxError(f"{path} is not an IDX file: expected a header of at least 4 bytes, got {len(magic)}")
    zero, code, ndim = magic[:2], magic[2], magic[3]
    if zero != b"\0\0":
        raise IdxError(f"{path} is not an IDX file: expected 00 00 as the first two bytes, got {zero.hex(' ')}")
    if code not in TYPES:
        known = ", ".join(f"0x{known:02X}" for known in TYPES)
        raise IdxError(f"{path} has an unknown element type: expected one of {known}, got 0x{code:02X}")
    lengths = file.read(4 * ndim)
    if len(lengths) < 4 * ndim:
        message = f"expected {4 * ndim} bytes for the lengths of {ndim} dimensions, got {len(lengths)}"
        raise IdxError(f"{path} ends inside its header: {message}")
    shape = tuple(int(length) for length in np.frombuffer(lengths, ">u4"))
    dtype = np.dtype(TYPES[code])
    expected = math.prod(shape) * dtype.itemsize
    content = bytearray()  # grows with the bytes in the file, not with what the header claims
    while chunk := file.read(min(CHUNK, expected + 1 - len(content))):
        content += chunk
    if len(content) != expected:
        found = "more" if len(content) > expected else f"{len(content):,}"
        message = f"expected {expected:,} bytes for the shape {shape} and the type {dtype.name}, got {found}"
        raise IdxError(f"{path} does not match its header: {cut(message)}")
    try:
        array = np.frombuffer(content, dtype).reshape(shape)
    except ValueError as error:  # over 64 dimensions, or one length of 0 and others whose product overflows
        raise IdxError(f"{path} has {ndim} dimensions, which NumPy does not support: {cut(str(error))}") from error
    return array.astype(dtype.newbyteorder("="), copy=False)


def write_idx(path: str | os.PathLike[str], array: np.ndarray, *, compress: bool | None = None) -> None:
    """Write `array` to an IDX file. If writing fails, an existing file stays as it was.

    `compress` says whether to compress with gzip; by default a file is compressed if its name ends in ".gz". Equal
    arrays give equal files, since the gzip header contains no time. Raises IdxError if IDX has no such element type.
    """
    # newbyteorder raises an error for NumPy's variable-length strings
    big_endian = array.dtype.newbyteorder(">") if array.dtype.kind in "iuf" else array.dtype
    if big_endian not in CODES:
        known = ", ".join(dtype.name for dtype in CODES)
        raise IdxError(f"IDX cannot store the type {array.dtype}: convert the array to one of {known}")
    if max(array.shape, default=0) >= 1 << 32:
        raise IdxError(
            f"IDX stores lengths in 32 bits: expected each to be below {1 << 32:,}, got the shape {array.shape}"
        )
    header = bytes([0, 0, CODES[big_endian], array.ndim]) + np.array(array.shape, ">u4").tobytes()
    content = header + array.astype(big_endian, copy=False).tobytes()
    if compress or (compress is None and Path(path).suffix == ".gz"):
        content = gzip.compress(content, mtime=0)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
