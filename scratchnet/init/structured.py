"""Weights with a structure: orthogonal, sparse, SIREN, ZerO, and the scale at which deep signals keep their size."""

from __future__ import annotations

import math

import numpy as np

from scratchnet.init import meanfield
from scratchnet.init.schemes import Shape, _finite, _scale, fan_in, fans, identity
from scratchnet.layers import ReLU

# --- matrices with a structure --------------------------------------------------------------------------------


def orthogonal(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W = g·Q, where Q has orthonormal columns (n_in ≥ n_out) or rows (n_in < n_out).

    All singular values are g. A layer with n_in ≤ n_out keeps every vector's length (times g); one that narrows keeps
    it for an n_out-dimensional part of its inputs and loses the rest, as every narrowing layer must. So a stack of
    square linear layers keeps all directions at any depth, while a product of Gaussian matrices squeezes the signal
    into few of them. A layer that widens shrinks each unit's mean square by n_in/n_out. Q is uniform among all such
    matrices (Haar measure). It comes from the QR decomposition of a Gaussian matrix, as Q·sign(diag R): Q alone is not
    uniform, since the library chooses the signs by its own rule. Source: Saxe, McClelland & Ganguli 2014, ICLR, §3;
    Mezzadri 2007, §5.
    """
    n_in, n_out = fans(shape)
    _finite(gain=gain)
    gaussian = rng.standard_normal((*shape[:-2], max(n_in, n_out), min(n_in, n_out)))
    Q, R = np.linalg.qr(gaussian)
    Q = Q * np.sign(np.diagonal(R, axis1=-2, axis2=-1))[..., None, :]
    return gain * (Q if n_in >= n_out else Q.mT)


def sparse(shape: Shape, *, rng: np.random.Generator, k: int = 15, std: float = 1.0) -> np.ndarray:
    """Each unit has k incoming links w ~ N(0, std²), at random places; its other n_in − k weights are 0.

    The size of a unit's output depends on k and not on n_in, and the units start different from each other. Source:
    Martens 2010, ICML, §5. (Some libraries set a share of each *input's* links to 0 instead.)
    """
    n_in, _ = fans(shape)
    _scale(std=std)
    if not 1 <= k <= n_in:
        raise ValueError(f"expected a number of links 1 ≤ k ≤ {n_in}, the inputs of each unit, got k = {k}")
    places = rng.random(shape).argsort(axis=-2)[..., :k, :]  # k random rows in each column
    W = np.zeros(shape)
    np.put_along_axis(W, places, rng.normal(0.0, std, places.shape), axis=-2)
    return W


def siren_first(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(±1/n_in): the first layer of a network of sines, sin(ω₀(XW + b)), with inputs in [−1, 1].

    Source: Sitzmann, Martel, Bergman, Lindell & Wetzstein 2020, NeurIPS, §3.2 and supplement 1.5.
    """
    bound = 1 / fan_in(shape)
    return rng.uniform(-bound, bound, shape)


def siren_hidden(shape: Shape, *, rng: np.random.Generator, omega: float = 30.0) -> np.ndarray:
    """W ~ U(±√(6/n_in)/ω₀): the later layers of a network of sines, sin(ω₀(XW + b)).

    The argument of each sine is nearly normal, with variance ω₀²·n_in·E[x²]·Var w = 2E[x²] at any depth. The paper
    takes E[x²] = ½ for a sine, and so expects N(0, 1). But for z ~ N(0, q), E[sin² z] = (1 − e^(−2q))/2, so the
    variance settles where q = 1 − e^(−2q), at 0.797. Source: Sitzmann et al. 2020, NeurIPS, §3.2, theorem 1.8 of the
    supplement.
    """
    if not (omega > 0 and math.isfinite(omega)):
        raise ValueError(f"expected a positive finite frequency omega, got {omega}")
    bound = math.sqrt(6 / fan_in(shape)) / omega
    return rng.uniform(-bound, bound, shape)


def hadamard(p: int) -> np.ndarray:
    """Sylvester's Hadamard matrix of size 2ᵖ: entries ±1, orthogonal rows.

    H₀ = [1], and H_p = [[H, H], [H, −H]] with H = H_(p−1).
    """
    H = np.ones((1, 1))
    for _ in range(p):
        H = np.block([[H, H], [H, -H]])
    return H


def zero(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """ZerO: the identity, cut off where a layer narrows and mixed by a Hadamard matrix where it widens.

    - n_in ≥ n_out: W = I, cut to n_in × n_out.
    - n_in < n_out: W = c·I·H·I, where H is the Hadamard matrix of size 2ᵖ, p = ⌈log₂ n_out⌉, and c = 2^(−(p − 1)/2).
      With zeros instead, the units beyond n_in would get no signal, and their gradients would stay equal.

    Nothing is random: `rng` is not used. The rank of the weights grows during training. Source: Zhao, Schäfer &
    Anandkumar 2022, TMLR, Algorithm 1.
    """
    n_in, n_out = fans(shape)
    if n_in >= n_out:
        return identity(shape, rng=rng)
    p = math.ceil(math.log2(n_out))
    c = 2 ** (-(p - 1) / 2)
    return np.broadcast_to(c * hadamard(p)[:n_in, :n_out], shape).copy()


# --- mean-field theory ----------------------------------------------------------------------------------------


def edge_of_chaos(
    shape: Shape,
    *,
    rng: np.random.Generator,
    phi: meanfield.Activation = None,
    q: float = 1.0,
    dropout: float = 0.0,
) -> np.ndarray:
    """W ~ N(0, σ_w²/n_in), with the σ_w at which wide layers keep both signals and gradients at their size.

    `phi` is the activation φ (ReLU by default, for which this is He's rule), and `q` is the variance that the layers'
    outputs keep. σ_w and σ_b solve q = σ_w² E[φ(√q z)²] + σ_b² and σ_w² E[φ'(√q z)²] = 1, see `meanfield`. Draw the
    biases by `edge_of_chaos_bias`. Dropout with probability p multiplies σ_w² by 1 − p. Raises ValueError, with a q
    that is better, where the point is unstable, as for GELU and SiLU at q = 1. Source: Poole et al. 2016; Schoenholz
    et al. 2017, ICLR, §3; with dropout, Pretorius et al. 2018.
    """
    sigma_w, _ = meanfield.edge_of_chaos(ReLU() if phi is None else phi, q=q, dropout=dropout)
    return rng.normal(0.0, sigma_w / math.sqrt(fan_in(shape)), shape)


def edge_of_chaos_bias(
    shape: Shape,
    *,
    fan_in: int,
    rng: np.random.Generator,
    phi: meanfield.Activation = None,
    q: float = 1.0,
    dropout: float = 0.0,
) -> np.ndarray:
    """b ~ N(0, σ_b²), the biases that go with `edge_of_chaos`. They do not depend on dropout."""
    _, sigma_b = meanfield.edge_of_chaos(ReLU() if phi is None else phi, q=q, dropout=dropout)
    return rng.normal(0.0, sigma_b, shape)
