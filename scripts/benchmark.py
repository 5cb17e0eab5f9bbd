"""How fast is it? scratchnet, PyTorch and the bare matrix products train the same networks, in turns.

    python scripts/benchmark.py                   8 networks, 1 epoch, 5 rounds: some five minutes on two cores
    python scripts/benchmark.py --quick           a look in half a minute, at a tenth of the data

Every contestant trains the lesson's network (784-256-128-10, ReLU, dropout, Adam) from the same initial weights on
the same batches, keeps every loss, and validates. Prints a table; writes benchmark.json and benchmark.png. Needs
PyTorch: pip install -e ".[test]".

What is timed. scratchnet: `experiment.compare`, as compare.py calls it, from the call to the result, the start of its
worker processes and the hand-over of the images included. PyTorch: processes that have been started, have the images
and have compiled what there is to compile, which is PyTorch's advantage. The floor: the products of the training
steps alone, 3 forward, 3 for dW, 2 for dX, into arrays that are there already, in as many processes as scratchnet has.
The contestants take turns, so that a disturbance of the machine hits all of them; a ratio is taken within a round, and
the median over the rounds is reported.
"""

from __future__ import annotations

import argparse
import dataclasses
import io
import math
import multiprocessing
import os
import platform
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack, redirect_stderr
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from pytorch_training import (
    ON_CPU,
    ON_CUDA,
    Team,
    Variant,
    keep,
    kept,
    started,
)

from scratchnet import init
from scratchnet.backend import DeviceError, resolve
from scratchnet.data import DATASETS, Dataset, load, split
from scratchnet.data.fashion_mnist import FashionMNISTUnavailable
from scratchnet.files import must_be_writable, set_aside
from scratchnet.lab.experiment import (
    STACK,
    Arm,
    Run,
    Settings,
    Unfinished,
    compare,
    cores,
    stream,
    workers_with_one_thread,
)
from scratchnet.loss import CrossEntropy
from scratchnet.network import mlp
from scratchnet.optim import Adam
from scratchnet.report.results import environment, write_json
from scratchnet.train import batches

# --- settings -------------------------------------------------------------------------------------------------

QUICK_IMAGES = 6_000
LAST = 50  # a single batch's loss is noise: programs are compared by the mean over so many
TOLERANCE = 0.03  # by which the mean loss of PyTorch's networks may differ, as a share: 0.08 without dropout
IMPORTS = 7  # processes that time an import


SCHEMES = (init.rule_uniform, init.rule_normal, init.torch_linear)


def numbered(shape: tuple[int, ...], *, rng: np.random.Generator, scheme: init.Scheme, number: int) -> np.ndarray:
    """`scheme` with random numbers of its own for each `number`."""
    return scheme(shape, rng=np.random.default_rng([number, int(rng.integers(1 << 32))]))


def chosen_arms(count: int) -> list[Arm]:
    """Draws of the general rule, uniform and normal, and of PyTorch's default in turn: all of them train normally."""
    made = []
    for i in range(count):
        scheme, number = SCHEMES[i % len(SCHEMES)], i // len(SCHEMES)
        key = f"{scheme.__name__}_{number}"
        bias = init.torch_linear_bias if scheme is init.torch_linear else None
        made.append(Arm(key, key, partial(numbered, scheme=scheme, number=number), bias))
    return made


def arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="default cpu")
    parser.add_argument("--arms", type=_whole, default=8, metavar="N", help="initializations (default 8)")
    parser.add_argument("--seeds", type=_whole, default=1, metavar="N", help="seeds of each (default 1)")
    parser.add_argument("--epochs", type=_whole, default=1, metavar="N", help="passes over the data (default 1)")
    parser.add_argument("--repeats", type=_whole, metavar="N", help="rounds that are timed (default 5)")
    parser.add_argument(
        "--dataset", choices=DATASETS, default="auto", help="auto: Fashion-MNIST, else the stand-in (default)"
    )
    parser.add_argument("--data-dir", type=Path, help="folder of the four Fashion-MNIST files")
    parser.add_argument(
        "--out", type=Path, default=Path("results"), help="folder for benchmark.json and .png (default results)"
    )
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_IMAGES:,} images, 2 rounds, nothing compiled: a look"
    )
    args = parser.parse_args(argv)
    args.repeats = args.repeats or (2 if args.quick else 5)
    return args


def _whole(text: str) -> int:
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text!r} came, and a whole number of at least 1 is wanted")
    return value


# --- the floor, and where scratchnet's time goes --------------------------------------------------------------


def products(steps: int, settings: Settings, warming_up: bool = False) -> float:
    """Seconds for the matrix products of `steps` steps of one network, one after another, into arrays at hand."""
    rng = np.random.default_rng(0)
    n, pairs = settings.batch_size, list(zip(settings.sizes[:-1], settings.sizes[1:], strict=True))

    def some(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    X, dY = [some(n, n_in) for n_in, _ in pairs], [some(n, n_out) for _, n_out in pairs]
    W, dW = [some(*pair) for pair in pairs], [some(*pair) for pair in pairs]
    Y, dX = [some(n, n_out) for _, n_out in pairs], [some(n, n_in) for n_in, _ in pairs]

    if warming_up:
        kept["barrier"].wait(600)  # so that each process has its turn
    start = time.perf_counter()
    for _ in range(steps):
        for i in range(len(pairs)):
            np.matmul(X[i], W[i], out=Y[i])
            np.matmul(X[i].T, dY[i], out=dW[i])
            if i > 0:  # the gradient of the images is not wanted
                np.matmul(dY[i], W[i].T, out=dX[i])
    return time.perf_counter() - start


def floor_on_cpu(pool: ProcessPoolExecutor, processes: int, networks: int, steps: int, settings: Settings) -> float:
    """Seconds for the products of `networks` networks of `steps` steps each, spread evenly over the processes."""
    share = math.ceil(networks * steps / processes)
    futures = [pool.submit(products, share, settings) for _ in range(processes)]
    return max(future.result() for future in futures) * networks * steps / (share * processes)


def floor_on_cuda(networks: int, steps: int, settings: Settings) -> float:
    """Seconds for the products of all networks as batched products, and for the bytes that Adam must move.

    Adam reads θ, g, m and v and writes θ, m and v: 28 bytes a parameter and step, at the speed of a plain copy.
    Never run so far: no GPU was at hand.
    """
    import cupy

    n, pairs = settings.batch_size, list(zip(settings.sizes[:-1], settings.sizes[1:], strict=True))

    def some(*shape: int) -> Any:
        return cupy.random.standard_normal((networks, *shape), dtype=cupy.float32)

    X, dY = [some(n, n_in) for n_in, _ in pairs], [some(n, n_out) for _, n_out in pairs]
    W, dW = [some(*pair) for pair in pairs], [some(*pair) for pair in pairs]
    Y, dX = [some(n, n_out) for _, n_out in pairs], [some(n, n_in) for n_in, _ in pairs]
    long = cupy.zeros(1 << 28, dtype=cupy.float32)  # a gibibyte: no cache holds it
    copy = cupy.empty_like(long)

    def seconds(work: Callable[[], Any], times: int) -> float:
        work()
        cupy.cuda.Device().synchronize()
        start = time.perf_counter()
        for _ in range(times):
            work()
        cupy.cuda.Device().synchronize()
        return time.perf_counter() - start

    def step() -> None:
        for i in range(len(pairs)):
            cupy.matmul(X[i], W[i], out=Y[i])
            cupy.matmul(X[i].swapaxes(-1, -2), dY[i], out=dW[i])
            if i > 0:
                cupy.matmul(dY[i], W[i].swapaxes(-1, -2), out=dX[i])

    bytes_a_second = 2 * long.nbytes * 10 / seconds(lambda: cupy.copyto(copy, long), 10)
    parameters = sum((n_in + 1) * n_out for n_in, n_out in pairs)
    return seconds(step, steps) + 28 * parameters * networks * steps / bytes_a_second


def time_by_part(arms: Sequence[Arm], dataset: Dataset, settings: Settings) -> dict[str, float]:
    """Seconds an epoch and network, for each part of a step: `train.fit`'s loop with a watch around every call.

    Runs in a process with one BLAS thread, on a stack of `experiment.STACK` networks.
    """
    training, _ = split(len(dataset.images), rng=stream(0, "split"), validation=settings.validation)
    network = mlp(settings.sizes, dropout=settings.dropout, rng=stream(0, "dropout"), replicas=(len(arms),))
    for a, arm in enumerate(arms):
        network.theta[a] = started(arm, 0, settings).theta
    adam, loss, order = Adam(network.theta, network.grad), CrossEntropy(), stream(0, "order")
    spent = dict.fromkeys(("gather", "forward", "masks", "loss", "backward", "Adam"), 0.0)

    def timed(part: str, work: Callable[..., Any]) -> Callable[..., Any]:
        def wrapped(*given: Any, **named: Any) -> Any:
            start = time.perf_counter()
            result = work(*given, **named)
            spent[part] += time.perf_counter() - start
            return result

        return wrapped

    for layer in network.layers:
        if hasattr(layer, "draw_mask"):
            layer.draw_mask = timed("masks", layer.draw_mask)
    gather = timed("gather", lambda rows: (dataset.images[rows], dataset.labels[rows]))
    forward, backward = timed("forward", network.forward), timed("backward", network.backward)
    loss_forward, loss_backward = timed("loss", loss.forward), timed("loss", loss.backward)
    step = timed("Adam", adam.step)
    start = time.perf_counter()
    for rows in batches(training, settings.batch_size, rng=order):
        X, y = gather(rows)
        loss_forward(forward(X, train=True), y)
        backward(loss_backward(), need_dX=False)
        step()
    spent["rest"] = time.perf_counter() - start - sum(spent.values()) + spent["masks"]
    spent["forward"] -= spent["masks"]  # they are drawn in it
    steps = math.ceil(len(training) / settings.batch_size)
    return {part: value / len(arms) for part, value in spent.items()} | {"products alone": products(steps, settings)}


# --- memory and import ----------------------------------------------------------------------------------------


def family(ancestor: int) -> list[int]:
    """The process `ancestor` and all that descend from it."""
    parents = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parents[int(path.parent.name)] = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError, IndexError):
            continue  # it has ended meanwhile
    members = [ancestor]
    for member in members:
        members += [process for process, parent in parents.items() if parent == member]
    return members


def proportional_set_size(processes: Sequence[int]) -> int:
    """Bytes of memory that the processes hold together: what several share counts once."""
    total = 0
    for process in processes:
        try:
            lines = Path(f"/proc/{process}/smaps_rollup").read_text().splitlines()
        except OSError:
            continue
        total += sum(int(line.split()[1]) * 1024 for line in lines if line.startswith("Pss:"))
    return total


def peak_memory(work: Callable[[], Any], *, myself: bool) -> int | None:
    """The most memory held while `work` runs, in bytes, by this process (if `myself`) and those it has started.

    Looked up every 50 ms. None where the system does not tell (it takes Linux's /proc).
    """
    if not Path("/proc/self/smaps_rollup").exists():
        work()
        return None
    peak, done = 0, threading.Event()

    def watch() -> None:
        nonlocal peak
        while not done.wait(0.05):
            members = family(os.getpid())
            peak = max(peak, proportional_set_size(members if myself else members[1:]))

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    try:
        work()
    finally:
        done.set()
        watcher.join()
    return peak


def import_times(times: int) -> dict[str, list[float]]:
    """Seconds of `import numpy` and of `import scratchnet`, NumPy's included, in new processes that take turns."""
    seconds: dict[str, list[float]] = {"numpy": [], "scratchnet": []}
    for again in range(times + 1):
        for name, values in seconds.items():
            code = f"from time import perf_counter as now; start = now(); import {name}; print(now() - start)"
            done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
            if again > 0:  # the first one fills the disk's cache
                values.append(float(done.stdout))
    return seconds


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


# --- one call -------------------------------------------------------------------------------------------------


class Wrong(Exception):
    """A contestant did not do the work that it was timed for."""


def last_losses(runs: Sequence[Run]) -> dict[str, float]:
    """Mean training loss over the last batches, for each network."""
    return {f"{run.arm}/{run.seed}": float(run.training_loss[-LAST:].mean()) for run in runs}


def check(label: str, theirs: Sequence[Run], ours: Sequence[Run]) -> float:
    """How far the mean last loss of `theirs` is from that of `ours`, as a share; Wrong beyond TOLERANCE."""
    a, b = last_losses(theirs), last_losses(ours)
    if a.keys() != b.keys():
        raise Wrong(f"{label} trained {len(a)} networks, and scratchnet {len(b)}: the times mean nothing")
    if {len(run.training_loss) for run in theirs} != {len(run.training_loss) for run in ours}:
        raise Wrong(f"{label} made another number of steps than scratchnet: the times mean nothing")
    apart = float(np.mean(list(a.values())) / np.mean(list(b.values())) - 1)
    if not abs(apart) <= TOLERANCE:  # NaN is not
        raise Wrong(
            f"{label} ends with a training loss of {np.mean(list(a.values())):.4f} and scratchnet with "
            f"{np.mean(list(b.values())):.4f}, more than {TOLERANCE:.0%} apart: "
            "one of them is broken, the times mean nothing"
        )
    return apart


def main(argv: list[str] | None = None) -> int:
    args = arguments(argv)
    try:
        must_be_writable(args.out)
        if subprocess.run([sys.executable, "-c", "import torch"], capture_output=True).returncode:
            print('benchmark.py: PyTorch cannot be imported: python -m pip install -e ".[test]"', file=sys.stderr)
            return 1
        device = resolve(args.device)
        dataset = load(args.dataset, args.data_dir)
        if args.quick:
            dataset = dataclasses.replace(
                dataset, images=dataset.images[:QUICK_IMAGES], labels=dataset.labels[:QUICK_IMAGES]
            )
        result = measure(dataset, Settings(epochs=args.epochs, device=device), args)
    except (FashionMNISTUnavailable, DeviceError, Wrong, OSError, MemoryError) as error:
        print(f"benchmark.py: {error}", file=sys.stderr)
        return 1
    except (BrokenProcessPool, Unfinished) as error:
        print(f"benchmark.py: a worker process died ({error}); perhaps for want of memory", file=sys.stderr)
        return 130 if isinstance(error, Unfinished) and error.interrupted else 1
    except KeyboardInterrupt:
        print("benchmark.py: interrupted, nothing was written", file=sys.stderr)
        return 130
    print(table(result))
    if aside := set_aside(args.out, ["benchmark.json", "benchmark.png"]):
        print(f"benchmark.py: an earlier run's files are now in {aside}", file=sys.stderr)
    write_json(args.out / "benchmark.json", result)
    draw(result, args.out / "benchmark.png")
    print(f"\nbenchmark.json and benchmark.png are in {args.out}{'/'}")
    return 0


def measure(dataset: Dataset, settings: Settings, args: argparse.Namespace) -> dict[str, Any]:
    """Everything that benchmark.json holds."""
    from tqdm import tqdm

    arms, seeds = chosen_arms(args.arms), range(args.seeds)
    networks, steps = args.arms * args.seeds, settings.steps(len(dataset.images))
    on_cpu = settings.device == "cpu"
    variants = ON_CPU if on_cpu else ON_CUDA
    processes = min(cores(), args.seeds * math.ceil(args.arms / STACK)) if on_cpu else 1

    def ours(dataset: Dataset = dataset) -> list[Run]:
        with redirect_stderr(io.StringIO()):  # one progress bar is enough
            return compare(arms, dataset, settings, seeds=seeds)

    few = dataclasses.replace(dataset, images=dataset.images[:500], labels=dataset.labels[:500])
    memory: dict[str, int | None] = {}
    skipped = {v.key: "--quick compiles nothing" for v in variants if v.compiled and args.quick}
    seconds: dict[str, list[float]] = {}
    apart: dict[str, list[float]] = {}
    last: dict[str, dict[str, float]] = {}
    loads: list[float] = []  # other people's work slows everyone, and programs with several threads most of all
    pytorch = ""

    with ExitStack() as open_things, tqdm(disable=None, unit="run") as bar:

        def turn(key: str, label: str, work: Callable[[], Any]) -> Any:
            bar.set_description(label)
            start = time.perf_counter()
            result = work()
            seconds.setdefault(key, []).append(time.perf_counter() - start)
            bar.update()
            return result

        bar.total = (args.repeats + 1) * (len(variants) - len(skipped) + 3) - 1
        bar.set_description("warming up")
        memory["scratchnet"] = peak_memory(ours, myself=True)  # also its warm-up
        bar.update()

        folder = Path(open_things.enter_context(tempfile.TemporaryDirectory(prefix="scratchnet-benchmark-")))
        np.save(folder / "images.npy", dataset.images)
        np.save(folder / "labels.npy", dataset.labels)
        context = multiprocessing.get_context("spawn")
        given = (folder, settings.device, 1, context.Barrier(processes))
        bare = open_things.enter_context(ProcessPoolExecutor(processes, context, keep, given))
        with workers_with_one_thread():
            for future in [bare.submit(products, 10, settings, warming_up=True) for _ in range(processes)]:
                future.result()
        bar.update()

        teams = {}
        for alone in (True, False):
            if on_cpu or alone:
                team = Team(1 if alone else cores(), None if alone else 1, folder, settings.device)
                open_things.callback(team.close)
                teams[not alone] = team
        for variant in variants:
            if variant.key not in skipped:
                bar.set_description(f"warming up: PyTorch, {variant.label}")
                try:
                    version = teams[variant.processes].warm_up(variant, arms, dataclasses.replace(settings, epochs=1))
                    pytorch = pytorch or version
                except BrokenProcessPool:
                    raise
                except Exception as error:  # torch.compile without a C++ compiler, a GPU without memory, …
                    if variant.kind == "learner":
                        raise Wrong(f"PyTorch does not work here: {error}") from error
                    skipped[variant.key] = f"{type(error).__name__}: {str(error).strip().splitlines()[0]}"
                bar.update()

        for _ in range(args.repeats):
            loads += [os.getloadavg()[0]] if hasattr(os, "getloadavg") else []
            reference = turn("scratchnet", "scratchnet", ours)
            last["scratchnet"] = last_losses(reference)
            turn("scratchnet_start", "scratchnet, start", lambda: ours(few))
            for variant in variants:
                if variant.key not in skipped:
                    train = partial(teams[variant.processes].train, variant, arms, seeds, settings)
                    runs = turn(variant.key, f"PyTorch, {variant.label}", train)
                    apart.setdefault(variant.key, []).append(check(f"PyTorch, {variant.label},", runs, reference))
                    last[variant.key] = last_losses(runs)
            if on_cpu:
                scaled = floor_on_cpu(bare, processes, networks, steps, settings)
                turn("floor", "floor", lambda: None)
                seconds["floor"][-1] = scaled
            else:
                turn("floor", "floor", lambda: None)
                seconds["floor"][-1] = floor_on_cuda(networks, steps, settings)

        timed = [v for v in variants if v.key in seconds]
        best = min(timed, key=lambda v: float(np.median(seconds[v.key])))
        bar.set_description("where the time goes")
        parts = bare.submit(time_by_part, arms[:STACK], dataset, settings).result() if on_cpu else None

        bare.shutdown()
        for team in teams.values():
            team.close()
        bar.set_description("memory")
        for name, variant in {"pytorch_eager": variants[0], "pytorch_best": best}.items():
            # new processes, that have done nothing else
            team = Team(teams[variant.processes].processes, teams[variant.processes].threads, folder, settings.device)
            open_things.callback(team.close)

            def work(team: Team = team, variant: Variant = variant) -> None:
                team.warm_up(variant, arms, settings)
                team.train(variant, arms, seeds, settings)

            memory[name] = peak_memory(work, myself=False)
            team.close()

    bar.close()
    imports = import_times(3 if args.quick else IMPORTS)

    def ratio(numerator: str, denominator: str) -> list[float]:
        return [a / b for a, b in zip(seconds[numerator], seconds[denominator], strict=True)]

    contestants = []
    for key, label, processes_used in [
        ("floor", "the floor: matrix products alone" + ("" if on_cpu else ", and Adam's bytes"), processes),
        ("scratchnet", "scratchnet", processes),
        *((v.key, f"PyTorch, {v.label}", teams[v.processes].processes) for v in timed),
    ]:
        each = np.array(seconds[key]) / (networks * settings.epochs)
        contestants.append(
            {
                "key": key,
                "label": label,
                "processes": processes_used,
                "seconds": seconds[key],
                "seconds_per_network_epoch": spread(each),
                "networks_per_second": spread(networks / np.array(seconds[key])),
                "over_floor": spread(ratio(key, "floor")),
                "over_scratchnet": spread(ratio(key, "scratchnet")),
                "last_training_loss": last.get(key),
                "loss_apart_from_scratchnet": apart.get(key),
            }
        )
    inside = (np.array(seconds["scratchnet"]) - np.array(seconds["scratchnet_start"])) / (networks * settings.epochs)
    return {
        "speedup_over": {
            "pytorch_eager": float(np.median(ratio("pytorch_eager", "scratchnet"))),
            "pytorch_best": float(np.median(ratio(best.key, "scratchnet"))),
        },
        "time_over_floor": float(np.median(ratio("scratchnet", "floor"))),
        "pytorch_best": best.key,
        "contestants": contestants,
        "skipped": skipped,
        "scratchnet_start_seconds": seconds["scratchnet_start"],
        "scratchnet_without_start_per_network_epoch": spread(inside),
        "agreement": {"last_batches": LAST, "tolerance": TOLERANCE},
        "parts_seconds_per_network_epoch": parts,
        "load_average": loads,
        "peak_memory_bytes": memory,
        "import_seconds": imports,
        "import_over_numpy": float(np.median(imports["scratchnet"]) / np.median(imports["numpy"])),
        "dataset": {"name": dataset.name, "title": dataset.title, "stand_in": dataset.stand_in},
        "settings": {
            "arms": [arm.key for arm in arms],
            "seeds": args.seeds,
            "networks": networks,
            "epochs": settings.epochs,
            "repeats": args.repeats,
            "quick": args.quick,
            "images": len(dataset.images),
            "steps": steps,
            "sizes": list(settings.sizes),
            "batch_size": settings.batch_size,
            "dropout": settings.dropout,
            "learning_rate": settings.learning_rate,
            "device": settings.device,
            "stack": STACK,
        },
        "environment": environment() | {"processor": processor(), "cores": str(cores()), "pytorch": pytorch},
    }


def spread(values: Any) -> dict[str, float]:
    return {"median": float(np.median(values)), "lowest": float(np.min(values)), "highest": float(np.max(values))}


# --- a table --------------------------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> str:
    given, env = result["settings"], result["environment"]
    images = given["images"] - round(given["images"] * Settings().validation)
    text = [
        f"{result['dataset']['title']}: {given['networks']} networks, {given['epochs']} × {images:,} images, "
        f"{given['repeats']} rounds{', a quick look' if given['quick'] else ''};",
        f"{env['processor']}, {env['cores']} cores, {given['device']};",
        f"NumPy {env['numpy']} with {env['blas']}, PyTorch {env['pytorch']}.",
        "",
        f"{'':46}{'seconds an epoch and network':30}{'networks':>10}{'over the':>10}{'over':>13}",
        f"{'':46}{'median (lowest to highest)':30}{'a second':>10}{'floor':>10}{'scratchnet':>13}",
    ]
    for one in result["contestants"]:
        each = one["seconds_per_network_epoch"]
        cells = f"{each['median']:.3f} ({each['lowest']:.3f} to {each['highest']:.3f})"
        best = " *" if one["key"] == result["pytorch_best"] else ""
        text.append(
            f"{one['label'] + best:46}{cells:30}{one['networks_per_second']['median']:10.2f}"
            f"{one['over_floor']['median']:10.2f}{one['over_scratchnet']['median']:13.2f}"
        )
    text += [f"{key}: skipped ({why})" for key, why in result["skipped"].items()]
    without = result["scratchnet_without_start_per_network_epoch"]["median"]
    text += [
        "* PyTorch at its best. Its processes are started, and compiled for, before the watch; scratchnet's are not.",
        f"scratchnet without the start of its processes ({np.median(result['scratchnet_start_seconds']):.2f} s): "
        f"{without:.3f} seconds an epoch and network",
        "",
        f"scratchnet is {result['speedup_over']['pytorch_eager']:.2f} times as fast as PyTorch as a learner writes it, "
        f"{result['speedup_over']['pytorch_best']:.2f} times as fast as PyTorch at its best,",
        f"and takes {result['time_over_floor']:.2f} times as long as its matrix products alone.",
    ]
    if parts := result["parts_seconds_per_network_epoch"]:
        shares = {part: value for part, value in parts.items() if part != "products alone"}
        total = sum(shares.values())
        listed = ", ".join(f"{part} {value / total:.0%}" for part, value in shares.items())
        text.append(
            f"One process, one thread, a stack of {min(given['stack'], len(given['arms']))}: {listed}; "
            f"the products alone are {parts['products alone'] / total:.0%}."
        )
    names = {
        "scratchnet": "scratchnet",
        "pytorch_eager": "PyTorch as a learner writes it",
        "pytorch_best": "at its best",
    }
    if all(result["peak_memory_bytes"].values()):
        held = ", ".join(f"{names[key]} {value / 1e6:,.0f} MB" for key, value in result["peak_memory_bytes"].items())
        text.append(f"Most memory held, all processes together, shared pages once: {held}.")
    text.append(
        f"import scratchnet takes {result['import_over_numpy']:.2f} times as long as import numpy "
        f"({1000 * np.median(result['import_seconds']['numpy']):.0f} ms)."
    )
    return "\n".join(text)


# --- a figure -------------------------------------------------------------------------------------------------


def draw(result: dict[str, Any], path: Path) -> None:
    """Bars of the time of each contestant, as a multiple of the floor's."""
    from matplotlib.figure import Figure  # only now: nothing above needs it

    from scratchnet.report import plots

    shown, given, env = result["contestants"], result["settings"], result["environment"]
    figure = Figure(figsize=(10, 1.4 + 0.42 * len(shown)), layout="constrained")
    axes = figure.add_subplot()
    for i, one in enumerate(shown):
        over, each = one["over_floor"], one["seconds_per_network_epoch"]["median"]
        if one["key"] == "scratchnet":
            color = plots.COLORS[0]
        elif one["key"] == "floor":
            color = "0.6"
        else:
            color = plots.COLORS[1] if one["key"] == result["pytorch_best"] else plots.COLORS[4]
        axes.barh(i, over["median"], color=color, height=0.7)
        axes.plot([over["lowest"], over["highest"]], [i, i], color="black", linewidth=1.2)
        label = f"{over['median']:.2f} ×   ({each:.3f} s)"
        axes.annotate(label, (over["highest"], i), (6, 0), textcoords="offset points", va="center", fontsize=10)
    best = [" (its best)" if one["key"] == result["pytorch_best"] else "" for one in shown]
    axes.set_yticks(range(len(shown)), [one["label"] + more for one, more in zip(shown, best, strict=True)])
    axes.invert_yaxis()
    axes.set_xlim(0, 1.45 * max(one["over_floor"]["highest"] for one in shown))
    axes.axvline(1, color="0.3", linewidth=0.8, linestyle="--")
    axes.set_xlabel("Time as a multiple of the floor's")
    note = f"In brackets: seconds an epoch of one network. Lines: lowest to highest of {given['repeats']} rounds."
    figure.supxlabel(note, fontsize=9, color="0.4", x=0.99, ha="right")
    axes.spines[["top", "right"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    look = ", a quick look" if given["quick"] else ""
    figure.suptitle(
        f"Training {given['networks']} networks on {result['dataset']['title']}{look}\n"
        f"{env['processor']}, {env['cores']} cores, {given['device']}",
        fontsize=12,
    )
    plots.save(figure, path)


if __name__ == "__main__":
    sys.exit(main())
