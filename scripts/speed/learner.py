"""One network in PyTorch as its tutorials write it, and the same with all that PyTorch offers ready-made."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

from scratchnet.lab.experiment import Arm, Settings, initialized
from scratchnet.layers import Linear
from scratchnet.network import Network
from speed.variants import Variant


def sequential(arm: Arm, seed: int, settings: Settings) -> Any:
    """The lesson's network in PyTorch, with the weights that `arm` starts from."""
    import torch
    from torch import nn

    layers: list[nn.Module] = []
    with torch.no_grad():
        for ours in linear_layers(initialized(arm, seed, settings)):
            theirs = nn.Linear(*ours.W.shape)
            theirs.weight.copy_(torch.from_numpy(ours.W.T))  # PyTorch keeps the transpose
            theirs.bias.copy_(torch.from_numpy(ours.b))
            layers += [theirs, nn.ReLU(), nn.Dropout(settings.dropout)]
    return nn.Sequential(*layers[:-2])


def linear_layers(network: Network) -> list[Linear]:
    return [layer for layer in network.layers if isinstance(layer, Linear)]


class Learner:
    """A learner's loop, which looks at each loss; `fused` runs Adam in one kernel and looks at the end."""

    def __init__(
        self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], images: Any, labels: Any, settings: Settings
    ) -> None:
        import torch

        [arm], [seed] = arms, seeds
        self.images, self.labels = images, labels
        self.fused = variant.kind == "fused"
        self.network = sequential(arm, seed, settings).to(images.device)
        self.criterion = torch.nn.CrossEntropyLoss()
        rate = settings.learning_rate
        self.adam = torch.optim.Adam(self.network.parameters(), lr=rate, fused=self.fused or None)
        self.forward: Callable[[Any, Any], Any] = lambda X, t: self.criterion(self.network(X), t)
        if variant.compiled:
            self.forward = lambda X, t: _compiled_loss()(X, t, *self.network.parameters(), settings.dropout)

    def step(self, rows: Any) -> Any:
        """Train on the images of `rows: (1, n)`; return their loss."""
        batch = rows[0]
        self.adam.zero_grad()
        loss = self.forward(self.images[batch], self.labels[batch])
        loss.backward()
        self.adam.step()
        return loss.detach() if self.fused else loss.item()

    def logits(self, rows: Any) -> Any:
        """(arms, seeds, n, classes) of the images of `rows: (seeds, n)`, without dropout."""
        self.network.eval()
        return self.network(self.images[rows[0]])[None, None]


@cache
def _compiled_loss() -> Callable[..., Any]:
    import torch

    compiled: Callable[..., Any] = torch.compile(_loss, dynamic=False)
    return compiled


def _loss(X: Any, t: Any, W1: Any, b1: Any, W2: Any, b2: Any, W3: Any, b3: Any, p: float) -> Any:
    """The network as a function of its parameters and of the labels t: compiled once, it serves every network."""
    from torch.nn import functional as F

    X = F.dropout(F.relu(F.linear(X, W1, b1)), p)
    X = F.dropout(F.relu(F.linear(X, W2, b2)), p)
    return F.cross_entropy(F.linear(X, W3, b3), t)
