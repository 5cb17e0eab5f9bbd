"""What a script's functions read that no worker process sets which imports it."""

import textwrap

import pytest

from scratchnet.lab.script import _read

GUARD = "if __name__ == '__main__':\n    "


def late(tmp_path, code, name="mine"):
    path = tmp_path / "own.py"
    path.write_text(textwrap.dedent(code), encoding="utf-8")
    return _read(str(path), 0).late[name]


READS = "def mine(shape, *, rng):\n    return scale * rng.normal(size=shape)\n"


@pytest.mark.parametrize(
    "code",
    [
        GUARD + "scale = 2",
        "scale = 1\n" + GUARD + "scale = 2",
        "scale = 1\n" + GUARD + "scale += 1",
        GUARD + "a, (*b, scale) = 1, (2, 3)",
        GUARD + "scale: float = 2",
        GUARD + "(scale := 2)",
        GUARD + "for scale in [1]: pass",
        GUARD + "with open('f') as scale: pass",
        GUARD + "from numbers import scale",
        GUARD + "import numbers as scale",
        GUARD + "import scale.numbers",
        GUARD + "def scale(): pass",
        GUARD + "class scale: pass",
        "scale = [1]\n" + GUARD + "scale[0] = 2",
        "scale = object\n" + GUARD + "scale.x.y[0] = 2",
        "def change():\n    global scale\n    scale = 2",
        "class A:\n    def change(self):\n        global scale\n        scale = 2",
    ],
)
def test_a_global_that_is_set_below_the_guard_or_by_a_function_is_found(tmp_path, code):
    assert late(tmp_path, f"{READS}{code}\n") == "scale"


@pytest.mark.parametrize(
    "code",
    [
        "def mine():\n    return lambda: [scale for _ in 'a']",
        "def mine():\n    def inner(): return scale\n    return inner",
        "class mine:\n    def step(self): return scale",
        "class mine:\n    size = scale",
        "def mine(): return other()\ndef other(): return another()\ndef another(): return mine() + scale",
        "def mine(): return table['a']()\ndef other(): return scale\ntable = {'a': other}",
        "@other\ndef mine(): pass\ndef other(f): return lambda: scale",
        "class mine(other): pass\nclass other:\n    def step(self): return scale",
    ],
)
def test_it_is_found_wherever_it_is_read(tmp_path, code):
    assert late(tmp_path, f"{code}\n{GUARD}scale = 2\n") == "scale"


@pytest.mark.parametrize(
    "code",
    [
        "def mine(scale): return scale",
        "def mine():\n    scale = 1\n    return lambda: scale",
        "def mine(x): return x.scale",
        "def mine(): return number\nnumber = 3\ndef other(): return scale",
        "def mine(): return [scale for scale in range(3)]",
    ],
)
def test_a_name_of_its_own_is_none(tmp_path, code):
    assert late(tmp_path, f"{code}\n{GUARD}scale = 2\n") == ""


@pytest.mark.parametrize(
    ("guard", "found"),
    [
        ("mine.scale = 2", "mine"),
        ("mine = other(mine)", "mine"),
        ("def mine(): pass", "mine"),
        ("def change(): mine.scale = 2", "mine"),
        ("[mine := 2 for _ in 'a']", "mine"),
        ("arms = [mine.__name__ for mine in (mine, 2)]", ""),
        ("def main():\n        mine = 2", ""),
        ("f = lambda mine: mine", ""),
    ],
)
def test_what_the_guard_changes_is_late_itself(tmp_path, guard, found):
    assert late(tmp_path, f"class mine:\n    scale = 1\n{GUARD}{guard}\n") == found


def test_what_a_function_sets_anew_is_late_itself(tmp_path):
    code = "def mine(): pass\ndef change():\n    global mine\n    mine = 2\n"
    assert late(tmp_path, f"{code}{GUARD}change()\n") == "mine"


def test_a_script_without_a_guard_is_known_as_such(tmp_path):
    path = tmp_path / "own.py"
    path.write_text("def mine(): pass\n")
    assert _read(str(path), 0) == (False, {"mine": ""})
    path.write_text("def mine(): pass\nif '__main__' == __name__: pass\n")
    assert _read(str(path), 1) == (True, {"mine": ""})
