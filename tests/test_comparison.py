"""A whole comparison: the same numbers wherever it is trained, and whatever it is started from."""

import dataclasses
import multiprocessing
import os
import signal
import threading

import numpy as np
import pytest
from comparing import ARMS, SETTINGS, same

from scratchnet import init
from scratchnet.data import Dataset
from scratchnet.lab import comparison
from scratchnet.lab.comparison import Unfinished, by_arm, compare
from scratchnet.lab.executors import stack_sizes
from scratchnet.lab.experiment import Arm, Run, Settings, named, seen_rows
from scratchnet.lab.parts import PartError


def test_results_do_not_depend_on_the_number_of_jobs_nor_on_the_other_arms(dataset):
    one = compare(ARMS, dataset, SETTINGS, seeds=[0, 1], jobs=1)
    four = compare(ARMS, dataset, SETTINGS, seeds=[0, 1], jobs=4)
    assert [(run.seed, run.arm) for run in one] == [(s, arm.key) for s in (0, 1) for arm in ARMS]
    assert all(same(a, b) for a, b in zip(one, four, strict=True))
    [alone] = compare(ARMS[4:], dataset, SETTINGS, seeds=[1])
    assert same(alone, one[-1])


# --- from anywhere ----------------------------------------------------------------------------------------------


def local_scheme(gain):
    def scheme(shape, *, rng):
        return gain * init.he_normal(shape, rng=rng)

    return scheme


@pytest.mark.parametrize(
    "scheme",
    [lambda shape, *, rng: 2 * init.he_normal(shape, rng=rng), local_scheme(2)],
    ids=["a lambda", "a local function"],
)
def test_what_workers_cannot_be_sent_is_trained_in_this_process_with_the_same_numbers(dataset, scheme, capsys):
    """Equal bits: he_normal with a doubled weight, as a function of a module and as one that has no name."""
    [here] = compare([Arm("double", "double", scheme)], dataset, SETTINGS, seeds=[0])
    err = capsys.readouterr().err
    assert "training in this process, without workers: " in err
    assert "is a lambda or a local function" in err
    assert err.count("\n") == 1
    [there] = compare([Arm("double", "double", doubled)], dataset, SETTINGS, seeds=[0])
    assert capsys.readouterr().err == ""
    assert same(here, there)


def doubled(shape, *, rng):
    return 2 * init.he_normal(shape, rng=rng)


def test_an_unnamed_scheme_never_hangs(dataset):
    """It did, about once in ten times, while the workers' pool was closed."""
    few = SETTINGS.__class__(sizes=(784, 10), epochs=0)
    for _ in range(20):
        compare([Arm("a", "a", lambda shape, *, rng: np.zeros(shape))], dataset, few, seeds=[0], jobs=2)


SESSION = """
import hashlib
import numpy as np
from scratchnet import init
from scratchnet.data import Dataset
from scratchnet.lab.comparison import compare
from scratchnet.lab.experiment import Arm, Settings
images = np.random.default_rng(0).random((300, 784), dtype=np.float32)
labels = np.arange(300, dtype=np.uint8) % 10
dataset = Dataset("synthetic", images, labels, images[:0], labels[:0])
def mine(shape, *, rng): return 2 * init.he_normal(shape, rng=rng)

def digest(scheme):
    settings = Settings(epochs=1, batch_size=30)
    runs = compare([Arm("a", "a", scheme)], dataset, settings, seeds=[0, 1])
    print(hashlib.sha1(b"".join(run.training_loss.tobytes() for run in runs)).hexdigest())

"""
CALLS = "digest(init.he_normal)\ndigest(mine)\n"
GUARDED = "if __name__ == '__main__':\n    digest(init.he_normal)\n    digest(mine)\n"
THREAD = """
import threading
thread = threading.Thread(target=lambda: (digest(init.he_normal), digest(mine)))
thread.start()
thread.join()
"""


@pytest.fixture(scope="module")
def digests(tmp_path_factory, start):
    """What a script with a main guard prints: both schemes are trained by workers."""
    return start(["guarded.py"], SESSION + GUARDED)[0]


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """Run Python with arguments; `code` is in the file that they name, or else on standard input. (lines, stderr)."""
    import subprocess
    import sys

    def run(arguments, code, stdin=None):
        folder = tmp_path_factory.mktemp("session")
        for name in arguments:
            if name.endswith(".py"):
                (folder / name).write_text(code)
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=folder,
            env=os.environ | dict.fromkeys(("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS"), "2"),
            input=stdin,
            capture_output=True,
            encoding="utf-8",
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.split(), done.stderr

    return run


@pytest.mark.parametrize(
    ("arguments", "code", "stdin", "in_process"),
    [
        (["guarded.py"], SESSION + GUARDED, None, 0),
        (["unguarded.py"], SESSION + CALLS, None, 1),
        (["-"], "", SESSION + CALLS, 1),
        (["-c", SESSION + CALLS], "", None, 1),
        (["-i"], "", SESSION + CALLS, 1),
        (["-i", "opened.py"], SESSION, CALLS, 1),
        (["threads.py"], SESSION + THREAD, None, 1),
    ],
    ids=["guarded script", "script", "standard input", "-c", "-i", "-i script", "thread"],
)
def test_compare_works_from_anywhere_with_the_same_numbers(start, digests, arguments, code, stdin, in_process):
    """A scheme of the package is trained by workers; one of __main__ here, unless workers can import it.

    Here BLAS has two threads at first, with which the last bits would be others.
    """
    printed, err = start(arguments, code, stdin)
    assert printed == digests
    assert err.count("training in this process, without workers: mine is defined in __main__") == in_process
    assert "Traceback" not in err


LATE = """
scale = 1
def scaled(shape, *, rng): return scale * init.he_normal(shape, rng=rng)
def indirect(shape, *, rng): return scaled(shape, rng=rng)
if __name__ == "__main__":
    scale = 2
    digest(scaled)
    digest(indirect)
"""


def test_a_scheme_that_reads_what_only_the_main_guard_sets_is_trained_in_this_process(start, digests):
    printed, err = start(["late.py"], SESSION + LATE)
    assert printed == [digests[1]] * 2
    assert [line.partition("without workers: ")[2] for line in err.splitlines() if line] == [
        f"{name} reads scale, which no worker sets that imports the script" for name in ("scaled", "indirect")
    ]


def accuracy(dataset):
    return compare(ARMS[:1], dataset, SETTINGS, seeds=[0])[0].validation_accuracy


def test_compare_works_in_a_worker_of_a_pool_which_may_start_no_processes(dataset, capfd):
    few = dataset.first(300)
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        assert pool.apply(accuracy, [few]) == accuracy(few)
    assert "training in this process, without workers: this is a daemonic process" in capfd.readouterr().err


# --- failures ---------------------------------------------------------------------------------------------------


def test_two_arms_of_one_key_are_refused(dataset):
    with pytest.raises(ValueError, match="a key of its own"):
        compare([ARMS[0], ARMS[0]], dataset, SETTINGS, seeds=[0])


def test_nothing_to_compare_is_refused(dataset):
    with pytest.raises(ValueError, match="expected at least one arm and one seed, got 0 arms and 1 seeds"):
        compare([], dataset, SETTINGS, seeds=[0])
    with pytest.raises(ValueError, match="got 1 arms and 0 seeds"):
        compare(ARMS[:1], dataset, SETTINGS, seeds=[])


def test_a_part_that_does_not_work_is_refused_before_training(dataset):
    with pytest.raises(PartError, match="pairs hidden units"):
        settings = Settings(sizes=(784, 15, 10), epochs=1)  # 15 units make no pairs
        compare([*ARMS, Arm("a", "a", preparation=init.PREPARATIONS["antisymmetric"])], dataset, settings, seeds=[0])


def fails_for_seed_1(shape, *, rng):
    W = init.he_normal(shape, rng=rng)
    if rng.bit_generator.seed_seq.entropy[0] == 1:
        raise RuntimeError("I do not like this seed")
    return W


def exits_for_seed_1(shape, *, rng):
    try:
        return fails_for_seed_1(shape, rng=rng)
    except RuntimeError:
        raise SystemExit(3) from None


@pytest.mark.parametrize(
    ("scheme", "message"),
    [(fails_for_seed_1, "RuntimeError: I do not like this seed"), (exits_for_seed_1, "SystemExit: 3")],
    ids=["raises", "exits"],
)
@pytest.mark.parametrize("where", ["in workers", "in this process"])
def test_a_failure_in_the_middle_keeps_what_was_finished_and_says_what_failed(dataset, scheme, message, where):
    if where == "in this process":
        own = scheme

        def scheme(shape, *, rng):
            return own(shape, rng=rng)

    with pytest.raises(Unfinished, match=message) as stopped:
        compare([Arm("a", "a", scheme)], dataset, SETTINGS, seeds=[0, 1], jobs=1)
    assert [run.seed for run in stopped.value.runs] == [0]
    assert not stopped.value.interrupted


def children():
    with open(f"/proc/self/task/{os.getpid()}/children") as file:
        return [int(pid) for pid in file.read().split()]


def command_line(pid):
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return file.read()
    except OSError:  # it has ended
        return b""


needs_proc = pytest.mark.skipif(
    not os.path.exists(f"/proc/self/task/{os.getpid()}/children"), reason="needs Linux's /proc"
)


@needs_proc
def test_a_killed_worker_costs_its_own_unit_which_is_trained_again(dataset, monkeypatch, capfd):
    """The kernel's out-of-memory killer does that: the numbers are those of a comparison without it."""
    anywhere, training, before = comparison.anywhere, threading.Event(), set(children())

    def watched(work, specs, dataset, tick, **jobs):
        def told(steps):
            tick(steps)
            if steps:
                training.set()

        return anywhere(work, specs, dataset, told, **jobs)

    def kill_a_worker():
        assert training.wait(120)
        workers = [pid for pid in set(children()) - before if b"spawn_main" in command_line(pid)]
        os.kill(workers[0], signal.SIGKILL)

    monkeypatch.setattr(comparison, "anywhere", watched)
    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    settings = Settings(epochs=2)
    runs = compare(ARMS, dataset, settings, seeds=[0], jobs=2)
    killer.join()
    assert "scratchnet: a worker process ended, killed by SIGKILL; another one begins anew: " in capfd.readouterr().err
    undisturbed = compare(ARMS, dataset, settings, seeds=[0], jobs=2)
    assert all(same(a, b) for a, b in zip(runs, undisturbed, strict=True))


def dies_for_seed_1(shape, *, rng):
    if rng.bit_generator.seed_seq.entropy[0] == 1:
        os._exit(9)
    return init.he_normal(shape, rng=rng)


def test_a_unit_in_which_three_workers_end_ends_the_comparison_and_is_named(dataset):
    with pytest.raises(Unfinished, match=r"3 worker processes ended, with exit code 9, in a with seed 1 \(") as stopped:
        compare([Arm("a", "a", dies_for_seed_1)], dataset, SETTINGS, seeds=[0, 1, 2], jobs=1)
    assert [run.seed for run in stopped.value.runs] == [0]
    assert not stopped.value.interrupted


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="interrupts the main thread")
def test_an_interruption_at_any_moment_keeps_what_was_finished_and_never_hangs(dataset, monkeypatch):
    """It did, about once in three times, while the locks of so many units were being taken."""
    handler = signal.signal(signal.SIGINT, signal.default_int_handler)  # it may be ignored: see conftest
    few = Dataset("synthetic", dataset.images[:20], dataset.labels[:20], dataset.images[:0], dataset.labels[:0])
    main, settings = threading.main_thread().ident, Settings(sizes=(784, 10), epochs=1)
    finished, ended = [], threading.Event()

    def interrupt():
        while len(finished) < 5 and not ended.wait(0.001):
            pass
        if not ended.is_set():
            signal.pthread_kill(main, signal.SIGINT)

    anywhere = comparison.anywhere

    def watched(*given, **jobs):
        for i, runs in anywhere(*given, **jobs):
            finished.extend(runs)
            yield i, runs

    monkeypatch.setattr(comparison, "anywhere", watched)
    thread = threading.Thread(target=interrupt)
    thread.start()
    try:
        with pytest.raises(Unfinished, match="interrupted") as stopped:
            compare(ARMS[:1], few, settings, seeds=range(6000), jobs=1)
    finally:
        ended.set()
        thread.join()
        signal.signal(signal.SIGINT, handler)
    assert 5 <= len(stopped.value.runs) < 6000


def test_arms_that_start_from_equal_weights_are_trained_once(dataset):
    """he_normal, he_normal:a=0 and, for ReLU, edge_of_chaos are three names of one initialization."""
    arms = [named(name) for name in ("he_normal", "lecun_normal", "he_normal:a=0", "edge_of_chaos")]
    runs = by_arm(compare(arms, dataset, SETTINGS, seeds=[0, 1]))
    assert list(runs) == ["he_normal", "lecun_normal", "he_normal:a=0", "edge_of_chaos"]
    for seed in (0, 1):
        assert runs["he_normal:a=0"][seed].training_loss is runs["he_normal"][seed].training_loss
        assert runs["edge_of_chaos"][seed].training_loss is runs["he_normal"][seed].training_loss
        assert not np.array_equal(runs["lecun_normal"][seed].training_loss, runs["he_normal"][seed].training_loss)


def cautious(shape, *, rng):
    """he_normal, but smaller where a weight is large, as is so with seed 0 and not with 1 and 3."""
    W = init.he_normal(shape, rng=rng)
    return W / 2 if shape[0] == 784 and W.max() > 0.197 else W


def test_only_arms_that_start_from_equal_weights_with_every_seed_are_trained_once(dataset):
    he, mine = named("he_normal"), Arm("cautious", "cautious", cautious)
    arms = [he, mine, *(dataclasses.replace(arm, key=f"fast {arm.key}", learning_rate=0.01) for arm in (he, mine, he))]
    arms[-1] = dataclasses.replace(arms[-1], key="fast alias")
    for chosen in (arms[:2], arms):
        runs = by_arm(compare(chosen, dataset, SETTINGS, seeds=[1, 0, 3], jobs=1))
        assert {key: [run.seed for run in each] for key, each in runs.items()} == {a.key: [0, 1, 3] for a in chosen}
        for normal, other in zip(runs["he_normal"], runs["cautious"], strict=True):
            assert np.array_equal(other.training_loss, normal.training_loss) == (normal.seed != 0)
    for normal, fast, alias, other in zip(
        *(runs[k] for k in ("he_normal", "fast he_normal", "fast alias", "fast cautious")), strict=True
    ):
        assert alias.training_loss is fast.training_loss
        assert not np.array_equal(fast.training_loss, normal.training_loss)
        assert np.array_equal(other.training_loss, fast.training_loss) == (fast.seed != 0)


def test_a_preparation_looks_at_images_that_differ_from_seed_to_seed():
    """They are drawn from the seed's training images: the first 2000 sorted rows would be nearly the same for all."""
    training = np.arange(48_000)
    first, other, again = seen_rows(training, 0), seen_rows(training, 1), seen_rows(training, 0)
    assert len(set(first)) == 2000
    assert len(set(first) & set(other)) < 200
    assert np.array_equal(first, again)


# --- small things -----------------------------------------------------------------------------------------------


def test_by_arm_keeps_the_order_of_the_seeds():
    runs = [Run(arm, seed, np.zeros(1), 0.0, 0.0) for seed in (2, 0, 1) for arm in "ba"]
    assert [run.seed for run in by_arm(runs)["a"]] == [0, 1, 2]


def test_a_stack_on_a_gpu_is_as_large_as_memory_allows_and_never_empty():
    """(seeds, arms) at once, for networks of 10 bytes and a GPU of which four fifths may be used."""
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=1000) == (8, 4)
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=300) == (6, 4)
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=40) == (1, 3)
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=0) == (1, 1)
