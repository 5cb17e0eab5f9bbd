"""A results.json can be repeated, or one sentence says why not; and whether it came out the same is judged fairly."""

import copy
import json
import os
import re

import pytest
from conftest import ROOT

from scratchnet.report.repetition import NEEDED, POINTS, CannotRepeat, compared, read

SCRIPT = "scripts/compare.py"
SMALL = ("--quick", "--seeds", "2", "--jobs", "1", "--hidden", "none")


def found(accuracies, *, numpy="2.0.0", digests="ab"):
    """A results.json of two arms with two seeds, as far as a comparison looks at it."""
    arms = [
        {"key": key, "sha256": [f"{key}{digests}{seed}" for seed in (0, 1)], "validation_accuracy": values}
        for key, values in accuracies.items()
    ]
    return {
        "complete": True,
        "settings": {"seeds": [0, 1]},
        "learning_rates": None,
        "environment": {"numpy": numpy, "platform": "any"},
        "comparisons": [{"arms": arms}],
    }


THEN = found({"a": [0.8, 0.81], "b": [0.5, 0.6]})


def test_equal_digests_are_the_same_bit_for_bit_whatever_it_was_made_with():
    now = found({"a": [0.8, 0.81], "b": [0.5, 0.6]}, numpy="2.1.0")
    assert compared(THEN, now) == (True, "It came out the same, bit for bit: 4 networks.")


def test_other_bits_with_the_same_versions_are_not_the_same_however_near():
    same, said = compared(THEN, found({"a": [0.8, 0.81], "b": [0.5, 0.6]}, digests="cd"))
    assert not same
    assert said.startswith("It did not come out the same, although versions and kernels are: 4 of 4 networks differ")


@pytest.mark.parametrize(
    ("run", "mean", "same"),
    [(POINTS - 0.1, 0.1, True), (POINTS + 0.1, 0.1, False), (1.5, 1.5, False), (1.4, 1.4, True)],  # 2/√2 = 1.41
)
def test_with_other_versions_each_run_and_each_mean_may_differ_by_so_much(run, mean, same):
    changes = [run, 2 * mean - run] if run > mean else [mean, mean]
    now = found({"a": [0.8 + changes[0] / 100, 0.81 + changes[1] / 100], "b": [0.5, 0.6]}, numpy="3", digests="cd")
    outcome, said = compared(THEN, now)
    assert outcome == same
    assert f"in the mean of an arm by at most {mean:.2f}" in said
    assert "numpy 2.0.0, now 3" in said


def test_rates_that_came_out_differently_are_not_the_same():
    then, now = copy.deepcopy(THEN), copy.deepcopy(THEN)
    then["learning_rates"], now["learning_rates"] = {"arms": {"a": 1}}, {"arms": {"a": 2}}
    assert not compared(then, now)[0]


def test_a_run_that_was_stopped_is_compared_in_the_seeds_that_it_has():
    then = copy.deepcopy(THEN) | {"complete": False, "settings": {"seeds": [1]}}
    for arm in then["comparisons"][0]["arms"]:
        arm["sha256"], arm["validation_accuracy"] = arm["sha256"][1:], arm["validation_accuracy"][1:]
    assert compared(then, THEN) == (True, "It came out the same, bit for bit: 2 networks.")


def test_fewer_networks_or_more_are_not_the_same_but_where_a_run_was_stopped():
    fewer = copy.deepcopy(THEN)
    del fewer["comparisons"][0]["arms"][1]
    for then, now in ((THEN, fewer), (fewer, THEN)):
        same, said = compared(then, now)
        assert not same
        assert said.endswith("of which 2 have the same arm and seed.")
    assert compared(fewer | {"complete": False}, THEN)[0]
    assert compared(THEN, fewer | {"complete": False})[0]
    other = copy.deepcopy(fewer)
    other["comparisons"][0]["arms"][0]["key"] = "c"
    assert not compared(fewer | {"complete": False}, other)[0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[" * 100_000, "cannot be read as JSON"),
        ("[]", "it holds list"),
        ("{}", "it lacks command, folder, files"),
    ],
)
def test_what_is_no_results_json_is_one_sentence(tmp_path, text, message):
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(CannotRepeat, match=re.escape(message)):
        read(tmp_path / "x.json")


@pytest.mark.parametrize("wrong", [7, [None]], ids=repr)
@pytest.mark.parametrize("name", [*NEEDED[:-1], "settings.seeds", "settings.device", "dataset.name", "files.x"])
def test_what_is_not_as_compare_writes_it_is_found_before_the_repetition(tmp_path, name, wrong):
    settings = {"seeds": [0, 1], "device": "cpu"}
    then = THEN | {"command": ["compare.py"], "folder": "/", "files": {}, "quick": True, "settings": settings}
    then |= {"dataset": {"name": "synthetic", "sha256": "x"}}
    (tmp_path / "x.json").write_text(json.dumps(then))
    assert read(tmp_path / "x.json") == then
    outer, _, inner = name.partition(".")
    (tmp_path / "x.json").write_text(json.dumps(then | {outer: then[outer] | {inner: wrong} if inner else wrong}))
    with pytest.raises(CannotRepeat, match="something in it is not as compare"):
        read(tmp_path / "x.json")


# --- the script ---

OWN = """
import beside
def mine(shape, *, rng):
    return beside.GAIN * rng.normal(size=shape) / shape[0] ** 0.5
"""


@pytest.fixture
def first(tmp_path, dataset, python):
    """A run with a scheme of one's own, chosen rates and an argument, started in another folder; its results.json."""
    (tmp_path / "own.py").write_text(OWN)
    (tmp_path / "beside.py").write_text("GAIN = 1.1\n")
    arms = ("--arms", "he_normal,orthogonal:gain=1.3,own.py:mine", "--learning-rates", "0.001,0.01")
    done = python(
        "-c",
        f"import os, runpy, sys; os.chdir({str(tmp_path)!r}); sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        f"sys.argv[0] = {str(ROOT / SCRIPT)!r}; runpy.run_path(sys.argv[0], run_name='__main__')",
        *(*SMALL, *arms, "--dataset", dataset.name, "--out", "out"),
        PYTHONPATH=f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}",
    )
    assert done.returncode == 0, done.stderr
    return tmp_path / "out" / "results.json"


def test_a_repeated_run_comes_out_the_same_bit_for_bit_and_leaves_the_first_as_it_was(python, first):
    before = first.read_bytes()
    done = python(SCRIPT, "--repeat", first)
    assert done.returncode == 0, done.stderr
    assert "It came out the same, bit for bit: 6 networks." in done.stdout
    assert first.read_bytes() == before
    then, now = json.loads(before), json.loads((first.parent / "repeat" / "results.json").read_text())
    for name in ("command", "folder", "files", "dataset", "settings", "learning_rates", "comparisons"):
        assert then[name] == now[name]
    assert [os.path.basename(path) for path in now["files"]] == ["own.py", "beside.py"]
    # and the repetition can be repeated; another kernel's numbers are near enough, a changed number is not the same
    repeated = first.parent / "repeat" / "results.json"
    now["comparisons"][0]["arms"][1]["sha256"][1] = "another"
    repeated.write_text(json.dumps(now))
    done = python(SCRIPT, "--repeat", repeated, "--out", first.parent / "third")
    assert done.returncode == 1
    said = " ".join(done.stdout.split())
    assert "It did not come out the same, although versions and kernels are: 1 of 6 networks differ" in said
    (first.parent.parent / "beside.py").write_text("GAIN = 1.2\n")
    done = python(SCRIPT, "--repeat", first)
    assert (done.returncode, done.stdout) == (1, "")
    assert "beside.py has changed since this run: its SHA-256 was" in done.stderr
    (first.parent.parent / "own.py").unlink()
    done = python(SCRIPT, "--repeat", first)
    assert (done.returncode, done.stdout) == (1, "")
    assert "own.py is needed to repeat this run and cannot be read: No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_what_cannot_be_repeated_is_one_sentence(python, tmp_path, dataset):
    out = tmp_path / "results.json"
    arguments = ("uniform-baseline", *SMALL, "--dataset", dataset.name, "--out", tmp_path)
    assert python(SCRIPT, *arguments).returncode == 0
    then = json.loads(out.read_text())

    def refused(changes, message, *arguments, code=1):
        out.write_text(json.dumps(then | changes))
        done = python(SCRIPT, "--repeat", out, *arguments)
        assert done.returncode == code
        assert message in done.stderr.splitlines()[-1]
        assert done.stdout == ""

    refused({}, "--repeat takes all else from FILE: leave out --epochs", "--epochs", "3", code=2)
    refused({}, "--repeat takes all else from FILE: leave out --dropout", "--dropout", "0.2", code=2)  # the default
    refused({"command": [*then["command"], "--list"]}, "its command trains nothing")
    refused(
        {"settings": then["settings"] | {"epochs": 7}}, "the settings came out as others than in this run: epochs 7"
    )
    refused({"dataset": then["dataset"] | {"sha256": "x"}}, "the images are others than in this run")
    out.unlink()
    done = python(SCRIPT, "--repeat", out)
    assert (done.returncode, done.stderr.count("\n")) == (1, 1)
