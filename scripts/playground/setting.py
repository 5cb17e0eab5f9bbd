"""One of the two settings of the playground: read from the fields of the page, within limits, and told in words."""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import cli

from scratchnet import init
from scratchnet.lab import parts
from scratchnet.lab.experiment import Arm, Settings, bytes_of_a_network, named

DEPTH, WIDTH, BATCH, SEED, ARGUMENTS = 50, 1000, 1000, 2**32 - 1, 80
BYTES = 400_000_000  # that one network may take
CHOICES = {
    "initialization": list(init.SCHEMES | init.PREPARATIONS),
    "activation": list(parts.ACTIVATIONS),
    "normalization": ["none", *parts.NORMALIZATIONS],
    "optimizer": list(parts.OPTIMIZERS),
}


class Refused(ValueError):
    """A message cannot be followed: one sentence says why, and `field` names what to change, if it is one field."""

    def __init__(self, sentence: str, field: str = "") -> None:
        super().__init__(sentence)
        self.field = field


def up_to(most: int, least: int = 1) -> Callable[[str], int]:
    """The argparse type of an integer from `least` to `most`."""

    def parse(text: str) -> int:
        try:
            value = cli.whole(least)(text)
        except argparse.ArgumentTypeError:
            value = most + 1
        if value > most:
            raise argparse.ArgumentTypeError(f"expected an integer from {least} to {most:,}, got {text!r}")
        return value

    return parse


def one_of(names: list[str]) -> Callable[[str], str]:
    """The argparse type of one of these names."""

    def parse(text: str) -> str:
        if text not in names:
            raise argparse.ArgumentTypeError(f"expected one of {', '.join(names)}, got {text!r}")
        return text

    return parse


def arguments(text: str) -> str:
    """The argparse type of an initialization's arguments, such as gain=1.3, or nothing."""
    if len(text) > ARGUMENTS or ":" in text:
        raise argparse.ArgumentTypeError(f"expected arguments such as gain=1.3, got {text[:ARGUMENTS]!r}")
    return text.strip()


# The fields of a setting: what the page calls them, what reads their text, and what they are if nobody says.
FIELDS: dict[str, tuple[str, Callable[[str], Any], str]] = {
    "initialization": ("initialization", one_of(CHOICES["initialization"]), "rule_normal"),
    "arguments": ("arguments of the initialization", arguments, ""),
    "depth": ("number of hidden layers", up_to(DEPTH, 0), "2"),
    "width": ("width", up_to(WIDTH), "256"),
    "taper": ("taper", one_of(["no", "yes"]), "yes"),
    "activation": ("activation", one_of(CHOICES["activation"]), "relu"),
    "normalization": ("normalization", one_of(CHOICES["normalization"]), "none"),
    "dropout": ("dropout", cli.probability, "0.2"),
    "optimizer": ("optimizer", one_of(CHOICES["optimizer"]), "adam"),
    "learning_rate": ("learning rate", cli.positive, "0.001"),
    "batch_size": ("batch size", up_to(BATCH), "100"),
}
DEFAULTS = {name: default for name, (_, _, default) in FIELDS.items()}


@dataclass(frozen=True)
class Setting:
    """How one network starts and trains. `values` are those of the fields, read."""

    values: Mapping[str, Any]
    arm: Arm
    settings: Settings

    @property
    def hidden(self) -> tuple[int, ...]:
        return self.settings.sizes[1:-1]

    @property
    def label(self) -> str:
        return self.arm.label


def value(text: Any, parse: Callable[[str], Any], name: str, field: str) -> Any:
    """The value of a field's text; raises Refused, in a sentence that begins with its name."""
    if not isinstance(text, (str, int, float)) or isinstance(text, bool):
        raise Refused(f"{name}: expected a text or a number, got {type(text).__name__}", field)
    try:
        return parse(str(text))
    except argparse.ArgumentTypeError as error:
        raise Refused(f"{name}: {error}", field) from None


def read(fields: Any, side: str, n_in: int, classes: int) -> Setting:
    """The setting of `side`, A or B, for images of n_in pixels. Raises Refused."""
    if not isinstance(fields, dict):
        raise Refused(f"{side}: expected an object with the fields of a setting, got {type(fields).__name__}")
    if unknown := sorted(fields.keys() - FIELDS.keys()):
        raise Refused(f"{side}: there is no field {unknown[0]!r}; there are {', '.join(FIELDS)}")
    values = {
        field: value(fields.get(field, default), parse, f"{side}, {label}", f"{side}.{field}")
        for field, (label, parse, default) in FIELDS.items()
    }
    if not values["learning_rate"] <= 1e6:
        raise Refused(f"{side}, learning rate: expected at most 1,000,000", f"{side}.learning_rate")
    text = values["initialization"] + (f":{values['arguments']}" if values["arguments"] else "")
    try:
        arm = named(text)
    except parts.PartError as error:
        raise Refused(f"{side}: {error}", f"{side}.arguments") from None
    settings = Settings(
        sizes=(n_in, *hidden(values["depth"], values["width"], values["taper"] == "yes"), classes),
        activation=parts.ACTIVATIONS[values["activation"]],
        normalization=parts.NORMALIZATIONS.get(values["normalization"]),
        dropout=values["dropout"],
        optimizer=parts.OPTIMIZERS[values["optimizer"]],
        learning_rate=values["learning_rate"],
        batch_size=values["batch_size"],
        epochs=1,
    )
    if settings.normalization is not None and settings.batch_size == 1 and values["normalization"] == "batch":
        raise Refused(f"{side}: batch normalization needs a batch of at least two images", f"{side}.batch_size")
    if (needed := bytes_needed(settings)) > BYTES:
        size = f"this network needs {needed / 1e6:,.0f} MB, and one may take {BYTES / 1e6:,.0f} MB here"
        raise Refused(f"{side}: {size}: choose fewer or narrower layers", f"{side}.width")
    return Setting(values, arm, settings)


def hidden(depth: int, width: int, taper: bool) -> tuple[int, ...]:
    """The sizes of the hidden layers; with `taper` each is half as wide as the one before, the lesson's 256, 128."""
    return tuple(max(1, width >> i) if taper else width for i in range(depth))


def bytes_needed(settings: Settings) -> float:
    """What a network takes, from its sizes alone where it is too large to be made for the purpose."""
    weights = sum(a * b for a, b in zip(settings.sizes, settings.sizes[1:], strict=False))
    return 16 * weights if 16 * weights > BYTES else bytes_of_a_network(settings)


def difference(a: Setting, b: Setting, same_weights: bool) -> tuple[int, str]:
    """In how many things B differs from A, and the words for it. `same_weights`: whether they start with equal ones."""
    found = []
    for name, (label, _, _) in FIELDS.items():
        if name in ("arguments", "taper") or (name, a.values["depth"], b.values["depth"]) == ("width", 0, 0):
            continue
        one, other = (_shown(setting, name) for setting in (a, b))
        if one != other:
            found.append(f"the {label} ({other} instead of {one})")
    if not found:
        return 0, "A and B are equal, so their curves are too, to the last bit."
    if len(found) == 1:
        return 1, f"B differs from A in one thing: {found[0]}. {_shared(a, b, same_weights)}"
    listed = f"{', '.join(found[:-1])} and {found[-1]}"
    return len(found), (
        f"B differs from A in {len(found)} things: {listed}. What you see cannot say which of them is the cause."
    )


def _shown(setting: Setting, name: str) -> str:
    if name == "initialization":
        return setting.label
    if name == "width":
        widths = setting.hidden
        return "–".join(dict.fromkeys(map(str, (widths[:1] + widths[-1:])))) if widths else "none"
    shown = setting.values[name]
    return f"{shown:g}" if isinstance(shown, float) and math.isfinite(shown) else str(shown)


def _shared(a: Setting, b: Setting, same_weights: bool) -> str:
    """What else the two have in common, as far as their one difference allows."""
    images = "the same images for training, in the same order"
    if a.settings.batch_size != b.settings.batch_size:
        return (
            f"They share {images}; only the batches are cut differently, and a step of one is not a step of the other."
        )
    if a.settings.dropout == b.settings.dropout == 0:
        masks = ""
    elif a.settings.dropout == 0 or b.settings.dropout == 0:
        masks = ", and one of them draws no dropout masks"
    elif a.hidden != b.hidden:
        masks = ", and dropout masks from the same random numbers, which their own shapes cut differently"
    else:
        masks = ", and the same random numbers behind their dropout masks"
    weights = ", the same initial weights" if same_weights else ""
    return f"They share the seed{weights}, {images} and in the same batches{masks}."
