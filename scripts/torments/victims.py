"""The five that are tormented: download, compare, study, sweep and play, each as small as it can be."""

from __future__ import annotations

import hashlib
import http.client
import json
import signal
import threading
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from scratchnet.data.fashion_mnist import FILES, data_folder
from torments.victim import ROOT, Run, Victim

FETCH = """import cli; from scratchnet.data import load
cli.run(lambda: int(not cli.say(load("fashion-mnist").sha256)))"""
SLOWLY = 0.8  # seconds that the server takes for a file of a megabyte or more, so that a kill meets it
GRID = 'scheme = ["zeros", "he_normal"]\nwidth = [4, 8]\ndepth = 1\nimages = 2000\nepochs = 1\nseed = "0-2"\n'
SMALL = {"depth": "2", "width": "16", "taper": "no"}


def victims(dataset: str, folder: Path, mirror: str) -> list[Victim]:
    """All five, but for "download" where `mirror`, a server of the four files, is "". `folder` keeps the grid."""
    grid = folder / "grid.toml"
    grid.write_text(GRID)
    scripts, common = ROOT / "scripts", ["--dataset", dataset]
    to_folder = [*common, "--jobs", "2", "--out", "FOLDER"]
    smallest = ["--quick", "--seeds", "4", "--hidden", "8", "zeros-vs-ones"]
    download = Victim(
        "download",
        ["-c", FETCH],
        printed,
        keep="fashion-mnist/t10k-labels*",
        environment={"SCRATCHNET_DATA": "FOLDER", "SCRATCHNET_MIRROR": mirror, "NO_PROXY": "127.0.0.1"},
    )
    return [
        *([download] if mirror else []),
        Victim("compare", [f"{scripts}/compare.py", *smallest, *to_folder], compared, keep="*"),
        Victim("study", [f"{scripts}/study.py", "born_dead", "--quick", *to_folder], studied, keep="born_dead.*"),
        Victim("sweep", [f"{scripts}/sweep.py", str(grid), *to_folder], swept),
        Victim("play", [f"{scripts}/play.py", "--no-browser", *common], lambda run: run.told, talk=converse, code=130),
    ]


# --- their numbers ----------------------------------------------------------------------------------------------------


def printed(run: Run) -> str:
    return run.stdout.read_text().strip()


def compared(run: Run) -> str:
    found = json.loads((run.folder / "results.json").read_text("utf-8"))
    return _sha256([found[name] for name in ("complete", "settings", "comparisons", "verdicts")])


def studied(run: Run) -> str:
    found = json.loads((run.folder / "born_dead.json").read_text("utf-8"))
    return _sha256([found[name] for name in ("outcome", "rows", "numbers")])


def swept(run: Run) -> str:
    return hashlib.sha256((run.folder / "sweep.csv").read_bytes()).hexdigest()


def _sha256(found: Any) -> str:
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


# --- the playground ---------------------------------------------------------------------------------------------------


def converse(run: Run) -> None:
    """Train, rewind and train again, as the page does, and press Ctrl-C. Nobody answers any more after a kill."""
    try:
        where = urlsplit(_first_line(run))
        session = _ask(where, "open", A=SMALL, B=SMALL | {"initialization": "zeros"}, images=2_000)["session"]
        told = []
        for message in ("rewind", "rewind"):
            _ask(where, message, session=session)
            for _ in range(4):
                frame = _ask(where, "step", session=session, steps=50)
                while frame["running"]:
                    frame = _ask(where, "frame", session=session)
            told.append(_sha256([[frame[side][key] for key in ("losses", "weights", "judged")] for side in "AB"]))
        run.told = told[0] if told[0] == told[1] else f"rewinding gives other numbers: {told}"
        run.send(signal.SIGINT)
    except (OSError, http.client.HTTPException, ValueError, KeyError):
        if run.process.poll() is None:  # it lives, and does not answer as it should
            run.told = "no answer"
            time.sleep(0.5)  # or it is just ending
            run.send(signal.SIGINT)


def _first_line(run: Run) -> str:
    while not (said := run.stdout.read_text()).endswith("\n") and run.process.poll() is None:
        time.sleep(0.02)
    return said.strip()


def _ask(where: Any, name: str, **message: Any) -> Any:
    connection = http.client.HTTPConnection(where.hostname or "127.0.0.1", where.port or 1, timeout=60)
    try:
        headers = {"Origin": f"http://{where.netloc}", "Content-Type": "application/json"}
        connection.request("POST", where.path + name, json.dumps(message), headers)
        return json.loads(connection.getresponse().read())
    finally:
        connection.close()


# --- a mirror ---------------------------------------------------------------------------------------------------------


def at_hand() -> dict[str, bytes]:
    """The four files of Fashion-MNIST, if they are on this machine; else nothing."""
    folder = data_folder()
    found = {}
    for file in FILES:
        for path in (folder / file.name, folder / "fashion-mnist" / file.name):
            if path.is_file():
                found[file.name] = path.read_bytes()
    return found if len(found) == len(FILES) else {}


@contextmanager
def mirror(contents: Mapping[str, bytes]) -> Iterator[str]:
    """The address of a server on this machine that serves the files, large ones slowly; "" if there are none."""
    if not contents:
        yield ""
        return

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            content = contents[self.path.strip("/")]
            self.send_response(200)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            pieces = 20 if len(content) > 1 << 20 else 1
            size = -(-len(content) // pieces)
            for start in range(0, len(content), size):
                self.wfile.write(content[start : start + size])
                time.sleep(SLOWLY / pieces if pieces > 1 else 0)

        def log_message(self, *arguments: Any) -> None:
            pass

    class Server(ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *connection: Any) -> None:
            """A client that was killed."""

    with Server(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
