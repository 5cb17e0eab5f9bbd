"""results.json: every number that the tables and figures show, and what is needed to repeat the run."""

from __future__ import annotations

import hashlib
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from scratchnet.data import Dataset
from scratchnet.files import replacing
from scratchnet.lab.experiment import Run, Settings
from scratchnet.lab.intervals import Verdict
from scratchnet.lab.keys import environment, part_files
from scratchnet.lab.parts import describe
from scratchnet.lab.rates import Choice
from scratchnet.report.tables import Comparison, Pair, verdicts


def results(
    comparisons: Sequence[Comparison],
    runs: Mapping[str, Sequence[Run]],
    dataset: Dataset,
    settings: Settings,
    judgement: Mapping[Pair, Verdict],
    *,
    quick: bool = False,
    complete: bool = True,
    command: Sequence[str] = (),
    choice: Choice | None = None,
) -> dict[str, Any]:
    """Everything that the tables and figures show, ready for JSON: NaN and infinity are None.

    Accuracies are shares from 0 to 1, and the differences in verdicts are percentage points. Each list with a value
    for each seed is in the order of `settings.seeds`; the recording of the first one alone has the histograms.
    `folder`, `command`, `files` with their digests, `dataset` and `environment` are what repeats the run. `choice`:
    where the learning rates of the arms were chosen.
    """
    held_out = round(len(dataset.images) * settings.validation)
    return {
        "complete": complete,
        "quick": quick,
        "command": list(command),
        "folder": os.getcwd(),
        "files": part_files([settings, [comparison.arms for comparison in comparisons]]),
        "dataset": {
            "name": dataset.name,
            "sha256": dataset.sha256,
            "stand_in": dataset.stand_in,
            "train": len(dataset.images) - held_out,
            "validation": held_out,
        },
        "settings": {
            **told(settings),
            "learning_rate": None if choice else settings.learning_rate,
            "seeds": sorted({run.seed for some in runs.values() for run in some}),
        },
        "learning_rates": choice and _choice(choice),
        "environment": environment(),
        "comparisons": [
            {
                "key": comparison.key,
                "title": comparison.title,
                "arms": [
                    {
                        "key": arm.key,
                        "label": arm.label,
                        "validation_accuracy": [run.validation_accuracy for run in runs[arm.key]],
                        "validation_loss": [_number(run.validation_loss) for run in runs[arm.key]],
                        "training_loss": [[_number(x) for x in run.training_loss] for run in runs[arm.key]],
                        "sha256": [digest(run) for run in runs[arm.key]],
                        "diverged": [run.diverged for run in runs[arm.key]],
                        "recording": [_plain(run.recording, i == 0) for i, run in enumerate(runs[arm.key])],
                    }
                    for arm in comparison.arms
                ],
                "verdicts": verdicts(comparison, judgement),
            }
            for comparison in comparisons
        ],
        "verdicts": [
            {
                "arms": list(pair),
                "points": _number(verdict.difference.mean),
                "low": _number(verdict.difference.low),
                "high": _number(verdict.difference.high),
                "level": _number(verdict.level),
                "p": _number(verdict.p),
                "established": verdict.established,
            }
            for pair, verdict in judgement.items()
        ],
    }


def told(settings: Settings) -> dict[str, Any]:
    """The settings in the words of the command line, but for the learning rate."""
    return {
        "sizes": list(settings.sizes),
        "network": describe(settings.build),
        "activation": describe(settings.activation),
        "normalization": settings.normalization and describe(settings.normalization),
        "dropout": settings.dropout,
        "optimizer": describe(settings.optimizer),
        "batch_size": settings.batch_size,
        "epochs": settings.epochs,
        "dtype": settings.dtype,
        "device": settings.device,
        "validation": settings.validation,
    }


def digest(run: Run) -> str:
    """The SHA-256 digest of a run's losses and its accuracy: equal runs have equal digests, to the last bit."""
    ends = np.array([run.validation_loss, run.validation_accuracy])
    return hashlib.sha256(run.training_loss.tobytes() + ends.tobytes()).hexdigest()


def _choice(choice: Choice) -> dict[str, Any]:
    """For each arm, the accuracy of each seed with each rate, on the images for choosing; None where it diverged."""
    return {
        "tried": list(choice.rates),
        "seeds": list(choice.seeds),
        "arms": {
            key: {
                "chosen": list(choice.best(key).values()),
                "accuracy": [[_number(x) for x in row] for row in accuracy],
            }
            for key, accuracy in choice.accuracy.items()
        },
    }


def _plain(recording: Mapping[str, np.ndarray], histograms: bool = True) -> dict[str, Any]:
    """For each quantity a list of looks, each a list with a number for each Linear layer; see `Recording.of`."""
    return {
        name: _nested(A)
        for name, A in recording.items()
        if histograms or name.removesuffix("_range") not in ("y", "log_dY")
    }


def _nested(A: np.ndarray) -> list[Any]:
    if A.ndim > 1:
        return [_nested(part) for part in A]
    return A.tolist() if A.dtype.kind in "iu" else [_number(x) for x in A]


def _number(x: float) -> float | None:
    """`x` with the seven digits that a float32 has; None where it is no number."""
    return float(f"{x:.7g}") if math.isfinite(x) else None


def write_json(path: str | os.PathLike[str], content: Any) -> None:
    """Write `content` as JSON, whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(content, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
