"""Papers' claims, re-run: a file a claim. `study.py` beside this folder says what a study is."""

import importlib

from scratchnet.lab.study import Study

NAMES = (
    "identical_units",
    "born_dead",
    "dropout_scale",
    "vanishing_gradients",
    "shattered_gradients",
    "trainable_depth",
    "he_depth",
    "finite_width",
)


def study(name: str) -> Study:
    """The study called `name`, one of NAMES."""
    found: Study = importlib.import_module(f"scratchnet.lab.studies.{name}").STUDY
    return found
