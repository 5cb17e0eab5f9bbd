"""Downloads: the bytes of a file from a server that may be slow, silent, broken or malicious.

A request runs in a thread of its own, and this one waits for it no longer than it wants to. The time-outs of a socket
begin anew with every byte, so that they never end a server that sends one byte of a header every second.
"""

from __future__ import annotations

import queue
import sys
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING
from urllib.parse import urljoin, urlsplit

from scratchnet.files import cut

if TYPE_CHECKING:
    import requests

PATIENCE = 30.0  # seconds that may be lost with all servers together: see `Mirror`
SLOWEST = 50_000  # bytes per second: what comes more slowly counts as lost time
ATTEMPTS = 3  # with each server, if another attempt may help
PAUSE = 0.5  # seconds before the second attempt, twice that before the third
HOPS = 5  # redirects that are followed
TICK = 2.0  # seconds over which a speed is measured
REPORT = 10.0  # seconds between two lines on progress where there is no terminal
CHUNK = 1 << 16


class Failure(Exception):
    """A download has failed; the message completes "ADDRESS …". `again` is True if another attempt may succeed."""

    def __init__(self, reason: str, again: bool) -> None:
        super().__init__(cut(reason))
        self.again = again


@dataclass
class Mirror:
    """The address of a folder on a server, and the seconds that may still be lost with it, over all files and attempts.

    Time is lost while nothing comes. The bytes that do come make up for it, each for 1/SLOWEST seconds, but only for
    the TICK in which they come. So a fast download may take as long as it needs to, and a slow one ends.
    """

    url: str
    patience: float = PATIENCE

    def address(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{name}"


def share(urls: Sequence[str]) -> list[Mirror]:
    """The mirrors with these addresses, each with an equal share of PATIENCE."""
    return [Mirror(url, PATIENCE / len(urls)) for url in urls]


def download(mirror: Mirror, name: str, size: int, limit: int, check: Callable[[bytes, str | None], bytes]) -> bytes:
    """What `check` returns for the file `name`, in up to ATTEMPTS attempts. Raises the last one's Failure.

    `check(content, encoding)` raises Failure for content that is not the file's; `encoding` is the Content-Encoding of
    the answer. The content stays in memory until it is checked, so no partial file is ever on disk. `size` is the
    number of bytes that are expected, and `limit` the most that are taken.

    The loop is written out, since `urllib3.Retry` knows nothing of a body that breaks off, and, in the older versions
    of urllib3 that we allow, reads the whole body of an error, however long, into memory before it tries again.
    """
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return check(*_attempt(mirror, name, size, limit))
        except Failure as failure:
            if not failure.again or attempt == ATTEMPTS or mirror.patience <= PAUSE * attempt:
                raise
        time.sleep(PAUSE * attempt)
        mirror.patience -= PAUSE * attempt
    raise AssertionError("unreachable")


def _attempt(mirror: Mirror, name: str, size: int, limit: int) -> tuple[bytes, str | None]:
    """Make one request, which may lose half of the mirror's patience; return (content, content encoding)."""
    from tqdm import tqdm

    parcels: queue.SimpleQueue[bytes | str | Exception | None] = queue.SimpleQueue()
    given_up = threading.Event()
    threading.Thread(target=_request, args=(mirror.address(name), limit, parcels, given_up), daemon=True).start()
    content = bytearray()
    begun = since = told = time.monotonic()
    counted, may_lose = 0, mirror.patience / 2
    try:
        with tqdm(total=size, desc=name, unit="B", unit_scale=True, disable=None) as bar:
            while True:
                tick = max(min(TICK, may_lose), 0.01)
                try:
                    parcel = parcels.get(timeout=tick)
                except queue.Empty:
                    parcel = b""
                now = time.monotonic()
                if isinstance(parcel, bytes):
                    content += parcel
                    bar.update(len(parcel))
                arrived = not isinstance(parcel, bytes)
                if arrived or now - since >= tick:
                    lost = max(0.0, now - since - (len(content) - counted) / SLOWEST)
                    may_lose, mirror.patience = may_lose - lost, mirror.patience - lost
                    if may_lose <= 0 and not arrived:
                        raise _given_up(len(content), counted, size, now - begun)
                    since, counted = now, len(content)
                if isinstance(parcel, Exception):
                    raise _failure(parcel, len(content), size) from parcel
                if not isinstance(parcel, bytes):
                    return bytes(content), parcel
                if bar.disable and now - told > REPORT:
                    print(f"scratchnet: {name}: {len(content):,} of {size:,} bytes", file=sys.stderr)
                    told = now
    finally:
        given_up.set()


def _given_up(received: int, before: int, size: int, seconds: float) -> Failure:
    if not received:
        return Failure("did not answer in time", again=True)
    if received == before:
        return Failure(f"stopped sending after {received:,} of {size:,} bytes", again=True)
    return Failure(f"is too slow ({received / seconds:,.0f} bytes per second)", again=False)


def _failure(error: Exception, received: int, size: int) -> Failure:
    """Why the request raised `error`, after so many bytes."""
    if isinstance(error, Failure):
        return error
    if received:
        return Failure(f"lost the connection after {received:,} of {size:,} bytes", again=True)
    # for an address that is not a valid http URL, requests' exceptions are ValueErrors too
    return Failure(f"cannot be reached ({_root(error)})", again=not isinstance(error, ValueError))


def _root(error: BaseException) -> str:
    """The message of the first exception in a chain, the one that caused the others."""
    while error.__context__ is not None:
        error = error.__context__
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


# --- in the thread --------------------------------------------------------------------------------------------


def _request(url: str, limit: int, parcels: queue.SimpleQueue, given_up: threading.Event) -> None:
    """Put the body's bytes into `parcels`, piece by piece, and then the Content-Encoding, or what was raised."""
    try:
        parcels.put(_follow(url, limit, parcels, given_up))
    except Exception as error:  # whatever a server makes requests, urllib3 and http.client raise: one mirror fails
        parcels.put(error)


def _follow(url: str, limit: int, parcels: queue.SimpleQueue, given_up: threading.Event) -> str | None:
    import requests

    class Session(requests.Session):
        def get_redirect_target(self, resp: requests.Response) -> None:
            """Nowhere: requests would read the whole body of a redirect, however long it is."""

    with Session() as session:
        for _ in range(HOPS + 1):
            with session.get(
                url,
                stream=True,
                timeout=PATIENCE,
                headers={"Accept-Encoding": "identity"},  # send a .gz file as it is: it is verified by its hash
            ) as response:
                if response.is_redirect:
                    url = _target(url, response.headers["Location"])
                    continue
                if response.status_code != 200:
                    again = response.status_code >= 500 or response.status_code in (408, 429)
                    raise Failure(f"answered {response.status_code} {response.reason}", again)
                _body(response, limit, parcels, given_up)
                return response.headers.get("Content-Encoding")
    raise Failure(f"redirects more than {HOPS} times", again=False)


def _target(url: str, location: str) -> str:
    """Where a redirect from `url` leads."""
    try:
        target = urljoin(url, location.encode("latin1").decode("utf-8", "replace"))
        scheme = urlsplit(target).scheme
    except ValueError:
        raise Failure(f"redirects to {location}, which is no address", again=False) from None
    if scheme not in ("http", "https"):
        raise Failure(f"redirects to {target}, which is neither http nor https", again=False)
    return target


def _body(response: requests.Response, limit: int, parcels: queue.SimpleQueue, given_up: threading.Event) -> None:
    # read1 returns the bytes received so far, so a very slow server is noticed (urllib3 before 2.1 lacks it)
    read = getattr(response.raw, "read1", response.raw.read)
    received = 0
    while not given_up.is_set() and (chunk := read(CHUNK, decode_content=False)):
        received += len(chunk)
        if received > limit:
            raise Failure(f"sent more than the {limit:,} bytes that the file can have", again=False)
        parcels.put(chunk)
