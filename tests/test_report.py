"""Reports: verdicts say only what the seeds allow, and results.json holds every number as JSON can."""

import json
import math

import numpy as np

from scratchnet import init
from scratchnet.lab.experiment import Arm, Run, Settings
from scratchnet.report.results import results, write_json
from scratchnet.report.tables import Comparison, table, verdicts

A, B = Arm("a", "Arm A", init.zeros), Arm("b", "Arm B", init.ones)
PAIR = Comparison("a-vs-b", "A vs B", (A, B), {"a": (9.475, 2.304)})


def runs(arm, *accuracies, losses=(2.0, 1.0)):
    return [Run(arm, seed, np.array(losses), 1.0, accuracy) for seed, accuracy in enumerate(accuracies)]


def verdict(a, b):
    [sentence] = verdicts(PAIR, {"a": runs("a", *a), "b": runs("b", *b)})
    return sentence


def test_a_clear_difference_names_the_arm_that_is_ahead_first():
    a, b = (0.80, 0.81, 0.79, 0.80), (0.85, 0.86, 0.84, 0.86)
    assert verdict(a, b) == "Arm B is ahead of Arm A by 5.25 points (95 %: +4.45 to +6.05)."
    assert verdict(b, a) == "Arm B is ahead of Arm A by 5.25 points (95 %: +4.45 to +6.05).".replace(
        "B is ahead of Arm A", "A is ahead of Arm B"
    )


def test_an_interval_that_holds_zero_ranks_nobody():
    assert "cannot be told apart" in verdict((0.80, 0.81, 0.79), (0.81, 0.79, 0.80))


def test_seeds_are_paired():
    """Each seed alone says +1; unpaired, the spread between seeds would hide it."""
    assert "ahead" in verdict((0.50, 0.70, 0.90), (0.51, 0.71, 0.91))


def test_one_seed_shows_nothing_of_the_spread():
    assert "one seed, which shows nothing of the spread" in verdict((0.5,), (0.9,))


def test_a_single_arm_is_compared_with_a_blind_guess():
    alone = Comparison("a", "A", (A,), {})
    [sentence] = verdicts(alone, {"a": runs("a", 0.45, 0.44, 0.46)})
    assert sentence.startswith("Arm A is ahead of a blind guess (10 %) by 35.00 points")


def test_three_arms_make_three_verdicts():
    three = Comparison("x", "X", (A, B, Arm("c", "Arm C", init.zeros)), {})
    assert len(verdicts(three, {key: runs(key, 0.1, 0.2) for key in "abc"})) == 3


def test_the_table_is_in_the_lessons_terms_with_what_the_lesson_reported():
    text = table(PAIR, {"a": runs("a", 0.09, 0.11), "b": runs("b", 0.5, 0.6, losses=(1.0, math.inf))})
    head, first, second = text.splitlines()
    assert head.split("  ")[-1].strip() == "loss"
    assert "10.00 ± 1.41 %" in first
    assert "1.000 ± 0.000" in first
    assert "9.475 %" in first
    assert "2.304" in first
    assert "diverged in 2 of 2 seeds" in second
    assert "–" in second


def test_results_are_json_with_null_where_there_is_no_number(tmp_path, dataset):
    content = results(
        [PAIR],
        {"a": runs("a", 0.1, 0.2), "b": runs("b", 0.5, 0.6, losses=(1.0, math.nan))},
        dataset,
        Settings(),
    )
    write_json(tmp_path / "results.json", content)
    read = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert read == content
    assert read["dataset"] == {"name": dataset.name, "stand_in": dataset.stand_in, "train": 4800, "validation": 1200}
    assert (
        read["settings"].items()
        >= {
            "epochs": 2,
            "batch_size": 100,
            "learning_rate": 0.001,
            "seeds": 2,
            "device": "cpu",
            "dtype": "float32",
        }.items()
    )
    assert read["environment"].keys() == {"python", "numpy", "scratchnet", "platform", "blas"}
    [comparison] = read["comparisons"]
    assert (comparison["key"], comparison["title"]) == ("a-vs-b", "A vs B")
    first, second = comparison["arms"]
    assert (first["key"], first["label"], first["validation_accuracy"]) == ("a", "Arm A", [0.1, 0.2])
    assert first["training_loss"] == [[2.0, 1.0], [2.0, 1.0]]
    assert second["training_loss"] == [[1.0, None], [1.0, None]]
    assert (first["diverged"], second["diverged"]) == ([False, False], [True, True])


def test_of_many_arms_the_best_is_compared_with_each_of_the_others():
    arms = tuple(Arm(key, key.upper()) for key in "abcdef")
    sentences = verdicts(Comparison("x", "X", arms), {k: runs(k, 0.1 * i, 0.1 * i) for i, k in enumerate("abcdef")})
    assert len(sentences) == 5
    assert all(sentence.startswith("F ") for sentence in sentences)


def test_the_intervals_of_many_arms_hold_all_together(rng):
    """Ten equal arms: the best, chosen after the fact, is ahead of another in no more than one case in twenty."""
    arms = tuple(Arm(f"arm{i}", f"arm{i}") for i in range(10))
    false_alarms = 0
    for _ in range(100):
        some = {arm.key: runs(arm.key, *rng.normal(0.5, 0.01, size=5)) for arm in arms}
        sentences = verdicts(Comparison("x", "X", arms), some)
        assert all("95 % for all pairs together" in sentence for sentence in sentences)
        false_alarms += any("ahead" in sentence for sentence in sentences)
    assert false_alarms <= 12


def test_a_comparison_that_is_not_the_lessons_has_no_column_for_it():
    text = table(Comparison("x", "X", (A, B)), {"a": runs("a", 0.1, 0.2), "b": runs("b", 0.1, 0.2)})
    assert "lesson" not in text
