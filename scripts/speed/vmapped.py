"""Networks side by side by PyTorch's own means: torch.func.vmap over the gradient of one network's loss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from scratchnet.lab.experiment import Arm, Settings
from speed.learner import sequential
from speed.variants import Variant


class Vmapped:
    """The arms of one seed."""

    def __init__(
        self, variant: Variant, arms: Sequence[Arm], seeds: Sequence[int], images: Any, labels: Any, settings: Settings
    ) -> None:
        import torch
        from torch.func import functional_call, grad_and_value, stack_module_state, vmap

        [seed] = seeds
        self.images, self.labels = images, labels
        networks = [sequential(arm, seed, settings).to(images.device) for arm in arms]
        stacked, _ = stack_module_state(networks)
        self.params = {name: A.detach().requires_grad_() for name, A in stacked.items()}
        self.adam = torch.optim.Adam(self.params.values(), lr=settings.learning_rate, fused=True)
        self.network = networks[0]

        def logits(params: dict[str, Any], X: Any) -> Any:
            return functional_call(self.network, params, (X,))

        def loss(params: dict[str, Any], X: Any, t: Any) -> Any:
            return torch.nn.functional.cross_entropy(logits(params, X), t)

        # randomness "same": all networks share a mask, as they do in scratchnet
        self.gradients = vmap(grad_and_value(loss), in_dims=(0, None, None), randomness="same")
        self.predict = vmap(logits, in_dims=(0, None))

    def step(self, rows: Any) -> Any:
        """Train on the images of `rows: (1, n)`; return the losses `(arms,)`."""
        batch = rows[0]
        params = {name: A.detach() for name, A in self.params.items()}
        gradients, loss = self.gradients(params, self.images[batch], self.labels[batch])
        for name, A in self.params.items():
            A.grad = gradients[name]
        self.adam.step()
        return loss

    def logits(self, rows: Any) -> Any:
        """(arms, seeds, n, classes) of the images of `rows: (seeds, n)`, without dropout."""
        self.network.eval()
        return self.predict(dict(self.params), self.images[rows[0]])[:, None]
