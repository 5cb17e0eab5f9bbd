"""lab/checks.py: what cannot be compared is refused in one sentence, before anything is trained."""

import math
from dataclasses import replace

import numpy as np
import pytest

from scratchnet import init
from scratchnet.data import Dataset
from scratchnet.lab.comparison import compare
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.lab.rates import choose

SETTINGS = Settings(sizes=(6, 4, 3), epochs=1, batch_size=5)
ARM = Arm("he", "He", init.he_normal)
X = np.random.default_rng(0).random((20, 6), dtype=np.float32)
LABELS = np.arange(20, dtype=np.uint8) % 3
DATA = Dataset("synthetic", X, LABELS, X[:0], LABELS[:0], classes=("a", "b", "c"))

NUMBERS = [
    *[("batch_size", value, "expected an integer ≥ 1") for value in (0, -1, 2.5, math.nan, True)],
    *[("epochs", value, "expected an integer ≥ 0") for value in (-1, 1.5, "2")],
    *[("dropout", value, "expected a probability, 0 ≤ p < 1") for value in (-1, math.nan, 1.0, "0")],
    *[("learning_rate", value, "expected a finite number ≥ 0") for value in (-1, math.nan, math.inf, "x", None)],
    *[("validation", value, "expected a share between 0 and 1") for value in (0, 1, -0.1, math.nan)],
    *[("sizes", value, "expected at least two integers ≥ 1") for value in ((), (6,), (6, 0, 3), (6, 2.5, 3), "63")],
    *[("dtype", value, "expected float32 or float64") for value in ("float16", "int32", "nonsense", None)],
    *[("device", value, "expected cpu or cuda") for value in ("tpu", None, "auto")],
]


@pytest.mark.parametrize(("name", "value", "message"), NUMBERS, ids=[f"{name} {value!r}" for name, value, _ in NUMBERS])
def test_settings_that_nothing_can_be_trained_with_are_refused(name, value, message):
    with pytest.raises(ValueError, match=f"^{name}: {message}, got "):
        replace(SETTINGS, **{name: value})


nan = np.where(X == X[3, 3], np.nan, X)
WORK = {
    "no arms": ({"arms": []}, "at least one arm and one seed, got 0 arms and 1 seeds"),
    "no seeds": ({"seeds": []}, "at least one arm and one seed, got 1 arms and 0 seeds"),
    "a number of seeds": ({"seeds": 3}, "seeds: expected a list, got 3"),
    "a negative seed": ({"seeds": [0, -1]}, "seeds: expected integers ≥ 0, got -1"),
    "a fractional seed": ({"seeds": [0.5]}, r"seeds: expected integers ≥ 0, got 0\.5"),
    "a seed twice": ({"seeds": [1, 1]}, r"expected each seed once, got \[1, 1\]"),
    "one arm": ({"arms": ARM}, "arms: expected a list"),
    "the name of an arm": ({"arms": "he_normal"}, "arms: expected a list, got 'he_normal'"),
    "names of arms": ({"arms": ["he_normal"]}, "expected objects of Arm, got 'he_normal'"),
    "a key twice": ({"arms": [ARM, ARM]}, "a key of its own for each arm, got he, he"),
    "no jobs": ({"jobs": 0}, "jobs: expected an integer ≥ 1, got 0"),
    "an arm's negative rate": ({"arms": [replace(ARM, learning_rate=-1)]}, "learning_rate of He: expected a finite"),
    "an arm's missing rate": ({"arms": [replace(ARM, learning_rate={1: 0.1})]}, "there is none for the seed 0"),
    "too few labels": ({"labels": LABELS[:9]}, r"one for each of 20 images, got an array of shape \(9,\)"),
    "more labels than images": ({"labels": np.tile(LABELS, 2)}, r"one for each of 20 images, got .* \(40,\)"),
    "columns of labels": ({"labels": LABELS[:, None]}, "one for each of 20 images"),
    "fractional labels": ({"labels": LABELS.astype(float)}, "labels must be integers in 0 … 2, got float64"),
    "negative labels": ({"labels": LABELS.astype(int) - 1}, "labels must lie in 0 … 2 for 3 classes, got -1 … 1"),
    "a label too many": ({"labels": LABELS + np.uint8(1)}, "got 1 … 3"),
    "pixels that are NaN": ({"images": nan}, "images: expected finite numbers"),
    "pixels that are infinite": ({"images": np.where(X == X[3, 3], np.inf, X)}, "images: expected finite numbers"),
    "bytes": ({"images": (X * 255).astype(np.uint8)}, "expected rows of floating-point numbers, got uint8"),
    "pictures": ({"images": X.reshape(20, 2, 3)}, r"expected rows .*, got float32 of shape \(20, 2, 3\)"),
    "a list": ({"images": X.tolist()}, "expected rows of floating-point numbers, got list"),
    "no images": ({"images": X[:0], "labels": LABELS[:0]}, "got 0 images and a validation share of 0.2: that leaves 0"),
    "two images": ({"images": X[:2], "labels": LABELS[:2]}, "got 2 images and .*: that leaves 2 and 0"),
}


@pytest.mark.parametrize("case", WORK)
def test_what_cannot_be_compared_is_refused_before_anything_is_trained(case):
    given, message = WORK[case]
    data = replace(DATA, **{name: given[name] for name in ("images", "labels") if name in given})
    options = {"seeds": [0], "jobs": 1} | {name: given[name] for name in ("seeds", "jobs") if name in given}
    with pytest.raises(ValueError, match=message):
        compare(given.get("arms", [ARM]), data, SETTINGS, **options)


@pytest.mark.parametrize("rates", [[0.1, math.nan], [0.1, -1], [0.1]])
def test_rates_that_nothing_can_be_chosen_from_are_refused(rates):
    with pytest.raises(ValueError, match=r"learning_rate of He: expected a finite number|at least two learning rates"):
        choose([ARM], DATA, SETTINGS, rates, seeds=[0], jobs=1)


def test_a_validation_share_that_leaves_nothing_to_choose_with_is_refused():
    small = replace(DATA, images=X[:3], labels=LABELS[:3])
    compare([ARM], small, SETTINGS, seeds=[0], jobs=1)  # two images to train on, and one to validate with
    with pytest.raises(ValueError, match=r"got 2 images and a validation share of 0\.2: that leaves 2 and 0"):
        choose([ARM], small, SETTINGS, [0.1, 0.2], seeds=[0])


def test_the_smallest_comparison_is_made():
    [run] = compare([ARM], replace(DATA, images=X[:3], labels=LABELS[:3]), SETTINGS, seeds=[10**12], jobs=1)
    assert math.isfinite(run.validation_loss)
