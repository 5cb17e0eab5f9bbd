"""Exercises of docs/dropout.md. Fill them in, then: python docs/exercises/check.py dropout"""

import numpy as np  # noqa: F401


def dropout_forward(X, p, rng):
    """Exercise 1: drop each element of X: (n, units) with probability p, and keep the mean, E[y] = x.

    Draw from the generator `rng` alone. Return Y, M: the output, and the mask that backward needs.
    """
    raise NotImplementedError


def dropout_backward(dY, M):
    """Exercise 2: dX from dY, with the mask M that your dropout_forward returned."""
    raise NotImplementedError


# Exercise 3: dropout with p = 0.2 keeps the mean. By what factor does it change the mean square, E[y²]/x²?
MEAN_SQUARE = None

# And by what factor after twenty such layers, where everything else keeps the mean square?
TWENTY_LAYERS = None
