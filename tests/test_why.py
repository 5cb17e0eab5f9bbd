"""The command that says why."""

import json

import pytest


@pytest.fixture(scope="module")
def small():
    return ["scripts/why.py", "--dataset", "synthetic", "--seeds", "1"]


def test_one_command_says_what_happens_with_twenty_layers_of_tanh_and_glorot(small, python, tmp_path):
    command = [*small, "glorot_normal", "--activation", "tanh", "--hidden", "30x20", "--dropout", "0"]
    done = python(*command, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert max(map(len, done.stdout.splitlines())) <= max(80, len(str(tmp_path)) + 45)
    assert "== glorot_normal: fine ==" in done.stdout
    assert done.stdout.startswith("synthetic stand-in (NOT Fashion-MNIST): 784-30×20-10, tanh, dropout 0")
    assert (tmp_path / "why-chosen-arms.png").read_bytes().startswith(b"\x89PNG")
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<h3>glorot_normal: fine</h3>" in page
    assert "This is not Fashion-MNIST" in page
    assert done.stdout.splitlines()[-1] == f"Open {tmp_path / 'report.html'}"
    found = json.loads((tmp_path / "why.json").read_text(encoding="utf-8"))
    assert len(found["start"]["glorot_normal"]["rows"]) == 21
    assert found["steps"] == 0


def test_with_train_the_units_are_followed_with_and_without_dropout(small, python, tmp_path):
    done = python(*small, "ones", "one_over_n_in", "--hidden", "40", "--train", "12", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "→ Dropout makes the units of All ones and Constant 1/n_in differ" in done.stdout
    assert "== All ones, after 12 steps: explodes" in done.stdout
    found = json.loads((tmp_path / "why.json").read_text(encoding="utf-8"))
    assert found["units"]["dropout 0.2"]["All ones"]["distinct"][-1] == [[40]]
    assert found["units"]["dropout 0.2"]["All ones"]["steps"] == [0, 1, 2, 3, 5, 10, 12]
    assert (tmp_path / "why-units.png").exists()
    page = (tmp_path / "report.html").read_text("utf-8")
    assert "<h3>All ones, after 12 steps: explodes" in page
    assert page.count("<img") == 2


def test_parts_of_one_name_from_two_folders_are_two_arms(small, python, tmp_path):
    """However they are given: each as an ARM, or in --arms."""
    for folder, scale in (("a", 0.01), ("b", 1)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.py").write_text(
            f"def mine(shape, *, rng):\n    return {scale} * rng.normal(size=shape)\n"
        )
    arms = [f"{tmp_path}/{folder}/my.py:mine" for folder in "ab"]
    done = python(*small, *arms, "--hidden", "8", "--train", "2", "--out", tmp_path / "out")
    assert done.returncode == 0, done.stderr
    found = json.loads((tmp_path / "out/why.json").read_text(encoding="utf-8"))
    assert [entry["label"] for entry in found["start"].values()] == arms
    assert list(found["units"]["without dropout"]) == arms


OWN = """
from scratchnet.layers import Tanh
from scratchnet.network import mlp

def drawn(sizes, *, activation, dropout, rng, dtype):
    network = mlp(sizes, activation=activation, dropout=dropout, rng=rng, dtype=dtype)
    network.theta[...] = rng.normal(size=network.theta.shape)
    return network

class Tires(Tanh):
    calls = 0

    def forward(self, X, train=False):
        Tires.calls += 1
        if Tires.calls > 60:
            raise RuntimeError("too many calls")
        return super().forward(X)

class Leaves(Tires):
    def forward(self, X, train=False):
        if Tires.calls == 60:
            exit(0)
        return super().forward(X)
"""


@pytest.mark.parametrize(
    ("option", "told"),
    [
        (["--network", "own.py:drawn"], "AttributeError: 'list' object has no attribute 'normal' (own.py, line 7)"),
        (["--activation", "own.py:Tires"], "RuntimeError: too many calls (own.py, line 16)"),
        (["--activation", "own.py:Leaves"], "SystemExit: 0 (own.py, line 22)"),
    ],
)
def test_a_part_that_fails_after_the_rehearsal_is_one_sentence(option, told, python, tmp_path):
    (tmp_path / "own.py").write_text(OWN)
    option[1] = f"{tmp_path}/{option[1]}"
    done = python(
        "scripts/why.py", "--dataset", "synthetic", "zeros", *option, "--train", "100", "--out", tmp_path / "out"
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.splitlines()[-1] == f"why.py: a part of your own does not work: {told}"
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["he_norml"], "did you mean he_normal"),
        (["--train", "0"], "expected an integer ≥ 1, got '0'"),
        (["he_normal", "--arms", "lsvu"], "did you mean lsuv"),
    ],
)
def test_what_does_not_exist_is_wrong_usage_in_one_sentence(arguments, told, small, python, tmp_path):
    done = python(*small, *arguments, "--out", tmp_path)
    assert done.returncode == 2
    assert told in done.stderr
    assert "Traceback" not in done.stderr
