"""A file is complete or absent, and the results of earlier runs are kept."""

import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
from pathlib import Path

import pytest
from conftest import ROOT, alone

from scratchnet.files import Owned, check_owned, clear, cut, must_be_writable, owning, replacing, set_aside


def test_a_file_is_replaced_whole(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("old")
    with replacing(path) as temporary:
        temporary.write_text("new")
        assert path.read_text() == "old"
    assert path.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.parametrize("error", [RuntimeError, KeyboardInterrupt])
def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path, error):
    path = tmp_path / "a.txt"
    path.write_text("old")

    def half():
        with replacing(path) as temporary:
            temporary.write_text("ha")
            raise error

    with pytest.raises(error):
        half()
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"]


@pytest.mark.skipif(sys.platform == "win32", reason="limits the size of files")
@alone
def test_a_folder_is_not_replaced(tmp_path):
    with pytest.raises(IsADirectoryError, match="expected the name of a file, and this is a folder"):
        with replacing(tmp_path):
            raise AssertionError("the block has been entered")
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_is_full_in_the_middle_of_a_file_is_an_error_with_its_name(tmp_path):
    """In a process of its own, which may not write more than 1000 bytes to a file."""
    (tmp_path / "a.txt").write_text("old")
    code = (
        "import resource, sys; from scratchnet.files import replacing\n"
        "limits = resource.getrlimit(resource.RLIMIT_FSIZE)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))\n"
        "try:\n"
        "    with replacing(sys.argv[1]) as temporary: temporary.write_bytes(bytes(5000))\n"
        "finally: resource.setrlimit(resource.RLIMIT_FSIZE, limits)"  # what measures the coverage writes more
    )
    done = subprocess.run([sys.executable, "-c", code, tmp_path / "a.txt"], cwd=ROOT, capture_output=True, text=True)
    assert done.stderr.splitlines()[-1] == f"OSError: [Errno 27] File too large: '{tmp_path / 'a.txt'}'"
    assert {p.name: p.read_text() for p in tmp_path.iterdir()} == {"a.txt": "old"}


def test_a_new_file_has_the_permissions_of_any_other(tmp_path):
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("x")
    (tmp_path / "b").write_text("x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "b").stat().st_mode


def test_earlier_files_are_moved_aside_and_none_is_lost(tmp_path):
    assert set_aside(tmp_path, ["a", "b"]) is None
    for content in ("first", "second"):
        (tmp_path / "a").write_text(content)
        (tmp_path / "other").write_text("stays")
        aside = set_aside(tmp_path, ["a", "b"])
        assert (aside / "a").read_text() == content
        assert not (tmp_path / "a").exists()
    assert (tmp_path / "other").read_text() == "stays"
    assert sorted(p.read_text() for p in (tmp_path / "earlier").glob("*/a")) == ["first", "second"]


@pytest.mark.parametrize("what", ["a dangling link", "a file"])
def test_where_earlier_files_cannot_be_moved_to_is_one_sentence_and_none_is_lost(tmp_path, what):
    earlier = tmp_path / "earlier"
    if what == "a file":
        earlier.write_text("the reader's own")
    else:
        try:
            earlier.symlink_to(tmp_path / "not mounted")
        except OSError:
            pytest.skip("no links can be made here")
    (tmp_path / "a").write_text("first")
    message = f"an earlier run's files stay in {tmp_path}, since no folder can be made in {earlier} ("
    with pytest.raises(OSError, match=re.escape(message)):
        set_aside(tmp_path, ["a"])
    assert (tmp_path / "a").read_text() == "first"


def test_earlier_files_can_be_kept_on_another_disk(tmp_path):
    memory = Path("/dev/shm")
    if not (os.access(memory, os.W_OK) and memory.stat().st_dev != tmp_path.stat().st_dev):
        pytest.skip("no other file system is known here")
    with tempfile.TemporaryDirectory(dir=memory) as other:
        (tmp_path / "earlier").symlink_to(other)
        (tmp_path / "a").write_text("first")
        aside = set_aside(tmp_path, ["a"])
        assert not (tmp_path / "a").exists()
        assert (Path(other) / aside.name / "a").read_text() == "first"


def test_a_folder_is_created_and_checked_before_the_work(tmp_path):
    must_be_writable(tmp_path / "a" / "b")
    assert list((tmp_path / "a" / "b").iterdir()) == []
    (tmp_path / "file").write_text("x")
    with pytest.raises(OSError, match=r"Not a directory|File exists"):
        must_be_writable(tmp_path / "file" / "c")


OWNING = """
import sys, time
from pathlib import Path
from scratchnet.files import owning, replacing
with owning(Path(sys.argv[1])), replacing(Path(sys.argv[1]) / "figure.png"):
    print("ready", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def another_run(tmp_path):
    """Another process that owns tmp_path, and is in the middle of writing a figure."""
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen(
        [sys.executable, "-c", OWNING, str(tmp_path)], stdout=subprocess.PIPE, encoding="utf-8", env=environment
    ) as process:
        assert process.stdout.readline() == "ready\n"
        yield process
        process.kill()


def test_one_run_owns_its_folder_and_the_second_is_told_who(tmp_path, another_run):
    before = sorted(tmp_path.iterdir())
    with pytest.raises(Owned, match=rf"another run \(process {another_run.pid}\) owns {tmp_path}: wait until"):
        with owning(tmp_path):
            pass
    assert sorted(tmp_path.iterdir()) == before
    with owning(tmp_path / "another folder"):
        pass


def test_a_lock_dies_with_its_run_and_what_was_half_written_is_removed(tmp_path, another_run):
    assert len(list(tmp_path.glob(".figure.png.*.tmp"))) == 1
    another_run.kill()
    another_run.wait()
    with owning(tmp_path):
        assert [path.name for path in tmp_path.iterdir()] == [".lock"]
    assert list(tmp_path.iterdir()) == []


def test_hidden_files_and_folders_of_the_reader_stay(tmp_path):
    files = {
        ".hidden",
        ".bash_history-12345.tmp",
        ".draft.odt.tmp",
        ".a.scratchnet-notes.tmp",
        "a.scratchnet-x1y2z3_4.tmp",
    }
    folders = {".d.tmp", ".d.scratchnet-x1y2z3_4.tmp"}
    for name in files:
        (tmp_path / name).write_text("the reader's own")
    for name in folders:
        (tmp_path / name).mkdir()
    clear(tmp_path)
    with owning(tmp_path):
        pass
    assert {path.name for path in tmp_path.iterdir()} == files | folders


@pytest.mark.skipif(sys.platform == "win32", reason="Windows renames no file that is open, so none is locked")
def test_what_a_killed_process_left_half_written_is_cleared_and_what_a_living_one_writes_is_not(tmp_path, another_run):
    (tmp_path / ".hidden").write_text("the reader's own")
    with replacing(tmp_path / "mine") as temporary:
        temporary.write_text("new")
        clear(tmp_path)
        assert len(list(tmp_path.glob(".*.tmp"))) == 2
        another_run.kill()
        another_run.wait()
        clear(tmp_path)
        assert list(tmp_path.glob(".*.tmp")) == [temporary]
    assert (tmp_path / "mine").read_text() == "new"


@pytest.mark.skipif(sys.platform == "win32", reason="see above")
def test_a_file_that_is_cleared_before_it_could_be_locked_is_made_anew(tmp_path, monkeypatch):
    make, made = tempfile.mkstemp, []

    def cleared_at_once(**where):
        made.append(make(**where))
        if len(made) == 1:
            clear(tmp_path)
        return made[-1]

    monkeypatch.setattr(tempfile, "mkstemp", cleared_at_once)
    with replacing(tmp_path / "a") as temporary:
        temporary.write_text("new")
    assert len(made) == 2
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {"a": "new"}


@pytest.mark.skipif(sys.platform == "win32", reason="sends SIGSTOP")
def test_a_run_that_is_stopped_still_owns_its_folder(tmp_path, another_run):
    another_run.send_signal(signal.SIGSTOP)
    with pytest.raises(Owned):
        with owning(tmp_path):
            pass


def test_a_folder_is_free_again_after_a_failure(tmp_path):
    for _ in range(2):
        with pytest.raises(RuntimeError, match="x"):
            with owning(tmp_path):
                raise RuntimeError("x")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(sys.platform == "win32", reason="Windows moves no folder in which a file is open")
@pytest.mark.parametrize("fate", ["moved", "removed"])
def test_a_run_whose_folder_was_moved_does_no_harm_to_the_next_one(tmp_path, monkeypatch, fate):

    def overwrite(folder):
        with replacing(folder / "a") as temporary:
            temporary.write_text("the first run's")

    monkeypatch.chdir(tmp_path)
    folder = Path("results")
    with owning(folder):
        check_owned(folder)
        check_owned(tmp_path / folder)
        if fate == "moved":
            folder.rename("old")
        else:
            shutil.rmtree(folder)
        for _ in range(2):  # nothing stands in its place, and then another run's folder
            for call in (check_owned, lambda folder: set_aside(folder, ["a"]), overwrite):
                with pytest.raises(OSError, match="the folder results was moved or replaced while this run wrote to "):
                    call(folder)
            folder.mkdir(exist_ok=True)
            (folder / "a").write_text("the other run's")
            (folder / ".lock").write_text("the other run's")
    assert {path.name: path.read_text() for path in folder.iterdir()} == dict.fromkeys(
        ["a", ".lock"], "the other run's"
    )
    check_owned(folder)  # this process owns nothing any more


TAKING_TURNS = """
import os, sys, time
from pathlib import Path
from scratchnet.files import Owned, owning
folder, until = Path(sys.argv[1]), time.monotonic() + 1.5
turns = 0
while time.monotonic() < until:
    try:
        with owning(folder):
            os.close(os.open(folder / "mine", os.O_CREAT | os.O_EXCL))  # nobody else has it
            (folder / "mine").unlink()
            turns += 1
    except Owned:
        pass
print(turns)
"""


def test_two_never_own_a_folder_at_once_while_locks_come_and_go(tmp_path):
    """A lock file that is removed while another process opens it would be two locks."""
    arguments = [sys.executable, "-c", TAKING_TURNS, str(tmp_path)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    runs = [subprocess.Popen(arguments, stdout=subprocess.PIPE, env=environment) for _ in range(3)]
    turns = [run.communicate()[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0, 0]
    assert sum(map(int, turns)) > 10
    assert list(tmp_path.iterdir()) == []


def test_a_files_content_is_on_the_disk_before_its_name_is_and_then_the_name(tmp_path, monkeypatch):
    done, fsync, replace = [], os.fsync, os.replace
    monkeypatch.setattr(os, "fsync", lambda handle: done.append(os.fstat(handle).st_ino) or fsync(handle))
    monkeypatch.setattr(os, "replace", lambda a, b: done.append("replaced") or replace(a, b))
    with replacing(tmp_path / "x") as temporary:
        temporary.write_text("new")
    names = [tmp_path.stat().st_ino] if sys.platform != "win32" else []
    assert done == [(tmp_path / "x").stat().st_ino, "replaced", *names]


def test_a_folder_that_is_moved_while_a_file_is_written_is_said_to_be(tmp_path):
    with (
        owning(tmp_path / "out"),
        pytest.raises(OSError, match="was moved or replaced while this run wrote to it"),
        replacing(tmp_path / "out" / "x") as temporary,
    ):
        (tmp_path / "out").rename(tmp_path / "moved")
        temporary.write_text("new")


def test_what_somebody_else_wrote_is_one_line_that_does_nothing_to_a_terminal():
    assert cut("red \x1b[31m\nañ") == "red \\x1b[31m\\nañ"
    assert cut("x" * 200) == "x" * 200
    assert cut("x" * 201) == "x" * 199 + "…"
