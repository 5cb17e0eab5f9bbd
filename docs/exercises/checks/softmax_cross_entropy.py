"""The exercises of docs/softmax-cross-entropy.md."""

import numpy as np

from checks.answers import Wrong, call, expect, expect_prediction
from scratchnet import loss

N, CLASSES, S = 6, 4, 0.2


def softmax(function):
    Z = np.random.default_rng(1).normal(size=(N, CLASSES))
    E = np.exp(Z)
    mistakes = {
        "You summed over the examples: the probabilities of one example, a row, add up to 1 (axis −1, keepdims=True).": (
            E / E.sum(axis=0)
        ),
        "You summed over everything: each example, a row, has probabilities that add up to 1.": E / E.sum(),
        "The exponential is missing.": Z / Z.sum(axis=-1, keepdims=True),
        "The rows do not add up to 1: divide by the sum of the row.": np.exp(Z - Z.max(axis=-1, keepdims=True)),
        "That is log p; p was asked for.": np.log(loss.softmax(Z)),
    }
    expect("P", call(function, Z), loss.softmax(Z), mistakes)
    each = "A row of −1000s beside one of 1000s gives NaN: subtract each row's own maximum, not the largest of all."
    for sentence, rows in (
        (
            "Logits of 1000 give NaN: exp(1000) overflows. Subtract the row's maximum first; it cancels.",
            [[1000.0, 0.0, 0.0, 999.0], [0.0, 1000.0, 500.0, 0.0]],
        ),
        (each, [[1000.0, 1000.0, 0.0, 0.0], [-1000.0, -1000.0, -1001.0, -1000.0]]),
    ):
        got = call(function, np.array(rows))
        if isinstance(got, np.ndarray) and got.dtype.kind == "f" and np.isnan(got).any():
            raise Wrong(sentence)
        expect("P for logits of 1000", got, loss.softmax(np.array(rows)))
    return "It is loss.softmax, for logits of ±1000 too."


def smoothed_gradient(function):
    rng = np.random.default_rng(2)
    Z, labels = rng.normal(size=(N, CLASSES)), rng.integers(CLASSES, size=N)
    P, T = loss.softmax(Z), labels[:, None] == np.arange(CLASSES)
    smooth = (1 - S) * T + S / CLASSES
    right = (P - smooth) / N
    others = np.where(T, 1 - S, S / (CLASSES - 1))
    mistakes = {
        "You forgot 1/n: the loss is the mean over the examples.": right * N,
        "You divided by n·classes: the mean is over the n examples; over the classes there is a sum.": right / CLASSES,
        "You divided by the number of classes: the mean is over the n examples.": right * N / CLASSES,
        "The sign is wrong: T − P. A step goes against dZ, and must raise the logit of the label.": -right,
        "That is the gradient without smoothing, (P − T)/n: put the smoothed targets in the place of T.": (P - T) / N,
        "You spread s over the other classes alone; here every class gets s/classes, the label's too.": (P - others)
        / N,
        "You added s/classes and forgot the factor 1 − s: the targets of a row must add up to 1.": (P - T - S / CLASSES)
        / N,
        "You smoothed P instead of the targets.": ((1 - S) * P + S / CLASSES - T) / N,
        "You multiplied P − T by 1 − s, and forgot what the other classes get, s/classes.": (1 - S) * (P - T) / N,
        "You took the gradient by P, −t/p: go on through the softmax, to the logits.": -smooth / P / N,
    }
    expect("dZ", call(function, Z, labels, S), right, mistakes)
    plain = loss.CrossEntropy()
    plain.forward(Z, labels)
    expect("dZ for s = 0", call(function, Z, labels, 0.0), plain.backward())
    return "It is (P − targets)/n, and for s = 0 that of CrossEntropy."


def _blind():
    Z, cross_entropy = np.zeros((100, 10)), loss.CrossEntropy()
    value = cross_entropy.forward(Z, np.arange(100) % 10)
    return float(value), float(cross_entropy.backward()[0, 0])


def blind_loss(got):
    mistakes = {
        "That is log₁₀ 10: the logarithm is the natural one.": 1.0,
        "That is log₂ 10: the logarithm is the natural one.": np.log2(10),
        "The loss is −log p; p < 1, so it is positive.": -np.log(10),
        "That is p; the loss is −log p.": 0.1,
        "The loss of p = 1 is 0. Equal logits give each class p = 1/10.": 0.0,
    }
    expect_prediction(got, _blind()[0], mistakes)
    return f"Measured: {_blind()[0]:.4f} = log 10. A network that starts far above this starts badly."


def blind_gradient(got):
    mistakes = {
        "You forgot 1/n: the loss is the mean over 100 examples.": -0.9,
        "That is the gradient of the other logits: at the label, T is 1.": 0.001,
        "The sign is wrong: dz = (p − 1)/n at the label, so that a step raises its logit.": 0.009,
        "You divided by the classes; the mean is over n = 100 examples.": -0.09,
    }
    expect_prediction(got, _blind()[1], mistakes)
    return f"Measured: {_blind()[1]:.4f}."


EXERCISES = {
    "softmax": softmax,
    "smoothed_gradient": smoothed_gradient,
    "BLIND_LOSS": blind_loss,
    "BLIND_GRADIENT": blind_gradient,
}
