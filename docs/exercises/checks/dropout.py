"""The exercises of docs/dropout.md."""

import numpy as np

from checks.answers import Wrong, call, expect, expect_prediction, several
from scratchnet.layers import Dropout

N, UNITS, P = 4000, 6, 0.3


def dropout_forward(function):
    X = 1.0 + np.arange(N * UNITS).reshape(N, UNITS) % 7  # no element is 0
    Y, M = several(call(function, X, P, np.random.default_rng(1)), ("Y", "M"))
    for name, A in (("Y", Y), ("M", M)):
        if not isinstance(A, np.ndarray) or A.shape != X.shape:
            hint = " One draw for a row or a column drops all of it at once: draw X.shape numbers."
            got = f"has the shape {A.shape}" if isinstance(A, np.ndarray) else f"is a {type(A).__name__}"
            raise Wrong(f"{name} {got}, expected the shape of X, {X.shape}.{hint}")
    kept = Y != 0
    share = kept.mean()
    if kept.all():
        raise Wrong("Nothing was dropped: every element of Y differs from 0.")
    if abs(share - P) < 0.03:
        raise Wrong(f"{share:.0%} of the elements were kept, for p = {P}: p is the probability of *dropping* one.")
    if abs(share - (1 - P)) > 0.03:
        raise Wrong(f"{1 - share:.0%} of the elements were dropped, expected about {P:.0%}.")
    if (kept == kept[:1]).all():
        raise Wrong("All examples lost the same units: draw a number for each element, of X's whole shape.")
    if (kept == kept[:, :1]).all():
        raise Wrong("An example lost all of its units or none: draw a number for each element, of X's whole shape.")
    scales = (Y / X)[kept]
    for sentence, scale in {
        f"What is left was not scaled, so the mean of y is {1 - P:g}·x: multiply the mask by 1/(1 − p).": 1.0,
        f"What is left was multiplied by 1/p. A share 1 − p is left, so the mean of y is {(1 - P) / P:.2f}·x.": 1 / P,
        "What is left was multiplied by 1 − p. That makes the mean (1 − p)²·x: divide by 1 − p.": 1 - P,
        "What is left was divided by √(1 − p): that keeps the mean *square*. Here the mean is kept.": (1 - P) ** -0.5,
    }.items():
        if np.allclose(scales, scale):
            raise Wrong(sentence)
    if np.allclose(scales, scales[0]) and not np.isclose(scales[0], 1 / (1 - P)):
        share_of_this_draw = f"{scales[0]:.4f}, expected 1/(1 − p) = {1 / (1 - P):.4f}"
        raise Wrong(f"What is left was multiplied by {share_of_this_draw}.")
    right = np.where(kept, X / (1 - P), 0)
    expect("Y", Y, right)
    unscaled = "M has only zeros and ones, though Y is scaled. dX = dY·M needs the scale too: return the scaled mask."
    expect("M", M, kept / (1 - P), {unscaled: kept, "M is 1 where an element was dropped: it is the other way.": ~kept})
    again = several(call(function, X, P, np.random.default_rng(1)), ("Y", "M"))[0]
    other = several(call(function, X, P, np.random.default_rng(2)), ("Y", "M"))[0]
    if not np.array_equal(Y, again):
        raise Wrong(
            "Two generators with one seed gave two masks: draw from `rng`, not from np.random or a new generator."
        )
    if np.array_equal(Y, other):
        raise Wrong("Generators with different seeds gave one mask: draw from `rng`, and seed nothing yourself.")
    return f"{1 - share:.1%} were dropped (p = 30 %), and the mean of y/x is {(Y / X).mean():.3f}."


def dropout_backward(function):
    rng = np.random.default_rng(3)
    p = 0.25
    layer = Dropout(p, rng=rng)
    X, dY = rng.normal(size=(5, UNITS)), rng.normal(size=(5, UNITS))
    layer.forward(X, train=True)
    mistakes = {
        "dX is dY: y is 0 whatever a dropped x is, so its gradient is 0.": dY,
        "The dropped elements are 0, and the others lack the factor of the mask: y = x·m, so dx = dy·m.": dY
        * (layer.M > 0),
        "You divided by the scale; y = x·m, so dx = dy·m, the same factor on both ways.": dY * (layer.M > 0) * (1 - p),
        "You scaled twice: M holds the factor 1/(1 − p) already.": dY * layer.M / (1 - p),
    }
    expect("dX", call(function, dY, layer.M), layer.backward(dY), mistakes)
    return "dX = dY·M, the mask of the forward pass."


def _mean_squares(depth):
    X = np.ones((20_000, 10))
    rng = np.random.default_rng(4)
    for _ in range(depth):
        X = Dropout(0.2, rng=rng).forward(X, train=True)
    return float((X**2).mean())


def mean_square(got):
    mistakes = {
        "The mean is kept, and squares are not: the scale 1/(1 − p) is squared, a share 1 − p is left.": 1.0,
        "You squared the scale; but only a share 1 − p of the elements is left.": 1 / 0.8**2,
        "That is the share that is left; what is left has been scaled, and then squared.": 0.8,
    }
    expect_prediction(got, 1 / (1 - 0.2), mistakes)
    return f"Measured on 200,000 ones: {_mean_squares(1):.3f}."


def twenty_layers(got):
    mistakes = {
        "That is one layer; the factors of twenty layers are multiplied.": 1.25,
        "You added the factors; each layer multiplies what the one before it has made.": 25.0,
        "You squared the scale; but only a share 1 − p of the elements is left in each layer.": 1.25**40,
        "That is the growth of the root mean square.": 1.25**10,
    }
    expect_prediction(got, 1.25**20, mistakes)
    return (
        f"Measured after one, two and three layers of ones: {', '.join(f'{_mean_squares(d):.3f}' for d in (1, 2, 3))}."
    )


EXERCISES = {
    "dropout_forward": dropout_forward,
    "dropout_backward": dropout_backward,
    "MEAN_SQUARE": mean_square,
    "TWENTY_LAYERS": twenty_layers,
}
