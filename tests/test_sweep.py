"""Sweeps: the numbers of a comparison, whatever trains together; and the script, killed and started again."""

import csv
import json
import os
import signal
import subprocess
import sys
import time
import zlib

import numpy as np
import pytest
from conftest import ROOT

from scratchnet.lab import sweep as sweeping
from scratchnet.lab.executors import in_this_process
from scratchnet.lab.experiment import Settings, named, train_stack
from scratchnet.lab.grid import GridError, grid, read
from scratchnet.lab.sweep import FIELDS, across, check, effects, summary, sweep, units
from scratchnet.lab.work import name_of
from scratchnet.layers import Tanh
from scratchnet.report import heatmaps, sweeps

TABLE = {
    "scheme": ["he_normal", "lsuv"],
    "activation": ["relu", "tanh"],
    "width": 8,
    "depth": [0, 2],
    "learning_rate": [0.001, 0.01],
    "images": 400,
    "epochs": 1,
    "seed": [3, 5],
}


@pytest.fixture(scope="module")
def results(dataset):
    made = grid(TABLE)
    return sweep(made, list(made.cells()), dataset, execute=in_this_process)


def test_a_run_is_that_of_a_comparison(dataset, results):
    cells = list(grid(TABLE).cells())
    i = next(i for i, cell in enumerate(cells) if cell[:2] == ("lsuv", "tanh") and cell[5] == 2 and cell[8] == 0.01)
    settings = Settings(sizes=(784, 8, 8, 10), activation=Tanh, learning_rate=0.01, epochs=1)
    [run] = train_stack([named("lsuv")], [5], dataset.images[:400], dataset.labels[:400], settings)
    loss = run.training_loss[-sweeping.LAST :].mean()
    assert results[i, 1].tolist() == [run.validation_accuracy, run.validation_loss, loss, False]
    assert np.isfinite(results).all()


def test_the_training_loss_is_the_mean_of_the_last_hundred_batches(dataset):
    made = grid({"scheme": "he_normal", "width": 4, "images": 400, "batch_size": 2, "epochs": 1})
    found = sweep(made, list(made.cells()), dataset, execute=in_this_process)
    settings = Settings(sizes=(784, 4, 4, 10), batch_size=2, epochs=1)
    [run] = train_stack([named("he_normal")], [0], dataset.images[:400], dataset.labels[:400], settings)
    assert len(run.training_loss) == 160
    assert found[0, 0, 2] == run.training_loss[-100:].mean()


def test_the_numbers_do_not_depend_on_units_and_stacks(dataset, results, monkeypatch):
    made = grid(TABLE)
    monkeypatch.setattr(sweeping, "NETWORKS_IN_A_STACK", 3)
    monkeypatch.setattr(sweeping, "SECONDS", 0.0)
    cells = list(made.cells())
    assert len(units(made, cells, dataset)) == 16
    assert np.array_equal(sweep(made, cells, dataset, execute=in_this_process), results)


def test_every_run_is_in_one_unit(dataset):
    made = grid(TABLE | {"seed": "0-6", "skip": [{"scheme": "lsuv", "depth": 0}]})
    cells = list(made.cells())
    seen = np.zeros((len(cells), 7), dtype=int)
    for unit in units(made, cells, dataset):
        seen[unit.cells, unit.seeds] += 1
        assert json.loads(json.dumps(unit.spec)) == unit.spec
        assert unit.steps == 4 * len(unit.spec["arms"]) * len(unit.spec["seeds"])
    assert (seen == 1).all()


def test_a_message_names_the_seeds_and_the_network_of_a_unit(dataset):
    made = grid({"scheme": "he_normal", "width": 4, "seed": "3-4", "images": 100})
    [unit] = units(made, list(made.cells()), dataset)
    assert name_of(unit.spec).startswith("seeds [3, 4], sizes [784, 4, 4, 10], arms [['he_normal', 0.001]], ")


def test_a_unit_is_small_for_large_networks_and_a_stack_for_small_ones():
    small, large = Settings(sizes=(784, 8, 10)), Settings(sizes=(784, 1024, 1024, 10))
    assert sweeping.sizes(small, 10)[0] == sweeping.NETWORKS_IN_A_STACK
    assert sweeping.sizes(small, 10)[1] > 100
    assert sweeping.sizes(large, 10_000) == (1, 1)


def test_a_choice_that_does_not_work_is_found_before_training(dataset):
    made = grid({"scheme": ["he_normal", "edge_of_chaos"], "activation": ["relu", "gelu"]})
    with pytest.raises(GridError, match="with activation gelu: the initialization edge_of_chaos"):
        check(made, list(made.cells()), dataset)
    made = grid({"scheme": "he_normal", "images": [100, 60_001]})
    with pytest.raises(GridError, match=r"images: expected at most the 6,000 of the dataset, got 60,001"):
        check(made, list(made.cells()), dataset)
    skipped = grid(
        {
            "scheme": ["he_normal", "edge_of_chaos"],
            "activation": ["relu", "gelu"],
            "skip": [{"scheme": "edge_of_chaos", "activation": "gelu"}],
        }
    )
    check(skipped, list(skipped.cells()), dataset)


def test_a_file_that_changes_meanwhile_is_refused(dataset, tmp_path):
    (tmp_path / "my.py").write_text("def mine(shape, *, rng):\n    return rng.normal(size=shape)\n")
    (tmp_path / "g.toml").write_text('scheme = "my.py:mine"\nwidth = 4\nimages = 100\nepochs = 1')
    made = read(tmp_path / "g.toml")
    [unit] = units(made, list(made.cells()), dataset)
    (tmp_path / "my.py").write_text("def mine(shape, *, rng):\n    return 2 * rng.normal(size=shape)\n")
    with pytest.raises(ValueError, match=r"my\.py has changed, or is gone"):
        sweeping.train_cells(unit.spec, dataset.images, dataset.labels, lambda n: None, str(tmp_path))


def test_a_neighbour_of_a_file_that_changes_or_goes_meanwhile_is_refused(dataset, tmp_path):
    (tmp_path / "my.py").write_text("import near\ndef mine(shape, *, rng): return near.x * rng.normal(size=shape)\n")
    (tmp_path / "near.py").write_text("x = 1\n")
    (tmp_path / "g.toml").write_text('scheme = "my.py:mine"\nwidth = 4\nimages = 100\nepochs = 1')
    made = read(tmp_path / "g.toml")
    [unit] = units(made, list(made.cells()), dataset)

    def trained():
        return sweeping.train_cells(unit.spec, dataset.images, dataset.labels, lambda n: None, str(tmp_path))

    assert len(trained()) == 1
    (tmp_path / "near.py").write_text("x = 2\n")
    with pytest.raises(ValueError, match=r"near\.py has changed, or is gone"):
        trained()
    (tmp_path / "near.py").unlink()
    with pytest.raises(ValueError, match=r"near\.py has changed, or is gone"):
        trained()


def test_a_worker_that_has_none_of_the_files_uses_the_copies_that_it_was_given(dataset, tmp_path, monkeypatch):
    here, there = tmp_path / "here", tmp_path / "there"
    (here / "own/more").mkdir(parents=True)
    (here / "own/my.py").write_text(
        "import near\nfrom more import far\ndef mine(shape, *, rng): return near.x * far.y * rng.normal(size=shape)\n"
    )
    (here / "own/near.py").write_text("x = 0.5\n")
    (here / "own/more/__init__.py").write_text("")
    (here / "own/more/far.py").write_text("y = 0.1\n")
    (here / "g.toml").write_text('scheme = "own/my.py:mine"\nwidth = 4\nimages = 100\nepochs = 1')
    made = read(here / "g.toml")
    [unit] = units(made, list(made.cells()), dataset)

    def trained(folder):
        return sweeping.train_cells(unit.spec, dataset.images, dataset.labels, lambda n: None, str(folder))

    expected = trained(here)
    with pytest.raises(ValueError, match=r"own/my\.py has changed, or is gone"):
        trained(there)
    given = {digest: here / name for name, digest in made.files().items()}
    assert len(given) == 4
    there.mkdir()
    for digest, path in given.items():
        path.rename(there / digest)
        monkeypatch.setitem(sweeping.COPIES, digest, str(there / digest))
    assert trained(there / "other") == expected == trained(here)
    monkeypatch.delitem(sweeping.COPIES, digest)
    with pytest.raises(ValueError, match=r"own/my\.py has changed, or is gone"):
        trained(there)


# --- what it says ---------------------------------------------------------------------------------------------


def made_up():
    """Two schemes, two depths, two seeds; accuracy 0.2 to 0.9; one cell diverged."""
    made = grid({"scheme": ["zeros", "ones"], "depth": [1, 2], "activation": "relu", "seed": [0, 1]})
    results = np.zeros((4, 2, len(FIELDS)))
    results[..., 0] = [[0.2, 0.4], [0.5, 0.5], [0.8, 0.9], [0.1, 0.1]]
    results[3, :, 1:3], results[3, :, 3] = np.nan, 1
    return made, list(made.cells()), results


def test_best_and_spread_of_a_cell():
    made, cells, results = made_up()
    found = summary(results)
    assert found.mean == pytest.approx([0.3, 0.5, 0.85, 0.1])
    assert found.std[0] == pytest.approx(0.2 / np.sqrt(2))
    assert (found.low[2], found.high[2], found.diverged[3]) == (0.8, 0.9, 2)
    assert effects(made, cells, found.mean) == pytest.approx({"depth": 0.575 - 0.3, "scheme": 0.475 - 0.4})
    lines = sweeps.best(made, cells, found).splitlines()
    assert lines[1].split()[:5] == ["ones", "1", "85.00", "±", "7.07"] and "80.00–90.00" in lines[1]
    assert lines[-1].split()[-4:] == ["–", "2", "of", "2"]
    assert "2 of 8 runs diverged" in sweeps.answer(made, cells, found)[1]


def test_a_map_takes_the_best_and_the_mean_of_what_it_does_not_show():
    made = grid({"scheme": ["zeros", "ones"], "depth": [1, 2], "width": [4, 8]})
    cells = list(made.cells())
    results = np.zeros((8, 1, len(FIELDS)))
    results[:, 0, 0] = np.arange(8) / 10
    results[-3:, 0, 3] = 1  # of ones: at depth 2 both widths, at depth 1 one of them
    found = across(made, cells, results, "depth", "scheme")
    assert found.diverged.sum() == 1 and found.cells.tolist() == [[2, 2], [2, 2]]
    place = {(cell[0], cell[5]): [] for cell in cells}
    for cell, value in zip(cells, results[:, 0, 0], strict=True):
        place[cell[0], cell[5]].append(value)
    for y, scheme in enumerate(("zeros", "ones")):
        for x, depth in enumerate((1, 2)):
            assert found.best[y, x] == max(place[scheme, depth])
            assert found.mean[y, x] == pytest.approx(np.mean(place[scheme, depth]))


def test_what_is_skipped_is_a_gap_in_a_map():
    made = grid({"scheme": ["zeros", "ones"], "depth": [1, 2], "skip": [{"scheme": "ones", "depth": 2}]})
    found = across(made, list(made.cells()), np.full((3, 1, len(FIELDS)), 0.5), "depth", "scheme")
    assert np.isnan(found.best).tolist() == np.isnan(found.mean).tolist() == [[False, False], [False, True]]
    assert not found.diverged[1, 1]


def test_a_heat_map_says_what_it_shows_and_what_diverged():
    made, cells, results = made_up()
    drawn = heatmaps.figure(made, across(made, cells, results, "depth", "scheme"), dataset="data", stand_in=True)
    [axes, _] = drawn.axes
    assert axes.get_title(loc="left") == "Mean of 2 seeds"
    assert {text.get_text() for text in axes.texts} == {"30.0", "50.0", "85.0", "div."}
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("depth", "scheme")


def test_a_diverged_run_is_a_row_that_says_so(tmp_path, dataset):
    made, cells, results = made_up()
    sweeps.write_csv(tmp_path / "sweep.csv", made, cells, results, dataset)
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text("utf-8").splitlines()))
    assert len(rows) == 8 and rows[0]["diverged"] == "false" and rows[-1]["diverged"] == "true"
    assert rows[-1]["validation_loss"] == "nan" and rows[0]["validation_accuracy"] == "0.2"
    assert [row["seed"] for row in rows[:2]] == ["0", "1"] and rows[0]["steps"] == "96"


def test_numbers_in_the_table_have_all_their_digits(tmp_path, dataset, results):
    made = grid(TABLE)
    sweeps.write_csv(tmp_path / "sweep.csv", made, list(made.cells()), results, dataset)
    rows = list(csv.DictReader((tmp_path / "sweep.csv").read_text("utf-8").splitlines()))
    again = [[float(row[name]) for name in FIELDS[:3]] for row in rows]
    assert np.array_equal(np.array(again), results[..., :3].reshape(-1, 3))


# --- the script -----------------------------------------------------------------------------------------------

GRID = """
scheme = ["he_normal", "glorot_normal", "my.py:mine"]
width = 16
depth = "1-8"
learning_rate = [0.001, 1e30]
images = 500
epochs = 4
seed = "0-3"
"""
MINE = "def mine(shape, *, rng):\n    return rng.normal(size=shape) / 28\n"


@pytest.fixture
def toml(tmp_path):
    (tmp_path / "my.py").write_text(MINE)
    (tmp_path / "grid.toml").write_text(GRID)
    return tmp_path / "grid.toml"


def test_a_killed_sweep_goes_on_and_writes_the_same_table(toml, tmp_path, python, dataset):
    whole = python("scripts/sweep.py", toml, "--out", tmp_path / "whole", "--dataset", dataset.name)
    assert whole.returncode == 0, whole.stderr
    assert "diverged" in whole.stdout and not whole.stderr.count("Traceback")
    command = [sys.executable, "scripts/sweep.py", toml, "--out", tmp_path / "killed", "--dataset", dataset.name]
    process = subprocess.Popen(
        [*command, "--jobs", "1"], cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    journal = tmp_path / "killed" / "sweep.journal"
    while process.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "sweep.csv").exists()
    kept = journal.read_bytes()
    again = python(*command[1:])
    assert again.returncode == 0, again.stderr
    assert journal.read_bytes().startswith(kept)
    assert (tmp_path / "killed/sweep.csv").read_bytes() == (tmp_path / "whole/sweep.csv").read_bytes()
    found = json.loads((tmp_path / "killed/sweep.json").read_text())
    assert found["complete"] and found["runs"] == 192 and len(found["cells"]) == 48

    (tmp_path / "my.py").write_text(MINE.replace("28", "27"))
    other = python(*command[1:])
    assert other.returncode == 2 and "holds another sweep (the file my.py is" in other.stderr
    toml.write_text(GRID.replace('"0-3"', '"0-2"'))
    other = python(*command[1:])
    assert other.returncode == 2 and "holds another sweep (seed is" in other.stderr


def test_a_complete_sweep_is_another_one_after_a_neighbour_of_a_file_has_changed(toml, tmp_path, python, dataset):
    (tmp_path / "my.py").write_text("from near import x\n" + MINE.replace("28", "x"))
    (tmp_path / "near.py").write_text("x = 28\n")
    toml.write_text('scheme = "my.py:mine"\nwidth = 4\nimages = 100\nepochs = 1')
    command = ["scripts/sweep.py", toml, "--out", tmp_path / "out", "--dataset", dataset.name]
    done = python(*command)
    assert done.returncode == 0, done.stderr
    (tmp_path / "near.py").write_text("x = 2\n")
    other = python(*command)
    assert other.returncode == 2 and "holds another sweep (the file near.py is" in other.stderr


def test_a_complete_sweep_is_drawn_again_from_any_folder_and_moved_aside_where_numbers_may_be_others(
    toml, tmp_path, python, dataset
):
    toml.write_text('scheme = "my.py:mine"\nwidth = [4, 5]\nimages = 100\nepochs = 1')
    out, common = tmp_path / "out", ["--out", tmp_path / "out", "--dataset", dataset.name]
    done = python("scripts/sweep.py", os.path.relpath(toml, ROOT), *common)
    assert done.returncode == 0, done.stderr
    journal, table = (out / "sweep.journal").read_bytes(), (out / "sweep.csv").read_bytes()
    (tmp_path / "my.py").rename(tmp_path / "kept.py")
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "kept.py").rename(tmp_path / "elsewhere/my.py")
    moved = toml.rename(tmp_path / "elsewhere/grid.toml")
    assert python("scripts/sweep.py", moved, *common).returncode == 0
    assert (out / "sweep.journal").read_bytes() == journal  # nothing was trained
    assert not (out / "earlier").exists()

    header, units = journal.split(b"\n", 1)
    content = json.loads(header[9:])
    content[2]["kernels"] = "another"
    text = json.dumps(content).encode()
    (out / "sweep.journal").write_bytes(b"%08x %s\n" % (zlib.crc32(text), text) + units)
    again = python("scripts/sweep.py", moved, *common)
    assert again.returncode == 0 and "is not used: kernels another, now" in again.stderr
    [aside] = (out / "earlier").iterdir()
    names = ["map-width-scheme.png", "report.html", "sweep.csv", "sweep.journal", "sweep.json"]
    assert sorted(path.name for path in aside.iterdir()) == names
    assert (aside / "sweep.csv").read_bytes() == table == (out / "sweep.csv").read_bytes()

    (out / "sweep.csv").rename(tmp_path / "published.csv")  # what is left of another kernel's results goes aside too
    (out / "sweep.journal").write_bytes(b"%08x %s\n" % (zlib.crc32(text), text) + units)
    earlier = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert python("scripts/sweep.py", moved, *common).returncode == 0
    assert any({path.name: path.read_bytes() for path in aside.iterdir()} == earlier for aside in out.glob("earlier/*"))


def test_a_page_and_a_map_of_something_else_are_moved_aside(toml, tmp_path, python, dataset):
    toml.write_text('scheme = "he_normal"\nwidth = [4, 5]\nimages = 100\nepochs = 1')
    out = tmp_path / "out"
    out.mkdir()
    (out / "map-width-scheme.png").write_text("a picture")
    for text in ("<title>Initial weights</title>", "my own"):
        (out / "report.html").write_text(text)
        done = python("scripts/sweep.py", toml, "--out", out, "--dataset", dataset.name)
        assert done.returncode == 0 and "a report.html of something else is now in" in done.stderr
        assert any(path.read_text() == text for path in out.glob("earlier/*/report.html"))
    assert any(path.read_bytes() == b"a picture" for path in out.glob("earlier/*/map-width-scheme.png"))
    assert "is now in" not in python("scripts/sweep.py", toml, "--out", out, "--dataset", dataset.name).stderr


def test_a_sweep_json_that_cannot_be_read_is_another_sweep(toml, tmp_path, python, dataset):
    (tmp_path / "out").mkdir()
    for text in ("{", "[" * 100_000, "null"):
        (tmp_path / "out/sweep.json").write_text(text)
        done = python("scripts/sweep.py", toml, "--out", tmp_path / "out", "--dataset", dataset.name)
        assert done.returncode == 2 and "sweep.json cannot be read" in done.stderr.splitlines()[-1]


def test_none_is_no_normalization_however_it_is_written(toml, tmp_path, python, dataset):
    toml.write_text('scheme = "he_normal"\nnormalization = "None"\nwidth = 4\nimages = 100\nepochs = 1')
    done = python("scripts/sweep.py", toml, "--out", tmp_path / "out", "--dataset", dataset.name)
    assert done.returncode == 0, done.stderr


def test_a_large_grid_is_counted_and_asks(toml, python, dataset):
    toml.write_text('scheme = "he_normal"\nwidth = 4\nseed = "0-10000"\nimages = 100')
    asked = python("scripts/sweep.py", toml, "--dataset", dataset.name)
    assert asked.returncode == 2 and "10,001 runs" in asked.stderr and "--yes" in asked.stderr
    counted = python("scripts/sweep.py", toml, "--count", "--dataset", dataset.name)
    assert counted.returncode == 0 and counted.stdout.startswith("10,001 runs: 1 cells, 10,001 seeds; 20,002 steps")
    toml.write_text('scheme = ["he_normal", "zeros"]\nseed = "0-10000"\nimages = 100\n[[skip]]\nscheme = "zeros"')
    asked = python("scripts/sweep.py", toml, "--dataset", dataset.name)
    assert asked.returncode == 2 and "10,001 runs" in asked.stderr  # without what is skipped


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--map", "width,colour"], "expected two of scheme"),
        (["--map", "width,depth"], "width has a single value"),
        (["--dask", "nowhere"], "no Dask scheduler answers at nowhere|--dask needs"),
    ],
    ids=["unknown", "single", "dask"],
)
def test_wrong_usage_is_one_sentence(toml, python, options, said, dataset):
    done = python("scripts/sweep.py", toml, "--dataset", dataset.name, *options)
    assert done.returncode in (1, 2) and "Traceback" not in done.stderr
    assert any(part in done.stderr for part in said.split("|")), done.stderr


def test_the_example_works_in_small(tmp_path, python, dataset):
    text = (ROOT / "docs/examples/sweep.toml").read_text("utf-8")
    small = text.replace("images = 10000", "images = 300").replace('"0-4"', '"0-1"').replace("width = 32", "width = 4")
    assert small.count("images = 300") == 1
    (tmp_path / "sweep.toml").write_text(small, encoding="utf-8")
    done = python("scripts/sweep.py", tmp_path / "sweep.toml", "--out", tmp_path, "--dataset", dataset.name)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("map-*.png"))) == 1
    assert "The best cells" in (tmp_path / "report.html").read_text("utf-8")
