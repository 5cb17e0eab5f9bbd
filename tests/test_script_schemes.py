"""scripts/schemes.py as a person runs it."""

import os
import subprocess
import sys

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
    assert max(map(len, done.stdout.split("\nschemes.txt")[0].splitlines())) <= 80
    assert (tmp_path / "schemes.png").read_bytes().startswith(b"\x89PNG")
    assert done.stdout.startswith((tmp_path / "schemes.txt").read_text("utf-8"))
    assert done.stderr == ""


def test_a_scheme_that_the_shape_does_not_allow_says_why_and_an_earlier_run_is_set_aside(python, tmp_path, dataset):
    (tmp_path / "schemes.txt").write_text("earlier")
    done = python(SCRIPT, "--shape", "10x20", "--dataset", dataset.name, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert "not for this shape: sparse takes 15 links for each unit" in done.stdout
    assert done.stderr.startswith("schemes.py: an earlier run's files are now in ")
    assert [path.read_text() for path in tmp_path.glob("earlier/*/schemes.txt")] == ["earlier"]


def test_schemes_that_draw_the_same_weights_share_a_row_of_the_figure(python):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "import schemes\n"
        "drawn, _ = schemes.draw((784, 256), 0)\n"
        "print(*(' = '.join(group) for group in schemes.same(drawn) if len(group) > 1), sep='\\n')"
    )
    done = python("-c", code)
    assert done.stdout.splitlines() == [
        "identity = zero",
        "rule_uniform = torch_linear",
        "rule_normal = variance_scaling = lecun_normal",
        "glorot_uniform = keras_dense",
        "he_normal = edge_of_chaos",
    ], done.stderr


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
def test_what_standard_output_cannot_take_is_in_the_files(tmp_path, dataset):
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, SCRIPT, "--shape", "30x64", "--dataset", dataset.name, "--out", tmp_path],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("schemes.py: standard output cannot be written")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["schemes.png", "schemes.txt"]


@pytest.mark.parametrize("shape", ["784", "0x3", "ax3", "1x5", "100000x100000"])
def test_an_impossible_shape_is_exit_code_2(python, shape):
    done = python(SCRIPT, "--shape", shape)
    assert done.returncode == 2
    assert "expected two sizes ≥ 2" in done.stderr
    assert f"got '{shape}'" in done.stderr


@pytest.mark.parametrize("seed", ["-1", "x"])
def test_an_impossible_seed_is_exit_code_2(python, seed):
    done = python(SCRIPT, "--seed", seed)
    assert done.returncode == 2
    assert f"expected an integer ≥ 0, got '{seed}'" in done.stderr
