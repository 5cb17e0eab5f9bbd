"""Grids of settings: what a TOML file may say, and one sentence for what it may not."""

import pytest

from scratchnet.lab.grid import AXES, CELL, GridError, grid, read


def test_a_value_may_be_alone_in_a_list_or_a_range():
    made = grid({"scheme": "lsuv", "depth": [2, "4-6"], "learning_rate": [1, 0.1], "seed": "0-2"})
    assert made.axes["depth"] == (2, 4, 5, 6) and made.seeds == (0, 1, 2)
    assert made.axes["learning_rate"] == (1.0, 0.1)
    assert made.size == 4 * 2 * 3 and len(list(made.cells())) == 4 * 2
    assert made.varying == ["depth", "learning_rate"]


def test_what_is_not_named_has_its_default():
    made = grid({"width": 8})
    assert {name: made.axes[name] for name in AXES if name != "width"} == {
        name: (axis.default,) for name, axis in AXES.items() if name != "width"
    }


def test_the_last_axis_changes_fastest():
    made = grid({"scheme": ["zeros", "ones"], "batch_size": [10, 20]})
    pairs = [(cell[CELL.index("scheme")], cell[CELL.index("batch_size")]) for cell in made.cells()]
    assert pairs == [("zeros", 10), ("zeros", 20), ("ones", 10), ("ones", 20)]


def test_cells_that_match_all_of_a_rule_are_skipped():
    made = grid({"scheme": ["zeros", "ones"], "depth": [1, 2], "skip": [{"scheme": "ones", "depth": 2}]})
    assert [(cell[0], cell[CELL.index("depth")]) for cell in made.cells()] == [("zeros", 1), ("zeros", 2), ("ones", 1)]


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"learning_rates": 1}, "there is no key 'learning_rates'; did you mean learning_rate?"),
        ({"xyzzy": 1}, "there is no key 'xyzzy'; there are scheme"),
        ({}, "names no axis"),
        ({"width": 0}, "width: expected an integer ≥ 1, got 0"),
        ({"width": 64.0}, "width: expected an integer ≥ 1, got 64.0"),
        ({"width": True}, "width: expected an integer ≥ 1, got True"),
        ({"width": []}, "width: expected at least one value"),
        ({"seed": "3-1"}, "seed: expected FIRST-LAST"),
        ({"seed": "0-99999999999"}, "seed: expected FIRST-LAST"),
        ({"dropout": 1}, "dropout: expected a probability"),
        ({"learning_rate": float("nan")}, "learning_rate: expected a number > 0, got nan"),
        ({"learning_rate": "fast"}, "learning_rate: expected a number > 0, got 'fast'"),
        ({"learning_rate": [0.1, [0.2]]}, "learning_rate: expected a number > 0, got \\[0.2\\]"),
        ({"learning_rate": 10**400}, "learning_rate: expected a number > 0, got 10000"),
        ({"learning_rate": -(10**400)}, "learning_rate: expected a number > 0, got -10000"),
        ({"learning_rate": 1 << 20000}, "learning_rate: expected a number > 0, got a number of too many digits"),
        ({"width": 1 << 20000}, "width: expected an integer ≥ 1, got a number of too many digits"),
        ({"dropout": 10**400}, "dropout: expected a probability"),
        ({"scheme": 3}, "scheme: expected a name, got 3"),
        ({"scheme": "he_norml"}, "scheme: there is no initialization 'he_norml'; did you mean he_normal"),
        ({"activation": "no/such.py:Mine"}, "activation: .*such.py cannot be read"),
        ({"images": "few"}, "images: expected an integer ≥ 10"),
        ({"depth": [1, 2, 1]}, "depth: expected each value once, got 1 twice"),
        ({"depth": "9999-10001"}, "depth: expected an integer of at most 10,000, got 10001"),
        ({"depth": [1, 2], "skip": {"depth": 1}}, "skip: expected tables"),
        ({"depth": [1, 2], "skip": [{"depth": 3}]}, "skip: depth = 3 is no value"),
        ({"depth": 1, "skip": [{"depth": 1}]}, "every cell is skipped"),
        ({"depth": 1, "skip": [{"seed": 0}]}, "leave out the key seed"),
    ],
    ids=lambda x: "",
)
def test_what_cannot_be_used_is_one_sentence(table, said):
    with pytest.raises(GridError, match=said):
        grid(table)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"width = \n", "grid.toml is not TOML: .*line 1"),
        (b"width = 1\nwidth = 2\n", "grid.toml is not TOML: .*line 2"),
        (b"\xff", "grid.toml is not TOML: byte 0"),
        (b"width = " + b"[" * 5000, "nested too deeply|not TOML"),
        (b"learning_rate = 1" + b"0" * 400, "grid.toml: learning_rate: expected a number > 0, got 10000"),
        (b"learning_rate = 1" + b"0" * 5000, "grid.toml is no grid: a number in it has too many digits"),
        (b"widht = 2", "grid.toml: there is no key 'widht'; did you mean width"),
    ],
    ids=["no value", "twice", "not text", "deep", "large", "many digits", "unknown"],
)
def test_a_broken_file_is_named_with_its_line(tmp_path, content, said):
    (tmp_path / "grid.toml").write_bytes(content)
    with pytest.raises(GridError, match=said):
        read(tmp_path / "grid.toml")


def test_no_file_is_one_sentence(tmp_path):
    with pytest.raises(GridError, match=r"none\.toml cannot be read: No such file"):
        read(tmp_path / "none.toml")


def test_files_of_ones_own_are_found_beside_the_grid(tmp_path):
    (tmp_path / "my.py").write_text("def mine(shape, *, rng):\n    return rng.normal(size=shape)\n")
    (tmp_path / "grid.toml").write_text('scheme = ["my.py:mine", "he_normal"]')
    made = read(tmp_path / "grid.toml")
    assert list(made.files()) == ["my.py"] and made.axes["scheme"][0] == "my.py:mine"


def test_what_a_file_of_ones_own_imports_from_its_folder_is_a_file_of_the_grid(tmp_path):
    (tmp_path / "own").mkdir()
    (tmp_path / "own/my.py").write_text("import helper\ndef mine(shape, *, rng): return helper.x * rng.random(shape)\n")
    (tmp_path / "own/helper.py").write_text("x = 1\n")
    for name in ("own/my.py", f"{tmp_path}/own/my.py"):
        (tmp_path / "grid.toml").write_text(f'scheme = "{name}:mine"')
        made = read(tmp_path / "grid.toml")
        beside = name.replace("my.py", "helper.py")
        assert list(made.files()) == [name, beside] and list(made.imports()) == [name]
    before = made.files()
    (tmp_path / "own/helper.py").write_text("x = 2\n")
    assert [made.files()[path] == before[path] for path in before] == [True, False]
