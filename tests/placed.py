"""The numerical tests a second time, their arrays on a device with CuPy's rules: see strict.py.

Where a test calls the package, each NumPy array that it gives becomes an array of the device, in the same memory: what
an optimizer changes in place has then changed for the test too. Networks and layers that it makes are on the device.
Inside of the package the rules hold without exception. The test itself may look at the results, and calculate with
them, as if they were NumPy's: it stands for a person who calls `.get()`.

On the host alone, with a reason: `gradcheck` and what else takes NumPy arrays by contract, and what is promised there
alone, which bears the mark `host`. All schemes draw on the host, so that their tests have no second place.
"""

import functools
import inspect
import sys
from pathlib import Path

import numpy as np
import oracle
import strict

import scratchnet
from scratchnet import layers, loss, network, normalization, optim, residual, train

TESTS, PACKAGE = str(Path(__file__).parent), str(Path(scratchnet.__file__).parent)
MODULES = [layers, loss, network, normalization, optim, residual, train]
HOST = {loss.check_labels, optim.blocks, train.batches}  # these work with NumPy arrays, on every device
NUMERICAL = {f"test_{module.__name__.partition('.')[2]}" for module in MODULES}


def has_two_places(test):
    """Whether a test function is one of the numerical tests, and of what it calls nothing takes NumPy arrays alone."""
    marks = {mark.name for mark in getattr(test, "pytestmark", ())}
    called = {"gradcheck", "numerical_gradient"} & {*test.__code__.co_names}
    return test.__module__ in NUMERICAL and not called and "host" not in marks


def is_a_test(frame):
    file = frame.f_code.co_filename
    return file.startswith(TESTS) and file not in (strict.__file__, __file__)


def asked_by_a_test():
    """Whether the code that uses an array is a test's, and not the package's."""
    frame = sys._getframe(1)
    while frame is not None:
        if is_a_test(frame) or frame.f_code.co_filename.startswith(PACKAGE):
            return is_a_test(frame)
        frame = frame.f_back
    return False


def placed(x):
    """An array of the host on the device, in the same memory; also in a list or a tuple."""
    if isinstance(x, np.ndarray) and x.dtype.kind in "biuf":
        return strict.ndarray(x)
    return type(x)(map(placed, x)) if type(x) in (list, tuple) else x


def place_what_was_made(x):
    """Move a network, and the arrays of a layer, such as the slope that PReLU starts with."""
    if isinstance(x, network.Network):
        x.to("cuda")
    elif hasattr(x, "forward"):
        for name, value in vars(x).items():
            setattr(x, name, placed(value))


def placing(function):
    """The function, which gets its arrays on the device where a test calls it; `indices`, an order, is the host's."""

    @functools.wraps(function)
    def wrapper(*arguments, **settings):
        if not is_a_test(sys._getframe(1)):
            return function(*arguments, **settings)
        settings = {name: x if name == "indices" else placed(x) for name, x in settings.items()}
        result = function(*map(placed, arguments), **settings)
        place_what_was_made(arguments[0] if function.__name__ == "__init__" else result)
        return result

    return wrapper


def place(monkeypatch, tests):
    """For the rest of a test, of the module `tests`: calls of the package's functions and methods are placing ones."""
    strict.install(monkeypatch)
    monkeypatch.setattr(strict, "lenient", asked_by_a_test)
    tensor = oracle.torch.tensor  # it would take an array that is not NumPy's for a list
    monkeypatch.setattr(oracle.torch, "tensor", lambda x, **settings: tensor(strict.bare(x), **settings))
    for module in MODULES:
        for name, value in [*vars(module).items()]:
            if getattr(value, "__module__", None) != module.__name__ or value in HOST:
                continue
            if inspect.isclass(value):
                for method, function in [*vars(value).items()]:
                    if inspect.isfunction(function):
                        monkeypatch.setattr(value, method, placing(function))
            elif inspect.isfunction(value):
                for place_of_the_name in (module, tests):
                    if getattr(place_of_the_name, name, None) is value:
                        monkeypatch.setattr(place_of_the_name, name, placing(value))
