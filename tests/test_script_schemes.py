"""scripts/schemes.py as a person runs it."""

import pytest
from conftest import ROOT

from scratchnet.init import PREPARATIONS, SCHEMES

SCRIPT = ROOT / "scripts" / "schemes.py"


@pytest.mark.parametrize("shape", ["784x256", "30x64"])
def test_it_shows_theory_and_sample_in_agreement_for_every_initialization(python, tmp_path, dataset, shape):
    done = python(SCRIPT, "--shape", shape, "--dataset", dataset.name, "--out", tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    lines = {line.split()[0]: line for line in done.stdout.splitlines() if line.strip()}
    for name in (*SCHEMES, *PREPARATIONS):
        assert lines[name].endswith("yes"), lines[name]
    assert (tmp_path / "schemes.png").read_bytes().startswith(b"\x89PNG")
    assert done.stdout.startswith((tmp_path / "schemes.txt").read_text("utf-8"))
    assert done.stderr == ""


def test_a_scheme_that_the_shape_does_not_allow_says_why(python, tmp_path, dataset):
    done = python(SCRIPT, "--shape", "10x20", "--dataset", dataset.name, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not for this shape: sparse takes 15 links for each unit" in done.stdout


@pytest.mark.parametrize("shape", ["784", "0x3", "ax3", "1x5", "100000x100000"])
def test_an_impossible_shape_is_exit_code_2(python, shape):
    done = python(SCRIPT, "--shape", shape)
    assert done.returncode == 2
    assert "expected two sizes ≥ 2" in done.stderr
    assert f"got '{shape}'" in done.stderr


def test_a_negative_seed_is_exit_code_2(python):
    done = python(SCRIPT, "--seed", "-1")
    assert done.returncode == 2
    assert "expected an integer ≥ 0, got -1" in done.stderr
