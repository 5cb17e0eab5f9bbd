"""Exercises of docs/linear.md. Fill them in, then: python docs/exercises/check.py linear"""

import numpy as np  # noqa: F401


def linear_backward(X, W, dY):
    """Exercise 1: the three gradients of Y = XW + b, without looking into layers.py.

    Given are X: (n, n_in), W: (n_in, n_out) and dY: (n, n_out). Return dW, db, dX, in this order.
    """
    raise NotImplementedError


def scale_backward(X, a, dY):
    """Exercise 2: the gradients of a layer that scales each unit, y_ij = x_ij·a_j.

    Given are X: (n, n_in), a: (n_in,) and dY: (n, n_in). Return da, dX, in this order.
    """
    raise NotImplementedError


# Exercise 3: each example stands twice in the batch, X and dY alike. By what factor does db of Linear grow?
LAYER_FACTOR = None

# And by what factor if dY is what the loss gives for that doubled batch, CrossEntropy().backward()?
LOSS_FACTOR = None
