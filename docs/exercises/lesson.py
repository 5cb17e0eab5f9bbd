"""Exercises of docs/lesson.md. Fill them in, then: python docs/exercises/check.py lesson"""

import numpy as np  # noqa: F401

from scratchnet.lab.intervals import t_quantile  # noqa: F401


def paired_interval(a, b):
    """Exercise 1: by how much is arm a ahead of arm b? The mean difference and its 95 % interval.

    Given are the accuracies a: (n,) and b: (n,) of n seeds, in points; a[i] and b[i] have one seed, so they share the
    split, the batches and the masks. Return mean, low, high, in this order. t_quantile(df, level) is the t for which a
    share `level` of Student's t distribution lies in −t … t.
    """
    raise NotImplementedError


def blind_guess(classes):
    """Exercise 2: the cross-entropy of a network whose logits are all equal, such as one of zeros. Return a number."""
    raise NotImplementedError
