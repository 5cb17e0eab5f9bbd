"""scripts/benchmark.py as a person runs it. Nothing here depends on how fast anything is."""

import json
import os
import subprocess
import sys

import numpy as np
import pytest
from conftest import ROOT

from scratchnet.lab.experiment import Run

pytest.importorskip("torch", reason="the benchmark compares with PyTorch")

SCRIPT = "scripts/benchmark.py"


@pytest.fixture(scope="module")
def quick(tmp_path_factory, dataset):
    """One quick run; (finished process, folder). One thread each: several would wait for a busy machine's cores."""
    out = tmp_path_factory.mktemp("benchmark")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--arms", "3", "--dataset", dataset.name, "--out", str(out)],
        cwd=ROOT,
        env=os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"},
        capture_output=True,
        encoding="utf-8",
        timeout=280,
    )
    assert done.returncode == 0, done.stderr
    return done, out


@pytest.fixture
def result(quick):
    return json.loads((quick[1] / "benchmark.json").read_text("utf-8"))


@pytest.fixture
def benchmark(monkeypatch):
    """The script as a module."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import benchmark

    return benchmark


def test_quick_prints_a_table_and_leaves_a_figure_and_the_numbers(quick):
    done, out = quick
    assert {path.name for path in out.iterdir()} == {"benchmark.json", "benchmark.png"}
    for word in ("the floor", "scratchnet", "PyTorch, as a learner writes it", "a quick look", "Most memory held"):
        assert word in done.stdout
    assert done.stderr == ""


def test_the_json_says_what_was_timed_and_with_what(result):
    assert result["settings"]["networks"] == len(result["settings"]["arms"]) == 3
    assert result["settings"]["images"] == 6000
    assert result["settings"]["steps"] == 48
    assert result["settings"]["sizes"] == [784, 256, 128, 10]
    assert result["environment"].keys() >= {"processor", "cores", "numpy", "blas", "pytorch"}
    keys = [one["key"] for one in result["contestants"]]
    assert keys[:3] == ["floor", "scratchnet", "pytorch_eager"]
    assert result["pytorch_best"] in keys[2:]
    assert len(keys) == 2 + 6
    assert set(result["skipped"]) == {"pytorch_compiled", "pytorch_stacked_compiled_processes"}
    assert set(result["peak_memory_bytes"]) == {"scratchnet", "pytorch_eager", "pytorch_best"}
    assert result["import_over_numpy"] > 0
    assert {"gather", "forward", "masks", "loss", "backward", "Adam"} < set(result["parts_seconds_per_network_epoch"])


def test_the_ratios_are_medians_of_ratios_within_a_round(result):
    seconds = {one["key"]: np.array(one["seconds"]) for one in result["contestants"]}
    assert {len(values) for values in seconds.values()} == {2}
    ours = seconds["scratchnet"]
    assert result["speedup_over"] == {
        "pytorch_eager": pytest.approx(np.median(seconds["pytorch_eager"] / ours)),
        "pytorch_best": pytest.approx(np.median(seconds[result["pytorch_best"]] / ours)),
    }
    assert result["time_over_floor"] == pytest.approx(np.median(ours / seconds["floor"]))
    for one in result["contestants"]:
        each = seconds[one["key"]] / 3
        assert one["seconds_per_network_epoch"] == pytest.approx(
            {"median": np.median(each), "lowest": each.min(), "highest": each.max()}
        )
        assert one["over_floor"]["median"] == pytest.approx(np.median(seconds[one["key"]] / seconds["floor"]))


def test_the_best_variant_is_the_fastest_one(result):
    medians = {o["key"]: np.median(o["seconds"]) for o in result["contestants"] if o["key"].startswith("pytorch")}
    assert medians[result["pytorch_best"]] == min(medians.values())


def test_all_variants_train_the_same_networks_to_the_same_loss(result):
    ours = next(one for one in result["contestants"] if one["key"] == "scratchnet")["last_training_loss"]
    assert len(ours) == 3
    for one in result["contestants"][2:]:
        assert one["last_training_loss"].keys() == ours.keys()
        assert max(map(abs, one["loss_apart_from_scratchnet"])) <= result["agreement"]["tolerance"]


def runs(loss, networks=2, steps=60):
    return [Run(f"arm_{i}", 0, np.full(steps, loss), loss, 0.5) for i in range(networks)]


def test_a_program_that_learns_something_else_is_refused(benchmark):
    assert benchmark.check("it", runs(0.41), runs(0.4)) == pytest.approx(0.025)
    for loss in (0.3, 0.5, np.nan):
        with pytest.raises(benchmark.Wrong, match=r"it ends with a training loss of"):
            benchmark.check("it", runs(loss), runs(0.4))


def test_a_program_that_does_less_is_refused(benchmark):
    with pytest.raises(benchmark.Wrong, match="trained 1 networks, and scratchnet 2"):
        benchmark.check("it", runs(0.4, networks=1), runs(0.4))
    with pytest.raises(benchmark.Wrong, match="another number of steps"):
        benchmark.check("it", runs(0.4, steps=59), runs(0.4))


def test_the_arms_differ(benchmark):
    from scratchnet.lab.experiment import Settings

    arms = benchmark.chosen_arms(8)
    assert len({arm.key for arm in arms}) == 8
    weights = [benchmark.started(arm, 0, Settings()).theta for arm in arms]
    for i, one in enumerate(weights):
        assert all(not np.array_equal(one, other) for other in weights[:i])


@pytest.mark.parametrize(
    "wrong",
    [["--arms", "0"], ["--seeds", "1.5"], ["--epochs", "x"], ["--repeats", "-1"], ["--device", "tpu"], ["--fast"]],
)
def test_wrong_arguments_are_refused_in_one_sentence(python, wrong):
    done = python(SCRIPT, *wrong)
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith("benchmark.py: error: ")
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_without_pytorch_it_says_how_to_get_it(python, tmp_path):
    (tmp_path / "torch.py").write_text("raise ImportError('not here')", encoding="utf-8")
    done = python(SCRIPT, "--quick", "--out", tmp_path / "out", PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert done.stderr == 'benchmark.py: PyTorch cannot be imported: python -m pip install -e ".[test]"\n'
