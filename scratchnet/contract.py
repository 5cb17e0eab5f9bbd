"""What the contract of `layers` asks of a layer besides right formulas: the doubts of `gradcheck`, a function each."""

from __future__ import annotations

import copy
import inspect
import itertools
from collections.abc import Iterable
from typing import Any

import numpy as np

from scratchnet.layers import parameters, walk


class GradientError(AssertionError):
    """A layer does not do what its contract says; the message says what, where and by how much."""


def copied(layer: Any) -> Any:
    return copy.deepcopy(layer)


def gradients(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool, **need: bool) -> dict[str, Any]:
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
    if not (apart <= 1e-9 * scale + np.finfo(float).tiny).all():
        i = np.unravel_index(np.nanargmax(np.where(np.isnan(apart), np.inf, apart)), np.shape(one))
        raise GradientError(f"{message}: element {[int(k) for k in i]} is {one[i]:.6g} against {other[i]:.6g}")


# --- the layer ------------------------------------------------------------------------------------------------


def parameters_are_declared(layer: Any) -> None:
    """An array a that has a gradient array da is a parameter, so `params` must name it."""
    for part in walk(layer):
        for name, A in vars(part).items():
            dA = vars(part).get(f"d{name}")
            if name not in getattr(part, "params", {}) and isinstance(A, np.ndarray) and isinstance(dA, np.ndarray):
                raise GradientError(
                    f"{type(part).__name__} has {name} and d{name}, and params does not name {name}: no network would "
                    "learn it"
                )


def random_numbers_are_the_layers_own(layer: Any, X: np.ndarray) -> None:
    """With train=False nothing is random; with train=True a copy draws what the layer would have drawn."""
    one = copied(layer)
    _expect_equal(
        one.forward(X.copy(), train=False), one.forward(X.copy(), train=False), "two evaluations of one X differ"
    )
    one, other = copied(layer), copied(layer)
    _expect_equal(
        one.forward(X.copy(), train=True),
        other.forward(X.copy(), train=True),
        "two copies of the layer differ with train=True: draw from a generator that is an attribute, self.rng",
    )


# --- its calls ------------------------------------------------------------------------------------------------


def nothing_else_is_touched(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """forward and backward leave X, dY, the parameters and the output that was handed on as they were."""
    layer, X_given, dY_given = copied(layer), X.copy(), dY.copy()
    before = {name: A.copy() for name, A, _ in parameters(layer)}
    try:
        Y = layer.forward(X_given, train=train)
        Y_before = Y.copy()
        layer.backward(dY_given)
    except Exception as error:
        raise GradientError(f"forward and backward fail with train={train}: {type(error).__name__}: {error}") from error
    for name, one, other in (("X", X, X_given), ("dY", dY, dY_given), ("its own output Y", Y_before, Y)):
        if not np.array_equal(one, other):
            raise GradientError(f"forward or backward wrote into {name}: neither may change the array that it is given")
    for name, A, _ in parameters(layer):
        if not np.array_equal(before[name], A):
            raise GradientError(f"forward or backward changed the parameter {name}: only an optimizer may")


def every_gradient_is_filled(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """backward overwrites the arrays dA that a network knows of, whatever was in them, and returns dX."""
    layer = copied(layer)
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
        if (dA.shape, dA.dtype) != (A.shape, A.dtype):
            raise GradientError(f"d{name} is {dA.dtype} of shape {dA.shape}, and {name} is {A.dtype} of {A.shape}")
        if np.isnan(known[name]).any():
            i = [int(k) for k in np.argwhere(np.isnan(known[name]))[0]]
            raise GradientError(
                f"d{name}{i} is NaN where it was NaN before: backward must fill d{name} in place and add nothing to it"
            )


def calls_do_not_depend_on_earlier_ones(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """A second round on one object gives what a new object gives, and so does one beside another object."""
    used = copied(layer)
    Y = used.forward(X.copy(), train=train)
    dX = used.backward(dY)
    Y_before, dX_before = Y.copy(), dX.copy()
    _expect_equal(used.backward(dY), dX_before, "a second backward gives another dX than the first")
    X_other, dY_other = X[..., ::-1, :] * 0.75, dY[..., ::-1, :] * 1.25
    one, other = copied(layer), copied(layer)
    if train:
        other.forward(X_other.copy(), train=False)
        message = "an evaluation changes the output of the next call with train=True: draw and keep nothing in it"
        _expect_equal(other.forward(X.copy(), train=True), Y_before, message)
    one.forward(X.copy(), train=train)
    other.forward(X_other.copy(), train=train)
    message = "dX changes where another object of the class is used in between: keep in self what backward needs"
    _expect_equal(one.backward(dY), dX_before, message)
    new = copied(used) if train else copied(layer)  # with random numbers a copy has to start where the object is
    if not train:
        _expect_equal(
            used.forward(X_other.copy(), train=False),
            new.forward(X_other.copy(), train=False),
            "a second forward gives another output than a first one would: it keeps something from the call before",
        )
    a, b = gradients(used, X_other, dY_other, train), gradients(new, X_other, dY_other, train)
    for name in a:
        _expect_equal(a[name], b[name], f"d{name} of a second round differs from that of a new object")
    for name, one, other in (("Y", Y, Y_before), ("dX", dX, dX_before)):
        if not np.array_equal(one, other):
            raise GradientError(f"a later call wrote into the {name} that an earlier one returned: return a new array")


def memory_order_does_not_matter(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """A dY or an X whose numbers lie in another order in memory, such as a transpose, gives the same."""
    expected = gradients(copied(layer), X, dY, train)
    turned = copied(layer)
    turned.forward(X.mT.copy().mT, train=train)
    found = {"X": turned.backward(dY.mT.copy().mT)} | {name: dA for name, _, dA in parameters(turned)}
    for name in expected:
        _expect_equal(found[name], expected[name], f"d{name} differs where X and dY are not contiguous in memory")


def need_dX_changes_nothing_else(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """backward(dY, need_dX=False), as `fit` calls a first layer, fills the parameters' gradients all the same."""
    if "need_dX" not in inspect.signature(layer.backward).parameters:
        return
    expected = gradients(copied(layer), X, dY, train)
    found = gradients(copied(layer), X, dY, train, need_dX=False)
    for name in [name for name in expected if name != "X"]:
        _expect_equal(found[name], expected[name], f"d{name} differs with need_dX=False")


def gradients_are_proportional_to_dY(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """2ᵏ times dY gives 2ᵏ times each gradient, without rounding: a clipped or normalized one does not."""
    expected = gradients(copied(layer), X, dY, train)
    for factor in (2.0**-20, 2.0**20):
        found = gradients(copied(layer), X, dY * factor, train)
        for name in expected:
            _expect_equal(found[name] / factor, expected[name], f"d{name} is not proportional to dY")


def used(layer: Any, X: np.ndarray, dY: np.ndarray, rng: np.random.Generator) -> Any:
    """A copy that has been called before, in both modes and with other examples, and whose parameters have changed."""
    layer = copied(layer)
    for train in (True, False):
        gradients(layer, X[..., ::-1, :] * 0.75, dY[..., ::-1, :], train)
    for _, A, _ in parameters(layer):
        A *= rng.uniform(0.9, 1.1, size=A.shape)
    return layer


def parameters_are_looked_up_in_each_call(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """A parameter may be put elsewhere: a network replaces the attributes by views on its vector of all parameters."""
    changed, replaced = copied(layer), copied(layer)
    for part, other in zip(walk(changed), walk(replaced), strict=True):
        for name in getattr(part, "params", {}):
            A = getattr(part, name)
            A *= 0.9
            setattr(other, name, A.copy())
    message = "differs where a network puts the parameters elsewhere: look up the attributes in each call"
    Y, Y_changed = replaced.forward(X.copy(), train=train), changed.forward(X.copy(), train=train)
    _expect_equal(Y, Y_changed, f"the output {message}")
    expected, found = gradients(changed, X, dY, train), gradients(replaced, X, dY, train)
    for name in expected:
        _expect_equal(found[name], expected[name], f"d{name} {message}")


# --- other numbers, and other networks beside it --------------------------------------------------------------


def zeros_give_numbers(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """Where inputs or parameters are exactly 0, as pixels and first biases often are, no gradient is NaN."""
    for zeroed in ("X", *(name for name, _, _ in parameters(layer))):
        some, X_some = copied(layer), X.copy()
        {"X": X_some, **{name: A for name, A, _ in parameters(some)}}[zeroed].flat[::2] = 0
        with np.errstate(all="ignore"):
            if np.isfinite(copied(some).forward(X_some.copy(), train=train)).all():
                for name, dA in gradients(some, X_some, dY, train).items():
                    if np.isnan(dA).any():
                        raise GradientError(
                            f"d{name} is NaN where {zeroed} is exactly 0, though the output is a number"
                        )


def float32_stays_float32(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool) -> None:
    """With parameters, X and dY in float32, as in training, Y and dX are float32 too."""
    layer = copied(layer)
    with np.errstate(all="ignore"):
        for part in walk(layer):
            for name, A in vars(part).items():
                if isinstance(A, np.ndarray) and A.dtype == np.float64:
                    setattr(part, name, A.astype(np.float32))
        Y = layer.forward(X.astype(np.float32), train=train)
        dX = layer.backward(dY.astype(np.float32))
    for name, A in (("Y", Y), ("dX", dX)):
        if A.dtype != np.float32:
            raise GradientError(
                f"{name} is {A.dtype} where all arrays are float32: write 2.0 or math.sqrt(2), not np.sqrt(2)"
            )


def replicas_are_separate(layer: Any, X: np.ndarray, dY: np.ndarray, train: bool, rng: np.random.Generator) -> None:
    """Networks side by side, with parameters and inputs of their own, give what each of them gives alone."""
    own = [own for part in walk(layer) for own in getattr(part, "params", {}).values()]
    if any(A.ndim > axes for (_, A, _), axes in zip(parameters(layer), own, strict=True)):
        return  # it is such a stack already, and has been compared with finite differences
    trial = copied(layer)
    if train and not np.array_equal(trial.forward(X.copy(), train=True), trial.forward(X.copy(), train=True)):
        return  # whether replicas see the same random numbers is the layer's affair
    singles = [copied(layer) for _ in range(4)]
    for single in singles:
        for part in walk(single):
            for name in (*getattr(part, "params", {}), *getattr(part, "state", {})):
                A = getattr(part, name)
                A *= rng.uniform(0.9, 1.1, size=A.shape)
    inputs = [X, X[::-1] * 0.9, X * 1.1, X[::-1] * 1.2]
    for lead, name in (((3,), "three replicas"), ((2, 2), "2 × 2 replicas")):
        for shared in (True, False) if own else (False,):
            sharing = f"{name}{' with a shared X' if shared else ''}"
            some = [X] * 4 if shared else inputs
            _stack_agrees(layer, singles, some, X if shared else None, dY, train, lead, sharing)


def _stack_agrees(
    layer: Any,
    singles: list[Any],
    inputs: list[np.ndarray],
    shared: np.ndarray | None,
    dY: np.ndarray,
    train: bool,
    lead: tuple[int, ...],
    name: str,
) -> None:
    """A stack of the `singles`, in replica axes `lead`, gives what each gives for its own of the `inputs`."""

    def stacked(arrays: Iterable[np.ndarray]) -> np.ndarray:
        A = np.stack(list(itertools.islice(arrays, int(np.prod(lead)))))
        return A.reshape(*lead, *A.shape[1:])

    stack, singles = copied(layer), [copied(single) for single in singles]
    for part, *parts in zip(walk(stack), *map(walk, singles), strict=True):
        params = getattr(part, "params", {})
        for attribute in (*params, *(f"d{name}" for name in params), *getattr(part, "state", {})):
            setattr(part, attribute, stacked(getattr(single, attribute) for single in parts))
    X = stacked(inputs) if shared is None else shared
    outputs = stacked(one.forward(A.copy(), train=train) for one, A in zip(singles, inputs, strict=True))
    each = [gradients(one, A, dY, train) for one, A in zip(singles, inputs, strict=True)]
    try:
        output = stack.forward(X.copy(), train=train)
        found = gradients(stack, X, stacked([dY] * 4), train)
    except (ValueError, IndexError) as error:
        raise GradientError(
            f"it fails as a stack of {name} ({error}): parameters may have axes in front, so use a[..., None, :] and "
            "sum over the last axes"
        ) from error
    differs = f"of a stack of {name} differs from that of each alone{', with train=True' if train else ''}"
    _expect_equal(output, outputs, f"the output {differs}")
    for parameter, gradient in found.items():
        _expect_equal(gradient, stacked(g[parameter] for g in each), f"d{parameter} {differs}")
    for part, *parts in zip(walk(stack), *map(walk, singles), strict=True):
        for name in getattr(part, "state", {}):  # arrays that training changes and that have no gradient
            _expect_equal(getattr(part, name), stacked(getattr(one, name) for one in parts), f"{name} {differs}")


def random_numbers_are_new_each_time_and_keep_the_mean(layer: Any, X: np.ndarray, draws: int = 300) -> None:
    """What is random in training is drawn anew in each call; for a single layer its mean is what evaluation gives.

    The mean is taken over `draws` calls and compared by one number: the deviations from evaluation in standard errors,
    each with the sign of the value, added up over all elements and divided by the root of their number. It is about
    N(0, 1) for a right layer; beyond ±7 is an error.
    """
    trial, expected = copied(layer), copied(layer).forward(X.copy(), train=False)
    first = trial.forward(X.copy(), train=True).copy()
    if np.array_equal(first, expected):
        return
    # as many as it takes: of a few units, a new mask may well drop the same ones several times
    if all(np.array_equal(first, trial.forward(X.copy(), train=True)) for _ in range(draws)):
        if any(getattr(part, "rng", None) is not None for part in walk(layer)):
            raise GradientError(f"{draws} calls with train=True drop the same units: draw a new mask in each forward")
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
