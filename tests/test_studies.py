"""Studies: each can be run, and its rule can come out either way. What a theory guarantees must come out."""

import json

import numpy as np
import pytest
from conftest import ROOT

from scratchnet.lab.studies import NAMES, born_dead, identical_units, study
from scratchnet.lab.study import Grid, Laboratory, Lines, Outcome, plus_minus
from scratchnet.network import mlp
from scratchnet.report import findings, panels, plots


def square(spec, images, labels, tick):
    tick(1)
    return spec**2


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_laboratory_returns_results_in_the_order_of_the_specs_and_says_how_far_it_is(dataset, jobs):
    said = []
    laboratory = Laboratory(dataset, jobs=jobs, expect=said.append, done=lambda: said.append("done"))
    assert laboratory.each(square, range(4)) == [0, 1, 4, 9]
    assert said == [4, *["done"] * 4]


def test_every_file_of_the_room_is_a_study_with_a_name_a_claim_and_a_rule():
    assert set(NAMES) == {path.stem for path in (ROOT / "scratchnet/lab/studies").glob("*.py")} - {"__init__"}
    for name in NAMES:
        one = study(name)
        assert one.name == name
        assert all((one.title, one.source, one.claim, one.experiment, one.rule, one.quick))
        assert one.title.endswith("?")


# --- identical units ---


def test_copies_of_a_unit_have_equal_weights_and_equal_gradients(rng):
    network = mlp([20, 12, 8, 3], dtype=np.float64)
    X = rng.random((30, 20))
    identical_units.groups(network, X, None, rng=rng, distinct=2)
    network.backward(rng.normal(size=network.forward(X).shape))
    for layer, columns in zip(network.layers[::2], (2, 2, 3), strict=True):
        assert len(np.unique(layer.W, axis=1).T) == columns
        assert len(np.unique(np.round(layer.dW, 12), axis=1).T) == columns


def test_groups_keep_the_size_of_a_signal(rng):
    """The mean square of the logits does not depend on how many units are distinct, on average over draws."""

    def size(distinct):
        squares = []
        for _ in range(300):
            network = mlp([50, 32, 32, 4], dtype=np.float64)
            X = rng.normal(size=(20, 50))
            identical_units.groups(network, X, None, rng=rng, distinct=distinct)
            squares.append((network.forward(X) ** 2).mean())
        return np.mean(squares)

    assert 0.75 < size(8) / size(32) < 1.35


def identical(one, noisy, dropout, all_distinct, seeds=6):
    spread = np.linspace(-1, 1, seeds)[:, None]
    table = {"neither": (one, all_distinct), "noise in the weights": (noisy, 0), "dropout": (dropout, 0)}
    return {"distinct": (1, 256)} | {name: np.array([ends]) + spread * [1, -1] for name, ends in table.items()}


def test_identical_units_can_come_out_each_way():
    outcome = lambda *numbers: identical_units.judge(identical(*numbers)).outcome  # noqa: E731
    assert outcome(10, 50, 70, 85) == Outcome.HELD
    assert outcome(10, 50, 30, 85) == Outcome.DID_NOT_HOLD
    assert outcome(84.8, 50, 86, 85) == Outcome.UNDECIDED


# --- born dead ---


def test_the_share_of_dead_networks_grows_with_depth_and_stays_below_the_bound(dataset):
    numbers = born_dead.measure(Laboratory(dataset, jobs=1), widths=(2, 4), depth=20, networks=2000, examples=20)
    assert (np.diff(numbers["dead"], axis=1) >= 0).all()
    assert (numbers["dead"][0] >= numbers["dead"][1]).all()
    assert born_dead.judge(numbers).outcome == Outcome.HELD


def test_for_a_single_example_the_bound_is_the_probability(dataset):
    """It is then not a bound but exact: 1 − (1 − 2^(−N))^L."""
    dead = born_dead.dead_by_depth((3, 12, 20_000, 1, 0), dataset.images, dataset.labels, lambda steps: None) / 20_000
    expected = born_dead.bound(3, 12)
    assert (abs(dead - expected) < 4.5 * np.sqrt(expected * (1 - expected) / 20_000)).all()


def test_more_dead_networks_than_the_bound_allows_refute_it():
    dead = np.linspace(0.3, 1, 20)[None]
    assert born_dead.judge({"widths": (4,), "networks": 10_000, "dead": dead}).outcome == Outcome.DID_NOT_HOLD


# --- what is shown ---


def test_a_mean_and_its_spread_in_a_table():
    assert plus_minus([1.0, 3.0]) == "2.0 ± 1.4"
    assert plus_minus([2.0], "{:.2f}") == "2.00"


def test_a_page_says_claim_rule_outcome_command_and_minutes(dataset):
    numbers = {"widths": (2, 4), "networks": 10_000, "dead": np.array([[0.2, 0.95], [0.0, 0.1]])}
    finding = born_dead.judge(numbers)
    page = findings.section(born_dead.STUDY, finding, command="python x", minutes=1.25, note="Data: d.", look=True)
    for words in (
        "**Claim.** With symmetric",
        "**Rule**",
        f"the claim {finding.outcome}",
        "`python x` took 1.2 min",
        "quick look",
    ):
        assert words in page
    found = findings.record(born_dead.STUDY, finding, numbers, dataset, command=["x"], seconds=75.0, used=100.0)
    assert json.loads(json.dumps(found, allow_nan=False))["numbers"]["dead"][0] == [0.2, 0.95]
    wide = findings.text(born_dead.STUDY, finding, note="Data: d.").splitlines()
    assert max(map(len, wide)) <= 80


def test_a_figure_has_the_answer_as_its_title_and_every_panel(tmp_path):
    seeds = np.random.default_rng(0).random((5, 4)) + 1
    lines = Lines(
        "lines", "x", "y", {"a": ([1, 2, 4, 8], seeds), "b": ([1, 2, 4, 8], seeds[0])}, log_x=True, log_y=True
    )
    grid = Grid("grid", "x", "y", "v", [1, 2, 3, 4], [1, 2, 3, 4, 5], seeds, {"curve": ([1, 4], [1, 5])})
    finding = born_dead.Finding(Outcome.HELD, "The answer is a sentence.", [lines, grid], [["a"], ["b"]])
    figure = panels.figure(finding, dataset="Fashion-MNIST")
    words = [text.get_text() for text in figure.texts]
    assert "The answer is a sentence." in words
    assert "The claim held." in words
    assert [axes.get_title(loc="left") for axes in figure.axes[:2]] == ["lines", "grid"]
    plots.save(figure, tmp_path / "figure.png")
    assert (tmp_path / "figure.png").stat().st_size > 10_000


# --- the script ---


def test_study_py_writes_a_figure_numbers_and_a_page(python, dataset, tmp_path):
    done = python("scripts/study.py", "born-dead", "--quick", "--dataset", dataset.name, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "→ The claim held." in done.stdout
    pages = {f"born_dead.{ending}" for ending in ("png", "svg", "json", "md")}
    assert {path.name for path in tmp_path.iterdir()} == pages | {"README.md", "report.html"}
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<h2>Are deep, narrow ReLU networks born dead?</h2>" in page
    assert "data:image/svg+xml" in page
    assert done.stdout.splitlines()[-1] == f"Open {tmp_path / 'report.html'}"
    less = "a quick look" + (", not Fashion-MNIST" if dataset.stand_in else "")
    assert f"(born_dead.md) | held ({less}) |" in (tmp_path / "README.md").read_text("utf-8")
    found = json.loads((tmp_path / "born_dead.json").read_text("utf-8"))
    assert (found["quick"], found["outcome"], found["dataset"]["name"]) == (True, "held", dataset.name)


def test_pages_of_others_are_set_aside_its_own_is_written_anew_and_damaged_numbers_are_left_out(
    python, dataset, tmp_path
):
    """compare.py writes a report.html too, and into the same folder if nobody says another one."""
    damaged = dict(zip(["isometry", "skipinit", "he_depth"], ["{}", "", "null"], strict=True))
    done = python("scripts/study.py", "born_dead", "--quick", "--dataset", dataset.name, "--out", tmp_path / "whole")
    assert done.returncode == 0, done.stderr
    whole = json.loads((tmp_path / "whole/born_dead.json").read_text("utf-8"))
    wrong = {"rows": [["one"], ["one", "two"]]}, {"rows": []}, {"rows": [[1], [2]]}, {"command": [7]}, {"quick": 1}
    for name, change in zip(["deep_linear", "dropout_scale", "finite_width", "fixup", "momentum"], wrong, strict=True):
        damaged[name] = json.dumps(whole | change)
    for name, text in damaged.items():
        (tmp_path / f"{name}.json").write_text(text)
    others = {"report.html": "<title>Initial weights</title>", "README.md": "# My own\n"}
    for name, text in others.items():
        (tmp_path / name).write_text(text, "utf-8")
    for _ in range(2):
        done = python("scripts/study.py", "born_dead", "--quick", "--dataset", dataset.name, "--out", tmp_path)
        assert done.returncode == 0, done.stderr
        assert "study.py: an earlier run's files are now in " in done.stderr
        assert "Are deep, narrow ReLU networks born dead?" in (tmp_path / "report.html").read_text("utf-8")
        assert (tmp_path / "README.md").read_text("utf-8").count(".md) |") == 1
        for name, text in damaged.items():
            assert f"{name}.json is not as study.py writes it: it is left out" in done.stderr
            assert (tmp_path / f"{name}.json").read_text() == text
    [first] = [path.parent for path in tmp_path.glob("earlier/*/report.html")]
    assert {path.name: path.read_text("utf-8") for path in first.iterdir()} == others
    [second] = [path.parent for path in tmp_path.glob("earlier/*/born_dead.json")]
    assert {path.name for path in second.iterdir()} == {
        f"born_dead.{ending}" for ending in ("png", "svg", "json", "md")
    }


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["born_ded"], "there is no study 'born_ded'; did you mean born_dead?"),
        ([], "expected the name of a study, --all or --list"),
        (["--all", "born_dead"], "--all runs every study: leave out born_dead, or --all"),
    ],
)
def test_wrong_usage_is_one_sentence(python, arguments, message):
    done = python("scripts/study.py", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"study.py: error: {message}"


def test_the_list_names_every_study(python):
    done = python("scripts/study.py", "--list")
    assert done.returncode == 0, done.stderr
    assert [line.split()[0] for line in done.stdout.splitlines()[1:]] == list(NAMES)


FAILING = """
import dataclasses, sys
sys.path.insert(0, "scripts")
import cli, study
from scratchnet.lab.studies import born_dead
if sys.argv.pop(1) == "fails":
    study.study = lambda name: dataclasses.replace(born_dead.STUDY, judge=lambda numbers: numbers["no such number"])
cli.run(study.main)
"""


def test_numbers_are_not_lost_if_the_rule_fails(python, dataset, tmp_path):
    common = ("born_dead", "--quick", "--dataset", dataset.name, "--out", tmp_path)
    failed = python("-c", FAILING, "fails", *common)
    assert failed.returncode == 1
    assert "KeyError: 'no such number'" in failed.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["study-journal.txt"]
    done = python("-c", FAILING, "works", *common)
    assert done.returncode == 0, done.stderr
    counts = done.stderr.split("going on: ")[1].split(" parts")[0].split(" of ")
    assert counts[0] == counts[1]  # all of them
    assert "parts that an earlier start had finished is not counted" in " ".join(done.stdout.split())
    assert not (tmp_path / "study-journal.txt").exists()
