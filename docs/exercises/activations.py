"""Exercises of docs/activations.md. Fill them in, then: python docs/exercises/check.py activations"""

import numpy as np  # noqa: F401

from scratchnet.layers import Layer


class Absolute(Layer):
    """Exercise 1: y = |x|, whose slope at the kink, x = 0, counts as 0."""

    def forward(self, X, train=False):
        """Y, of X's shape. Keep in `self` what backward needs."""
        raise NotImplementedError

    def backward(self, dY):
        """dX from dY, for the X of the last forward."""
        raise NotImplementedError


def maxout_backward(X, dY):
    """Exercise 2: the gradient of maxout, where units j and m + j are a pair, and y_ij = max(x_ij, x_i,m+j).

    Given are X: (n, 2m) and dY: (n, m). Return dX: (n, 2m). Where both are equal, the first of the pair gets it.
    """
    raise NotImplementedError


# Exercise 3: a gradient of 1 comes back through ten sigmoids, one unit each, joined by weights of 1. How much of it is
# left at best?
SIGMOIDS = None
