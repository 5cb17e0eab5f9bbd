"""Exercises of docs/adam.md. Fill them in, then: python docs/exercises/check.py adam"""

import numpy as np  # noqa: F401


def adam_step(theta, g, m, v, t, alpha, beta1, beta2, epsilon):
    """Exercise 1: step number t of Adam, t = 1, 2, …, from the gradient g and the averages m and v of the step before.

    Return the new theta, m, v, in this order, with both bias corrections; leave the arrays as they are.
    """
    raise NotImplementedError


def adamw_step(theta, g, m, v, t, alpha, beta1, beta2, epsilon, decay):
    """Exercise 2: the same with decoupled weight decay: θ also shrinks by α·decay·θ, which Adam does not see.

    Both changes start from the old θ. Return the new theta, m, v.
    """
    raise NotImplementedError


# Exercise 3: without the bias corrections, how many α long would Adam's first step be (β₁ = 0.9, β₂ = 0.999)?
FIRST_STEP = None
