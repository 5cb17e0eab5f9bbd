"""What `compare.py --list` prints: the comparisons and the names of all parts; for an initialization, what it does.

Two names of one initialization are told by drawing from both: nothing here is a list of its own.
"""

from __future__ import annotations

import textwrap
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from schemes import draw, same

from scratchnet import init
from scratchnet.init.expected import theory
from scratchnet.report.tables import Comparison

WIDTH = 80
NARROWING, WIDENING = (784, 256), (30, 40)  # n_in × n_out of a layer; some schemes agree in one of them alone


def listing(comparisons: Sequence[Comparison], parts: Mapping[str, Iterable[str]]) -> str:
    """The comparisons, the initializations, and the names of the other `parts`, an option each."""
    lines = [_entry(c.key, f"{c.title}: {', '.join(arm.label for arm in c.arms)}") for c in comparisons]
    lines += initializations()
    lines += [_entry(option, f"{', '.join(names)}, or FILE.py:NAME") for option, names in parts.items()]
    return "\n".join(lines)


def initializations() -> list[str]:
    """A line for each name: a formula or a sentence, and the name of which it is another one."""
    names = len(init.SCHEMES) + len(init.PREPARATIONS)
    equal, narrowing = twins(WIDENING), twins(NARROWING)
    equal = {name: first for name, first in equal.items() if narrowing.get(name) == first}
    biased = {name for name, bias in init.BIASES.items() if bias((64,), fan_in=9, rng=np.random.default_rng(0)).any()}
    doubles = [name for name, first in equal.items() if not {name, first} & biased]
    count = f"{names} names of {names - len(doubles)} initializations (ReLU, default arguments), or FILE.py:NAME"
    lines = [_entry("--arms", count)]
    for name in init.SCHEMES:
        said = theory(name, NARROWING).formula
        if name in equal:
            said += f": {'the weights of' if name not in doubles else 'the same as'} {equal[name]}"
        elif name in narrowing:
            said += f": the same as {narrowing[name]} where n_in ≥ n_out"
        lines.append(_entry(f"  {name}", said + (", and random biases" if name in biased else "")))
    lines += [_entry(f"  {name}", _sentence(name)) for name in init.PREPARATIONS]
    aliases = ", ".join(f"{alias} = {name}" for alias, name in init.ALIASES.items())
    cut = "a normal distribution without what lies beyond two of its standard deviations"
    return [*lines, _entry("  TN", cut), _entry("  other names", aliases)]


def twins(shape: tuple[int, int]) -> dict[str, str]:
    """Each scheme that draws the same weights as an earlier one, from the same random numbers: name → the first one."""
    drawn, _ = draw(shape, seed=0)
    return {name: first for first, *others in same(drawn) for name in others}


def _sentence(preparation: str) -> str:
    """The first line of its docstring in `init`."""
    for name in (preparation, f"{preparation}_layer", f"{preparation}_first_layer"):
        if function := getattr(init, name, None):
            return str(function.__doc__).splitlines()[0]
    return "see docs/initialization.md"


def _entry(name: str, text: str) -> str:
    return textwrap.fill(text, WIDTH, initial_indent=f"{name:20}", subsequent_indent=" " * 20, break_on_hyphens=False)
