"""Why an initialization fails or works: every quantity of a network, one function each.

The functions are in `signals` (outputs of a layer), `symmetry` (its units) and `maps` (the network as a whole), and all
of them can be imported from here.
"""

from __future__ import annotations

from scratchnet.lab.maps import alone, gradient, gradient_change, jacobian, line, movement, ntk, sharpness, shattering
from scratchnet.lab.signals import (
    correlation,
    dead_inputs,
    dead_units,
    elementwise,
    histogram,
    mean_size,
    mean_square,
    output_gradients,
    outputs,
    patterns,
    quantiles,
    ratio,
    saturation,
    slope,
)
from scratchnet.lab.symmetry import distinct_units, effective_rank, largest_cosine

__all__ = [
    "alone",
    "correlation",
    "dead_inputs",
    "dead_units",
    "distinct_units",
    "effective_rank",
    "elementwise",
    "gradient",
    "gradient_change",
    "histogram",
    "jacobian",
    "largest_cosine",
    "line",
    "mean_size",
    "mean_square",
    "movement",
    "ntk",
    "output_gradients",
    "outputs",
    "patterns",
    "quantiles",
    "ratio",
    "saturation",
    "sharpness",
    "shattering",
    "slope",
]
