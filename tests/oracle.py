"""PyTorch, the oracle. Where it is not installed, a test that asks it is skipped, and the rest of its file runs."""

import pytest


class Missing:
    """Has every attribute, so that a test file's tables may name PyTorch's functions; skips the test that calls one."""

    def __getattr__(self, name):
        if name.startswith("__"):  # what Python and pytest ask of every object
            raise AttributeError(name)
        return self

    def __call__(self, *arguments, **settings):
        pytest.skip("PyTorch is not installed")


try:
    import torch
except ImportError:
    torch = Missing()
