"""CuPy's rules on NumPy: an array on a "GPU" that is the computer's memory, and a module `cupy` made of it.

It refuses what CuPy refuses: to become a NumPy array without `.get()`, to be mixed with one, and every function and
argument that CuPy lacks. Where CuPy differs silently it differs too: an index out of range wraps, and a reduction or an
element is an array. It refuses more than CuPy does, above all every function that is not in the tables below, so that
each stands there with CuPy's signature, which test_strict.py compares with the CuPy that is installed.

The numbers are NumPy's. It shows that calls are dispatched and arrays are placed as CuPy asks, and nothing of a GPU's
arithmetic, of its compiler or of its speed.
"""

import functools
import inspect
import math
import sys
import types

import numpy as np

from scratchnet import optim


def _signatures(**texts):
    return {name: inspect.signature(eval(f"lambda {text}: None")) for name, text in texts.items()}


# NumPy's functions that may be given an array of a GPU (NEP 18), with CuPy's signatures.
FUNCTIONS = _signatures(
    allclose="a, b, rtol=1e-05, atol=1e-08, equal_nan=False",
    arange="start, stop=None, step=1, dtype=None",
    array_equal="a1, a2, equal_nan=False",
    broadcast_to="array, shape",
    concatenate="tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    copyto="dst, src, casting='same_kind', where=None",
    empty_like="prototype, dtype=None, order='K', subok=None, shape=None",
    may_share_memory="a, b, max_work=None",
    ndim="a",
    ones_like="a, dtype=None, order='K', subok=None, shape=None",
    shape="a",
    stack="tup, axis=0, out=None, *, dtype=None, casting='same_kind'",
    sum="a, axis=None, dtype=None, out=None, keepdims=False",
    where="condition, x=None, y=None",
    zeros_like="a, dtype=None, order='K', subok=None, shape=None",
)
ON_HOST = {"may_share_memory", "ndim", "shape"}  # these answer with a number or a tuple of the host

METHODS = _signatures(
    all="axis=None, out=None, keepdims=False",
    any="axis=None, out=None, keepdims=False",
    argmax="axis=None, out=None, dtype=None, keepdims=False",
    astype="dtype, order='K', casting=None, subok=None, copy=True",
    copy="order='C'",
    max="axis=None, out=None, keepdims=False",
    mean="axis=None, dtype=None, out=None, keepdims=False",
    min="axis=None, out=None, keepdims=False",
    reshape="*shape, order='C', copy=None",
    sum="axis=None, dtype=None, out=None, keepdims=False",
    transpose="*axes",
)
ATTRIBUTES = ("dtype", "flags", "itemsize", "nbytes", "ndim", "shape", "size", "strides")  # answer on the host
VIEWS = ("T", "mT")

# Ufuncs take `out`, `dtype` and `casting`, and no `where`.
NAMES = """absolute add bitwise_and divide equal exp expm1 greater greater_equal isfinite isnan less less_equal log
matmul maximum minimum multiply negative not_equal power sqrt square subtract tanh"""
UFUNCS = set(NAMES.split())
SCALARS = (bool, int, float, complex, np.generic)


def lenient():
    """Whether the code that uses an array may do so as if it were NumPy's: none may. placed.py lets a test do so."""
    return False


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """An array in a GPU's memory, as a program that has CuPy sees it."""

    __slots__ = ("_A",)
    __imatmul__ = None

    def __init__(self, A):
        A = np.asarray(A)
        if A.dtype.kind not in "biufc":
            raise ValueError(f"Unsupported dtype {A.dtype}")
        self._A = A

    # --- between host and device

    def get(self):
        return self._A.copy()

    def item(self):
        return self._A.item()

    def tobytes(self):
        return self._A.tobytes()

    def __getattr__(self, name):
        if not lenient() or name.startswith("__"):
            raise AttributeError(f"'ndarray' object has no attribute {name!r}")
        return getattr(self._A, name)

    def __array__(self, dtype=None, copy=None):
        if lenient():
            return np.array(self._A, dtype, copy=copy)
        raise TypeError("Implicit conversion to a NumPy array is not allowed. Please use `.get()`")

    def __bool__(self):
        return bool(self._A)

    def __int__(self):
        return int(self._A)

    def __float__(self):
        return float(self._A)

    def __repr__(self):
        return repr(self._A)

    def __format__(self, spec):
        return format(self._A.item() if self.ndim == 0 else self._A, spec)

    def __reduce__(self):
        return ndarray, (self.get(),)

    def __copy__(self):
        return ndarray(self.get())

    def __deepcopy__(self, memo):
        return ndarray(self.get())

    # --- functions

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **settings):
        if lenient():
            return getattr(ufunc, method)(*bare(inputs), out=bare(out) or None, **settings)
        name = ufunc.__name__
        if method != "__call__" or name not in UFUNCS:
            raise TypeError(f"numpy.{name}, method {method}, is not in UFUNCS: has CuPy it?")
        if wrong := settings.keys() - {"dtype", "casting"}:
            raise TypeError(f"Wrong arguments {sorted(wrong)} for cupy.{name}")
        for x in (*inputs, *out):
            if isinstance(x, np.ndarray):
                raise TypeError(f"Unsupported type {type(x)}: an array of the host in cupy.{name}")
            if not isinstance(x, (ndarray, *SCALARS)):
                return NotImplemented
        if len(out) > 1 or not all(isinstance(A, ndarray) for A in out):
            raise TypeError("out must be one array of the device")
        for A in out:
            _refuse_overlap(A, inputs, whole=name == "matmul")
            settings["out"] = A._A
        result = getattr(np, name)(*map(_host, inputs), **settings)
        return out[0] if out else ndarray(result)

    def __array_function__(self, function, kinds, arguments, settings):
        if lenient():
            return function(*bare(arguments), **dict(zip(settings, bare([*settings.values()]), strict=True)))
        name = ".".join([*function.__module__.split(".")[1:], function.__name__])
        if name not in FUNCTIONS:
            raise TypeError(f"numpy.{name} is not in FUNCTIONS: has CuPy it?")
        return _called(function, FUNCTIONS[name], arguments, settings, wrapped=name not in ON_HOST)

    # --- elements

    def __len__(self):
        return len(self._A)

    def __iter__(self):
        return (self[i] for i in range(len(self)))

    def __getitem__(self, index):
        if lenient():
            return self._A[bare(index)]
        index = _wrapping(index, self.shape)
        whole = index if any(i is Ellipsis for i in index) else (*index, ...)  # an element is a view, too
        return ndarray(self._A[whole])

    def __setitem__(self, index, value):
        if lenient():
            self._A[bare(index)] = bare(value)
            return
        if not isinstance(value, (ndarray, *SCALARS)):
            raise TypeError(f"Unsupported type {type(value)}")
        if isinstance(value, ndarray):
            _refuse_overlap(self[index], [value])
        self._A[_wrapping(index, self.shape)] = _host(value)


def _method(name):
    def method(self, *arguments, **settings):
        if lenient():
            return getattr(self._A, name)(*arguments, **settings)
        return _called(getattr(self._A, name), METHODS[name], arguments, settings)

    return method


for _name in METHODS:
    setattr(ndarray, _name, _method(_name))
for _name in ATTRIBUTES:
    setattr(ndarray, _name, property(lambda self, name=_name: getattr(self._A, name)))
for _name in VIEWS:
    setattr(ndarray, _name, property(lambda self, name=_name: ndarray(getattr(self._A, name))))


def bare(x):
    """NumPy's array in the place of one of the device: an argument, or a list of them."""
    if isinstance(x, (list, tuple)):
        return type(x)(map(bare, x))
    return x._A if isinstance(x, ndarray) else x


def _host(x):
    """What NumPy computes with instead of x: an argument, or a list of them."""
    if isinstance(x, np.ndarray):
        raise TypeError(f"Unsupported type {type(x)}: an array of the host among arrays of the device")
    return type(x)(map(_host, x)) if isinstance(x, (list, tuple)) else bare(x)


def _called(function, signature, arguments, settings, wrapped=True):
    signature.bind(*arguments, **settings)  # a TypeError where CuPy has no such argument
    result = function(*_host(arguments), **{name: _host(value) for name, value in settings.items()})
    return ndarray(result) if wrapped and result is not None else result


def _refuse_overlap(out, inputs, whole=False):
    """A GPU writes in no order: `out` may be an input, element for element, or have no memory in common with it."""
    for A in inputs:
        if isinstance(A, ndarray) and np.shares_memory(A._A, out._A):
            same = A._A.__array_interface__ == out._A.__array_interface__
            if whole or not same:
                raise ValueError("an input overlaps with the output: on a GPU the result is undefined")


def _wrapping(index, shape):
    """A NumPy index for an index of a GPU: integers in an array that are out of range wrap, without a word."""
    index = index if isinstance(index, tuple) else (index,)
    index = [i._A if isinstance(i, ndarray) else np.asarray(i) if isinstance(i, list) else i for i in index]
    masks = [isinstance(i, np.ndarray) and i.dtype.kind == "b" for i in index]
    if sum(masks) > 1:
        raise ValueError("CuPy does not support more than one boolean array in an index")
    axes = sum(i.ndim if mask else i is not None and i is not Ellipsis for i, mask in zip(index, masks, strict=True))
    axis, result = 0, []
    for i, mask in zip(index, masks, strict=True):
        if isinstance(i, np.ndarray) and not mask:
            if i.dtype.kind not in "iu":
                raise IndexError(f"arrays used as indices must be of integer or boolean type (actual: {i.dtype})")
            i = i % shape[axis]
        result.append(i)
        axis += len(shape) - axes if i is Ellipsis else i.ndim if mask else i is not None
    return tuple(result)


# --- the module -------------------------------------------------------------------------------------------------------


class ElementwiseKernel:
    """A kernel whose own text is executed, for arrays instead of elements, with T(x), sqrt(x) and statements as in C.

    What CuPy asks of its arguments is asked here: a T is one dtype for all, a parameter with a type has it, numbers of
    Python become what the parameter is, and outputs have the shape of the broadcast inputs. That a CUDA compiler takes
    the text is not shown.
    """

    def __init__(self, inputs, outputs, operation, name):
        self.inputs, self.outputs = ([text.split() for text in params.split(",")] for params in (inputs, outputs))
        self.lines, self.name = [line.strip() for line in operation.split(";") if line.strip()], name

    def __call__(self, *arguments):
        parameters = [*self.inputs, *self.outputs]
        if len(arguments) != len(parameters):
            raise TypeError(f"Wrong number of arguments for {self.name}")
        outputs = arguments[len(self.inputs) :]
        if not all(isinstance(A, ndarray) for A in outputs):
            raise TypeError("Output arguments must be cupy.ndarray")
        types_, shape = {"T": outputs[0].dtype}, outputs[0].shape
        scope = {"T": types_["T"].type, "sqrt": np.sqrt}
        for (kind, name), x in zip(parameters, arguments, strict=True):
            dtype = np.dtype(types_.get(kind, kind))
            if isinstance(x, ndarray):
                if x.dtype != dtype:
                    raise TypeError(f"Type is mismatched. {name} {x.dtype} {dtype}")
                if x.shape != shape and ([kind, name] in self.outputs or np.broadcast_shapes(x.shape, shape) != shape):
                    raise ValueError("Out shape is mismatched")
                scope[name] = x._A.copy()
            elif isinstance(x, SCALARS):
                scope[name] = dtype.type(x)
            else:
                raise TypeError(f"Unsupported type {type(x)}")
        for line in self.lines:
            exec(line, scope)
        for (_, name), A in zip(self.outputs, outputs, strict=True):
            A._A[...] = scope[name]
            assert scope[name].dtype == A.dtype, f"{name} was computed in {scope[name].dtype}, not in {A.dtype}"


def asarray(a):
    """On the device: a copy of what the host has, and what is there already as it is."""
    return a if isinstance(a, ndarray) else ndarray(np.array(a))


FREE = 16 << 30  # bytes of the device's memory


def modules():
    """The modules for `sys.modules`, as far as backend.py asks for them."""
    cupy, cupyx, scipy, special = map(types.ModuleType, ("cupy", "cupyx", "cupyx.scipy", "cupyx.scipy.special"))
    cupy.ndarray, cupy.asarray, cupy.ElementwiseKernel = ndarray, asarray, ElementwiseKernel
    cupy.arange = lambda *arguments, **settings: ndarray(np.arange(*arguments, **settings))
    runtime = types.SimpleNamespace(
        getDeviceCount=lambda: 1,
        getDeviceProperties=lambda number: {"name": b"CuPy's rules on NumPy"},
        memGetInfo=lambda: (FREE, FREE),
    )
    cupy.cuda = types.SimpleNamespace(runtime=runtime, Device=lambda: types.SimpleNamespace(id=0))
    cupy.get_default_memory_pool = lambda: types.SimpleNamespace(free_bytes=lambda: 0)
    erf = np.frompyfunc(math.erf, 1, 1)
    special.erf = lambda X: ndarray(np.asarray(erf(X._A)).astype(X.dtype))
    cupyx.scipy, scipy.special = scipy, special
    return {module.__name__: module for module in (cupy, cupyx, scipy, special)}


def install(monkeypatch=None):
    """`import cupy` gives these rules: for a test, or without `monkeypatch` for a process that is a script's own."""
    if monkeypatch is None:
        sys.modules.update(modules())
        return
    for name, module in modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    kernel = functools.cache(optim.adam_kernel.__wrapped__)  # a real CuPy's may be kept in the other cache
    monkeypatch.setattr(optim, "adam_kernel", kernel)
