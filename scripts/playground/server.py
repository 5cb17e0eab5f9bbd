"""The server of the playground: the page and its files, and a few messages in JSON, for this machine alone.

    GET  /TOKEN/            the page; /TOKEN/NAME, its files
    POST /TOKEN/open        a session for a tab; every other message has "session" in it
    POST /TOKEN/set, start, pause, step, rewind, frame, close

Any page in any tab can send requests to 127.0.0.1. So the address holds a random token, the Host has to be this one
(or a name could be pointed here by its DNS server), and a POST has to come from this page.
"""

from __future__ import annotations

import inspect
import json
import secrets
import sys
import threading
import time
from collections.abc import Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np

import scratchnet.report
from playground.presets import presets
from playground.session import IMAGES, SILENCE, Session
from playground.setting import CHOICES, DEFAULTS, DEPTH, SEED, WIDTH, Refused
from scratchnet.data import Dataset

TABS = 4  # sessions at a time
BODY = 10_000  # bytes of a message, at most
ENDING = 1.5  # seconds in which sessions may end at the end of the process
IDLE = 30.0  # seconds after which a connection that says nothing is closed

HERE, WEB = Path(__file__).parent, Path(scratchnet.report.__file__).parent / "web"
FILES = {
    "": (HERE / "page.html", "text/html"),
    "play.css": (HERE / "play.css", "text/css"),
    "play.js": (HERE / "play.js", "text/javascript"),
    "charts.js": (HERE / "charts.js", "text/javascript"),
    "layers.js": (HERE / "layers.js", "text/javascript"),
    "page.css": (WEB / "page.css", "text/css"),
    "uPlot.min.css": (WEB / "uplot" / "uPlot.min.css", "text/css"),
    "uPlot.iife.min.js": (WEB / "uplot" / "uPlot.iife.min.js", "text/javascript"),
}
MESSAGES = ("set", "start", "pause", "step", "rewind", "frame", "close")
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    "img-src data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Playground(ThreadingHTTPServer):
    """The server, its token and its sessions. Threads are daemons: they end with the process, whatever they do.
    Those of sessions are waited for a moment: Python may crash at its end with a thread that is computing.

    Give it its `dataset` before it serves: a port that is taken is found out before images are read.
    """

    dataset: Dataset
    daemon_threads = True
    block_on_close = False

    def __init__(self, port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        self.sessions: dict[str, Session] = {}
        self.lock = threading.Lock()
        super().__init__(("127.0.0.1", port), Handler)

    def server_close(self) -> None:
        super().server_close()
        deadline = time.monotonic() + ENDING
        for session in list(self.sessions.values()):
            session._end(max(0.0, deadline - time.monotonic()))

    @property
    def hosts(self) -> tuple[str, str]:
        return f"127.0.0.1:{self.server_port}", f"localhost:{self.server_port}"

    @property
    def address(self) -> str:
        return f"http://{self.hosts[0]}/{self.token}/"

    def open(self, **settings: Any) -> dict[str, Any]:
        """A new session with these settings. Where there are too many, one whose tab is silent makes room."""
        session, name = Session(self.dataset), secrets.token_urlsafe(12)
        with self.lock:
            self.sessions = {key: old for key, old in self.sessions.items() if not old.ended}
            silent = max(self.sessions, key=lambda key: self.sessions[key].silent, default="")
            if len(self.sessions) >= TABS and self.sessions[silent].silent > SILENCE:
                self._end(silent)
            if len(self.sessions) >= TABS:
                session.ask("close")
                raise Refused(f"{TABS} tabs have a playground open: close one of them, then load this page again")
            self.sessions[name] = session
        try:
            return {"session": name, **session.ask("set", **settings)}
        except BaseException:
            with self.lock:
                self._end(name)
            raise

    def _end(self, name: str) -> None:
        with suppress(Refused):
            self.sessions.pop(name).ask("close")

    def answer(self, name: str, message: dict[str, Any]) -> dict[str, Any]:
        """The answer to a message. Raises Refused, and KeyError where the session has ended."""
        wanted = inspect.signature(Session.set if name == "open" else getattr(Session, name)).parameters
        allowed = wanted.keys() - {"self"} | ({"session"} if name != "open" else set())
        if unknown := sorted(message.keys() - allowed):
            raise Refused(f"{name} takes {', '.join(sorted(allowed)) or 'nothing'}, got {unknown[0]!r}")
        if name == "open":
            return self.open(**message)
        key = message.pop("session", None)
        if not isinstance(key, str):
            raise Refused("expected the name of a session")
        with self.lock:
            session = self.sessions[key]
            if session.ended or name == "close":
                del self.sessions[key]
        if session.ended:
            raise KeyError(key)
        return session.ask(name, **message) or {}

    def facts(self) -> dict[str, Any]:
        """What the page has to know before it opens a session."""
        return {
            "dataset": self.dataset.title,
            "stand_in": self.dataset.stand_in,
            "images": [n for n in IMAGES if n <= len(self.dataset.images)],
            "choices": CHOICES,
            "defaults": DEFAULTS,
            "limits": {"depth": DEPTH, "width": WIDTH, "seed": SEED},
            "presets": presets(),
        }

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A connection that broke is nobody's fault; anything else is ours, and is shown."""
        if not isinstance(sys.exception(), (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


class Handler(BaseHTTPRequestHandler):
    server: Playground
    protocol_version = "HTTP/1.1"
    server_version, sys_version = "scratchnet", ""
    timeout = IDLE

    def do_GET(self) -> None:
        path = self.admitted()
        if path == "facts":
            self.send(200, to_json(self.server.facts()), "application/json")
        elif path in FILES:
            file, kind = FILES[path]
            self.send(200, file.read_bytes(), kind)
        elif path is not None:
            self.refuse(404, "there is nothing here")

    def do_POST(self) -> None:
        name = self.admitted()
        if name is None:
            return
        if name not in ("open", *MESSAGES):
            self.refuse(404, "there is no such message")
        elif self.headers.get("Origin", "") not in {f"http://{host}" for host in self.server.hosts}:
            self.refuse(403, "this message does not come from the page")
        elif (message := self.message()) is not None:
            try:
                self.send(200, to_json(self.server.answer(name, message)), "application/json")
            except Refused as refused:
                self.refuse(400, str(refused), refused.field)
            except KeyError:
                self.refuse(410, "this session has ended: load the page again")

    def admitted(self) -> str | None:
        """What is asked for, without the token; None, and a refusal is sent, where the token or the Host is wrong."""
        _, token, *rest = [*self.path.partition("?")[0].split("/", 2), ""]
        if self.headers.get("Host", "") not in self.server.hosts:
            self.refuse(403, "this name is not that of the playground")
        elif not secrets.compare_digest(token.encode(), self.server.token.encode()):
            self.refuse(404, "there is nothing here: use the whole address that play.py has printed")
        else:
            return rest[0]
        return None

    def message(self) -> dict[str, Any] | None:
        """The object in the body; None, and a refusal is sent, where there is none."""
        length = self.headers.get("Content-Length", "")
        if not (length.isascii() and length.isdigit()) or "Transfer-Encoding" in self.headers:
            self.refuse(411, "expected a message with its length")
        elif len(length) > 9 or int(length) > BODY:
            self.refuse(413, f"expected a message of at most {BODY:,} bytes")
        else:
            body = self.rfile.read(int(length))
            try:
                message = json.loads(body)
            except (ValueError, RecursionError):
                message = None
            if isinstance(message, dict):
                return message
            self.refuse(400, "expected an object in JSON", read=True)
        return None

    def refuse(self, status: int, sentence: str, field: str = "", read: bool | None = None) -> None:
        """Send why. Where the body has not been read, the connection cannot be used for another request."""
        self.close_connection = not (status in (400, 410) if read is None else read)
        self.send(status, to_json({"error": sentence, "field": field}), "application/json")

    def send(self, status: int, body: bytes, kind: str) -> None:
        self.send_response(status)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        for name, value in HEADERS.items():
            self.send_header(name, value)
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing: the address would be in it, and its token with it."""


def to_json(found: Any) -> bytes:
    """JSON, in which what is not finite is null: browsers refuse NaN."""
    return json.dumps(_finite(found), allow_nan=False, separators=(",", ":")).encode()


def _finite(x: Any) -> Any:
    if isinstance(x, float):
        return x if np.isfinite(x) else None
    if isinstance(x, Mapping):
        return {key: _finite(inner) for key, inner in x.items()}
    return [_finite(inner) for inner in x] if isinstance(x, (list, tuple)) else x
