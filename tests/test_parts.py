"""Parts by name, with arguments, and from a reader's file."""

import functools
import pickle
import time

import numpy as np
import pytest

from scratchnet import init
from scratchnet.lab.parts import ACTIVATIONS, OPTIMIZERS, FromFile, PartError, describe, find, load_file
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
        ("he_normal:a", "expected ARGUMENT=VALUE in 'he_normal:a', got 'a'"),
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


def test_every_part_is_described_in_the_words_of_the_command_line(folder):
    assert describe(Tanh) == "tanh"
    assert describe(OPTIMIZERS["momentum"]) == "momentum"
    assert describe(functools.partial(LeakyReLU, slope=0.2)) == "leaky_relu:slope=0.2"
    assert describe(initialization(f"{folder}/my.py:mine:gain=3")) == "my.py:mine:gain=3"
    assert describe(np.tanh) == "tanh"
