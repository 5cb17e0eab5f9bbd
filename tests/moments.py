"""What the tests of schemes share: shapes to draw, and samples against the moments that were promised."""

import math

# n_in > n_out, n_in < n_out, and a stack. Never n_in = n_out, which hides mistakes.
SHAPES = [(784, 256), (64, 900), (3, 200, 100)]
STANDARD_ERRORS = 5


def assert_moments(W, mean, variance, kurtosis):
    """Sample mean and variance are within a few standard errors of the promised ones; kurtosis is E[z⁴]/σ⁴."""
    assert abs(W.mean() - mean) <= STANDARD_ERRORS * math.sqrt(variance / W.size)
    error_of_variance = variance * math.sqrt((kurtosis - 1) / W.size)
    assert abs(W.var() - variance) <= STANDARD_ERRORS * error_of_variance


def assert_uniform(W, low, high):
    assert low <= W.min()
    assert W.max() < high
    assert W.min() < low + 0.001 * (high - low)  # the sample comes near its bounds
    assert W.max() > high - 0.001 * (high - low)
    assert_moments(W, (low + high) / 2, (high - low) ** 2 / 12, 1.8)
