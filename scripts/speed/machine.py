"""What the numbers were measured on: the processor, PyTorch, and how long an import takes."""

from __future__ import annotations

import platform
import subprocess
import sys
from pathlib import Path


def processor() -> str:
    """The processor's name."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def pytorch_version() -> str:
    """PyTorch's version, or OSError; asked in another process, since PyTorch takes memory that is measured here."""
    done = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__)"], capture_output=True, text=True
    )
    if done.returncode:
        raise OSError('PyTorch cannot be imported: python -m pip install -e ".[test]"')
    return done.stdout.strip()


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
