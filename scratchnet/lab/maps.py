"""The network as one map: from inputs to logits, from parameters to logits, and from parameters to the loss.

All of it is made of forward and backward passes, so it works for every layer. The network may have replica axes; they
stand in front of every result. Its parameters stay as they are; its gradients are overwritten. Passes are those of
evaluation: nothing is dropped.
"""

from __future__ import annotations

import copy
import math

import numpy as np

from scratchnet.backend import Array
from scratchnet.lab.outputs import output_gradients, outputs
from scratchnet.layers import Layer, Linear, parameters, walk
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network


def alone(network: Network, index: tuple[int, ...]) -> Network:
    """A copy of one of the networks that stand side by side: the one at this index of the replica axes."""
    one = copy.deepcopy(network)
    one._bind(network.theta[index].copy())
    one._change_state(lambda A: A[index].copy())
    return one


def gradient(network: Network, X: Array, labels: Array) -> Array:
    """∂L/∂θ, of theta's shape: a copy."""
    loss = CrossEntropy()
    loss.forward(network.forward(X), labels)
    network.backward(loss.backward(), need_dX=False)
    return network.grad.copy()


# --- from inputs to logits --------------------------------------------------------------------------------------------


def jacobian(network: Network, X: Array) -> Array:
    """∂z_k/∂x_i at each example: (..., n, classes, n_in).

    The rows of a batch do not meet in a network, so one backward pass, with 1 at the logit k of every row and 0
    elsewhere, gives the k-th row of all n Jacobians. Their singular values are `np.linalg.svd(J, compute_uv=False)`.
    """
    Z = network.forward(X)
    rows = []
    for k in range(Z.shape[-1]):
        dZ = np.zeros_like(Z)
        dZ[..., k] = 1
        rows.append(network.backward(dZ))
    return np.stack(rows, axis=-2)


def line(start: Array, end: Array, points: int) -> np.ndarray:
    """Inputs in equal steps from one to another, both included: (points, n_in)."""
    t = np.linspace(0, 1, points)[:, None]
    return ((1 - t) * start + t * end).astype(start.dtype)


def shattering(network: Network, X: Array) -> Array:
    """How like each other the gradients ∂Z/∂x are, for inputs that are 0, 1, 2, … steps apart: (..., lags).

    The rows of X are inputs along a `line`. With g_i the gradients of all logits at row i, as one vector, the
    autocorrelation at the lag k is

        Σ_i g_i·g_{i+k} / √(Σ_i ‖g_i‖² Σ_i ‖g_{i+k}‖²)        over the i for which both rows exist

    It is 1 at the lag 0, and at all lags for a linear map. In a deep ReLU network it falls at once, like white noise:
    the gradients at two inputs share about 2^−L of their paths after L layers (Balduzzi et al. 2017, ICML, "The
    shattered gradients problem"). NaN where the gradients are 0.
    """
    J = jacobian(network, X).astype(np.float64)
    g = J.reshape(*J.shape[:-2], -1)
    n = g.shape[-2]
    products = g @ g.mT
    size = np.diagonal(products, axis1=-2, axis2=-1)
    lags = []
    with np.errstate(invalid="ignore"):
        for k in range(n // 2 + 1):
            shared = np.diagonal(products, offset=k, axis1=-2, axis2=-1).sum(axis=-1)
            lags.append(shared / np.sqrt(size[..., : n - k].sum(axis=-1) * size[..., k:].sum(axis=-1)))
    return np.stack(lags, axis=-1)


# --- from parameters to logits ----------------------------------------------------------------------------------------


def ntk(network: Network, X: Array) -> Array:
    """The neural tangent kernel, averaged over the logits: (..., n, n).

        Θ_ij = 1/classes Σ_k ∂z_k(x_i)/∂θ · ∂z_k(x_j)/∂θ

    Each layer with parameters adds its own part. In a Linear layer one example has dW = x dyᵀ and db = dy, and the
    product of two such matrices is (x·x')(dy·dy'). So with dY of a backward pass from the logit k alone, its part is

        (X Xᵀ + 1) ∘ (dY dYᵀ)

    and no gradient of a single example is formed. Other layers run backward once for each example. Source: Jacot,
    Gabriel & Hongler 2018, NeurIPS.
    """
    Ys = outputs(network, X)
    Xs, classes = [X, *Ys[:-1]], Ys[-1].shape[-1]
    dYs = []
    for k in range(classes):
        dZ = np.zeros_like(Ys[-1])
        dZ[..., k] = 1
        dYs.append(output_gradients(network, dZ))
    kernel = np.zeros((*network.replicas, len(X), len(X)))
    for i, layer in enumerate(network.layers):
        for k in range(classes):
            if isinstance(layer, Linear):
                kernel += (Xs[i] @ Xs[i].mT + 1) * (dYs[k][i] @ dYs[k][i].mT)
            elif any(True for _ in parameters(layer)):
                g = _one_by_one(layer, Xs[i], dYs[k][i], network.replicas)
                kernel += g @ g.mT
    return kernel / classes


def _one_by_one(layer: Layer, X: Array, dY: Array, lead: tuple[int, ...]) -> Array:
    """The gradients of a layer's parameters from each example by itself: (..., n, parameters)."""
    rows = []
    for i in range(X.shape[-2]):
        layer.forward(X[..., i : i + 1, :])
        layer.backward(dY[..., i : i + 1, :])
        rows.append(np.concatenate([dA.reshape(*lead, -1) for _, _, dA in parameters(layer)], axis=-1))
    return np.stack(rows, axis=-2)


# --- from parameters to the loss --------------------------------------------------------------------------------------


def sharpness(
    network: Network, X: Array, labels: Array, *, rng: np.random.Generator, tolerance: float = 0.001, most: int = 100
) -> np.ndarray:
    """The largest eigenvalue of the loss's Hessian H. Times the learning rate, 2 is the edge of stability.

    With a learning rate above 2/λ, gradient descent moves away from a minimum whose curvature is λ, along its
    eigenvector; training often goes on at that edge (Cohen et al. 2021, ICLR). H itself is never formed: with v of
    length 1,

        Hv ≈ (g(θ + hv) − g(θ − hv))/2h

    The method of Lanczos (1950) needs no more. From a random v₁, with β₀ = 0,

        w = Hv_j − β_{j−1}·v_{j−1}        α_j = v_j·w        β_j·v_{j+1} = w − α_j·v_j,  ‖v_{j+1}‖ = 1

    The α and, beside the diagonal, the β are a matrix whose largest eigenvalue λ approaches that of H from below. Where
    s is the last component of its eigenvector, an eigenvalue of H is within β_j·|s| of λ. A network is done when that
    is at most the share `tolerance` of |λ|, or after `most` rounds. All of it is in float64: the h that float32 needs
    is so large that θ ± hv has other units of a ReLU at work, and the kinks in between look like curvature.
    """
    network, X = copy.deepcopy(network), X.astype(np.float64)
    theta = network.theta.astype(np.float64)
    network._bind(theta.copy())
    with np.errstate(all="ignore"):
        h = math.sqrt(np.finfo(np.float64).eps) * (1 + np.linalg.norm(theta, axis=-1, keepdims=True))

        def at(v: Array) -> Array:
            network.theta[...] = theta + v
            return gradient(network, X, labels)

        start = rng.normal(size=theta.shape[-1])  # the same for all replicas
        v = np.broadcast_to(start / np.linalg.norm(start), theta.shape)
        before, beta = np.zeros_like(theta), np.zeros_like(h)
        alphas: list[np.ndarray] = []
        betas: list[np.ndarray] = []
        found, done = np.zeros(network.replicas), np.zeros(network.replicas, bool)
        for _ in range(most):
            w = (at(h * v) - at(-h * v)) / (2 * h) - beta * before
            alpha = (v * w).sum(axis=-1, keepdims=True)
            w -= alpha * v
            beta = np.linalg.norm(w, axis=-1, keepdims=True)
            alphas.append(alpha[..., 0])
            eigenvalue, s = _largest(alphas, betas)
            found = np.where(done, found, eigenvalue)
            done |= ~(beta[..., 0] * np.abs(s) > tolerance * np.abs(eigenvalue))  # NaN is done too
            if done.all():
                break
            betas.append(beta[..., 0])
            before, v = v, w / beta  # NaN where β is 0, and that network is done
    return found


def _largest(diagonal: list[np.ndarray], below: list[np.ndarray]) -> tuple[np.ndarray, np.ndarray]:
    """The largest eigenvalue of each symmetric tridiagonal matrix, and the last component of its eigenvector."""
    k = np.arange(len(diagonal))
    T = np.zeros((*diagonal[0].shape, len(k), len(k)))
    T[..., k, k] = np.stack(diagonal, axis=-1)
    if below:
        T[..., k[1:], k[:-1]] = np.stack(below, axis=-1)  # eigh looks at the lower half
    finite = np.asarray(np.isfinite(T).all(axis=(-2, -1)))
    eigenvalues, vectors = np.linalg.eigh(np.where(finite[..., None, None], T, 0))
    return np.where(finite, eigenvalues[..., -1], np.nan), vectors[..., -1, -1]


def gradient_change(network: Network, X: Array, labels: Array, *, learning_rate: float) -> Array:
    """‖g(θ − αg) − g(θ)‖/‖g(θ)‖: how much one step of gradient descent changes the gradient itself.

    Near 0 the step ends where the first derivative said it would. At 1 and above, the gradient that was followed has
    nothing to do with where it led. MetaInit (Dauphin & Schoenholz 2019, NeurIPS) looks for initial weights at which
    such a quotient is small. NaN where the gradient is 0.
    """
    network = copy.deepcopy(network)
    before = gradient(network, X, labels)
    network.theta -= learning_rate * before
    after = gradient(network, X, labels)
    with np.errstate(invalid="ignore"):
        return np.linalg.norm(after - before, axis=-1) / np.linalg.norm(before, axis=-1)


def movement(network: Network, theta_0: Array) -> np.ndarray:
    """‖θ − θ₀‖/‖θ₀‖ for the parameters of each layer that has some, in order: (layers, ...).

    Far below 1, training is lazy: the network stays near the linear one of its first step (Chizat, Oyallon & Bach
    2019, NeurIPS). Infinite where a layer started at 0 and has moved, NaN where it is still there.
    """
    start, moved = 0, []
    for layer in walk(network):
        arrays = [getattr(layer, name) for name in getattr(layer, "params", {})]
        if arrays:
            size = sum(A[(0,) * len(network.replicas)].size for A in arrays)
            theta, before = network.theta[..., start : start + size], theta_0[..., start : start + size]
            with np.errstate(divide="ignore", invalid="ignore"):
                moved.append(np.linalg.norm(theta - before, axis=-1) / np.linalg.norm(before, axis=-1))
            start += size
    return np.array(moved)
