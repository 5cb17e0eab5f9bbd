"""Weights with a structure: orthogonal, sparse, ZerO, SIREN, and those that mean-field theory asks for."""

from __future__ import annotations

import math

import numpy as np

from scratchnet.init import meanfield
from scratchnet.init.schemes import Shape, _finite, _scale, fan_in, fans, identity
from scratchnet.layers import ReLU

# --- matrices with a structure --------------------------------------------------------------------------------


def orthogonal(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W = g·Q with orthonormal columns (n ≥ m) or rows (n < m), uniform among all such matrices (Haar measure).

    All singular values are g: no direction is stretched or lost, in any depth of linear layers, where a product of
    Gaussian matrices squeezes the signal into few directions. QR of a Gaussian matrix gives Q, but only Q·sign(diag R)
    is uniform: the QR of a library fixes signs to its own liking. A layer that widens keeps a vector's norm, and so
    shrinks each unit's mean square by n/m. Source: Saxe, McClelland & Ganguli 2014, ICLR, §3; Mezzadri 2007, §5.
    """
    n, m = fans(shape)
    _finite(gain=gain)
    gaussian = rng.standard_normal((*shape[:-2], max(n, m), min(n, m)))
    Q, R = np.linalg.qr(gaussian)
    Q = Q * np.sign(np.diagonal(R, axis1=-2, axis2=-1))[..., None, :]
    return gain * (Q if n >= m else Q.swapaxes(-1, -2))


def sparse(shape: Shape, *, rng: np.random.Generator, k: int = 15, std: float = 1.0) -> np.ndarray:
    """Each unit has k incoming links w ~ N(0, std²), at random places; its other n − k weights are 0.

    The size of a unit's output depends on k alone and not on n, and units start different from one another. Source:
    Martens 2010, ICML, §5. (Some libraries zero a share of each *input's* links instead.)
    """
    n, _ = fans(shape)
    _scale(std=std)
    if not 1 <= k <= n:
        raise ValueError(f"each unit has {n} inputs, and k = {k} links came: choose 1 ≤ k ≤ {n}")
    places = rng.random(shape).argsort(axis=-2)[..., :k, :]  # k random rows in each column
    W = np.zeros(shape)
    np.put_along_axis(W, places, rng.normal(0.0, std, places.shape), axis=-2)
    return W


def siren_first(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−1/n, 1/n), the first layer of a network of sines, sin(ω₀(XW + b)), with inputs in [−1, 1].

    Source: Sitzmann, Martel, Bergman, Lindell & Wetzstein 2020, NeurIPS, §3.2 and supplement 1.5.
    """
    bound = 1 / fan_in(shape)
    return rng.uniform(-bound, bound, shape)


def siren_hidden(shape: Shape, *, rng: np.random.Generator, omega: float = 30.0) -> np.ndarray:
    """W ~ U(−√(6/n)/ω₀, √(6/n)/ω₀), the later layers of a network of sines sin(ω₀(XW + b)).

    The argument of each sine is nearly normal, with variance ω₀²·n·E[x²]·Var w = 2E[x²], whatever the depth. The paper
    takes E[x²] = ½ for a sine, and so N(0, 1); but a sine of z ~ N(0, q) has E[sin² z] = (1 − e^(−2q))/2, and the
    variance settles where q = 1 − e^(−2q), at 0.797. Source: Sitzmann et al. 2020, NeurIPS, §3.2, theorem 1.8 of the
    supplement.
    """
    if not (omega > 0 and math.isfinite(omega)):
        raise ValueError(f"the frequency omega must be positive, and {omega} came")
    bound = math.sqrt(6 / fan_in(shape)) / omega
    return rng.uniform(-bound, bound, shape)


def hadamard(p: int) -> np.ndarray:
    """Sylvester's Hadamard matrix of size 2ᵖ: entries ±1, orthogonal rows. H₀ = [1], H_p = [[H, H], [H, −H]]."""
    H = np.ones((1, 1))
    for _ in range(p):
        H = np.block([[H, H], [H, -H]])
    return H


def zero(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """ZerO: identity matrices, cut off where a layer narrows, mixed by a Hadamard matrix where it widens.

    n ≥ m: W = I, cut to n × m.
    n < m: W = c·I·H·I with H the Hadamard matrix of size 2ᵖ, p = ⌈log₂ m⌉, c = 2^(−(p − 1)/2); plain zeros instead
    would leave every unit beyond n without a signal, and with equal gradients for ever.

    Nothing is random, nothing is drawn from `rng`, and the rank grows during training. Source: Zhao, Schäfer &
    Anandkumar 2022, TMLR, Algorithm 1.
    """
    n, m = fans(shape)
    if n >= m:
        return identity(shape, rng=rng)
    p = math.ceil(math.log2(m))
    c = 2 ** (-(p - 1) / 2)
    return np.broadcast_to(c * hadamard(p)[:n, :m], shape).copy()


# --- mean-field theory ----------------------------------------------------------------------------------------


def edge_of_chaos(
    shape: Shape, *, rng: np.random.Generator, phi: meanfield.Activation = None, q: float = 1.0
) -> np.ndarray:
    """W ~ N(0, σ_w²/n), with the σ_w at which signals and gradients keep their size at any depth.

    σ_w and σ_b solve q = σ_w²E[φ(√q z)²] + σ_b² and σ_w²E[φ'(√q z)²] = 1, for the activation `phi` (default: ReLU,
    where that is He's rule) and the variance `q` to stay at. Biases: `edge_of_chaos_bias`. Source: Poole et al. 2016;
    Schoenholz et al. 2017, ICLR, §3.
    """
    sigma_w, _ = meanfield.edge_of_chaos(ReLU() if phi is None else phi, q=q)
    return rng.normal(0.0, sigma_w / math.sqrt(fan_in(shape)), shape)


def edge_of_chaos_bias(
    shape: Shape,
    *,
    fan_in: int,
    rng: np.random.Generator,
    phi: meanfield.Activation = None,
    q: float = 1.0,
) -> np.ndarray:
    """b ~ N(0, σ_b²), the biases that go with `edge_of_chaos`."""
    _, sigma_b = meanfield.edge_of_chaos(ReLU() if phi is None else phi, q=q)
    return rng.normal(0.0, sigma_b, shape)
