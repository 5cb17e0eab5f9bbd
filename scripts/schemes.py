"""Every initialization side by side: what it promises for a shape, what a sample shows, and histograms of the weights.

python scripts/schemes.py                   for a layer of 784 inputs and 256 units
python scripts/schemes.py --shape 100x300   for a layer of 100 inputs and 300 units
"""

from __future__ import annotations

import argparse
import re
import sys
import textwrap
from dataclasses import dataclass
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # PYTHONSAFEPATH leaves it out

import cli
import numpy as np

from scratchnet.data import load
from scratchnet.files import replacing, set_aside
from scratchnet.init import SCHEMES
from scratchnet.init.expected import Measured, Promise, Theory, disagreements, measure, promises, theory
from scratchnet.lab.experiment import SEEN, Settings

# --- settings -----------------------------------------------------------------------------------------------------


def arguments() -> argparse.Namespace:
    parser = cli.parser(__doc__)
    add = parser.add_argument
    add("--shape", type=_shape, default=(784, 256), metavar="INxOUT", help="inputs x units (default 784x256)")
    add("--seed", type=cli.whole(0), default=0, metavar="N", help="seed of the random numbers (default 0)")
    cli.add_data_options(parser)
    cli.add_out_option(parser)
    return parser.parse_args()


def _shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×,](\d+)", text.strip())
    n_in, n_out = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(n_in, n_out) < 2 or n_in * n_out > 10**8:
        raise argparse.ArgumentTypeError(
            f"expected two sizes ≥ 2 with at most 100 million weights, such as 784x256, got {text!r}"
        )
    return n_in, n_out


# --- one call -----------------------------------------------------------------------------------------------------


def main() -> int:
    args = arguments()
    cli.own(args.out)
    dataset = load(args.dataset, args.data_dir)
    drawn, impossible = draw(args.shape, args.seed)
    images, labels = dataset.images[:SEEN], dataset.labels[:SEEN]
    prepared = promises(images, labels, sizes=Settings().sizes, rng=np.random.default_rng(args.seed))
    n_in, n_out = args.shape
    text = [
        f"Weights of a layer of n_in = {n_in} inputs and n_out = {n_out} units: what each scheme",
        "promises, and a sample of it.",
        "",
        aligned(sizes_table(drawn)),
        *impossible,
        "",
        "norm: the largest singular value; for random matrices, its wide-layer limit.",
        "",
        aligned(entries_table(drawn)),
        "",
        "agree: yes, or the names of the numbers that are too far from the promise.",
        "",
        "Initializations that look at the data or the whole network:",
        f"784-256-128-10, {SEEN:,} images of {dataset.title}.",
        "",
        aligned(preparations_table(prepared)),
    ]
    with cli.saving("\n".join(text)):
        if aside := set_aside(args.out, ["schemes.txt", "schemes.png"]):
            cli.complain(f"an earlier run's files are now in {aside}")
        with replacing(args.out / "schemes.txt") as temporary:
            temporary.write_text("\n".join(text) + "\n", encoding="utf-8")
    printed = cli.say("\n".join(text))
    figure(args, drawn)
    printed = cli.say(f"\nschemes.txt and schemes.png are in {args.out}/") and printed
    agree = all(p.kept for p in prepared) and not any(one.wrong for one in drawn.values())
    if not agree:
        cli.complain("some sample disagrees with its theory, see the columns named agree")
    return 0 if agree and printed else 1


# --- samples ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Drawn:
    """A scheme's promise and a sample of it."""

    promised: Theory
    W: np.ndarray
    found: Measured
    wrong: list[str]  # the names of the numbers that disagree


def draw(shape: tuple[int, int], seed: int) -> tuple[dict[str, Drawn], list[str]]:
    """A sample of each scheme, all from the same seed, and a line for each scheme that does not fit the shape."""
    drawn, impossible = {}, []
    for name, scheme in SCHEMES.items():
        try:
            promised, W = theory(name, shape), scheme(shape, rng=np.random.default_rng(seed))
        except ValueError as error:  # sparse with fewer inputs than links
            impossible.append(f"{name}: not for this shape: {error}")
        else:
            drawn[name] = Drawn(promised, W, measure(W), disagreements(promised, W))
    return drawn, impossible


# --- tables -------------------------------------------------------------------------------------------------------


def sizes_table(drawn: dict[str, Drawn]) -> list[list[str]]:
    table = [["scheme", "formula", "std", "sample", "norm", "sample"]]
    for name, one in drawn.items():
        std = [f"{x.std:.5f}" for x in (one.promised, one.found)]
        norm = [f"{x.spectral_norm:.3f}" for x in (one.promised, one.found)]
        table.append([name, one.promised.formula, *std, *norm])
    return table


def entries_table(drawn: dict[str, Drawn]) -> list[list[str]]:
    table = [["scheme", "mean", "sample", "max |w|", "sample", "zeros", "sample", "agree"]]
    for name, one in drawn.items():
        both = (one.promised, one.found)
        mean = [f"{x.mean:+.5f}" for x in both]
        largest = [f"{max(abs(x.low), abs(x.high)):.4g}".replace("inf", "none") for x in both]
        zeros = [f"{x.zeros:.4f}" for x in both]
        table.append([name, *mean, *largest, *zeros, ", ".join(one.wrong) or "yes"])
    return table


def preparations_table(prepared: list[Promise]) -> list[list[str]]:
    table = [["initialization", "what it is for", "promised", "sample", "agree"]]
    for p in prepared:
        first, *more = textwrap.wrap(p.claim, 34)
        table.append([p.name, first, f"{p.promised:.6g}", f"{p.measured:.6g}", "yes" if p.kept else "NO"])
        table += [["", line, "", "", ""] for line in more]
    return table


def aligned(table: list[list[str]]) -> str:
    widths = [max(len(row[column]) for row in table) for column in range(len(table[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=True)).rstrip() for row in table)


# --- figure -------------------------------------------------------------------------------------------------------


def figure(args: argparse.Namespace, drawn: dict[str, Drawn]) -> None:
    from scratchnet.report import plots  # matplotlib: only now, since the tables need none of it

    rows = {_label(names, drawn): drawn[names[0]] for names in same(drawn)}
    n_in, n_out = args.shape
    made = plots.histograms(
        f"Weights of a layer of n_in = {n_in} inputs and n_out = {n_out} units",
        {label: one.W for label, one in rows.items()},
        {label: one.promised.density for label, one in rows.items()},
        note=f"seed {args.seed}; schemes joined by = draw the same weights",
    )
    plots.save(made, args.out / "schemes.png")


def same(drawn: dict[str, Drawn]) -> list[list[str]]:
    """The schemes in groups that draw the same weights from the same seed, up to rounding."""
    groups: list[list[str]] = []
    for name, one in drawn.items():
        for group in groups:
            if np.allclose(one.W, drawn[group[0]].W, rtol=1e-9, atol=0):
                group.append(name)
                break
        else:
            groups.append([name])
    return groups


def _label(names: list[str], drawn: dict[str, Drawn]) -> str:
    formulas = dict.fromkeys(drawn[name].promised.formula for name in names)
    first = drawn[names[0]].promised
    zeros = f", {100 * first.zeros:.3g} % are 0" if first.zeros and first.density else ""
    return "\n".join(["\n= ".join(names), *formulas, f"σ = {first.std:.3g}{zeros}"])


if __name__ == "__main__":
    cli.run(main)
