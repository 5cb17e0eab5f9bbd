"""scripts/benchmark.py as a person runs it, and its parts. Nothing here depends on how fast anything is."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from conftest import LAUNCHER, ROOT

from scratchnet.lab.experiment import Run, Settings, initialized
from scratchnet.lab.processes import cores

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
def speed(monkeypatch):
    """The folder of the parts, as a package."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    import speed
    import speed.agreement
    import speed.arms
    import speed.author
    import speed.floor
    import speed.workers

    return speed


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


def test_a_program_that_learns_something_else_is_refused(speed):
    check, wrong = speed.agreement.check, speed.agreement.Wrong
    assert check("it", runs(0.41), runs(0.4)) == pytest.approx(0.025)
    for loss in (0.3, 0.5, np.nan):
        with pytest.raises(wrong, match=r"it ends with a training loss of"):
            check("it", runs(loss), runs(0.4))


def test_a_program_that_does_less_is_refused(speed):
    check, wrong = speed.agreement.check, speed.agreement.Wrong
    with pytest.raises(wrong, match="trained 1 networks, and scratchnet 2"):
        check("it", runs(0.4, networks=1), runs(0.4))
    with pytest.raises(wrong, match="another number of steps"):
        check("it", runs(0.4, steps=59), runs(0.4))


def test_the_arms_differ(speed):
    arms = speed.arms.chosen_arms(8)
    assert len({arm.key for arm in arms}) == 8
    weights = [initialized(arm, 0, Settings()).theta for arm in arms]
    for i, one in enumerate(weights):
        assert all(not np.array_equal(one, other) for other in weights[:i])


def test_the_floor_computes_every_product_of_a_step_but_the_gradient_of_the_images(speed, monkeypatch):
    shapes = []
    matmul = np.matmul
    step = speed.floor.products((7, 5, 3), 4, (2,))
    monkeypatch.setattr(np, "matmul", lambda A, B, out: shapes.append((A.shape, B.shape)) or matmul(A, B, out=out))
    step()
    assert shapes == [
        ((4, 7), (2, 7, 5)),  # XW, for a batch that both replicas share
        ((2, 4, 5), (2, 5, 3)),
        ((2, 5, 4), (2, 4, 3)),  # dW = Xᵀ dY
        ((2, 4, 3), (2, 3, 5)),  # dX = dY Wᵀ
        ((7, 4), (2, 4, 5)),
    ]


def test_each_worker_process_does_its_share_and_all_end(speed):
    with speed.workers.Workers(2) as workers:
        processes = workers.in_each(os.getpid)
        assert len({*processes, os.getpid()}) == 3
        assert list(workers.map(divmod, [(7, 2), (9, 4)])) == [(3, 1), (2, 1)]
    assert multiprocessing.active_children() == []


def test_workers_end_at_once_where_their_work_is_not_wanted_any_more(speed):
    start = time.monotonic()
    with pytest.raises(KeyboardInterrupt), speed.workers.Workers(1, threads=None) as workers:
        workers.in_each(os.getpid)
        workers.map(time.sleep, [(100,)])
        raise KeyboardInterrupt
    assert multiprocessing.active_children() == []
    assert time.monotonic() - start < 50


def test_a_worker_that_dies_is_reported_in_one_sentence(speed):
    with pytest.raises(ChildProcessError, match="a worker process died"), speed.workers.Workers(1) as workers:
        list(workers.map(os._exit, [(1,)]))


def test_the_author_fills_every_arm_of_the_lesson_as_it_is_filled_here(speed):
    import lesson
    import torch

    for arm in lesson.ARMS:
        torch.manual_seed(0)
        theirs = speed.author.lesson_network(arm.key, Settings())[0]
        ours = initialized(arm, 0, Settings()).layers[0]
        for A, B in ((theirs.weight.detach().numpy(), ours.W), (theirs.bias.detach().numpy(), ours.b)):
            assert A.size == B.size
            assert A.std() == pytest.approx(B.std(), rel=0.15 if B.ndim == 1 else 0.01), arm.key
            assert A.mean() == pytest.approx(B.mean(), abs=0.3 * float(B.std()) + 1e-9), arm.key
    with pytest.raises(ValueError, match="the arm lsuv has no counterpart in PyTorch"):
        speed.author.lesson_network("lsuv", Settings())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the processes in Linux's /proc")
@pytest.mark.parametrize("workers", [1, cores() + 1], ids=["in the warm-up of scratchnet", "in that of PyTorch"])
def test_ctrl_c_is_one_line_and_ends_the_workers(tmp_path, dataset, workers):
    """scratchnet has a worker for each core at most; there are more only when PyTorch's have started too."""
    command = [sys.executable, "-c", LAUNCHER, "", SCRIPT, "--quick", "--arms", "8", "--dataset", dataset.name]
    with subprocess.Popen(
        [*command, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as script:
        try:
            deadline = time.monotonic() + 100
            while spawned(script.pid) < workers and time.monotonic() < deadline and script.poll() is None:
                time.sleep(0.02)
            os.killpg(script.pid, signal.SIGINT)  # as a terminal does: to the script and its workers
            out, err = script.communicate(timeout=100)
        finally:
            script.kill()
    assert (script.returncode, out, err) == (130, "", "benchmark.py: interrupted\n")
    assert spawned(script.pid) == 0
    assert list(tmp_path.iterdir()) == []


def spawned(group):
    """How many worker processes of multiprocessing belong to a process group."""
    count = 0
    for process in Path("/proc").glob("[0-9]*"):
        try:
            in_group = int((process / "stat").read_text().rpartition(")")[2].split()[2]) == group
            count += in_group and b"spawn_main" in (process / "cmdline").read_bytes()
        except OSError:  # it has ended meanwhile
            continue
    return count


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
    done = python(SCRIPT, "--quick", "--out", tmp_path / "out", PYTHONPATH=os.pathsep.join([str(tmp_path), str(ROOT)]))
    assert done.returncode == 1
    assert done.stderr == 'benchmark.py: PyTorch cannot be imported: python -m pip install -e ".[test]"\n'
