"""Where X comes from: Fashion-MNIST, found or downloaded, and a stand-in for it. The only room that opens sockets."""

from scratchnet.data.dataset import DATASETS, Dataset, load, pixels, split

__all__ = ["DATASETS", "Dataset", "load", "pixels", "split"]
