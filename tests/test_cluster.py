"""A sweep on a Dask cluster: a real scheduler and two workers on loopback, one of which is killed in the middle."""

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, suppress
from functools import partial

import numpy as np
import pytest
from comparing import same
from conftest import ROOT

pytest.importorskip("distributed", reason="Dask is not installed: pip install -e '.[cluster]'")

from scratchnet.data import Dataset
from scratchnet.lab import cluster
from scratchnet.lab.comparison import compare
from scratchnet.lab.experiment import Settings, named
from scratchnet.lab.study import Laboratory

GRID = """
scheme = ["he_normal", "my.py:mine"]
width = 16
depth = "1-8"
images = 500
epochs = 10
seed = "0-5"
"""
MINE = "def mine(shape, *, rng):\n    return rng.normal(size=shape) / 28\n"


def started(stack, *arguments, cwd):
    """`python -m distributed.cli...` in a process group of its own, which ends with the test."""
    command = [sys.executable, "-m", *map(str, arguments)]
    environment = os.environ | {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    process = subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )

    def end():
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()

    stack.callback(end)
    return process


def free_port():
    with socket.socket() as place:
        place.bind(("127.0.0.1", 0))
        return place.getsockname()[1]


def worker(stack, address, folder):
    """A worker without a nanny: a kill of its process is the end of it."""
    options = ("--nthreads", 1, "--no-nanny", "--no-dashboard", "--local-directory", folder)
    return started(stack, "distributed.cli.dask_worker", address, *options, cwd=folder)


@pytest.fixture
def scheduler(tmp_path):
    """(an exit stack, the address of a scheduler)."""
    with ExitStack() as stack:
        port = free_port()
        options = ("--host", "127.0.0.1", "--port", port, "--no-dashboard")
        process = started(stack, "distributed.cli.dask_scheduler", *options, cwd=tmp_path)
        while True:
            assert process.poll() is None, "the scheduler has ended"
            with socket.socket() as place:
                if place.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.05)
        yield stack, f"tcp://127.0.0.1:{port}"


@pytest.mark.timeout(180)
def test_a_worker_that_is_killed_costs_its_units_alone(scheduler, tmp_path, python, dataset):
    stack, address = scheduler
    (tmp_path / "my.py").write_text(MINE)
    (tmp_path / "grid.toml").write_text(GRID)
    away = tmp_path / "away"
    away.mkdir()
    workers = [worker(stack, address, away) for _ in range(2)]
    grid = (tmp_path / "grid.toml", "--dataset", dataset.name, "--out")

    command = [sys.executable, "scripts/sweep.py", *map(str, grid), str(tmp_path / "many"), "--dask", address]
    driver = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, stdout=subprocess.PIPE)
    journal = tmp_path / "many" / "sweep.journal"
    while driver.poll() is None and not (journal.exists() and journal.read_bytes().count(b"\n") > 1):
        time.sleep(0.01)
    os.kill(workers[0].pid, signal.SIGKILL)
    lines = journal.read_bytes().count(b"\n") if journal.exists() else 0
    _, said = driver.communicate()
    assert driver.returncode == 0, said.decode()
    assert b"Traceback" not in said
    assert 1 < lines < journal.read_bytes().count(b"\n")  # it was killed in the middle

    alone = python("scripts/sweep.py", *grid, tmp_path / "alone")
    assert alone.returncode == 0, alone.stderr
    assert (tmp_path / "many/sweep.csv").read_bytes() == (tmp_path / "alone/sweep.csv").read_bytes()


def test_an_address_that_does_not_answer_is_one_sentence_within_ten_seconds():
    for address in ("nowhere", f"tcp://127.0.0.1:{free_port()}"):
        began = time.monotonic()
        with pytest.raises(cluster.ClusterError, match="no Dask scheduler answers at"), cluster.connected(address):
            pass
        assert time.monotonic() - began < 10


def work(spec, images, labels, tick):
    from threadpoolctl import threadpool_info

    if spec == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if spec == "fail":
        raise ValueError("no such thing")
    threads = {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}
    return [float(images.sum()), int(labels.sum()), str(images.dtype), sorted(threads)]


@pytest.mark.timeout(120)
@pytest.mark.filterwarnings("ignore")  # Dask's own, of sockets that its threads close later
def test_what_a_worker_is_given_and_what_it_says(scheduler, tmp_path, rng, monkeypatch):
    stack, address = scheduler
    monkeypatch.setattr(cluster, "CONNECT", 1.0)
    with pytest.raises(cluster.ClusterError, match="has no workers"), cluster.connected(address):
        pass
    monkeypatch.setattr(cluster, "CONNECT", 30.0)
    (tmp_path / "test_cluster.py").write_bytes((ROOT / "tests/test_cluster.py").read_bytes())
    for name in ("conftest.py", "comparing.py"):
        (tmp_path / name).write_bytes((ROOT / "tests" / name).read_bytes())
    worker(stack, address, tmp_path)
    images = rng.integers(0, 256, size=(50, 784)).astype(np.float32) / 255
    labels = (np.arange(50) % 10).astype(np.uint8)
    dataset = Dataset("noise", images, labels, images[:0], labels[:0])

    def done(*specs, **more):
        return dict(cluster.on_dask(work, specs, dataset, lambda n: None, client, **more))

    with cluster.connected(address) as client:
        on_dask, few = partial(cluster.on_dask, client=client), dataset.first(50)
        settings, arms = Settings(sizes=(784, 8, 10), epochs=1, batch_size=10), [named("he_normal"), named("lsuv")]
        there = compare(arms, few, settings, seeds=[0, 1], execute=on_dask)
        assert all(same(a, b) for a, b in zip(there, compare(arms, few, settings, seeds=[0, 1], jobs=1), strict=True))
        assert Laboratory(few, execute=on_dask).each(work, ["a"]) == [[float(images.sum()), 225, "float32", [1]]]
        assert done("a", "b") == {i: [float(images.sum()), 225, "float32", [1]] for i in (0, 1)}
        exact = Dataset("noise", rng.random((50, 784)), labels, images[:0], labels[:0])
        [(_, found)] = cluster.on_dask(work, ["a"], exact, lambda n: None, client)
        assert found == [float(exact.images.sum()), 225, "float64", [1]]
        with pytest.raises(cluster.Failed, match="no such thing"):
            done("a", "fail")
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "environment", lambda: {"numpy": "1.0"})
            with pytest.raises(cluster.ClusterError, match=r"could give other bits .* numpy 1\.0 here and \d"):
                done("a")
        with monkeypatch.context() as patch:
            patch.setattr(cluster, "imported", lambda: {"code": "abc"})
            with pytest.raises(cluster.ClusterError, match=r"could give other bits .* code abc here and \w+ there"):
                done("a")
        assert {*client.run(lambda: len(cluster._given)).values()} == {0}  # nothing is kept after a run
        for _ in range(4):  # one for each death that Dask allows, and one more
            worker(stack, address, tmp_path)
        client.wait_for_workers(5)
        with pytest.raises(cluster.WorkerDied, match="every worker that was given this unit ended, die"):
            done("die")


def test_images_travel_as_bytes_where_that_is_all_there_is_to_them(rng):
    images = np.arange(256, dtype=np.float32)[None] / 255
    assert cluster._as_bytes(images).dtype == np.uint8
    others = rng.random((2, 784), dtype=np.float32), rng.normal(size=(2, 784)), images.astype(np.float64)
    assert all(cluster._as_bytes(other) is other for other in others)
    for A in (images, *others):
        arrived = cluster._as_numbers(cluster._as_bytes(A))
        assert arrived.dtype == A.dtype and np.array_equal(arrived, A)
