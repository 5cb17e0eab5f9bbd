"""A zoo of wrong layers, each with the sentence that gradcheck must say of it; the right ones stand beside them.

Most are `Scale`, Y = X·a, or `Dense`, Y = XW, with one mistake each.
"""

import numpy as np

from scratchnet.layers import Dropout, Layer, Linear, Tanh


class Scale(Layer):
    """Right: each unit has a factor of its own."""

    params = {"a": 1}

    def __init__(self, a):
        self.a, self.da = a, np.empty_like(a)

    def forward(self, X, train=False):
        self.X = X
        return X * self.a[..., None, :]

    def backward(self, dY):
        np.sum(dY * self.X, axis=-2, out=self.da)
        return dY * self.a[..., None, :]


class Dense(Layer):
    """Right: Y = XW for a square W, so that a wrong transpose has the right shape."""

    params = {"W": 2}

    def __init__(self, W):
        self.W, self.dW = W, np.empty_like(W)

    def forward(self, X, train=False):
        self.X = X
        return X @ self.W

    def backward(self, dY, need_dX=True):
        np.matmul(self.X.mT, dY, out=self.dW)
        return dY @ self.W.mT if need_dX else None


ZOO = {}  # name → (class, what gradcheck says)


def wrong(sentence):
    def keep(kind):
        ZOO[kind.__name__] = (kind, sentence)
        return kind

    return keep


# --- wrong formulas -----------------------------------------------------------------------------------------------


@wrong("dX.* is 0, but finite differences give")
class NoGradient(Scale):
    def backward(self, dY):
        super().backward(dY)
        return 0 * dY


@wrong(r"da.* but finite differences give .* tolerance 1e-06\)$")
class HalfAGradient(Scale):
    def backward(self, dY):
        dX = super().backward(dY)
        self.da *= 0.5
        return dX


@wrong("da.* but finite differences give")
class OneUnitForgotten(Scale):
    """The others are a million times as large: relative to them the error is nothing."""

    def backward(self, dY):
        dX = super().backward(dY)
        self.da[..., 0] = 0
        return dX


@wrong("da.* but finite differences give")
class MeanInsteadOfSum(Scale):
    def backward(self, dY):
        np.mean(dY * self.X, axis=-2, out=self.da)
        return dY * self.a[..., None, :]


@wrong("dW.* but finite differences give")
class TransposedGradient(Dense):
    def backward(self, dY, need_dX=True):
        np.matmul(dY.mT, self.X, out=self.dW)
        return dY @ self.W.mT


@wrong("dX.* but finite differences give")
class NotTransposed(Dense):
    def backward(self, dY, need_dX=True):
        super().backward(dY)
        return dY @ self.W


@wrong("dX.* but finite differences give")
class WrongSign(Tanh):
    def backward(self, dY):
        return -super().backward(dY)


@wrong("dX.* but finite differences give")
class RowsMixedUp(Tanh):
    def backward(self, dY):
        return super().backward(dY[..., ::-1, :])


@wrong(r"dX has the shape \(5, 3\), expected \(5, 4\)")
class ColumnMissing(Tanh):
    def backward(self, dY):
        return super().backward(dY)[..., :-1]


@wrong("dX.* is nan")
class NotANumber(Tanh):
    def backward(self, dY):
        return super().backward(dY) * np.nan


@wrong("backward returned NoneType, and must return dX")
class NothingReturned(Tanh):
    def backward(self, dY):
        super().backward(dY)


@wrong("dX.* is 0, but finite differences give")
class SmallAndWithoutGradient(Layer):
    """Y = 1e-7·X with dX = 0: an absolute tolerance would let it pass."""

    def forward(self, X, train=False):
        return 1e-7 * X

    def backward(self, dY):
        return 0 * dY


@wrong(r"Σ dW·V is .*: some element of dW is wrong$|dW\[3, 4\] is 0, but finite differences give")
class OneElementOfManyForgotten(Dense):
    """It is not among the elements that are compared each for itself."""

    def backward(self, dY, need_dX=True):
        dX = super().backward(dY)
        self.dW[..., 3, 4] = 0
        return dX


@wrong("dX is not proportional to dY")
class ClipsItsGradient(Tanh):
    def backward(self, dY):
        return np.clip(super().backward(dY), -5, 5)


@wrong("da is not proportional to dY")
class NormalizesItsGradient(Scale):
    def backward(self, dY):
        dX = super().backward(dY)
        self.da /= max(1.0, np.linalg.norm(self.da) / 50)
        return dX


@wrong("dX is NaN where X is exactly 0, though the output is a number")
class DividesByItsInput(Layer):
    """Y = X·tanh X, and dX by way of Y/X: images have many zeros."""

    def forward(self, X, train=False):
        self.X = X
        self.Y = X * np.tanh(X)
        return self.Y.copy()

    def backward(self, dY):
        T = self.Y / self.X
        return dY * (T + self.X * (1 - T * T))


@wrong("da is NaN where a is exactly 0, though the output is a number")
class DividesByItsParameter(Scale):
    def forward(self, X, train=False):
        self.Y = super().forward(X)
        return self.Y.copy()

    def backward(self, dY):
        np.sum(dY * self.Y, axis=-2, out=self.da)
        self.da /= self.a
        return dY * self.a[..., None, :]


@wrong("Y is float64 where all arrays are float32: write 2.0")
class Promotes(Layer):
    """The root of a number is a float64 of NumPy's, and makes all that it is multiplied with float64."""

    def forward(self, X, train=False):
        return X * np.sqrt(2)

    def backward(self, dY):
        return dY * np.sqrt(2)


@wrong("da is float32 of shape .4,., and a is float64 of .4,.")
class GradientInFloat32(Scale):
    def __init__(self, a):
        self.a, self.da = a, np.empty(a.shape, np.float32)


# --- wrong only sometimes -----------------------------------------------------------------------------------------


@wrong(r"dX.* but finite differences give .* tolerance 1e-06\), with train=True$")
class WrongInTraining(Tanh):
    def forward(self, X, train=False):
        self.train = train
        return super().forward(X)

    def backward(self, dY):
        return super().backward(dY) * (2 if self.train else 1)


@wrong(r"dX.* but finite differences give .* tolerance 1e-06\), for a batch of one$")
class WrongForOneExample(Tanh):
    def backward(self, dY):
        return super().backward(dY) * (2 if len(dY) == 1 else 1)


@wrong("dW differs with need_dX=False")
class WrongWithoutDX(Dense):
    def backward(self, dY, need_dX=True):
        if not need_dX:
            self.dW[...] = 1
            return None
        return super().backward(dY)


@wrong("dX differs where X and dY are not contiguous in memory")
class WrongInAnotherOrder(Tanh):
    def backward(self, dY):
        return (dY.ravel(order="K") * (1 - self.Y * self.Y).ravel()).reshape(dY.shape)


@wrong("forward and backward fail with train=False: AttributeError: .* has no attribute 'Y'")
class KeepsOnlyInTraining(Tanh):
    def forward(self, X, train=False):
        Y = np.tanh(X)
        if train:
            self.Y = Y
        return Y


# --- replicas -----------------------------------------------------------------------------------------------------


@wrong("it fails as a stack of three replicas|of a stack of three replicas")
class SumsTheWrongAxis(Scale):
    """README had it: right for one network, wrong for several."""

    def forward(self, X, train=False):
        self.X = X
        return X * (self.a if self.a.ndim == 1 else self.a[..., None, :])

    def backward(self, dY):
        self.da[...] = (dY * self.X).sum(axis=0)
        return dY * (self.a if self.a.ndim == 1 else self.a[..., None, :])


@wrong("it fails as a stack of three replicas .* use a...., None, :. and sum over the last axes")
class NoRoomForReplicas(Scale):
    def forward(self, X, train=False):
        self.X = X
        return X * self.a

    def backward(self, dY):
        np.sum(dY * self.X, axis=-2, out=self.da)
        return dY * self.a


@wrong("dX of a stack of three replicas with a shared X differs")
class AveragesASharedX(Dense):
    def backward(self, dY, need_dX=True):
        dX = super().backward(dY)
        return dX if self.X.ndim == dX.ndim else np.broadcast_to(dX.mean(axis=0), dX.shape)


@wrong("the output of a stack of three replicas differs")
class MixesReplicas(Tanh):
    def forward(self, X, train=False):
        Y = super().forward(X)
        return Y if X.ndim == 2 else Y - Y.mean(axis=0)


@wrong("it fails as a stack of 2 × 2 replicas|of a stack of 2 × 2 replicas")
class RoomForOneReplicaAxis(Scale):
    """A comparison has two: arms and seeds."""

    def forward(self, X, train=False):
        self.X = X
        return X * (self.a if self.a.ndim == 1 else self.a[:, None])

    def backward(self, dY):
        P = dY * self.X
        self.da[...] = P.sum(axis=0 if P.ndim == 2 else 1)
        return dY * (self.a if self.a.ndim == 1 else self.a[:, None])


@wrong("dX of a stack of three replicas differs from that of each alone, with train=True")
class WrongForReplicasInTraining(Tanh):
    def forward(self, X, train=False):
        self.train = train
        return super().forward(X)

    def backward(self, dY):
        return super().backward(dY) * (2 if self.train and dY.ndim > 2 else 1)


# --- state --------------------------------------------------------------------------------------------------------


@wrong("a second forward gives another output than a first one would")
class FirstOutputKept(Tanh):
    def forward(self, X, train=False):
        self.first = getattr(self, "first", None)
        if self.first is None or self.first.shape != X.shape:
            self.first = super().forward(X)
        return self.first.copy()


@wrong("dX of a second round differs from that of a new object")
class FirstInputKept(Tanh):
    def forward(self, X, train=False):
        Y = super().forward(X)
        self.kept = getattr(self, "kept", Y)
        return Y

    def backward(self, dY):
        return dY * (1 - self.kept * self.kept)


@wrong("a second backward gives another dX than the first")
class DoublesInTheSecondBackward(Tanh):
    def backward(self, dY):
        self.calls = getattr(self, "calls", 0) + 1
        return self.calls * super().backward(dY)


@wrong("backward must fill da in place and add nothing to it")
class Accumulates(Scale):
    def backward(self, dY):
        self.da += np.sum(dY * self.X, axis=-2)
        return dY * self.a[..., None, :]


@wrong("backward must fill da in place and add nothing to it")
class NewGradientArray(Scale):
    def backward(self, dY):
        self.da = np.sum(dY * self.X, axis=-2)
        return dY * self.a[..., None, :]


@wrong("two evaluations of one X differ")
class RandomInEvaluation(Dropout):
    def forward(self, X, train=False):
        return super().forward(X, train=True)


@wrong("300 calls with train=True drop the same units")
class MaskDrawnOnce(Dropout):
    def draw_mask(self, shape, dtype):
        self.kept = getattr(self, "kept", {})
        if shape not in self.kept:
            self.kept[shape] = super().draw_mask(shape, dtype)
        return self.kept[shape]


@wrong("the mean over 300 calls with train=True is 0.[567].* times what evaluation gives")
class NotScaled(Dropout):
    def draw_mask(self, shape, dtype):
        return (super().draw_mask(shape, dtype) > 0).astype(dtype)


@wrong("finite differences give .*, after other calls and a change of the parameters")
class MaskOfTrainingInEvaluation(Dropout):
    def forward(self, X, train=False):
        self.M = getattr(self, "M", None)
        return super().forward(X, train=True) if train else X


@wrong(r"finite differences give .* tolerance 1e-06\), after other calls and a change of the parameters$")
class WeightsOfTheBeginning(Dense):
    def __init__(self, W):
        super().__init__(W)
        self.first = W.copy()

    def backward(self, dY, need_dX=True):
        super().backward(dY)
        return dY @ self.first.mT


@wrong("finite differences give .*, after other calls and a change of the parameters")
class WeightsOfTheFirstCall(Dense):
    def forward(self, X, train=False):
        self.X = X
        if getattr(self, "first", self.W).shape != self.W.shape or not hasattr(self, "first"):
            self.first = self.W.copy()
        return X @ self.first


@wrong("the output differs where a network puts the parameters elsewhere: look up the attributes in each call")
class ListOfItsParameters(Scale):
    def __init__(self, a):
        super().__init__(a)
        self.kept = [a]

    def forward(self, X, train=False):
        self.X = X
        return X * self.kept[0][..., None, :]


@wrong("dX changes where another object of the class is used in between: keep in self what backward needs")
class KeepsInItsClass(Tanh):
    kept = {}

    def forward(self, X, train=False):
        self.kept["Y"] = np.tanh(X)
        return self.kept["Y"].copy()

    def backward(self, dY):
        return dY * (1 - self.kept["Y"] ** 2)


@wrong("an evaluation changes the output of the next call with train=True: draw and keep nothing in it")
class DrawsInEvaluation(Dropout):
    def forward(self, X, train=False):
        if not train:
            self.draw_mask(X.shape[-2:], X.dtype)
        return super().forward(X, train)


@wrong("two copies of the layer differ with train=True: draw from a generator that is an attribute, self.rng")
class RandomNumbersFromOutside(Dropout):
    outside = [np.random.default_rng(3)]

    def draw_mask(self, shape, dtype):
        return (self.outside[0].random(shape) >= self.p).astype(dtype) / (1 - self.p)


# --- writing where it must not ------------------------------------------------------------------------------------


@wrong("wrote into X: neither may change")
class WritesIntoX(Tanh):
    def forward(self, X, train=False):
        X *= 1.0 + 1e-9
        return super().forward(X)


@wrong("wrote into dY: neither may change")
class WritesIntoDY(Tanh):
    def backward(self, dY):
        dY *= 1 - self.Y * self.Y
        return dY


@wrong("wrote into its own output Y")
class WritesIntoItsOutput(Tanh):
    def backward(self, dY):
        dX = super().backward(dY)
        self.Y *= 0
        return dX


@wrong("changed the parameter a: only an optimizer may")
class LearnsByItself(Scale):
    def backward(self, dY):
        dX = super().backward(dY)
        self.a -= 0.1 * self.da
        return dX


@wrong("a later call wrote into the Y that an earlier one returned")
class ReusesItsOutput(Tanh):
    def forward(self, X, train=False):
        Y = super().forward(X)
        self.buffer = getattr(self, "buffer", Y)
        if self.buffer.shape != Y.shape:
            self.buffer = Y
        self.buffer[...] = Y
        self.Y = Y.copy()
        return self.buffer


@wrong("a later call wrote into the dX that an earlier one returned")
class ReusesItsGradient(Tanh):
    def backward(self, dY):
        dX = super().backward(dY)
        self.buffer = getattr(self, "buffer", dX)
        if self.buffer.shape != dX.shape:
            self.buffer = dX
        self.buffer[...] = dX
        return self.buffer


# --- parameters ---------------------------------------------------------------------------------------------------


@wrong("Undeclared has a and da, and params does not name a")
class Undeclared(Scale):
    params = {}


@wrong("dX.* but finite differences give")
class StraightThrough(Layer):
    """Its forward rounds, so its true gradient is 0; the one that is passed on is a choice, and gradcheck says so."""

    def forward(self, X, train=False):
        return np.round(X)

    def backward(self, dY):
        return dY


class TimesTanh(Layer):
    """Right: Y = X·tanh X."""

    def forward(self, X, train=False):
        self.X, self.T = X, np.tanh(X)
        return X * self.T

    def backward(self, dY):
        return dY * (self.T + self.X * (1 - self.T * self.T))


class TimesRootOfTwo(Layer):
    """Right: Y = √2·X."""

    def forward(self, X, train=False):
        return X * 2**0.5

    def backward(self, dY):
        return dY * 2**0.5


def in_training_alone(wrong, right):
    """A layer like `wrong` with train=True, and like `right` otherwise."""

    class Mixed(wrong):
        def forward(self, X, train=False):
            self.kind = wrong if train else right
            return self.kind.forward(self, X, train)

        if issubclass(wrong, Dense):

            def backward(self, dY, need_dX=True):
                return self.kind.backward(self, dY, need_dX)

        else:

            def backward(self, dY):
                return self.kind.backward(self, dY)

    return Mixed


def build(kind, rng):
    """One of them, with random parameters."""
    if issubclass(kind, Scale):
        return kind(rng.normal(size=4) + 2)
    if issubclass(kind, Dense):
        n_in = 40 if kind is OneElementOfManyForgotten else 4
        return kind(rng.normal(size=(n_in, n_in)))
    return kind(0.4, rng=np.random.default_rng(1)) if issubclass(kind, Dropout) else kind()


def inputs(kind, rng):
    """An X that shows what is wrong."""
    X = rng.normal(size=(5, 40 if kind is OneElementOfManyForgotten else 4))
    if kind is OneUnitForgotten:
        X[:, 1:] *= 1e6
    return X


# --- right ones, beside those of the package ----------------------------------------------------------------------


class Softmax(Layer):
    """Right: dX = P·(dY − Σ dY·P)."""

    def forward(self, X, train=False):
        E = np.exp(X - X.max(axis=-1, keepdims=True))
        self.P = E / E.sum(axis=-1, keepdims=True)
        return self.P

    def backward(self, dY):
        return self.P * (dY - (dY * self.P).sum(axis=-1, keepdims=True))


class LayerNorm(Layer):
    """Right: each row with mean 0 and variance 1 (Ba, Kiros & Hinton 2016), without parameters."""

    axis = -1

    def forward(self, X, train=False):
        return self.normalize(X, X.mean(axis=self.axis, keepdims=True), X.var(axis=self.axis, keepdims=True))

    def normalize(self, X, mean, var):
        self.s = np.sqrt(var + 1e-5)
        self.Y = (X - mean) / self.s
        return self.Y

    def backward(self, dY):
        M = (dY * self.Y).mean(axis=self.axis, keepdims=True)
        return (dY - dY.mean(axis=self.axis, keepdims=True) - self.Y * M) / self.s


class BatchNorm(LayerNorm):
    """Right: each column (Ioffe & Szegedy 2015). Training changes what evaluation does, and that is no mistake."""

    axis = -2

    def __init__(self):
        self.mean, self.var = np.zeros((1, 1)), np.ones((1, 1))

    def forward(self, X, train=False):
        self.train = train
        if train:
            self.mean, self.var = X.mean(axis=-2, keepdims=True), X.var(axis=-2, keepdims=True)
        return self.normalize(X, self.mean, self.var)

    def backward(self, dY):
        return super().backward(dY) if self.train else dY / self.s


class Noise(Layer):
    """Right: adds N(0, 1) in training, the same for all replicas."""

    def __init__(self):
        self.rng = np.random.default_rng(3)

    def forward(self, X, train=False):
        return X + self.rng.normal(size=X.shape[-2:]).astype(X.dtype) if train else X

    def backward(self, dY):
        return dY


class Residual(Layer):
    """Right: Y = X + f(X), a layer of layers."""

    def __init__(self, *layers):
        self.layers = layers

    def forward(self, X, train=False):
        Y = X
        for layer in self.layers:
            Y = layer.forward(Y, train=train)
        return X + Y

    def backward(self, dY):
        dX = dY
        for layer in reversed(self.layers):
            dX = layer.backward(dX)
        return dX + dY


RIGHT = {
    "Scale": lambda rng, scale: Scale(scale * (rng.normal(size=4) + 2)),
    "Dense": lambda rng, scale: Dense(scale * rng.normal(size=(4, 4))),
    "Linear": lambda rng, scale: Linear(scale * rng.normal(size=(4, 3)), scale * rng.normal(size=3)),
    "Residual": lambda rng, scale: Residual(
        Linear(scale * rng.normal(size=(4, 4)), scale * rng.normal(size=4)),
        Tanh(),
        Dropout(0.3, rng=np.random.default_rng(1)),
    ),
}
