"""What each initialization promises, and what a sample of it shows.

For every scheme a `Theory` for one shape: the formula, the moments, the bounds, the share of zeros, the
largest singular value and the density. `measure` takes the same numbers from a sample, and `disagreements` compares
the two. For every preparation, which has the data or the whole network to look at, `promises` measures
the one thing that it is for.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

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
    """A scheme's promise for one shape (n, m). Mean and standard deviation are over all entries, zeros included."""

    formula: str
    mean: float
    std: float
    low: float  # no weight is smaller
    high: float  # no weight is larger
    spectral_norm: float  # the largest singular value
    zeros: float = 0.0  # the share of the entries that are 0
    density: Density | None = None  # of the entries that are not 0; None where they take a few values only
    tolerance: float = 1e-9  # relative, of the spectral norm: more for random matrices, see `norm_tolerance`


@dataclass(frozen=True)
class Measured:
    """The same numbers of a sample W."""

    mean: float
    std: float
    low: float
    high: float
    spectral_norm: float
    zeros: float


def measure(W: np.ndarray) -> Measured:
    return Measured(
        float(W.mean()),
        float(W.std()),
        float(W.min()),
        float(W.max()),
        float(np.linalg.norm(W, 2)),
        float((W == 0).mean()),
    )


def disagreements(promised: Theory, W: np.ndarray, *, standard_errors: float = 5.0) -> list[str]:
    """The names of the numbers in which the sample W breaks the promise; empty where it keeps them all.

    Mean and standard deviation may be off by so many standard errors: σ/√N for the mean of N entries, and σ/√(2N)
    for the standard deviation, more for entries that are mostly 0.
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
    """What `init.SCHEMES[name]`, with its default arguments, promises for W of `shape` (n, m)."""
    n, m = fans(shape)
    return _THEORIES[resolve(name, _THEORIES)](n, m)


# --- families of distributions --------------------------------------------------------------------------------


def random_norm(n: int, m: int, mean: float, std: float) -> float:
    """The spectral norm of an n × m matrix of independent entries, in the limit of large n and m.

    Around 0 it is σ(√n + √m) (Marchenko & Pastur 1967; Bai & Yin 1993). A mean μ adds μ in all places, a matrix with
    the single singular value s = |μ|√(nm), and the two together have √((s² + nσ²)(s² + mσ²))/s, once s is above the
    noise (Benaych-Georges & Nadakuditi 2012, §3.1).
    """
    s = abs(mean) * math.sqrt(n * m)
    if s <= std * (n * m) ** 0.25:
        return std * (math.sqrt(n) + math.sqrt(m))
    return math.sqrt((s**2 + n * std**2) * (s**2 + m * std**2)) / s


def norm_tolerance(n: int, m: int) -> float:
    """How far, relatively, a sample's spectral norm may be from `random_norm`: 4 % for 784 × 256, more for small ones.

    The norm's square falls short of (√n + √m)² by s·(1.2 ± 1.3), s = (√n + √m)(1/√n + 1/√m)^(1/3) (Johnstone 2001,
    Annals of Statistics 29, theorem 1.1; the mean and deviation of Tracy & Widom's law). Five deviations are allowed.
    """
    a, b = math.sqrt(n), math.sqrt(m)
    return (1.2 + 5 * 1.3) / 2 * (1 / a + 1 / b) ** (1 / 3) / (a + b)


def _uniform(formula: str, n: int, m: int, low: float, high: float) -> Theory:
    mean, std = (low + high) / 2, (high - low) / math.sqrt(12)

    def density(w: np.ndarray) -> np.ndarray:
        return np.where((w >= low) & (w <= high), 1 / (high - low), 0.0)

    return Theory(
        formula, mean, std, low, high, random_norm(n, m, mean, std), density=density, tolerance=norm_tolerance(n, m)
    )


def _normal(formula: str, n: int, m: int, std: float, cut: float = math.inf) -> Theory:
    """N(0, std²) before it is cut at ± `cut` standard deviations."""
    kept = math.erf(cut / math.sqrt(2))
    after = std * (truncated_std(-cut, cut) if math.isfinite(cut) else 1.0)

    def density(w: np.ndarray) -> np.ndarray:
        normal = np.exp(-((w / std) ** 2) / 2) / (std * math.sqrt(2 * math.pi) * kept)
        return np.where(np.abs(w) <= cut * std, normal, 0.0)

    return Theory(
        formula,
        0.0,
        after,
        -cut * std,
        cut * std,
        random_norm(n, m, 0.0, after),
        density=density,
        tolerance=norm_tolerance(n, m),
    )


def _constant(formula: str, n: int, m: int, value: float) -> Theory:
    norm = abs(value) * math.sqrt(n * m)
    return Theory(formula, value, 0.0, value, value, norm, zeros=float(value == 0))


def _identity(formula: str, n: int, m: int) -> Theory:
    mean = 1 / max(n, m)  # min(n, m) ones among nm entries
    return Theory(formula, mean, math.sqrt(mean - mean**2), 0.0, 1.0, 1.0, zeros=1 - mean)


# --- a line a scheme ------------------------------------------------------------------------------------------


def _truncated(formula: str, n: int, m: int, std: float) -> Theory:
    """Cut at ±2 and corrected: the normal distribution before the cut is wider by 1/0.8796."""
    return _normal(formula, n, m, std / truncated_std(-2, 2), cut=2.0)


def _orthogonal(n: int, m: int) -> Theory:
    """An entry of a random unit vector in N dimensions has the density ∝ (1 − w²)^((N − 3)/2), and variance 1/N."""
    N = max(n, m)
    log_scale = math.lgamma(N / 2) - math.lgamma((N - 1) / 2) - math.log(math.pi) / 2

    def density(w: np.ndarray) -> np.ndarray:
        inside = np.clip(1 - w**2, 1e-300, None)
        return np.where(np.abs(w) < 1, np.exp(log_scale + (N - 3) / 2 * np.log(inside)), 0.0)

    return Theory("QᵀQ = I, Haar", 0.0, 1 / math.sqrt(N), -1.0, 1.0, 1.0, density=density)


def _sparse(n: int, m: int) -> Theory:
    k = 15
    if k > n:
        raise ValueError(f"sparse takes {k} links for each unit, and with the shape {(n, m)} a unit has {n} inputs")
    std = math.sqrt(k / n)
    links = _normal("", n, m, 1.0).density
    norm = random_norm(n, m, 0.0, std)
    # few links a row: the largest rows stand out, and the limit for wide layers is approached from above, slowly
    tolerance = 0.25 + 1 / math.sqrt(m)
    return Theory(
        "15 links N(0, 1) a unit",
        0.0,
        std,
        -math.inf,
        math.inf,
        norm,
        zeros=1 - k / n,
        density=links,
        tolerance=tolerance,
    )


def _zero(n: int, m: int) -> Theory:
    if n >= m:
        return _identity("I, cut to n × m", n, m)
    p = math.ceil(math.log2(m))
    c = 2 ** (-(p - 1) / 2)
    # Sylvester's H_ij = (−1)^(number of ones that i and j share in binary)
    shared = np.bitwise_count(np.arange(n)[:, None] & np.arange(m)[None, :])
    mean = c * float((1 - 2.0 * (shared % 2)).mean())
    std = math.sqrt(c**2 - mean**2)
    # where m is a power of two all n rows are orthogonal and of length c√m = √2; cut off, they are a little less
    tolerance = 1e-9 if m == 2**p else 0.3
    return Theory("c·H, H Hadamard", mean, std, -c, c, math.sqrt(2), tolerance=tolerance)


_THEORIES: dict[str, Callable[[int, int], Theory]] = {
    "zeros": lambda n, m: _constant("0", n, m, 0.0),
    "ones": lambda n, m: _constant("1", n, m, 1.0),
    "constant": lambda n, m: _constant("0.1", n, m, 0.1),
    "identity": lambda n, m: _identity("I", n, m),
    "uniform": lambda n, m: _uniform("U[0, 1)", n, m, 0.0, 1.0),
    "normal": lambda n, m: _normal("N(0, 1)", n, m, 1.0),
    "truncated_normal": lambda n, m: _truncated("TN, std 1", n, m, 1.0),
    "rule_uniform": lambda n, m: _uniform("U(±1/√n)", n, m, -math.sqrt(1 / n), math.sqrt(1 / n)),
    "rule_normal": lambda n, m: _normal("N(0, 1/n)", n, m, math.sqrt(1 / n)),
    "variance_scaling": lambda n, m: _normal("N(0, 1/n)", n, m, math.sqrt(1 / n)),
    "lecun_uniform": lambda n, m: _uniform("U(±√(3/n))", n, m, -math.sqrt(3 / n), math.sqrt(3 / n)),
    "lecun_normal": lambda n, m: _normal("N(0, 1/n)", n, m, math.sqrt(1 / n)),
    "glorot_uniform": lambda n, m: _uniform("U(±√(6/(n+m)))", n, m, -math.sqrt(6 / (n + m)), math.sqrt(6 / (n + m))),
    "glorot_normal": lambda n, m: _normal("N(0, 2/(n+m))", n, m, math.sqrt(2 / (n + m))),
    "he_uniform": lambda n, m: _uniform("U(±√(6/n))", n, m, -math.sqrt(6 / n), math.sqrt(6 / n)),
    "he_normal": lambda n, m: _normal("N(0, 2/n)", n, m, math.sqrt(2 / n)),
    "torch_linear": lambda n, m: _uniform("U(±1/√n)", n, m, -math.sqrt(1 / n), math.sqrt(1 / n)),
    "keras_dense": lambda n, m: _uniform("U(±√(6/(n+m)))", n, m, -math.sqrt(6 / (n + m)), math.sqrt(6 / (n + m))),
    "flax_dense": lambda n, m: _truncated("TN, std 1/√n", n, m, math.sqrt(1 / n)),
    "haiku_dense": lambda n, m: _normal("TN(1/√n), uncorrected", n, m, math.sqrt(1 / n), cut=2.0),
    "orthogonal": _orthogonal,
    "sparse": _sparse,
    "siren_first": lambda n, m: _uniform("U(±1/n)", n, m, -1 / n, 1 / n),
    "siren_hidden": lambda n, m: _uniform("U(±√(6/n)/30)", n, m, -math.sqrt(6 / n) / 30, math.sqrt(6 / n) / 30),
    "zero": _zero,
    "edge_of_chaos": lambda n, m: _normal("N(0, σ_w²/n), ReLU", n, m, math.sqrt(2 / n)),
}


# --- what looks at the data or the whole network ----------------------------------------------------------------


@dataclass(frozen=True)
class Promise:
    """What a preparation is for, the number that it promises, and the one that was measured."""

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
    """Every preparation of an mlp of these sizes on these images (n, n_in), with what it promises."""

    def prepared(name: str) -> tuple[Network, list[np.ndarray]]:
        """The network, and the output of each of its Linear layers."""
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
    found.append(Promise("lsuv", "every layer's variance, the worst", 1.0, variance, 0.05))

    _, outputs = prepared("weight_norm")
    off = max(float(np.abs(x).max()) for Y in outputs for x in (Y.mean(axis=0), Y.std(axis=0) - 1))
    found.append(Promise("weight_norm", "every unit's |mean| and |deviation − 1|, the worst", 0.0, off, 1e-3))

    network, _ = prepared("krahenbuhl")
    ratios = gradient_ratios(network, images, rng)  # with another random loss than the one it was balanced for
    claim = "gradient to weight, largest over smallest layer"
    found.append(Promise("krahenbuhl", claim, 1.0, float(ratios.max() / ratios.min()), 0.1))

    _, outputs = prepared("pca")
    covariance = np.cov(outputs[0].T, bias=True)
    off = float(np.abs(covariance - np.eye(len(covariance))).max())
    found.append(Promise("pca", "first layer's covariance, largest |C − I|", 0.0, off, 0.1))

    _, outputs = prepared("hinge_bias")
    nearest = max(float(np.abs(Y).min(axis=0).max()) for Y in outputs[:-1])
    found.append(
        Promise("hinge_bias", "distance of a unit's kink from the nearest image, the worst", 0.0, nearest, 1e-5)
    )

    network, outputs = prepared("antisymmetric")
    found.append(Promise("antisymmetric", "largest |output|", 0.0, float(np.abs(outputs[-1]).max()), 0.0))

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
