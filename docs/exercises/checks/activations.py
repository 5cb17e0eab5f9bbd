"""The exercises of docs/activations.md."""

import numpy as np

from checks.answers import Wrong, call, expect, expect_prediction
from scratchnet.gradcheck import GradientError, gradcheck
from scratchnet.layers import Layer, Linear, Sigmoid


def absolute(kind):
    rng = np.random.default_rng(1)
    if not (isinstance(kind, type) and Layer in kind.__mro__):
        raise Wrong("Expected a class that inherits from Layer: keep the `class` line of the stub.")
    X = np.array([[1.5, -2.0, 0.0, 3.0], [-0.5, 0.25, -4.0, 0.0]])
    dY = rng.normal(size=X.shape)
    layer = call(kind)
    expect("Y", call(layer.forward, X), np.abs(X), {"Y is max(x, 0): that is ReLU, and |−2| is 2.": np.maximum(X, 0)})
    got = call(layer.backward, dY)
    at_0 = "At x = 0 the slope should count as 0, as at every kink of this package."
    mistakes = {
        "dX is dY: where x < 0, y = −x, so the slope there is −1. (A sign taken from Y is never −1.)": dY,
        "dX is dY except at 0: the sign has to come from X. Y = |x| has lost it; keep X in forward.": dY * (X != 0),
        "dX is 0 where x < 0: that is ReLU. Here y = −x there, so the slope is −1.": dY * (X > 0),
        "dX is dY·X: only the sign of x counts, not its size.": dY * X,
        "dX is dY·|x|: that is dY·Y. The slope is the sign of x.": dY * np.abs(X),
        "dX has the wrong sign: y grows with x where x > 0.": -dY * np.sign(X),
        f"{at_0} You let it be −1 (x > 0 is False there); np.sign has all three cases.": dY * np.where(X > 0, 1, -1),
        f"{at_0} You let it be 1 (x >= 0 is True there); np.sign has all three cases.": dY * np.where(X >= 0, 1, -1),
    }
    if isinstance(got, np.ndarray) and got.dtype.kind == "f" and np.isnan(got).any():
        raise Wrong(f"dX is NaN where x = 0: X/|X| is 0/0 there. {at_0} np.sign does it.")
    expect("dX", got, dY * np.sign(X), mistakes)
    try:
        errors = gradcheck(layer, rng.normal(size=(5, 4)), rng=rng)
    except (GradientError, ValueError) as error:
        raise Wrong(f"The values are right, and gradcheck has a doubt: {error}.") from None
    return f"gradcheck agrees: the worst relative error is {max(errors.values()):.0e}."


def maxout_backward(function):
    rng = np.random.default_rng(2)
    m = 3
    X, dY = rng.normal(size=(4, 2 * m)), rng.normal(size=(4, m))
    X[0, m] = X[0, 0]  # a tie
    first = X[:, :m] >= X[:, m:]
    zero = np.zeros_like(dY)
    right = np.concatenate([np.where(first, dY, zero), np.where(first, zero, dY)], axis=1)
    strictly = X[:, :m] > X[:, m:]
    neighbours = np.zeros_like(X)
    winner = X[:, 0::2] >= X[:, 1::2]
    neighbours[:, 0::2], neighbours[:, 1::2] = np.where(winner, dY, 0), np.where(winner, 0, dY)
    both = np.concatenate([np.where(first, dY, zero), np.where(strictly, zero, dY)], axis=1)
    mistakes = {
        "Both of a pair got the gradient: y does not depend on the smaller one, so its gradient is 0.": (
            np.concatenate([dY, dY], axis=1)
        ),
        "Each of a pair got half: y depends on the larger one alone, which gets all of dY.": (
            np.concatenate([dY, dY], axis=1) / 2
        ),
        "The smaller one of each pair got the gradient: y follows the larger one.": (
            np.concatenate([np.where(first, zero, dY), np.where(first, dY, zero)], axis=1)
        ),
        "You paired neighbours, 2j and 2j + 1. Here units j and m + j are a pair: the halves X[:, :m], X[:, m:].": neighbours,
        "At the tie, x_00 = x_03, both got the gradient. The first should get it alone: one mask, and its opposite.": both,
        "At the tie, x_00 = x_03, the second got the gradient; the first should: use >=.": (
            np.concatenate([np.where(strictly, dY, zero), np.where(strictly, zero, dY)], axis=1)
        ),
        "At the tie, x_00 = x_03, neither got the gradient. The first should: one mask with >=, and its opposite.": (
            np.concatenate([np.where(strictly, dY, zero), np.where(~first, dY, zero)], axis=1)
        ),
        "dX has the shape of dY: each of the 2m inputs needs its gradient, that of the smaller one being 0.": dY,
    }
    expect("dX", call(function, X, dY), right, mistakes)
    return "The larger one of each pair gets the gradient, the other one 0."


def sigmoids(got):
    X = dX = np.zeros((1, 1))
    layers = []
    for _ in range(10):  # each sigmoid at its steepest, x = 0
        layers += [Sigmoid(), Linear(np.ones((1, 1)), np.full(1, -0.5))]
    for layer in layers:
        X = layer.forward(X)
    dX = np.ones((1, 1))
    for layer in reversed(layers):
        dX = layer.backward(dX)
    mistakes = {
        "That is one sigmoid: the slopes of ten in a row are multiplied.": 0.25,
        "You multiplied values, σ(0) = 1/2. What counts is the slope, σ(1 − σ).": 0.5**10,
        "You added the slopes; the chain rule multiplies them.": 2.5,
        "tanh has the slope 1 at 0. The sigmoid has σ(1 − σ), and σ(0) = 1/2.": 1.0,
    }
    expect_prediction(got, float(dX[0, 0]), mistakes)
    return f"Measured: {dX[0, 0]:.2e}, a quarter for each sigmoid; and less wherever x is not 0."


EXERCISES = {"Absolute": absolute, "maxout_backward": maxout_backward, "SIGMOIDS": sigmoids}
