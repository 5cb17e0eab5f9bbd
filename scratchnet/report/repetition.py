"""Whether a run can be repeated from its results.json, and whether it came out the same."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from scratchnet.data import Dataset
from scratchnet.lab.experiment import Settings
from scratchnet.lab.keys import differences
from scratchnet.lab.parts import file_digest
from scratchnet.report.results import told

NEEDED = (
    *("command", "folder", "files", "dataset", "settings", "environment", "comparisons", "learning_rates", "complete"),
    "quick",
)

# Percentage points by which the accuracy of a run may differ where versions or kernels do, and the mean over S seeds by
# POINTS/√S: rounding errors grow while a network trains. It is over three times what was measured: docs/your-own.md.
POINTS = 2.0


class CannotRepeat(ValueError):
    """Something that the run depended on is gone or is another now; the message says what."""


def read(path: Path) -> dict[str, Any]:
    """The content of a results.json. Raises CannotRepeat, and OSError where there is none."""
    try:
        found = json.loads(path.read_text("utf-8"))
    except (ValueError, RecursionError):
        raise CannotRepeat(f"{path} is no results.json: it cannot be read as JSON") from None
    if not isinstance(found, dict):
        raise CannotRepeat(f"{path} is no results.json: it holds {type(found).__name__}")
    if missing := [name for name in NEEDED if name not in found]:
        raise CannotRepeat(f"{path} cannot be repeated: it lacks {', '.join(missing)} (an earlier version wrote less)")
    try:
        words = [*found["command"], found["folder"], found["dataset"]["name"], found["dataset"]["sha256"]]
        words += [found["settings"]["device"], *found["files"].values()]
        words += [word for (arm, _), (digest, _) in _runs(found) for word in (arm, digest)]
        numbers = [accuracy for _, (_, accuracy) in _runs(found)]
        rates, mappings = found["learning_rates"] or {}, [found[name] for name in ("files", "settings", "environment")]
        whole = all(isinstance(word, str) for word in words)
        whole &= all(isinstance(x, float) for x in numbers) and all(isinstance(x, dict) for x in [rates, *mappings])
        whole &= all(isinstance(seed, int) for (_, seed), _ in _runs(found)) and isinstance(found["complete"], bool)
    except (TypeError, KeyError, ValueError, AttributeError):
        whole = False
    if not whole:
        raise CannotRepeat(f"{path} is no results.json: something in it is not as compare.py writes it")
    if {"--list", "--help", "-h"} & {*found["command"]}:
        raise CannotRepeat(f"{path} cannot be repeated: its command trains nothing ({' '.join(found['command'])})")
    return found


def check_files(then: Mapping[str, Any]) -> None:
    """Raise CannotRepeat where a FILE.py is gone or has changed."""
    for path, digest in then["files"].items():
        try:
            now = file_digest(path)
        except OSError as error:
            raise CannotRepeat(f"{path} is needed to repeat this run and cannot be read: {error.strerror}") from None
        if now != digest:
            raise CannotRepeat(f"{path} has changed since this run: its SHA-256 was {digest[:12]}…, and is {now[:12]}…")


def check(then: Mapping[str, Any], dataset: Dataset, settings: Settings) -> None:
    """Raise CannotRepeat where the data or the settings, such as defaults of another version, are not those of then."""
    if dataset.sha256 != then["dataset"]["sha256"]:
        raise CannotRepeat(f"the images are others than in this run: their SHA-256 was {then['dataset']['sha256']}")
    now = json.loads(json.dumps(told(settings)))
    if other := [
        f"{name} {then['settings'].get(name)}, now {now[name]}"
        for name in now
        if now[name] != then["settings"].get(name)
    ]:
        raise CannotRepeat(f"the settings came out as others than in this run: {'; '.join(other)}")


def _runs(found: Mapping[str, Any]) -> Iterator[tuple[tuple[str, int], tuple[str, float]]]:
    """((arm, seed), (digest, accuracy in percent)) of each run."""
    for comparison in found["comparisons"]:
        for arm in comparison["arms"]:
            for seed, digest, accuracy in zip(
                found["settings"]["seeds"], arm["sha256"], arm["validation_accuracy"], strict=True
            ):
                yield (arm["key"], seed), (digest, 100 * accuracy)


def compared(then: Mapping[str, Any], now: Mapping[str, Any]) -> tuple[bool, str]:
    """Whether a repeated run came out the same, and a sentence that says how nearly.

    With the same versions and kernels it must be the same to the last bit. Otherwise the accuracy of each run may
    differ by POINTS, and the mean over the seeds of each arm by POINTS/√seeds.
    """
    before, after = dict(_runs(then)), dict(_runs(now))
    both = [run for run in before if run in after]
    if (now["complete"] and len(both) < len(before)) or (then["complete"] and len(both) < len(after)) or not both:
        counts = f"{len(before)} networks were trained then and {len(after)} now, of which {len(both)}"
        return False, f"It did not come out the same: {counts} have the same arm and seed."
    others = [run for run in both if before[run] != after[run]]
    choices = then["learning_rates"] == now["learning_rates"] or not now["complete"] or not then["complete"]
    if not others and choices:
        return True, f"It came out the same, bit for bit: {len(both)} networks."
    change = {run: after[run][1] - before[run][1] for run in both}
    worst = max(both, key=lambda run: abs(change[run]))
    arms = {arm: [change[run] for run in both if run[0] == arm] for arm, _ in both}
    mean = max(abs(sum(some)) / len(some) for some in arms.values())
    most = POINTS / math.sqrt(min(map(len, arms.values())))
    found = (
        f"{len(others)} of {len(both)} networks differ, in accuracy by at most {abs(change[worst]):.2f} points "
        f"({worst[0]} with seed {worst[1]}), and in the mean of an arm by at most {mean:.2f}"
    )
    if not (made_with := differences(then["environment"], now["environment"])):
        return False, f"It did not come out the same, although versions and kernels are: {found}."
    allowed = f"{POINTS:g} and {most:.2f} points are allowed where versions or kernels differ"
    if abs(change[worst]) <= POINTS and mean <= most:
        return True, f"It came out the same within rounding: {found}; {allowed} ({'; '.join(made_with)})."
    return False, f"It did not come out the same: {found}; {allowed} ({'; '.join(made_with)})."
