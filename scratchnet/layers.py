"""Layers: each computes its output from its input, and its gradients from the gradient of its output.

The contract, the same for every layer and for a whole network:

- **Notation.** `X` is a layer's input, `Y` its output, `W` weights, `b` biases. L is the scalar loss, and `dA`
  is ∂L/∂A, an array of A's shape. `n` counts examples, `n_in` is the fan-in of a unit, `n_out` the number of
  units.
- **Rows are examples.** `X: (n, n_in)`: row i is what example i feeds into the layer.
- **Leading axes are replicas.** Any array may carry more axes in front, as in `W: (R, n_in, n_out)`. They are
  independent networks side by side. All arithmetic is on the last two axes, so the code reads as if there
  were one network. An array without replica axes is shared by all of them.
- **`forward(X, train=False)` keeps what backward needs; `backward(dY)` returns dX** and overwrites dW and db
  (nothing accumulates, nothing has to be zeroed). Neither writes into the array that it was handed.
- **Layers sum over rows.** The mean over the batch is taken once, in the loss.
- **`train` is an argument.** False, the default, is deterministic. Only Dropout and BatchNorm look at it.
- **A layer is given its arrays**, so it knows nothing of initialization, dtype or device.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import ClassVar, Protocol

import numpy as np

from scratchnet.backend import Array, as_array, erf, like


class Layer(Protocol):
    """What a layer is. A class that inherits from this one writes `forward` and `backward`; the rest has defaults.

    `params` names the parameters, each with the number of its own axes, such as {"W": 2, "b": 1}: any axes in front
    of those are replicas. A parameter A is an attribute, and its gradient is the attribute dA, an array of A's shape
    that backward fills in place. `layers` are the layers that this one is made of, where there are some, as in a
    network; backward fills their gradients too.

    `state` names, in the same way, the arrays that a forward with train=True changes and that have no gradient, such as
    BatchNorm's running statistics. A network copies, moves and saves them with its parameters.
    """

    params: ClassVar[Mapping[str, int]] = {}
    state: ClassVar[Mapping[str, int]] = {}
    layers: Sequence[Layer] = ()

    def forward(self, X: Array, train: bool = False) -> Array:
        """The output Y for the input X; keeps what backward needs."""
        ...

    def backward(self, dY: Array) -> Array:
        """dX from dY, for the input of the last forward; overwrites the gradients of the parameters."""
        ...


class Linear(Layer):
    """Y = XW + b: every output unit is a weighted sum of the inputs plus a bias.

    Shapes: `X: (n, n_in)`, `W: (n_in, n_out)`, `b: (n_out,)`, `Y: (n, n_out)`; replica axes in front.

    Backward, from the element form y_ij = Σ_k x_ik w_kj + b_j:

        ∂L/∂w_kj = Σ_i ∂L/∂y_ij · x_ik    is the matrix product    dW = Xᵀ dY
        ∂L/∂b_j  = Σ_i ∂L/∂y_ij           is the column sum        db = Σ_rows dY
        ∂L/∂x_ik = Σ_j ∂L/∂y_ij · w_kj    is the matrix product    dX = dY Wᵀ

    The shapes leave no other choice: (n_in, n)·(n, n_out) for dW and (n, n_out)·(n_out, n_in) for dX.
    """

    params = {"W": 2, "b": 1}

    def __init__(self, W: Array, b: Array) -> None:
        self.W, self.b = W, b
        self.dW, self.db = np.empty_like(W), np.empty_like(b)

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X = X
        Y = X @ self.W
        Y += self.b[..., None, :]
        return Y

    def backward(self, dY: Array, need_dX: bool = True) -> Array:
        np.matmul(self.X.mT, dY, out=self.dW)  # A.mT: A with its last two axes exchanged
        np.sum(dY, axis=-2, out=self.db)
        # The first layer of a network need not compute the gradient of the images: 28 % of a step's arithmetic.
        return dY @ self.W.mT if need_dX else None


class Identity(Layer):
    """y = x, so dx = dy: between Linear layers it makes a deep linear network."""

    def forward(self, X: Array, train: bool = False) -> Array:
        return X

    def backward(self, dY: Array) -> Array:
        return dY


class ReLU(Layer):
    """y = max(x, 0) (Nair & Hinton 2010, ICML). dx = dy where x > 0, else 0; the kink at 0 counts as 0."""

    def forward(self, X: Array, train: bool = False) -> Array:
        self.Y = np.maximum(X, 0)
        return self.Y

    def backward(self, dY: Array) -> Array:
        return dY * (self.Y > 0)


class LeakyReLU(Layer):
    """y = x where x > 0, else slope·x (Maas, Hannun & Ng 2013, ICML workshop). dx = dy, else slope·dy."""

    def __init__(self, slope: float = 0.01) -> None:
        self.slope = slope

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X = X
        return np.where(X > 0, X, self.slope * X)

    def backward(self, dY: Array) -> Array:
        return np.where(self.X > 0, dY, self.slope * dY)


class PReLU(Layer):
    """y = max(x, 0) + a·min(x, 0): a leaky ReLU whose slope a is learned, one number for the layer.

    dx = dy where x > 0, else a·dy; da = Σ dy·min(x, 0) over all examples and units. Source: He, Zhang, Ren & Sun 2015,
    ICCV, eq. 1 ("channel-shared") and the start at 0.25 in §2.1.
    """

    params = {"a": 0}

    def __init__(self, a: float | Array = 0.25) -> None:
        self.a = as_array(a)
        self.da = np.empty_like(self.a)

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X = X
        return np.where(X > 0, X, self.a[..., None, None] * X)

    def backward(self, dY: Array) -> Array:
        np.sum(dY * np.minimum(self.X, 0), axis=(-2, -1), out=self.da)
        return np.where(self.X > 0, dY, self.a[..., None, None] * dY)


class Tanh(Layer):
    """y = tanh x. Since tanh' = 1 − tanh², dx = dy·(1 − y²)."""

    def forward(self, X: Array, train: bool = False) -> Array:
        self.Y = np.tanh(X)
        return self.Y

    def backward(self, dY: Array) -> Array:
        return dY * (1 - self.Y * self.Y)


def sigmoid(X: Array) -> Array:
    """σ(x) = 1/(1 + e⁻ˣ), written as (1 + tanh(x/2))/2, which is the same and never overflows.

    Below x ≈ −17 float32 rounds it to 0.
    """
    return 0.5 * (1 + np.tanh(0.5 * X))


class Sigmoid(Layer):
    """y = σ(x) = 1/(1 + e⁻ˣ). Since σ' = σ(1 − σ), dx = dy·y·(1 − y)."""

    def forward(self, X: Array, train: bool = False) -> Array:
        self.Y = sigmoid(X)
        return self.Y

    def backward(self, dY: Array) -> Array:
        return dY * self.Y * (1 - self.Y)


class ELU(Layer):
    """y = x where x > 0, else α(eˣ − 1) (Clevert, Unterthiner & Hochreiter 2016, ICLR, eq. 15).

    For x ≤ 0 the derivative is αeˣ = y + α, so dx = dy where x > 0, else dy·(y + α).
    """

    def __init__(self, alpha: float = 1.0) -> None:
        self.alpha = alpha

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X = X
        # min(x, 0): the branch that is not taken must not overflow
        self.Y = np.where(X > 0, X, self.alpha * np.expm1(np.minimum(X, 0)))
        return self.Y

    def backward(self, dY: Array) -> Array:
        return np.where(self.X > 0, dY, dY * (self.Y + self.alpha))


class SELU(Layer):
    """y = λ·ELU(x; α), with the λ and α that make N(0, 1) a fixed point of mean and variance.

    λ and α: Klambauer, Unterthiner, Mayr & Hochreiter 2017, NeurIPS, eq. 2 and 14.
    """

    ALPHA = 1.6732632423543772
    SCALE = 1.0507009873554805  # λ

    def __init__(self) -> None:
        self.elu = ELU(self.ALPHA)

    def forward(self, X: Array, train: bool = False) -> Array:
        return self.SCALE * self.elu.forward(X)

    def backward(self, dY: Array) -> Array:
        return self.elu.backward(self.SCALE * dY)


class GELU(Layer):
    """y = x·Φ(x), Φ the normal distribution function, exact, not the tanh form (Hendrycks & Gimpel 2016, §2).

    Φ(x) = (1 + erf(x/√2))/2 and Φ' = φ(x) = e^(−x²/2)/√(2π), so dx = dy·(Φ(x) + x·φ(x)).
    """

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X = X
        self.Phi = 0.5 * (1 + erf(X / math.sqrt(2)))
        return X * self.Phi

    def backward(self, dY: Array) -> Array:
        phi = np.exp(-0.5 * self.X * self.X) / math.sqrt(2 * math.pi)
        return dY * (self.Phi + self.X * phi)


class SiLU(Layer):
    """y = x·σ(x), also called swish (Elfwing, Uchibe & Doya 2018; Hendrycks & Gimpel 2016).

    With s = σ(x) and s' = s(1 − s), dx = dy·(s + x·s·(1 − s)).
    """

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X = X
        self.S = sigmoid(X)
        return X * self.S

    def backward(self, dY: Array) -> Array:
        return dY * (self.S + self.X * self.S * (1 - self.S))


class Dropout(Layer):
    """While training, zeroes each unit with probability p and scales the others by 1/(1 − p).

    The scaling keeps every unit's expectation, E[y] = x ("inverted" dropout; Srivastava et al. 2014, JMLR,
    §10), so that nothing is left to do in evaluation: y = x. With the mask M of zeros and 1/(1 − p):
    y = x·m and dx = dy·m.

    One mask of shape (n, units) is drawn for all replicas: networks side by side see the same mask. `rng` may
    also be a sequence of S generators; the masks are then (S, n, units), one stream for each index of the
    last replica axis.
    """

    # A unit is dropped when 16 random bits fall below p·2¹⁶, so p is met to 2⁻¹⁷. Half the cost of floats.
    LEVELS = 1 << 16

    def __init__(self, p: float, *, rng: np.random.Generator | Sequence[np.random.Generator]) -> None:
        if not 0 <= p < 1:
            raise ValueError(f"expected a probability of dropping a unit, 0 ≤ p < 1, got p = {p}")
        self.p = p
        self.rng = rng

    def draw_mask(self, shape: tuple[int, ...], dtype: np.dtype) -> np.ndarray:
        threshold = min(round(self.p * self.LEVELS), self.LEVELS - 1)  # p near 1 must not drop everything
        rngs = self.rng if isinstance(self.rng, Sequence) else [self.rng]
        bits = [rng.integers(self.LEVELS, size=shape, dtype=np.uint16) for rng in rngs]
        keep = (np.stack(bits) if isinstance(self.rng, Sequence) else bits[0]) >= threshold
        # scaled by the probability that was really used, threshold/2¹⁶
        return keep * dtype.type(self.LEVELS / (self.LEVELS - threshold))

    def forward(self, X: Array, train: bool = False) -> Array:
        dtype = np.result_type(X.dtype, np.float32)  # images may be integers, in which 1/(1 − p) would be 1
        self.M = like(self.draw_mask(X.shape[-2:], dtype), X) if train and self.p > 0 else None
        return X if self.M is None else X * self.M

    def backward(self, dY: Array) -> Array:
        return dY if self.M is None else dY * self.M


def walk(layer: Layer) -> Iterator[Layer]:
    """The layer, and all layers in it, in order."""
    yield layer
    for inner in getattr(layer, "layers", ()):
        yield from walk(inner)


def parameters(layer: Layer) -> Iterator[tuple[str, Array, Array]]:
    """(name, A, dA) for each parameter of a layer and of the layers in it: "0.W", "0.b", "3.W", … in a network."""
    for name in getattr(layer, "params", {}):  # a reader's class need not inherit from Layer
        yield name, getattr(layer, name), getattr(layer, "d" + name)
    for i, inner in enumerate(getattr(layer, "layers", ())):
        for name, A, dA in parameters(inner):
            yield f"{i}.{name}", A, dA


def states(layer: Layer) -> Iterator[tuple[str, Array]]:
    """(name, A) for each array of the `state` of a layer and of the layers in it: "1.running_mean", …"""
    for name in getattr(layer, "state", {}):
        yield name, getattr(layer, name)
    for i, inner in enumerate(getattr(layer, "layers", ())):
        for name, A in states(inner):
            yield f"{i}.{name}", A
