"""Papers' claims, re-run: a file a claim. `study.py` beside this folder says what a study is."""

import importlib

from scratchnet.lab.study import Study

NAMES = (
    "identical_units",
    "any_activation",
    "born_dead",
    "momentum",
    "lottery",
    "shape_or_scale",
    "normalization_forgives",
    "fixup",
    "skipinit",
    "dropout_scale",
    "vanishing_gradients",
    "shattered_gradients",
    "deep_linear",
    "isometry",
    "self_normalizing",
    "width_and_rate",
    "trainable_depth",
    "he_depth",
    "finite_width",
)


def study(name: str) -> Study:
    """The study called `name`, one of NAMES."""
    found: Study = importlib.import_module(f"scratchnet.lab.studies.{name}").STUDY
    return found
