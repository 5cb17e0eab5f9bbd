"""scratchnet: a from-scratch NumPy laboratory for weight initialization.

Read the files in this order; each imports only files above it.
"""

__version__ = "0.1.0"

from scratchnet import (  # isort: skip
    files,
    backend,
    idx,
    fashion_mnist,
    synthetic,
    data,
    layers,
    loss,
    gradcheck,
    optim,
    meanfield,
    init,
    network,
    prepare,
    train,
    statistics,
    experiment,
)
# report, theory and plots are imported by whoever shows results: plots needs matplotlib, which takes its time.

__all__ = [
    "backend",
    "data",
    "experiment",
    "fashion_mnist",
    "files",
    "gradcheck",
    "idx",
    "init",
    "layers",
    "loss",
    "meanfield",
    "network",
    "optim",
    "prepare",
    "statistics",
    "synthetic",
    "train",
]
