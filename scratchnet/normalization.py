"""Normalization: layers that give their outputs mean 0 and variance 1, whatever the weights before them do.

LayerNorm takes mean and variance over the units of each example, BatchNorm over the examples of each unit. The
arithmetic is the same along another axis, so both share two functions, forward and backward.
"""

from __future__ import annotations

import numpy as np

from scratchnet.backend import Array
from scratchnet.layers import Layer

# Added to the variance: what does not vary is divided by √ε instead of 0. 10⁻⁵, as in PyTorch.
EPSILON = 1e-5


def normalized(X: Array, axis: int, epsilon: float) -> tuple[Array, Array, Array, Array]:
    """X̂ = (X − μ)/σ with σ = √(v + ε), μ and v the mean and the variance along `axis`. Returns X̂, σ, μ, v.

    σ, μ and v keep an axis of length 1 where they were taken. v is the mean of (x − μ)², divided by the number of
    values and not by one less.
    """
    mean = X.mean(axis=axis, keepdims=True)
    centred = X - mean
    variance = np.square(centred).mean(axis=axis, keepdims=True)
    sigma = np.sqrt(variance + epsilon)
    return centred / sigma, sigma, mean, variance


def through_normalized(dX_hat: Array, X_hat: Array, sigma: Array, axis: int) -> Array:
    """dX from dX̂, for X̂ and σ of `normalized`.

    For one row of d values, x̂_j = (x_j − μ)/σ with μ = Σ_j x_j/d and σ² = Σ_j (x_j − μ)²/d + ε. Each x_k acts in three
    ways, directly, through μ and through σ:

        ∂μ/∂x_k = 1/d        ∂σ/∂x_k = (x_k − μ)/(d·σ) = x̂_k/d
        ∂x̂_j/∂x_k = ([j = k] − 1/d)/σ − (x_j − μ)/σ² · x̂_k/d = ([j = k] − 1/d − x̂_j·x̂_k/d)/σ

    (In ∂σ/∂x_k the part through μ is 0, since Σ_j (x_j − μ) = 0.) Collected, with g_j = ∂L/∂x̂_j:

        ∂L/∂x_k = Σ_j g_j · ∂x̂_j/∂x_k = (g_k − mean_j(g_j) − x̂_k · mean_j(g_j·x̂_j))/σ

    So dX is dX̂ without its mean and, up to ε, without its part along X̂, over σ: to shift x, or to scale it, changes
    nothing.
    """
    shift = dX_hat.mean(axis=axis, keepdims=True)
    scale = (dX_hat * X_hat).mean(axis=axis, keepdims=True)
    return (dX_hat - shift - X_hat * scale) / sigma


class LayerNorm(Layer):
    """Y = γ·X̂ + β: each example is normalized over its units, then each unit has a scale γ and a shift β of its own.

    Shapes: `X, Y: (n, n_in)`, `gamma, beta: (n_in,)`; replica axes in front. γ = 1 and β = 0 are the usual start. It
    does the same in training and in evaluation.

    Element form: y_ij = γ_j·x̂_ij + β_j, x̂_ij = (x_ij − μ_i)/σ_i, with μ_i and σ_i over the units j of example i. So

        ∂L/∂γ_j  = Σ_i ∂L/∂y_ij · x̂_ij    is the column sum    dγ = Σ_rows dY·X̂
        ∂L/∂β_j  = Σ_i ∂L/∂y_ij           is the column sum    dβ = Σ_rows dY
        ∂L/∂x̂_ij = ∂L/∂y_ij · γ_j         is the product       dX̂ = dY·γ

    and dX from dX̂ along the units: `through_normalized`. The shapes: σ is (n, 1), one for each example, and γ is
    (n_in,), one for each unit. Source: Ba, Kiros & Hinton 2016, arXiv 1607.06450, §3; ε is not in the paper.
    """

    params = {"gamma": 1, "beta": 1}

    def __init__(self, gamma: Array, beta: Array, *, epsilon: float = EPSILON) -> None:
        self.gamma, self.beta, self.epsilon = gamma, beta, epsilon
        self.dgamma, self.dbeta = np.empty_like(gamma), np.empty_like(beta)

    def forward(self, X: Array, train: bool = False) -> Array:
        self.X_hat, self.sigma, _, _ = normalized(X, -1, self.epsilon)
        return self.gamma[..., None, :] * self.X_hat + self.beta[..., None, :]

    def backward(self, dY: Array) -> Array:
        np.sum(dY * self.X_hat, axis=-2, out=self.dgamma)
        np.sum(dY, axis=-2, out=self.dbeta)
        return through_normalized(dY * self.gamma[..., None, :], self.X_hat, self.sigma, -1)


class BatchNorm(Layer):
    """Y = γ·X̂ + β: each unit is normalized over the examples of the batch, then has a scale γ and a shift β.

    Shapes: `X, Y: (n, n_in)`, `gamma, beta, running_mean, running_variance: (n_in,)`; replica axes in front. γ = 1 and
    β = 0 are the usual start.

    **In training** μ_j and v_j are those of the batch, and backward is LayerNorm's with rows and columns exchanged: σ
    is (1, n_in). An example's output depends on which others are in its batch. Each forward also moves the running
    statistics towards the batch's, by the share `momentum`, m:

        running_mean     ← (1 − m)·running_mean + m·μ
        running_variance ← (1 − m)·running_variance + m·v·n/(n − 1)

    The factor n/(n − 1) makes v an unbiased estimate of the variance of all examples. These two are `state`: arrays
    that belong to the layer and are learned without a gradient.

    **In evaluation** the running statistics take the place of μ and v. They are constants, so that dX = dX̂/σ.

    A batch of one example is its own mean: x̂ = 0 and Y = β, so dX = 0. It says nothing about a variance, so that the
    running statistics stay as they are. (PyTorch raises an error; here a short last batch does not end a training.)

    Source: Ioffe & Szegedy 2015, ICML, Algorithm 1, and Algorithm 2 with the factor n/(n − 1). `momentum` is PyTorch's,
    the share of the new batch; other libraries call 1 − m the momentum.
    """

    params = {"gamma": 1, "beta": 1}
    state = {"running_mean": 1, "running_variance": 1}

    def __init__(self, gamma: Array, beta: Array, *, momentum: float = 0.1, epsilon: float = EPSILON) -> None:
        if not 0 <= momentum <= 1:
            raise ValueError(f"expected a momentum between 0 and 1, the share of the new batch, got {momentum}")
        self.gamma, self.beta, self.momentum, self.epsilon = gamma, beta, momentum, epsilon
        self.dgamma, self.dbeta = np.empty_like(gamma), np.empty_like(beta)
        self.running_mean, self.running_variance = np.zeros_like(beta), np.ones_like(gamma)

    def forward(self, X: Array, train: bool = False) -> Array:
        self.train = train
        if train:
            self.X_hat, self.sigma, mean, variance = normalized(X, -2, self.epsilon)
            if (n := X.shape[-2]) > 1:
                self.running_mean += self.momentum * (mean[..., 0, :] - self.running_mean)
                self.running_variance += self.momentum * (variance[..., 0, :] * (n / (n - 1)) - self.running_variance)
        else:
            self.sigma = np.sqrt(self.running_variance + self.epsilon)[..., None, :]
            self.X_hat = (X - self.running_mean[..., None, :]) / self.sigma
        return self.gamma[..., None, :] * self.X_hat + self.beta[..., None, :]

    def backward(self, dY: Array) -> Array:
        np.sum(dY * self.X_hat, axis=-2, out=self.dgamma)
        np.sum(dY, axis=-2, out=self.dbeta)
        dX_hat = dY * self.gamma[..., None, :]
        return through_normalized(dX_hat, self.X_hat, self.sigma, -2) if self.train else dX_hat / self.sigma
