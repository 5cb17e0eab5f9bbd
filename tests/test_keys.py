"""A unit's key changes with everything that decides its result, and with nothing else."""

import functools
import hashlib
import importlib
import json
import os
import random
import subprocess
import sys
import textwrap
from collections import defaultdict
from dataclasses import dataclass, replace
from enum import Enum
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ROOT

from scratchnet import init
from scratchnet.lab.executors import Unit, train_unit
from scratchnet.lab.experiment import Arm, Settings, named
from scratchnet.lab.keys import Indescribable, described, differences, environment, key, part_files
from scratchnet.lab.parts import file_digest, own_files
from scratchnet.layers import LeakyReLU, Tanh

UNIT = Unit([Arm("he_normal", "He", init.he_normal)], [0, 1], Settings())


def test_a_key_is_the_same_in_another_process():
    code = (
        "from scratchnet import init\nfrom scratchnet.lab.executors import Unit, train_unit\n"
        "from scratchnet.lab.experiment import Arm, Settings\nfrom scratchnet.lab.keys import key\n"
        "print(key(train_unit, Unit([Arm('he_normal', 'He', init.he_normal)], [0, 1], Settings()), 'data'))"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.stdout.strip() == key(train_unit, UNIT, "data")


def arm(**changes):
    return UNIT._replace(arms=[replace(UNIT.arms[0], **changes)])


def settings(**changes):
    return UNIT._replace(settings=replace(UNIT.settings, **changes))


OTHERS = {
    "seed": UNIT._replace(seeds=[0, 2]),
    "scheme": arm(scheme=init.he_uniform),
    "argument": arm(scheme=functools.partial(init.he_normal, a=0.1)),
    "another argument": arm(scheme=functools.partial(init.he_normal, a=0.2)),
    "bias": arm(bias=init.torch_linear_bias),
    "rate": arm(learning_rate=0.1),
    "rates": arm(learning_rate={0: 0.1, 1: 0.2}),
    "next float": settings(learning_rate=np.nextafter(0.001, 1)),
    "activation": settings(activation=Tanh),
    "slope": settings(activation=functools.partial(LeakyReLU, slope=0.3)),
    "sizes": settings(sizes=(784, 10)),
    "dtype": settings(dtype="float64"),
    "choosing": settings(choosing=True),
}


def test_everything_that_decides_a_result_is_in_its_key():
    keys = [key(train_unit, unit) for unit in (UNIT, *OTHERS.values())] + [key(train_unit, UNIT, "other data")]
    assert len(set(keys)) == len(OTHERS) + 2


def test_equal_specs_of_different_work_have_different_keys():
    assert key(train_unit, UNIT) != key(named, UNIT)


@dataclass
class Point:
    x: float


@dataclass
class Place:
    x: float


class Pair(NamedTuple):
    x: int
    y: int


class Couple(NamedTuple):
    x: int
    y: int


def with_more(x, more):
    x.more = more  # than the fields of a dataclass, or the arguments of a partial
    return x


class Colour(Enum):
    RED = 1


class Tone(Enum):
    RED = 1


class Bag:
    def __init__(self, x):
        self.x = x


class Box(Bag):
    pass


def one(*given):
    return 1


def other(*given):
    return 2


def test_what_differs_in_anything_is_described_differently():
    things = [
        functools.partial(one, 1),
        functools.partial(one, 2),
        functools.partial(one, a=1),
        functools.partial(other, 1),
        *({"a": 1}, {"b": 1}, {"a": 2}, [1], (1,), range(1), [1, 1]),
        *(Point(1.0), Point(2.0), Place(1.0), Colour.RED, Tone.RED, Bag(1), Bag(2), Box(1)),
        *(Pair(1, 2), Pair(2, 2), Couple(1, 2), with_more(Point(1.0), 1), with_more(functools.partial(one, 1), 1)),
        *(1, 1.0, "1", True, None, one, other, np.float32(1), np.float64(1), np.array([1.0]), np.sort),
    ]
    assert len({json.dumps(described(thing)) for thing in things}) == len(things)


def test_functions_of_python_and_numpy_need_no_file_since_their_versions_are_in_the_environment():
    assert described(sum) == ["builtins", "sum", ""]
    assert described(np.sort) == ["numpy", "sort", ""]
    assert described(np.random.default_rng)[1:] == ["default_rng", ""]
    if hasattr(np.tanh, "__qualname__"):  # not before NumPy 2.2
        assert described(np.tanh) == ["numpy", "tanh", ""]
    assert described(np.linalg.norm) == ["numpy.linalg", "norm", ""]
    assert described(textwrap.fill)[2] != described(init.he_normal)[2] != ""


def test_a_function_of_a_script_has_no_key_if_it_reads_what_only_the_main_guard_sets(tmp_path):
    (tmp_path / "script.py").write_text(
        "from scratchnet.lab.keys import Indescribable, described\n"
        "def reads(): return GAIN\ndef does_not(): return 1\n"
        "if __name__ == '__main__':\n    GAIN = 2\n    print(described(does_not)[:2])\n"
        "    try: described(reads)\n    except Indescribable as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, tmp_path / "script.py"], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.stdout.splitlines() == [
        "['__main__', 'does_not']",
        "reads reads GAIN, which the file alone does not tell",
    ]


def test_arrays_are_described_by_type_shape_and_every_bit():
    A = np.arange(6.0)
    arrays = [A, A.reshape(2, 3), A.astype(np.float32), np.append(A[:-1], np.nextafter(5, 6))]
    arrays += [np.asfortranarray(arrays[1])]  # of the same numbers, whose sums are rounded otherwise
    assert len({str(described(array)) for array in arrays}) == 5
    assert described(A[1:3]) == described(A[1:3].copy())


def test_an_object_is_described_by_its_class_and_what_it_holds():
    assert described(LeakyReLU(0.1)) == described(LeakyReLU(0.1))
    assert described(LeakyReLU(0.1)) != described(LeakyReLU(0.2))


class Anything:
    def __getattr__(self, name):
        return None


def test_an_object_that_has_every_name_is_no_function_for_that():
    assert described(Anything()) == [["test_keys", "Anything", described(one)[2]], None]


class Built:
    @classmethod
    def scheme(cls, shape, *, rng):
        return rng.normal(size=shape)


def test_a_class_method_is_described_by_its_class():
    assert described(Built.scheme)[1:] == [described(Built), ["test_keys", "Built.scheme", described(one)[2]]]


def twice(f):
    @functools.wraps(f)
    def wrapper(*args):
        return 2 * f(*args)

    return wrapper


one_twice = twice(one)
other = twice(other)


def test_a_function_that_has_the_name_of_another_one_has_no_key():
    with pytest.raises(Indescribable, match=r"test_keys\.one is another one"):
        described(one_twice)
    assert described(other)[1] == "other"


class Slotted:
    __slots__ = ("__dict__", "gain")

    def __init__(self, gain):
        self.gain = gain

    def scheme(self, shape, *, rng):
        return self.gain * rng.normal(size=shape)

    def another(self, shape, *, rng):
        return -self.scheme(shape, rng=rng)


def test_what_is_in_slots_is_described_too():
    assert described(Slotted(1.0)) == described(Slotted(1.0))
    assert described(Slotted(1.0)) != described(Slotted(2.0))


def test_a_method_is_described_by_its_object_and_its_name():
    assert described(Slotted(1.0).scheme) == described(Slotted(1.0).scheme)
    others = [Slotted(1.0).scheme, Slotted(2.0).scheme, Slotted(1.0).another]
    assert len({str(described(method)) for method in others}) == 3


@pytest.fixture
def module(tmp_path, monkeypatch):
    """A file of one function, as it was long before this process began, and the module that it is."""
    file = tmp_path / "imported_scheme.py"
    file.write_text("def mine(): return 1\n")
    os.utime(file, (1, 1))
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "imported_scheme", raising=False)  # where tests run twice in a process
    return file, importlib.import_module("imported_scheme")


def test_after_a_change_of_an_imported_file_nothing_has_a_key_since_nobody_knows_what_runs(module):
    file, imported = module
    first = described(imported.mine)
    file.write_text("def mine(): return 22\n")
    os.utime(file, (2, 2))
    with pytest.raises(Indescribable, match=r"imported_scheme\.py has changed"):
        described(importlib.reload(imported).mine)
    file.write_text("def mine(): return 1\n")
    os.utime(file, (3, 3))
    assert described(imported.mine) == first
    file.unlink()
    with pytest.raises(Indescribable):
        described(imported.mine)


def test_nor_has_what_is_in_a_file_that_changed_before_the_first_key_and_after_this_process_began(module):
    file, imported = module
    file.touch()
    with pytest.raises(Indescribable, match=r"imported_scheme\.py has changed"):
        described(imported.mine)


def test_nor_has_what_is_in_a_file_that_is_just_being_edited(module):
    file, imported = module
    file.write_text("def mine(:\n")
    with pytest.raises(Indescribable, match=r"imported_scheme\.py is no valid Python any more"):
        described(imported.mine)


class Whole(int):
    """Whose attributes are more than the number."""


class Items(list):
    """Whose attributes are more than the items."""


cyclic = Bag(1)
cyclic.x = cyclic
NOT_THE_SAME_TOMORROW = {
    "lambda": lambda: 0,
    "generator": np.random.default_rng(0),
    "Python's generator": random.Random(0),
    "a hash": hashlib.sha256(b"1"),
    "a list with more": with_more(Items([1]), 1),
    "a mapping with more": defaultdict(int),
    "a structure": np.zeros(1, dtype=[("a", "f4")]),
    "too large a number": 10**5000,
    "objects": np.array([object()]),
    "masked array": np.ma.masked_equal([1, 2], 1),
    "a number with more": Whole(1),
    "module": sys,
    "method of a list": [].append,
    "no file": sys.intern,
    "a ufunc of a lambda": np.frompyfunc(lambda x: x, 1, 1),
    "cycle": cyclic,
}


@pytest.mark.parametrize("x", NOT_THE_SAME_TOMORROW.values(), ids=NOT_THE_SAME_TOMORROW)
def test_what_would_not_be_the_same_tomorrow_has_no_key(x):
    with pytest.raises(Indescribable):
        key(train_unit, [x])


def test_a_part_of_ones_own_is_described_by_the_content_of_its_file_and_of_those_beside_it(tmp_path):
    (tmp_path / "own.py").write_text("import math\nimport beside\ndef mine(shape, *, rng): return beside.x\n")
    (tmp_path / "beside.py").write_text("from further import x\n")
    (tmp_path / "further.py").write_text("import own\nx = 1\n")
    assert [path.name for path in own_files(tmp_path / "own.py")] == ["own.py", "beside.py", "further.py"]
    mine = named(f"{tmp_path}/own.py:mine")
    keys = {key(train_unit, UNIT._replace(arms=[mine]))}
    for name in ("own.py", "beside.py", "further.py"):
        (tmp_path / name).write_text((tmp_path / name).read_text() + "# changed\n")
        keys.add(key(train_unit, UNIT._replace(arms=[named(f"{tmp_path}/own.py:mine")])))
    assert len(keys) == 4
    assert key(train_unit, UNIT._replace(arms=[mine])) in keys, "an arm keeps the key of the files that it came from"
    named_last = part_files([named(f"{tmp_path}/own.py:mine")])
    assert part_files(replace(mine, scheme=functools.partial(mine.scheme, gain=1))) == part_files([mine])
    assert named_last == {str(path): file_digest(path) for path in own_files(tmp_path / "own.py")}
    assert all(part_files([mine])[path] != digest for path, digest in named_last.items())


def test_work_changes_its_key_with_its_file_but_not_with_how_its_results_are_judged(tmp_path):
    file = tmp_path / "own_study.py"
    code = "import sys\nsys.path.insert(0, sys.argv[1])\nimport own_study\nfrom scratchnet.lab.keys import key\n"
    keys = []
    for body in (
        "def measured(spec): return 1\n\ndef judge(numbers): return numbers / 0\n",
        "def measured(spec): return 1\n\ndef judge(numbers): return numbers  # mended\n",
        "def measured(spec): return 2\n\ndef judge(numbers): return numbers\n",
    ):
        file.write_text(body)
        arguments = [sys.executable, "-B", "-c", code + "print(key(own_study.measured, 1))", str(tmp_path)]
        keys.append(subprocess.run(arguments, cwd=ROOT, capture_output=True, encoding="utf-8").stdout)
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].strip()


def test_an_environment_names_the_kernels_that_were_chosen():
    found = environment()
    assert found["numpy"] == np.__version__
    assert set(found) == {"python", "numpy", "scratchnet", "code", "platform", "blas", "kernels", "simd"}
    assert all(found.values())


def library(api, name, version, path, **more):
    return {"user_api": api, "internal_api": name, "version": version, "filepath": path} | more


LIBRARIES = [
    library("openmp", "openmp", None, "libgomp.so"),
    library("blas", "openblas", "0.3", "scipy.libs/a", architecture="Haswell"),
    library("blas", "openblas", "0.2", "numpy.libs/a", architecture="Zen"),
    library("blas", "mkl", "1", "scipy.libs/b"),
]


@pytest.mark.parametrize(
    ("libraries", "kernels"),
    [
        (LIBRARIES, "openblas 0.2 Zen"),
        (LIBRARIES[:2], "openblas 0.3 Haswell"),
        (LIBRARIES[1::2], "mkl 1, openblas 0.3 Haswell"),
        (LIBRARIES[:1], "unknown"),
    ],
)
def test_the_kernels_are_those_of_numpys_own_blas_where_it_has_one(libraries, kernels, monkeypatch):
    monkeypatch.setattr("threadpoolctl.threadpool_info", lambda: libraries)
    assert environment()["kernels"] == kernels


def test_two_environments_differ_in_everything_but_the_platforms_name():
    now = environment()
    assert differences(now | {"platform": "another"}, now) == []
    assert differences(now | {"kernels": "openblas 1 Z80"}, now) == [f"kernels openblas 1 Z80, now {now['kernels']}"]
    assert differences({name: x for name, x in now.items() if name != "simd"}, now)[0].startswith("simd unknown, now ")
