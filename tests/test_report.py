"""Reports: verdicts say only what the seeds allow, and results.json holds every number as JSON can."""

import dataclasses
import json
import math
import sys

import numpy as np
import pytest
from conftest import ROOT

from scratchnet import init
from scratchnet.data import split
from scratchnet.lab.comparison import blind_accuracy
from scratchnet.lab.experiment import Arm, Run, Settings, stream, train_stack
from scratchnet.lab.keys import environment
from scratchnet.report.results import results, write_json
from scratchnet.report.tables import Comparison, explanation, judged, last_loss, table, verdicts

sys.path.insert(0, str(ROOT / "scripts"))
import verdict_rates

A, B = Arm("a", "Arm A", init.zeros), Arm("b", "Arm B", init.ones)
PAIR = Comparison("a-vs-b", "A vs B", (A, B), {"a": (9.475, 2.304)})


def runs(arm, *accuracies, losses=(2.0, 1.0)):
    return [Run(arm, seed, np.array(losses), 1.0, accuracy) for seed, accuracy in enumerate(accuracies)]


def verdict(a, b):
    both = {"a": runs("a", *a), "b": runs("b", *b)}
    [sentence] = verdicts(PAIR, judged([PAIR], both))
    return sentence


# --- verdicts ---------------------------------------------------------------------------------------------------


def test_a_clear_difference_names_the_arm_that_is_ahead_first():
    a, b = (0.80, 0.81, 0.79, 0.80), (0.85, 0.86, 0.84, 0.86)
    assert verdict(a, b) == "Arm B is ahead of Arm A by 5.25 points (+4.45 to +6.05)."
    assert verdict(b, a) == "Arm A is ahead of Arm B by 5.25 points (+4.45 to +6.05)."


def test_an_interval_that_holds_zero_ranks_nobody():
    assert "cannot be told apart" in verdict((0.80, 0.81, 0.79), (0.81, 0.79, 0.80))


def test_a_difference_below_half_a_point_is_called_small():
    """0.3 points, the same for all seeds but for a little; then with an interval that reaches beyond half a point."""
    a = (0.8600, 0.8612, 0.8590, 0.8603, 0.8605)
    assert (
        verdict([x + 0.003 for x in a], a)
        == "Arm A and Arm B differ by less than half a point: 0.30 points (+0.30 to +0.30)."
    )
    b = [x + d for x, d in zip(a, (0.001, 0.0062, 0.0045, 0.0035, 0.0058), strict=True)]
    assert verdict(b, a).startswith("Arm A is ahead of Arm B by 0.42 points")
    assert verdict(b, a).endswith("a small difference.")


@pytest.mark.parametrize("seeds", [1, 2])
def test_one_or_two_seeds_are_too_few_for_a_verdict(seeds):
    sentence = verdict((0.5, 0.51)[:seeds], (0.9, 0.92)[:seeds])
    assert sentence.startswith("Arm A and Arm B: −40")
    assert sentence.endswith("a verdict needs at least 3 seeds.")


def test_a_single_arm_is_compared_with_always_naming_the_commonest_class():
    """Its accuracy differs from seed to seed, and an arm that does just that is not ahead of it."""
    alone = Comparison("a", "A", (A,), {})
    blind = [0.101, 0.098, 0.103]
    [sentence] = verdicts(alone, judged([alone], {"a": runs("a", 0.45, 0.44, 0.46)}, blind))
    assert sentence.startswith("Arm A is ahead of always naming the commonest class by 34.93 points")
    [sentence] = verdicts(alone, judged([alone], {"a": runs("a", *blind)}, blind))
    assert "differ by less than half a point: 0.00 points" in sentence


def test_a_sentence_that_starts_with_the_blind_guess_has_a_capital_and_a_minus_is_a_minus():
    alone = Comparison("a", "A", (A,), {})
    [sentence] = verdicts(alone, judged([alone], {"a": runs("a", 0.10, 0.10, 0.08)}, [0.10, 0.11, 0.10]))
    assert sentence.startswith("Always naming the commonest class and Arm A cannot be told apart: 1.00 points (−1.48 ")


def test_equal_shares_that_were_computed_in_two_ways_are_equal():
    """0.1 + 0.2 is not 0.3: without rounding, the same 5e-15 for each seed would be certain, with p = 0."""
    both = {"a": runs("a", *[0.1 + 0.2] * 3), "b": runs("b", *[0.3] * 3)}
    assert judged([PAIR], both)["a", "b"].p == 1


def test_what_the_verdicts_mean_is_said_in_80_columns():
    both = {"a": runs("a", 0.1, 0.2, 0.4), "b": runs("b", 0.3, 0.5, 0.4)}
    judgement = judged([PAIR], both)
    for count in (1, 250):
        many = {(str(i), "b"): judgement["a", "b"] for i in range(count)}
        for seeds in (1, 2, 3, 10, 1000):
            assert max(map(len, explanation(many, seeds).splitlines())) <= 80, explanation(many, seeds)
    assert 'a wrong "ahead" among these 250 verdicts is' in explanation(many, 10)


def test_a_blind_guess_is_the_commonest_class_of_the_training_images_and_is_right_as_often_as_validation_has_it():
    """The validation images have another commonest class, which nobody may know."""
    training, validation = split(1000, rng=stream(4, "split"), validation=0.2)
    labels = np.zeros(1000, np.uint8)
    labels[training[:500]], labels[validation[:30]], labels[validation[30:]] = 7, 7, 2
    assert math.isclose(blind_accuracy(labels, 4, Settings(validation=0.2)), 30 / 200)


def test_zeros_is_not_ahead_of_a_guess_that_names_the_commonest_class(dataset):
    """Only its last bias learns: on the validation images it names one class, the commonest of the training images."""
    settings = Settings(sizes=(784, 16, 10), epochs=2)
    zeros = train_stack([A], [0, 1, 2], dataset.images, dataset.labels, settings)
    for run in zeros:
        assert run.validation_accuracy <= 0.13
        assert abs(run.validation_accuracy - blind_accuracy(dataset.labels, run.seed, settings)) < 0.02


def some(keys, rng):
    """Five seeds of each arm, equal but for chance."""
    return {key: runs(key, *rng.normal(0.86, 0.003, size=5), losses=rng.random(2)) for key in keys}


def test_up_to_four_arms_are_judged_in_all_pairs_and_more_against_the_first(rng):
    """The reference is named before the run, and not chosen by what came out."""
    for count, expected in ((2, 1), (3, 3), (4, 6), (5, 4), (8, 7)):
        keys = "abcdefgh"[:count]
        comparison = Comparison("x", "X", tuple(Arm(key, key.upper()) for key in keys))
        sentences = verdicts(comparison, judged([comparison], some(keys, rng)))
        assert len(sentences) == expected
        if count > 4:
            assert all("A " in sentence for sentence in sentences)


def test_all_verdicts_of_a_run_are_corrected_together_and_a_pair_in_two_comparisons_is_judged_once(rng):
    first = Comparison("x", "X", tuple(Arm(key, key) for key in "ab"))
    second = Comparison("y", "Y", tuple(Arm(key, key) for key in "cba"))
    found = some("abc", rng)
    judgement = judged([first, second], found)
    assert set(judgement) == {("a", "b"), ("c", "b"), ("c", "a")}
    alone = judged([first], found)
    assert judgement["a", "b"].p == alone["a", "b"].p
    assert judgement["a", "b"].level > alone["a", "b"].level == 0.95
    assert verdicts(first, judgement)[0] == verdicts(second, judgement)[2]


def test_arms_that_start_from_equal_weights_are_the_same_and_not_judged(rng):
    found = some("ab", rng)
    found["c"] = [dataclasses.replace(run, arm="c") for run in found["a"]]
    comparison = Comparison("x", "X", tuple(Arm(key, key) for key in "abc"))
    judgement = judged([comparison], found)
    assert set(judgement) == {("a", "b"), ("b", "c")}
    assert "a and c are the same: they start from equal weights." in verdicts(comparison, judgement)


@pytest.mark.parametrize(("arms", "seeds"), [(2, 5), (3, 5), (4, 10), (8, 5), (22, 10)])
def test_some_verdict_is_wrong_in_at_most_one_run_of_twenty(rng, arms, seeds):
    """With no true difference: before the correction it was 13 % of runs with three arms, 22 % with four."""
    repeats = 300
    rate = verdict_rates.wrong(arms, seeds, repeats, rng)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


@pytest.mark.parametrize(
    ("arms", "seeds", "better", "least"),
    [(2, 10, 0.5, 0.75), (22, 10, 0.5, 0.25), (22, 10, 1.0, 0.95), (4, 5, 1.0, 0.5)],
)
def test_a_difference_that_is_there_is_found(rng, arms, seeds, better, least):
    assert verdict_rates.found(arms, seeds, better, 200, rng) >= least


@pytest.mark.parametrize(("arms", "seeds"), [(2, 5), (2, 10), (4, 10)])
def test_a_difference_of_half_a_point_is_seldom_said_to_be_less(rng, arms, seeds):
    repeats = 300
    rate = verdict_rates.dismissed(arms, seeds, repeats, rng)
    assert rate <= 0.05 + 3 * math.sqrt(0.05 * 0.95 / repeats)


# --- tables and results.json ------------------------------------------------------------------------------------


def test_the_table_is_in_the_lessons_terms_with_what_the_lesson_reported():
    text = table(PAIR, {"a": runs("a", 0.09, 0.11), "b": runs("b", 0.5, 0.6, losses=(1.0, math.inf))})
    head, first, second, below = text.splitlines()
    assert head.split("  ")[-2:] == ["lesson", "its loss"] or head.endswith("its loss")
    assert "10.00 ± 1.41 %" in first
    assert "1.500 ± 0.000" in first  # the mean of the last batches: there are two
    assert "9.475 %" in first
    assert "2.304" in first
    assert "55.00 ± 7.07 %" in second
    assert below == "  diverged in 2 of 2 seeds"


def test_results_are_json_with_null_where_there_is_no_number(tmp_path, dataset):
    content = results(
        [PAIR],
        {"a": runs("a", 0.1, 0.2), "b": runs("b", 0.5, 0.6, losses=(1.0, math.nan))},
        dataset,
        Settings(),
        judged([PAIR], {"a": runs("a", 0.1, 0.2), "b": runs("b", 0.5, 0.6)}),
        quick=True,
        command=["compare.py", "--quick"],
    )
    write_json(tmp_path / "results.json", content)
    read = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert read == content
    assert read["dataset"] == {
        "name": dataset.name,
        "sha256": dataset.sha256,
        "stand_in": dataset.stand_in,
        "train": 4800,
        "validation": 1200,
    }
    assert read["command"] == ["compare.py", "--quick"]
    assert read["quick"] is True
    assert (
        read["settings"].items()
        >= {
            "epochs": 2,
            "batch_size": 100,
            "learning_rate": 0.001,
            "seeds": [0, 1],
            "activation": "relu",
            "optimizer": "adam",
            "device": "cpu",
            "dtype": "float32",
        }.items()
    )
    assert read["environment"] == environment()
    assert read["verdicts"] == [
        {
            "arms": ["a", "b"],
            "points": -40.0,
            "low": None,
            "high": None,
            "level": None,
            "p": None,
            "established": False,
        }
    ]
    [comparison] = read["comparisons"]
    assert comparison["verdicts"] == ["Arm A and Arm B: −40.00 points; a verdict needs at least 3 seeds."]
    assert (comparison["key"], comparison["title"]) == ("a-vs-b", "A vs B")
    first, second = comparison["arms"]
    assert (first["key"], first["label"], first["validation_accuracy"]) == ("a", "Arm A", [0.1, 0.2])
    assert first["training_loss"] == [[2.0, 1.0], [2.0, 1.0]]
    assert second["training_loss"] == [[1.0, None], [1.0, None]]
    assert (first["diverged"], second["diverged"]) == ([False, False], [True, True])


def test_a_comparison_that_is_not_the_lessons_has_no_column_for_it():
    text = table(Comparison("x", "X", (A, B)), {"a": runs("a", 0.1, 0.2), "b": runs("b", 0.1, 0.2)})
    assert "lesson" not in text


def test_the_lessons_numbers_stand_only_beside_the_lessons_own_settings():
    text = table(PAIR, {"a": runs("a", 0.09, 0.11), "b": runs("b", 0.5, 0.6)}, lesson=False)
    assert "9.475" not in text
    assert "lesson" not in text


def test_the_loss_of_a_table_is_the_mean_of_the_last_100_batches():
    """A single batch's is noise: 8.4 ± 6.9 for U[0, 1)."""
    losses = np.repeat([9.0, 1.0, 3.0], 50)
    assert last_loss(runs("a", 0.1, losses=losses)[0]) == 2.0


def test_a_table_of_the_lesson_fits_in_80_columns():
    a, b = Arm("a", "Uniform centered [−0.5, 0.5)"), Arm("b", "General rule, uniform")
    pair = Comparison("x", "X", (a, b), {"b": (10.175, 1914.703)})
    losses = 1914.0, 1900.0, math.inf
    text = table(pair, {"a": runs("a", 0.8, 0.81, losses=losses), "b": runs("b", 0.8, 0.82, losses=losses[:2])})
    assert "1,907 ± 0" in text
    assert max(len(line) for line in text.splitlines()) <= 80
