"""Papers' claims, re-run: a file a claim. `study.py` beside this folder says what a study is."""

import importlib

from scratchnet.lab.study import Study

NAMES = (
    "shape_or_scale",
    "identical_units",
    "vanishing_gradients",
    "he_depth",
    "born_dead",
    "finite_width",
    "shattered_gradients",
    "trainable_depth",
    "dropout_scale",
    "momentum",
    "any_activation",
    "self_normalizing",
    "deep_linear",
    "isometry",
    "width_and_rate",
    "lottery",
    "normalization_forgives",
    "fixup",
    "skipinit",
)


def study(name: str) -> Study:
    """The study called `name`, one of NAMES."""
    found: Study = importlib.import_module(f"scratchnet.lab.studies.{name}").STUDY
    return found
