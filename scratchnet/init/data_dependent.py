"""Initializations that need the data or the whole network: `name(network, ..., rng=rng)` fills the network in place.

A scheme sees the shape of one matrix and nothing else. The functions here look at images on their way through the
layers, or fit several layers to each other. So they take the whole `Network`, an mlp: Linear, activation, Dropout, …,
Linear. They fill its Linear layers; the parameters of other layers stay as they are. `X: (n, n_in)` are images in
[0, 1], shared by all replicas; each replica has its own statistics. Forward passes run in evaluation mode, without
dropout.

Each function either succeeds, or raises ValueError and leaves `network.theta` exactly as it was. Call them before
`network.to`: random numbers are drawn on the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from scratchnet.backend import Array
from scratchnet.init.schemes import Scheme, _draw, he_normal, linear, normal, zeros
from scratchnet.init.structured import orthogonal
from scratchnet.layers import Dropout, LeakyReLU, Linear, ReLU
from scratchnet.network import Network
from scratchnet.normalization import BatchNorm, LayerNorm


@contextmanager
def all_or_nothing(network: Network) -> Iterator[None]:
    """Restore all parameters if the block raises an error or leaves one of them infinite or NaN."""
    before = network.theta.copy()
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            yield
        if not np.isfinite(network.theta).all():
            raise ValueError("some parameters became infinite or NaN: give finite weights and smaller X")
    except BaseException:
        network.theta[...] = before
        raise


def _linears(network: Network) -> list[Linear]:
    """The Linear layers in order. Raises ValueError if the network is not an mlp."""
    first, last = network.layers[0], network.layers[-1]
    if not (isinstance(first, Linear) and isinstance(last, Linear)):
        got = f"{type(first).__name__} … {type(last).__name__}"
        raise ValueError(f"expected an mlp, which begins and ends with a Linear layer, got {got}: make it with mlp")
    for layer in network.layers:
        if getattr(layer, "layers", ()):
            raise ValueError(
                f"expected an mlp, got a network with a {type(layer).__name__}, a layer of layers: make it with mlp"
            )
    return [layer for layer in network.layers if isinstance(layer, Linear)]


def _inputs(network: Network, X: Array) -> Array:
    """The images X, checked, in the network's dtype."""
    n_in = _linears(network)[0].W.shape[-2]
    if X.ndim != 2 or len(X) == 0 or X.shape[1] != n_in:
        raise ValueError(f"expected a batch of images X of shape (n, {n_in}) with n ≥ 1, got {X.shape}")
    if not np.isfinite(X).all():
        raise ValueError("expected finite images X, got some values that are infinite or NaN: look at the data")
    return X.astype(network.theta.dtype, copy=False)


def _walk(network: Network, X: Array) -> Iterator[tuple[Linear, Array]]:
    """Each Linear layer with its input. The layer runs after the yield, so changing it changes the next one's input."""
    for layer in network.layers:
        if isinstance(layer, BatchNorm):
            raise ValueError(
                "the network has BatchNorm, whose running statistics have seen no image yet, so what it computes in "
                "evaluation says nothing about training: leave it out, or take a scheme that looks at no images"
            )
        if isinstance(layer, Linear):
            yield layer, X
        X = layer.forward(X)


def _mean_and_std(Y: Array, axis: int | tuple[int, int]) -> tuple[Array, Array]:
    """Mean and standard deviation of a layer's output. Raises ValueError if it varies by nothing but rounding."""
    mean = Y.mean(axis, keepdims=True, dtype=np.float64)
    std = Y.std(axis, keepdims=True, dtype=np.float64)
    if not (std > 100 * np.finfo(Y.dtype).eps * np.hypot(mean, std)).all():  # false for NaN too
        raise ValueError(
            f"a layer's output of shape {Y.shape} has a variance of 0, or one that is not finite, which no scale can "
            "change to 1: give images of ordinary size that differ from each other, or another rng"
        )
    return mean, std


def _standardize(layer: Linear, X: Array) -> None:
    """w_j ← w_j/s_j and b_j ← −μ_j/s_j: unit j's output has mean 0 and variance 1 over the rows of X."""
    layer.b[...] = 0
    mean, std = _mean_and_std(layer.forward(X), axis=-2)
    layer.W /= std
    layer.b[...] = -(mean / std)[..., 0, :]


def lsuv(network: Network, X: Array, *, rng: np.random.Generator, tolerance: float = 0.05) -> None:
    """Layer-sequential unit variance: W orthonormal, b = 0, and every layer's output Y = XW has Var(Y) = 1.

    The layers are scaled one after the other, from the first to the last:

        W ← W/√Var(Y)    if |Var(Y) − 1| > tolerance

    Var is taken over all examples and units of the layer together. So the signal neither dies out nor explodes with any
    activation: its effect is measured instead of derived. The paper repeats this line in a loop; Y is linear in W, so
    one division is enough. Raises ValueError if a layer's output does not vary, because all images are 0 or all units
    of the layer before are dead. Source: Mishkin & Matas 2016, ICLR, Algorithm 1.
    """
    if not tolerance >= 0:
        raise ValueError(f"lsuv expected a tolerance ≥ 0, got {tolerance}")
    X = _inputs(network, X)
    with all_or_nothing(network):
        network.apply(linear(orthogonal, rng=rng))
        for layer, inputs in _walk(network, X):
            _, std = _mean_and_std(layer.forward(inputs), axis=(-2, -1))
            layer.W /= np.where(np.abs(std**2 - 1) > tolerance, std, 1)


def weight_norm(network: Network, X: Array, *, rng: np.random.Generator) -> None:
    """The data-dependent initialization of weight normalization: every unit has mean 0 and variance 1 over X.

    Weights start as N(0, 0.05²) and b = 0. Then, from the first layer to the last, with μ_j and s_j the mean and the
    standard deviation of unit j's output over X:

        w_j ← w_j/s_j    b_j ← −μ_j/s_j

    The division cancels the 0.05. Each unit's kink now lies in the middle of its data, where batch normalization would
    put it. Raises ValueError if a unit does not vary, because all images are equal. Source: Salimans & Kingma 2016,
    NeurIPS, §3, eq. 5–6. There the length of w is a parameter of its own; here W and b are trained as usual, from the
    same start.
    """
    X = _inputs(network, X)
    with all_or_nothing(network):
        for layer, inputs in _walk(network, X):
            layer.W[...] = normal(layer.W.shape, rng=rng, std=0.05)
            _standardize(layer, inputs)


def krahenbuhl(network: Network, X: Array, *, rng: np.random.Generator) -> None:
    """Every unit has mean 0 over X, the units of a layer have equal variance, and all layers learn at the same rate.

    Within a layer (the paper's Algorithm 1): the units of the first layer are the principal components of X, if there
    are enough of them; all other weights are N(0, 1). Then each unit is centred and scaled as in `weight_norm`.

    Between layers (Algorithm 2): a step of gradient descent changes layer k by a fraction in proportion to

        C_k = √(Σ_i ‖dW_k for image i‖²)/‖W_k‖    (‖·‖² the sum of all squares)

    The true loss is not known yet, so the gradients are those of a random linear one, Σ_ij η_ij z_ij with η ~ N(0, 1).
    Now multiply W_k by r_k, and its biases by c_k = r_1⋯r_k, so that every kink stays where it is. The outputs of layer
    k become c_k times as large, and with K layers, the gradients that come back to them c_K/c_k times. dW_k is the
    product of those gradients and of the inputs, which are c_(k−1) times as large. So dW_k becomes c_K/r_k times as
    large, and C_k becomes C_k·c_K/r_k². Let C̃ be the geometric mean of all C_k, and choose

        r_k = √(C_k/C̃)

    Then c_K = 1, so the logits stay the same, and every C_k becomes C̃, in one step. This needs an activation with
    φ(ax) = aφ(x) for a > 0, ReLU or LeakyReLU (for others the paper iterates). Raises ValueError for other activations
    and for images that do not vary. Source: Krähenbühl, Doersch, Donahue & Darrell 2016, ICLR, §3.
    """
    linears = _linears(network)
    _need_activations(network, "krahenbuhl", ReLU, LeakyReLU)
    X = _inputs(network, X)
    with all_or_nothing(network):
        network.apply(linear(normal, rng=rng))
        _, V = _principal_axes(X)
        units = linears[0].W.shape[-1]
        if units <= V.shape[1]:
            linears[0].W[...] = V[:, :units]
        for layer, inputs in _walk(network, X):
            _standardize(layer, inputs)
        C = gradient_ratios(network, X, rng)
        r = np.sqrt(C / np.exp(np.log(C).mean(axis=0)))
        for layer, r_k, c_k in zip(linears, r, r.cumprod(axis=0), strict=True):
            layer.W *= r_k[..., None, None]
            layer.b *= c_k[..., None]


def gradient_ratios(network: Network, X: Array, rng: np.random.Generator) -> Array:
    """C_k of every Linear layer, see `krahenbuhl`: an array of shape (layers, ...) for a random linear loss.

    The gradient for one image, dW = xᵀ dy, has ‖dW‖ = ‖x‖·‖dy‖.
    """
    Z = network.forward(X)
    dY = rng.standard_normal(Z.shape).astype(Z.dtype)
    C = []
    for layer in reversed(network.layers):
        if isinstance(layer, Linear):
            gradients = (np.square(layer.X).sum(axis=-1) * np.square(dY).sum(axis=-1)).sum(axis=-1)
            C.append(np.sqrt(gradients / np.square(layer.W).sum(axis=(-2, -1))))
        dY = layer.backward(dY)
    return np.stack(C[::-1])


def _principal_axes(X: Array) -> tuple[Array, Array]:
    """λ, the positive eigenvalues of the covariance of X, largest first, and its eigenvectors as columns of V."""
    X = X.astype(np.float64)
    centred = X - X.mean(axis=0)
    eigenvalues, V = np.linalg.eigh(centred.T @ centred / len(X))
    # Rounding turns eigenvalues of 0 into numbers below this bound.
    positive = eigenvalues > len(V) * np.finfo(np.float64).eps * np.square(X).mean(axis=0).sum()
    eigenvalues, V = eigenvalues[positive][::-1], V[:, positive][:, ::-1]
    # An eigenvector may point either way, and after a ReLU this matters: choose the sign that is the same everywhere.
    return eigenvalues, V * np.where(V.sum(axis=0) < 0, -1, 1)


def pca_first_layer(network: Network, X: Array, *, epsilon: float = 1e-5) -> None:
    """The first layer's outputs are white: mean 0, variance 1, uncorrelated. The other layers stay as they are.

    With λ_j the j-th largest eigenvalue of the covariance of X, v_j its eigenvector, and x̄ the mean image:

        w_j = v_j/√(λ_j + ε)    b_j = −⟨w_j, x̄⟩

    Neighbouring pixels are nearly equal, but these units are not, so the loss curves about as much in one unit's
    direction as in another's. Output j has variance λ_j/(λ_j + ε): ε keeps components that are almost noise from being
    blown up. All replicas get the same weights. Raises ValueError if there are more units than directions in which X
    varies. Source: LeCun, Bottou, Orr & Müller 1998, Efficient BackProp, §4.3; Coates & Ng 2012, Learning feature
    representations with k-means.
    """
    if not 0 <= epsilon < np.inf:
        raise ValueError(f"pca_first_layer expected a finite epsilon ≥ 0, got {epsilon}")
    X = _inputs(network, X)
    first = _linears(network)[0]
    units = first.W.shape[-1]
    eigenvalues, V = _principal_axes(X)
    if units > len(eigenvalues):
        raise ValueError(
            f"pca_first_layer takes one principal component for each unit, but X of shape {X.shape} varies in "
            f"{len(eigenvalues)} directions and the first layer has {units} units: give fewer units or more images"
        )
    with all_or_nothing(network):
        W = V[:, :units] / np.sqrt(eigenvalues[:units] + epsilon)
        first.W[...] = W
        first.b[...] = -X.mean(axis=0, dtype=np.float64) @ W


def hinge_bias(network: Network, X: Array, *, rng: np.random.Generator) -> None:
    """Every hidden unit's kink passes through one of the images. Weights and the output layer stay as they are.

    For each unit draw one image at random; with x_i the input that its layer gets for this image:

        b_j = −⟨w_j, x_i⟩

    A ReLU bends where ⟨w, x⟩ + b = 0. With b = 0 all those planes pass through the origin, a corner of the space of
    images. Here they cut through the data, so hardly any unit is dead for all images, or linear for all. The layers
    are filled one after the other, each from the outputs of the one before. Raises ValueError if all weights of a
    unit are 0, as in a network that is not initialized yet. Source: Steinwart 2019, arXiv 1903.11482.
    """
    X = _inputs(network, X)
    *hidden, _ = _linears(network)
    if any(isinstance(layer, (LayerNorm, BatchNorm)) for layer in network.layers):
        raise ValueError("hinge_bias lets kinks pass through images, and a normalization would move them: leave it out")
    if not all(layer.W.any(axis=-2).all() for layer in hidden):
        raise ValueError(
            "hinge_bias needs weights, but those of some hidden unit are all 0: initialize the network first"
        )
    with all_or_nothing(network):
        for layer, inputs in _walk(network, X):
            if layer is not network.layers[-1]:
                layer.b[...] = 0
                Y = layer.forward(inputs)
                i = rng.integers(len(X), size=layer.b.shape)
                layer.b[...] = -np.take_along_axis(Y, i[..., None, :], axis=-2)[..., 0, :]


def antisymmetric(network: Network, *, rng: np.random.Generator, scheme: Scheme = he_normal) -> None:
    """The network's output is 0 for every input, but its gradients are not.

    Two copies of a network half as wide, drawn by `scheme`, get opposite output weights: f(x) = h(x) − h(x) = 0. So
    the initial weights add no random function to what is learned, and the loss starts at ln(classes). The even units
    form one copy, the odd units the other; no weight leads from one copy to the other, and biases are 0. The output is
    0 up to rounding, since a matrix product may sum its terms in any order. In training, dropout acts on each copy
    differently, so f is not 0 then. Raises ValueError for odd hidden widths. Source: Chizat, Oyallon & Bach 2019,
    NeurIPS, the doubling trick.
    """
    *hidden, last = _linears(network)
    if not hidden:
        raise ValueError("antisymmetric doubles hidden units, but the network has none: give mlp a hidden size")
    _need_even_widths(hidden, "antisymmetric")
    with all_or_nothing(network):
        network.apply(linear(zeros, rng=rng))  # not theta = 0: an activation keeps its own parameters
        for layer in hidden:
            *replicas, n_in, n_out = layer.W.shape
            if layer is hidden[0]:
                layer.W[..., 0::2] = layer.W[..., 1::2] = _draw(scheme, (*replicas, n_in, n_out // 2), rng=rng)
            else:
                W = _draw(scheme, (*replicas, n_in // 2, n_out // 2), rng=rng)
                layer.W[..., 0::2, 0::2] = layer.W[..., 1::2, 1::2] = W
        *replicas, n_in, n_out = last.W.shape
        A = _draw(scheme, (*replicas, n_in // 2, n_out), rng=rng)
        last.W[..., 0::2, :] = A
        last.W[..., 1::2, :] = -A


def looks_linear(network: Network, *, rng: np.random.Generator) -> None:
    """A ReLU network that starts as a linear map, X Q₁Q₂⋯Q_K with orthogonal matrices Q_k; biases are 0.

        first W = [Q, −Q]    hidden W = [Q, −Q; −Q, Q]    last W = [Q; −Q]

    Units come in pairs that compute y and −y, and ReLU(y) − ReLU(−y) = y: the next layer's weights join the two parts
    of y again. If all layers have the same width, lengths are kept forward and backward at any depth, and gradients are
    not shattered: at the start all examples have the same Jacobian. Raises ValueError for other activations and for
    odd hidden widths. Source: Balduzzi, Frean, Leary, Lewis, Ma & McWilliams 2017, ICML; Burkholz & Dubatovka 2019,
    NeurIPS.
    """
    *hidden, last = linears = _linears(network)
    _need_activations(network, "looks_linear", ReLU)
    _need_even_widths(hidden, "looks_linear")
    with all_or_nothing(network):
        for layer in linears:
            *replicas, n_in, n_out = layer.W.shape
            rows = n_in if layer is linears[0] else n_in // 2
            columns = n_out if layer is last else n_out // 2
            Q = orthogonal((*replicas, rows, columns), rng=rng)
            if layer is not last:
                Q = np.concatenate([Q, -Q], axis=-1)
            if layer is not linears[0]:
                Q = np.concatenate([Q, -Q], axis=-2)
            layer.W[...] = Q
            layer.b[...] = 0


def zero_last_layer(network: Network, labels: Array | None = None) -> None:
    """W = 0 in the last layer, so every image gets the same probabilities: how frequent each class is.

    With π_k the share of class k among `labels`:

        b_k = log π_k,    since softmax(b)_k = exp(log π_k)/Σ_j π_j = π_k

    The loss starts at the labels' entropy −Σ π_k log π_k, the best value that is possible without looking at the image.
    Without labels, b = 0 and the loss starts at ln(classes). The other layers stay as they are. They learn from the
    second step on: at the first, dX = dY Wᵀ = 0. Raises ValueError if a class does not occur, since log 0 = −∞. Source:
    Lin, Goyal, Girshick, He & Dollár 2017, ICCV, §3.3 and §4.1, for two classes.
    """
    last = _linears(network)[-1]
    classes = last.W.shape[-1]
    b: Array = 0
    if labels is not None:
        counts = (labels.reshape(-1, 1) == np.arange(classes)).sum(axis=0)
        if counts.sum() < labels.size or not counts.all():
            raise ValueError(
                f"zero_last_layer expected labels in 0 … {classes - 1} with every class among them, got {labels.size} "
                f"labels, of which the classes have {counts.tolist()}: give more labels, or none"
            )
        b = np.log(counts / labels.size)
    last.W[...] = 0
    last.b[...] = b


def _need_activations(network: Network, name: str, *allowed: type) -> None:
    for layer in network.layers:
        if not isinstance(layer, (Linear, Dropout, *allowed)):
            expected = " or ".join(kind.__name__ for kind in allowed)
            raise ValueError(f"{name} needs the activation {expected}, but the network has {type(layer).__name__}")


def _need_even_widths(hidden: list[Linear], name: str) -> None:
    widths = [layer.W.shape[-1] for layer in hidden]
    if any(width % 2 for width in widths):
        raise ValueError(f"{name} pairs hidden units, so it expected even hidden widths, got {widths}")
