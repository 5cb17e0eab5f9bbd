"""What each initialization promises, and what a sample of it shows.

`theory` gives the promise of a scheme for one shape: the formula, the mean and standard deviation, the bounds, the
share of zeros, the largest singular value and the density. `measure` takes the same numbers from a sample, and
`disagreements` compares the two. A preparation looks at the data or at the whole network; `promises` measures the one
thing that each preparation is made for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from scratchnet.init.data_dependent import gradient_ratios
from scratchnet.init.registry import PREPARATIONS, resolve
from scratchnet.init.schemes import fans, truncated_std
from scratchnet.layers import Linear
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network, mlp

Density = Callable[[np.ndarray], np.ndarray]


@dataclass(frozen=True)
class Theory:
    """A scheme's promise for one shape (n_in, n_out). Mean and standard deviation include the entries that are 0."""

    formula: str
    mean: float
    std: float
    low: float  # no weight is smaller
    high: float  # no weight is larger
    spectral_norm: float  # the largest singular value
    zeros: float = 0.0  # the share of the entries that are 0
    density: Density | None = None  # of the entries that are not 0; None if they take only a few values
    tolerance: float = 1e-9  # relative error allowed for the spectral norm; more for random matrices (norm_tolerance)


@dataclass(frozen=True)
class Measured:
    """The same numbers, measured on a sample W."""

    mean: float
    std: float
    low: float
    high: float
    spectral_norm: float
    zeros: float


def measure(W: np.ndarray) -> Measured:
    """The numbers of a `Theory`, taken from a sample W."""
    return Measured(
        float(W.mean()),
        float(W.std()),
        float(W.min()),
        float(W.max()),
        float(np.linalg.norm(W, 2)),
        float((W == 0).mean()),
    )


def disagreements(promised: Theory, W: np.ndarray, *, standard_errors: float = 5.0) -> list[str]:
    """The names of the numbers in which the sample W breaks the promise: an empty list if it keeps the promise.

    Mean and standard deviation may be off by `standard_errors` standard errors. That of the mean is σ/√W.size. That of
    the standard deviation is σ/√(2·W.size), and larger if most entries are 0.
    """
    found = measure(W)
    rounding = 1e-9 + 1e-9 * abs(promised.mean)
    kurtosis = 3.0 / (1 - promised.zeros) if promised.zeros < 1 else 3.0
    allowed = {
        "mean": rounding + standard_errors * promised.std / math.sqrt(W.size),
        "std": rounding + standard_errors * promised.std * math.sqrt((kurtosis - 1) / (4 * W.size)),
        "zeros": 1e-12,
        "spectral_norm": rounding + promised.tolerance * promised.spectral_norm,
    }
    wrong = [name for name, by in allowed.items() if abs(getattr(found, name) - getattr(promised, name)) > by]
    if found.low < promised.low - rounding or found.high > promised.high + rounding:
        wrong.append("bounds")
    return wrong


def theory(name: str, shape: tuple[int, int]) -> Theory:
    """What `init.SCHEMES[name]`, with its default arguments, promises for W of `shape` (n_in, n_out)."""
    return _THEORIES[resolve(name, _THEORIES)](*fans(shape))


# --- families of distributions --------------------------------------------------------------------------------


def random_norm(n_in: int, n_out: int, mean: float, std: float) -> float:
    """The spectral norm of an n_in × n_out matrix of independent entries, in the limit of many rows and columns.

    For mean 0 it is σ(√n_in + √n_out) (Marchenko & Pastur 1967; Bai & Yin 1993). A mean μ adds a matrix that is μ
    everywhere, whose only singular value is s = |μ|√(n_in·n_out). If s is above the noise, the sum of both has the norm
    √((s² + n_in·σ²)(s² + n_out·σ²))/s (Benaych-Georges & Nadakuditi 2012, §3.1).
    """
    s = abs(mean) * math.sqrt(n_in * n_out)
    if s <= std * (n_in * n_out) ** 0.25:
        return std * (math.sqrt(n_in) + math.sqrt(n_out))
    return math.sqrt((s**2 + n_in * std**2) * (s**2 + n_out * std**2)) / s


def norm_tolerance(n_in: int, n_out: int) -> float:
    """The relative error allowed between a sample's spectral norm and `random_norm`: 4 % for 784 × 256.

    It is larger for small matrices. The square of the norm is smaller than (√n_in + √n_out)² by s·(1.2 ± 1.3), with
    s = (√n_in + √n_out)(1/√n_in + 1/√n_out)^(1/3) (Johnstone 2001, Annals of Statistics 29, theorem 1.1; 1.2 and 1.3
    are the mean and the deviation of Tracy & Widom's law). Five deviations are allowed.
    """
    a, b = math.sqrt(n_in), math.sqrt(n_out)
    return (1.2 + 5 * 1.3) / 2 * (1 / a + 1 / b) ** (1 / 3) / (a + b)


def _uniform(formula: str, n_in: int, n_out: int, low: float, high: float) -> Theory:
    mean, std = (low + high) / 2, (high - low) / math.sqrt(12)
    norm, tolerance = random_norm(n_in, n_out, mean, std), norm_tolerance(n_in, n_out)

    def density(w: np.ndarray) -> np.ndarray:
        return np.where((w >= low) & (w <= high), 1 / (high - low), 0.0)

    return Theory(formula, mean, std, low, high, norm, density=density, tolerance=tolerance)


def _symmetric(formula: str, n_in: int, n_out: int, bound: float) -> Theory:
    """U(±bound)."""
    return _uniform(formula, n_in, n_out, -bound, bound)


def _normal(formula: str, n_in: int, n_out: int, std: float, cut: float = math.inf) -> Theory:
    """N(0, std²), cut at ±`cut` of its standard deviations; `std` is that before the cut."""
    kept = math.erf(cut / math.sqrt(2))
    after = std * (truncated_std(-cut, cut) if math.isfinite(cut) else 1.0)
    norm, tolerance = random_norm(n_in, n_out, 0.0, after), norm_tolerance(n_in, n_out)

    def density(w: np.ndarray) -> np.ndarray:
        normal = np.exp(-((w / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi) * kept)
        return np.where(np.abs(w) <= cut * std, normal, 0.0)

    return Theory(formula, 0.0, after, -cut * std, cut * std, norm, density=density, tolerance=tolerance)


def _truncated(formula: str, n_in: int, n_out: int, std: float) -> Theory:
    """Cut at ±2 and corrected: before the cut, the standard deviation is larger by 1/0.8796."""
    return _normal(formula, n_in, n_out, std / truncated_std(-2, 2), cut=2.0)


def _constant(formula: str, n_in: int, n_out: int, value: float) -> Theory:
    norm = abs(value) * math.sqrt(n_in * n_out)
    return Theory(formula, value, 0.0, value, value, norm, zeros=float(value == 0))


def _identity(formula: str, n_in: int, n_out: int) -> Theory:
    mean = 1 / max(n_in, n_out)  # min(n_in, n_out) ones among n_in·n_out entries
    return Theory(formula, mean, math.sqrt(mean - mean**2), 0.0, 1.0, 1.0, zeros=1 - mean)


# --- one line for each scheme ---------------------------------------------------------------------------------


def _orthogonal(n_in: int, n_out: int) -> Theory:
    """An entry of a random unit vector in d dimensions has the density ∝ (1 − w²)^((d − 3)/2), and variance 1/d."""
    d = max(n_in, n_out)
    log_scale = math.lgamma(d / 2) - math.lgamma((d - 1) / 2) - math.log(math.pi) / 2

    def density(w: np.ndarray) -> np.ndarray:
        inside = np.clip(1 - w**2, 1e-300, None)
        return np.where(np.abs(w) < 1, np.exp(log_scale + (d - 3) / 2 * np.log(inside)), 0.0)

    return Theory("QᵀQ = I, Haar", 0.0, 1 / math.sqrt(d), -1.0, 1.0, 1.0, density=density)


def _sparse(n_in: int, n_out: int) -> Theory:
    k = 15
    if k > n_in:
        raise ValueError(
            f"sparse takes {k} links for each unit, but for the shape {(n_in, n_out)} a unit has {n_in} inputs"
        )
    std = math.sqrt(k / n_in)
    norm = random_norm(n_in, n_out, 0.0, std)
    # With few links in a row, the largest rows stand out, and the limit of wide layers is approached slowly from above.
    tolerance = 0.25 + 1 / math.sqrt(n_out)
    links = _normal("15 links N(0, 1) per unit", n_in, n_out, 1.0)
    return replace(links, std=std, spectral_norm=norm, zeros=1 - k / n_in, tolerance=tolerance)


def _zero(n_in: int, n_out: int) -> Theory:
    if n_in >= n_out:
        return _identity("I, cut to n_in × n_out", n_in, n_out)
    p = math.ceil(math.log2(n_out))
    c = 2 ** (-(p - 1) / 2)
    # Sylvester's H_ij = (−1)^(number of ones that i and j share in binary)
    shared = np.bitwise_count(np.arange(n_in)[:, None] & np.arange(n_out)[None, :])
    mean = c * float((1 - 2.0 * (shared % 2)).mean())
    std = math.sqrt(c**2 - mean**2)
    # If n_out is a power of two, all rows are orthogonal and of length c√n_out = √2; if they are cut, a little less.
    tolerance = 1e-9 if n_out == 2**p else 0.3
    return Theory("c·H, H Hadamard", mean, std, -c, c, math.sqrt(2), tolerance=tolerance)


_THEORIES: dict[str, Callable[[int, int], Theory]] = {
    "zeros": lambda n_in, n_out: _constant("0", n_in, n_out, 0.0),
    "ones": lambda n_in, n_out: _constant("1", n_in, n_out, 1.0),
    "constant": lambda n_in, n_out: _constant("0.1", n_in, n_out, 0.1),
    "identity": lambda n_in, n_out: _identity("I", n_in, n_out),
    "uniform": lambda n_in, n_out: _uniform("U[0, 1)", n_in, n_out, 0.0, 1.0),
    "normal": lambda n_in, n_out: _normal("N(0, 1)", n_in, n_out, 1.0),
    "truncated_normal": lambda n_in, n_out: _truncated("TN, std 1", n_in, n_out, 1.0),
    "rule_uniform": lambda n_in, n_out: _symmetric("U(±1/√n_in)", n_in, n_out, math.sqrt(1 / n_in)),
    "rule_normal": lambda n_in, n_out: _normal("N(0, 1/n_in)", n_in, n_out, math.sqrt(1 / n_in)),
    "variance_scaling": lambda n_in, n_out: _normal("N(0, 1/n_in)", n_in, n_out, math.sqrt(1 / n_in)),
    "lecun_uniform": lambda n_in, n_out: _symmetric("U(±√(3/n_in))", n_in, n_out, math.sqrt(3 / n_in)),
    "lecun_normal": lambda n_in, n_out: _normal("N(0, 1/n_in)", n_in, n_out, math.sqrt(1 / n_in)),
    "glorot_uniform": lambda n_in, n_out: _symmetric(
        "U(±√(6/(n_in+n_out)))", n_in, n_out, math.sqrt(6 / (n_in + n_out))
    ),
    "glorot_normal": lambda n_in, n_out: _normal("N(0, 2/(n_in+n_out))", n_in, n_out, math.sqrt(2 / (n_in + n_out))),
    "he_uniform": lambda n_in, n_out: _symmetric("U(±√(6/n_in))", n_in, n_out, math.sqrt(6 / n_in)),
    "he_normal": lambda n_in, n_out: _normal("N(0, 2/n_in)", n_in, n_out, math.sqrt(2 / n_in)),
    "torch_linear": lambda n_in, n_out: _symmetric("U(±1/√n_in)", n_in, n_out, math.sqrt(1 / n_in)),
    "keras_dense": lambda n_in, n_out: _symmetric("U(±√(6/(n_in+n_out)))", n_in, n_out, math.sqrt(6 / (n_in + n_out))),
    "flax_dense": lambda n_in, n_out: _truncated("TN, std 1/√n_in", n_in, n_out, math.sqrt(1 / n_in)),
    "haiku_dense": lambda n_in, n_out: _normal("TN(1/√n_in), uncorrected", n_in, n_out, math.sqrt(1 / n_in), cut=2.0),
    "orthogonal": _orthogonal,
    "sparse": _sparse,
    "siren_first": lambda n_in, n_out: _symmetric("U(±1/n_in)", n_in, n_out, 1 / n_in),
    "siren_hidden": lambda n_in, n_out: _symmetric("U(±√(6/n_in)/30)", n_in, n_out, math.sqrt(6 / n_in) / 30),
    "zero": _zero,
    "edge_of_chaos": lambda n_in, n_out: _normal("N(0, σ_w²/n_in), ReLU", n_in, n_out, math.sqrt(2 / n_in)),
}


# --- preparations, which look at the data or the whole network ------------------------------------------------


@dataclass(frozen=True)
class Promise:
    """What a preparation is made for, the number that it promises, and the number that was measured."""

    name: str
    claim: str
    promised: float
    measured: float
    tolerance: float

    @property
    def kept(self) -> bool:
        return abs(self.measured - self.promised) <= self.tolerance


def promises(
    images: np.ndarray, labels: np.ndarray, *, sizes: tuple[int, ...], rng: np.random.Generator
) -> list[Promise]:
    """Prepare an mlp of these sizes by each preparation, on `images: (n, n_in)`, and measure what it promises."""

    def prepared(name: str) -> tuple[Network, list[np.ndarray]]:
        """The prepared network, and the output of each of its Linear layers for the images."""
        network, outputs, X = mlp(sizes), [], images
        PREPARATIONS[name](network, images, labels, rng=rng)
        for layer in network.layers:
            X = layer.forward(X)
            if isinstance(layer, Linear):
                outputs.append(X.astype(np.float64))
        return network, outputs

    def worst(values: list[float], target: float) -> float:
        return max(values, key=lambda value: abs(value - target))

    found = []
    _, outputs = prepared("lsuv")
    variance = worst([float(Y.var()) for Y in outputs], 1.0)
    found.append(Promise("lsuv", "variance of a layer's output, the one farthest from 1", 1.0, variance, 0.05))

    _, outputs = prepared("weight_norm")
    off = max(float(np.abs(x).max()) for Y in outputs for x in (Y.mean(axis=0), Y.std(axis=0) - 1))
    found.append(Promise("weight_norm", "largest |mean| or |deviation − 1| of a unit", 0.0, off, 1e-3))

    network, _ = prepared("krahenbuhl")
    ratios = gradient_ratios(network, images, rng)  # for another random loss than it was balanced for
    claim = "largest gradient-to-weight ratio of a layer over the smallest"
    found.append(Promise("krahenbuhl", claim, 1.0, float(ratios.max() / ratios.min()), 0.1))

    _, outputs = prepared("pca")
    covariance = np.cov(outputs[0].T, bias=True)
    off = float(np.abs(covariance - np.eye(len(covariance))).max())
    found.append(Promise("pca", "first layer's covariance, largest |C − I|", 0.0, off, 0.1))

    _, outputs = prepared("hinge_bias")
    nearest = max(float(np.abs(Y).min(axis=0).max()) for Y in outputs[:-1])
    found.append(
        Promise("hinge_bias", "distance from a unit's kink to the nearest image, the largest", 0.0, nearest, 1e-5)
    )

    network, outputs = prepared("antisymmetric")
    found.append(Promise("antisymmetric", "largest |output|", 0.0, float(np.abs(outputs[-1]).max()), 1e-5))

    network, outputs = prepared("looks_linear")
    Q = network.forward(np.eye(sizes[0], dtype=np.float32))
    off = float(np.abs(outputs[-1] - images @ Q).max())
    found.append(Promise("looks_linear", "largest |f(X) − XQ|, Q = f(I)", 0.0, off, 1e-4))

    _, outputs = prepared("zero_last")
    share = np.bincount(labels) / len(labels)
    entropy = -float((share * np.log(share)).sum())
    loss = float(CrossEntropy().forward(outputs[-1], labels))
    found.append(Promise("zero_last", "loss at the start: the labels' entropy", entropy, loss, 1e-6))
    return found
