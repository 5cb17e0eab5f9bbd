"""The exercises of docs/initialization.md."""

import numpy as np

from checks.answers import Wrong, call, expect, expect_prediction
from scratchnet.init import meanfield, schemes
from scratchnet.layers import Linear, ReLU

WIDE, NARROW = 600, 120
MEAN = "The mean of the weights is {:.2g}, expected the mean 0: numbers below 0 must be as likely as those above."


def _drawn(function, shape):
    """The weights that the reader's function draws, if they are independent numbers of mean 0."""
    W = call(function, shape, np.random.default_rng(1))
    if not isinstance(W, np.ndarray) or W.dtype.kind != "f" or W.shape != shape:
        got = f"an array of {W.dtype} of the shape {W.shape}" if isinstance(W, np.ndarray) else f"a {type(W).__name__}"
        raise Wrong(f"It returns {got}, expected an array of floats of the shape (n_in, n_out) = {shape}.")
    if not np.isfinite(W).all():
        raise Wrong("Some weights are infinite or not a number.")
    if (W == W[:1]).all() or (W == W[:, :1]).all():
        raise Wrong("All rows or all columns are equal: draw a number for each weight, of the whole shape.")
    if not np.array_equal(W, call(function, shape, np.random.default_rng(1))):
        raise Wrong("Two generators with one seed gave two arrays: draw from `rng`, not from np.random.")
    if np.array_equal(W, call(function, shape, np.random.default_rng(2))):
        raise Wrong("Generators with different seeds gave one array: draw from `rng`, and seed nothing yourself.")
    if abs(W.mean()) > 0.05 * W.std():
        raise Wrong(MEAN.format(W.mean()))
    return W


def _judge_variance(function, mistakes):
    """Raise Wrong unless the variance is 2/n_in in a layer that narrows and in one that widens; return the first W.

    `mistakes` are variances for (WIDE, NARROW). A sample of 72,000 has its own within 3 %, and they differ by more than 10 %.
    """
    W = _drawn(function, (WIDE, NARROW))
    right = 2 / WIDE
    if not np.isclose(W.var(), right, rtol=0.05):
        for sentence, variance in mistakes.items():
            if np.isclose(W.var(), variance, rtol=0.05):
                raise Wrong(sentence)
        raise Wrong(f"For the shape {WIDE, NARROW} the variance is {W.var():.4g}, expected 2/n_in = {right:.4g}.")
    other = _drawn(function, (NARROW, WIDE)).var()
    if not np.isclose(other, 2 / NARROW, rtol=0.05):
        raise Wrong(
            f"For the shape {WIDE, NARROW} the variance is right; for {NARROW, WIDE} it is {other:.4g}, expected "
            f"{2 / NARROW:.4g}. n_in is the first number of the shape, whichever is larger."
        )
    return W


def _variances():
    return {
        "You took the fan of the wrong side: a unit sums n_in products, so Var w = 2/n_in, not 2/n_out.": 2 / NARROW,
        "The factor 2 is missing: ReLU leaves half of the mean square, so Var w = 2/n_in, not 1/n_in.": 1 / WIDE,
        "The factor 2 is missing, and the fan is that of the wrong side: Var w = 2/n_in, not 1/n_out.": 1 / NARROW,
        "That is Glorot's compromise, 2/(n_in + n_out): He's rule keeps the signal alone.": 2 / (WIDE + NARROW),
        "That is 2/(n_in·n_out): a unit sums n_in products, and each unit does so by itself.": 2 / (WIDE * NARROW),
    }


def he_normal(function):
    mistakes = _variances() | {
        "2/n_in is the variance, and you made it the standard deviation: rng.normal wants its root.": (2 / WIDE) ** 2,
        "The standard deviation is 2/√n_in here: the 2 belongs inside the root.": 4 / WIDE,
    }
    W = _judge_variance(function, mistakes)
    if abs(W).max() < 1.8 * W.std():
        raise Wrong("The variance is right, and the distribution is uniform: that is exercise 2. Here it is normal.")
    right = schemes.he_normal((WIDE, NARROW), rng=np.random.default_rng(1)).var()
    return f"{WIDE * NARROW:,} weights have the variance {W.var():.5f}, those of schemes.he_normal {right:.5f}."


def he_uniform(function):
    mistakes = _variances() | {
        "√(2/n_in) is the standard deviation, and you made it the bound: U(−y, y) has the variance y²/3.": 2 / WIDE / 3,
        "That is the lesson's general rule, U(±1/√n_in), with the variance 1/(3·n_in): a sixth of He's.": 1 / WIDE / 3,
        "You divided by √3: U(−y, y) has the variance y²/3, so y is √3 times the standard deviation.": 2 / WIDE / 9,
        "The bound is 6/n_in here: its square is three times the variance, so take the root.": (6 / WIDE) ** 2 / 3,
        "The bound is 2/n_in here, which is the variance: U(−y, y) has the variance y²/3.": (2 / WIDE) ** 2 / 3,
        "You took y²/12 for the variance: that is U(0, y), which has half the width of U(−y, y).": 8 / WIDE,
    }
    W = _judge_variance(function, mistakes)
    farthest = abs(W).max() / W.std()
    if abs(farthest - 3**0.5) > 0.05:
        raise Wrong(
            f"The variance is right, and the farthest weight is {farthest:.2f} standard deviations from 0. In a uniform "
            "distribution it is √3 of them."
        )
    return f"The bound is √(6/n_in) = {(6 / WIDE) ** 0.5:.4f}, and the farthest of the weights {abs(W).max():.4f}."


def signal_after(function):
    q, w_var, n_in, layers = 0.206, 1.5 / 300, 300, 3
    right = q
    for _ in range(layers):
        right = meanfield.variance_map(ReLU(), right, sigma_w=(n_in * w_var) ** 0.5)
    factor = n_in * w_var / 2
    mistakes = {
        "You forgot ReLU, which leaves half of the mean square between two layers.": q * (2 * factor) ** layers,
        "You counted ReLU once; it stands between each two layers, and halves each time.": q
        * (2 * factor) ** layers
        / 2,
        "You halved twice in each layer: E[relu(y)²] = q/2.": q * (factor / 2) ** layers,
        "You added the factors; each layer multiplies what the one before it has made.": q * factor * layers,
        "That is one layer; the factors of all layers are multiplied.": q * factor,
        "That is a layer too few: q is that of the layer before the first of them.": q * factor ** (layers - 1),
        "That is a layer too many: q is the mean square now, already that of a layer's outputs.": q
        * factor ** (layers + 1),
        "You forgot q: the factors say what becomes of it.": factor**layers,
        "You forgot n_in: each unit sums so many products.": q * (w_var / 2) ** layers,
        "You took the root of the factor: q is a mean square, not its root.": q * factor ** (layers / 2),
        "That is the root mean square.": (q * factor**layers) ** 0.5,
        "You squared w_var: it is a variance already.": q * (n_in * w_var**2 / 2) ** layers,
    }
    expect("The mean square", call(function, q, w_var, n_in, layers), right, mistakes)
    expect("The mean square with He's variance", call(function, 0.5, 2 / 100, 100, 50), 0.5)
    expect("The mean square after no layer", call(function, 0.5, 0.1, 100, 0), 0.5)
    return f"After {layers} layers with n_in·Var w = 1.5: {right:.4f}. With He's variance q stays what it is."


def _factor():
    """What one layer under the general rule makes of the mean square, measured."""
    rng = np.random.default_rng(3)
    Y = rng.normal(size=(400, 500))
    layer = Linear(schemes.rule_uniform((500, 500), rng=rng), np.zeros(500))
    return float((layer.forward(ReLU().forward(Y)) ** 2).mean() / (Y**2).mean())


def rule_factor(got):
    mistakes = {
        "That is n_in·Var w; ReLU halves the mean square too.": 1 / 3,
        "You took 1/n_in for the variance; that of U(−y, y) is y²/3.": 1 / 2,
        "A factor of 1 would keep q; how large is n_in·Var w here, and what does ReLU leave?": 1.0,
        "That is the factor of the root mean square.": 6**-0.5,
        "The signal fades: divide.": 6.0,
        "You took y²/12 for the variance: that is U(0, y), which has half the width of U(−y, y).": 1 / 24,
    }
    expect_prediction(got, 1 / 6, mistakes)
    return f"Measured: {_factor():.3f}. Twenty such layers leave 1/6²⁰, which is {6**-20:.1e}."


EXERCISES = {
    "he_normal": he_normal,
    "he_uniform": he_uniform,
    "signal_after": signal_after,
    "RULE_FACTOR": rule_factor,
}
