"""Every initialization side by side: what it promises for a shape, what a sample shows, and histograms of the weights.

python scripts/schemes.py                   for a layer of 784 inputs and 256 units
python scripts/schemes.py --shape 100x300   for a layer of 100 inputs and 300 units
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path

import numpy as np

from scratchnet.data import DATASETS, Dataset, load
from scratchnet.data.fashion_mnist import FashionMNISTUnavailable
from scratchnet.files import must_be_writable, replacing, set_aside
from scratchnet.init import SCHEMES
from scratchnet.init.expected import Measured, Theory, disagreements, measure, promises, theory
from scratchnet.lab.experiment import SEEN, Settings

# --- settings -----------------------------------------------------------------------------------------------------


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--shape", type=_shape, default=(784, 256), metavar="INxOUT", help="inputs x units (default 784x256)"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the random numbers (default 0)")
    parser.add_argument(
        "--dataset", choices=DATASETS, default="auto", help="images for the initializations that need data"
    )
    parser.add_argument("--data-dir", type=Path, help="folder of the four Fashion-MNIST files")
    parser.add_argument("--out", type=Path, default=Path("results"), help="folder for the results (default results)")
    args = parser.parse_args(argv)
    if args.seed < 0:
        parser.error(f"argument --seed: expected an integer ≥ 0, got {args.seed}")
    return args


def _shape(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d+)[x×,](\d+)", text.strip())
    n_in, n_out = (int(match[1]), int(match[2])) if match else (0, 0)
    if min(n_in, n_out) < 2 or n_in * n_out > 10**8:
        raise argparse.ArgumentTypeError(
            f"expected two sizes ≥ 2 with at most 100 million weights, such as 784x256, got {text!r}"
        )
    return n_in, n_out


# --- tables -------------------------------------------------------------------------------------------------------


def rows(shape: tuple[int, int], seed: int) -> tuple[list[list[str]], dict[str, np.ndarray], dict[str, Theory]]:
    """The rows of the table, and the samples and theories of every scheme that fits this shape."""
    head = ["scheme", "formula", "mean", "measured", "std", "measured", "bounds", "measured"]
    table = [[*head, "norm", "measured", "zeros", "measured", "agree"]]
    samples, theories = {}, {}
    for name, scheme in SCHEMES.items():
        try:
            promised, W = theory(name, shape), scheme(shape, rng=np.random.default_rng(seed))
        except ValueError as error:  # sparse with fewer inputs than links
            table.append([name, f"not for this shape: {error}"])
            continue
        samples[name], theories[name] = W, promised
        wrong = disagreements(promised, W)
        table.append([name, promised.formula, *_cells(promised, measure(W)), "yes" if not wrong else ", ".join(wrong)])
    return table, samples, theories


def _cells(promised: Theory, found: Measured) -> list[str]:
    def bounds(x: Theory | Measured) -> str:
        return f"{x.low:.4g} … {x.high:.4g}".replace("-inf … inf", "none")

    return [
        *(f"{x.mean:+.5f}" for x in (promised, found)),
        *(f"{x.std:.5f}" for x in (promised, found)),
        *(bounds(x) for x in (promised, found)),
        *(f"{x.spectral_norm:.3f}" for x in (promised, found)),
        *(f"{x.zeros:.4f}" for x in (promised, found)),
    ]


def aligned(table: list[list[str]]) -> str:
    full = [row for row in table if len(row) == len(table[0])]
    widths = [max(len(row[column]) for row in full) for column in range(len(table[0]))]
    return "\n".join("  ".join(c.ljust(w) for c, w in zip(row, widths, strict=False)).rstrip() for row in table)


def promises_table(dataset: Dataset, seed: int) -> tuple[list[list[str]], bool]:
    found = promises(
        dataset.images[:SEEN], dataset.labels[:SEEN], sizes=Settings().sizes, rng=np.random.default_rng(seed)
    )
    table = [["initialization", "what it is for", "promised", "measured", "agree"]]
    for p in found:
        table.append([p.name, p.claim, f"{p.promised:.6g}", f"{p.measured:.6g}", "yes" if p.kept else "NO"])
    return table, all(p.kept for p in found)


# --- one call -----------------------------------------------------------------------------------------------------


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    try:
        must_be_writable(args.out)
        dataset = load(args.dataset, args.data_dir)
        table, samples, theories = rows(args.shape, args.seed)
        prepared, kept = promises_table(dataset, args.seed)
        n_in, n_out = args.shape
        text = [
            f"Weights of a layer of n_in = {n_in} inputs and n_out = {n_out} units: what each promises, and a sample.",
            "norm: the largest singular value; for random matrices, its limit for wide layers.",
            "",
            aligned(table),
            "",
            f"Initializations that look at the data or the whole network: 784-256-128-10, {SEEN:,} images of "
            f"{dataset.title}.",
            "",
            aligned(prepared),
        ]
        print("\n".join(text))
        if aside := set_aside(args.out, ["schemes.txt", "schemes.png"]):
            print(f"schemes.py: an earlier run's files are now in {aside}", file=sys.stderr)
        with replacing(args.out / "schemes.txt") as temporary:
            temporary.write_text("\n".join(text) + "\n", encoding="utf-8")
        picture(args, samples, theories)
    except (FashionMNISTUnavailable, OSError, MemoryError, ValueError) as error:
        print(f"schemes.py: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(f"schemes.py: interrupted; what was written is in {args.out}", file=sys.stderr)
        return 130
    agree = kept and all(row[-1] == "yes" for row in table[1:] if len(row) == len(table[0]))
    if not agree:
        print("schemes.py: some sample disagrees with its theory, see the last column", file=sys.stderr)
    return 0 if agree else 1


# --- figure -------------------------------------------------------------------------------------------------------


def picture(args: argparse.Namespace, samples: dict[str, np.ndarray], theories: dict[str, Theory]) -> None:
    from scratchnet.report import plots  # imports matplotlib, which the tables do not need

    labels = {name: f"{name}\n{theories[name].formula}" for name in samples}
    title = f"Weights of a layer of {args.shape[0]} inputs and {args.shape[1]} units"
    figure = plots.histograms(
        title,
        {labels[name]: W for name, W in samples.items()},
        {labels[name]: theories[name].density for name in samples},
    )
    plots.save(figure, args.out / "schemes.png")
    print(f"\nschemes.txt and schemes.png are in {args.out}/")


if __name__ == "__main__":
    sys.exit(main())
