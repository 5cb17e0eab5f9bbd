"""A comparison changes one thing, and its numbers do not depend on who computes them."""

import math
import os
import signal
import threading
import time

import numpy as np
import pytest

from scratchnet import init
from scratchnet.lab.experiment import (
    Arm,
    Run,
    Settings,
    Unfinished,
    by_arm,
    bytes_of_a_network,
    compare,
    initialized,
    named,
    stack_sizes,
    stream,
    train_stack,
)

ARMS = [
    Arm("rule", "rule", init.rule_uniform),
    Arm("normal", "normal", init.rule_normal),
    Arm("default", "default", init.torch_linear, bias=init.torch_linear_bias),
    Arm("zeros", "zeros", init.zeros),
    Arm("wide", "wide", init.uniform),
]
SETTINGS = Settings(sizes=(784, 32, 16, 10), epochs=1)


def same(a: Run, b: Run) -> bool:
    return (
        (a.arm, a.seed, a.validation_accuracy, a.validation_loss)
        == (b.arm, b.seed, b.validation_accuracy, b.validation_loss)
    ) and np.array_equal(a.training_loss, b.training_loss)


def test_results_do_not_depend_on_the_number_of_jobs_nor_on_the_other_arms(dataset):
    one = compare(ARMS, dataset, SETTINGS, seeds=[0, 1], jobs=1)
    four = compare(ARMS, dataset, SETTINGS, seeds=[0, 1], jobs=4)
    assert [(run.seed, run.arm) for run in one] == [(s, arm.key) for s in (0, 1) for arm in ARMS]
    assert all(same(a, b) for a, b in zip(one, four, strict=True))
    [alone] = compare(ARMS[4:], dataset, SETTINGS, seeds=[1])
    assert same(alone, one[-1])


def test_a_stack_over_arms_and_seeds_equals_the_separate_runs(dataset):
    images, labels = dataset.images[:1000], dataset.labels[:1000]
    together = train_stack(ARMS, [3, 5], images, labels, SETTINGS)
    separate = [run for arm in ARMS for seed in (3, 5) for run in train_stack([arm], [seed], images, labels, SETTINGS)]
    assert all(same(a, b) for a, b in zip(together, separate, strict=True))


def test_arms_of_one_seed_start_from_the_same_random_numbers():
    rule, centered = (
        initialized(Arm("", "", scheme), 7, SETTINGS).theta
        for scheme in (init.rule_uniform, lambda shape, *, rng: init.uniform(shape, rng=rng, low=-0.5, high=0.5))
    )
    first = 784 * 32
    np.testing.assert_allclose(centered[:first] / 0.5, rule[:first] * math.sqrt(784), atol=1e-6)


def test_streams_differ_by_seed_and_purpose_and_repeat():
    draws = {(s, p): stream(s, p).random() for s in (0, 1) for p in ("split", "weights", "order", "dropout")}
    assert len(set(draws.values())) == 8
    assert stream(1, "order").random() == draws[1, "order"]


def test_a_diverged_run_is_a_result(dataset):
    explode = Arm("explode", "explode", init.normal)
    settings = Settings(sizes=(784, 32, 16, 10), epochs=1, learning_rate=1e38)
    [run] = train_stack([explode], [0], dataset.images[:500], dataset.labels[:500], settings)
    assert run.diverged
    assert 0 <= run.validation_accuracy <= 1


def test_steps_counts_the_short_last_batch():
    assert Settings().steps(60_000) == 2 * 480
    assert Settings(epochs=1, batch_size=7).steps(10) == 2


def test_by_arm_keeps_the_order_of_the_seeds():
    runs = [Run(arm, seed, np.zeros(1), 0.0, 0.0) for seed in (2, 0, 1) for arm in "ba"]
    assert [run.seed for run in by_arm(runs)["a"]] == [0, 1, 2]


def test_two_arms_of_one_key_are_refused(dataset):
    with pytest.raises(ValueError, match="a key of its own"):
        compare([ARMS[0], ARMS[0]], dataset, SETTINGS, seeds=[0])


def test_a_stack_on_a_gpu_is_as_large_as_memory_allows_and_never_empty():
    """(seeds, arms) at once, for networks of 10 bytes and a GPU of which four fifths may be used."""
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=1000) == (8, 4)
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=300) == (6, 4)
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=40) == (1, 3)
    assert stack_sizes(arms=4, seeds=8, bytes_each=10, free=0) == (1, 1)


def test_a_network_takes_at_least_its_parameters_gradient_and_adams_sums():
    assert bytes_of_a_network(Settings()) >= 4 * 4 * 235_146


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
def test_a_killed_worker_ends_the_comparison_cleanly(dataset):
    """The kernel's out-of-memory killer does that: what was finished is kept, and nobody waits for ever."""

    def kill_a_worker():
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            for pid in set(children()) - before:
                if b"spawn_main" in command_line(pid):
                    time.sleep(1)
                    os.kill(pid, signal.SIGKILL)
                    return
            time.sleep(0.05)

    before = set(children())
    killer = threading.Thread(target=kill_a_worker)
    killer.start()
    with pytest.raises(Unfinished, match="a worker process died") as stopped:
        compare(ARMS, dataset, Settings(epochs=2000), seeds=[0, 1], jobs=2)
    killer.join()
    assert not stopped.value.interrupted
    assert stopped.value.runs == []


def test_an_initialization_that_fails_in_a_worker_keeps_what_was_finished(dataset):
    settings = Settings(sizes=(784, 15, 10), epochs=1)  # 15 units make no pairs
    with pytest.raises(Unfinished, match="pairs hidden units") as stopped:
        compare([*ARMS[:4], named("antisymmetric")], dataset, settings, seeds=[0], jobs=1)
    assert {run.arm for run in stopped.value.runs} == {arm.key for arm in ARMS[:4]}


def test_no_epochs_leave_no_losses(dataset):
    [run] = train_stack(ARMS[:1], [0], dataset.images[:200], dataset.labels[:200], Settings(epochs=0))
    assert run.training_loss.shape == (0,)
    assert not run.diverged
