"""scratchnet: a from-scratch NumPy laboratory for weight initialization.

The mathematics is in the files of this folder; read them in the order of the list below. Then come the rooms: `init`
(initial weights), `data` (images), `lab` (fair comparisons) and `report` (tables and figures). `backend` and `files`
are plumbing.
"""

__version__ = "0.1.0"

from scratchnet import (  # isort: skip
    layers,
    loss,
    gradcheck,
    optim,
    network,
    train,
    init,
    data,
    lab,
    backend,
    files,
)
# `report` is imported by whoever shows results: its figures need matplotlib, which takes its time.

__all__ = [
    "backend",
    "data",
    "files",
    "gradcheck",
    "init",
    "lab",
    "layers",
    "loss",
    "network",
    "optim",
    "train",
]
