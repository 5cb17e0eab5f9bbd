"""What a network of given sizes shows, layer by layer, before it is trained: predicted from the law of its weights.

`meanfield` asks what happens in endless layers of equal width, whose weights have mean 0. Here the widths are those of
a network, dropout is on, and the weights may have a mean, as those of `ones` and of U[0, 1) do.

**Forward.** Unit j computes y_j = Σ_k x_k w_kj + b_j. Write w = μ + σε, where ε has mean 0 and variance 1. For one
example,

    y_j = μ Σ_k x_k  +  σ Σ_k x_k ε_kj + b_j.

The first term is the same for all units of the layer: M = μ·n_in·E[x]. The rest differs from unit to unit, with mean 0
and variance v = σ²·n_in·E[x²] + σ_b², and is nearly normal if n_in is large. So over the units of one example,

    y ~ N(M, v),    E[y²] = M² + v,

and the next layer's E[x] and E[x²] are E[φ(y)] and E[φ(y)²]. Dropout keeps E[x] and multiplies E[x²] by 1/(1 − p).

**Back.** dx_k = Σ_j w_kj dy_j = μ Σ_j dy_j + σ Σ_j ε_kj dy_j: again a part that is the same for all units of the layer
and one that is not. Let G = E[dy²], and A the part of G that is shared, so dy_j = s + e_j with E[s²] = A and with
independent e_j of mean square G − A. Then

    E[(Σ_j dy_j)²] = n_out²·A + n_out·(G − A),
    A_before = μ²·E[(Σ_j dy_j)²],    G_before = A_before + σ²·n_out·G.

At the logits the sum is 0, because both probabilities and targets sum to 1: so the mean of the last layer's weights
sends nothing back. φ and dropout multiply G by E[φ'(y)²]/(1 − p), and A by E[φ'(y)]².

**What is assumed.** Layers are wide, and all weights are independent with one mean and one variance in a layer (so not
identity, ZerO or the mirrored networks). Results are means over draws of the weights. Σ x_k is replaced by its mean,
which leaves out a relative error of about 1/√n_in, and more where E[x] is near 0. An example is known by its E[x] and
E[x²] only. And dz is independent of the weights it goes back through. That fails where the logits are so large that
the largest takes all, and the weights have a mean: the weights that made a logit the largest then send back its
gradient. In the lesson's network from U[0, 1), the first layer's G is 1.6 times what is expected here.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from scratchnet.init.gaussian import FEW, Activation, derivative, expectation, function, integral, pair_expectation
from scratchnet.layers import Identity

Numbers = Any  # a number, or an array with one for each example
QUANTILES = 32  # of the examples' variances, for the first loss


@dataclass(frozen=True)
class LayerLaw:
    """A Linear layer, how its weights and biases are drawn, and what follows it."""

    n_in: int
    n_out: int
    w_mean: float  # μ
    w_var: float  # σ²
    b_var: float = 0.0  # σ_b²
    phi: Activation = None  # the activation after the layer; None for the last one
    dropout: float = 0.0  # the probability of dropping a unit, after the activation


@dataclass(frozen=True)
class Expected:
    """What theory expects of one Linear layer's outputs y, before the activation, and of their gradients."""

    q: float  # E[y²] over examples and units
    mean: float  # E[y]
    correlation: float  # of two different inputs: Σ_j y_j y'_j/√(Σ_j y_j² Σ_j y'_j²); NaN if c is not given
    slope: float  # E[φ'(y)²]; 1 for the last layer
    gradient: float  # E[dy²] divided by E[dz²] of the logits
    variance: np.ndarray  # v, of y over the units for one example: an array (n,) if the inputs are given as one


def predict(
    layers: Sequence[LayerLaw], x_mean: Numbers, x_square: Numbers, *, c: float | None = None
) -> list[Expected]:
    """What each layer shows in training mode, for inputs with the mean `x_mean` and the mean square `x_square`.

    Numbers stand for examples that are all alike in this. Where they are not, give arrays (n,), each example's mean and
    mean square over its own entries: then only the inputs' correlations are simplified. With weights that have a mean,
    this matters: q depends on E[x]² of single examples, whose mean is larger than the square of the mean.

    `c` is the cosine of two different inputs, Σ x x'/√(Σ x² Σ x'²), the mean over pairs. It is followed for two
    examples of average size. Raises ValueError for layers that do not fit together and for impossible moments.
    """
    _check(layers, x_mean, x_square, c)
    forward = _forward(layers, np.asarray(x_mean, float), np.asarray(x_square, float))
    alike = _correlations(layers, float(np.mean(x_mean)), float(np.mean(x_square)), c)
    backward = _backward(layers, [slopes for _, _, slopes in forward])
    return [
        Expected(float(np.mean(M**2 + v)), float(np.mean(M)), cosine, float(np.mean(slopes[1])), float(np.mean(G)), v)
        for (M, v, slopes), cosine, G in zip(forward, alike, backward, strict=True)
    ]


def first_loss(variance: Numbers, classes: int = 10) -> float:
    """E[log Σ_j exp(z_j) − z_t]: the loss of independent logits z_j ~ N(M, v) that know nothing of the label t.

    M cancels, so logits that are all equal have the loss ln(classes), however large they are. For small v the loss is
    ln(classes) + ½v·(1 − 1/classes). An array of variances v, one for each example, gives the mean over the examples,
    of which QUANTILES stand for all. The result is the mean over draws of the weights; a single network's loss differs
    from it the more, the larger v is, since its logits are alike for all examples.

    The expectation of log Σ_j exp(z_j) has `classes` variables. But if g_j are independent Gumbel variables, with
    P(g < u) = exp(−e^(−u)), then max_j(z_j + g_j) is one more Gumbel variable plus log Σ_j exp(z_j). The maximum is
    below u if all z_j + g_j are, so with F(u) = P(z + g < u) = E[exp(−e^(z − u))] and with the Gumbel variable's own
    distribution function,

        E[log Σ_j exp(z_j)] = ∫ (exp(−e^(−u)) − F(u)^classes) du.
    """
    if not (np.size(variance) and np.all(np.isfinite(variance)) and np.min(variance) >= 0 and classes >= 1):
        raise ValueError(f"expected finite variances ≥ 0 and at least one class, got {variance} and {classes}")
    typical = np.ravel(variance)
    if typical.size > QUANTILES:
        typical = np.quantile(typical, (np.arange(QUANTILES) + 0.5) / QUANTILES)
    return float(np.mean([_log_sum_exp(math.sqrt(v), classes) for v in typical]))


def _log_sum_exp(std: float, classes: int) -> float:
    """E[log Σ_j exp(std·z_j)] for independent z_j ~ N(0, 1), to 1e-9 for std ≤ 10, and to a share of 2e-4 beyond."""

    def gumbel(u: np.ndarray) -> np.ndarray:
        return np.exp(-np.exp(np.minimum(-u, 700)))  # e^710 overflows

    def gap(u: np.ndarray) -> np.ndarray:
        F = expectation(lambda z: gumbel(u[:, None] - std * z), kinks=[u / max(std, 1e-9)], nodes=FEW)
        return gumbel(u) - F**classes

    return float(integral(gap, [-5 - 3 * std, 0, 8 * std + 40], nodes=FEW))


# --- the walk -------------------------------------------------------------------------------------------------


def _forward(layers: Sequence[LayerLaw], mean: np.ndarray, square: np.ndarray) -> list[tuple[Any, Any, Any]]:
    """M, v and (E[φ'(y)], E[φ'(y)²]) of each layer: arrays with one element for each example."""
    walk = []
    for law in layers:
        M = law.w_mean * law.n_in * mean
        v = law.w_var * law.n_in * square + law.b_var
        phi = _phi(law)
        slope = derivative(phi)
        walk.append((M, v, (_normal(slope, M, v), _normal(_squared(slope), M, v)) if law.phi else (1.0, 1.0)))
        mean = _normal(function(phi), M, v)
        square = _normal(_squared(function(phi)), M, v) / (1 - law.dropout)
    return walk


def _backward(layers: Sequence[LayerLaw], slopes: Sequence[tuple[Any, Any]]) -> list[Any]:
    """G = E[dy²] of each layer, where that of the logits is 1."""
    G, sum_square = np.asarray(1.0), np.asarray(0.0)  # E[dz²] and E[(Σ_j dz_j)²]
    found = [G]
    for law, before, (slope, square) in zip(layers[:0:-1], layers[-2::-1], slopes[-2::-1], strict=True):
        shared = law.w_mean**2 * sum_square
        G = (shared + law.w_var * law.n_out * G) * square / (1 - before.dropout)
        shared = shared * slope**2
        sum_square = law.n_in**2 * shared + law.n_in * (G - shared)
        found.append(G)
    return found[::-1]


def _correlations(layers: Sequence[LayerLaw], mean: float, square: float, c: float | None) -> list[float]:
    """E[y y']/E[y²] of each layer for two examples with the same M and v, whose inputs have the cosine c."""
    if c is None:
        return [math.nan] * len(layers)
    product, found = c * square, []  # E[x x']
    for law in layers:
        M = law.w_mean * law.n_in * mean
        v = law.w_var * law.n_in * square + law.b_var
        covariance = law.w_var * law.n_in * product + law.b_var
        found.append((M**2 + covariance) / (M**2 + v) if M**2 + v > 0 else math.nan)
        root, f = math.sqrt(v), function(_phi(law))
        kinks = [-M / root] if root > 0 else []
        correlation = min(max(covariance / v, -1.0), 1.0) if v > 0 else 1.0

        def y(z: np.ndarray, M: float = M, root: float = root, f: Callable[..., Any] = f) -> np.ndarray:
            return f(M + root * z)

        product = pair_expectation(y, correlation, kinks=kinks)  # the masks of two examples are independent
        mean = expectation(y, kinks=kinks)
        square = expectation(_squared(y), kinks=kinks) / (1 - law.dropout)
    return found


def _normal(f: Callable[[np.ndarray], np.ndarray], mean: np.ndarray, variance: np.ndarray) -> np.ndarray:
    """E[f(y)] for y ~ N(mean, variance), elementwise; f may have a kink at 0."""
    root = np.sqrt(variance)
    kink = -mean / np.where(root > 0, root, np.inf)
    return np.asarray(expectation(lambda z: f(mean[..., None] + root[..., None] * z), kinks=[kink]))


def _squared(f: Callable[[np.ndarray], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    return lambda x: f(x) ** 2


def _phi(law: LayerLaw) -> Activation:
    return Identity() if law.phi is None else law.phi


def _check(layers: Sequence[LayerLaw], x_mean: Numbers, x_square: Numbers, c: float | None) -> None:
    if not layers:
        raise ValueError("expected at least one layer, got none")
    for before, law in itertools.pairwise(layers):
        if before.n_out != law.n_in:
            raise ValueError(f"expected layers that fit together, got {before.n_out} units before {law.n_in} inputs")
    for law in layers:
        if not (law.w_var >= 0 and law.b_var >= 0 and 0 <= law.dropout < 1):
            raise ValueError(f"expected variances ≥ 0 and 0 ≤ dropout < 1, got {law}")
    if not np.all(np.square(x_mean) <= np.multiply(x_square, 1 + 1e-6)):
        raise ValueError(f"expected x_mean² ≤ x_square, got x_mean = {x_mean} and x_square = {x_square}")
    if c is not None and not -1 <= c <= 1:
        raise ValueError(f"expected a cosine from -1 to 1, got c = {c}")
