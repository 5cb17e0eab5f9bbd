"""The exercises of docs/linear.md."""

import numpy as np

from checks.answers import call, expect, expect_prediction, several
from scratchnet.layers import Linear
from scratchnet.loss import CrossEntropy

N, N_IN, N_OUT = 5, 3, 4


def linear_backward(function):
    rng = np.random.default_rng(1)
    X, W, dY = rng.normal(size=(N, N_IN)), rng.normal(size=(N_IN, N_OUT)), rng.normal(size=(N, N_OUT))
    layer = Linear(W, np.zeros(N_OUT))
    layer.forward(X)
    dX = layer.backward(dY)
    got = several(call(function, X, W, dY), ("dW", "db", "dX"))
    for name, value, right in zip(("dW", "db", "dX"), got, (layer.dW, layer.db, dX), strict=True):
        divided = f"You divided {name} by n: layers sum over rows, and the mean is taken once, in the loss."
        mistakes = {divided: right / N}
        if name == "dW":
            mistakes[f"dW is transposed: it must have the shape of W, {W.shape}, so it is Xᵀ dY, not dYᵀ X."] = right.T
        elif name == "db":
            wrong_axis = (
                "You summed db over the units: b_j is in y_ij for every example i, so sum over the rows (axis 0)."
            )
            mistakes[wrong_axis] = dY.sum(axis=1)
            mistakes["You summed db over everything: each unit j has a bias of its own, so keep axis 1."] = dY.sum()
            mistakes["db is dY itself: b_j is in y_ij for every example i, so their gradients add up."] = dY
            mistakes["db must have the shape of b, one axis: leave keepdims away."] = dY.sum(axis=0, keepdims=True)
            mistakes["You took the mean over the units: sum over the rows (axis 0)."] = dY.mean(axis=1)
        else:
            mistakes["dX is transposed: it must have the shape of X, so it is dY Wᵀ, not W dYᵀ."] = right.T
        expect(name, value, right, mistakes)
    return "dW, db and dX are those of scratchnet.layers.Linear."


def scale_backward(function):
    rng = np.random.default_rng(2)
    X, a, dY = rng.normal(size=(N, N_IN)), rng.normal(size=N_IN), rng.normal(size=(N, N_IN))
    da, dX = several(call(function, X, a, dY), ("da", "dX"))
    expect(
        "da",
        da,
        (dY * X).sum(axis=0),
        {
            "You have not summed da: a_j is in y_ij for every example i, so add up dY·X over the rows (axis 0).": dY
            * X,
            "You summed da over the wrong axis: a has a number for each unit, so sum over the examples (axis 0).": (
                (dY * X).sum(axis=1)
            ),
            "You forgot X in da: the derivative of x_ij·a_j by a_j is x_ij.": dY.sum(axis=0),
            "You took the mean for da: layers sum over rows, and the mean is taken once, in the loss.": (
                (dY * X).mean(axis=0)
            ),
            "You summed da over everything: each unit j has a factor of its own.": (dY * X).sum(),
            "da is a matrix product here, Xᵀ dY; but unit j goes into unit j alone: only its diagonal is da.": X.T @ dY,
        },
    )
    expect(
        "dX",
        dX,
        dY * a,
        {
            "You forgot a in dX: the derivative of x_ij·a_j by x_ij is a_j.": dY,
            "dX is dY·X here: the derivative of x_ij·a_j by x_ij is a_j.": dY * X,
            "You divided dX by a: it is multiplied by a on the way back too.": dY / a,
        },
    )
    return "da and dX follow from y_ij = x_ij·a_j."


def _db(X, labels=None, dY=None):
    layer = Linear(np.eye(N_IN, N_OUT), np.zeros(N_OUT))
    Z = layer.forward(X)
    if labels is not None:
        loss = CrossEntropy()
        loss.forward(Z, labels)
        dY = loss.backward()
    layer.backward(dY)
    return layer.db.copy()


def _factor(**arguments):
    twice = {name: np.concatenate([A, A]) for name, A in arguments.items()}
    return float(np.linalg.norm(_db(**twice)) / np.linalg.norm(_db(**arguments)))


def layer_factor(got):
    rng = np.random.default_rng(3)
    factor = _factor(X=rng.normal(size=(N, N_IN)), dY=rng.normal(size=(N, N_OUT)))
    expect_prediction(got, factor, {"It would stay the same if the layer took a mean. Layers sum over rows.": 1.0})
    return f"Measured: {factor:.3f}. The layer sums over rows, and there are twice as many."


def loss_factor(got):
    rng = np.random.default_rng(3)
    factor = _factor(X=rng.normal(size=(N, N_IN)), labels=rng.integers(N_OUT, size=N))
    mistakes = {
        "The layer sums twice as many rows, but look at what the loss does with n: (P − T)/n.": 2.0,
        "The loss halves each row of dY, and the layer sums twice as many of them: what is left of both?": 0.5,
    }
    expect_prediction(got, factor, mistakes)
    return f"Measured: {factor:.3f}. The loss divides by n, which is twice as large: the mean is taken once."


EXERCISES = {
    "linear_backward": linear_backward,
    "scale_backward": scale_backward,
    "LAYER_FACTOR": layer_factor,
    "LOSS_FACTOR": loss_factor,
}
