"""CuPy's rules without a GPU: each rule is kept by strict.py, and is really CuPy's, where CuPy is installed."""

import contextlib
import copy
import inspect
import operator
import pickle

import numpy as np
import pytest
import strict

from scratchnet.backend import adam_kernel, cuda_problem

H = np.arange(24, dtype=np.float32).reshape(2, 3, 4)  # on the host
MASK = H % 2 == 0


def set_item(A, index, value):
    A[index] = value


# What a program may ask of X, M and i, arrays of the device made of H, MASK and [0, 1], and what CuPy refuses.
ALLOWED = {
    "arithmetic with itself": lambda X, M, i: X * X - X / 2,
    "a number of Python": lambda X, M, i: 2.0 * X,
    "a number of NumPy": lambda X, M, i: np.float32(2) * X,
    "in place": lambda X, M, i: operator.iadd(X.copy(), X),
    "a comparison": lambda X, M, i: X > 3,
    "a mean with dtype": lambda X, M, i: X.mean(axis=(-2, -1), dtype=np.float64),
    "a ufunc with out": lambda X, M, i: np.exp(X, out=np.empty_like(X)),
    "a ufunc with dtype": lambda X, M, i: np.square(X, dtype=np.float64),
    "a ufunc with casting": lambda X, M, i: np.multiply(X, X, casting="same_kind"),
    "where": lambda X, M, i: np.where(M, X, 0),
    "sum with out": lambda X, M, i: np.sum(X, axis=-2, out=np.empty_like(X[:, 0])),
    "a copy where a mask says so": lambda X, M, i: np.copyto(X.copy(), 0, where=M),
    "concatenate": lambda X, M, i: np.concatenate([X, X], axis=-1),
    "a range like": lambda X, M, i: np.arange(5, like=X),
    "a view of columns, reshaped": lambda X, M, i: X[..., 1:3].reshape(2, 3, 2, 1),
    "a transposed view": lambda X, M, i: X.mT,
    "broadcast_to": lambda X, M, i: np.broadcast_to(X, (5, 2, 3, 4)),
    "an element": lambda X, M, i: X[0, 1, 2],
    "an element as a number": lambda X, M, i: float(X[0, 1, 2]),
    "rows by an array of the device": lambda X, M, i: X[i],
    "rows by an array of the host": lambda X, M, i: X[np.array([0, 1])],
    "rows out of range": lambda X, M, i: X[i + 5],
    "elements where a mask is": lambda X, M, i: X[M],
    "a number set": lambda X, M, i: set_item(X.copy(), ..., 1.0),
    "an array of the device set": lambda X, M, i: set_item(X.copy(), 0, X[1]),
    "the number of axes": lambda X, M, i: np.ndim(X),
    "shared memory": lambda X, M, i: np.may_share_memory(X, X[0]),
    "astype without a copy": lambda X, M, i: X.astype("float32", copy=False),
    "the largest index": lambda X, M, i: X.argmax(axis=-1),
    "equal arrays": lambda X, M, i: np.array_equal(X, X),
}
REFUSED = {
    "asarray": lambda X, M, i: np.asarray(X),
    "array": lambda X, M, i: np.array([X, X]),
    "a host array + it": lambda X, M, i: H + X,
    "it + a host array": lambda X, M, i: X + H,
    "it += a host array": lambda X, M, i: operator.iadd(X, H),
    "a host array += it": lambda X, M, i: operator.iadd(H.copy(), X),
    "it > a host array": lambda X, M, i: X > H,
    "matmul with a host array": lambda X, M, i: X @ H.mT,
    "a ufunc with where": lambda X, M, i: np.add(X, X, where=M),
    "a ufunc with where of the host": lambda X, M, i: np.add(X, X, where=MASK),
    "a ufunc with an out of the host": lambda X, M, i: np.exp(X, out=H.copy()),
    "where with a mask of the host": lambda X, M, i: np.where(MASK, X, 0),
    "where with a choice of the host": lambda X, M, i: np.where(M, X, H),
    "sum with where": lambda X, M, i: np.sum(X, where=M),
    "sum with an initial value": lambda X, M, i: X.sum(initial=1),
    "sum with an out of the host": lambda X, M, i: np.sum(X, axis=0, out=H[0].copy()),
    "max with an initial value": lambda X, M, i: X.max(initial=0),
    "a mask of the host to copy by": lambda X, M, i: np.copyto(X, 0, where=MASK),
    "a copy into the host": lambda X, M, i: np.copyto(H.copy(), X),
    "a copy from the host": lambda X, M, i: np.copyto(X, H),
    "concatenate with a host array": lambda X, M, i: np.concatenate([X, H]),
    "a host array set": lambda X, M, i: set_item(X, ..., H),
    "set in a host array": lambda X, M, i: set_item(H.copy(), ..., X),
    "a host array's rows by it": lambda X, M, i: H[i],
    "a list's element by it": lambda X, M, i: [1, 2, 3][i[0]],
    "a ufunc made of a function": lambda X, M, i: np.frompyfunc(abs, 1, 1)(X),
    "a hash": lambda X, M, i: hash(X),
    "rounding by Python": lambda X, M, i: round(X),
}


def arrays():
    return [strict.asarray(A) for A in (H, MASK, np.array([0, 1]))]


@pytest.mark.parametrize("what", ALLOWED)
def test_allowed_is(what):
    """And gives NumPy's numbers, in an array of the device unless it is a plain number."""
    result, expected = ALLOWED[what](*arrays()), None
    with contextlib.suppress(IndexError):  # out of range: see below
        expected = ALLOWED[what](H.copy(), MASK, np.array([0, 1]))
        assert isinstance(result, strict.ndarray) or not isinstance(expected, (np.ndarray, np.generic))
        got = result.get() if isinstance(result, strict.ndarray) else result
        np.testing.assert_array_equal(got, expected)
        assert getattr(got, "dtype", None) == getattr(expected, "dtype", None) or isinstance(expected, bool)


@pytest.mark.parametrize("what", REFUSED)
def test_refused_is(what):
    with pytest.raises((TypeError, ValueError)):
        REFUSED[what](*arrays())


def test_the_message_says_that_an_array_is_of_the_host():
    """NumPy's own would say that ndarray and ndarray do not go together."""
    for call in (lambda X: X + H, lambda X: np.where(X > 0, X, H)):
        with pytest.raises(TypeError, match="an array of the host"):
            call(strict.asarray(H))


def test_what_stands_in_no_table_is_refused():
    X, *_ = arrays()
    for call in (lambda: np.quantile(X, 0.5), lambda: np.linalg.norm(X), lambda: np.arctan(X), lambda: X.cumsum()):
        with pytest.raises((TypeError, AttributeError)):
            call()


def test_a_function_of_a_module_is_no_function_of_numpy():
    """numpy.linalg.norm is not numpy.norm: names are compared with their module."""
    with pytest.raises(TypeError, match=r"numpy\.linalg\.norm is not in FUNCTIONS"):
        np.linalg.norm(strict.asarray(H))


def test_an_index_out_of_range_wraps_without_a_word_in_an_array_only():
    X = strict.asarray(np.arange(3))
    assert X[[1, 3, -1]].get().tolist() == [1, 0, 2]
    Y = strict.asarray(np.arange(6).reshape(2, 3))
    assert Y[..., strict.asarray(np.array([4]))].get().tolist() == [[1], [4]]
    assert Y[None, strict.asarray(np.array([3]))].get().tolist() == [[[3, 4, 5]]]
    Y[[2]] = 7
    assert Y.get().tolist() == [[7, 7, 7], [3, 4, 5]]
    with pytest.raises(IndexError):
        X[3]
    with pytest.raises(IndexError):
        X[np.array([0.5])]


def test_reductions_and_elements_are_arrays_of_the_device():
    X, *_ = arrays()
    for value in (X.sum(), np.sum(X), X.mean(), X.max(), X[0, 0, 0], np.array_equal(X, X), next(iter(X))):
        assert isinstance(value, strict.ndarray)
    assert X.sum().shape == ()
    assert X.sum().item() == float(X.sum()) == H.sum()
    assert f"{X.sum():.1f}" == "276.0"


def test_an_element_is_a_view():
    X, *_ = arrays()
    element = X[0, 0, 1]
    element += 10
    assert X[0, 0, 1].item() == 11


def test_copies_between_host_and_device_share_no_memory():
    host = H.copy()
    X = strict.asarray(host)
    host[...] = 0
    assert np.array_equal(X.get(), H)
    X.get()[...] = 0
    assert np.array_equal(X.get(), H)
    assert strict.asarray(X) is X
    for other in (copy.deepcopy(X), copy.copy(X), pickle.loads(pickle.dumps(X))):
        assert isinstance(other, strict.ndarray)
        other += 1
        assert np.array_equal(X.get(), H)


def test_an_output_that_overlaps_with_an_input_is_refused():
    """NumPy makes a copy first; a GPU writes in no order."""
    X = strict.asarray(np.arange(9.0).reshape(3, 3))
    with pytest.raises(ValueError, match="overlaps"):
        X[1:] += X[:-1]
    with pytest.raises(ValueError, match="overlaps"):
        np.matmul(X, X, out=X)
    with pytest.raises(ValueError, match="overlaps"):
        X[...] = X.T
    X += X
    np.add(X[0], X[1], out=X[2])
    assert X.get()[2].tolist() == [6, 10, 14]


def test_arrays_of_objects_have_no_place_on_a_device():
    with pytest.raises(ValueError, match="Unsupported dtype object"):
        strict.asarray(np.array([1, "a"], dtype=object))


def test_a_kernel_is_executed_and_its_arguments_are_checked():
    kernel = strict.ElementwiseKernel(
        "T x, float64 a", "T y, T z", "\n y = T(a) * x;\n z += sqrt(y) / (y + T(1)); ", "name"
    )
    x, z = np.array([1, 4], np.float32), np.ones((3, 2), np.float32)
    Y, Z = strict.asarray(np.zeros((3, 2), np.float32)), strict.asarray(z)
    kernel(strict.asarray(x), 4, Y, Z)
    np.testing.assert_array_equal(Y.get(), np.broadcast_to(4 * x, (3, 2)))
    np.testing.assert_array_equal(Z.get(), z + np.sqrt(4 * x) / (4 * x + 1))
    for arguments in (
        (strict.asarray(x.astype(np.float64)), 4, Y, Z),  # a T of another type
        (strict.asarray(x), 4, Z[0], Y),  # outputs of two shapes
        (strict.asarray(x), 4, Y, Z[0]),
        (strict.asarray(x), strict.asarray(x), Y, Z),  # an array that is not float64
        (x, 4, Y, Z),  # of the host
        (strict.asarray(x), 4, Y, z),
        (strict.asarray(x), 4, Y),
    ):
        with pytest.raises((TypeError, ValueError)):
            kernel(*arguments)


# --- against CuPy itself ----------------------------------------------------------------------------------------------


@pytest.fixture
def cupy():
    return pytest.importorskip("cupy", reason="CuPy is not installed: the tables of strict.py are not compared with it")


def names(signature):
    return [(p.name, p.kind, p.default) for p in signature.parameters.values()]


def test_the_functions_of_the_table_are_cupys_with_its_arguments(cupy):
    for name, signature in strict.FUNCTIONS.items():
        assert names(inspect.signature(getattr(cupy, name))) == names(signature), name
        assert getattr(cupy, name) is not getattr(np, name)


def test_the_methods_of_the_table_are_cupys_with_its_arguments(cupy):
    for name, signature in strict.METHODS.items():
        first = getattr(cupy.ndarray, name).__doc__.splitlines()[0]  # _ndarray_base.sum(self, axis=None, …) -> …
        assert f".{name}(self, {str(signature)[1:-1]})" in first.partition(" ->")[0], name
    for name in (*strict.ATTRIBUTES, *strict.VIEWS, "get", "item", "tobytes", "mT", "__array_ufunc__"):
        assert hasattr(cupy.ndarray, name), name
    assert not hasattr(cupy.ndarray, "__index__")


def test_the_ufuncs_of_the_table_are_cupys(cupy):
    for name in strict.UFUNCS:
        assert isinstance(getattr(cupy, name), (cupy.ufunc, type(cupy.matmul))), name


def test_what_backend_asks_of_cupy_is_there(cupy):
    from cupyx.scipy.special import erf

    assert isinstance(erf, cupy.ufunc)
    fake = strict.modules()["cupy"]
    for name in vars(fake):
        assert name.startswith("__") or hasattr(cupy, name), name
    for name in vars(fake.cuda):
        assert hasattr(cupy.cuda, name), name
    for name in vars(fake.cuda.runtime):
        assert hasattr(cupy.cuda.runtime, name), name


def borrowed(cupy, A):
    """A CuPy array. Without a GPU it borrows the host's memory: enough for views, and for what is refused at once."""
    if cuda_problem() is None:
        return cupy.asarray(A)
    A = A.copy()
    memory = cupy.cuda.UnownedMemory(A.ctypes.data, A.nbytes, A, 0)
    return cupy.ndarray(A.shape, A.dtype, cupy.cuda.MemoryPointer(memory, 0))


def reached(cupy, operation):
    """What an operation returns or raises, or "the driver" where CuPy took it and found no GPU to do it."""
    try:
        return operation(*(borrowed(cupy, A) for A in (H, MASK, np.array([0, 1]))))
    except cupy.cuda.runtime.CUDARuntimeError:
        return "the driver"
    except ImportError as missing:
        assert "lib" in str(missing)  # a library of CUDA, such as cuBLAS
        return "the driver"
    except Exception as error:
        return error


@pytest.mark.parametrize("what", ALLOWED)
def test_cupy_allows_it_too(cupy, what):
    theirs, ours = reached(cupy, ALLOWED[what]), ALLOWED[what](*arrays())
    assert not isinstance(theirs, Exception), theirs
    if isinstance(theirs, cupy.ndarray):  # without a GPU: the views
        assert (theirs.shape, theirs.strides, theirs.dtype) == (ours.shape, ours.strides, ours.dtype)
    if cuda_problem() is None and theirs is not None:
        np.testing.assert_allclose(np.asarray(cupy.asnumpy(theirs)), np.asarray(getattr(ours, "_A", ours)), rtol=1e-6)


@pytest.mark.parametrize("what", REFUSED)
def test_cupy_refuses_it_too(cupy, what):
    theirs = reached(cupy, REFUSED[what])
    if isinstance(theirs, str) and cuda_problem() is not None:
        pytest.skip("CuPy asks the driver for a device before it looks at the arguments: only a GPU can tell")
    assert isinstance(theirs, Exception), theirs


def test_cupy_takes_the_kernel_of_adam(cupy):
    """Its parameters, at least: it is compiled where it runs."""
    adam_kernel.cache_clear()
    kernel = adam_kernel()
    adam_kernel.cache_clear()
    assert isinstance(kernel, cupy.ElementwiseKernel)
    assert (kernel.nin, kernel.nout) == (5, 3)
