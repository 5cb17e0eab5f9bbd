"""The ways to train in PyTorch that take part, from a learner's loop to stacks of networks with gradients by hand."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Variant:
    """A way to train in PyTorch: how a step is computed, and whether every core gets a process of its own."""

    key: str
    label: str
    kind: str  # learner, fused, vmap or stacked
    processes: bool = False  # one a core, with one thread each; otherwise a single one with PyTorch's default
    compiled: bool = False  # torch.compile
    graph: bool = False  # a CUDA graph


ON_CPU = (
    Variant("pytorch_eager", "as a learner writes it", "learner"),
    Variant("pytorch_fused", "fused Adam", "fused"),
    Variant("pytorch_compiled", "fused Adam, compiled", "fused", compiled=True),
    Variant("pytorch_vmap", "stacked by vmap", "vmap"),
    Variant("pytorch_stacked", "stacked by hand", "stacked"),
    Variant("pytorch_fused_processes", "fused Adam, a process a core", "fused", processes=True),
    Variant("pytorch_stacked_processes", "stacked by hand, a process a core", "stacked", processes=True),
    Variant(
        "pytorch_stacked_compiled_processes",
        "stacked, compiled, a process a core",
        "stacked",
        processes=True,
        compiled=True,
    ),
)
ON_CUDA = (  # these have never been run: there was no GPU
    Variant("pytorch_eager", "as a learner writes it", "learner"),
    Variant("pytorch_fused", "fused Adam", "fused"),
    Variant("pytorch_vmap", "stacked by vmap", "vmap"),
    Variant("pytorch_stacked", "stacked by hand", "stacked"),
    Variant("pytorch_stacked_compiled", "stacked by hand, compiled", "stacked", compiled=True),
    Variant("pytorch_stacked_graph", "stacked by hand, CUDA graph", "stacked", graph=True),
)
