"""A scheme: weights from a Laplace distribution, with the variance of He's rule.

    python scripts/compare.py --arms he_normal,docs/examples/laplace.py:laplace

Its variance is checked by a sample. With 784 · 256 weights, the standard error of n_in·Var W = 2 is 0.01:

>>> import numpy as np
>>> W = laplace((784, 256), rng=np.random.default_rng(0))
>>> bool(abs(784 * W.var() - 2) < 0.03 and abs(W.mean()) < 0.001)
True
"""

import math

from scratchnet.init import fan_in


def laplace(shape, *, rng, factor=2.0):
    """Var W = factor/n_in, as in He's rule, but more weights are near 0, and more are far from it."""
    scale = math.sqrt(factor / fan_in(shape) / 2)  # the variance of Laplace(0, c) is 2c²
    return rng.laplace(0.0, scale, shape)
