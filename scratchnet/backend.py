"""Where arrays live: in the computer's memory (NumPy) or on a GPU (CuPy).

This is the only file that imports CuPy. All other code is written once, with operators, array methods and NumPy
functions. When they are given a CuPy array, they call CuPy's version (NEP 13 and NEP 18).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

# A NumPy or CuPy array. CuPy is optional, so its array type cannot be named here.
Array = Any

DEVICES = ("cpu", "cuda")


class DeviceError(RuntimeError):
    """The requested device cannot be used. The message says why and what to do."""


def cuda_problem() -> str | None:
    """Return None if a GPU can be used, otherwise the reason why not, in one sentence.

    `import cupy` succeeds on a machine without a GPU, so this also counts the devices and computes a small sum.
    """
    try:
        import cupy
    except Exception as error:  # CuPy raises various exceptions if a CUDA library is missing
        return (
            f"CuPy cannot be imported ({type(error).__name__}: {error}): install it with "
            'python -m pip install -e ".[gpu-cuda12]" or ".[gpu-cuda13]", whichever matches the CUDA driver'
        )
    try:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            return "CuPy is installed but finds no GPU"
        if float(cupy.arange(4, dtype=np.float32).sum()) != 6.0:
            return "CuPy is installed but the GPU computes a wrong sum of 0 + 1 + 2 + 3"
    except Exception as error:  # the driver is missing or too old, no memory is free, there is no compiler
        return f"CuPy is installed but the GPU does not work ({type(error).__name__}: {error})"
    return None


def resolve(device: str) -> str:
    """Return the device to use, "cpu" or "cuda", for `device`: "cpu", "cuda" or "auto".

    "auto" becomes "cuda" if a GPU works, otherwise "cpu". Raises DeviceError if `device` is "cuda" and no GPU works, or
    if the name is unknown.
    """
    if device == "auto":
        return "cuda" if cuda_problem() is None else "cpu"
    if device == "cuda" and (problem := cuda_problem()) is not None:
        raise DeviceError(f"the device cuda cannot be used: {problem}; use --device cpu instead")
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}: choose auto, cpu or cuda")
    return device


def describe(device: str) -> str:
    """Return the device's name for messages: "cpu", or "cuda" with the name of the GPU in parentheses."""
    if device == "cpu":
        return "cpu"
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"]
    return f"cuda ({name.decode() if isinstance(name, bytes) else name})"


def free_bytes() -> int:
    """Return how many bytes of GPU memory are free, including those that CuPy holds in its memory pool."""
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    return int(free) + cupy.get_default_memory_pool().free_bytes()


def to_device(array: Array, device: str) -> Array:
    """Return `array` on `device` ("cpu" or "cuda"), copied only if it is not already there. Raises DeviceError."""
    if device == "cpu":
        return to_host(array)
    if device not in DEVICES:
        raise DeviceError(f"unknown device {device!r}: choose cpu or cuda")
    try:
        import cupy
    except ImportError as error:
        raise DeviceError(f"the device cuda cannot be used: {cuda_problem()}") from error
    return cupy.asarray(array)


def to_host(array: Array) -> np.ndarray:
    """Return `array` as a NumPy array. If it is on a GPU, this waits for the GPU and copies it."""
    return array if on_host(array) else array.get()


def on_host(array: Array) -> bool:
    """Return True for NumPy arrays and for single numbers, False for an array on a GPU."""
    return isinstance(array, (np.ndarray, np.generic, float, int))


def as_array(value: float | Array) -> Array:
    """Return a number as an array of NumPy, and an array as it is, on its device."""
    return np.asarray(value) if on_host(value) else value


def like(array: Array, other: Array) -> Array:
    """Return `array` on the device where `other` is. An array on the host is copied there."""
    return array if on_host(other) else to_device(array, "cuda")


@functools.cache
def adam_kernel() -> Any:
    """`Adam`'s update as one pass on the GPU: kernel(g, beta1, beta2, alpha_t, epsilon_t, theta, m, v).

    The three arrays at the end are updated in place. As separate operations it is a dozen launches that move three
    times as many bytes: here θ, m and v are read and written once, and g is read.
    """
    import cupy

    return cupy.ElementwiseKernel(
        "T g, float64 beta1, float64 beta2, T alpha_t, T epsilon_t",
        "T theta, T m, T v",
        """
        m = T(beta1) * m + T(1 - beta1) * g;
        v = T(beta2) * v + T(1 - beta2) * g * g;
        theta -= alpha_t * m / (sqrt(v) + epsilon_t);
        """,
        "scratchnet_adam",
    )


_erf: Any = np.frompyfunc(math.erf, 1, 1)


def erf(X: Array) -> Array:
    """Return the error function erf(x) = 2/√π ∫₀ˣ exp(−t²) dt of each element, in X's own dtype.

    NumPy has no erf. On the CPU this calls the C library's, which takes about 80 ns per element; only GELU uses it.
    """
    if on_host(X):
        return _erf(X).astype(X.dtype)
    from cupyx.scipy.special import erf as cupy_erf

    return cupy_erf(X)
