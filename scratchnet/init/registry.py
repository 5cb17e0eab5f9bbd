"""Initializations by name: what the command line, the tables and `results.json` call them."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

import numpy as np

from scratchnet.backend import Array
from scratchnet.init import data_dependent, schemes, structured
from scratchnet.init.schemes import Scheme, linear
from scratchnet.network import Network

SCHEMES: dict[str, Scheme] = {
    scheme.__name__: scheme
    for scheme in (
        schemes.zeros,
        schemes.ones,
        schemes.constant,
        schemes.identity,
        schemes.uniform,
        schemes.normal,
        schemes.truncated_normal,
        schemes.rule_uniform,
        schemes.rule_normal,
        schemes.variance_scaling,
        schemes.lecun_uniform,
        schemes.lecun_normal,
        schemes.glorot_uniform,
        schemes.glorot_normal,
        schemes.he_uniform,
        schemes.he_normal,
        schemes.torch_linear,
        schemes.keras_dense,
        schemes.flax_dense,
        schemes.haiku_dense,
        structured.orthogonal,
        structured.sparse,
        structured.siren_first,
        structured.siren_hidden,
        structured.zero,
        structured.edge_of_chaos,
    )
}

# Schemes whose biases are not 0.
BIASES: dict[str, Scheme] = {
    "torch_linear": schemes.torch_linear_bias,
    "edge_of_chaos": structured.edge_of_chaos_bias,
}

# Other names that people search for.
ALIASES = {
    "xavier_uniform": "glorot_uniform",
    "xavier_normal": "glorot_normal",
    "kaiming_uniform": "he_uniform",
    "kaiming_normal": "he_normal",
    "torch": "torch_linear",
    "pytorch": "torch_linear",
    "keras": "keras_dense",
    "flax": "flax_dense",
    "haiku": "haiku_dense",
    "martens": "sparse",
    "eye": "identity",
}


def resolve(name: str, known: Iterable[str]) -> str:
    """`name`, or the name it is an alias of. Raises ValueError, with near names, where `known` holds neither."""
    known = list(known)
    resolved = ALIASES.get(name, name)
    if resolved in known:
        return resolved
    near = difflib.get_close_matches(name, [*known, *ALIASES], n=3, cutoff=0.5)
    hint = f"did you mean {' or '.join(near)}?" if near else f"there are {', '.join(known)}"
    raise ValueError(f"there is no initialization {name!r}; {hint}")


# --- those that look at data or at the whole network, all with one signature ------------------------------------

# Fills `network` in place, from images `X: (n, n_in)` and their labels: preparation(network, X, labels, rng=rng).
Preparation = Callable[..., None]


def _lsuv(network: Network, X: Array, labels: Array, *, rng: np.random.Generator, tolerance: float = 0.05) -> None:
    data_dependent.lsuv(network, X, rng=rng, tolerance=tolerance)


def _weight_norm(network: Network, X: Array, labels: Array, *, rng: np.random.Generator) -> None:
    data_dependent.weight_norm(network, X, rng=rng)


def _krahenbuhl(network: Network, X: Array, labels: Array, *, rng: np.random.Generator) -> None:
    data_dependent.krahenbuhl(network, X, rng=rng)


def _antisymmetric(network: Network, X: Array, labels: Array, *, rng: np.random.Generator) -> None:
    data_dependent.antisymmetric(network, rng=rng)


def _looks_linear(network: Network, X: Array, labels: Array, *, rng: np.random.Generator) -> None:
    data_dependent.looks_linear(network, rng=rng)


# These change a part of the network; the rest starts as He's rule has it.


def _pca(network: Network, X: Array, labels: Array, *, rng: np.random.Generator, epsilon: float = 1e-5) -> None:
    with data_dependent.all_or_nothing(network):
        network.apply(linear(schemes.he_normal, rng=rng))
        data_dependent.pca_first_layer(network, X, epsilon=epsilon)


def _hinge_bias(network: Network, X: Array, labels: Array, *, rng: np.random.Generator) -> None:
    with data_dependent.all_or_nothing(network):
        network.apply(linear(schemes.he_normal, rng=rng))
        data_dependent.hinge_bias(network, X, rng=rng)


def _zero_last(network: Network, X: Array, labels: Array, *, rng: np.random.Generator) -> None:
    with data_dependent.all_or_nothing(network):
        network.apply(linear(schemes.he_normal, rng=rng))
        data_dependent.zero_last_layer(network, labels)


PREPARATIONS: dict[str, Preparation] = {
    "lsuv": _lsuv,
    "weight_norm": _weight_norm,
    "krahenbuhl": _krahenbuhl,
    "pca": _pca,
    "hinge_bias": _hinge_bias,
    "antisymmetric": _antisymmetric,
    "looks_linear": _looks_linear,
    "zero_last": _zero_last,
}
