"""Exercises of docs/softmax-cross-entropy.md. Fill in, then: python docs/exercises/check.py softmax_cross_entropy"""

import numpy as np  # noqa: F401


def softmax(Z):
    """Exercise 1: the probabilities P: (n, classes) of the logits Z: (n, classes), for logits of 1000 too."""
    raise NotImplementedError


def smoothed_gradient(Z, labels, s):
    """Exercise 2: the gradient dZ: (n, classes) of the mean loss with label smoothing.

    The loss of example i is −Σ_k t_ik log p_ik, with P = softmax(Z) and the targets t_ik = (1 − s)·[k = label i] +
    s/classes. Given are Z: (n, classes), labels: (n,) and 0 ≤ s < 1.
    """
    raise NotImplementedError


# Exercise 3: all logits are 0, as in a network of zeros. What is its loss for ten classes?
BLIND_LOSS = None

# And what is dz for the logit of an example's label then, in a batch of 100 examples?
BLIND_GRADIENT = None
