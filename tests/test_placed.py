"""How placed.py places: the package gets arrays of the device and keeps CuPy's rules; the test uses them as NumPy's."""

import importlib
import sys

import numpy as np
import placed
import pytest
import strict

from scratchnet.layers import Linear, PReLU, parameters
from scratchnet.network import mlp
from scratchnet.optim import Adam


@pytest.fixture
def on_the_device(monkeypatch):
    placed.place(monkeypatch, sys.modules[__name__])


def linear():
    return Linear(np.ones((2, 3)), np.zeros(3))


def test_the_package_has_the_arrays_on_the_device(on_the_device):
    layer = linear()
    Y = layer.forward(np.ones((4, 2)))
    dX = layer.backward(np.ones((4, 3)))
    assert all(isinstance(A, strict.ndarray) for A in (Y, dX, layer.X, layer.W, layer.dW, layer.b, layer.db))


def test_what_the_package_makes_for_a_test_is_on_the_device(on_the_device):
    arrays = [A for layer in (PReLU(), mlp([2, 3, 2], activation=PReLU)) for _, A, _ in parameters(layer)]
    assert len(arrays) == 6
    assert all(isinstance(A, strict.ndarray) for A in arrays)


def test_the_package_may_not_mix_host_and_device_and_the_test_may(on_the_device):
    X, host = strict.ndarray(np.ones((4, 3))), np.ones(3)
    assert isinstance(X + host, np.ndarray)
    assert np.array_equal(X[0], host)
    assert X.std() == 0
    layer = linear()
    layer.b = np.zeros(3)  # put there by hand: nobody moved it
    with pytest.raises(TypeError, match="an array of the host"):
        layer.forward(np.ones((4, 2)))


def test_without_it_a_test_may_not_mix_them_either():
    with pytest.raises(TypeError, match="an array of the host"):
        strict.ndarray(np.ones(3)) + np.ones(3)


def test_what_is_changed_in_place_has_changed_for_the_test_too(on_the_device):
    theta, grad = np.zeros(3), np.zeros(3)
    adam = Adam(theta, grad)
    grad[...] = 1
    adam.step()
    np.testing.assert_allclose(theta, -0.001, rtol=1e-6)


def test_all_is_as_before_after_the_test():
    assert isinstance(linear().forward(np.ones((4, 2))), np.ndarray)
    assert not hasattr(Linear.forward, "__wrapped__")


@pytest.mark.parametrize("name", sorted(placed.NUMERICAL))
def test_of_each_numerical_file_most_tests_have_two_places(name):
    """Not those that ask gradcheck, which takes NumPy's arrays, nor those of what holds on the host alone."""
    tests = [test for title, test in vars(importlib.import_module(name)).items() if title.startswith("test_")]
    assert sum(map(placed.has_two_places, tests)) > len(tests) / 2
