"""Where arrays live: in the computer's memory (NumPy) or on a GPU (CuPy).

This is the only file that names CuPy. Everything else is written once, with operators, array methods and
NumPy functions; on a CuPy array each of them dispatches to CuPy (NEP 13 and NEP 18).
"""

from __future__ import annotations

import functools
import math
from typing import Any

import numpy as np

# An array of NumPy or CuPy. CuPy is optional, so its type cannot be named here.
Array = Any

DEVICES = ("cpu", "cuda")


class DeviceError(RuntimeError):
    """The device that was asked for cannot be used; the message says why and what to do."""


def cuda_problem() -> str | None:
    """Why no GPU can be used, in one sentence, or None when one can.

    `import cupy` succeeds on a machine without a GPU, so a device is counted and a small sum computed too.
    """
    try:
        import cupy
    except Exception as error:  # CuPy raises many kinds where a CUDA library is missing
        return (
            f"CuPy cannot be imported ({type(error).__name__}: {error}): install it with "
            'python -m pip install -e ".[gpu-cuda12]" or ".[gpu-cuda13]", whichever the CUDA driver has'
        )
    try:
        if cupy.cuda.runtime.getDeviceCount() == 0:
            return "CuPy is installed but finds no GPU"
        if float(cupy.arange(4, dtype=np.float32).sum()) != 6.0:
            return "the GPU computed 0 + 1 + 2 + 3 and did not get 6"
    except Exception as error:  # driver missing, too old, out of memory, no compiler
        return f"CuPy is installed but the GPU does not work ({type(error).__name__}: {error})"
    return None


def resolve(device: str) -> str:
    """What `device` ("cpu", "cuda", or "auto": the GPU where one works) stands for: "cpu" or "cuda", or DeviceError."""
    if device == "auto":
        return "cuda" if cuda_problem() is None else "cpu"
    if device == "cuda" and (problem := cuda_problem()) is not None:
        raise DeviceError(f"the device cuda cannot be used: {problem}; --device cpu always works")
    if device not in DEVICES:
        raise DeviceError(f"there is no device {device!r}: choose auto, cpu or cuda")
    return device


def describe(device: str) -> str:
    """The device for a person to read: cpu, or cuda and the name of the GPU."""
    if device == "cpu":
        return "cpu"
    import cupy

    name = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)["name"]
    return f"cuda ({name.decode() if isinstance(name, bytes) else name})"


def free_bytes() -> int:
    """The GPU's memory that is free, that which CuPy keeps for later included."""
    import cupy

    free, _ = cupy.cuda.runtime.memGetInfo()
    return int(free) + cupy.get_default_memory_pool().free_bytes()


def to_device(array: Array, device: str) -> Array:
    """The same numbers on `device` ("cpu" or "cuda"); no copy where they already are there."""
    if device == "cpu":
        return to_host(array)
    import cupy

    return cupy.asarray(array)


def to_host(array: Array) -> np.ndarray:
    """The same numbers as a NumPy array; waits for the GPU where they come from one."""
    return array if on_host(array) else array.get()


def on_host(array: Array) -> bool:
    return isinstance(array, (np.ndarray, np.generic, float, int))


def like(array: np.ndarray, other: Array) -> Array:
    """`array`, made on the host, where `other` lives."""
    return array if on_host(other) else to_device(array, "cuda")


@functools.cache
def adam_kernel() -> Any:
    """`Adam`'s update as one pass on the GPU: kernel(g, beta1, beta2, rate, epsilon, theta, m_sum, v_sum).

    The three arrays at the end are updated in place. As separate operations it is ten launches that move three times
    as many bytes: here θ, m_sum and v_sum are read and written once, and g is read.
    """
    import cupy

    return cupy.ElementwiseKernel(
        "T g, T beta1, T beta2, T rate, T epsilon",
        "T theta, T m_sum, T v_sum",
        """
        m_sum = beta1 * m_sum + g;
        v_sum = beta2 * v_sum + g * g;
        theta -= rate * m_sum / (sqrt(v_sum) + epsilon);
        """,
        "scratchnet_adam",
    )


_erf: Any = np.frompyfunc(math.erf, 1, 1)


def erf(X: Array) -> Array:
    """The error function erf(x) = 2/√π ∫₀ˣ exp(−t²) dt, element by element, in X's own dtype.

    NumPy has none; this is the C library's, about 80 ns an element (exact GELU is the only user).
    """
    if on_host(X):
        return _erf(X).astype(X.dtype)
    from cupyx.scipy.special import erf as cupy_erf

    return cupy_erf(X)
