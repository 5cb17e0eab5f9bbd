"""What the buttons of the page load: settings worth seeing side by side, and what to watch."""

from __future__ import annotations

from typing import Any

from lesson import CENTERED, NORMAL, ONES, RULE, UNIFORM, ZEROS

from playground.setting import DEFAULTS
from scratchnet.lab import parts
from scratchnet.lab.experiment import Arm


def arm(chosen: Arm) -> dict[str, str]:
    """The fields that name an arm of the lesson."""
    name, _, arguments = parts.describe(chosen.scheme).partition(":")
    return {"initialization": name, "arguments": arguments}


DEEP = {"depth": "20", "width": "100", "taper": "no", "dropout": "0"}
HE = {"initialization": "he_normal"}

# (name, what A and B share besides the defaults, A, B, what to watch)
PRESETS: tuple[tuple[str, dict[str, str], dict[str, str], dict[str, str], str], ...] = (
    (
        "Zeros or ones",
        {},
        arm(ZEROS),
        arm(ONES),
        "Both start with equal units. Zeros pass no signal; ones pass one that grows from layer to layer.",
    ),
    (
        "Zeros or the rule",
        {},
        arm(ZEROS),
        arm(RULE),
        "The lesson's general rule, U(−1/√n_in, 1/√n_in), beside weights without any difference.",
    ),
    (
        "Not centered or centered",
        {},
        arm(UNIFORM),
        arm(CENTERED),
        "U[0, 1) and U[−½, ½) have the same spread. Only the mean differs.",
    ),
    (
        "Centered or the rule",
        {},
        arm(CENTERED),
        arm(RULE),
        "Both are uniform and centered. Only the width of the range differs.",
    ),
    (
        "The rule or He",
        {},
        arm(NORMAL),
        HE,
        "Variance 1/n_in or 2/n_in: with two hidden layers, can you tell them apart?",
    ),
    (
        "Twenty layers",
        DEEP,
        arm(NORMAL),
        HE,
        "N(0, 1/n_in) and He's N(0, 2/n_in), with twenty hidden layers: ReLU halves the mean square each time, and "
        "the 2 makes up for it.",
    ),
    (
        "Twenty layers of tanh",
        DEEP | {"activation": "tanh"},
        {"initialization": "glorot_normal"},
        {"initialization": "normal", "arguments": "std=0.3"},
        "A scale that suits one layer: see what is left of the differences between images after twenty.",
    ),
    (
        "Dropout breaks ties",
        {"initialization": "constant", "arguments": "value=0.004"},
        {"dropout": "0"},
        {"dropout": "0.2"},
        "All weights are equal. Only dropout treats the units differently: watch the distinct units.",
    ),
    (
        "Too big a step",
        {"initialization": "he_normal", "optimizer": "sgd", "dropout": "0"},
        {"learning_rate": "0.1"},
        {"learning_rate": "10"},
        "Plain descent from the same weights, with a step a hundred times as long.",
    ),
)


def presets() -> list[dict[str, Any]]:
    """The presets with every field filled in."""
    return [
        {"name": name, "watch": watch, "A": DEFAULTS | both | a, "B": DEFAULTS | both | b}
        for name, both, a, b, watch in PRESETS
    ]
