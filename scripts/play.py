"""A playground on this machine: choose how a network starts, train it, rewind to the same weights, change one thing.

python scripts/play.py                     opens a page in the browser
python scripts/play.py --no-browser        prints its address only
python scripts/play.py --dataset synthetic

Two settings, A and B, train side by side from one seed: the same images, batches and random numbers. Ctrl-C ends it.
The page is served to this machine alone, at an address that holds a random token. The parts are in playground/: begin
with session.py. docs/play.md has five things to try.
"""

from __future__ import annotations

import argparse
import sys
import threading
import webbrowser
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
from playground.server import Playground
from threadpoolctl import threadpool_limits

from scratchnet.data import load


def port(text: str) -> int:
    """The argparse type of a port's number; 0 is a free one."""
    value = cli.whole(0)(text)
    if value > 65_535:
        raise argparse.ArgumentTypeError(f"expected a port from 0 to 65535, got {text!r}")
    return value


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--port", type=port, default=0, metavar="N", help="default 0: a free one")
    parser.add_argument("--no-browser", action="store_true", help="print the address, and open no browser")
    cli.add_data_options(parser)
    return parser.parse_args()


def main() -> int:
    args = arguments()
    try:
        server = Playground(args.port)
    except OSError as error:
        cli.complain(f"port {args.port} cannot be used ({error.strerror}): give another --port, or none for a free one")
        return 1
    with server, threadpool_limits(1, user_api="blas"):  # one thread, as in a comparison: the same bits
        server.dataset = load(args.dataset, args.data_dir)
        if not cli.say(server.address):
            return 1
        cli.complain("the playground is at this address until you press Ctrl-C")
        if not args.no_browser:
            threading.Thread(target=webbrowser.open, args=(server.address,), daemon=True).start()
        server.serve_forever()
    return 0


if __name__ == "__main__":
    cli.run(main)
