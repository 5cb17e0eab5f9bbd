"""Each arm's own best learning rate: chosen fairly, applied exactly, and said."""

import dataclasses
import json

import numpy as np
import pytest
from comparing import ARMS, SETTINGS, same
from conftest import ROOT

from scratchnet import init
from scratchnet.data import Dataset, pixels, synthetic
from scratchnet.lab.comparison import compare
from scratchnet.lab.experiment import Arm, Settings, rows, train_stack
from scratchnet.lab.rates import Choice, choose
from scratchnet.optim import SGD, Adam
from scratchnet.report.tables import chosen_rates, ends

RATES = (0.0003, 0.003, 0.03)
HE = Arm("he", "he", init.he_normal)


@pytest.fixture(scope="module")
def drawn():
    """1500 garments drawn by code."""
    images, labels = synthetic.draw(1500, rng=np.random.default_rng(0))
    return Dataset("synthetic", pixels(images), labels, pixels(images[:0]), labels[:0])


@pytest.fixture(scope="module")
def choice(drawn):
    return choose([HE, ARMS[3]], drawn, SETTINGS, RATES, seeds=[0, 1], jobs=1)


# --- the choice ------------------------------------------------------------------------------------------------


def test_the_choice_never_looks_at_the_validation_images_that_are_reported(drawn, choice):
    """For each seed, its validation images become noise with wrong labels: what the seed chooses stays as it is."""
    for i, seed in enumerate(choice.seeds):
        _, validation = rows(len(drawn.images), seed, SETTINGS)
        images, labels = drawn.images.copy(), drawn.labels.copy()
        images[validation] = np.random.default_rng(1).random((len(validation), 784))
        labels[validation] = (labels[validation] + 1) % 10
        poisoned = choose([HE], dataclasses.replace(drawn, images=images, labels=labels), SETTINGS, RATES, seeds=[seed])
        np.testing.assert_array_equal(poisoned.accuracy["he"][0], choice.accuracy["he"][i])
        assert poisoned.best("he")[seed] == choice.best("he")[seed]


def test_the_choice_does_look_at_the_training_images(drawn, choice):
    """The test above can fail: the same poison on the images for choosing changes the accuracies."""
    _, tuning = rows(len(drawn.images), 0, dataclasses.replace(SETTINGS, choosing=True))
    labels = drawn.labels.copy()
    labels[tuning] = (labels[tuning] + 1) % 10
    poisoned = choose([HE], dataclasses.replace(drawn, labels=labels), SETTINGS, RATES, seeds=[0])
    assert not np.array_equal(poisoned.accuracy["he"][0], choice.accuracy["he"][0])


def test_the_images_of_a_seed_are_in_one_of_three_parts():
    training, validation = rows(1000, 3, SETTINGS)
    inner, tuning = rows(1000, 3, dataclasses.replace(SETTINGS, choosing=True))
    assert sorted([*inner, *tuning]) == training.tolist()
    assert sorted([*training, *validation]) == list(range(1000))
    assert [len(part) for part in (inner, tuning, validation)] == [640, 160, 200]


def test_steps_counts_those_of_choosing():
    assert Settings().steps(60_000) == 2 * 480
    assert Settings(choosing=True).steps(60_000) == 2 * 384


def test_the_weights_of_choosing_are_not_those_that_are_reported(drawn):
    """But all arms and rates of a seed have the same ones."""
    weights = []

    def recorded(shape, *, rng):
        weights.append(init.he_normal(shape, rng=rng))
        return weights[-1]

    arms = [Arm("a", "a", recorded), Arm("b", "b", recorded)]
    for choosing in (False, True):
        train_stack(arms, [0], drawn.images, drawn.labels, dataclasses.replace(SETTINGS, choosing=choosing, epochs=0))
    reported, _, _, again, _, _, choosing, _, _, too, _, _ = weights  # three layers each
    np.testing.assert_array_equal(reported, again)
    np.testing.assert_array_equal(choosing, too)
    assert not np.isclose(reported, choosing).all(axis=0).any()


def test_the_best_accuracy_wins_and_a_rate_that_diverged_never_does_unless_all_did():
    nan = np.nan
    accuracy = np.array([[0.2, 0.8, 0.5], [0.4, 0.4, 0.1], [nan, 0.1, nan], [nan, nan, nan]])
    choice = Choice(RATES, (4, 5, 6, 7), {"a": accuracy})
    assert choice.best("a") == {4: 0.003, 5: 0.0003, 6: 0.003, 7: 0.0003}  # of equals, the smallest


def test_one_rate_that_explodes_is_not_chosen(drawn):
    explode = choose([HE], drawn, SETTINGS, [1e38, 0.001], seeds=[0])
    assert np.isnan(explode.accuracy["he"][0, 1])
    assert explode.best("he") == {0: 0.001}


@pytest.mark.parametrize("rates", [[], [0.1], [0.1, 0.1]])
def test_fewer_than_two_rates_are_no_choice(drawn, rates):
    with pytest.raises(ValueError, match="at least two learning rates"):
        choose([HE], drawn, SETTINGS, rates, seeds=[0])


def test_the_choice_does_not_depend_on_the_number_of_jobs_nor_on_the_other_arms(drawn, choice):
    alone = choose([HE], drawn, SETTINGS, RATES[::-1], seeds=[1], jobs=2)
    np.testing.assert_array_equal(alone.accuracy["he"][0], choice.accuracy["he"][1])


# --- training with a rate of one's own --------------------------------------------------------------------------


def own(arm, rate):
    return dataclasses.replace(arm, key=f"{arm.key} {rate}", learning_rate=rate)


@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_arms_with_rates_of_their_own_train_side_by_side_as_they_do_alone(drawn, optimizer):
    """To the last bit, with one rate for each seed too; and as with the rate in the settings."""
    settings = dataclasses.replace(SETTINGS, optimizer=optimizer)
    arms = [own(HE, 0.003), own(ARMS[0], {3: 0.01, 5: 0.0001}), ARMS[1]]
    together = train_stack(arms, [3, 5], drawn.images, drawn.labels, settings)
    for run in together:
        arm = next(arm for arm in arms if arm.key == run.arm)
        plain = dataclasses.replace(arm, learning_rate=None)
        alone = dataclasses.replace(settings, learning_rate=arm.rate(run.seed, settings))
        assert same(run, train_stack([plain], [run.seed], drawn.images, drawn.labels, alone)[0])


def test_the_settings_rate_given_to_every_arm_changes_nothing(drawn):
    without = compare(ARMS[:2], drawn, SETTINGS, seeds=[0], jobs=1)
    given = compare([dataclasses.replace(a, learning_rate=0.001) for a in ARMS[:2]], drawn, SETTINGS, seeds=[0], jobs=1)
    assert all(same(a, b) for a, b in zip(without, given, strict=True))


class Sign:
    """An optimizer of one's own that knows one number for a learning rate, and no arrays."""

    def __init__(self, theta, grad, *, learning_rate):
        assert isinstance(learning_rate, float)
        self.theta, self.grad, self.learning_rate = theta, grad, learning_rate

    def step(self):
        np.subtract(self.theta, self.learning_rate * np.sign(self.grad), out=self.theta)


def test_an_optimizer_of_ones_own_needs_to_know_nothing_of_other_rates(drawn):
    settings = dataclasses.replace(SETTINGS, optimizer=Sign)
    slow, fast = train_stack([own(HE, 1e-4), own(HE, 1e-3)], [0], drawn.images, drawn.labels, settings)
    assert slow.training_loss[0] == fast.training_loss[0]
    assert slow.training_loss[-1] > fast.training_loss[-1]


def test_arms_that_differ_in_their_rates_alone_are_both_trained(drawn):
    slow, fast = compare([own(HE, 1e-4), own(HE, 1e-2)], drawn, SETTINGS, seeds=[0], jobs=1)
    assert slow.training_loss[-1] > fast.training_loss[-1]


# --- what is said -----------------------------------------------------------------------------------------------


def test_an_arm_says_its_rates_and_has_one_for_each_seed():
    choice = Choice(RATES, (0, 1), {"he": np.array([[0.2, 0.8, 0.5], [0.2, 0.4, 0.5]])})
    arm = choice.applied(HE)
    assert (arm.label, arm.rate(0, SETTINGS), arm.rate(1, SETTINGS)) == ("he at 0.003–0.03", 0.003, 0.03)
    assert hash(arm) is not None
    one = Choice(RATES, (0,), {"he": np.array([[0.2, 0.8, 0.5]])})
    assert one.applied(HE).label == "he at 0.003"


def test_a_best_rate_at_the_end_of_those_tried_is_said():
    accuracy = np.array([[0.2, 0.5, 0.8], [0.9, 0.1, np.nan], [0.3, 0.3, 0.3]])
    choice = Choice(RATES, (0, 1, 2), {"he": accuracy})
    assert ends(choice, [HE]) == [
        "he: the best rate of 1 of 3 seeds is the smallest that was tried, 0.0003. Try smaller ones too.",
        "he: the best rate of 1 of 3 seeds is the largest that was tried, 0.03. Try larger ones too.",
    ]
    assert chosen_rates(choice, [HE]).splitlines() == [
        "      0.0003     0.003      0.03",
        "he   46.67 %   30.00 %  diverged",
    ]


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ("0.001,x", "argument --learning-rates: expected a number > 0, got 'x'"),
        ("0.001,", "expected a number > 0, got ''"),
        ("0.001,0", "expected a number > 0, got '0'"),
        ("0.001,inf", "expected a number > 0, got 'inf'"),
        ("0.001,1e-3", "expected each rate once, got 0.001 and 1e-3 in '0.001,1e-3'"),
        ("0.001", "expected several rates with commas between them, got '0.001' (one for all arms is --learning-rate)"),
        (
            "0.001,0.1 --learning-rate 0.1",
            "--learning-rate is one rate for all arms: leave it out, or --learning-rates",
        ),
    ],
)
def test_rates_that_make_no_choice_are_refused_in_one_sentence(script, rates, message):
    code, _, err = script("--learning-rates", *rates.split(" "))
    assert code == 2
    assert err.splitlines()[-1].endswith(message)


def test_one_command_chooses_and_says_what_it_chose(script, tmp_path):
    code, out, err = script(
        *("--arms", "he_normal,zeros", "--learning-rates", "0.003,0.001", "--hidden", "16"),
        *("--quick", "--seeds", "1", "--jobs", "1", "--dataset", "synthetic", "--out", str(tmp_path)),
    )
    assert (code, err) == (0, ""), err
    found = json.loads((tmp_path / "results.json").read_text("utf-8"))
    chosen = found["learning_rates"]
    assert chosen["tried"] == [0.001, 0.003]
    assert chosen["seeds"] == [0]
    assert np.shape(chosen["arms"]["he_normal"]["accuracy"]) == (1, 2)
    best = chosen["tried"][np.argmax(chosen["arms"]["he_normal"]["accuracy"][0])]
    assert chosen["arms"]["he_normal"]["chosen"] == [best]
    assert found["settings"]["learning_rate"] is None
    assert f"he_normal at {best:g}" in out
    assert "adam at the best of 0.001, 0.003" in " ".join(out.split())
    assert (tmp_path / "chosen-arms.png").exists()


@pytest.fixture
def script(python):
    def run(*arguments):
        done = python(ROOT / "scripts" / "compare.py", *arguments)
        return done.returncode, done.stdout, done.stderr

    return run
