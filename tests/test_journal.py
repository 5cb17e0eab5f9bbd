"""A journal keeps each unit as soon as it is done, gives it back to the last bit, and never mixes two runs."""

import json
import os
import sys
import time
import zlib

import numpy as np
import pytest

from scratchnet.data import Dataset
from scratchnet.files import owning
from scratchnet.lab.executors import anywhere
from scratchnet.lab.experiment import Run
from scratchnet.lab.journal import Journal, decoded, encoded
from scratchnet.lab.keys import Indescribable
from scratchnet.lab.parts import FromFile


@pytest.fixture
def few():
    images = np.random.default_rng(0).random((30, 784), dtype=np.float32)
    labels = np.arange(30, dtype=np.uint8) % 10
    return Dataset("synthetic", images, labels, images[:0], labels[:0])


def same(a, b):
    """Equal in type, dtype, shape, order in memory and every bit."""
    if isinstance(a, Run):
        return type(b) is Run and same(vars(a), vars(b))
    if isinstance(a, (np.ndarray, np.generic)):
        alike = type(a) is type(b) and a.dtype == b.dtype and a.shape == b.shape
        return alike and a.flags.fnc == b.flags.fnc and a.tobytes() == b.tobytes()
    if isinstance(a, dict):
        return type(b) is dict and len(a) == len(b) and all(map(same, [*a, *a.values()], [*b, *b.values()]))
    if isinstance(a, (list, tuple)):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return type(a) is type(b) and (a == b or (a != a and b != b))


RESULTS = {
    "nothing": None,
    "numbers": [1, True, 0.1, -0.0, float("nan"), float("-inf"), 2**70, 5e-324, "ä"],
    "scalars": (np.float32(0.1), np.float64(0.1), np.int64(3), np.bool_(True), np.str_("x")),
    "arrays": {
        "float32": np.array([[1, np.nan], [np.inf, -0.0]], np.float32),
        "bytes": np.arange(6, dtype=np.uint8).reshape(1, 2, 3),
        "column by column": np.asfortranarray(np.random.default_rng(0).random((3, 5))),
        "a part": np.arange(20.0)[::3],
        "empty": np.zeros((0, 3)),
        "one number": np.array(2.5),
        "words": np.array(["a", "bc"]),
    },
    "keys of other kinds": {(1, "a"): 1, 2: {}, None: []},
    "runs": [Run("a", 3, np.array([np.nan, 2], np.float32), np.inf, 0.1, {"steps": np.array([0, 1])})],
}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_comes_back_to_the_last_bit(name):
    x = RESULTS[name]
    assert same(decoded(json.loads(json.dumps(encoded(x)))), x)


def test_an_array_that_comes_back_can_be_written_to():
    decoded(encoded(np.zeros(3)))[0] = 1


@pytest.mark.parametrize("x", [object(), np.array([object()]), {1: print}, len], ids=["object", "array", "in", "len"])
def test_what_is_no_plain_data_is_not_encoded(x):
    with pytest.raises(Indescribable):
        encoded(x)


# --- going on -----------------------------------------------------------------------------------------------------


def work(spec, images, labels, tick):
    """Note in a file that this was done, and return an array that depends on the images."""
    number, path = spec
    with open(path, "a") as file:
        print(number, file=file)
    return {"sum": images[number].sum(), "image": images[number]}


noted = FromFile(__file__, "work")


def test_what_was_finished_is_not_done_again(tmp_path, few):
    """Half of it was finished by a first run, of which nothing is left but the file."""
    specs = [(i, str(tmp_path / "notes")) for i in range(10)]
    first = Journal(tmp_path / "journal", few)
    for _ in zip(range(5), anywhere(noted, specs, few, lambda n: None, 1, first), strict=False):
        pass
    first.close()
    again = Journal(tmp_path / "journal", few)
    earlier = len(again)
    assert 5 <= earlier < 10
    recorded = [again.has(noted, spec) for spec in specs]
    assert recorded.count(True) == earlier
    found = list(anywhere(noted, specs, few, lambda n: None, 1, again))
    assert sorted(i for i, _ in found) == list(range(10))
    for i, result in found:
        assert same(result, {"sum": few.images[i].sum(), "image": few.images[i]})
    done = (tmp_path / "notes").read_text().split()
    assert sorted(set(map(int, done))) == list(range(10))
    assert all(done.count(str(spec[0])) == 1 for spec, known in zip(specs, recorded, strict=True) if known)
    again.remove()
    assert not (tmp_path / "journal").exists()
    again[again.key(noted, specs[0])] = "anew"
    again.close()
    assert len(Journal(tmp_path / "journal", few)) == 1


def test_what_was_finished_can_be_read_at_once(tmp_path, few):
    journal = Journal(tmp_path / "journal", few)
    keys = [journal.key(noted, i) for i in range(3)]
    for i, key in enumerate(keys):
        journal[key] = i
        assert [journal[key] for key in keys[: i + 1]] == list(range(i + 1))


def test_a_journal_makes_no_file_before_the_first_unit_is_done(tmp_path, few):
    journal = Journal(tmp_path / "journal", few)
    assert not journal.has(noted, (1, "x"))
    journal.remove()
    assert list(tmp_path.iterdir()) == []


def plain(spec, images, labels, tick):
    return spec


def test_what_may_be_another_one_next_time_is_done_and_not_recorded_and_one_line_says_so(tmp_path, few, capsys):
    journal = Journal(tmp_path / "journal", few)
    for work in (plain, lambda spec, *rest: spec):
        assert list(anywhere(work, [1, 2], few, lambda n: None, 1, journal)) == [(0, 1), (1, 2)]
    assert len(journal) == 0
    lines = [line for line in capsys.readouterr().err.splitlines() if "recorded" in line]
    assert lines == [
        f"scratchnet: 2 of 2 units are not recorded, and a kill loses them: {why}"
        for why in (
            'plain of test_journal may be another one next time: give it as FromFile("FILE.py", "plain")',
            "<lambda> is a lambda or a local function",
        )
    ]


def a_set(spec, images, labels, tick):
    return {spec}


def test_of_results_that_are_no_plain_data_one_line_says_that_they_are_not_recorded(tmp_path, few, capsys):
    journal = Journal(tmp_path / "journal", few)
    found = anywhere(FromFile(__file__, "a_set"), [1, 2, 3], few, lambda n: None, 1, journal)
    assert dict(found) == {0: {1}, 1: {2}, 2: {3}}
    told = "scratchnet: results are not recorded, and a kill loses them: set is no plain data\n"
    assert capsys.readouterr().err == told


def test_a_journal_of_other_images_is_refused(tmp_path, few):
    journal = Journal(tmp_path / "journal", few)
    with pytest.raises(ValueError, match=r"journal is of a dataset with SHA-256 .*, not of this one"):
        list(anywhere(noted, [1], few.first(20), lambda n: None, 1, journal))


def test_a_unit_is_recorded_before_anybody_sees_it(tmp_path, few):
    specs = [(i, str(tmp_path / "notes")) for i in range(3)]
    journal = Journal(tmp_path / "journal", few)
    with_each = [
        len(Journal(tmp_path / "journal", few)) for _ in anywhere(noted, specs, few, lambda n: None, 1, journal)
    ]
    assert with_each == [1, 2, 3]


@pytest.mark.skipif(sys.platform == "win32", reason="Windows moves no folder in which a file is open")
def test_a_journal_whose_folder_was_moved_goes_on_there_and_leaves_the_next_runs_alone(tmp_path, few):
    folder = tmp_path / "results"
    with owning(folder):
        journal, late = Journal(folder / "journal", few), Journal(folder / "late", few)
        journal[journal.key(noted, 1)] = 1
        folder.rename(tmp_path / "old")
        folder.mkdir()
        for name in ("journal", "late"):
            (folder / name).write_text("the next run's")
        journal[journal.key(noted, 2)] = 2
        with pytest.raises(OSError, match="was moved or replaced"):
            late[late.key(noted, 1)] = 1
        with pytest.raises(OSError, match="was moved or replaced"):
            journal.remove()
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ["journal", "late"], "the next run's"
    )
    assert len(Journal(tmp_path / "old" / "journal", few)) == 2


# --- a file that is not whole, or of another run --------------------------------------------------------------------


def write(path, few, count, run=None):
    journal = Journal(path, few, run)
    for i in range(count):
        journal[journal.key(noted, i)] = {"x": np.full(3, i)}
    journal.close()


def test_wherever_a_file_was_torn_the_units_before_are_kept_and_more_can_be_added(tmp_path, few):
    path = tmp_path / "journal"
    write(path, few, 3)
    whole = path.read_bytes()
    ends = [i + 1 for i, byte in enumerate(whole) if byte == ord("\n")]
    for length in range(ends[0], len(whole) + 1, 7):
        path.write_bytes(whole[:length])
        journal = Journal(path, few)
        kept = sum(end <= length for end in ends[1:])
        assert len(journal) == kept
        journal[journal.key(noted, 7)] = "after"
        assert journal[journal.key(noted, 7)] == "after"
        journal.close()
        assert path.read_bytes().startswith(whole[: ends[kept]]) and path.read_bytes().count(b"\n") == kept + 2
        again = Journal(path, few)
        assert len(again) == kept + 1
        assert again[again.key(noted, 7)] == "after"
        again.close()
        path.write_bytes(whole[:length] + path.read_bytes().splitlines(keepends=True)[-1])  # nothing was cut off
        again = Journal(path, few)
        assert len(again) == kept + 1
        assert again[again.key(noted, 7)] == "after"
        again.close()


@pytest.mark.parametrize("length", [0, 1, 100])
def test_a_file_that_was_torn_in_its_header_holds_nothing_and_stops_nobody(tmp_path, few, length):
    path = tmp_path / "journal"
    write(path, few, 1)
    path.write_bytes(path.read_bytes()[:length])
    write(path, few, 2)
    assert len(Journal(path, few)) == 2


def test_a_unit_whose_line_was_changed_is_done_again(tmp_path, few):
    path = tmp_path / "journal"
    write(path, few, 3)
    header, first, second, third = path.read_bytes().splitlines(keepends=True)
    for i in {*range(len(second) - 1)} - {8}:  # a blank stands there
        path.write_bytes(header + first + second[:i] + bytes([second[i] ^ 1]) + second[i + 1 :] + third)
        journal = Journal(path, few)
        assert [journal.has(noted, i) for i in range(3)] == [True, False, True]
        journal.close()


def test_the_journal_of_another_run_is_moved_aside_and_said(tmp_path, few):
    path, said = tmp_path / "journal", []
    write(path, few, 3, run={"seeds": 3})
    other = Journal(path, few, {"seeds": 4}, said.append)
    assert len(other) == 0
    assert not path.exists()
    [moved] = (tmp_path / "earlier").glob("*/journal")
    [line] = said
    assert line.startswith(f"what an earlier run had finished is now in {moved.parent}, and is not used: ")
    assert line.endswith("its settings or its data were others")
    moved.rename(path)
    assert len(Journal(path, few, {"seeds": 3})) == 3
    assert len(Journal(path, few.first(20), {"seeds": 3}, said.append)) == 0


def test_what_was_moved_aside_comes_back_when_its_run_is_started_again(tmp_path, few):
    path, said = tmp_path / "journal", []
    write(path, few, 3, run="mine")
    (tmp_path / "table.csv").write_text("mine")
    (tmp_path / "note").write_text("nobody's")
    other = Journal(path, few, "other", said.append, ["table.csv", "table.png"])
    other[other.key(noted, 7)] = "other"
    other.close()
    [moved] = (tmp_path / "earlier").iterdir()
    assert sorted(file.name for file in moved.iterdir()) == ["journal", "table.csv"]
    for _ in range(2):  # and a start that ends before its first unit does no harm
        mine = Journal(path, few, "mine", said.append)
        assert [mine.has(noted, i) for i in (0, 1, 2, 7)] == [True, True, True, False]
        mine[mine.key(noted, 3)] = "more"
        mine.close()
        again = Journal(path, few, "other", said.append)
        assert [again.has(noted, i) for i in (0, 7)] == [False, True]
        again.close()
    assert said[2] == f"what an earlier start of this run had finished was in {moved}, and is used"
    assert (moved / "table.csv").read_text() == "mine"
    assert (tmp_path / "note").exists()
    assert len(list((tmp_path / "earlier").iterdir())) == 2  # none that is empty


def test_the_latest_file_of_a_run_comes_back_and_one_that_cannot_be_read_stops_nobody(tmp_path, few):
    for number, count in enumerate([1, 3, 2]):
        place = tmp_path / f"earlier/{'acb'[number]}"
        place.mkdir(parents=True)
        write(place / "journal", few, count)
        os.utime(place / "journal", (0, 1000 * number))
    (tmp_path / "earlier/d/journal").mkdir(parents=True)
    (tmp_path / "earlier/e").mkdir()
    (tmp_path / "earlier/e/journal").write_bytes(b"\n\xff")
    assert len(Journal(tmp_path / "journal", few)) == 2


def test_results_without_a_journal_are_moved_aside(tmp_path, few):
    (tmp_path / "table.csv").write_text("mine")
    said = []
    assert len(Journal(tmp_path / "journal", few, None, said.append, ["table.csv"])) == 0
    [moved] = (tmp_path / "earlier").glob("*/table.csv")
    assert said == [f"what an earlier run had finished is now in {moved.parent}, and is not used: there is no journal"]


def test_the_journal_of_another_numpy_is_moved_aside_and_said(tmp_path, few, monkeypatch):
    said = []
    with monkeypatch.context() as patch:
        patch.setattr(np, "__version__", "1.0.0")
        write(tmp_path / "journal", few, 3)
    assert len(Journal(tmp_path / "journal", few, None, said.append)) == 0
    assert said[0].endswith(f"and is not used: numpy 1.0.0, now {np.__version__}")


TWO = {"whole": lambda first, second: first + second, "the first torn": lambda first, second: first[:-5] + second}


@pytest.mark.parametrize("how", TWO)
def test_of_two_journals_put_together_only_the_units_of_this_run_are_taken(tmp_path, few, how):
    path = tmp_path / "journal"
    parts = []
    for run, units in [("mine", [0, 1]), ("other", [1, 2]), ("mine", [3])]:
        journal = Journal(path, few, run)
        for i in units:
            journal[journal.key(noted, i)] = [run, i]
        journal.close()
        parts.append(path.read_bytes())
        path.unlink()
    mine, other, more = parts
    path.write_bytes(TWO[how](mine, other))
    journal = Journal(path, few, "mine")
    kept = [0] if how == "the first torn" else [0, 1]
    assert [i for i in range(5) if journal.has(noted, i)] == kept
    journal[journal.key(noted, 4)] = ["mine", 4]
    journal.close()
    path.write_bytes(TWO[how](path.read_bytes() + other, more))
    again = Journal(path, few, "mine")
    assert [i for i in range(5) if again.has(noted, i)] == [*kept, 3, 4]
    for i in [*kept, 3, 4]:
        assert again[again.key(noted, i)] == ["mine", i]


def test_a_whole_line_that_is_no_unit_is_skipped(tmp_path, few):
    path = tmp_path / "journal"
    write(path, few, 1)
    for content in ({"a": 1}, 3, "word", [], [[1, 2], 3], ["a"], [1, 2, 3, 4]):
        text = json.dumps(content).encode()
        with open(path, "ab") as file:
            file.write(b"%08x %s\n" % (zlib.crc32(text), text))
    write(path, few, 2)
    assert len(Journal(path, few)) == 2


def test_a_disk_that_is_full_in_the_middle_of_a_line_is_an_error_with_the_files_name_and_loses_nothing(tmp_path, few):
    resource = pytest.importorskip("resource")
    path = tmp_path / "journal"
    write(path, few, 2)
    whole = path.read_bytes()
    journal, limits = Journal(path, few), resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (path.stat().st_size + 50, limits[1]))
    try:
        with pytest.raises(OSError, match=f"File too large: '{path}'"):
            journal[journal.key(noted, 2)] = 2
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == whole
    journal[journal.key(noted, 3)] = 3
    journal.close()
    again = Journal(path, few)
    assert [again.has(noted, i) for i in range(4)] == [True, True, False, True]


def test_ten_thousand_units_are_read_in_a_moment(tmp_path, few):
    journal = Journal(tmp_path / "journal", few)
    result = {"loss": np.zeros(3), "accuracy": 0.5}
    keys = [journal.key(noted, i) for i in range(10_000)]
    for key in keys:
        journal[key] = result
    journal.close()
    start = time.process_time()
    again = Journal(tmp_path / "journal", few)
    assert all(key in again for key in keys)
    for key in keys[::10]:
        assert same(again[key], result)
    assert time.process_time() - start < 1.5
