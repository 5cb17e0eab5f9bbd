"""Gradient checking: doubt a backward pass by comparing it with finite differences.

First the finite difference, then `gradcheck`, which lists what is doubted, then how it compares. What else a layer has
to keep, such as "a second call is as good as a first", is in `contract`, one short function for each doubt.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np

from scratchnet import contract
from scratchnet.contract import GradientError, copied, gradients
from scratchnet.layers import parameters

__all__ = ["GradientError", "gradcheck", "numerical_gradient"]


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
    others are NaN. Raises ValueError for an A of another dtype.
    """
    if A.dtype != np.float64:
        raise ValueError(f"expected an array of float64, got {A.dtype}: convert it, A.astype(np.float64)")
    G = np.full(A.shape, np.nan)
    for i in np.ndindex(A.shape) if indices is None else indices:
        a = A[i]
        A[i] = a + step
        above = f()
        A[i] = a - step
        G[i] = np.sum(dY * (above - f())) / (2 * step)
        A[i] = a
    return G


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
    itself: |difference| may be `tolerance`·|gradient|, plus what rounding explains. A larger array is also compared as
    a whole, along a random direction. Doubted too is whatever goes unnoticed in one call: see the list in the code.

    Raises GradientError where a doubt is justified, and ValueError where a check is impossible: float32, values that
    are not finite, an element at a kink (ReLU at exactly 0 has no derivative: keep X away from it), differences
    that do not settle.

    What it cannot find: a parameter that is neither declared nor has a gradient array is taken for a constant, and so
    is a state that is not declared; of the distribution of random numbers only the mean is doubted; gradients below
    about 1e-9 may be what rounding leaves of numbers near 1; and what is wrong only for other X than the ones here.
    """
    X = _checked_input(layer, X)
    contract.parameters_are_declared(layer)
    contract.random_numbers_are_the_layers_own(layer, X)
    dY = rng.standard_normal(copied(layer).forward(X.copy()).shape)
    errors: dict[str, float] = {}
    for mode in (False, True) if train is None else (train,):
        contract.nothing_else_is_touched(layer, X, dY, mode)
        contract.every_gradient_is_filled(layer, X, dY, mode)
        contract.calls_do_not_depend_on_earlier_ones(layer, X, dY, mode)
        contract.memory_order_does_not_matter(layer, X, dY, mode)
        contract.need_dX_changes_nothing_else(layer, X, dY, mode)
        contract.gradients_are_proportional_to_dY(layer, X, dY, mode)
        one, dY_one, used = X[..., :1, :], dY[..., :1, :], contract.used(layer, X, dY, rng)
        for checked, some, dY_some, most, case in (
            (layer, X, dY, samples, ""),
            (layer, one, dY_one, 20, ", for a batch of one"),
            (used, X, dY, 20, ", after other calls and a change of the parameters"),
        ):
            case += ", with train=True" if mode else ""
            found = _differences_agree(checked, some, dY_some, mode, rng, tolerance, most, case)
            errors = {name: max(error, errors.get(name, 0.0)) for name, error in found.items()}
        contract.parameters_are_looked_up_in_each_call(layer, X, dY, mode)
        contract.replicas_are_separate(layer, X, dY, mode, rng)
        contract.zeros_give_numbers(layer, X, dY, mode)
        contract.float32_stays_float32(layer, X, dY, mode)
    contract.random_numbers_are_new_each_time_and_keep_the_mean(layer, X)
    return errors


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
    for train in (False, True):
        Y = copied(layer).forward(X.copy(), train=train)
        if not isinstance(Y, np.ndarray):
            raise GradientError(f"forward returned {type(Y).__name__}, and must return an array")
        if not np.isfinite(Y).all():
            raise ValueError("forward returns values that are not finite here: choose another X")
    return X


def _differences_agree(
    layer: Any,
    X: np.ndarray,
    dY: np.ndarray,
    train: bool,
    rng: np.random.Generator,
    tolerance: float,
    samples: int,
    case: str,
) -> dict[str, float]:
    """The worst relative error of each gradient against finite differences; GradientError above `tolerance`."""
    layer, X = copied(layer), X.copy()
    found = gradients(copied(layer), X, dY, train)
    dX = found["X"]  # a shared X is one array: its gradient is the sum over the replicas
    found["X"] = dX.sum(axis=tuple(range(dX.ndim - X.ndim)))
    errors = {}

    def forward() -> Any:
        return copied(layer).forward(X.copy(), train=train)

    for name, A in [("X", X), *((name, A) for name, A, _ in parameters(layer))]:
        errors[name] = 0.0
        for j in rng.permutation(A.size)[:samples]:
            i = tuple(int(k) for k in np.unravel_index(j, A.shape))
            got = found[name][i]
            error, expected, settled = _error(got, _estimates(forward, A, i, dY), tolerance)
            errors[name] = max(errors[name], error)
            if not error <= tolerance:  # a NaN fails too
                _refuse_a_kink(forward, A, i, dY, f"{name}{list(i)} = {A[i]:.6g}")
                if not settled:
                    raise ValueError(
                        f"d{name}{list(i)} cannot be checked here: finite differences give another number for each "
                        "step; choose X and parameters of moderate size"
                    )
                raise GradientError(
                    f"d{name}{list(i)} is {got:.6g}, but finite differences give {expected:.6g} (relative error "
                    f"{error:.1e}, tolerance {tolerance:.0e}){case}"
                )
        if A.size > samples:
            _whole_array_agrees(forward, A, found[name], dY, rng, tolerance, name, case)
    return errors


def _error(got: float, estimates: Iterable[tuple[float, float]], tolerance: float) -> tuple[float, float, bool]:
    """(relative error, estimate, whether it is settled): of the first estimate within the tolerance, or of the last.

    An estimate is settled where another step gives the same within 1 %: where there is none, all of them say nothing.
    """
    seen: list[float] = []
    result = np.inf, np.nan, False
    for expected, unsure in estimates:
        if expected == 0:  # nothing moved at all: rounding has no part in it, unless it hides what should have moved
            if 0 < abs(got) <= unsure and seen:
                continue
            unsure = unsure if not seen else 0.0
        apart = max(abs(got - expected) - unsure, 0.0)
        error = apart / max(abs(got), abs(expected)) if apart else 0.0
        if error <= tolerance:
            return error, expected, True
        settled = any(abs(expected - other) <= 0.01 * abs(expected) for other in seen)
        if settled or not result[2]:
            result = error, expected, settled
        seen.append(expected)
    return result


def _whole_array_agrees(
    f: Callable[[], Any],
    A: np.ndarray,
    dA: np.ndarray,
    dY: np.ndarray,
    rng: np.random.Generator,
    tolerance: float,
    name: str,
    case: str,
) -> None:
    """dL/ds at A + sV is Σ dA·V for a random direction V: no element is left out. A kink may spoil one V or two."""
    here, s = A.copy(), np.zeros(1)
    for _ in range(3):
        V = rng.standard_normal(A.shape) * max(float(np.sqrt(np.mean(A**2))), 1.0)

        def along(V: np.ndarray = V) -> Any:
            A[...] = here + s * V
            return f()

        got = float(np.sum(dA * V))
        error, expected, _ = _error(got, _estimates(along, s, (0,), dY), tolerance)
        if error <= tolerance:
            A[...] = here
            return
    _refuse_a_kink(along, s, (0,), dY, f"some element of {name}", least=10 * tolerance)
    raise GradientError(
        f"Σ d{name}·V is {got:.6g}, but finite differences along V give {expected:.6g} (relative error {error:.1e}, "
        f"tolerance {tolerance:.0e}): some element of d{name} is wrong{case}"
    )


def _estimates(
    f: Callable[[], Any], A: np.ndarray, i: tuple[int, ...], dY: np.ndarray
) -> Iterator[tuple[float, float]]:
    """Estimates of ∂L/∂a, each with what rounding may add to it: a plain one, then more for an element that fails it.

    The best step depends on the layer: small near a kink or where it bends, large where rounding weighs. So the step is
    varied, and each difference extrapolated to h = 0 (Richardson: the h² term cancels). A wrong gradient fits none.
    """
    size = max(float(np.sqrt(np.mean(A**2))), 1.0)
    ulps = 32 * np.finfo(float).eps * float(np.abs(dY).max())
    largest = float(np.abs(f()).max())

    def difference(h: float) -> float:
        return float(numerical_gradient(f, A, dY=dY, step=h, indices=[i])[i])

    # a layer may compute a small output from numbers near 1, as 1 + tanh is; or it may not, which is tried last
    rounding = ulps * max(largest, 1.0)
    yield difference(1e-5 * size), rounding / (1e-5 * size)
    late = []
    for scale, h in itertools.product((size, float(abs(A[i])) or 1.0), (1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6)):
        expected = (4 * difference(scale * h / 2) - difference(scale * h)) / 3
        if expected == 0 or rounding / (scale * h) <= 1e-2 * abs(expected):
            yield expected, rounding / (scale * h)
        else:
            late.append((expected, ulps * largest / (scale * h)))
    yield from (one for one in late if one[1] <= 1e-2 * abs(one[0]))


def _refuse_a_kink(
    f: Callable[[], Any], A: np.ndarray, i: tuple[int, ...], dY: np.ndarray, what: str, least: float = 0.01
) -> None:
    """ValueError where the slopes on both sides of an element differ by a share `least`, however close one looks."""
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
    if min(sides) > least:
        raise ValueError(
            f"{what} is at a kink: the slope is {left:.4g} on its left and {right:.4g} on its right, so it has no "
            "derivative there; move it"
        )
