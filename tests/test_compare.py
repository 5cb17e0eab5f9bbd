"""scripts/compare.py as a person runs it: what it makes, what it refuses, and what is kept when it is stopped."""

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import pytest
from conftest import ROOT

SCRIPT = "scripts/compare.py"
FIGURES = {"samples.png", "uniform-distribution.png", "normal-distribution.png"}
COMPARISONS = ["zeros-vs-ones", "uniform-baseline", "centered-vs-rule", "uniform-vs-normal", "defaults"]
NOWHERE = {"SCRATCHNET_MIRROR": "http://127.0.0.1:9/"}  # a mirror that refuses


@pytest.fixture(scope="module")
def quick(tmp_path_factory, dataset):
    """One quick run of everything, on the real images where they are; (finished process, folder, seconds)."""
    out = tmp_path_factory.mktemp("quick")
    start = time.monotonic()
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--dataset", dataset.name, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    return done, out, time.monotonic() - start


def test_quick_makes_a_table_and_a_verdict_of_every_comparison_and_all_figures(quick):
    done, out, _ = quick
    assert done.returncode == 0, done.stderr
    for title in ("All zeros vs all ones", "Uniform baseline", "Default vs normal vs general rule"):
        assert f"== {title} ==" in done.stdout
    assert done.stdout.count("→") == 1 + 1 + 1 + 1 + 3
    assert "9.475 %" in done.stdout
    assert {p.name for p in out.iterdir()} == FIGURES | {f"{key}.png" for key in COMPARISONS} | {
        "results.json",
        "tables.txt",
    }
    assert done.stdout.startswith((out / "tables.txt").read_text("utf-8"))


def test_quick_says_that_it_is_no_more_than_a_look(quick):
    assert "a quick look at 6,000 images" in quick[0].stdout


def test_what_is_not_a_result_goes_to_stderr_and_a_pipe_sees_no_progress_bar(quick):
    assert quick[0].stderr == ""


def test_results_json_holds_every_seed_and_step(quick, dataset):
    read = json.loads((quick[1] / "results.json").read_text("utf-8"))
    assert read["complete"] is True
    assert read["dataset"] == {"name": dataset.name, "stand_in": dataset.stand_in, "train": 4800, "validation": 1200}
    assert (read["settings"]["seeds"], read["settings"]["epochs"]) == (2, 1)
    assert [comparison["key"] for comparison in read["comparisons"]] == COMPARISONS
    for comparison in read["comparisons"]:
        for arm in comparison["arms"]:
            assert np.shape(arm["training_loss"]) == (2, 48)
            assert len(arm["validation_accuracy"]) == len(arm["diverged"]) == 2


def test_an_arm_of_several_comparisons_is_trained_once(quick):
    read = json.loads((quick[1] / "results.json").read_text("utf-8"))
    rules = [arm for c in read["comparisons"] for arm in c["arms"] if arm["key"] == "rule_uniform"]
    assert len(rules) == 3
    assert rules[0] == rules[1] == rules[2]


def test_the_lessons_order_of_initializations_shows_even_at_a_glance(quick):
    read = json.loads((quick[1] / "results.json").read_text("utf-8"))
    accuracy = {a["key"]: np.mean(a["validation_accuracy"]) for c in read["comparisons"] for a in c["arms"]}
    assert accuracy["zeros"] < 0.2
    assert accuracy["ones"] < 0.3
    assert min(accuracy["rule_uniform"], accuracy["rule_normal"], accuracy["torch_linear"]) > 0.55


def test_a_named_comparison_is_run_alone_and_an_earlier_run_is_kept(tmp_path, python):
    for batch_size in (100, 200):
        done = python(
            *(SCRIPT, "uniform-baseline", "--quick", "--dataset", "synthetic"),
            *("--seeds", 1, "--jobs", 1, "--batch-size", batch_size, "--first-batches", 10, "--out", tmp_path),
        )
        assert done.returncode == 0, done.stderr
    assert "one seed" in done.stdout
    assert "an earlier run's files are now in" in done.stderr
    settings = [json.loads(path.read_text("utf-8"))["settings"] for path in sorted(tmp_path.rglob("results.json"))]
    assert sorted(s["batch_size"] for s in settings) == [100, 200]
    names = FIGURES | {"uniform-baseline.png", "results.json", "tables.txt"}
    assert {p.name for p in tmp_path.iterdir()} == names | {"earlier"}
    [earlier] = (tmp_path / "earlier").iterdir()
    assert {p.name for p in earlier.iterdir()} == names


def test_without_network_it_does_its_job_on_the_stand_in_and_says_so_everywhere(tmp_path, python):
    done = python(
        *(SCRIPT, "uniform-baseline", "--quick", "--seeds", 1, "--out", tmp_path / "out"),
        SCRATCHNET_DATA=str(tmp_path),
        **NOWHERE,
    )
    assert done.returncode == 0, done.stderr
    assert "NOT FASHION-MNIST" in done.stderr
    assert "SCRATCHNET_DATA" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("NOT Fashion-MNIST") == 2  # the heading and the table
    dataset = json.loads((tmp_path / "out" / "results.json").read_text("utf-8"))["dataset"]
    assert (dataset["name"], dataset["stand_in"]) == ("synthetic", True)


def test_list_prints_the_comparisons_and_trains_nothing(python, tmp_path):
    done = python(SCRIPT, "--list", "--out", tmp_path / "out")
    assert done.returncode == 0
    assert [line.split()[0] for line in done.stdout.splitlines()] == [*COMPARISONS, "--arms"]
    assert "looks_linear" in done.stdout
    assert not (tmp_path / "out").exists()


def test_any_initializations_can_be_compared_by_name(python, tmp_path, dataset):
    names = "he_normal,lsuv,xavier_uniform,orthogonal,looks_linear,sparse,torch,edge_of_chaos"
    done = python(
        *(SCRIPT, "--arms", names, "--quick", "--seeds", 2, "--dataset", dataset.name, "--out", tmp_path),
    )
    assert done.returncode == 0, done.stderr
    read = json.loads((tmp_path / "results.json").read_text("utf-8"))
    keys = [arm["key"] for arm in read["comparisons"][0]["arms"]]
    resolved = names.replace("xavier", "glorot").replace("torch", "torch_linear").split(",")
    assert keys == resolved
    assert done.stdout.count("→") == 7  # the best against each of the others
    assert "lesson" not in done.stdout
    assert (tmp_path / "chosen-arms.png").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arms", "he_norml"], "there is no initialization 'he_norml'; did you mean he_normal"),
        (["--arms", ","], "',' came, and names with commas between them are wanted"),
        (["defaults", "--arms", "lsuv"], "--arms makes a comparison of its own"),
        (["zeros-vs-one"], "there is no comparison 'zeros-vs-one'; there are zeros-vs-ones, uniform-baseline"),
        (["--seeds", "0"], "'0' came, and a whole number of at least 1 is wanted"),
        (["--epochs", "two"], "'two' came, and a whole number"),
        (["--batch-size", "-5"], "'-5' came"),
        (["--learning-rate", "nan"], "'nan' came, and a number above 0 is wanted"),
        (["--learning-rate", "-1"], "'-1' came"),
        (["--jobs", "1.5"], "'1.5' came"),
        (["--dataset", "mnist"], "invalid choice: 'mnist'"),
        (["--device", "tpu"], "invalid choice: 'tpu'"),
        (["--frobnicate"], "unrecognized arguments"),
    ],
)
def test_wrong_usage_is_one_sentence_and_exit_code_2(python, arguments, message):
    done = python(SCRIPT, *arguments)
    assert done.returncode == 2
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_fashion_mnist_that_cannot_be_had_is_exit_code_1(python, tmp_path):
    done = python(SCRIPT, "--dataset", "fashion-mnist", "--data-dir", tmp_path, "--out", tmp_path / "out", **NOWHERE)
    assert done.returncode == 1
    assert "no mirror delivered it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_to_is_found_before_training(python, tmp_path):
    (tmp_path / "file").write_text("x")
    done = python(SCRIPT, "--dataset", "synthetic", "--out", tmp_path / "file" / "out", timeout=20)
    assert done.returncode == 1
    assert "Not a directory" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_existing_folder_that_cannot_be_written_to_is_found_before_training(python):
    if not os.path.isdir("/proc"):
        pytest.skip("needs a read-only folder that is always there")
    done = python(SCRIPT, "--dataset", "synthetic", "--out", "/proc", timeout=20)
    assert done.returncode == 1
    assert "No such file or directory" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def interrupted(out, *arguments, after):
    """Run, press Ctrl-C as a terminal does (the whole process group gets it) after so many seconds."""
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "uniform-baseline", "--out", str(out), *arguments],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    )
    try:
        time.sleep(after)
        assert process.poll() is None, process.communicate()
        os.killpg(process.pid, signal.SIGINT)
        stdout, stderr = process.communicate(timeout=120)
    finally:
        process.kill()
    return process.returncode, stdout, stderr


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to a process group")
def test_ctrl_c_keeps_what_was_finished_and_says_so(tmp_path, dataset, quick):
    # in the time in which `quick` trained 14 networks and drew 8 figures, some of these 1000 are finished
    arguments = ("--quick", "--seeds", "1000", "--jobs", "1", "--dataset", dataset.name)
    for patience in (1, 3, 9):
        code, stdout, stderr = interrupted(tmp_path, *arguments, after=patience * quick[2])
        if "no seed was complete" not in stderr:  # else the machine has become slow
            break
    assert code == 130, stderr
    assert "interrupted" in stderr
    assert "of 1000 seeds were complete and are kept" in stderr
    assert "Traceback" not in stderr
    assert "== Uniform baseline ==" in stdout
    read = json.loads((tmp_path / "results.json").read_text("utf-8"))
    assert read["complete"] is False
    [arm] = read["comparisons"][0]["arms"]
    assert 1 <= len(arm["validation_accuracy"]) == read["settings"]["seeds"] < 1000
    assert (tmp_path / "uniform-baseline.png").exists()


@pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to a process group")
def test_ctrl_c_before_anything_is_finished_leaves_an_earlier_run_as_it_was(tmp_path, dataset, quick):
    (tmp_path / "results.json").write_text("{}")
    arguments = ("--epochs", "500", "--dataset", dataset.name)
    code, stdout, stderr = interrupted(tmp_path, *arguments, after=quick[2])
    assert code == 130
    assert "no seed was complete" in stderr
    assert "Traceback" not in stderr
    assert stdout == ""
    assert [p.name for p in tmp_path.iterdir()] == ["results.json"]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks at Linux's /proc")
def test_a_killed_run_leaves_no_worker_behind(tmp_path, dataset):
    process = subprocess.Popen(
        [sys.executable, SCRIPT, "--epochs", "500", "--dataset", dataset.name, "--out", str(tmp_path)],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + 60
    while not workers_in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert workers_in_session(process.pid)
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while in_session(process.pid) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert in_session(process.pid) == set()


def workers_in_session(session):
    """Those that have started to work: their memory holds the images."""
    return {pid for pid in in_session(session) if pid != session and resident_bytes(pid) > 50_000_000}


def resident_bytes(pid):
    try:
        with open(f"/proc/{pid}/statm") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except OSError:  # it has ended
        return 0


def in_session(session):
    """The processes of a session, those that have ended but are not collected left out."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, _, _, sid = file.read().rsplit(")", 1)[1].split()[:4]
        except OSError:
            continue
        if int(sid) == session and state != "Z":
            found.add(int(pid))
    return found
