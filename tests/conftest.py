import os

# The matrices of these tests are small: a second thread costs more than it gives, above all where cores are shared.
for library in ("OPENBLAS", "MKL", "OMP"):
    os.environ.setdefault(f"{library}_NUM_THREADS", "1")

import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

from scratchnet.data import Dataset, fashion_mnist, pixels, synthetic

ROOT = Path(__file__).parent.parent

# What is measured by coverage imports more, and writes files of its own at the end, on a disk that is full too.
alone = pytest.mark.skipif("coverage" in sys.modules, reason="not under coverage")

# Fixtures that take seconds and are made once for their file.
SHARED = {"quick", "digests", "parsed"}


@pytest.hookimpl(tryfirst=True)  # before xdist looks at the groups
def pytest_collection_modifyitems(items):
    """The suite runs in two processes: tests that share such a fixture belong into one of them."""
    for item in items:
        if SHARED & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))


def pytest_generate_tests(metafunc):
    import placed  # here: it imports PyTorch, and what a worker process imports is this file

    if placed.has_two_places(metafunc.function):
        metafunc.parametrize("place", ["host", "rules"], indirect=True)


@pytest.fixture(autouse=True)
def place(request, monkeypatch):
    """Where the arrays of a numerical test are: "host", or "rules", a device with CuPy's rules; see placed.py."""
    if getattr(request, "param", "host") == "rules":
        import placed

        placed.place(monkeypatch, request.module)


@pytest.fixture
def rng(request):
    """Random numbers that depend on the test's name alone."""
    file, _, name = request.node.location  # the node's id may end in "@" and its group
    return np.random.default_rng(zlib.crc32(f"{file}::{name}".encode()))


@pytest.fixture(scope="session")
def dataset():
    """6,000 images of Fashion-MNIST where it is on this machine, and otherwise of the stand-in."""
    try:
        images, labels, *_ = fashion_mnist.load(mirrors=())  # no mirrors: what is here, or nothing
        name = "fashion-mnist"
    except fashion_mnist.FashionMNISTUnavailable:
        images, labels = synthetic.draw(6000, rng=np.random.default_rng(0))
        name = "synthetic"
    images, labels = images[:6000], labels[:6000]
    return Dataset(name, pixels(images), labels, pixels(images[:0]), labels[:0])


# `python -c LAUNCHER "SIGHUP" SCRIPT …` starts a script that ignores SIGHUP, but neither SIGINT nor SIGTERM:
# what this process ignores, its children would ignore, and `pytest &` in a shell script ignores SIGINT.
LAUNCHER = """
import os, signal, sys
for name in ("SIGINT", "SIGTERM", "SIGHUP"):
    signal.signal(getattr(signal, name), signal.SIG_IGN if name in sys.argv[1].split() else signal.SIG_DFL)
os.execv(sys.executable, [sys.executable, *sys.argv[2:]])
"""


@pytest.fixture
def python():
    """Run `python ARGUMENTS` in the project's folder, as a person would; return the finished process."""

    def run(*arguments, timeout=120, **environment):
        return subprocess.run(
            [sys.executable, *map(str, arguments)],
            cwd=ROOT,
            env=os.environ | environment,
            capture_output=True,
            encoding="utf-8",
            timeout=timeout,
        )

    return run
