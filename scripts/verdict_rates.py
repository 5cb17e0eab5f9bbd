"""How often the verdicts of a comparison are wrong, and how often they find a difference that is there.

    python scripts/verdict_rates.py          a minute: the table of docs/verdicts.md

Accuracies are drawn instead of trained: 86 % plus a deviation of the seed that all arms share (standard deviation 0.3
points) and one of each run (0.3 points), about what the lesson's network shows. They go through the very functions that
write the verdicts. "Wrong": all arms are equal, and some sentence says "ahead". "Found": the last arm is better by
half a point or a point, and the sentence on it and the first arm says that it is ahead. "Dismissed": it is better by
half a point, and some sentence on it says that it differs by less.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np
from tqdm import tqdm

from scratchnet.lab.experiment import Arm, Run
from scratchnet.report.tables import Comparison, judged, verdicts

ARMS, SEEDS, BETTER = (2, 3, 4, 5, 8, 22), (5, 10), (0.5, 1.0)


def sentences(arms: int, seeds: int, better: float, rng: np.random.Generator) -> list[str]:
    """The verdicts of a comparison of `arms` arms, called 0, 1, …, of which the last is better by so many points."""
    accuracy = 86 + 0.3 * rng.normal(size=seeds) + 0.3 * rng.normal(size=(arms, seeds))
    accuracy[-1] += better
    losses = rng.random((arms, seeds, 1))
    comparison = Comparison("simulated", "Simulated", tuple(Arm(str(a), str(a)) for a in range(arms)))
    runs = {
        str(a): [Run(str(a), s, losses[a, s], 0.0, accuracy[a, s] / 100) for s in range(seeds)] for a in range(arms)
    }
    return verdicts(comparison, judged([comparison], runs, [0.1] * seeds))


def wrong(arms: int, seeds: int, repeats: int, rng: np.random.Generator) -> float:
    """How often some arm is ahead of another where all are equal."""
    return float(np.mean([any(" ahead " in s for s in sentences(arms, seeds, 0.0, rng)) for _ in range(repeats)]))


def found(arms: int, seeds: int, better: float, repeats: int, rng: np.random.Generator) -> float:
    """How often the last arm is ahead of the first where it is better than all others."""
    verdict = f"{arms - 1} is ahead of 0 "
    return float(
        np.mean([any(s.startswith(verdict) for s in sentences(arms, seeds, better, rng)) for _ in range(repeats)])
    )


def dismissed(arms: int, seeds: int, repeats: int, rng: np.random.Generator) -> float:
    """How often the last arm, better by half a point, is said to differ by less from some other arm."""
    last = re.compile(rf"(^| and ){arms - 1}( and \d+)? differ by less than half a point")
    return float(np.mean([any(map(last.search, sentences(arms, seeds, 0.5, rng))) for _ in range(repeats)]))


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    parser.add_argument("--repeats", type=cli.whole(1), default=1000, metavar="N", help="for each row (default 1000)")
    return parser.parse_args()


def main() -> int:
    args = arguments()
    rng = np.random.default_rng(0)
    lines = [
        "| arms | seeds | wrong | found, half a point | found, one point | dismissed |",
        "|---|---|---|---|---|---|",
    ]
    for arms, seeds in tqdm([(a, s) for a in ARMS for s in SEEDS], desc="simulating", unit="row", disable=None):
        rates = [wrong(arms, seeds, args.repeats, rng)]
        rates += [found(arms, seeds, better, args.repeats, rng) for better in BETTER]
        rates.append(dismissed(arms, seeds, args.repeats, np.random.default_rng(arms * seeds)))
        lines.append(f"| {arms} | {seeds} | {' | '.join(f'{100 * rate:.1f} %' for rate in rates)} |")
    return 0 if cli.say("\n".join(lines)) else 1


if __name__ == "__main__":
    cli.run(main)
