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
    network: Network, X: Array, labels: Array, *, rng: np.random.Generator, tolerance: float = 0.01, most: int = 100
) -> Array:
    """The largest eigenvalue of the loss's Hessian H. Times the learning rate, 2 is the edge of stability.

    With a learning rate above 2/λ, gradient descent moves away from a minimum whose curvature is λ, along its
    eigenvector; training often goes on at that edge (Cohen et al. 2021, ICLR). H itself is never formed: with v of
    length 1,

        Hv ≈ (g(θ + hv) − g(θ − hv))/2h        v ← Hv/‖Hv‖        λ = v·Hv

    This power iteration ends at the eigenvalue that is largest in size. Where that is negative, it is run again on
    H − λI, whose largest is the largest of H, moved by −λ. It stops when λ changes by less than the share `tolerance`
    in every replica, after at most so many rounds.
    """
    network = copy.deepcopy(network)
    theta = network.theta.copy()
    start = rng.normal(size=theta.shape[-1]).astype(theta.dtype)  # the same for all replicas

    def at(v: Array) -> Array:
        network.theta[...] = theta + v
        return gradient(network, X, labels)

    def power(shift: Array) -> Array:
        """The eigenvalue of H − shift·I that is largest in size."""
        v = np.broadcast_to(start, theta.shape).copy()
        eigenvalue = np.full(network.replicas, np.inf)
        for _ in range(most):
            v /= np.linalg.norm(v, axis=-1, keepdims=True)
            Hv = (at(h * v) - at(-h * v)) / (2 * h) - shift[..., None] * v
            before, eigenvalue = eigenvalue, (v * Hv).sum(axis=-1)
            if not (np.abs(eigenvalue - before) > tolerance * np.abs(eigenvalue)).any():  # NaN stops too
                break
            v = np.where((eigenvalue == 0)[..., None], v, Hv)
        return eigenvalue

    with np.errstate(all="ignore"):
        h = math.sqrt(np.finfo(theta.dtype).eps) * (1 + np.linalg.norm(theta, axis=-1, keepdims=True))
        h = h.astype(theta.dtype)
        largest = power(np.zeros(network.replicas, theta.dtype))
        if (largest < 0).any():
            shift = np.where(largest < 0, largest, 0).astype(theta.dtype)
            largest = power(shift) + shift
    return largest


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
