"""Where X comes from: Fashion-MNIST, or a synthetic stand-in for it. Only this subpackage opens network connections."""

from scratchnet.data.dataset import DATASETS, Dataset, load, pixels, split

__all__ = ["DATASETS", "Dataset", "load", "pixels", "split"]
