"""Parts by name, with arguments, and from a reader's file."""

import functools
import importlib
import os
import pickle
import subprocess
import sys
import time
import types
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from conftest import ROOT

from scratchnet import init
from scratchnet.lab.parts import ACTIVATIONS, OPTIMIZERS, FromFile, PartError, describe, find, load_file, own_files
from scratchnet.layers import LeakyReLU, Tanh

MINE = """
import helper

def mine(shape, *, rng, gain=1.0):
    return gain * helper.ones(shape)

class Sign:
    def __init__(self, theta, grad, *, learning_rate): ...

number = 3
"""


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "my.py").write_text(MINE)
    (tmp_path / "helper.py").write_text("import numpy as np\nones = np.ones\n")
    return tmp_path


def initialization(text):
    return find(text, init.SCHEMES, "initialization")


def test_a_name_is_a_part_of_the_package():
    assert find("tanh", ACTIVATIONS, "activation") is Tanh
    assert find("ReLU", ACTIVATIONS, "activation") is ACTIVATIONS["relu"]
    assert initialization("he_normal") is init.he_normal


def test_a_name_takes_arguments(rng):
    assert find("leaky_relu:slope=0.3", ACTIVATIONS, "activation")().slope == 0.3
    part = initialization("variance_scaling:scale=2,mode=fan_out,distribution=uniform")
    assert part.keywords == {"scale": 2, "mode": "fan_out", "distribution": "uniform"}


def test_a_file_is_a_part_and_its_neighbours_can_be_imported(folder, rng):
    part = initialization(f"{folder}/my.py:mine:gain=3")
    assert (part((2, 2), rng=rng) == 3).all()


def test_a_part_from_a_file_is_sent_by_its_path(folder, rng):
    part = pickle.loads(pickle.dumps(initialization(f"{folder}/my.py:mine")))
    assert part == FromFile(f"{folder}/my.py", "mine")
    assert (part((2, 2), rng=rng) == 1).all()


def test_a_file_that_has_changed_is_loaded_again(folder):
    path = folder / "my.py"
    first = load_file(str(path))
    assert load_file(str(path)) is first
    time.sleep(0.01)
    path.write_text("number = 4")
    assert load_file(str(path)).number == 4


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("he_norml", "there is no initialization 'he_norml'; did you mean he_normal"),
        ("zzz", "there is no initialization 'zzz'; there are zeros, ones"),
        ("", "expected a NAME, NAME:ARGUMENT=VALUE or FILE.py:NAME, got ''"),
        ("my.py", "my.py names a file: name the initialization in it too, as in my.py:NAME"),
        ("nowhere.py:mine", "nowhere.py cannot be read: No such file or directory"),
        ("my.py:yours", "my.py has no 'yours'; it has mine, Sign"),
        ("my.py:number", r"number in my.py is int: expected a function or class \(initialization\)"),
        ("he_normal:b=3", "he_normal has no argument 'b'; it has a, mode"),
        ("he_normal:rng=3", "he_normal has no argument 'rng'; it has a, mode"),
        ("zeros:a=3", "zeros has no argument 'a'; it has none that can be set"),
        ("he_normal:a=1,a=2", "^he_normal has 'a' twice"),
        ("he_normal:a", "expected ARGUMENT=VALUE in 'he_normal:a', got 'a'"),
        (
            "he_normal:a={1}",
            r"a=\{1\}: expected a number, a word, True, False, None, or a list, tuple or dict of these",
        ),
        ("he_normal:a=b'x'", "he_normal has a=b'x': expected"),
        ("he_normal:a=1j", "he_normal has a=1j: expected"),
        ("he_normal:a=...", "he_normal has a=...: expected"),
        ("my.py:mine:gain=[{1: 1j}]", "my.py:mine has gain=\\[{1: 1j}\\]: expected"),
        ("he_normal:a={1j: 1}", "he_normal has a={1j: 1}: expected"),
        ("he_normal:a=0x" + 5000 * "f", "he_normal has a=0xf+…: expected"),
        ("he_normal:a=" + "+".join(["1"] * 20000), "the argument 'a' of he_normal is nested too deeply"),
        ("he_normal:", "expected ARGUMENT=VALUE in 'he_normal:', got ''"),
    ],
)
def test_what_does_not_exist_is_one_clear_sentence(folder, monkeypatch, text, message):
    monkeypatch.chdir(folder)
    with pytest.raises(PartError, match=message) as error:
        initialization(text)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("def mine(:", "cannot be loaded: SyntaxError: invalid syntax"),
        ("x = 1\n1 / 0", r"cannot be loaded: ZeroDivisionError: division by zero \(broken.py, line 2\)"),
        ("import nowhere_at_all", "cannot be loaded: ModuleNotFoundError: No module named 'nowhere_at_all'"),
        ("import sys\nsys.exit(3)", "cannot be loaded: SystemExit: 3"),
    ],
    ids=["syntax", "raises", "import", "exits"],
)
def test_a_file_that_cannot_be_loaded_says_why_and_where(tmp_path, code, message):
    (tmp_path / "broken.py").write_text(code)
    with pytest.raises(PartError, match=message):
        initialization(f"{tmp_path}/broken.py:mine")


def test_words_for_truth_and_for_numbers_without_end_are_no_words(rng):
    part = initialization("truncated_normal:corrected=false,low=-inf,high=2")
    assert part.keywords == {"corrected": False, "low": -np.inf, "high": 2}
    assert initialization("truncated_normal:corrected=True").keywords == {"corrected": True}
    for wrong in ("no", "2", "None"):
        with pytest.raises(PartError, match=f"truncated_normal has corrected={wrong}: expected True or False"):
            initialization(f"truncated_normal:corrected={wrong}")


def test_every_part_is_described_in_the_words_of_the_command_line(folder):
    assert describe(Tanh) == "tanh"
    assert describe(OPTIMIZERS["momentum"]) == "momentum"
    assert describe(functools.partial(LeakyReLU, slope=0.2)) == "leaky_relu:slope=0.2"
    assert describe(initialization(f"{folder}/my.py:mine:gain=3")) == "my.py:mine:gain=3"
    assert describe(np.tanh) == "tanh"


def test_two_files_may_each_have_a_neighbour_of_one_name(tmp_path, rng, monkeypatch):
    monkeypatch.setitem(sys.modules, "helper", types.ModuleType("helper"))  # some other one, such as a script's own
    theirs, found = sys.modules["helper"], {}
    for folder, gain in (("A", 1.0), ("B", 0.01), ("C", None)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "my.py").write_text("from helper import GAIN\ndef mine(shape, *, rng): return GAIN\n")
        if gain:
            (tmp_path / folder / "helper.py").write_text(f"GAIN = {gain}\n")
            found[folder] = initialization(f"{tmp_path / folder}/my.py:mine")((2, 2), rng=rng)
    assert found == {"A": 1.0, "B": 0.01}
    with pytest.raises(PartError, match=r"cannot import name 'GAIN'|No module named"):
        initialization(f"{tmp_path}/C/my.py:mine")
    assert sys.modules["helper"] is theirs


@pytest.mark.parametrize("regular", [True, False])
def test_two_files_may_each_have_a_package_of_one_name(tmp_path, rng, monkeypatch, regular):
    if regular:  # and so may this process
        monkeypatch.setitem(sys.modules, "inside", types.ModuleType("inside"))
    for folder in ("A", "B"):
        (tmp_path / folder / "inside").mkdir(parents=True)
        (tmp_path / folder / "my.py").write_text("import inside.deep\ndef mine(shape, *, rng): return inside.deep.x\n")
        if regular:
            (tmp_path / folder / "inside" / "__init__.py").write_text("")
        (tmp_path / folder / "inside" / "deep.py").write_text(f"x = {folder!r}\n")
        assert initialization(f"{tmp_path / folder}/my.py:mine")((2, 2), rng=rng) == folder
    assert "inside.deep" not in sys.modules and ("inside" in sys.modules) is regular


def test_what_a_virtual_environment_below_a_file_has_is_no_neighbour_and_stays(tmp_path, monkeypatch):
    (tmp_path / ".venv").mkdir()
    (tmp_path / ".venv" / "installed_there.py").write_text("")
    (tmp_path / "my.py").write_text("import installed_there\ndef mine(shape, *, rng): ...\n")
    monkeypatch.syspath_prepend(tmp_path / ".venv")
    initialization(f"{tmp_path}/my.py:mine")
    assert sys.modules.pop("installed_there")


def test_a_file_may_do_strange_things_to_modules_and_the_path(tmp_path, monkeypatch):
    (tmp_path / "my.py").write_text(
        "import sys, types\nclass Odd(types.ModuleType):\n    def __getattr__(self, name): return 3\n"
        "sys.modules['odd_one'], sys.modules['none_at_all'] = Odd('odd_one'), None\nsys.path.pop(0)\ndef mine(): ...\n"
    )
    for name in ("odd_one", "none_at_all"):
        monkeypatch.setitem(sys.modules, name, None)  # so that they are gone after the test
        del sys.modules[name]
    path = sys.path.copy()
    assert initialization(f"{tmp_path}/my.py:mine").target
    assert sys.path == path


def test_this_package_is_imported_once_even_by_a_file_beside_it(tmp_path, monkeypatch):
    code = (
        "import sys\nfrom scratchnet.lab.parts import load_file\nloaded = load_file(sys.argv[1]).sweeps\n"
        "import scratchnet.report.sweeps\nprint(scratchnet.report.sweeps is loaded)"
    )
    (tmp_path / "scratchnet").symlink_to(ROOT / "scratchnet")
    (tmp_path / "my.py").write_text("from scratchnet.report import sweeps\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    command = [sys.executable, "-c", code, tmp_path / "my.py"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, encoding="utf-8")
    assert done.stdout.strip() == "True", done.stderr


@pytest.mark.parametrize("changed", ["my.py", "helper.py"])
def test_a_worker_refuses_another_version_of_a_file_than_the_run_began_with(folder, changed):
    sent = pickle.dumps(initialization(f"{folder}/my.py:mine"))
    with (folder / changed).open("a") as file:
        file.write("raise ValueError('half written')\n")
    code = "import pickle, sys\nfrom scratchnet.lab.parts import PartError\npart = pickle.load(sys.stdin.buffer)\n"
    code += "try: part.target\nexcept PartError as error: print(error)"
    worker = subprocess.run([sys.executable, "-c", code], cwd=ROOT, input=sent, capture_output=True)
    assert worker.stdout.decode().strip() == f"{folder / changed} has changed since this run began: start again"
    assert pickle.loads(sent).target, "the process that has loaded it goes on with what it has"


def test_a_file_that_changes_while_it_is_executed_is_refused(folder):
    (folder / "my.py").write_text("with open(__file__, 'a') as file: file.write('# more')\ndef mine(): ...\n")
    with pytest.raises(PartError, match=r"my\.py has changed since this run began: start again"):
        initialization(f"{folder}/my.py:mine")


def test_a_file_that_changes_twice_in_a_second_is_not_taken_for_its_bytecode(folder, rng):
    found = []
    for gain in (1, 2):
        (folder / "helper.py").write_text(f"import numpy as np\ndef ones(shape): return {gain} * np.ones(shape)\n")
        os.utime(folder / "helper.py", (0, 0))
        found.append(initialization(f"{folder}/my.py:mine")((), rng=rng))
    assert found == [1, 2]


def test_the_files_of_a_package_are_files_of_ones_own(tmp_path):
    (tmp_path / "my.py").write_text("from helpers import GAIN\nimport space.deep\n")
    for name, text in {
        "helpers/__init__.py": "from .gain import GAIN",
        "helpers/gain.py": "from alone import GAIN",
        "helpers/deeper/unused.py": "",
        "helpers/alone.py": "",
        "alone.py": "GAIN = 1",
        "space/deep.py": "",
        "other.py": "",
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    found = [path.relative_to(tmp_path).as_posix() for path in own_files(tmp_path / "my.py")]
    package = ["helpers/__init__.py", "helpers/alone.py", "helpers/deeper/unused.py", "helpers/gain.py"]
    assert found == ["my.py", "space/deep.py", *package, "alone.py"]


def test_this_package_is_no_file_of_ones_own(tmp_path):
    (tmp_path / "scratchnet").symlink_to(ROOT / "scratchnet")
    (tmp_path / "my.py").write_text("from scratchnet import init\n")
    assert own_files(tmp_path / "my.py") == [tmp_path / "my.py"]


@pytest.mark.parametrize("relative", [False, True])
@pytest.mark.parametrize("call", ["importlib.import_module('helper')", "__import__('hel' + 'per')"])
def test_a_neighbour_that_is_imported_in_an_unusual_way_is_refused_since_its_changes_would_go_unseen(
    folder, call, relative, monkeypatch
):
    (folder / "my.py").write_text(
        f"import importlib\nhelper = {call}\ndef mine(shape, *, rng): return helper.ones(shape)\n"
    )
    monkeypatch.chdir(folder)
    with pytest.raises(PartError, match=r"my\.py loads .*helper\.py in a way that nobody can follow: write `import`"):
        assert FromFile("my.py" if relative else str(folder / "my.py"), "mine").target
    assert "helper" not in sys.modules


def test_the_files_of_a_part_may_be_given_with_relative_paths(folder, monkeypatch):
    monkeypatch.chdir(folder)
    there = FromFile(f"{folder}/my.py", "mine")
    assert FromFile("my.py", "mine", (("my.py", there.files[0][1]), ("helper.py", there.files[1][1]))) == there
    assert FromFile("my.py", "mine") == there


def test_several_threads_may_load_files_at_once(folder):
    (folder / "helper.py").write_text("import time\ntime.sleep(0.01)\nimport numpy as np\nones = np.ones\n")
    for i in range(4):
        (folder / f"my{i}.py").write_text(MINE)
    with ThreadPoolExecutor(8) as threads:
        loaded = list(threads.map(load_file, [f"{folder}/my{i}.py" for i in range(4)] * 2))
    assert all(hasattr(module, "mine") for module in loaded)
    assert "helper" not in sys.modules


def test_a_neighbour_that_this_process_has_imported_as_it_is_is_shared(folder, rng, monkeypatch):
    """So a member of an enumeration that a script gives is the one that the file compares it with."""
    os.utime(folder / "helper.py", (1, 1))  # before this process began
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    import helper

    part = initialization(f"{folder}/my.py:mine")
    assert part.target.__globals__["helper"] is helper
    assert sys.modules.pop("helper") is helper


def test_a_module_of_a_folder_without_init_is_imported_anew_too(tmp_path, rng, monkeypatch):
    (tmp_path / "parted").mkdir()
    (tmp_path / "parted" / "gain.py").write_text("GAIN = 1\n")
    (tmp_path / "my.py").write_text("from parted.gain import GAIN\ndef mine(shape, *, rng): return GAIN\n")
    monkeypatch.syspath_prepend(tmp_path)
    first = importlib.import_module("parted.gain")
    (tmp_path / "parted" / "gain.py").write_text("GAIN = 22\n")
    assert initialization(f"{tmp_path}/my.py:mine")((), rng=rng) == 22
    assert sys.modules.pop("parted.gain") is first and sys.modules.pop("parted")


def test_a_neighbour_that_this_process_had_imported_before_it_was_changed_is_imported_anew(folder, rng, monkeypatch):
    monkeypatch.syspath_prepend(folder)
    monkeypatch.delitem(sys.modules, "helper", raising=False)
    import helper

    (folder / "helper.py").write_text("import numpy as np\ndef ones(shape): return 2 * np.ones(shape)\n")
    assert initialization(f"{folder}/my.py:mine")((), rng=rng) == 2
    assert sys.modules.pop("helper") is helper
