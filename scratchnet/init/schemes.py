"""Weight initialization: one short function for each scheme.

A scheme is called as `scheme(shape, *, rng, ...)` and returns W, an array of `shape = (..., n_in, n_out)`; `rng` is a
NumPy generator. The weights are drawn in float64, and the layer that takes them rounds them to its own dtype. Matrices
with a structure are in `structured`, and what needs data or the whole network is in `data_dependent`.

**Fans.** A layer computes Y = XW + b, so each column of W holds the weights of one unit. The fan-in n_in, the number of
rows, counts the inputs of a unit. The fan-out n_out, the number of columns, counts the units that an input feeds.
(PyTorch stores Wᵀ, of shape (n_out, n_in), and reads the fan-in from the last axis. A rule that is symmetric in both
fans, like Glorot's, hides it when someone confuses the two.)

**Why 1/n_in.** A unit sums n_in products, y = Σ_k x_k w_k. Draw its weights independently of each other and of x, with
mean 0 and variance Var w = E[w²]. The square of the sum has a term for each pair (k, l) of inputs:

    E[y²] = Σ_k Σ_l E[x_k x_l]·E[w_k w_l]
          = Σ_k E[x_k²]·Var w                 because E[w_k w_l] = E[w_k]·E[w_l] = 0 for k ≠ l
          = n_in·Var w·E[x²]                  where E[x²] is the mean of E[x_k²] over the inputs

With Var w = 1/n_in the output is as large as the input, E[y²] = E[x²], however many inputs there are. With any other
variance each layer multiplies the mean square by n_in·Var w, and in a deep network the signal explodes or dies out.
Most rules below are Var w = 1/n_in with another factor; `he_normal` derives the factor 2 that ReLU needs.

**Notation.** N(μ, σ²) is the normal distribution with variance σ². U(±c) is the uniform distribution on (−c, c): its
variance is c²/3, so variance v needs c = √(3v).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from scratchnet.backend import like
from scratchnet.layers import Linear

Shape = tuple[int, ...]
Scheme = Callable[..., np.ndarray]


# --- what the schemes share -----------------------------------------------------------------------------------


def fans(shape: Shape) -> tuple[int, int]:
    """(n_in, n_out) of a weight matrix's shape (..., n_in, n_out)."""
    if len(shape) < 2:
        raise ValueError(f"expected weights of shape (..., n_in, n_out), got the shape {shape}; a bias has no fan-in")
    if min(shape) < 1:
        raise ValueError(f"expected every axis of the weights to be at least 1 long, got the shape {shape}")
    return shape[-2], shape[-1]


def fan_in(shape: Shape) -> int:
    """n_in of a weight matrix's shape (..., n_in, n_out)."""
    return fans(shape)[0]


def fan(shape: Shape, mode: str) -> float:
    """The fan that `mode` names: n_in, n_out, their arithmetic mean or their geometric mean."""
    n_in, n_out = fans(shape)
    sizes = {
        "fan_in": float(n_in),
        "fan_out": float(n_out),
        "fan_avg": (n_in + n_out) / 2,
        "fan_geo": math.sqrt(n_in * n_out),
    }
    if mode not in sizes:
        raise ValueError(f"there is no fan {mode!r}: choose {', '.join(sizes)}")
    return sizes[mode]


def _finite(**values: float) -> None:
    for name, value in values.items():
        if not math.isfinite(value):
            raise ValueError(f"expected a finite number for {name}, got {value}")


def _scale(**values: float) -> None:
    for name, value in values.items():
        if not (value >= 0 and math.isfinite(value)):
            raise ValueError(f"expected a finite number ≥ 0 for {name}, got {value}")


# --- constants ------------------------------------------------------------------------------------------------


def constant(shape: Shape, *, rng: np.random.Generator, value: float = 0.1) -> np.ndarray:
    """W = value, everywhere.

    Units with equal weights compute equal outputs and get equal gradients. Without dropout they stay equal during all
    of training: a layer of 256 units learns as if it had one. With dropout each unit has a mask of its own, so they
    differ after one step, and the network learns if the scale of the value is right, about 1/n_in. `rng` is not used.
    """
    _finite(value=value)
    return np.full(shape, float(value))


def zeros(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W = 0.

    With ReLU or tanh every hidden layer outputs 0. So dW = Xᵀ dY is 0 in every layer after the first, since X is 0
    there; and dX = dY Wᵀ is 0 everywhere, so no gradient reaches the first layer either. Only the last layer's bias
    learns, and all it can learn is how frequent each class is.
    """
    return constant(shape, rng=rng, value=0.0)


def ones(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W = 1.

    Each unit is the plain sum of its inputs, so every layer makes the signal about n_in times larger. The first loss is
    still that of a blind guess, since all logits are equal; after one step they are not, and the loss is huge.
    """
    return constant(shape, rng=rng, value=1.0)


def identity(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W = g·I: w_kk = g and all other weights are 0, also where W is not square. `rng` is not used.

    A square layer starts as Y = gX. With g = 1, signals and gradients pass through any number of such layers unchanged.
    Where n_out > n_in, the units beyond n_in start dead; where n_out < n_in, the inputs beyond n_out are ignored.
    Source: Le, Jaitly & Hinton 2015, arXiv 1504.00941, §2, for recurrent nets of ReLUs.
    """
    fans(shape)
    _finite(gain=gain)
    return np.broadcast_to(gain * np.eye(shape[-2], shape[-1]), shape).copy()


# --- plain distributions --------------------------------------------------------------------------------------


def uniform(shape: Shape, *, rng: np.random.Generator, low: float = 0.0, high: float = 1.0) -> np.ndarray:
    """W ~ U[low, high): mean (low + high)/2, variance (high − low)²/12.

    The weights differ, so the units can learn different things. But the bounds do not depend on the size of the layer:
    a unit's output is a sum of n_in terms, so its variance is about n_in times that of one term. If the mean μ of the
    weights is not 0, the terms do not cancel, and the output grows like n_in·μ instead of √n_in.
    """
    _finite(low=low, high=high)
    if not low < high:
        raise ValueError(f"expected low < high, got low = {low}, high = {high}")
    return rng.uniform(low, high, shape)


def normal(shape: Shape, *, rng: np.random.Generator, mean: float = 0.0, std: float = 1.0) -> np.ndarray:
    """W ~ N(mean, std²). Like `uniform`, it ignores the size of the layer."""
    _finite(mean=mean)
    _scale(std=std)
    return rng.normal(mean, std, shape)


def truncated_std(low: float, high: float) -> float:
    """The standard deviation of z ~ N(0, 1) given low ≤ z ≤ high: 0.87962566 for ±2.

    φ is the normal density, Φ the normal distribution function, and Z = Φ(high) − Φ(low) the share that is kept:

        Var = 1 + (low·φ(low) − high·φ(high))/Z − ((φ(low) − φ(high))/Z)²

    >>> round(truncated_std(-2, 2), 8)
    0.87962566
    """
    low, high = max(low, -40.0), min(high, 40.0)  # where φ is 0: an infinite bound would be ∞·0
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
    """W ~ mean + std·z, where z is N(0, 1) cut at `low` and `high`: no weight is far from the mean.

    `low` and `high` count standard deviations of the normal distribution before the cut (as in JAX and Keras; PyTorch
    takes values of W). The cut removes variance: at ±2 a share of 0.774 remains, a standard deviation of 0.87962566.
    With `corrected`, z is divided by its standard deviation, so that W has the standard deviation `std`. Otherwise
    `std` is the standard deviation before the cut, as in PyTorch and Haiku. Asymmetric bounds move the mean.

    A draw that falls outside the bounds is drawn again. Unlike an inverted erf, this is exact for far bounds too.
    """
    _finite(mean=mean)
    _scale(std=std)
    if not _kept(low, high) > 1e-3:
        raise ValueError(
            f"expected low < high with more than 0.1 % of N(0, 1) between them, got low = {low}, high = {high}: "
            "widen the bounds"
        )
    z = rng.standard_normal(shape)
    while (outside := (z < low) | (z > high)).any():
        z[outside] = rng.standard_normal(int(outside.sum()))
    return mean + std * (z / truncated_std(low, high) if corrected else z)


# --- the rules of the fan -------------------------------------------------------------------------------------


def rule_uniform(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(±1/√n_in), the lesson's general rule; the lesson calls the bound y. Var W = bound²/3 = 1/(3·n_in).

    A sum of n_in terms has n_in times the variance of one term. A variance in proportion to 1/n_in makes up for that,
    so the size of a unit's output does not depend on how many inputs it has. Source: LeCun, Bottou, Orr & Müller
    1998, Efficient BackProp, §4.6, asks for a standard deviation of 1/√n_in; these bounds give 1/√(3·n_in).
    """
    bound = 1 / math.sqrt(fan_in(shape))
    return rng.uniform(-bound, bound, shape)


def rule_normal(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, 1/n_in): standard deviation 1/√n_in, three times the variance of `rule_uniform`.

    For inputs of mean square 1, Var(Σ_k x_k w_kj) = n_in·1·(1/n_in) = 1: the output's mean square is the input's. The
    same as `lecun_normal`, and as `variance_scaling` by default. Source: LeCun, Bottou, Orr & Müller 1998, Efficient
    BackProp, §4.6, eq. 16.
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
    """Var W = scale/fan. `mode` names the fan: fan_in, fan_out, fan_avg (n_in + n_out)/2, fan_geo √(n_in·n_out).

    LeCun's rule is (scale 1, fan_in), Glorot's (1, fan_avg), He's (2, fan_in or fan_out). The geometric mean balances
    the curvature of all layers (Defazio & Bottou 2022, "A scaling calculus for the design and initialization of ReLU
    networks"). `distribution` is normal, truncated (at ±2 standard deviations, corrected) or uniform.
    """
    _scale(scale=scale)
    std = math.sqrt(scale / fan(shape, mode))
    if distribution == "normal":
        return rng.normal(0.0, std, shape)
    if distribution == "truncated":
        return truncated_normal(shape, rng=rng, std=std)
    if distribution == "uniform":
        bound = math.sqrt(3) * std  # the variance of U(±bound) is bound²/3
        return rng.uniform(-bound, bound, shape)
    raise ValueError(f"there is no distribution {distribution!r}: choose normal, truncated, uniform")


def lecun_uniform(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ U(±√(3/n_in)): Var W = 1/n_in, so E[y²] = E[x²] for a linear layer.

    With ReLU, which removes half of the mean square, the mean square of the signal halves in each layer. Source: LeCun,
    Bottou, Orr & Müller 1998, Efficient BackProp, §4.6, eq. 16.
    """
    bound = math.sqrt(3 / fan_in(shape))
    return rng.uniform(-bound, bound, shape)


def lecun_normal(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """W ~ N(0, 1/n_in). This is `rule_normal` under its author's name, and the rule for SELU.

    Source: LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, §4.6, eq. 16; for SELU, Klambauer et al. 2017.
    """
    std = math.sqrt(1 / fan_in(shape))
    return rng.normal(0.0, std, shape)


def glorot_uniform(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W ~ U(±g·√(6/(n_in + n_out))): Var W = 2g²/(n_in + n_out). Also called Xavier, and `keras_dense`.

    Going forward, Y = XW sums n_in products, so a signal keeps its mean square if Var W = 1/n_in. Going back,
    dX = dY Wᵀ sums n_out products, so a gradient keeps its own if Var W = 1/n_out. One over the mean of both fans is
    the compromise, for a linear layer or for tanh near 0. Source: Glorot & Bengio 2010, AISTATS, eq. 16.
    """
    _scale(gain=gain)
    n_in, n_out = fans(shape)
    bound = gain * math.sqrt(6 / (n_in + n_out))
    return rng.uniform(-bound, bound, shape)


def glorot_normal(shape: Shape, *, rng: np.random.Generator, gain: float = 1.0) -> np.ndarray:
    """W ~ N(0, 2g²/(n_in + n_out)). Also called Xavier. Source: Glorot & Bengio 2010, AISTATS, eq. 12."""
    _scale(gain=gain)
    n_in, n_out = fans(shape)
    std = gain * math.sqrt(2 / (n_in + n_out))
    return rng.normal(0.0, std, shape)


def he_uniform(shape: Shape, *, rng: np.random.Generator, a: float = 0.0, mode: str = "fan_in") -> np.ndarray:
    """W ~ U(±√(6/((1 + a²)·n_in))): Var W = 2/((1 + a²)·n_in). Also called Kaiming. See `he_normal`."""
    _finite(a=a)
    bound = math.sqrt(6 / ((1 + a**2) * fan(shape, mode)))
    return rng.uniform(-bound, bound, shape)


def he_normal(shape: Shape, *, rng: np.random.Generator, a: float = 0.0, mode: str = "fan_in") -> np.ndarray:
    """W ~ N(0, 2/((1 + a²)·n_in)). Also called Kaiming; for ReLU, `edge_of_chaos` is the same.

    Where the 2 comes from: between two layers, ReLU turns the first one's output y into the second one's input
    x = max(y, 0). The first one's weights are as likely as their negatives, so with a bias of 0, y is as likely as −y:
    its positive and its negative values each contribute half of E[y²]. ReLU sets the negative ones to 0, so

        E[x²] = E[y²]/2
        E[y_next²] = n_in·Var w·E[x²] = (n_in·Var w/2)·E[y²]

    and the mean square stays the same from layer to layer if Var w = 2/n_in.

    `a` is the slope of a leaky ReLU. It keeps the share a² of the negative half, E[x²] = (1 + a²)/2·E[y²], so the 2
    becomes 2/(1 + a²). `mode="fan_out"` keeps the gradient's mean square instead of the signal's. The rule does not fit
    activations that saturate, and a residual network grows under it. Source: He, Zhang, Ren & Sun 2015, ICCV, eq. 10
    (forward), 14 (backward), 15 (leaky).
    """
    _finite(a=a)
    std = math.sqrt(2 / ((1 + a**2) * fan(shape, mode)))
    return rng.normal(0.0, std, shape)


# --- what libraries do by default -----------------------------------------------------------------------------


def torch_linear(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """The weights that PyTorch's nn.Linear starts with: U(±1/√n_in), the same as `rule_uniform`.

    PyTorch calls He's uniform rule with a = √5, whose bound is √(6/((1 + a²)·n_in)) = 1/√n_in. The √5 was inherited
    from Torch7. PyTorch's biases are random too: `torch_linear_bias`.
    """
    a = math.sqrt(5)
    bound = math.sqrt(6 / ((1 + a**2) * fan_in(shape)))
    return rng.uniform(-bound, bound, shape)


def torch_linear_bias(shape: Shape, *, fan_in: int, rng: np.random.Generator) -> np.ndarray:
    """b ~ U(±1/√n_in), where n_in is the fan-in of the layer's weights: a bias itself has none."""
    bound = 1 / math.sqrt(fan_in)
    return rng.uniform(-bound, bound, shape)


def keras_dense(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """The weights that Keras's Dense starts with: `glorot_uniform`. Its biases are 0."""
    return glorot_uniform(shape, rng=rng)


def flax_dense(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """The weights that Flax's Dense starts with: N(0, 1/n_in) cut at ±2σ and corrected, so that Var W = 1/n_in."""
    std = math.sqrt(1 / fan_in(shape))
    return truncated_normal(shape, rng=rng, std=std)


def haiku_dense(shape: Shape, *, rng: np.random.Generator) -> np.ndarray:
    """The weights that Haiku's Linear starts with: N(0, 1/n_in) cut at ±2σ, not corrected, so Var W = 0.774/n_in."""
    std = math.sqrt(1 / fan_in(shape))
    return truncated_normal(shape, rng=rng, std=std, corrected=False)


# --- filling a network ----------------------------------------------------------------------------------------


def linear(scheme: Scheme, *, rng: np.random.Generator, bias: Scheme | None = None) -> Callable[[Any], None]:
    """Return a function for `network.apply`: it fills W and b of every Linear layer and leaves other layers alone.

    `scheme` draws the weights. Biases are 0, or `bias(b.shape, fan_in=n_in, rng=...)`. The biases have their own
    generator, spawned from `rng`, so two fillings that differ only in `bias` have the same weights. All layers share
    one generator, so no two layers get the same numbers.
    """
    bias_rng = rng if bias is None else rng.spawn(1)[0]

    def fill(layer: Any) -> None:
        if isinstance(layer, Linear):
            # in place: W and b are views on the network's theta
            layer.W[...] = like(_draw(scheme, layer.W.shape, rng=rng), layer.W)
            if bias is None:
                layer.b[...] = 0
            else:
                b = _draw(bias, layer.b.shape, fan_in=fan_in(layer.W.shape), rng=bias_rng)
                layer.b[...] = like(b, layer.b)

    return fill


def _draw(scheme: Scheme, shape: Shape, **settings: Any) -> np.ndarray:
    """`scheme(shape, ...)`, checked: NumPy would broadcast another shape, or drop imaginary parts, without a word."""
    drawn = scheme(shape, **settings)
    if np.shape(drawn) != shape or np.iscomplexobj(drawn):
        kind = "a complex array" if np.iscomplexobj(drawn) else "an array"
        raise ValueError(f"the scheme {_name(scheme)} returned {kind} of shape {np.shape(drawn)}, expected {shape}")
    return drawn


def _name(scheme: Scheme) -> str:
    function = getattr(scheme, "func", scheme)  # of a functools.partial
    return getattr(function, "__name__", None) or str(function)
