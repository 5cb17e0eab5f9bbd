"""Damage real IDX and .npz files in a million ways: each has to be refused in one sentence, or read as what it says.

    python scripts/fuzz.py                         100,000 of each kind, in a minute or so
    python scripts/fuzz.py idx --count 1000000     a million of one kind

A damaged file is a small file of Fashion-MNIST's kind, or a saved network, with bytes changed, cut out, put in, moved
or repeated. "Refused": IdxError or NetworkFileError with one line, and for a network nothing has changed. "Read": the
array holds exactly the bytes that the file has after its header, and a network exactly what was saved. Anything else is
a fault: it is counted, its input is written to --out, and the exit code is 1.
"""

from __future__ import annotations

import argparse
import gzip
import io
import multiprocessing
import struct
import sys
import tracemalloc
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from tqdm import tqdm

from scratchnet import init
from scratchnet.archive import NetworkFileError
from scratchnet.data.idx import IdxError, read_idx
from scratchnet.files import must_be_writable
from scratchnet.lab.processes import cores
from scratchnet.network import Network, mlp

# --- settings -----------------------------------------------------------------------------------------------------

BATCH = 2_000  # files for one call of a worker process
MEMORY = 64 << 20  # bytes: a small file that takes more than this is a fault
REFUSED, READ, FAULT = "refused", "read", "anything else"
INTERESTING = np.array([0, 1, 7, 8, 13, 14, 31, 32, 127, 128, 254, 255], np.uint8)


class Fault(NamedTuple):
    kind: str
    reason: str
    content: bytes


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("kinds", nargs="*", metavar="KIND", help=f"any of: {', '.join(KINDS)} (default: all)")
    add("--count", type=cli.whole(1), default=100_000, metavar="N", help="files of each kind (default 100,000)")
    add("--seed", type=cli.whole(0), default=0, metavar="N", help="of the damage (default 0)")
    add("--jobs", type=cli.whole(1), metavar="N", help="worker processes (default: one a core)")
    add("--out", type=cli.folder, default=Path("results"), metavar="FOLDER", help="folder for faults (default results)")
    args = parser.parse_args()
    if unknown := [kind for kind in args.kinds if kind not in KINDS]:
        parser.error(f"there is no kind {unknown[0]!r}; there are {', '.join(KINDS)}")
    return args


# --- the files ----------------------------------------------------------------------------------------------------


def idx_files() -> list[bytes]:
    """IDX files of each element type: images, labels, a single number, and no examples at all."""
    rng = np.random.default_rng(0)
    files = []
    for code, dtype in {8: ">u1", 9: ">i1", 11: ">i2", 12: ">i4", 13: ">f4", 14: ">f8"}.items():
        for shape in ((3, 4, 4), (20,), (), (0, 28, 28)):
            header = bytes([0, 0, code, len(shape)]) + np.array(shape, ">u4").tobytes()
            files.append(header + rng.integers(0, 100, shape).astype(dtype).tobytes())
    return files


@cache
def files_of(kind: str) -> list[bytes]:
    if kind == "idx":
        return idx_files()
    if kind == "idx.gz":
        return [gzip.compress(content, mtime=0) for content in idx_files()]
    stored, packed = io.BytesIO(), io.BytesIO()
    np.savez(stored, **saved())
    np.savez_compressed(packed, **saved())
    return [stored.getvalue(), packed.getvalue()]


def network(seed: int) -> Network:
    return mlp([3, 2, 2]).apply(init.linear(init.he_normal, rng=np.random.default_rng(seed)))


@cache
def saved() -> dict[str, Any]:
    return {f"{i}.{name}": getattr(network(1).layers[i], name) for i in (0, 2) for name in ("W", "b")}


def damaged(content: bytes, rng: np.random.Generator) -> bytes:
    """`content` with one to four things done to it; half of the time near its start or end, where the headers are."""
    changed = bytearray(content)
    for _ in range(1 + rng.integers(4)):
        n = len(changed)
        if n < 2:
            break
        at, other = (int(i) for i in rng.integers(n, size=2))
        if rng.integers(2):
            at = at % min(n, 64) if rng.integers(2) else n - 1 - at % min(n, 200)
        length = 1 + int(rng.integers(1, 12)) ** 2 % 40
        match rng.integers(8):
            case 0:
                changed[at] ^= 1 << int(rng.integers(8))
            case 1:
                changed[at] = int(rng.choice(INTERESTING))
            case 2:
                changed[at : at + 4] = struct.pack(">I" if rng.integers(2) else "<I", int(rng.integers(1 << 32)))
            case 3:
                del changed[at : at + length]
            case 4:
                del changed[at:]
            case 5:
                changed[at:at] = rng.bytes(length)
            case 6:
                changed[at : at + length] = changed[other : other + length]
            case 7:
                changed += changed[at : at + 4 * length]
    return bytes(changed)


# --- what becomes of them -----------------------------------------------------------------------------------------


def read_as_idx(content: bytes) -> str:
    try:
        array = read_idx(io.BytesIO(content))
    except IdxError as error:
        return _sentence(error)
    plain = gzip.decompress(content) if content[:2] == b"\x1f\x8b" else content
    shape = struct.unpack(f">{plain[3]}I", plain[4 : 4 + 4 * plain[3]])
    elements = array.astype(array.dtype.newbyteorder(">")).tobytes()
    return READ if array.shape == shape and elements == plain[4 + 4 * plain[3] :] else "read as something else"


def load_as_network(content: bytes) -> str:
    loaded = network(0)
    before = loaded.theta.copy()
    try:
        loaded.load(io.BytesIO(content))
    except NetworkFileError as error:
        return _sentence(error) if np.array_equal(loaded.theta, before) else "refused, and changed"
    return READ if np.array_equal(loaded.theta, network(1).theta) else "read as something else"


def _sentence(error: Exception) -> str:
    said = str(error)
    return REFUSED if said.isprintable() and 10 < len(said) < 1000 else f"refused without a sentence: {said[:200]!r}"


KINDS: dict[str, Callable[[bytes], str]] = {"idx": read_as_idx, "idx.gz": read_as_idx, "npz": load_as_network}


def end_of(kind: str, content: bytes) -> str:
    """REFUSED, READ, or what else became of it. A warning is an exception here."""
    try:
        return KINDS[kind](content)
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def batch(job: tuple[str, int, int, int]) -> tuple[Counter, list[Fault]]:
    """Damage and read so many files; how many came to which end, and the faults."""
    kind, seed, number, count = job
    rng = np.random.default_rng([seed, list(KINDS).index(kind), number])
    found: Counter = Counter()
    faults = []
    originals = files_of(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for _ in range(count):
            content = damaged(originals[rng.integers(len(originals))], rng)
            end = end_of(kind, content)
            found[end if end in (REFUSED, READ) else FAULT] += 1
            if end not in (REFUSED, READ):
                faults.append(Fault(kind, end, content))
    return found, faults


def hungry(kind: str, seed: int) -> list[Fault]:
    """Those of a few hundred damaged files that take too much memory: measuring it is slow."""
    rng, faults = np.random.default_rng([seed, 99]), []
    tracemalloc.start()
    for _ in range(300):
        content = damaged(files_of(kind)[rng.integers(len(files_of(kind)))], rng)
        tracemalloc.reset_peak()
        end_of(kind, content)
        if (peak := tracemalloc.get_traced_memory()[1]) > MEMORY:
            faults.append(Fault(kind, f"takes {peak:,} bytes of memory", content))
    tracemalloc.stop()
    return faults


# --- one call and a table -----------------------------------------------------------------------------------------


def main() -> int:
    args = arguments()
    must_be_writable(args.out)
    kinds = args.kinds or list(KINDS)
    jobs = [
        (kind, args.seed, number, min(BATCH, args.count - start))
        for kind in kinds
        for number, start in enumerate(range(0, args.count, BATCH))
    ]
    counts: dict[str, Counter] = {kind: Counter() for kind in kinds}
    faults = [fault for kind in kinds for fault in hungry(kind, args.seed)]
    for kind in kinds:
        counts[kind][FAULT] += sum(fault.kind == kind for fault in faults)
    for (kind, *_), (found, more) in zip(jobs, done(jobs, args.jobs or cores()), strict=True):
        counts[kind] += found
        faults += more
    lines = [f"{'kind':8}{'tried':>12}{REFUSED:>12}{READ:>12}{FAULT:>16}"]
    for kind in kinds:
        ends = [counts[kind][end] for end in (REFUSED, READ, FAULT)]
        lines.append(f"{kind:8}{args.count:>12,}{ends[0]:>12,}{ends[1]:>12,}{ends[2]:>16,}")
    for i, fault in enumerate(faults[:100]):
        path = args.out / f"fuzz-{i}.{fault.kind}"
        path.write_bytes(fault.content)
        cli.complain(f"{path}: {fault.reason}")
    printed = cli.say("\n".join(lines))
    return 1 if faults or not printed else 0


def done(jobs: list[tuple[str, int, int, int]], processes: int) -> Iterator[tuple[Counter, list[Fault]]]:
    """What became of each batch, in order."""
    total = sum(count for *_, count in jobs)
    with tqdm(total=total, desc="damaged files", unit="file", unit_scale=True, disable=None) as bar:
        if processes == 1 or len(jobs) == 1:
            results = map(batch, jobs)
            for job, result in zip(jobs, results, strict=True):
                bar.update(job[-1])
                yield result
            return
        with multiprocessing.get_context("spawn").Pool(min(processes, len(jobs))) as pool:
            for job, result in zip(jobs, pool.imap(batch, jobs), strict=True):
                bar.update(job[-1])
                yield result


if __name__ == "__main__":
    cli.run(main)
