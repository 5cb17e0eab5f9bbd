"""Fashion-MNIST: 70,000 pictures of clothes. Finds the files on this machine or downloads them, and verifies them.

The dataset has four gzipped IDX files: the images and the labels of 60,000 training and 10,000 test examples. An image
has 28 × 28 bytes, from 0 (background) to 255 (brightest), and a label is a number from 0 to 9.
Source: Xiao, Rasul & Vollgraf 2017, arXiv 1708.07747.
"""

from __future__ import annotations

import hashlib
import os
import sys
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np

from scratchnet.data.download import Failure, Mirror, download, share
from scratchnet.data.idx import GZIP_MAGIC, read_idx
from scratchnet.files import clear, must_be_writable, replacing

CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)

MIRRORS = (
    "https://storage.googleapis.com/tensorflow/tf-keras-datasets/",
    "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/",
    "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com/",
)


@dataclass(frozen=True)
class File:
    """A published file: its name, and the size and SHA-256 of it and of the uncompressed IDX file inside."""

    name: str
    size: int  # bytes
    sha256: str
    idx_size: int
    idx_sha256: str

    @property
    def idx_name(self) -> str:
        return self.name.removesuffix(".gz")

    @property
    def largest(self) -> int:
        """The size of the larger one of the two."""
        return max(self.size, self.idx_size)


FILES = (
    File(
        "train-images-idx3-ubyte.gz",
        26_421_880,
        "3aede38d61863908ad78613f6a32ed271626dd12800ba2636569512369268a84",
        47_040_016,
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
    ),
    File(
        "train-labels-idx1-ubyte.gz",
        29_515,
        "a04f17134ac03560a47e3764e11b92fc97de4d1bfaf8ba1a3aa29af54cc90845",
        60_008,
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
    ),
    File(
        "t10k-images-idx3-ubyte.gz",
        4_422_102,
        "346e55b948d973a97e58d2351dde16a484bd415d4595297633bb08f03db6a073",
        7_840_016,
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
    ),
    File(
        "t10k-labels-idx1-ubyte.gz",
        5_148,
        "67da17c76eaffca5446c3361aaab5c3cd6d1c2608764d35dfb1850b086bf8dd5",
        10_008,
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
    ),
)

ADVICE = (
    "To get the images, put the four files {names} (from https://github.com/zalandoresearch/fashion-mnist) into a\n"
    "folder and give its path with --data-dir or in the environment variable SCRATCHNET_DATA. To download from\n"
    "another server, give its address in the environment variable SCRATCHNET_MIRROR."
)


class FashionMNISTUnavailable(RuntimeError):
    """The dataset is not on this machine and could not be downloaded. The message lists each attempt and its result."""


class NoSuchFolder(ValueError):
    """The folder that was named for the dataset does not exist."""


def load(
    data_dir: str | os.PathLike[str] | None = None, *, mirrors: Sequence[str] | None = None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Return (training images, training labels, test images, test labels), all uint8.

    Shapes: (60000, 28, 28), (60000,), (10000, 28, 28), (10000,).

    Looks for the files, gzipped or not, in `data_folder(data_dir)` and in its subfolder fashion-mnist. A file that is
    missing or damaged is downloaded into the subfolder, or into the folder itself if that is called fashion-mnist.
    `mirrors` are the addresses to download from, tried in order. They default to those in the environment variable
    SCRATCHNET_MIRROR, separated by spaces, and, if that is not set, to MIRRORS. With an empty sequence nothing is
    downloaded. No more than `download.PATIENCE` seconds are lost with servers that do not deliver.

    Raises FashionMNISTUnavailable if a file can be neither loaded nor downloaded, and NoSuchFolder if the folder was
    named and does not exist: it may be mistyped, so it is not created.
    """
    if mirrors is None:
        mirrors = os.environ.get("SCRATCHNET_MIRROR", "").split() or MIRRORS
    named = os.environ.get("SCRATCHNET_DATA") if data_dir is None else data_dir
    if str(named or "").startswith("~") and os.path.expanduser(named or "") == str(named):
        raise NoSuchFolder(f"there is no user whose home folder {named} could be: write the whole path")
    try:
        folder = data_folder(data_dir)
        if not folder.is_dir() and (data_dir is not None or os.environ.get("SCRATCHNET_DATA")):
            raise NoSuchFolder(
                f"there is no folder {folder}, named by {'SCRATCHNET_DATA' if data_dir is None else '--data-dir'}: "
                "check the path, or create it to download Fashion-MNIST into it"
            )
        servers = share(mirrors)
        paths = [obtain(file, folder, servers) for file in FILES]
        train_images, train_labels, test_images, test_labels = (read_idx(path) for path in paths)
    except (RuntimeError, OSError) as error:  # pathlib raises RuntimeError for a user without a home folder
        names = ", ".join(file.name for file in FILES)
        raise FashionMNISTUnavailable(f"{error}\n{ADVICE.format(names=names)}") from error
    return train_images, train_labels, test_images, test_labels


def data_folder(data_dir: str | os.PathLike[str] | None = None) -> Path:
    """Return `data_dir` if given, else the path in SCRATCHNET_DATA, else the folder scratchnet in the user's cache."""
    if data_dir is not None:
        return Path(data_dir).expanduser()
    if named := os.environ.get("SCRATCHNET_DATA"):
        return Path(named).expanduser()
    if sys.platform == "win32":
        cache = os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local"
    elif sys.platform == "darwin":
        cache = Path.home() / "Library" / "Caches"
    else:
        cache = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(cache) / "scratchnet"


def obtain(file: File, folder: Path, mirrors: list[Mirror]) -> Path:
    """Return the path of an intact copy of `file`, from `folder` or else from the first mirror that delivers one.

    The mirror that delivers is moved to the front of `mirrors`: it is the first one that is asked for the next file.

    A damaged copy is reported on stderr and downloaded again. It stays unchanged until the new copy is verified, and if
    the new copy takes its place, it is kept under another name. Raises FashionMNISTUnavailable.
    """
    tried: list[str] = []
    damaged: dict[Path, bytes | None] = {}  # path → its content, None if it is too large to be read
    for path in _places(file, folder):
        try:
            if not path.is_file():
                continue
            if (size := path.stat().st_size) > file.largest:
                tried.append(f"{path} is too large (expected at most {file.largest:,} bytes, got {size:,})")
                damaged[path] = None
                continue
            content = path.read_bytes()
        except OSError as error:
            raise FashionMNISTUnavailable(
                f"{path} cannot be read ({error.strerror or error}): change its permissions or choose another folder"
            ) from error
        try:
            _verify(content, file)
            return path
        except Failure as failure:
            tried.append(f"{path} {failure}")
            damaged[path] = content
    for line in tried:
        print(f"scratchnet: {line}", file=sys.stderr)
    target_folder = folder if folder.name == "fashion-mnist" else folder / "fashion-mnist"
    if mirrors:
        _prepare(target_folder)
        print(f"scratchnet: downloading {file.name} to {target_folder}", file=sys.stderr)
    for mirror in mirrors:
        try:
            content = download(mirror, file.name, file.size, file.largest, partial(_unpacked, file=file))
        except Failure as failure:
            tried.append(f"{mirror.address(file.name)} {failure}")
            continue
        # a server that decompresses the file sends the IDX file inside: save that under its own name
        target = target_folder / (file.name if len(content) == file.size else file.idx_name)
        try:
            with replacing(target) as temporary:
                temporary.write_bytes(content)
                if target in damaged:
                    _keep_aside(target, damaged[target])
        except OSError as error:
            raise FashionMNISTUnavailable(
                f"{target} cannot be written ({error.strerror or error}): free some disk space or choose another folder"
            ) from error
        mirrors.insert(0, mirrors.pop(mirrors.index(mirror)))
        return target
    lines = "".join(f"\n  - {line}" for line in tried)
    raise FashionMNISTUnavailable(
        f"{file.name} is not in {folder} or its subfolder fashion-mnist, and no mirror delivered it:"
        f"{lines or ' no mirrors were given.'}"
    )


def _places(file: File, folder: Path) -> Iterator[Path]:
    for place in (folder, folder / "fashion-mnist"):
        yield from (place / file.name, place / file.idx_name)


def _prepare(folder: Path) -> None:
    """Create `folder`, remove what killed downloads have left, and check that it is writable: before the download."""
    try:
        must_be_writable(folder)
        clear(folder)
    except OSError as error:
        raise FashionMNISTUnavailable(
            f"the folder {folder} cannot be written to ({error.strerror or error}): choose another one"
        ) from error


def _keep_aside(path: Path, content: bytes | None) -> None:
    """Write `content`, the damaged content of `path`, to a new file beside it.

    The damaged file is copied and not renamed, so that `path` exists at every moment. The copy's name depends on the
    content: two processes that repair the same file write the same bytes to the same name. A file that is too large to
    be copied (`content` is None) is renamed.
    """
    if content is None:
        aside = path.with_name(f"{path.name}.damaged-{path.stat().st_size}-bytes")
        path.rename(aside)
    else:
        aside = path.with_name(f"{path.name}.damaged-{_sha256(content)[:8]}")
        with replacing(aside) as temporary:
            temporary.write_bytes(content)
    print(f"scratchnet: kept the damaged file as {aside}", file=sys.stderr)


def _unpacked(content: bytes, encoding: str | None, file: File) -> bytes:
    """The `content` of an answer, verified. `encoding` is its Content-Encoding."""
    if encoding == "gzip" and content.startswith(GZIP_MAGIC) and _sha256(content) != file.sha256:
        # the server compressed the file once more although it was asked not to; in any other case the header is
        # ignored, since many servers send it with every file whose name ends in .gz
        content, _ = _unpack(content, file.largest + 1)
    _verify(content, file)
    return content


def _verify(content: bytes, file: File) -> None:
    """Raise Failure unless `content` is `file` or the IDX file inside. Its message says what `content` seems to be."""
    digest = _sha256(content)
    if digest in (file.sha256, file.idx_sha256):
        return
    inside, whole = content, len(content) >= file.idx_size
    if content.startswith(GZIP_MAGIC):
        inside, whole = _unpack(content, file.idx_size + 1)
    if inside.lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"<"):  # a page may start with a byte order mark and spaces
        raise Failure("contains an HTML page instead of the file", again=False)
    if not whole:
        message = f"is damaged or truncated (expected {file.size:,} bytes, got {len(content):,})"
        raise Failure(message, again=True)
    if _is_mnist(inside):
        raise Failure("contains the digits of MNIST, not Fashion-MNIST (their files have the same names)", again=False)
    message = f"is not the published file: expected the SHA-256 {file.sha256[:16]}…, got {digest[:16]}…"
    raise Failure(message, again=False)


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _unpack(content: bytes, limit: int) -> tuple[bytes, bool]:
    """Decompress gzipped `content`; return (what is inside, True if it is complete).

    Stops after `limit` bytes, since a small file can expand to gigabytes; such a result counts as complete. Damaged
    content gives (b"", False).
    """
    unpacker = zlib.decompressobj(wbits=31)  # 31: expect a gzip header
    try:
        inside = unpacker.decompress(content, limit)
    except zlib.error:
        return b"", False
    return inside, unpacker.eof or len(inside) == limit


def _is_mnist(idx: bytes) -> bool:
    """Recognise MNIST: its labels start with known digits; its images are darker (mean 33) than clothes (mean 73)."""
    if idx.startswith(b"\0\0\x08\x01"):
        return list(idx[8:18]) in ([5, 0, 4, 1, 9, 2, 1, 3, 1, 4], [7, 2, 1, 0, 4, 1, 4, 9, 5, 9])
    pixels = np.frombuffer(idx, np.uint8)[16:]
    return idx.startswith(b"\0\0\x08\x03") and pixels.size > 0 and bool(30 < pixels.mean() < 37)
