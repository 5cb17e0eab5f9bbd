"""A unit's key changes with everything that decides its result, and with nothing else."""

import functools
import os
import random
import shutil
import subprocess
import sys
import textwrap
from collections import defaultdict
from dataclasses import replace
from enum import Enum
from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from conftest import ROOT

from scratchnet import init
from scratchnet.lab.executors import Unit, train_unit
from scratchnet.lab.experiment import Arm, Settings, named
from scratchnet.lab.keys import PACKAGE, Indescribable, described, differences, environment, key, part_files
from scratchnet.lab.parts import FromFile, file_digest, own_files
from scratchnet.lab.script import Script
from scratchnet.lab.study import Training
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
    "argument": arm(scheme=partial(init.he_normal, a=0.1)),
    "another argument": arm(scheme=partial(init.he_normal, a=0.2)),
    "bias": arm(bias=init.torch_linear_bias),
    "rate": arm(learning_rate=0.1),
    "rates": arm(learning_rate={0: 0.1, 1: 0.2}),
    "next float": settings(learning_rate=np.nextafter(0.001, 1)),
    "activation": settings(activation=Tanh),
    "slope": settings(activation=partial(LeakyReLU, slope=0.3)),
    "sizes": settings(sizes=(784, 10)),
    "dtype": settings(dtype="float64"),
    "choosing": settings(choosing=True),
}


def test_everything_that_decides_a_result_is_in_its_key():
    keys = [key(train_unit, unit) for unit in (UNIT, *OTHERS.values())] + [key(train_unit, UNIT, "other data")]
    assert len(set(keys)) == len(OTHERS) + 2


def test_equal_specs_of_different_work_have_different_keys():
    assert key(train_unit, UNIT) != key(named, UNIT)


def with_more(x):
    x.more = 1  # than the arguments that it was made with
    return x


def test_what_differs_in_anything_is_described_differently():
    things = [
        partial(np.sort, 1),
        partial(np.sort, 2),
        partial(np.sort, a=1),
        partial(np.mean, 1),
        with_more(partial(np.sort, 1)),
        *({"a": 1}, {"b": 1}, {"a": 2}, [1], (1,), range(1), [1, 1], Script(True, {}), (True, {})),
        *(LeakyReLU(0.1), LeakyReLU(0.2), with_more(LeakyReLU(0.1)), LeakyReLU, Tanh(), Training([], [], None)),
        *(1, 1.0, "1", True, None, np.sort, np.mean, sum, np.float32(1), np.float64(1), np.array(1.0)),
        *("\U0001f600", "\ud83d\ude00"),
    ]
    assert len({key(np.sort, thing) for thing in things}) == len(things)


def test_functions_of_python_and_numpy_need_no_file_since_their_versions_are_in_the_environment():
    assert described(sum) == ["builtins", "sum", ""]
    assert described(np.sort) == ["numpy", "sort", ""]
    if hasattr(np.tanh, "__qualname__"):  # not before NumPy 2.2
        assert described(np.tanh) == ["numpy", "tanh", ""]
    assert described(np.linalg.norm) == ["numpy.linalg", "norm", ""]
    assert described(init.he_normal)[2] != described(LeakyReLU)[2] != ""


def test_arrays_are_described_by_type_shape_and_every_bit():
    A = np.arange(6.0)
    arrays = [A, A.reshape(2, 3), A.astype(np.float32), np.append(A[:-1], np.nextafter(5, 6))]
    arrays += [np.asfortranarray(arrays[1])]  # of the same numbers, whose sums are rounded otherwise
    assert len({str(described(array)) for array in arrays}) == 5
    assert described(A[1:3]) == described(A[1:3].copy())


def test_an_object_is_described_by_its_class_and_what_it_holds():
    assert described(LeakyReLU(0.1)) == described(LeakyReLU(0.1))
    assert described(LeakyReLU(0.1)) != described(LeakyReLU(0.2))


# Nobody knows whether these are the same when Python starts again.
GAIN = 1.0


def global_gain(shape, *, rng):
    return GAIN * rng.normal(size=shape)


class Mine:
    gain = 1.0

    def __getattr__(self, name):
        return None

    def __call__(self, shape, *, rng):
        return self.gain * rng.normal(size=shape)

    @staticmethod
    def static(shape, *, rng):
        return GAIN * rng.normal(size=shape)

    @classmethod
    def of_the_class(cls, shape, *, rng):
        return cls.gain * rng.normal(size=shape)


class Further(LeakyReLU):
    pass


class Choice(Enum):
    ONE = 1


class Couple(NamedTuple):
    x: int


@functools.wraps(init.he_normal)
def he_normal(shape, *, rng):
    return GAIN * init.he_normal(shape, rng=rng)


class Whole(int):
    """Whose attributes are more than the number."""


class Half(np.float64):
    """The same."""


cyclic = LeakyReLU(0.1)
cyclic.x = cyclic
NOT_THE_SAME_TOMORROW = {
    "lambda": lambda: 0,
    "function": global_gain,
    "class": Mine,
    "object": Mine(),
    "static method": Mine.static,
    "class method": Mine.of_the_class,
    "subclass": Further(0.1),
    "enumeration": Choice.ONE,
    "named tuple": Couple(1),
    "wrapped": he_normal,
    "method": LeakyReLU(0.1).forward,
    "vectorized": np.vectorize(he_normal),
    "generator": np.random.default_rng(0),
    "the module's generator": np.random.normal,
    "Python's generator": random.Random(0),
    "dict with more": defaultdict(int),
    "number with more": Whole(1),
    "number of NumPy's with more": Half(1),
    "too large a number": 10**5000,
    "structure": np.zeros(1, dtype=[("a", "f4")]),
    "padding": np.longdouble(1),
    "objects": np.array([object()]),
    "masked array": np.ma.masked_equal([1, 2], 1),
    "records": np.zeros(1).view(np.recarray),
    "module": sys,
    "method of a list": [].append,
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
    assert described(FromFile(f"{tmp_path}/own.py", "mine"))[2:] == [
        [path.name, file_digest(path)] for path in own_files(tmp_path / "own.py")
    ]
    assert key(train_unit, UNIT._replace(arms=[mine])) in keys, "an arm keeps the key of the files that it came from"
    named_last = part_files([named(f"{tmp_path}/own.py:mine")])
    assert part_files(replace(mine, scheme=partial(mine.scheme, gain=1))) == part_files([mine])
    assert named_last == {str(path): file_digest(path) for path in own_files(tmp_path / "own.py")}
    assert all(part_files([mine])[path] != digest for path, digest in named_last.items())


@pytest.fixture
def package(tmp_path):
    """A copy of this package, and what a Python that imports it prints."""
    shutil.copytree(PACKAGE, tmp_path / "scratchnet", ignore=shutil.ignore_patterns("__pycache__"))

    def run(code):
        environment = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
        how = {"cwd": tmp_path, "env": environment, "capture_output": True, "encoding": "utf-8"}
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(code)], **how)
        assert done.returncode == 0, done.stderr
        return done.stdout

    return tmp_path / "scratchnet", run


def test_work_changes_its_key_with_its_file_but_not_with_how_its_results_are_judged(package):
    folder, run = package
    keys = []
    for work, judge in ((1, 1), (1, 2), (2, 2)):
        file = folder / "lab" / "studies" / "own.py"
        file.write_text(f"def work(spec, *rest): return {work}\n\ndef judge(numbers): return {judge}\n")
        code = "from scratchnet.lab import keys; from scratchnet.lab.studies import own; print(keys.key(own.work, 1))"
        keys.append(run(code))
    assert keys[0] == keys[1] != keys[2]
    assert keys[0].strip()


def test_where_this_package_was_edited_since_it_was_imported_nothing_of_another_process_is_the_same(package):
    _, run = package
    first, again, edited, later = run("""
        from pathlib import Path
        from scratchnet import layers
        from scratchnet.lab.keys import environment
        print(environment()["code"], environment()["code"], sep="\\n")
        file = Path(layers.__file__)
        file.write_text(file.read_text() + "# edited\\n")
        print(environment()["code"], environment()["code"], sep="\\n")
    """).splitlines()
    assert first == again
    assert edited.startswith(f"{first}, but changed since, at ") and edited != later
    assert run("from scratchnet.lab.keys import environment; print(environment()['code'])").strip() not in edited


def test_a_run_goes_on_with_the_code_that_it_has_imported_when_that_is_edited(package):
    """Without workers, which would import the new code; and nothing is recorded for those who come later."""
    folder, run = package
    code = """
        import sys
        from pathlib import Path
        from scratchnet import init, train
        from scratchnet.data import load
        from scratchnet.lab.comparison import compare
        from scratchnet.lab.experiment import Arm, Settings
        from scratchnet.lab.journal import Journal
        sys.stderr = sys.stdout
        dataset, settings = load("synthetic").first(200), Settings(sizes=(784, 4, 10), epochs=1)
        journal = Journal(Path("journal"), dataset)
        file = Path(train.__file__)
        if EDIT:
            file.write_text(file.read_text().replace("optimizer.step()", "pass"))
        [run] = compare([Arm("a", "a", init.he_normal)], dataset, settings, seeds=[0], jobs=1, journal=journal)
        print(len(journal), run.training_loss.tolist())
    """
    right = run(code.replace("EDIT", "False"))
    (folder.parent / "journal").unlink()
    edited = run(code.replace("EDIT", "True")).splitlines()
    assert "optimizer.step()" not in (folder / "train.py").read_text()
    assert right.startswith("1 [") and edited[-1] == "0 [" + right[3:].strip()
    assert edited[:2] == [
        "scratchnet: 1 of 1 units are not recorded, and a kill loses them: "
        "files of scratchnet have changed since they were imported",
        "scratchnet: training in this process, without workers: "
        "files of scratchnet have changed since this process imported them",
    ]


def test_workers_do_no_work_with_a_study_that_was_edited_meanwhile(package):
    """Its functions may be in a spec, as those of an arm are."""
    _, run = package
    said = run("""
        import sys
        from functools import partial
        from pathlib import Path
        from scratchnet.data import load
        from scratchnet.lab.experiment import Arm, Settings
        from scratchnet.lab.study import Laboratory, Training, train
        from scratchnet.lab.studies import identical_units
        sys.stderr = sys.stdout
        file = Path(identical_units.__file__)
        file.write_text(file.read_text().replace("def groups(", "def groups(*args, **kwargs): 1 / 0\\ndef unused("))
        arm = Arm("a", "a", preparation=partial(identical_units.groups, distinct=2))
        spec = Training([arm], [0], Settings(sizes=(784, 4, 4, 10), epochs=1))
        [[run]] = Laboratory(load("synthetic").first(200), jobs=1).each(train, [spec])
        print(run.arm)
    """)
    assert said.splitlines() == [
        "scratchnet: training in this process, without workers: "
        "files of scratchnet have changed since this process imported them",
        "a",
    ]


def test_what_editors_leave_is_no_code_and_a_study_can_be_imported_again(package):
    _, run = package
    said = run("""
        import importlib
        from pathlib import Path
        from scratchnet import layers
        from scratchnet.lab.keys import edited
        from scratchnet.lab.studies import born_dead
        folder = Path(layers.__file__).parent
        (folder / ".#layers.py").symlink_to("someone@somewhere.1:2")
        (folder / ".ipynb_checkpoints").mkdir()
        (folder / ".ipynb_checkpoints" / "layers-checkpoint.py").touch()
        print(edited())
        (folder / "layers.py").rename(folder / "mine.py")
        (folder / "layers.py").symlink_to("nothing")
        print(edited())
        file = Path(born_dead.__file__)
        file.write_text(file.read_text() + "x = 3\\n")
        print(importlib.reload(born_dead).x)
    """)
    assert said.split() == ["False", "True", "3"]


@pytest.mark.parametrize("first", ["key(born_dead.dead_by_depth, 1)", ""])
def test_an_edited_study_has_no_key_until_python_starts_again(package, first):
    _, run = package
    said = run(f"""
        import os
        from pathlib import Path
        from scratchnet.lab.keys import PACKAGE, Indescribable, key
        from scratchnet.lab.studies import born_dead
        {first}
        file = Path(born_dead.__file__)
        for text in (file.read_text() + "x = 1\\n", "def measured(:\\n", None):
            file.unlink() if text is None else file.write_text(text)
            try:
                key(born_dead.dead_by_depth, 1)
            except Indescribable as error:
                print(error)
    """).splitlines()
    assert [line.partition("born_dead.py ")[2][:24] for line in said] == [
        "has changed: nobody know",
        "is not what it was: inva",
        "is not what it was: [Err",
    ]


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
