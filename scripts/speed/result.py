"""The result: what benchmark.json holds, and what the table and the figure show."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.lab.executors import STACK
from scratchnet.lab.processes import cores
from scratchnet.report.results import environment
from speed.agreement import LAST, TOLERANCE
from speed.contest import Contest
from speed.machine import import_times, processor

IMPORTS, IMPORTS_QUICK = 7, 3  # processes that time an import


def result(contest: Contest) -> dict[str, Any]:
    clock, settings = contest.clock, contest.settings
    passes = contest.networks * settings.epochs
    inside = np.array(clock.seconds["scratchnet"]) - np.array(clock.seconds["scratchnet_start"])
    imports = import_times(IMPORTS_QUICK if contest.quick else IMPORTS)
    return {
        "speedup_over": {
            "pytorch_eager": float(np.median(clock.over("pytorch_eager", "scratchnet"))),
            "pytorch_best": float(np.median(clock.over(contest.best.key, "scratchnet"))),
        },
        "time_over_floor": float(np.median(clock.over("scratchnet", "floor"))),
        "pytorch_best": contest.best.key,
        "contestants": contestants(contest),
        "skipped": contest.skipped,
        "scratchnet_start_seconds": clock.seconds["scratchnet_start"],
        "scratchnet_without_start_per_network_epoch": spread(inside / passes),
        "agreement": {"last_batches": LAST, "tolerance": TOLERANCE},
        "parts_seconds_per_network_epoch": contest.parts,
        "load_average": contest.loads,
        "peak_memory_bytes": contest.memory,
        "import_seconds": imports,
        "import_over_numpy": float(np.median(imports["scratchnet"]) / np.median(imports["numpy"])),
        "dataset": {
            "name": contest.dataset.name,
            "title": contest.dataset.title,
            "stand_in": contest.dataset.stand_in,
        },
        "settings": {
            "arms": [arm.key for arm in contest.arms],
            "seeds": len(contest.seeds),
            "networks": contest.networks,
            "epochs": settings.epochs,
            "repeats": contest.rounds,
            "quick": contest.quick,
            "images": len(contest.dataset.images),
            "steps": contest.steps,
            "sizes": list(settings.sizes),
            "batch_size": settings.batch_size,
            "dropout": settings.dropout,
            "learning_rate": settings.learning_rate,
            "device": settings.device,
            "stack": STACK,
        },
        "environment": environment() | {"processor": processor(), "cores": str(cores()), "pytorch": contest.pytorch},
    }


def contestants(contest: Contest) -> list[dict[str, Any]]:
    """Everyone's times, in the order of the table's rows."""
    floor = "the floor: matrix products alone" + ("" if contest.on_cpu else ", and Adam's bytes")
    everyone = [("floor", floor, contest.processes), ("scratchnet", "scratchnet", contest.processes)]
    everyone += [(v.key, f"PyTorch, {v.label}", contest.team(v).processes) for v in contest.taking_part()]
    rows = []
    for key, label, processes in everyone:
        seconds = np.array(contest.clock.seconds[key])
        rows.append(
            {
                "key": key,
                "label": label,
                "processes": processes,
                "seconds": contest.clock.seconds[key],
                "seconds_per_network_epoch": spread(seconds / (contest.networks * contest.settings.epochs)),
                "networks_per_second": spread(contest.networks / seconds),
                "over_floor": spread(contest.clock.over(key, "floor")),
                "over_scratchnet": spread(contest.clock.over(key, "scratchnet")),
                "last_training_loss": contest.last.get(key),
                "loss_apart_from_scratchnet": contest.apart.get(key),
            }
        )
    return rows


def spread(values: Any) -> dict[str, float]:
    return {"median": float(np.median(values)), "lowest": float(np.min(values)), "highest": float(np.max(values))}
