"""Gradient checking: doubt a backward pass by comparing it with finite differences.

First the finite difference, then `gradcheck`, which lists what is doubted, then one short function for each doubt.
"""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from scratchnet.layers import parameters, states, walk


def numerical_gradient(
    f: Callable[[], Any],
    A: np.ndarray,
    *,
    dY: Any = 1.0,
    step: float = 1e-5,
    indices: Iterable[tuple[int, ...]] | None = None,
) -> np.ndarray:
    """∂L/∂A for L = Σ dY·f(), by central differences: (f(a + h) − f(a − h))/2h for each element a, h = `step`.

    `f()` computes a number, or an array of dY's shape, from A's present content. The error is O(h²), some 1e-10 for
    h = 1e-5, plus that of rounding, about 1e-16·f/h: float64 is needed. `indices` chooses elements (default: all); the
    others are NaN.
    """
    G = np.full(A.shape, np.nan)
    for i in np.ndindex(A.shape) if indices is None else indices:
        a = A[i]
        A[i] = a + step
        above = f()
        A[i] = a - step
        G[i] = np.sum(dY * (above - f())) / (2 * step)
        A[i] = a
    return G


class GradientError(AssertionError):
    """A layer does not do what its contract says; the message says what, where and by how much."""


def gradcheck(
    layer: Any,
    X: np.ndarray,
    *,
    rng: np.random.Generator,
    train: bool | None = None,
    tolerance: float = 1e-6,
    samples: int = 200,
) -> dict[str, float]:
    """Compare `layer.backward` with finite differences; return the worst relative error of each gradient.

    `layer` is a layer of this package or of your own, or a network: see `layers.Layer`. It is checked in float64 at
    `X: (..., n, n_in)`, in evaluation and in training (`train` restricts it to one of them). The layer itself stays
    as it is: everything is done with copies. A copy draws the same random numbers as the layer would.

    The scalar is L = Σ dY·forward(X) with a *random* dY: with a dY of all ones, mixed-up rows would not show, and the
    gradient of a softmax would be 0. Compared are at most `samples` elements of each array, drawn by `rng`, each for
    itself: |difference| may be `tolerance`·|gradient|, plus what rounding explains. Doubted too is whatever goes
    unnoticed in one call: see the list in the code.

    Raises GradientError where a doubt is justified, and ValueError where a check is impossible: float32, values that
    are not finite, an element at a kink (ReLU at exactly 0 has no derivative: keep X away from it).

    What it cannot find: a parameter that is neither declared nor has a gradient array is taken for a constant; random
    numbers are taken for granted, but for their mean and for being new each time.
    """
    X = _checked_input(layer, X)
    _parameters_are_declared(layer)
    _evaluation_is_deterministic(layer, X)
    dY = rng.standard_normal(_copy(layer).forward(X.copy(), train=bool(train)).shape)
    errors: dict[str, float] = {}
    for mode in (False, True) if train is None else (train,):
        _nothing_else_is_touched(layer, X, dY, mode)
        _every_gradient_is_filled(layer, X, dY, mode)
        _calls_do_not_depend_on_earlier_ones(layer, X, dY, mode)
        _memory_order_does_not_matter(layer, X, dY, mode)
        _need_dX_changes_nothing_else(layer, X, dY, mode)
        for some, dY_some, most in ((X, dY, samples), (X[..., :1, :], dY[..., :1, :], 20)):  # and a batch of one
            found = _differences_agree(layer, some, dY_some, mode, rng, tolerance, most)
            errors = {name: max(error, errors.get(name, 0.0)) for name, error in found.items()}
    _random_numbers_are_new_each_time_and_keep_the_mean(layer, X)
    _replicas_are_separate(layer, X, dY, rng)
    return errors


def _copy(layer: Any) -> Any:
    return copy.deepcopy(layer)


def _checked_input(layer: Any, X: np.ndarray) -> np.ndarray:
    for method in ("forward", "backward"):
        if not callable(getattr(layer, method, None)):
            raise ValueError(f"expected a layer, got {type(layer).__name__}, which has no method {method}")
    X = np.array(X)
    for name, A in [("X", X), *((name, A) for name, A, _ in parameters(layer))]:
        if A.dtype != np.float64:
            raise ValueError(f"gradcheck needs float64, got {name} in {A.dtype}: rounding would hide the differences")
        if not np.isfinite(A).all():
            raise ValueError(f"gradcheck needs finite numbers, and {name} has others")
    if X.ndim < 2 or 0 in X.shape:
        raise ValueError(f"expected X of shape (..., n, n_in) with at least one example, got {X.shape}")
    Y = _copy(layer).forward(X.copy(), train=False)
    if not isinstance(Y, np.ndarray):
        raise GradientError(f"forward returned {type(Y).__name__}, and must return an array")
    if not np.isfinite(Y).all():
        raise ValueError("forward returns values that are not finite here: choose another X")
    return X


def _gradients(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool, **need: bool) -> dict[str, Any]:
    """dX and the gradient of each parameter, as one forward and one backward of `layer` give them."""
    layer.forward(X.copy(), train=train)
    dX = layer.backward(dY, **need)
    return {"X": dX} | {name: dA.copy() for name, _, dA in parameters(layer)}


def _expect_equal(one: Any, other: Any, message: str) -> None:
    """GradientError unless two results are the same but for rounding."""
    if np.shape(one) != np.shape(other):
        raise GradientError(f"{message}: the shapes are {np.shape(one)} and {np.shape(other)}")
    scale = np.maximum(np.abs(one), np.abs(other)).max(initial=0.0)
    apart = np.abs(np.subtract(one, other))
    if not (apart <= 1e-9 * scale).all():
        i = np.unravel_index(np.nanargmax(np.where(np.isnan(apart), np.inf, apart)), np.shape(one))
        raise GradientError(f"{message}: element {[int(k) for k in i]} is {one[i]:.6g} against {other[i]:.6g}")


# --- the doubts, one by one -----------------------------------------------------------------------------------


def _nothing_else_is_touched(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """forward and backward leave X, dY, the parameters and the output that was handed on as they were."""
    layer, X_given, dY_given = _copy(layer), X.copy(), dY.copy()
    before = {name: A.copy() for name, A, _ in parameters(layer)}
    Y = layer.forward(X_given, train=train)
    Y_before = Y.copy()
    layer.backward(dY_given)
    for name, one, other in (("X", X, X_given), ("dY", dY, dY_given), ("its own output Y", Y_before, Y)):
        if not np.array_equal(one, other):
            raise GradientError(f"forward or backward wrote into {name}: neither may change the array that it is given")
    for name, A, _ in parameters(layer):
        if not np.array_equal(before[name], A):
            raise GradientError(f"forward or backward changed the parameter {name}: only an optimizer may")


def _every_gradient_is_filled(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """backward overwrites the arrays dA that a network knows of, whatever was in them, and returns dX."""
    layer = _copy(layer)
    known = {name: dA for name, _, dA in parameters(layer)}
    for dA in known.values():
        dA[...] = np.nan
    Y = layer.forward(X.copy(), train=train)
    dX = layer.backward(dY.copy())
    if not isinstance(dX, np.ndarray):
        raise GradientError(f"backward returned {type(dX).__name__}, and must return dX")
    shape = np.broadcast_shapes(X.shape, Y.shape[:-2] + X.shape[-2:])  # a shared X: each replica has a dX of its own
    if dX.shape != shape:
        raise GradientError(f"dX has the shape {dX.shape}, expected {shape}")
    for name, A, dA in parameters(layer):
        if dA.shape != A.shape:
            raise GradientError(f"d{name} has the shape {dA.shape}, and {name} has {A.shape}")
        if np.isnan(known[name]).any():
            i = [int(k) for k in np.argwhere(np.isnan(known[name]))[0]]
            raise GradientError(
                f"d{name}{i} is NaN where it was NaN before: backward must fill d{name} in place and add nothing to it"
            )


def _calls_do_not_depend_on_earlier_ones(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """A second forward and backward on one object give what a new object gives; so does a second backward alone."""
    used = _copy(layer)
    Y = used.forward(X.copy(), train=train)
    dX = used.backward(dY)
    Y_before, dX_before = Y.copy(), dX.copy()
    _expect_equal(used.backward(dY), dX_before, "a second backward gives another dX than the first")
    new = _copy(used) if train else _copy(layer)  # with random numbers a copy has to start where the object is
    X_other, dY_other = X[..., ::-1, :] * 0.75, dY[..., ::-1, :] * 1.25
    if not train:
        _expect_equal(
            used.forward(X_other.copy(), train=False),
            new.forward(X_other.copy(), train=False),
            "a second forward gives another output than a first one would: it keeps something from the call before",
        )
    a, b = _gradients(used, X_other, dY_other, train), _gradients(new, X_other, dY_other, train)
    for name in a:
        _expect_equal(a[name], b[name], f"d{name} of a second round differs from that of a new object")
    for name, one, other in (("Y", Y, Y_before), ("dX", dX, dX_before)):
        if not np.array_equal(one, other):
            raise GradientError(f"a later call wrote into the {name} that an earlier one returned: return a new array")


def _memory_order_does_not_matter(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """A dY or an X whose numbers lie in another order in memory, such as a transpose, gives the same."""
    expected = _gradients(_copy(layer), X, dY, train)
    turned = _copy(layer)
    turned.forward(X.mT.copy().mT, train=train)
    found = {"X": turned.backward(dY.mT.copy().mT)} | {name: dA for name, _, dA in parameters(turned)}
    for name in expected:
        _expect_equal(found[name], expected[name], f"d{name} differs where X and dY are not contiguous in memory")


def _need_dX_changes_nothing_else(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """backward(dY, need_dX=False), as `fit` calls a first layer, fills the parameters' gradients all the same."""
    if "need_dX" not in inspect.signature(layer.backward).parameters:
        return
    expected = _gradients(_copy(layer), X, dY, train)
    found = _gradients(_copy(layer), X, dY, train, need_dX=False)
    for name in [name for name in expected if name != "X"]:
        _expect_equal(found[name], expected[name], f"d{name} differs with need_dX=False")


def _differences_agree(
    layer: Any, X: np.ndarray, dY: np.ndarray, train: bool, rng: np.random.Generator, tolerance: float, samples: int
) -> dict[str, float]:
    """The worst relative error of each gradient against finite differences; GradientError above `tolerance`."""
    layer, X = _copy(layer), X.copy()
    gradients = _gradients(_copy(layer), X, dY, train)
    dX = gradients["X"]  # a shared X is one array: its gradient is the sum over the replicas
    gradients["X"] = dX.sum(axis=tuple(range(dX.ndim - X.ndim)))
    errors = {}
    for name, A in [("X", X), *((name, A) for name, A, _ in parameters(layer))]:
        chosen = rng.permutation(A.size)[:samples]
        indices = [tuple(int(k) for k in np.unravel_index(j, A.shape)) for j in chosen]
        errors[name] = 0.0
        for i in indices:
            got, error = gradients[name][i], np.inf
            for expected, unsure in _estimates(lambda: _copy(layer).forward(X.copy(), train=train), A, i, dY):
                apart = max(abs(got - expected) - unsure, 0.0)
                error = apart / max(abs(got), abs(expected)) if apart else 0.0
                if error <= tolerance:
                    break
            errors[name] = max(errors[name], error)
            if not error <= tolerance:  # a NaN fails too
                _refuse_a_kink(lambda: _copy(layer).forward(X.copy(), train=train), A, i, dY, name)
                raise GradientError(
                    f"d{name}{list(i)} is {got:.6g}, but finite differences give {expected:.6g} (relative error "
                    f"{error:.1e}, tolerance {tolerance:.0e}){', with train=True' if train else ''}"
                )
    return errors


def _estimates(
    f: Callable[[], Any], A: np.ndarray, i: tuple[int, ...], dY: np.ndarray
) -> Iterator[tuple[float, float]]:
    """Estimates of ∂L/∂a, each with what rounding may add to it: a plain one, then more for an element that fails it.

    The best step depends on the layer: small near a kink or where it bends, large where rounding weighs. So the step is
    varied, and each difference extrapolated to h = 0 (Richardson: the h² term cancels). A wrong gradient fits none.
    """
    size = max(float(np.sqrt(np.mean(A**2))), 1.0)
    # a layer may compute a small output from numbers near 1, as 1 + tanh is
    rounding = 32 * np.finfo(float).eps * float(np.abs(dY).max() * max(np.abs(f()).max(), 1.0))

    def difference(h: float) -> float:
        return float(numerical_gradient(f, A, dY=dY, step=h, indices=[i])[i])

    yield difference(1e-5 * size), rounding / (1e-5 * size)
    for scale, h in itertools.product((size, float(abs(A[i])) or 1.0), (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)):
        expected = (4 * difference(scale * h / 2) - difference(scale * h)) / 3
        if expected == 0:  # nothing moved at all: rounding has no part in it
            yield 0.0, 0.0
        elif rounding / (scale * h) <= 1e-2 * abs(expected):
            yield expected, rounding / (scale * h)


def _refuse_a_kink(f: Callable[[], Any], A: np.ndarray, i: tuple[int, ...], dY: np.ndarray, name: str) -> None:
    """ValueError where the slopes on both sides of an element differ, however close one looks."""
    a, size = A[i], float(np.sqrt(np.mean(A**2))) or 1.0
    sides = []
    for h in (1e-4 * size, 1e-6 * size):
        here = f()
        A[i] = a + h
        right = float(np.sum(dY * (f() - here))) / h
        A[i] = a - h
        left = float(np.sum(dY * (here - f()))) / h
        A[i] = a
        sides.append(abs(right - left) / max(abs(right), abs(left), 1e-300))
    if min(sides) > 0.01:
        raise ValueError(
            f"{name}{list(i)} = {a:.6g} is at a kink: the slope is {left:.4g} on its left and {right:.4g} "
            "on its right, so it has no derivative there; move it"
        )


def _evaluation_is_deterministic(layer: Any, X: np.ndarray) -> None:
    """With train=False nothing is random."""
    one = _copy(layer)
    _expect_equal(
        one.forward(X.copy(), train=False), one.forward(X.copy(), train=False), "two evaluations of one X differ"
    )


def _random_numbers_are_new_each_time_and_keep_the_mean(layer: Any, X: np.ndarray, draws: int = 300) -> None:
    """What is random in training is drawn anew in each call; for a single layer its mean is what evaluation gives.

    The mean is taken over `draws` calls and compared by one number: the deviations from evaluation in standard errors,
    each with the sign of the value, added up over all elements and divided by the root of their number. It is about
    N(0, 1) for a right layer; beyond ±7 is an error.
    """
    trial, expected = _copy(layer), _copy(layer).forward(X.copy(), train=False)
    first = trial.forward(X.copy(), train=True).copy()
    if np.array_equal(first, expected):
        return
    calls = [trial.forward(X.copy(), train=True).copy() for _ in range(3)]
    if all(np.array_equal(first, Y) for Y in calls):
        if getattr(layer, "rng", None) is not None:
            raise GradientError("four calls with train=True drop the same units: draw a new mask in each forward")
        return
    if getattr(layer, "layers", ()):  # a mean does not pass through what follows
        return
    flat = X.reshape(-1, *X.shape[-2:])[0]
    values = np.stack([trial.forward(flat.copy(), train=True) for _ in range(draws)])
    evaluated = trial.forward(flat.copy(), train=False)
    error = values.std(axis=0, ddof=1) / np.sqrt(draws)
    deviations = ((values.mean(axis=0) - evaluated) * np.sign(evaluated))[error > 0] / error[error > 0]
    if abs(deviations.sum()) > 7 * np.sqrt(max(deviations.size, 1)):
        ratio = float(np.abs(values.mean(axis=0)).sum() / np.abs(evaluated).sum())
        raise GradientError(
            f"the mean over {draws} calls with train=True is {ratio:.3g} times what evaluation gives: scale what is "
            "kept by 1/(1 − p)"
        )


def _replicas_are_separate(layer: Any, X: np.ndarray, dY: np.ndarray, rng: np.random.Generator) -> None:
    """Three networks side by side, with parameters and inputs of their own, give what each of them gives alone."""
    *singles, stack = [_copy(layer) for _ in range(4)]  # before anything is drawn: `rng` may be the layer's own
    own = [own for part in walk(layer) for own in getattr(part, "params", {}).values()]
    if any(A.ndim > axes for (_, A, _), axes in zip(parameters(layer), own, strict=True)):
        return  # it is such a stack already, and has been compared with finite differences
    for single in singles:
        for _, A, _ in parameters(single):
            A *= rng.uniform(0.9, 1.1, size=A.shape)
        for _, A in states(single):
            A += rng.uniform(0.1, 0.2, size=A.shape)
    for part, *parts in zip(walk(stack), *map(walk, singles), strict=True):
        params = getattr(part, "params", {})
        for attribute in (*params, *(f"d{name}" for name in params), *getattr(part, "state", {})):
            setattr(part, attribute, np.stack([getattr(single, attribute) for single in parts]))
    modes = (False, True) if [*states(layer)] else (False,)  # what each keeps in training is its own too
    for train, shared in itertools.product(modes, (True, False) if own else (False,)):
        inputs = [X] * 3 if shared else [X, X[::-1] * 0.9, X * 1.1]
        outputs = [one.forward(X_one.copy(), train=train) for one, X_one in zip(singles, inputs, strict=True)]
        gradients = [_gradients(one, X_one, dY, train) for one, X_one in zip(singles, inputs, strict=True)]
        together = X if shared else np.stack(inputs)
        differs = (
            f"of a stack of three replicas{' with a shared X' if shared else ''} differs from that of each alone"
            f"{', with train=True' if train else ''}"
        )
        try:
            output = stack.forward(together.copy(), train=train)
            found = _gradients(stack, together, np.stack([dY] * 3), train)
        except (ValueError, IndexError) as error:
            raise GradientError(
                f"it fails as a stack of three replicas ({error}): parameters may have axes in front, so use "
                "a[..., None, :] and sum over the last axes"
            ) from error
        _expect_equal(output, np.stack(outputs), f"the output {differs}")
        for name, gradient in found.items():
            _expect_equal(gradient, np.stack([g[name] for g in gradients]), f"d{name} {differs}")
        for name, A in states(stack):
            _expect_equal(A, np.stack([dict(states(one))[name] for one in singles]), f"{name} {differs}")


def _parameters_are_declared(layer: Any) -> None:
    """An array a that has a gradient array da is a parameter, so `params` must name it."""
    for part in walk(layer):
        for name, A in vars(part).items():
            dA = vars(part).get(f"d{name}")
            if name not in getattr(part, "params", {}) and isinstance(A, np.ndarray) and isinstance(dA, np.ndarray):
                raise GradientError(
                    f"{type(part).__name__} has {name} and d{name}, and params does not name {name}: no network would "
                    "learn it"
                )
