"""Devices: the requested device is used, or one clear sentence says why not."""

import math

import numpy as np
import pytest

from scratchnet import backend
from scratchnet.backend import DeviceError, cuda_problem, erf, resolve, to_device, to_host

NO_GPU = cuda_problem()


def test_erf_is_the_c_librarys_in_the_dtype_of_its_argument():
    for dtype in (np.float32, np.float64):
        X = np.linspace(-6, 6, 101).astype(dtype).reshape(1, 101)
        assert erf(X).dtype == dtype
        np.testing.assert_allclose(erf(X)[0], [math.erf(x) for x in X[0]], rtol=np.finfo(dtype).eps)


def test_the_host_is_always_there():
    X = np.ones(3)
    assert resolve("cpu") == "cpu"
    assert to_device(X, "cpu") is X
    assert to_host(X) is X


def test_an_unknown_device_is_refused():
    with pytest.raises(DeviceError, match="unknown device 'tpu': choose auto, cpu or cuda"):
        resolve("tpu")


@pytest.mark.skipif(NO_GPU is None, reason="this machine has a working GPU")
def test_without_a_gpu_cuda_is_refused_with_the_reason_and_auto_is_the_cpu():
    with pytest.raises(DeviceError, match=r"the device cuda cannot be used: .*; use --device cpu instead"):
        resolve("cuda")
    assert resolve("auto") == "cpu"


@pytest.mark.skipif(NO_GPU is not None, reason=f"no GPU: {NO_GPU}")
def test_with_a_gpu_arrays_go_there_and_back():
    assert resolve("auto") == resolve("cuda") == "cuda"
    X = np.arange(6, dtype=np.float32).reshape(2, 3)
    there = to_device(X, "cuda")
    assert not backend.on_host(there)
    assert np.array_equal(to_host(there), X)
