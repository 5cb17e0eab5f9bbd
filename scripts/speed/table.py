"""The table that benchmark.py prints: times, what they say in a few sentences, memory and import."""

from __future__ import annotations

from typing import Any

import numpy as np

from scratchnet.lab.experiment import Settings


def table(result: dict[str, Any]) -> str:
    lines = [*head(result), "", *times(result), "", *verdict(result), *step(result), *memory(result)]
    imports = np.median(result["import_seconds"]["numpy"])
    lines.append(
        f"import scratchnet takes {result['import_over_numpy']:.2f} times as long as import numpy "
        f"({1000 * imports:.0f} ms)."
    )
    return "\n".join(lines)


def head(result: dict[str, Any]) -> list[str]:
    """What was trained, and on what machine."""
    given, env = result["settings"], result["environment"]
    images = given["images"] - round(given["images"] * Settings().validation)
    return [
        f"{result['dataset']['title']}: {given['networks']} networks, {given['epochs']} × {images:,} images, "
        f"{given['repeats']} rounds{', a quick look' if given['quick'] else ''};",
        f"{env['processor']}, {env['cores']} cores, {given['device']};",
        f"NumPy {env['numpy']} with {env['blas']}, PyTorch {env['pytorch']}.",
    ]


def times(result: dict[str, Any]) -> list[str]:
    """A row for each contestant."""
    lines = [
        f"{'':46}{'seconds an epoch and network':30}{'networks':>10}{'over the':>10}{'over':>13}",
        f"{'':46}{'median (lowest to highest)':30}{'a second':>10}{'floor':>10}{'scratchnet':>13}",
    ]
    for one in result["contestants"]:
        each = one["seconds_per_network_epoch"]
        cells = f"{each['median']:.3f} ({each['lowest']:.3f} to {each['highest']:.3f})"
        best = " *" if one["key"] == result["pytorch_best"] else ""
        lines.append(
            f"{one['label'] + best:46}{cells:30}{one['networks_per_second']['median']:10.2f}"
            f"{one['over_floor']['median']:10.2f}{one['over_scratchnet']['median']:13.2f}"
        )
    lines += [f"{key}: skipped ({why})" for key, why in result["skipped"].items()]
    start = np.median(result["scratchnet_start_seconds"])
    without = result["scratchnet_without_start_per_network_epoch"]["median"]
    return [
        *lines,
        "* PyTorch at its best. Its processes have started and compiled before they are timed; scratchnet's have not.",
        f"scratchnet without the start of its processes ({start:.2f} s): {without:.3f} seconds an epoch and network",
    ]


def verdict(result: dict[str, Any]) -> list[str]:
    return [
        f"scratchnet is {result['speedup_over']['pytorch_eager']:.2f} times as fast as PyTorch as a learner writes it, "
        f"{result['speedup_over']['pytorch_best']:.2f} times as fast as PyTorch at its best,",
        f"and takes {result['time_over_floor']:.2f} times as long as its matrix products alone.",
    ]


def step(result: dict[str, Any]) -> list[str]:
    """The shares of a step's parts."""
    given, parts = result["settings"], result["parts_seconds_per_network_epoch"]
    if not parts:
        return []
    shares = {part: seconds for part, seconds in parts.items() if part != "products alone"}
    total = sum(shares.values())
    listed = ", ".join(f"{part} {seconds / total:.0%}" for part, seconds in shares.items())
    return [
        f"One process, one thread, a stack of {min(given['stack'], len(given['arms']))}: {listed}; "
        f"the products alone are {parts['products alone'] / total:.0%}."
    ]


def memory(result: dict[str, Any]) -> list[str]:
    names = {
        "scratchnet": "scratchnet",
        "pytorch_eager": "PyTorch as a learner writes it",
        "pytorch_best": "at its best",
    }
    if not all(result["peak_memory_bytes"].values()):
        return []
    held = ", ".join(f"{names[key]} {value / 1e6:,.0f} MB" for key, value in result["peak_memory_bytes"].items())
    return [f"Most memory held, all processes together, shared pages once: {held}."]
