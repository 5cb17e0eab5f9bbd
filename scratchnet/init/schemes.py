"""Weight initialization: one short function a scheme.

Each scheme is `scheme(shape, *, rng, ...) -> W` with `shape = (..., n_in, n_out)` and a NumPy generator. The
weights are drawn in float64; the layer that takes them rounds them to its own dtype. Schemes that need data or the
whole network are in `data_dependent`.

**Fans.** n = fan_in = n_in is the number of a unit's inputs: the rows of W, since here Y = XW. m = fan_out = n_out is
the number of units that an input reaches. (PyTorch stores Wᵀ, of shape (n_out, n_in), and so takes the fan-in from
the last axis; a rule that is symmetric in n and m, like Glorot's, hides a mix-up.)

**Why 1/n.** A unit sums n products, y = Σ_k x_k w_k. For independent weights of mean 0 the variances add up:
Var y = n·E[x²]·Var w. So Var w = 1/n keeps E[y²] = E[x²], and every rule below is this one with another factor.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

Shape = tuple[int, ...]
Scheme = Callable[..., np.ndarray]


# --- what the schemes share -----------------------------------------------------------------------------------


def fans(shape: Shape) -> tuple[int, int]:
    """(n, m) = (fan_in, fan_out) of a weight matrix's shape (..., n_in, n_out)."""
    if len(shape) < 2:
        raise ValueError(f"weights have the shape (..., n_in, n_out), and {shape} came; a bias has no fan-in")
    if min(shape) < 1:
        raise ValueError(f"every axis of the weights must be at least 1 long, and the shape is {shape}")
    return shape[-2], shape[-1]


def fan_in(shape: Shape) -> int:
    """n_in of a weight matrix's shape (..., n_in, n_out)."""
    return fans(shape)[0]


def fan(shape: Shape, mode: str) -> float:
    """The fan that `mode` names: n, m, their arithmetic mean or their geometric mean."""
    n, m = fans(shape)
    sizes = {"fan_in": float(n), "fan_out": float(m), "fan_avg": (n + m) / 2, "fan_geo": math.sqrt(n * m)}
    if mode not in sizes:
        raise ValueError(f"there is no fan {mode!r}: choose {', '.join(sizes)}")
    return sizes[mode]


def _finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, and {value} came")


def _scale(**values: float) -> None:
    for name, value in values.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"{name} must be a finite number of at least 0, and {value} came")


# --- constants ------------------------------------------------------------------------------------------------


def constant(shape: Shape, *, rng: np.random.Generator, value: float = 0.1) -> np.ndarray:
    """W = value, everywhere.

    Units with equal weights compute equal outputs and get equal gradients, so they stay equal for ever: a layer
    of 256 units learns as one. Only dropout, which hits units at random, breaks the tie. Draws nothing from `rng`.
    """
    _finite(value=value)
    return np.full(shape, float(value))


def zeros(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W = 0.

    All activations are 0, so dW = Xᵀ dY is 0 in every layer whose input is 0, and dX = dY Wᵀ is 0 everywhere:
    only the last layer's bias learns, and it learns how frequent each class is.
    """
    return constant(shape, rng=rng, value=0.0)


def ones(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W = 1.

    Each unit is the plain sum of its inputs: the signal grows n-fold in each layer, and so does the loss.
    """
    return constant(shape, rng=rng, value=1.0)


def identity(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W = g·I: w_kk = g, the rest 0, also where W is not square. Draws nothing from `rng`.

    A square layer starts as Y = gX, so signals and gradients pass through any number of them unchanged. Where m > n
    the units beyond n start dead; where m < n the inputs beyond m are ignored. Source: Le, Jaitly & Hinton 2015,
    arXiv 1504.00941, §2, for recurrent nets of ReLUs.
    """
    fans(shape)
    _finite(gain=gain)
    return np.broadcast_to(gain * np.eye(shape[-2], shape[-1]), shape).copy()


# --- plain distributions --------------------------------------------------------------------------------------


def uniform(shape: Shape, *, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """W ~ U[low, high): mean (low + high)/2, variance (high − low)²/12.

    The weights differ, so units can part ways. But the bounds know nothing of the layer's size: the output of a
    unit with n inputs has about n times the variance of one term; and with a mean μ other than 0 the outputs themselves
    grow like nμ, not like √n.
    """
    _finite(low=low, high=high)
    if not low < high:
        raise ValueError(f"uniform needs low < high, and low = {low}, high = {high} came")
    return rng.uniform(low, high, shape)


def normal(shape: Shape, *, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """W ~ N(mean, std²)."""
    _finite(mean=mean)
    _scale(std=std)
    return rng.normal(mean, std, shape)


def truncated_std(low: float, high: float) -> float:
    """The standard deviation of z ~ N(0, 1) given low ≤ z ≤ high: 0.87962566 for ±2.

    With φ and Φ the normal density and distribution function, and Z = Φ(high) − Φ(low) the share that is kept:

        Var = 1 + (low·φ(low) − high·φ(high))/Z − ((φ(low) − φ(high))/Z)²

    >>> round(truncated_std(-2, 2), 8)
    0.87962566
    """
    a, b, share = _density(low), _density(high), _kept(low, high)
    return math.sqrt(1 + (low * a - high * b) / share - ((a - b) / share) ** 2)


def _density(z: float) -> float:
    return math.exp(-z * z / 2) / math.sqrt(2 * math.pi)


def _kept(low: float, high: float) -> float:
    return (math.erf(high / math.sqrt(2)) - math.erf(low / math.sqrt(2))) / 2


def truncated_normal(
    shape: Shape,
    *,
    rng: np.random.Generator,
    mean: float = 0.0,
    std: float = 1.0,
    low: float = -2.0,
    high: float = 2.0,
    corrected: bool = True,
) -> np.ndarray:
    """N(0, 1) given low ≤ z ≤ high, scaled to the standard deviation `std`, plus `mean`: no weight is far out.

    `low` and `high` are in standard deviations of the normal distribution before the cut (as in JAX and Keras; in
    PyTorch they are values). The cut takes away variance: at ±2 what remains is 0.774 of it, a standard deviation of
    0.87962566. `corrected` makes up for that, so that `std` is what comes out; otherwise `std` is that before the
    cut, as in PyTorch and Haiku. Asymmetric bounds move the mean.

    Draws that fall outside are drawn again, which has no trouble with far bounds as an inverted erf has.
    """
    _finite(mean=mean)
    _scale(std=std)
    if not (low < high and _kept(low, high) > 1e-3):
        raise ValueError(f"truncation to [{low}, {high}] standard deviations keeps next to nothing: widen the bounds")
    z = rng.standard_normal(shape)
    while (outside := (z < low) | (z > high)).any():
        z[outside] = rng.standard_normal(int(outside.sum()))
    return mean + std * (z / truncated_std(low, high) if corrected else z)


# --- the rules of the fan -------------------------------------------------------------------------------------


def rule_uniform(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−y, y) with y = 1/√n, the lesson's general rule. Var W = y²/3 = 1/(3n).

    A sum of n terms has n times the variance of one; a variance in proportion to 1/n makes up for it, so that
    the size of a unit's output does not depend on how many inputs it has. Source: LeCun, Bottou, Orr & Müller
    1998, Efficient BackProp, §4.6, asks for a standard deviation of 1/√n; these bounds give 1/√(3n).
    """
    y = 1 / math.sqrt(fan_in(shape))
    return rng.uniform(-y, y, shape)


def rule_normal(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, 1/n): standard deviation 1/√n, three times the variance of `rule_uniform`.

    With inputs of mean square 1, Var(Σ_k x_k w_kj) = n·1·(1/n) = 1: the scale of the input is kept. Source:
    LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, §4.6, eq. 16.
    """
    std = 1 / math.sqrt(fan_in(shape))
    return rng.normal(0.0, std, shape)


def variance_scaling(
    shape: Shape,
    *,
    rng: np.random.Generator,
    scale: float = 1.0,
    mode: str = "fan_in",
    distribution: str = "normal",
) -> np.ndarray:
    """Var W = scale/N, with N the fan that `mode` names: fan_in n, fan_out m, fan_avg (n + m)/2, fan_geo √(nm).

    The family of LeCun's (1, fan_in), Glorot's (1, fan_avg) and He's (2, fan_in or fan_out) rules; the geometric mean
    balances the curvature of all layers (Defazio & Bottou 2022, "A scaling calculus for the design and initialization
    of ReLU networks"). `distribution`: normal, truncated (at ±2 standard deviations, corrected) or uniform.
    """
    _scale(scale=scale)
    std = math.sqrt(scale / fan(shape, mode))
    if distribution == "normal":
        return rng.normal(0.0, std, shape)
    if distribution == "truncated":
        return truncated_normal(shape, rng=rng, std=std)
    if distribution == "uniform":
        bound = math.sqrt(3) * std  # U(−b, b) has the variance b²/3
        return rng.uniform(-bound, bound, shape)
    raise ValueError(f"there is no distribution {distribution!r}: choose normal, truncated, uniform")


def lecun_uniform(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(−√(3/n), √(3/n)): Var W = 1/n, so E[y²] = E[x²] for a linear layer.

    Source: LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, §4.6, eq. 16. With ReLU, which throws half of the
    mean square away, a signal halves in each layer.
    """
    bound = math.sqrt(3 / fan_in(shape))
    return rng.uniform(-bound, bound, shape)


def lecun_normal(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, 1/n): Var W = 1/n. The same rule as `rule_normal`, under its author's name; right for SELU.

    Source: LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, §4.6, eq. 16; for SELU, Klambauer et al. 2017.
    """
    std = math.sqrt(1 / fan_in(shape))
    return rng.normal(0.0, std, shape)


def glorot_uniform(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W ~ U(−g√(6/(n + m)), g√(6/(n + m))): Var W = 2g²/(n + m). Also called Xavier.

    A signal going forward asks for 1/n, a gradient going back for 1/m; this is the compromise. Exact for a linear
    layer, or tanh near 0. Source: Glorot & Bengio 2010, AISTATS, eq. 16.
    """
    _scale(gain=gain)
    n, m = fans(shape)
    bound = gain * math.sqrt(6 / (n + m))
    return rng.uniform(-bound, bound, shape)


def glorot_normal(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W ~ N(0, 2g²/(n + m)). Also called Xavier. Source: Glorot & Bengio 2010, AISTATS, eq. 12."""
    _scale(gain=gain)
    n, m = fans(shape)
    std = gain * math.sqrt(2 / (n + m))
    return rng.normal(0.0, std, shape)


def he_uniform(shape: Shape, *, rng: np.random.Generator, a: float = 0.0, mode: str = "fan_in") -> np.ndarray:
    """W ~ U(−√(6/((1 + a²)n)), …): Var W = 2/((1 + a²)n). Also called Kaiming. See `he_normal`."""
    _finite(a=a)
    bound = math.sqrt(6 / ((1 + a**2) * fan(shape, mode)))
    return rng.uniform(-bound, bound, shape)


def he_normal(shape: Shape, *, rng: np.random.Generator, a: float = 0.0, mode: str = "fan_in") -> np.ndarray:
    """W ~ N(0, 2/((1 + a²)n)). Also called Kaiming.

    ReLU sets half of a symmetric signal to 0, so E[relu(y)²] = Var(y)/2, and the 2 makes up for it: the mean square
    stays from layer to layer. `a` is the slope of a leaky ReLU, with E = (1 + a²)/2. `mode` "fan_out" keeps the
    gradient's mean square instead of the signal's. Fails for activations that saturate, and makes a residual network
    grow. Source: He, Zhang, Ren & Sun 2015, ICCV, eq. 10 (forward), 14 (backward), 15 (leaky).
    """
    _finite(a=a)
    std = math.sqrt(2 / ((1 + a**2) * fan(shape, mode)))
    return rng.normal(0.0, std, shape)


# --- what libraries do by default -----------------------------------------------------------------------------


def torch_linear(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """What PyTorch's nn.Linear starts with: W ~ U(−1/√n, 1/√n), the same weights as `rule_uniform`.

    PyTorch reaches it as He's uniform rule with a = √5, whose bound is √(6/((1 + a²)n)) = 1/√n, a choice
    inherited from Torch7. Its biases are random too: `torch_linear_bias`.
    """
    a = math.sqrt(5)
    bound = math.sqrt(6 / ((1 + a**2) * fan_in(shape)))
    return rng.uniform(-bound, bound, shape)


def torch_linear_bias(shape: Shape, *, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """b ~ U(−1/√n, 1/√n), n the fan-in of the layer's weights: a bias itself has none."""
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape)


def keras_dense(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """What Keras's Dense starts with: `glorot_uniform`, biases 0."""
    return glorot_uniform(shape, rng=rng)


def flax_dense(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """What Flax's Dense starts with: a normal cut at ±2σ whose standard deviation, after the cut, is √(1/n)."""
    std = math.sqrt(1 / fan_in(shape))
    return truncated_normal(shape, rng=rng, std=std)


def haiku_dense(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """What Haiku's Linear starts with: N(0, 1/n) cut at ±2σ, not corrected, so that Var W = 0.774/n."""
    std = math.sqrt(1 / fan_in(shape))
    return truncated_normal(shape, rng=rng, std=std, corrected=False)


# --- filling a network ----------------------------------------------------------------------------------------


def linear(scheme: Scheme, *, rng: np.random.Generator, bias: Scheme | None = None) -> Callable[[Any], None]:
    """The function that `network.apply` wants: it fills the W of every Linear layer by `scheme`, and b.

    Biases are 0, or `bias(b.shape, fan_in=n_in, rng=...)` with a generator of their own, spawned from `rng`: two
    fillings that differ in the biases alone have the same weights. One generator serves all layers in turn, so no two
    layers get the same numbers.
    """
    bias_rng = rng if bias is None else rng.spawn(1)[0]

    def fill(layer: Any) -> None:
        if hasattr(layer, "W"):
            layer.W[...] = scheme(layer.W.shape, rng=rng)  # in place: W is a window on the network's theta
            layer.b[...] = 0 if bias is None else bias(layer.b.shape, fan_in=fan_in(layer.W.shape), rng=bias_rng)

    return fill
