"""Exercises of docs/initialization.md. Fill them in, then: python docs/exercises/check.py initialization"""

import numpy as np  # noqa: F401


def he_normal(shape, rng):
    """Exercise 1: normal weights of the shape (n_in, n_out), with the mean 0 and the variance of He's rule.

    Draw from the generator `rng` alone.
    """
    raise NotImplementedError


def he_uniform(shape, rng):
    """Exercise 2: uniform weights of the shape (n_in, n_out), with the same mean and the same variance."""
    raise NotImplementedError


def signal_after(q, w_var, n_in, layers):
    """Exercise 3: the mean square of a signal after `layers` more layers, if it is q now.

    q is that of a layer's outputs before its ReLU. Each layer after it has n_in inputs, independent weights with the
    mean 0 and the variance w_var, and biases of 0. Return a number.
    """
    raise NotImplementedError


# Exercise 4: the weights are the lesson's general rule, U(±1/√n_in). By what factor does each layer of ReLUs change q?
RULE_FACTOR = None
