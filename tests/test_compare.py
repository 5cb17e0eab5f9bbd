"""scripts/compare.py as a person runs it: what it makes, what it refuses, and what is kept when it is stopped."""

import json
import os
import re
import signal
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import LAUNCHER, ROOT

from scratchnet import init

SCRIPT = "scripts/compare.py"
FIGURES = {"samples.png", "uniform-distribution.png", "normal-distribution.png"}
COMPARISONS = ["zeros-vs-ones", "uniform-baseline", "centered-vs-rule", "uniform-vs-normal", "defaults"]
SMALL = ("--quick", "--seeds", "1", "--jobs", "1")
NOWHERE = {"SCRATCHNET_MIRROR": "http://127.0.0.1:9/"}  # a mirror that refuses


@pytest.fixture(scope="module")
def quick(tmp_path_factory, dataset):
    """One quick run of everything, on the real images where they are; (finished process, folder, results.json)."""
    out = tmp_path_factory.mktemp("quick")
    done = subprocess.run(
        [sys.executable, SCRIPT, "--quick", "--dataset", dataset.name, "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        encoding="utf-8",
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return done, out, read(out)


def read(out):
    return json.loads((out / "results.json").read_text("utf-8"))


def test_quick_makes_a_table_and_a_verdict_of_every_comparison_and_all_figures(quick):
    done, out, found = quick
    for title in ("All zeros vs all ones", "Uniform baseline", "Default vs normal vs general rule"):
        assert f"== {title} ==" in done.stdout
    assert [len(comparison["verdicts"]) for comparison in found["comparisons"]] == [1, 1, 1, 1, 3]
    assert done.stdout.count("→") == 1 + 1 + 1 + 1 + 3
    assert {p.name for p in out.iterdir()} == FIGURES | {f"{key}.png" for key in COMPARISONS} | {
        "results.json",
        "tables.txt",
        "report.html",
    }
    assert done.stdout.startswith((out / "tables.txt").read_text("utf-8"))
    assert done.stdout.splitlines()[-1] == f"Open {out / 'report.html'}"
    page = (out / "report.html").read_text("utf-8")
    assert all(f"<h2>{comparison['title']}</h2>" in page for comparison in quick[2]["comparisons"])
    assert len(page) < 3_000_000


def test_quick_says_that_it_is_no_more_than_a_look(quick):
    assert "a quick look at 20,000 images" in " ".join(quick[0].stdout.split())
    assert "After 160 steps: an early lead may be gone after a whole training." in quick[0].stdout


def test_what_is_not_a_result_goes_to_stderr_and_a_pipe_sees_no_progress_bar(quick):
    assert quick[0].stderr == ""


def test_results_json_holds_every_seed_and_step(quick, dataset):
    found = quick[2]
    assert found["complete"] is True
    expected = {"name": dataset.name, "stand_in": dataset.stand_in, "train": 16_000, "validation": 4_000}
    assert found["dataset"] | expected == found["dataset"]
    assert [comparison["key"] for comparison in found["comparisons"]] == COMPARISONS
    for comparison in found["comparisons"]:
        for arm in comparison["arms"]:
            assert np.shape(arm["training_loss"]) == (5, 160)
            assert len(arm["validation_accuracy"]) == len(arm["diverged"]) == 5


def test_the_lessons_settings_are_the_defaults(quick):
    lesson = {
        "sizes": [784, 256, 128, 10],
        "network": "mlp",
        "activation": "relu",
        "normalization": None,
        "dropout": 0.2,
        "optimizer": "adam",
        "learning_rate": 0.001,
        "batch_size": 100,
        "epochs": 1,  # but for these two, which are quick's
        "seeds": [0, 1, 2, 3, 4],
        "dtype": "float32",
        "device": "cpu",
    }
    assert quick[2]["settings"] | lesson == quick[2]["settings"]


def test_an_arm_of_several_comparisons_is_trained_once(quick):
    rules = [arm for c in quick[2]["comparisons"] for arm in c["arms"] if arm["key"] == "rule_uniform"]
    assert len(rules) == 3
    assert rules[0] == rules[1] == rules[2]


def test_the_lessons_order_of_initializations_shows_even_at_a_glance(quick):
    accuracy = {a["key"]: np.mean(a["validation_accuracy"]) for c in quick[2]["comparisons"] for a in c["arms"]}
    assert accuracy["zeros"] < 0.2
    assert accuracy["ones"] < 0.3
    assert min(accuracy["rule_uniform"], accuracy["rule_normal"], accuracy["torch_linear"]) > 0.55
    [comparison] = [c for c in quick[2]["comparisons"] if c["key"] == "centered-vs-rule"]
    assert comparison["verdicts"][0].startswith("General rule, uniform is ahead of Centered [−0.5, 0.5) by ")


def test_a_named_comparison_is_run_alone_and_an_earlier_run_is_kept(tmp_path, python, dataset):
    for batch_size in (100, 200):
        (tmp_path / "zeros-vs-ones.png").write_bytes(b"of a run with more comparisons")
        done = python(
            *(SCRIPT, "uniform-baseline", *SMALL, "--dataset", dataset.name),
            *("--batch-size", batch_size, "--first-batches", 10, "--out", tmp_path),
        )
        assert done.returncode == 0, done.stderr
    assert "an earlier run's files are now in" in done.stderr
    settings = [json.loads(path.read_text("utf-8"))["settings"] for path in sorted(tmp_path.rglob("results.json"))]
    assert sorted(s["batch_size"] for s in settings) == [100, 200]
    names = FIGURES | {"uniform-baseline.png", "results.json", "tables.txt", "report.html"}
    assert {p.name for p in tmp_path.iterdir()} == names | {"earlier"}
    first, second = sorted(tmp_path.glob("earlier/*"), key=lambda folder: len(list(folder.iterdir())))
    assert {p.name for p in first.iterdir()} == {"zeros-vs-ones.png"}
    assert {p.name for p in second.iterdir()} == names | {"zeros-vs-ones.png"}


def test_without_network_it_does_its_job_on_the_stand_in_and_says_so_everywhere(tmp_path, python):
    done = python(
        *(SCRIPT, "uniform-baseline", *SMALL, "--hidden", "none", "--out", tmp_path / "out"),
        SCRATCHNET_DATA=str(tmp_path),
        **NOWHERE,
    )
    assert done.returncode == 0, done.stderr
    assert "NOT FASHION-MNIST" in done.stderr
    assert "SCRATCHNET_DATA" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout.count("NOT Fashion-MNIST") == 2  # the heading and the table
    dataset = read(tmp_path / "out")["dataset"]
    assert (dataset["name"], dataset["stand_in"]) == ("synthetic", True)


def listed(text):
    """Name → what `--list` says of it; a name of an initialization stands two columns to the right."""
    entries = {}
    for line in text.splitlines():
        assert len(line) <= 80
        if name := line[:20].strip():
            entries[name] = line[20:]
            last = name
        else:
            entries[last] += " " + line.strip()
    return entries


def test_list_prints_the_comparisons_and_all_parts_and_trains_nothing(python, tmp_path):
    done = python(SCRIPT, "--list", "--out", tmp_path / "out")
    assert done.returncode == 0
    said = listed(done.stdout)
    assert {*COMPARISONS, *init.SCHEMES, *init.PREPARATIONS} <= said.keys()
    assert {"relu", "gelu", "prelu"} <= set(said["--activation"].split(", "))
    assert said["--normalization"] == "none, layer, batch, or FILE.py:NAME"
    assert said["--network"] == "mlp, residual_mlp, or FILE.py:NAME"
    assert said["--optimizer"] == "adam, sgd, momentum, or FILE.py:NAME"
    assert not (tmp_path / "out").exists()


def test_list_has_a_formula_for_each_initialization_and_says_which_names_mean_the_same(python):
    said = listed(python(SCRIPT, "--list").stdout)
    assert said["rule_normal"] == "N(0, 1/n_in)"
    assert said["lecun_normal"] == said["variance_scaling"] == "N(0, 1/n_in): the same as rule_normal"
    assert said["edge_of_chaos"].endswith(": the same as he_normal")
    assert said["keras_dense"].endswith(": the same as glorot_uniform")
    assert said["torch_linear"] == "U(±1/√n_in): the weights of rule_uniform, and random biases"
    assert said["zero"].endswith(": the same as identity where n_in ≥ n_out")
    assert said["lsuv"].startswith("Layer-sequential unit variance")
    count = len(init.SCHEMES) + len(init.PREPARATIONS)
    assert said["--arms"].startswith(f"{count} names of {count - 4} initializations")


# --- settings and parts ---------------------------------------------------------------------------------------


def test_any_initializations_can_be_compared_by_name(python, tmp_path, dataset):
    names = "he_normal,lsuv,xavier_uniform,orthogonal:gain=1.3,looks_linear,sparse,torch,uniform:low=-1,high=1"
    done = python(SCRIPT, "--arms", names, *SMALL, "--hidden", "20", "--dataset", dataset.name, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    [comparison] = read(tmp_path)["comparisons"]
    resolved = ["he_normal", "lsuv", "glorot_uniform", "orthogonal:gain=1.3", "looks_linear", "sparse", "torch_linear"]
    assert [arm["key"] for arm in comparison["arms"]] == [*resolved, "uniform:low=-1,high=1"]
    assert len(comparison["verdicts"]) == done.stdout.count("→") == 7  # the first against each of the others
    assert "lesson" not in done.stdout
    assert (tmp_path / "chosen-arms.png").exists()


def test_every_setting_is_an_option_and_stands_in_the_heading_and_in_results_json(python, tmp_path, dataset):
    done = python(
        *(SCRIPT, "uniform-baseline", *SMALL, "--dataset", dataset.name, "--out", tmp_path),
        *("--hidden", "20x3,12", "--activation", "leaky_relu:slope=0.2", "--dropout", 0, "--optimizer", "momentum"),
        *("--normalization", "batch:momentum=0.2"),
        *("--learning-rate", 0.05, "--batch-size", 200, "--epochs", 2, "--dtype", "float64"),
    )
    assert done.returncode == 0, done.stderr
    heading = (
        "784-20×3-12-10, batch:momentum=0.2 normalization, leaky_relu:slope=0.2, dropout 0, momentum at 0.05, "
        "2 epochs of batches of 200, float64; a quick look at 20,000 images."
    )
    assert heading in " ".join(done.stdout.split())
    chosen = {
        "sizes": [784, 20, 20, 20, 12, 10],
        "network": "mlp",
        "activation": "leaky_relu:slope=0.2",
        "normalization": "batch:momentum=0.2",
        "dropout": 0,
        "optimizer": "momentum",
        "learning_rate": 0.05,
        "batch_size": 200,
        "epochs": 2,
        "dtype": "float64",
        "seeds": [0],
    }
    assert read(tmp_path)["settings"] | chosen == read(tmp_path)["settings"]


OWN = """
import os, sys
import numpy as np
from scratchnet import init
from scratchnet.network import mlp
from scratchnet.optim import SGD

def mine(shape, *, rng, gain=1.0):
    return gain * init.he_normal(shape, rng=rng)

def prepared(network, X, labels, *, rng, gain=1.0):
    network.apply(init.linear(lambda shape, rng: mine(shape, rng=rng, gain=gain), rng=rng))

def transposed(shape, *, rng):
    return init.he_normal(shape, rng=rng).T

def leaving(shape, *, rng):
    sys.exit("I do not like this shape")

def marking(shape, *, rng):
    with open(os.environ["MARKS"], "a") as file:
        print(os.getpid(), file=file)
    return init.he_normal(shape, rng=rng)

class Bend:
    def forward(self, X, train=False):
        self.Y = np.tanh(X)
        return self.Y

    def backward(self, dY):
        return dY * (1 - self.Y**2)

class Scale:
    params = {"a": 0}

    def __init__(self):
        self.a, self.da = np.array(1.0), np.array(0.0)

    def forward(self, X, train=False):
        self.X = X
        return self.a[..., None, None] * X

    def backward(self, dY):
        self.da[...] = np.sum(dY * self.X)  # over replicas, too
        return self.a[..., None, None] * dY

def descent(theta, grad, *, learning_rate):
    return SGD(theta, grad, learning_rate=learning_rate)

def build(sizes, **settings):
    return mlp(sizes, **settings)

number = 3
"""


@pytest.fixture
def own(tmp_path_factory):
    """A folder with own.py and others that do not work."""
    folder = tmp_path_factory.mktemp("own")
    (folder / "own.py").write_text(OWN)
    (folder / "syntax.py").write_text("def mine(:\n")
    (folder / "raising.py").write_text("mine = 1\nmine / 0\n")
    (folder / "exiting.py").write_text("import sys\n\nsys.exit('not today')\n")
    (folder / "importing.py").write_text("import no_such_module\n")
    return folder


def test_every_part_can_be_ones_own_from_a_file_and_workers_load_it_too(python, tmp_path, dataset, own):
    file = f"{own}/own.py"
    arms = ["he_normal", f"{file}:mine", f"{file}:mine:gain=2", f"{file}:prepared:gain=2"]
    done = python(
        *(SCRIPT, "--arms", ",".join(arms), *SMALL, "--dataset", dataset.name, "--out", tmp_path, "--hidden", "20"),
        *("--activation", f"{file}:Bend", "--optimizer", f"{file}:descent", "--network", f"{file}:build"),
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""  # no word of workers that cannot load something
    settings = read(tmp_path)["settings"]
    assert [settings[name] for name in ("activation", "optimizer", "network")] == [
        "own.py:Bend",
        "own.py:descent",
        "own.py:build",
    ]
    found = {arm["key"]: arm["training_loss"] for arm in read(tmp_path)["comparisons"][0]["arms"]}
    assert list(found) == arms
    he, mine, doubled, prepared = found.values()
    assert he == mine  # the same weights: arms share random numbers
    assert doubled == prepared != he


WRONG = [
    (["--arms", "he_norml"], "there is no initialization 'he_norml'; did you mean he_normal"),
    (["--arms", "uniform:hihg=1"], "uniform has no argument 'hihg'; it has low, high"),
    (["--arms", "low=1"], "expected a NAME, NAME:ARGUMENT=VALUE or FILE.py:NAME, got 'low=1'"),
    (["--arms", ","], "expected names with commas between them, got ','"),
    (["--arms", ""], "expected names with commas between them, got ''"),
    (["defaults", "--arms", "lsuv"], "--arms makes a comparison of its own: leave out defaults, or --arms"),
    (["zeros-vs-one"], "there is no comparison 'zeros-vs-one'; there are zeros-vs-ones, uniform-baseline"),
    (["--hidden", "20x"], "expected sizes such as 256,128, or 100x20 for twenty layers of 100, or none, got '20x'"),
    (["--hidden", "0"], "or none, got '0'"),
    (["--activation", "rleu"], "there is no activation 'rleu'; did you mean relu"),
    (["--activation", "leaky_relu:slop=1"], "leaky_relu has no argument 'slop'; it has slope"),
    (["--normalization", "bath"], "there is no normalization 'bath'; did you mean batch"),
    (["--normalization", "batch:gamma=1"], "batch has no argument 'gamma'; it has momentum, epsilon"),
    (["--optimizer", "adm"], "there is no optimizer 'adm'; did you mean adam"),
    (["--optimizer", "adam:learning_rate=1"], "adam has no argument 'learning_rate'; it has beta1, beta2, epsilon"),
    (["--network", "resnet"], "there is no network 'resnet'"),
    (["--dropout", "1"], "expected a probability, 0 ≤ p < 1, got '1'"),
    (["--learning-rates", "0.001,0.0010000001"], "expected each rate once, got 0.001 and 0.0010000001 in"),
    (["--qui"], "unrecognized arguments: --qui"),
    (["--arms=--"], "argument --arms: expected a value, got '--'"),
    (["--learning-rate", "nan"], "expected a number > 0, got 'nan'"),
    (["--learning-rate", "-1"], "expected a number > 0, got '-1'"),
    (["--seeds", "0"], "expected an integer ≥ 1, got '0'"),
    (["--epochs", "two"], "expected an integer ≥ 1, got 'two'"),
    (["--batch-size", "-5"], "expected an integer ≥ 1, got '-5'"),
    (["--jobs", "1.5"], "expected an integer ≥ 1, got '1.5'"),
    (["--dtype", "float16"], "invalid choice: 'float16'"),
    (["--dataset", "mnist"], "invalid choice: 'mnist'"),
    (["--device", "tpu"], "invalid choice: 'tpu'"),
    (["--frobnicate"], "unrecognized arguments"),
]


@pytest.mark.parametrize(("arguments", "message"), WRONG, ids=[" ".join(arguments) for arguments, _ in WRONG])
def test_wrong_usage_is_one_sentence_and_exit_code_2(monkeypatch, capsys, tmp_path, arguments, message):
    """In this process, since there are many; the next test starts one each."""
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setattr(sys, "excepthook", sys.excepthook)  # cli has one of its own
    import compare

    monkeypatch.setattr(sys, "argv", [SCRIPT, *arguments, "--out", str(tmp_path / "out")])
    with pytest.raises(SystemExit) as ended:
        compare.arguments()
    said = capsys.readouterr()
    assert_refused(SimpleNamespace(returncode=ended.value.code, stdout=said.out, stderr=said.err), tmp_path, message)


BROKEN = [
    ("--arms", "missing.py:mine", "missing.py cannot be read: No such file or directory"),
    ("--arms", "own.py", "own.py names a file: name the initialization in it too, as in"),
    ("--arms", "own.py:mien", "own.py has no 'mien'; it has mine, prepared"),
    ("--arms", "own.py:number", "own.py is int: expected a function or class (initialization)"),
    ("--arms", "own.py:mine:gian=2", "own.py:mine has no argument 'gian'; it has gain"),
    ("--arms", "syntax.py:mine", "syntax.py cannot be loaded: SyntaxError: invalid syntax (syntax.py, line 1)"),
    ("--arms", "raising.py:mine", "cannot be loaded: ZeroDivisionError: division by zero (raising.py, line 2)"),
    ("--arms", "exiting.py:mine", "exiting.py cannot be loaded: SystemExit: not today (exiting.py, line 3)"),
    ("--arms", "importing.py:mine", "ModuleNotFoundError: No module named 'no_such_module' (importing.py, line 1)"),
    ("--arms", "own.py:transposed", "transposed returned an array of shape (10, 784), expected (784, 10)"),
    ("--arms", "own.py:leaving", "does not work: SystemExit: I do not like this shape (own.py, line "),
    ("--activation", "own.py:Scale", "own.py:Scale does not work: its gradients in a stack of four are not those"),
]


@pytest.mark.parametrize(("option", "part", "message"), BROKEN, ids=[part for _, part, _ in BROKEN])
def test_a_part_that_does_not_work_is_one_sentence_and_exit_code_2(
    python, tmp_path, own, dataset, option, part, message
):
    hidden = "none" if option == "--arms" else "20"  # activations stand between layers
    arguments = (*SMALL, "--hidden", hidden, "--dataset", dataset.name, "--out", tmp_path / "out")
    assert_refused(python(SCRIPT, option, f"{own}/{part}", *arguments), tmp_path / "out", message)


def test_a_residual_network_with_fixup_is_compared_by_name_and_needs_sizes_that_make_blocks(python, tmp_path, dataset):
    options = ("--network", "residual_mlp:alpha=1,shifts=True", "--arms", "he_normal,scratchnet/init/residual.py:fixup")
    common = (SCRIPT, *SMALL, "--dataset", dataset.name, "--out", tmp_path / "out", *options)
    done = python(*common, "--hidden", "12x4")
    assert_refused(done, tmp_path / "out", "residual_mlp with branches of 2 Linear layers needs 1 + 2·L hidden sizes")
    done = python(*common, "--hidden", "12x5")
    assert done.returncode == 0, done.stderr
    assert read(tmp_path / "out")["settings"]["network"] == "residual_mlp:alpha=1,shifts=True"
    done = python(*common[:-1], "he_normal,scratchnet/init/residual.py:fixup", "--network", "mlp")
    assert done.returncode == 2
    assert "residual.py:fixup does not work: fixup needs a network with residual blocks" in done.stderr


def assert_refused(done, out, message):
    assert done.returncode == 2
    *usage, sentence = done.stderr.splitlines()
    assert sentence.startswith("compare.py: ")
    assert message in sentence
    assert not usage or usage[0].startswith("usage: compare.py")
    assert done.stdout == ""
    assert not list(out.rglob("*"))


# --- folders and data -----------------------------------------------------------------------------------------


def test_fashion_mnist_that_cannot_be_had_is_exit_code_1(python, tmp_path):
    done = python(SCRIPT, "--dataset", "fashion-mnist", "--data-dir", tmp_path, "--out", tmp_path / "out", **NOWHERE)
    assert done.returncode == 1
    assert "no mirror delivered it" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_folder_that_cannot_be_written_to_is_found_before_training(python, tmp_path):
    (tmp_path / "file").write_text("x")
    done = python(SCRIPT, "--dataset", "synthetic", "--out", tmp_path / "file" / "out", timeout=20)
    assert done.returncode == 2
    assert f"expected a folder, but {tmp_path / 'file'} is a file" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_existing_folder_that_cannot_be_written_to_is_found_before_training(python):
    if not os.path.isdir("/proc"):
        pytest.skip("needs a read-only folder that is always there")
    done = python(SCRIPT, "--dataset", "synthetic", "--out", "/proc", timeout=20)
    assert done.returncode == 1
    why = r"\(No such file or directory\): give another --out"
    assert re.fullmatch(rf"compare.py: no file can be written to /proc {why}\n", done.stderr)
    assert done.stdout == ""


# --- stopping it ----------------------------------------------------------------------------------------------

needs_groups = pytest.mark.skipif(sys.platform == "win32", reason="sends a signal to a process group")
needs_proc = pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="looks at Linux's /proc")


class Started:
    """A run in a session of its own, as in a terminal of its own: it is killed and waited for at the end of a test."""

    def __init__(self, out, *arguments, ignored="", **environment):
        self.process = subprocess.Popen(
            [sys.executable, "-c", LAUNCHER, ignored, SCRIPT, *map(str, arguments), "--out", str(out)],
            cwd=ROOT,
            env=os.environ | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            encoding="utf-8",
            start_new_session=True,
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.process.kill()
        self.process.communicate()

    def wait_until(self, happened):
        """Wait for `happened()`, at most a minute, while the run goes on."""
        deadline = time.monotonic() + 60
        while not happened():
            assert self.process.poll() is None, self.process.communicate()
            assert time.monotonic() < deadline
            time.sleep(0.005)

    def send(self, number):
        """Send a signal as a terminal does: the whole process group gets it."""
        os.killpg(self.process.pid, number)

    def end(self):
        stdout, stderr = self.process.communicate(timeout=60)
        return self.process.returncode, stdout, stderr


class Marked(Started):
    """A run whose initialization leaves a mark for each seed, so that a test knows how far it has come."""

    def __init__(self, out, own, dataset, *arguments, **options):
        self.marks = out.parent / f"{out.name}-marks"
        self.marks.touch()
        arms = ("--arms", f"{own}/own.py:marking", "--hidden", "none", "--quick", "--dataset", dataset.name)
        super().__init__(out, *arms, *arguments, **options, MARKS=str(self.marks))

    def seeds_begun(self):
        """By the worker: this process's own mark is of the rehearsal."""
        return sum(int(pid) != self.process.pid for pid in self.marks.read_text().split())


STOPPED = [("SIGINT", 130, "interrupted"), ("SIGHUP", 129, "stopped by SIGHUP")]  # SIGTERM is among KILLED, below


@needs_groups
@pytest.mark.parametrize(("name", "exit_code", "message"), STOPPED, ids=["Ctrl-C", "terminal closed"])
def test_a_run_that_is_stopped_keeps_what_was_finished_and_says_so(tmp_path, dataset, own, name, exit_code, message):
    with Marked(tmp_path / "out", own, dataset, "--seeds", "2000", "--jobs", "1") as run:
        run.wait_until(lambda: run.seeds_begun() > 10)
        time.sleep(0.3)  # the ten are on their way to the process that is stopped
        run.send(getattr(signal, name))
        code, stdout, stderr = run.end()
    assert code == exit_code, stderr
    [line] = stderr.splitlines()
    assert line.startswith(f"compare.py: {message}; ")
    assert line.endswith(" of 2000 seeds were complete and are kept")
    assert "== Initial weights of 784-10, relu, dropout 0.2 ==" in stdout
    found = read(tmp_path / "out")
    assert found["complete"] is False
    [arm] = found["comparisons"][0]["arms"]
    seeds = found["settings"]["seeds"]
    assert seeds == list(range(len(seeds)))
    assert 1 <= len(arm["validation_accuracy"]) == len(seeds) < 2000
    assert f"{len(seeds)} of 2000" in line
    tables = (tmp_path / "out/tables.txt").read_text("utf-8")
    assert f"The run was stopped: it has {len(seeds)} of 2000 seeds." in tables
    assert (tmp_path / "out" / "chosen-arms.png").exists()


@needs_groups
def test_ctrl_c_before_anything_is_finished_leaves_an_earlier_run_as_it_was(tmp_path, dataset, own):
    out = tmp_path / "out"
    out.mkdir()
    (out / "results.json").write_text("{}")
    with Marked(out, own, dataset, "--seeds", "1", "--epochs", "100000") as run:
        run.wait_until(lambda: run.seeds_begun() > 0)
        run.send(signal.SIGINT)
        code, stdout, stderr = run.end()
    assert (code, stdout, stderr) == (130, "", "compare.py: interrupted; no seed was complete\n")
    assert [p.name for p in out.iterdir()] == ["results.json"]


@needs_groups
def test_nohup_goes_on_when_the_terminal_is_closed(tmp_path, dataset, own):
    with Marked(tmp_path / "out", own, dataset, "--seeds", "5", "--jobs", "1", ignored="SIGHUP") as run:
        run.wait_until(lambda: run.seeds_begun() > 0)
        run.send(signal.SIGHUP)
        code, _, stderr = run.end()
    assert (code, stderr) == (0, "")
    assert read(tmp_path / "out")["complete"] is True


@needs_proc
def test_a_killed_run_leaves_no_worker_behind(tmp_path, dataset, own):
    with Marked(tmp_path / "out", own, dataset, "--epochs", "100000") as run:
        run.wait_until(lambda: run.seeds_begun() > 1)
        run.process.kill()
        run.end()
        assert nothing_is_left_of(run.process.pid)


# --- going on -------------------------------------------------------------------------------------------------

INTERRUPTED = ("--arms", "he_normal,he_uniform", "--hidden", "20", "--quick", "--seeds", "8", "--jobs", "2")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory, dataset):
    """What a run finds that nothing interrupts."""
    out = tmp_path_factory.mktemp("undisturbed")
    arguments = [sys.executable, SCRIPT, *INTERRUPTED, "--dataset", dataset.name, "--out", str(out)]
    done = subprocess.run(arguments, cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120)
    assert done.returncode == 0, done.stderr
    assert not (out / "journal.txt").exists()
    return read(out)


def finished(out):
    """The units in a journal, which begins with a header."""
    return (out / "journal.txt").read_bytes().count(b"\n") - 1 if (out / "journal.txt").exists() else 0


@needs_groups
def test_a_run_that_was_killed_goes_on_and_finds_the_same_to_the_last_bit(tmp_path, dataset, undisturbed):
    """At two moments, the last of them when it is nearly done."""
    arguments, out, kept = (*INTERRUPTED, "--dataset", dataset.name), tmp_path / "out", 0
    for count, number in ((1, signal.SIGINT), (5, signal.SIGKILL), (8, None)):
        with Started(out, *arguments) as run:
            if number is not None:
                run.wait_until(lambda count=count: finished(out) >= count)
                run.send(number)
            code, _, stderr = run.end()
        said = f"scratchnet: going on: {2 * kept} of 16 networks were finished earlier"
        assert (said in stderr.splitlines()) == (kept > 0)
        kept = finished(out)
        assert kept >= count or number is None
    assert code == 0
    again = read(out)
    assert again["complete"] is True
    assert again["comparisons"] == undisturbed["comparisons"]
    assert again["verdicts"] == undisturbed["verdicts"]
    assert not {path.name for path in out.iterdir()} & {"journal.txt", ".lock"}
    assert not list(out.glob("*.tmp"))


@needs_groups
def test_the_choice_of_learning_rates_goes_on_too(tmp_path, dataset):
    arguments = ("uniform-baseline", "--quick", "--seeds", "8", "--jobs", "1", "--hidden", "none")
    arguments = (*arguments, "--learning-rates", "0.001,0.003", "--dataset", dataset.name)
    out = tmp_path / "out"
    with Started(out, *arguments) as run:
        run.wait_until(lambda: finished(out) >= 3)
        run.send(signal.SIGINT)
        code, stdout, stderr = run.end()
    assert (code, stdout) == (130, "")
    assert "the learning rates were still being chosen: the same command goes on with that" in stderr
    with Started(out, *arguments) as run:
        code, _, stderr = run.end()
    assert (code, stderr.count("going on: ")) == (0, 1)
    assert read(out)["complete"] is True


@needs_groups
def test_a_run_with_other_settings_does_not_go_on_and_the_earlier_journal_is_kept(tmp_path, dataset):
    arguments, out = (*INTERRUPTED, "--dataset", dataset.name), tmp_path / "out"
    with Started(out, *arguments) as run:
        run.wait_until(lambda: finished(out) >= 1)
        run.send(signal.SIGKILL)
        run.end()
    with Started(out, *arguments, "--batch-size", "200", "--seeds", "1") as run:
        code, _, stderr = run.end()
    assert code == 0
    assert "what an earlier run had finished is now in" in stderr
    assert "and is not used: its settings or its data were others" in stderr
    assert "going on" not in stderr
    assert len(list(out.glob("earlier/*/journal.txt"))) == 1


def test_a_second_run_into_the_same_folder_is_told_who_owns_it(tmp_path, python, dataset, own):
    with Marked(tmp_path / "out", own, dataset, "--epochs", "100000") as run:
        run.wait_until(lambda: run.seeds_begun() > 0)
        done = python(SCRIPT, *SMALL, "--dataset", dataset.name, "--out", tmp_path / "out")
        said = f"compare.py: another run (process {run.process.pid}) owns {tmp_path / 'out'}: wait until it has ended"
        assert (done.returncode, done.stdout) == (1, "")
        assert done.stderr.startswith(said)


# Seconds from the start of the first worker, and who ends the run. In the first hundredths, workers are being started.
KILLED = [
    (0.0, "SIGKILL"),
    (0.1, "SIGKILL"),
    (0.02, "SIGHUP"),
    (0.05, "SIGTERM"),
]


@needs_proc
@pytest.mark.parametrize(("seconds", "name"), KILLED, ids=[f"{name} after {seconds} s" for seconds, name in KILLED])
def test_a_run_leaves_no_process_behind_whenever_it_is_killed(tmp_path, dataset, seconds, name):
    arguments = ("--epochs", "100000", "--hidden", "none", "--jobs", "4", "--dataset", dataset.name)
    with Started(tmp_path, *arguments) as run:
        run.wait_until(lambda: any("spawn_main" in command for command in in_session(run.process.pid).values()))
        time.sleep(seconds)
        number = getattr(signal, name)
        run.process.send_signal(number)
        code, _, stderr = run.end()
        assert code == (-number if name == "SIGKILL" else 128 + number)
        assert name == "SIGKILL" or stderr == f"compare.py: stopped by {name}; no seed was complete\n"
        assert nothing_is_left_of(run.process.pid)


def nothing_is_left_of(session):
    deadline = time.monotonic() + 20
    while in_session(session) and time.monotonic() < deadline:
        time.sleep(0.02)
    return in_session(session) == {}


def in_session(session):
    """The processes of a session and their commands; those that have ended but are not collected are left out."""
    found = {}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/stat") as file:
                state, _, _, sid = file.read().rsplit(")", 1)[1].split()[:4]
            if int(sid) == session and state != "Z":
                with open(f"/proc/{pid}/cmdline") as file:
                    found[int(pid)] = file.read().replace("\0", " ")
        except (FileNotFoundError, ProcessLookupError):  # it has ended
            continue
    return found
