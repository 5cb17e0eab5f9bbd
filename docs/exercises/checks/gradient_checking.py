"""The exercises of docs/gradient-checking.md."""

import numpy as np

from checks.answers import Wrong, call, expect, expect_prediction
from scratchnet import gradcheck
from scratchnet.layers import GELU, Layer, Linear, Sigmoid, Tanh


class Cubes:
    """f() = Σ w·a³ + a_00·a_12 of an array A that it keeps."""

    def __init__(self, A):
        self.A, self.weights = A, np.arange(1.0, 1 + A.size).reshape(A.shape)

    def value(self):
        return float((self.weights * self.A**3).sum() + self.A[0, 0] * self.A[1, 2])

    def differences(self, up, down, by):
        """(f(a + up) − f(a + down))/by for each element a."""
        G = np.empty_like(self.A)
        for i in np.ndindex(self.A.shape):
            a, values = self.A[i], []
            for change in (up, down):
                self.A[i] = a + change
                values.append(self.value())
            self.A[i] = a
            G[i] = (values[0] - values[1]) / by
        return G


def numerical_gradient(function):
    f, h = Cubes(np.random.default_rng(1).normal(size=(2, 3))), 1e-3
    above, below = Cubes(f.A + h).value(), Cubes(f.A - h).value()
    mistakes = {
        "You divided by h: a + h and a − h are 2h apart.": f.differences(h, -h, h),
        "That is the one-sided difference, whose error is of the order of h, not h²: use a − h too.": f.differences(
            h, 0, h
        ),
        "The sign is wrong: f(a + h) − f(a − h).": f.differences(-h, h, 2 * h),
        "You changed all elements at once: change one, and put it back before the next.": (
            np.full(f.A.shape, (above - below) / (2 * h))
        ),
        "The step is not h: use the argument.": f.differences(1e-5, -1e-5, 2e-5),
        "You have not divided by 2h.": f.differences(h, -h, 1.0),
        "a + h and a are h apart: the division by 2h belongs to the central difference.": f.differences(h, 0, 2 * h),
    }
    put_back = "A is not what it was: put each element back, `A[i] = a`, before you change the next one."
    got = call(function, f.value, f.A, h, unchanged=put_back)
    expect("The gradient", got, gradcheck.numerical_gradient(f.value, f.A, step=h), mistakes, rtol=1e-9)
    return "It is that of scratchnet.gradcheck.numerical_gradient."


class Softmax(Layer):
    """P = softmax(X): each row of dX adds up to 0, and a dY of ones gives dX = 0."""

    def forward(self, X, train=False):
        E = np.exp(X - X.max(axis=-1, keepdims=True))
        self.P = E / E.sum(axis=-1, keepdims=True)
        return self.P

    def backward(self, dY):
        return self.P * (dY - (dY * self.P).sum(axis=-1, keepdims=True))


class NoSoftmax(Softmax):
    def backward(self, dY):
        return np.zeros_like(dY)


class MixedRows(Linear):
    def backward(self, dY):
        return super().backward(dY[..., ::-1, :])


class WrongBias(Linear):
    def backward(self, dY):
        dX = super().backward(dY)
        self.db /= dY.shape[-2]
        return dX


class WrongWeights(Linear):
    def backward(self, dY):
        dX = super().backward(dY)
        self.dW[0] *= 1.5
        return dX


class AlmostTanh(Tanh):
    def backward(self, dY):
        return super().backward(dY) * 1.001


class OneElement(GELU):
    def backward(self, dY):
        dX = super().backward(dY)
        dX[-1, -1] = 0
        return dX


class WrongSign(Sigmoid):
    def backward(self, dY):
        return -super().backward(dY)


def is_wrong(function):
    rng = np.random.default_rng(2)

    def judge(kind):
        layer = kind(rng.normal(size=(4, 3)), rng.normal(size=3)) if issubclass(kind, Linear) else kind()
        X = rng.normal(size=(5, 4))
        verdict = call(function, layer, X, np.random.default_rng(3))
        if not isinstance(verdict, (bool, np.bool_)):
            raise Wrong(f"It returns {verdict!r}, expected True or False.")
        return bool(verdict)

    if not judge(WrongSign):
        if not judge(WrongWeights) and not judge(MixedRows):
            raise Wrong("A sigmoid with −dX, a Linear with a wrong dW and one with its rows mixed up all pass.")
        raise Wrong("A sigmoid whose dX has the wrong sign passes: compare dX too, and its sign.")
    accused = [kind.__name__ for kind in (Tanh, GELU, Sigmoid, Linear, Softmax) if judge(kind)]
    if len(accused) == 5:
        raise Wrong("It accuses five right layers of five: is dY the same one for backward and for the differences?")
    if accused:
        raise Wrong(
            f"It accuses a right layer, {accused[0]}. A difference of 1e-7 is rounding and h²: allow for it, and compare "
            "with the size of the gradient."
        )
    if not judge(NoSoftmax):
        raise Wrong(
            "A softmax whose dX is 0 everywhere passes. Is your dY all ones, or one number? The outputs of a softmax add "
            "up to 1, so that their sum has no gradient at all. Draw dY: rng.normal(size=Y.shape)."
        )
    if not judge(MixedRows):
        raise Wrong("A Linear that mixes up the rows of dY passes. Is your dY the same in all rows? Draw all of it.")
    if not judge(WrongWeights):
        raise Wrong("A Linear with a wrong dW passes: compare the gradients of the parameters too, not dX alone.")
    if not judge(WrongBias):
        raise Wrong("A Linear whose db is divided by n passes: compare the gradient of *each* parameter.")
    if not judge(OneElement):
        raise Wrong("A GELU with one wrong element of dX passes: compare each element, not a mean or a sum.")
    if not judge(AlmostTanh):
        raise Wrong(
            "A tanh whose dX is wrong by 0.1 % passes: your tolerance is too large. 1e-6 is enough for float64."
        )
    return "It finds seven planted mistakes and accuses none of five right layers."


def _error(h, one_sided):
    a = 1.0
    below = np.sin(a) if one_sided else np.sin(a - h)
    return abs((np.sin(a + h) - below) / (h if one_sided else 2 * h) - np.cos(a))


def _shrinks(one_sided):
    return _error(0.01, one_sided) / _error(0.005, one_sided)


def central(got):
    mistakes = {
        "That is the one-sided difference. Here the terms with h² of the two Taylor series cancel: what is left, over h?": 2.0,
        "The error's first term is h²·f'''/6: not h³, since the difference is divided by h.": 8.0,
        "Say how many times smaller: 3 for a third.": 0.25,
    }
    expect_prediction(got, 4.0, mistakes)
    return f"Measured for sin at 1, from h = 0.01: {_shrinks(False):.3f}."


def one_sided(got):
    mistakes = {
        "That is the central difference. Here the term with h² stays, and is divided by h.": 4.0,
        "Say how many times smaller: 3 for a third.": 0.5,
        "It shrinks too: by how much?": 1.0,
    }
    expect_prediction(got, 2.0, mistakes)
    return f"Measured for sin at 1, from h = 0.01: {_shrinks(True):.3f}."


EXERCISES = {
    "numerical_gradient": numerical_gradient,
    "is_wrong": is_wrong,
    "CENTRAL": central,
    "ONE_SIDED": one_sided,
}
