"""How fast is it? scratchnet, PyTorch and the bare matrix products train the same networks, in turns.

    python scripts/benchmark.py                   8 networks, 1 epoch, 5 rounds: some five minutes on two cores
    python scripts/benchmark.py --quick           a look in half a minute, at a tenth of the data

Every contestant trains the lesson's network (784-256-128-10, ReLU, dropout, Adam) from the same initial weights on
the same batches, keeps every loss, and validates. Prints a table; writes benchmark.json and benchmark.png. Needs
PyTorch: pip install -e ".[test]".

What is timed. scratchnet: `compare`, as compare.py calls it, from the call to the result; this includes the start of
its worker processes and the transfer of the images. PyTorch: processes that have started, have the images and have
compiled what there is to compile, which is PyTorch's advantage. The floor: the products of the training steps alone,
3 forward, 3 for dW, 2 for dX, into arrays that exist already, in as many processes as scratchnet has. The contestants
take turns, so that a disturbance of the machine hits all of them; a ratio is taken within a round, and the median over
the rounds is reported.

The parts are in speed/: begin with contest.py.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
from speed.arms import chosen_arms
from speed.contest import Contest
from speed.machine import pytorch_version
from speed.result import result
from speed.table import table

from scratchnet.backend import resolve
from scratchnet.data import load
from scratchnet.files import set_aside
from scratchnet.lab.experiment import Settings
from scratchnet.report.results import write_json

QUICK_IMAGES = 6_000


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--arms", type=cli.whole(1, 1000), default=8, metavar="N", help="initializations (default 8)")
    few = cli.whole(1, cli.MOST_SEEDS)
    parser.add_argument("--seeds", type=few, default=1, metavar="N", help="seeds of each (default 1)")
    parser.add_argument("--epochs", type=cli.whole(1), default=1, metavar="N", help="passes over the data (default 1)")
    parser.add_argument("--repeats", type=cli.whole(1, 10_000), metavar="N", help="rounds that are timed (default 5)")
    cli.add_data_options(parser)
    cli.add_out_option(parser)
    parser.add_argument(
        "--quick", action="store_true", help=f"a look: {QUICK_IMAGES:,} images, 2 rounds, without torch.compile"
    )
    args = parser.parse_args()
    args.repeats = args.repeats or (2 if args.quick else 5)
    return args


def main() -> int:
    args = arguments()
    cli.own(args.out)
    pytorch_version()  # before the work, whether it is there
    settings = Settings(epochs=args.epochs, device=resolve(args.device))
    dataset = load(args.dataset, args.data_dir)
    if args.quick:
        dataset = dataset.first(QUICK_IMAGES)
    arms, seeds = chosen_arms(args.arms), range(args.seeds)
    contest = Contest(arms, seeds, dataset, settings, rounds=args.repeats, quick=args.quick)
    contest.hold()

    from speed.figure import draw  # now, since matplotlib takes memory, which has been measured

    found = result(contest)
    with cli.saving(table(found)):
        if aside := set_aside(args.out, ["benchmark.json", "benchmark.png"]):
            cli.complain(f"an earlier run's files are now in {aside}")
        write_json(args.out / "benchmark.json", found)
        draw(found, args.out / "benchmark.png")
    return 0 if cli.say(f"{table(found)}\n\nbenchmark.json and benchmark.png are in {args.out}/") else 1


if __name__ == "__main__":
    cli.run(main)
