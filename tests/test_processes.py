"""Worker processes: none that dies, stops or says nonsense costs more than its own unit, and none is left behind."""

import dataclasses
import os
import shutil
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest
from conftest import ROOT

from scratchnet.data import Dataset
from scratchnet.lab.processes import in_processes
from scratchnet.lab.work import CannotSend, Failed, WorkerDied

needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGSTOP")


@pytest.fixture
def few():
    images = np.random.default_rng(0).random((30, 784), dtype=np.float32)
    labels = np.arange(30, dtype=np.uint8) % 10
    return Dataset("synthetic", images, labels, images[:0], labels[:0])


def results(work, specs, dataset, **options):
    """The results of all specs in their order, and the steps that were told."""
    told = []
    found = dict(in_processes(work, specs, dataset, told.append, **options))
    return [found[i] for i in range(len(specs))], sum(told)


def brightness(spec, images, labels, tick):
    for _ in range(5):
        tick(2)
    return float(images[spec].sum()), int(labels[spec])


@pytest.mark.parametrize("jobs", [1, 3])
def test_each_unit_is_done_once_and_every_step_is_told(few, jobs):
    found, steps = results(brightness, range(20), few, jobs=jobs)
    assert found == [(float(few.images[i].sum()), few.labels[i]) for i in range(20)]
    assert steps == 20 * 10


@pytest.mark.parametrize("dtype", [np.float16, np.float64])
def test_workers_have_the_images_to_the_last_bit(few, dtype):
    images = np.random.default_rng(0).random((30, 784)).astype(dtype)
    given = dataclasses.replace(few, images=images)
    found, _ = results(brightness, range(20), given, jobs=2)
    assert found == [(float(images[i].sum()), few.labels[i]) for i in range(20)]


def test_nothing_to_do_is_done_at_once(few):
    assert results(brightness, [], few) == ([], 0)


def once(mark, happens):
    """Do this for the first that comes with this mark, and for nobody after it."""
    try:
        os.close(os.open(mark, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return
    happens()


def fatal(spec, images, labels, tick):
    number, mark = spec
    tick(1)
    if number == 2:
        time.sleep(0.5)  # the step is told
        once(mark, lambda: os._exit(3))
    return number


@pytest.mark.parametrize("jobs", [1, 3])
def test_a_worker_that_ends_costs_its_own_unit_which_is_done_anew(few, tmp_path, capfd, jobs):
    """Whether the others still have work or wait idly for the end."""
    specs = [(i, str(tmp_path / "mark")) for i in range(4)]
    found, steps = results(fatal, specs, few, jobs=jobs)
    assert found == [0, 1, 2, 3]
    assert steps == 4
    err = capfd.readouterr().err
    assert "a worker process ended, with exit code 3; another one begins anew: (2, " in err


def stopping(spec, images, labels, tick):
    number, mark = spec
    if number == 1:
        once(mark, lambda: os.kill(os.getpid(), signal.SIGSTOP))
    for _ in range(10 if number else 40):  # which the others tell meanwhile
        tick(1)
        time.sleep(0.05)
    return number


@needs_signals
@pytest.mark.parametrize("jobs", [1, 2])
def test_a_worker_that_is_stopped_is_not_waited_for_without_end(few, tmp_path, capfd, jobs):
    specs = [(i, str(tmp_path / "mark")) for i in range(3)]
    began = time.monotonic()
    assert results(stopping, specs, few, jobs=jobs, patience=1)[0] == [0, 1, 2]
    assert time.monotonic() - began < 20
    assert "killed since it was silent for 1 seconds; another one begins anew: (1, " in capfd.readouterr().err


@needs_signals
def test_a_run_that_was_stopped_with_all_its_workers_goes_on_with_them(tmp_path):
    """As with Ctrl-Z, or a lid that is closed: nobody was silent for long while this process could hear."""
    (tmp_path / "pausing.py").write_text(PAUSING)
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{ROOT / 'tests'}"}
    with subprocess.Popen(
        [sys.executable, "pausing.py"],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
        start_new_session=True,
    ) as process:
        assert process.stdout.readline() == "working\n"
        os.killpg(process.pid, signal.SIGSTOP)
        time.sleep(2.5)
        os.killpg(process.pid, signal.SIGCONT)
        assert process.communicate(timeout=60) == ("[2.0, 2.0]\n", "")


PAUSING = """
import numpy as np
from test_processes import Dataset, in_processes, slow
if __name__ == "__main__":
    images = np.zeros((3, 784), np.float32)
    few, said = Dataset("synthetic", images, np.zeros(3, np.uint8), images[:0], images[:0, 0]), []
    tick = lambda steps: said or said.append(print("working", flush=True))
    print([result for _, result in in_processes(slow, [2.0, 2.0], few, tick, jobs=2, patience=1)])
"""


def slow(spec, images, labels, tick):
    time.sleep(spec)
    return spec


def test_a_worker_that_works_for_long_without_a_step_is_waited_for(few, capfd):
    assert results(slow, [3.0], few, jobs=1, patience=1)[0] == [3.0]
    assert capfd.readouterr().err == ""


def test_the_time_in_which_nobody_listens_is_not_silence(few, capfd):
    """The one who asked for the work may take long over a result."""
    done = in_processes(slow, [0.0, 0.0, 2.5], few, lambda n: None, jobs=2, patience=1)
    next(done)
    time.sleep(2)
    assert len(list(done)) == 2
    assert capfd.readouterr().err == ""


def large(spec, images, labels, tick):
    return np.full(3_000_000, spec)


def test_large_results_arrive(few):
    found, _ = results(large, [1.0, 2.0, 3.0], few, jobs=2)
    assert [A.sum() for A in found] == [3e6, 6e6, 9e6]


def nonsense(spec, images, labels, tick):
    if isinstance(spec, str):
        return lambda: spec
    raise spec


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("a lambda", "nonsense.<locals>.<lambda>"),
        (SystemExit(3), r"SystemExit: 3 \(test_processes.py"),
        (KeyboardInterrupt(), r"KeyboardInterrupt \(test_processes.py"),
        (GeneratorExit(), r"GeneratorExit \(test_processes.py"),
    ],
)
def test_what_cannot_be_sent_back_and_what_raises_has_failed(few, capfd, spec, message):
    with pytest.raises(Failed, match=message):
        results(nonsense, [spec], few, jobs=1)
    assert capfd.readouterr().err == ""


def always_fatal(spec, images, labels, tick):
    os._exit(4)


def test_three_workers_that_end_in_one_unit_are_enough(few, capfd):
    with pytest.raises(WorkerDied, match="3 worker processes ended, with exit code 4, in the unit"):
        results(always_fatal, ["the unit"], few, jobs=2)
    assert capfd.readouterr().err.count("begins anew: the unit") == 2


def test_workers_that_end_before_they_begin_are_no_use(few, monkeypatch):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    from multiprocessing import spawn

    monkeypatch.setattr(spawn, "get_executable", lambda: b"/bin/false")
    with pytest.raises(CannotSend, match=r"before they have started|cannot be started here"):
        results(brightness, [1], few, jobs=2)


@pytest.mark.skipif(os.name != "posix", reason="shared memory is no file")
def test_without_room_for_the_images_no_worker_is_started(few, monkeypatch):
    """A file of shared memory may be larger than its file system; a write into what is missing kills the process."""
    room = shutil.disk_usage("/")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: room._replace(free=few.images.nbytes - 1))
    with pytest.raises(CannotSend, match=r"cannot be started here \(0 MB of images find no room in .*/"):
        results(brightness, range(3), few, jobs=2)


def test_where_no_thread_can_be_started_no_worker_is(few, monkeypatch):
    def start(self):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", start)
    with pytest.raises(CannotSend, match="can't start new thread"):
        results(brightness, range(3), few, jobs=2)


# --- nothing is left behind -------------------------------------------------------------------------------------------

WORKING = """
import sys
import numpy as np
from scratchnet.data import Dataset
from scratchnet.lab.comparison import compare
from scratchnet.lab.experiment import Arm, Settings
from scratchnet import init
if __name__ == "__main__":
    images = np.random.default_rng(0).random((3000, 784), dtype=np.float32)
    dataset = Dataset("synthetic", images, np.arange(3000, dtype=np.uint8) % 10, images[:0], images[:0, 0])
    compare([Arm("a", "a", init.he_normal)], dataset, Settings(epochs=10**6), seeds=[0, 1], jobs=2)
"""


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="looks at Linux's /proc")
def test_processes_share_nothing_that_a_kill_of_them_all_would_leave_behind(tmp_path):
    """Six semaphores were left in /dev/shm by each kill."""
    (tmp_path / "working.py").write_text(WORKING)
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    with subprocess.Popen([sys.executable, "working.py"], cwd=tmp_path, env=environment) as process:
        try:
            deadline = time.monotonic() + 30
            shared = []
            while sum("/pym-" in line for line in shared) < 3 and time.monotonic() < deadline:  # the images, in each
                time.sleep(0.2)
                family = offspring(process.pid)
                shared = [line for pid in family for line in maps(pid) if "/dev/shm" in line or "/pym-" in line]
        finally:
            process.kill()
    assert len(family) == 4  # two workers, and Python's resource tracker
    assert len(shared) >= 3
    assert all(line.endswith("(deleted)") for line in shared)


def offspring(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as file:
        return [pid, *map(int, file.read().split())]


def maps(pid):
    with open(f"/proc/{pid}/maps") as file:
        return file.read().splitlines()
