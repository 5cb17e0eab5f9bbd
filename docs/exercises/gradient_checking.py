"""Exercises of docs/gradient-checking.md. Fill them in, then: python docs/exercises/check.py gradient_checking"""

import numpy as np  # noqa: F401

from scratchnet.layers import parameters  # noqa: F401


def numerical_gradient(f, A, h):
    """Exercise 1: ∂f/∂a for each element a of the array A: (any shape), by central differences of step h.

    `f()` computes a number from A's present content. Leave A as you found it.
    """
    raise NotImplementedError


def is_wrong(layer, X, rng):
    """Exercise 2: whether `layer.backward` is wrong, for dX or for the gradient of a parameter. Return True or False.

    For a random dY, compare what backward gives with numerical_gradient(lambda: Σ dY·layer.forward(X), A, h) for A = X
    and for each parameter: `for name, A, dA in parameters(layer)`. You may use the function of exercise 1 or that of
    scratchnet.gradcheck. The layers here are smooth, and all arrays float64.
    """
    raise NotImplementedError


# Exercise 3: h is halved, and is large enough for rounding not to matter. How many times smaller is the error of
# (f(a + h) − f(a − h))/2h then?
CENTRAL = None

# And that of (f(a + h) − f(a))/h?
ONE_SIDED = None
