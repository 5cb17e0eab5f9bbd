"""The lesson's author: trains its network in PyTorch, filled by PyTorch's functions, with PyTorch's Adam."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np

from scratchnet.data import split
from scratchnet.lab.experiment import Run, Settings
from speed.images import tensors


def train(arm: str, seed: int, settings: Settings, folder: Path) -> Run:
    """Train with random numbers of PyTorch's own on the images that `images.save` wrote to `folder`."""
    import torch
    from torch import nn

    torch.set_num_threads(1)
    torch.manual_seed(seed)
    network = lesson_network(arm, settings)
    images, labels = tensors(folder, "cpu")
    parts = split(len(images), rng=np.random.default_rng([seed, 1000]), validation=settings.validation)
    training, validation = (torch.from_numpy(part) for part in parts)
    adam = torch.optim.Adam(network.parameters(), lr=settings.learning_rate)
    criterion = nn.CrossEntropyLoss()
    losses = []
    network.train()
    for _ in range(settings.epochs):
        for batch in training[torch.randperm(len(training))].split(settings.batch_size):
            adam.zero_grad()
            loss = criterion(network(images[batch]), labels[batch])
            loss.backward()
            adam.step()
            losses.append(loss.item())
    network.eval()
    with torch.no_grad():
        Z, t = network(images[validation]), labels[validation]
        accuracy = float((Z.argmax(dim=1) == t).float().mean())
        return Run(arm, seed, np.array(losses), float(criterion(Z, t)), accuracy)


def lesson_network(arm: str, settings: Settings) -> Any:
    """The lesson's Net, initialized as `arm` says. PyTorch's default fills it when it is made."""
    from torch import nn

    layers: list[nn.Module] = []
    for n_in, n_out in zip(settings.sizes[:-1], settings.sizes[1:], strict=True):
        layers += [nn.Linear(n_in, n_out), nn.ReLU(), nn.Dropout(settings.dropout)]
    network = nn.Sequential(*layers[:-2])
    if arm != "torch_linear":
        for layer in network:
            if isinstance(layer, nn.Linear):
                fill(layer.weight, layer.in_features, arm)
                nn.init.zeros_(layer.bias)
    return network


def fill(W: Any, n_in: int, arm: str) -> None:
    """Fill the weights of a layer with PyTorch's counterpart of the arm; ValueError where there is none."""
    from torch.nn import init

    bound = 1 / math.sqrt(n_in)  # the general rule's y
    fillers = {
        "zeros": lambda: init.constant_(W, 0),
        "ones": lambda: init.constant_(W, 1),
        "uniform": lambda: init.uniform_(W, 0, 1),
        "uniform_centered": lambda: init.uniform_(W, -0.5, 0.5),
        "rule_uniform": lambda: init.uniform_(W, -bound, bound),
        "rule_normal": lambda: init.normal_(W, 0, bound),
    }
    if arm not in fillers:
        raise ValueError(f"the arm {arm} has no counterpart in PyTorch; these have one: {', '.join(fillers)}")
    fillers[arm]()
