"""Initializations that need the data or the whole network: `name(network, ..., rng=rng)` fills it in place.

A scheme knows one matrix's shape and nothing else. These look at images on their way through the
layers, or make several layers fit each other, so they take the `Network`, an mlp: Linear, activation, Dropout, …,
Linear. `X: (n, n_in)` are images in [0, 1], shared by all replicas; statistics are taken for each replica by itself.
Forward passes are in evaluation mode: nothing is dropped.

Each succeeds, or leaves `network.theta` exactly as it was and raises ValueError. Call them before `network.to`:
random numbers are drawn on the host.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np

from scratchnet.backend import Array
from scratchnet.init.schemes import Scheme, he_normal, linear, normal
from scratchnet.init.structured import orthogonal
from scratchnet.layers import Dropout, LeakyReLU, Linear, ReLU
from scratchnet.network import Network


@contextmanager
def all_or_nothing(network: Network) -> Iterator[None]:
    """Put the parameters back, bit for bit, where the block raises or leaves one infinite or not a number."""
    before = network.theta.copy()
    try:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            yield
        if not np.isfinite(network.theta).all():
            raise ValueError("some parameters came out infinite or not a number: give finite weights and smaller X")
    except BaseException:
        network.theta[...] = before
        raise


def _linears(network: Network) -> list[Linear]:
    """The Linear layers in order. The first and the last layer of an mlp are such."""
    first, last = network.layers[0], network.layers[-1]
    if not (isinstance(first, Linear) and isinstance(last, Linear)):
        came = f"{type(first).__name__} … {type(last).__name__}"
        raise ValueError(f"an mlp begins and ends with a Linear layer, and {came} came: make the network by mlp")
    return [layer for layer in network.layers if isinstance(layer, Linear)]


def _inputs(network: Network, X: Array) -> Array:
    """The images X, checked, in the network's dtype."""
    n_in = _linears(network)[0].W.shape[-2]
    if X.ndim != 2 or len(X) == 0 or X.shape[1] != n_in:
        raise ValueError(f"X must be a batch of images of shape (n, {n_in}), n at least 1, and {X.shape} came")
    if not np.isfinite(X).all():
        raise ValueError("X must be finite, and some of its values are infinite or not a number: look at the data")
    return X.astype(network.theta.dtype, copy=False)


def _walk(network: Network, X: Array) -> Iterator[tuple[Linear, Array]]:
    """Each Linear layer with its input. What is done to one is felt by the next: X goes on after the yield."""
    for layer in network.layers:
        if isinstance(layer, Linear):
            yield layer, X
        X = layer.forward(X)


def _mean_and_std(Y: Array, axis: int | tuple[int, int]) -> tuple[Array, Array]:
    """Mean and standard deviation of a layer's output, or ValueError where it varies by rounding alone."""
    mean = Y.mean(axis, keepdims=True, dtype=np.float64)
    std = Y.std(axis, keepdims=True, dtype=np.float64)
    if not (std > 100 * np.finfo(Y.dtype).eps * np.hypot(mean, std)).all():  # not so either where they are NaN
        raise ValueError(
            f"a layer's output of shape {Y.shape} has a variance of 0, or none that is finite, which no scale turns "
            "into 1: give images of ordinary size that differ, or another rng"
        )
    return mean, std


def _standardize(layer: Linear, X: Array) -> None:
    """w_j ← w_j/s_j and b_j ← −μ_j/s_j: unit j's output has mean 0 and variance 1 over the rows of X."""
    layer.b[...] = 0
    mean, std = _mean_and_std(layer.forward(X), axis=-2)
    layer.W /= std
    layer.b[...] = -(mean / std)[..., 0, :]


def lsuv(network: Network, X: Array, *, rng: np.random.Generator, tolerance: float = 0.05) -> None:
    """Layer-sequential unit variance: orthonormal W, b = 0, then every layer's output Y = XW has Var(Y) = 1.

    From the first layer to the last, with Var over all examples and units of the layer together:

        W ← W/√Var(Y)    where |Var(Y) − 1| > tolerance

    so that the signal neither dies out nor explodes, whatever the activation: it is measured instead of derived.
    Y is linear in W, so the paper's loop around this line ends after one division. Fails where a layer's output does
    not vary: images of zeros, or a layer before it whose units are all dead. Source: Mishkin & Matas 2016, ICLR,
    Algorithm 1.
    """
    if not tolerance >= 0:
        raise ValueError(f"lsuv needs a tolerance of at least 0, and {tolerance} came")
    X = _inputs(network, X)
    with all_or_nothing(network):
        network.apply(linear(orthogonal, rng=rng))
        for layer, inputs in _walk(network, X):
            _, std = _mean_and_std(layer.forward(inputs), axis=(-2, -1))
            layer.W /= np.where(np.abs(std**2 - 1) > tolerance, std, 1)


def weight_norm(network: Network, X: Array, *, rng: np.random.Generator) -> None:
    """The data-dependent initialization of weight normalization: every unit has mean 0 and variance 1 over X.

    Weights start as N(0, 0.05²) and b = 0; from the first layer to the last, with μ_j and s_j the mean and the
    standard deviation of unit j's output over the batch,

        w_j ← w_j/s_j    b_j ← −μ_j/s_j

    The 0.05 cancels. Each unit's kink thus lies in the middle of its data, as batch normalization would put it.
    Fails where a unit does not vary: images that are all equal. Source: Salimans & Kingma 2016, NeurIPS, §3,
    eq. 5–6; there the length of w is a parameter of its own, here the plain W and b are trained from the same start.
    """
    X = _inputs(network, X)
    with all_or_nothing(network):
        for layer, inputs in _walk(network, X):
            layer.W[...] = normal(layer.W.shape, rng=rng, std=0.05)
            _standardize(layer, inputs)


def krahenbuhl(network: Network, X: Array, *, rng: np.random.Generator) -> None:
    """Every unit has mean 0 and variance 1 over X up to its layer's scale, and all layers learn at the same rate.

    Within layers (the paper's Algorithm 1): the first layer's units are the principal components of X where there
    are enough of those, all others N(0, 1); each is then centred and scaled as in `weight_norm`.

    Between layers (Algorithm 2): gradient descent changes layer k by a fraction in proportion to

        C_k = √(Σ_i ‖dW_k for image i‖²)/‖W_k‖    (‖·‖² the sum of all squares)

    for the random linear loss Σ_ij η_ij z_ij, η ~ N(0, 1), since nothing is known of the real one. Multiply W_k by
    r_k, and the biases by c_k = r_1⋯r_k, so that every kink stays where it is. With K layers, the outputs of layer k
    become c_k times as large, and the gradients that come back to them c_K/c_k times. dW_k is the product of those
    and of the inputs, which are c_(k−1) times as large: it becomes c_K/r_k times as large, and C_k becomes
    C_k·c_K/r_k². With C̃ the geometric mean of all C_k,

        r_k = √(C_k/C̃)

    gives c_K = 1, hence the same logits as before, and C_k = C̃ in every layer, at once. That needs activations with
    φ(ax) = aφ(x) for a > 0, ReLU and LeakyReLU; for others the paper iterates, and here it is an error, as are
    images that do not vary. Source: Krähenbühl, Doersch, Donahue & Darrell 2016, ICLR, §3.
    """
    _need_activations(network, "krahenbuhl", ReLU, LeakyReLU)
    X = _inputs(network, X)
    linears = _linears(network)
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
    """C_k of every Linear layer, (layers, ...); the gradient for one image, dW = xᵀ dy, has ‖dW‖ = ‖x‖·‖dy‖."""
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
    # Rounding leaves the zero ones somewhere below this.
    positive = eigenvalues > len(V) * np.finfo(np.float64).eps * np.square(X).mean(axis=0).sum()
    eigenvalues, V = eigenvalues[positive][::-1], V[:, positive][:, ::-1]
    # An eigenvector has no sign of its own; after a ReLU it matters, so every machine must choose the same.
    return eigenvalues, V * np.where(V.sum(axis=0) < 0, -1, 1)


def pca_first_layer(network: Network, X: Array, *, epsilon: float = 1e-5) -> None:
    """The first layer's outputs are white: mean 0, variance 1, uncorrelated. The other layers stay as they are.

    With λ_j the j-th largest eigenvalue of the covariance of X, v_j its eigenvector, and m the mean image:

        w_j = v_j/√(λ_j + ε)    b_j = −⟨w_j, m⟩

    Neighbouring pixels say nearly the same; these units do not, so the error's curvature is alike in all their
    directions. Output j has variance λ_j/(λ_j + ε): ε keeps components that are almost noise from being blown up.
    All replicas get the same. Fails where there are more units than directions in which X varies. Source: LeCun,
    Bottou, Orr & Müller 1998, Efficient BackProp, §4.3; Coates & Ng 2012, Learning feature representations with
    k-means.
    """
    if not 0 <= epsilon < np.inf:
        raise ValueError(f"pca_first_layer needs a finite epsilon of at least 0, and {epsilon} came")
    X = _inputs(network, X)
    first = _linears(network)[0]
    units = first.W.shape[-1]
    eigenvalues, V = _principal_axes(X)
    if units > len(eigenvalues):
        raise ValueError(
            f"pca_first_layer has one principal component for each unit, and X, of shape {X.shape}, varies in "
            f"{len(eigenvalues)} directions while the first layer has {units} units: give fewer units or more images"
        )
    with all_or_nothing(network):
        W = V[:, :units] / np.sqrt(eigenvalues[:units] + epsilon)
        first.W[...] = W
        first.b[...] = -X.mean(axis=0, dtype=np.float64) @ W


def hinge_bias(network: Network, X: Array, *, rng: np.random.Generator) -> None:
    """Every hidden unit's kink passes through one of the images; weights and the output layer stay as they are.

    With x_i the input of the unit's layer for an image drawn at random for each unit:

        b_j = −⟨w_j, x_i⟩

    A ReLU bends where ⟨w, x⟩ + b = 0. With b = 0 all those planes pass through the origin, a corner of the space of
    images; here they cut through the data, so hardly a unit is dead, or linear, for all images. Layers are done in
    turn, on the activations that reach them. Fails where a unit has weights of 0, as before they are filled.
    Source: Steinwart 2019, arXiv 1903.11482.
    """
    X = _inputs(network, X)
    *hidden, _ = _linears(network)
    if not all(layer.W.any(axis=-2).all() for layer in hidden):
        raise ValueError("hinge_bias needs weights, and some hidden unit's are all 0: initialize the network before")
    with all_or_nothing(network):
        for layer, inputs in _walk(network, X):
            if layer is not network.layers[-1]:
                layer.b[...] = 0
                Y = layer.forward(inputs)
                i = rng.integers(len(X), size=layer.b.shape)
                layer.b[...] = -np.take_along_axis(Y, i[..., None, :], axis=-2)[..., 0, :]


def antisymmetric(network: Network, *, rng: np.random.Generator, scheme: Scheme = he_normal) -> None:
    """The network's output is 0 for every input, and its gradients are not.

    Two copies of a network half as wide, drawn by `scheme`, with opposite output weights: f(x) = h(x) − h(x) = 0. So
    the start adds no random function to what is learned, and the loss starts at ln(classes). The copies' units are
    the even and the odd ones, and see only their own copy; biases are 0. Output weights are rounded to ± powers of 2,
    for which f is 0 to the last bit in float32 where the hidden widths are multiples of 32, and elsewhere as small
    as rounding. Dropout, while training, hits the copies differently, and ends this. Fails for odd hidden widths.
    Source: Chizat, Oyallon & Bach 2019, NeurIPS, the doubling trick.
    """
    *hidden, last = _linears(network)
    if not hidden:
        raise ValueError("antisymmetric doubles hidden units, and the network has none: give mlp a hidden size")
    _need_even_widths(hidden, "antisymmetric")
    with all_or_nothing(network):
        network.theta[...] = 0
        for layer in hidden:
            *replicas, n_in, n_out = layer.W.shape
            if layer is hidden[0]:
                layer.W[..., 0::2] = layer.W[..., 1::2] = scheme((*replicas, n_in, n_out // 2), rng=rng)
            else:
                W = scheme((*replicas, n_in // 2, n_out // 2), rng=rng)
                layer.W[..., 0::2, 0::2] = layer.W[..., 1::2, 1::2] = W
        # h(x) − h(x) must survive rounding, and a matrix product may sum in any order. If it sums pair after pair,
        # h·a − h·a is 0 where h·a needs no rounding (a fused multiply-add rounds only one of the two): a = ±2^p. If it
        # keeps several partial sums, by k mod 2, 4, …, then those of even and of odd k see the same terms in the
        # same order, up to sign, and rounding is symmetric. What breaks this is a remainder that is summed in
        # another way than the rest, so widths matter: OpenBLAS's AVX2 kernels need multiples of 8, SSE3's of 32.
        *replicas, n_in, n_out = last.W.shape
        A = scheme((*replicas, n_in // 2, n_out), rng=rng)
        if not A.all():
            raise ValueError("antisymmetric needs output weights other than 0: give it a scheme that draws none")
        A = np.copysign(np.exp2(np.round(np.log2(np.abs(A)))), A)
        last.W[..., 0::2, :] = A
        last.W[..., 1::2, :] = -A


def looks_linear(network: Network, *, rng: np.random.Generator) -> None:
    """A ReLU network that starts as the linear map X Q₁Q₂⋯Q_K of orthogonal matrices; biases are 0.

        first W = [Q, −Q]    hidden W = [Q, −Q; −Q, Q]    last W = [Q; −Q]

    Units come in pairs that see y and −y, and ReLU(y) − ReLU(−y) = y: the next layer's weights put y together again.
    Layers of one width keep lengths forward and backward through any depth, and gradients are not shattered: at first
    all examples have the same Jacobian. Fails for other activations and for odd hidden widths. Source: Balduzzi, Frean,
    Leary, Lewis, Ma & McWilliams 2017, ICML; Burkholz & Dubatovka 2019, NeurIPS.
    """
    _need_activations(network, "looks_linear", ReLU)
    *hidden, last = linears = _linears(network)
    _need_even_widths(hidden, "looks_linear")
    with all_or_nothing(network):
        network.theta[...] = 0
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


def zero_last_layer(network: Network, labels: Array | None = None) -> None:
    """W = 0 in the last layer, so that every image gets the same probabilities: the classes' frequencies.

    With π_k the share of class k among `labels`:

        b_k = log π_k,    since softmax(b)_k = exp(log π_k)/Σ_j π_j = π_k

    The loss starts at the labels' entropy −Σ π_k log π_k, the best that is possible without looking at the image; or,
    without labels and with b = 0, at ln(classes). The other layers stay as they are, and learn from the second
    step on: at the first, dX = dY Wᵀ = 0. Fails where a class does not occur, since log 0 = −∞. Source: Lin, Goyal,
    Girshick, He & Dollár 2017, ICCV, §3.3 and §4.1, for two classes.
    """
    last = _linears(network)[-1]
    classes = last.W.shape[-1]
    b: Array = 0
    if labels is not None:
        counts = (labels.reshape(-1, 1) == np.arange(classes)).sum(axis=0)
        if counts.sum() < labels.size or not counts.all():
            raise ValueError(
                f"zero_last_layer needs labels in 0 … {classes - 1} with every class among them, and the counts of "
                f"those {labels.size} that came are {counts.tolist()}: give more labels, or none"
            )
        b = np.log(counts / labels.size)
    last.W[...] = 0
    last.b[...] = b


def _need_activations(network: Network, name: str, *allowed: type) -> None:
    for layer in network.layers:
        if not isinstance(layer, (Linear, Dropout, *allowed)):
            wanted = " or ".join(kind.__name__ for kind in allowed)
            raise ValueError(f"{name} needs the activation {wanted}, and the network has {type(layer).__name__}")


def _need_even_widths(hidden: list[Linear], name: str) -> None:
    widths = [layer.W.shape[-1] for layer in hidden]
    if any(width % 2 for width in widths):
        raise ValueError(f"{name} pairs hidden units, and the hidden widths are {widths}: give even ones")
