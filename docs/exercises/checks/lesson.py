"""The exercises of docs/lesson.md."""

import math

import numpy as np

from checks.answers import call, expect, several
from scratchnet.lab.intervals import interval, t_quantile
from scratchnet.loss import CrossEntropy

NORMAL = 1.959964  # 95 % of a normal distribution lie within so many standard deviations of its mean


def _accuracies(seeds):
    """Two arms in points: what the seed adds to both is larger than what each has of its own."""
    rng = np.random.default_rng(5)
    shared = rng.normal(86.0, 0.5, seeds)
    return shared + 1.1 + rng.normal(0, 0.2, seeds), shared + rng.normal(0, 0.2, seeds)


def _halves(a, b):
    """Half the width of the interval, by each mistake."""
    n, s = len(a), float((a - b).std(ddof=1))
    apart = math.sqrt(a.var(ddof=1) + b.var(ddof=1))
    pairs = (
        "You took the arms as unpaired, √(s_a² + s_b²): take the standard deviation of the differences, seed by seed"
    )
    root, t = math.sqrt(n), t_quantile(n - 1)
    return {
        "You took a normal quantile, 1.96: s is estimated from few seeds, so take Student's t with n − 1.": NORMAL
        * s
        / root,
        "You divided by n in the standard deviation: take n − 1 (ddof=1), the mean is estimated too.": t
        * (a - b).std()
        / root,
        "You forgot √n: that is the spread of single seeds, and the mean of n of them varies √n times less.": t * s,
        "You divided by n: the mean of n seeds varies √n times less than one of them.": t * s / n,
        "That is the variance: take its root, the standard deviation.": t * s**2 / root,
        f"{pairs}. With 2n − 2 degrees of freedom it is the test of two independent samples.": t_quantile(2 * n - 2)
        * apart
        / root,
        f"{pairs}. What the seed adds to both cancels there.": t * apart / root,
        "t has n degrees of freedom here: the mean took one, n − 1 are left.": t_quantile(n) * s / root,
        "You asked for the level 0.975; t_quantile has two sides already: 0.95.": t_quantile(n - 1, 0.975) * s / root,
        "You asked for the level 0.9: each side has 2.5 %, both together 5 %.": t_quantile(n - 1, 0.9) * s / root,
        "t is missing: that is the standard error alone.": s / root,
    }


def paired_interval(function):
    for seeds in (6, 10):
        a, b = _accuracies(seeds)
        right = interval(a - b)
        mean, low, high = several(call(function, a, b), ("mean", "low", "high"))
        swapped = "The sign is wrong: a is ahead by a − b, and you took b − a."
        many = "Those are the differences, one for each seed: take their mean."
        whole = "You summed the differences: take their mean."
        mistakes = {swapped: -right.mean, many: a - b, whole: (a - b).sum()}
        expect(f"The mean of {seeds} seeds", mean, right.mean, mistakes)
        mistakes = {sentence: right.mean - half for sentence, half in _halves(a, b).items()}
        exchanged = "low and high are exchanged."
        width = "That is half the width of the interval: low is the mean − that."
        mistakes |= {exchanged: right.high, width: right.mean - right.low}
        expect(f"low of {seeds} seeds", low, right.low, mistakes, rtol=1e-3)
        expect(f"high of {seeds} seeds", high, right.high, rtol=1e-3)
    apart = max(half for sentence, half in _halves(a, b).items() if "cancels" in sentence)
    return (
        f"Ten seeds: {right.mean:.2f} points ({right.low:+.2f} to {right.high:+.2f}). Without the pairs it would be "
        f"{right.mean - apart:+.2f} to {right.mean + apart:+.2f}."
    )


def blind_guess(function):
    classes = 7
    mistakes = {
        "You took log₁₀: the logarithm is the natural one.": np.log10(classes),
        "You took log₂: the logarithm is the natural one.": np.log2(classes),
        "The loss is −log p; p < 1, so it is positive.": -np.log(classes),
        "That is p; the loss is −log p.": 1 / classes,
        "That is how often a guess is wrong; the loss is −log p of the label.": 1 - 1 / classes,
        "That is the loss for ten classes, whatever their number.": np.log(10),
        "You summed over the classes; only the label's −log p counts.": classes * np.log(classes),
        "The loss of p = 1 is 0. Equal logits give each class p = 1/classes.": 0.0,
    }
    # To four decimals: a number that was rounded is right too.
    for k in (classes, 2, 10):
        right = CrossEntropy().forward(np.zeros((1, k)), np.array([0]))
        expect(f"The loss for {k} classes", call(function, k), right, mistakes if k == classes else None, rtol=1e-4)
    return f"For ten classes it is {right:.4f} = ln 10: the loss of zeros, and the thin line in each figure."


EXERCISES = {"paired_interval": paired_interval, "blind_guess": blind_guess}
