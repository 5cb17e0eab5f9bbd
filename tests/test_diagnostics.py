"""Each quantity against an independent computation: PyTorch's autograd and torch.func, NumPy's SVD, brute force."""

import itertools
import math

import numpy as np
import pytest
from oracle import torch
from scipy import stats

from scratchnet import init
from scratchnet.lab.diagnostics import (
    alone,
    correlation,
    dead_inputs,
    dead_units,
    distinct_units,
    effective_rank,
    elementwise,
    gradient,
    gradient_change,
    histogram,
    jacobian,
    largest_cosine,
    line,
    mean_size,
    mean_square,
    movement,
    ntk,
    output_gradients,
    outputs,
    patterns,
    quantiles,
    ratio,
    saturation,
    sharpness,
    shattering,
    slope,
)
from scratchnet.lab.parts import ACTIVATIONS
from scratchnet.layers import GELU, SELU, Identity, Layer, LeakyReLU, Linear, PReLU, ReLU, Sigmoid, Tanh, parameters
from scratchnet.loss import CrossEntropy
from scratchnet.network import Network, mlp
from scratchnet.normalization import BatchNorm, LayerNorm

STACK = (2, 3)  # replica axes


def network_of(sizes, rng, activation=Tanh, replicas=()):
    """A network in float64 with biases, and as many different ones side by side as `replicas` says."""
    network = mlp(sizes, activation=activation, replicas=replicas, dtype=np.float64)
    network.theta[...] = rng.normal(size=network.theta.shape) * 0.5
    return network


def network_like(network, activation):
    """A network of the same parameters with another activation."""
    sizes = [layer.W.shape[-2] for layer in network.layers if isinstance(layer, Linear)] + [
        network.layers[-1].W.shape[-1]
    ]
    other = mlp(sizes, activation=activation, dtype=np.float64)
    other.theta[...] = network.theta
    return other


def in_torch(network, index=()):
    """(function(theta, X) → logits, theta) of one of the networks, written with PyTorch's own functions."""
    functions = {"Tanh": torch.tanh, "ReLU": torch.relu, "GELU": torch.nn.functional.gelu}
    shapes = [layer.W.shape[-2:] for layer in network.layers if isinstance(layer, Linear)]
    phi = functions[type(network.layers[1]).__name__]

    def forward(theta, X):
        start = 0
        for i, (n_in, n_out) in enumerate(shapes):
            W = theta[start : start + n_in * n_out].reshape(n_in, n_out)
            b = theta[start + n_in * n_out : start + (n_in + 1) * n_out]
            X = (phi(X) if i else X) @ W + b
            start += (n_in + 1) * n_out
        return X

    return forward, torch.tensor(network.theta[index])


def cross_entropy(forward, X, labels):
    return lambda theta: torch.nn.functional.cross_entropy(forward(theta, torch.tensor(X)), torch.tensor(labels))


# --- outputs and their gradients --------------------------------------------------------------------------------------


def test_outputs_and_their_gradients_are_those_of_torchs_hooks(rng):
    network = network_of([5, 7, 4], rng)
    X, labels = rng.normal(size=(6, 5)), rng.integers(4, size=6)
    Ys = outputs(network, X)
    loss = CrossEntropy()
    loss.forward(Ys[-1], labels)
    dYs = output_gradients(network, loss.backward())

    twin = torch.nn.Sequential(torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 4)).double()
    with torch.no_grad():
        for layer, ours in ((twin[0], network.layers[0]), (twin[2], network.layers[2])):
            layer.weight.copy_(torch.tensor(ours.W.T))
            layer.bias.copy_(torch.tensor(ours.b))
    seen, slopes = [], []
    for module in twin:
        module.register_forward_hook(lambda _, __, Y: seen.append(Y.detach().numpy()))
        module.register_full_backward_hook(lambda _, __, dY: slopes.insert(0, dY[0].numpy()))
    torch.nn.functional.cross_entropy(twin(torch.tensor(X, requires_grad=True)), torch.tensor(labels)).backward()
    for ours, theirs in itertools.chain(zip(Ys, seen, strict=True), zip(dYs, slopes, strict=True)):
        np.testing.assert_allclose(ours, theirs, atol=1e-12)
    np.testing.assert_allclose(network.layers[0].dW, twin[0].weight.grad.numpy().T, atol=1e-12)
    deep = network_of([5, 7, 6, 4], rng)
    Ys = outputs(deep, X)
    assert [dY.shape for dY in output_gradients(deep, Ys[-1])] == [Y.shape for Y in Ys]


def test_sizes_are_moments_of_all_entries(rng):
    Y = rng.normal(2, 3, size=(*STACK, 20, 5))
    flat = Y.reshape(*STACK, 100)
    np.testing.assert_allclose(mean_square(Y), (flat**2).mean(-1))
    np.testing.assert_allclose(mean_size(Y), np.abs(flat).mean(-1))
    np.testing.assert_allclose(ratio(3 * Y, Y), 3)
    np.testing.assert_allclose(quantiles(Y, [0, 0.5, 1])[1], np.median(flat, axis=-1))
    assert mean_square(np.full((2, 2), 1e30, np.float32)) == pytest.approx(1e60)  # whose squares no float32 can hold
    assert np.isinf(ratio(Y, 0 * Y)).all()
    assert np.isnan(ratio(0 * Y, 0 * Y)).all()


def test_quantiles_are_the_median_the_quarters_and_one_in_a_hundred_on_either_side_by_default(rng):
    Y = rng.normal(size=(*STACK, 20, 5))
    shares = [0.01, 0.25, 0.5, 0.75, 0.99]
    np.testing.assert_array_equal(quantiles(Y), np.quantile(Y, shares, axis=(-2, -1)))
    np.testing.assert_array_equal(quantiles(Y[0, 0]), np.quantile(Y[0, 0], shares))


def test_sums_of_many_or_of_large_numbers_in_float32_are_taken_in_float64(rng):
    Y = rng.normal(size=(4, 3)).astype(np.float32)
    assert mean_size(Y).dtype == correlation(Y).dtype == largest_cosine(Y).dtype == np.float64
    huge = Y * np.float32(1e25)  # whose squares no float32 can hold
    assert correlation(huge) == pytest.approx(correlation(Y))
    assert largest_cosine(huge) == pytest.approx(largest_cosine(Y))


def test_nothing_is_dropped_from_outputs_unless_it_is_asked_for(rng):
    network, X = mlp([4, 50, 3], dropout=0.5, rng=rng), rng.normal(size=(6, 4))
    network.theta[...] = 1
    dropped = network.layers[2].backward
    outputs(network, X)
    assert dropped(np.ones((6, 50))).all()
    outputs(network, X, train=True)
    assert not dropped(np.ones((6, 50))).all()


def test_a_histogram_counts_every_entry_once(rng):
    Y = rng.normal(size=(*STACK, 30, 4))
    edges = np.array([-1.0, 0.0, 0.5, 1.0])
    for index in np.ndindex(STACK):
        y = Y[index]
        inside = np.array([(y < 0).sum(), ((y >= 0) & (y < 0.5)).sum(), (y >= 0.5).sum()]) / 120
        np.testing.assert_allclose(histogram(Y, edges)[index], inside)
        np.testing.assert_allclose(histogram(y, edges), inside)


def test_a_correlation_is_the_mean_over_all_pairs_of_different_examples(rng):
    Y = rng.normal(0.3, 1, size=(*STACK, 7, 5))
    expected = np.zeros(STACK)
    for index in np.ndindex(STACK):
        rows = Y[index]
        cosines = [a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in itertools.combinations(rows, 2)]
        expected[index] = np.mean(cosines)
    for factor in (1e-9, 1, 1e9):
        np.testing.assert_allclose(correlation(factor * Y), expected, atol=1e-12)
    assert correlation(np.array([[1.0, 0], [0, 0], [1, 1]])) == pytest.approx(math.sqrt(0.5))
    assert np.isnan(correlation(np.zeros((5, 3))))
    assert np.isnan(correlation(rng.normal(size=(50, 1, 5)))).all()  # one has nothing to be like


# --- what the activation lets through ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_a_slope_is_the_derivative_that_autograd_finds(name, rng):
    phi = ACTIVATIONS[name]()
    theirs = {
        "identity": torch.nn.Identity(),
        "relu": torch.nn.ReLU(),
        "leaky_relu": torch.nn.LeakyReLU(),
        "prelu": torch.nn.PReLU(),
        "tanh": torch.nn.Tanh(),
        "sigmoid": torch.nn.Sigmoid(),
        "elu": torch.nn.ELU(),
        "selu": torch.nn.SELU(),
        "gelu": torch.nn.GELU(),
        "silu": torch.nn.SiLU(),
    }[name].double()
    Y = torch.tensor(rng.normal(size=(6, 5)), requires_grad=True)
    theirs(Y).sum().backward()
    np.testing.assert_allclose(slope(phi, Y.detach().numpy()), Y.grad.numpy(), atol=1e-12)
    assert elementwise(phi, Y.detach().numpy())
    share = saturation(Y.detach().numpy(), phi)
    grid = torch.linspace(-20, 20, 40001, dtype=torch.float64, requires_grad=True)
    theirs(grid).sum().backward()
    assert share == (Y.grad.abs() < 0.05 * grid.grad.abs().max()).double().mean().item()


def test_an_activation_stays_as_it_is_when_its_slope_is_taken(rng):
    network = network_of([4, 5, 3], rng, PReLU)
    outputs(network, rng.normal(size=(6, 4)))
    network.backward(rng.normal(size=(6, 3)))
    kept, grad = network.layers[1].X, network.grad.copy()
    slope(network.layers[1], rng.normal(size=(6, 5)))
    assert network.layers[1].X is kept
    assert np.array_equal(network.grad, grad)
    selu = SELU()  # made of another layer
    selu.forward(rng.normal(size=(6, 5)))
    kept = selu.elu.X
    slope(selu, rng.normal(size=(6, 5)))
    elementwise(selu, rng.normal(size=(6, 5)))
    assert selu.elu.X is kept


def test_of_normal_outputs_relu_flattens_half_and_tanh_what_the_normal_distribution_says(rng):
    Y = rng.normal(size=(400, 250))
    assert saturation(Y, ReLU()) == pytest.approx(0.5, abs=0.01)
    bound = math.acosh(1 / math.sqrt(0.05))  # 1 − tanh² = 1/cosh² falls to 5 % there
    assert saturation(Y, Tanh()) == pytest.approx(2 * stats.norm.sf(bound), abs=0.002)
    assert saturation(Y, Tanh()) == pytest.approx(0.029, abs=0.002)
    assert saturation(Y, Identity()) == saturation(Y, LeakyReLU(0.05)) == 0  # 5 % of the maximum is not below it


def test_dead_units_and_inputs_are_counted_over_all_that_is_given(rng):
    Y = np.array([[1.0, -1, -1], [-1, -2, 0], [2, -3, 1]])
    assert dead_units(Y, ReLU()) == pytest.approx(1 / 3)
    assert dead_inputs(Y, ReLU()) == pytest.approx(1 / 3)
    assert dead_units(Y[:2], ReLU()) == pytest.approx(2 / 3)
    assert dead_units(Y, Sigmoid()) == dead_units(Y, GELU()) == 0
    stack = rng.normal(-1, 1, size=(*STACK, 4, 6))
    for index in np.ndindex(STACK):
        silent = [all(y <= 0 for y in column) for column in stack[index].T]
        assert dead_units(stack, ReLU())[index] == np.mean(silent)


def test_patterns_are_counted_as_sets_of_rows(rng):
    Y = rng.normal(size=(*STACK, 40, 4))
    for index in np.ndindex(STACK):
        assert patterns(Y)[index] == patterns(Y[index]) == len({tuple(row > 0) for row in Y[index]})
    assert patterns(np.array([[0.0, 1.0], [-1.0, 2.0]])) == 1  # 0 is off


def test_a_layer_that_mixes_units_is_not_elementwise(rng):
    class Softmax(Layer):
        def forward(self, X, train=False):
            return np.exp(X) / np.exp(X).sum(axis=-1, keepdims=True)

    Y = rng.normal(size=(5, 3))
    assert not elementwise(Softmax(), Y)
    assert not elementwise(Softmax(), Y[:4, :2])
    assert not elementwise(LayerNorm(np.ones(3), np.zeros(3)), Y)
    assert not elementwise(Linear(np.eye(3), np.zeros(3)), Y)


def test_an_activation_of_a_diverged_networks_outputs_is_still_elementwise():
    assert elementwise(Tanh(), np.array([[np.nan, 1.0], [np.inf, -2.0]]))


def test_each_network_of_a_stack_has_its_own_saturated_outputs_also_where_its_activation_is_its_own(rng):
    Y, slopes = rng.normal(size=(3, 40, 5)), np.array([0.001, 0.2, 30.0])  # the last has its maximum on the left
    assert elementwise(PReLU(slopes), Y)
    shares = saturation(Y, PReLU(slopes))
    assert shares.tolist() == [saturation(y, PReLU(a)) for y, a in zip(Y, slopes, strict=True)]
    assert shares.tolist() == [np.mean(Y[0] <= 0), 0, np.mean(Y[2] > 0)]
    assert dead_inputs(Y, ReLU()).tolist() == [np.mean((y <= 0).all(axis=1)) for y in Y]


# --- symmetry ---------------------------------------------------------------------------------------------------------


def test_equal_columns_count_once(rng):
    W = rng.normal(size=(*STACK, 5, 4))
    W[0, 0] = W[0, 0, :, :1]
    W[1, 2, :, 3] = W[1, 2, :, 0]
    W[1, 1, :, 2] = np.nextafter(W[1, 1, :, 0], 9)  # not equal to the last bit
    assert distinct_units(W).tolist() == [[1, 4, 4], [4, 4, 3]]
    assert distinct_units(np.array([[0.0, -0.0]])) == 1


def test_an_effective_rank_is_the_exponential_of_the_entropy_of_singular_values(rng):
    A = rng.normal(size=(*STACK, 9, 4))
    expected = np.zeros(STACK)
    for index in np.ndindex(STACK):
        s = np.linalg.svd(A[index])[1]
        expected[index] = np.exp(stats.entropy(s))
    np.testing.assert_allclose(effective_rank(A), expected)
    Q = np.linalg.qr(rng.normal(size=(8, 3)))[0]
    assert effective_rank(Q) == pytest.approx(3)
    assert effective_rank(np.outer(np.arange(5.0), np.ones(4))) == pytest.approx(1, abs=1e-6)
    assert effective_rank(np.zeros((3, 3))) == 0
    assert np.isnan(effective_rank(np.full((3, 3), np.inf)))
    expected[0, 1], expected[1, 2] = np.nan, 0
    A[0, 1, 5, 2], A[1, 2] = np.nan, 0
    np.testing.assert_allclose(effective_rank(A), expected)  # one that diverged spoils no other


def test_the_largest_cosine_is_that_of_the_closest_pair(rng):
    A = rng.normal(size=(*STACK, 6, 5))
    for index in np.ndindex(STACK):
        pairs = itertools.combinations(A[index].T, 2)
        best = max(a @ b / np.sqrt((a @ a) * (b @ b)) for a, b in pairs)
        assert largest_cosine(A)[index] == pytest.approx(best)
    assert largest_cosine(np.array([[1.0, -2, 0], [1, -2, 0]])) == pytest.approx(-1)
    assert np.isnan(largest_cosine(np.eye(1)))
    assert np.isnan(largest_cosine(np.array([[1.0, 0.0], [2.0, 0.0]])))


@pytest.mark.parametrize("factor", [1e-9, 1e9])
def test_how_alike_units_are_does_not_depend_on_the_size_of_the_matrix(factor, rng):
    A = rng.normal(size=(*STACK, 6, 5))
    np.testing.assert_allclose(effective_rank(factor * A), effective_rank(A))
    np.testing.assert_allclose(largest_cosine(factor * A), largest_cosine(A))


# --- the network as a map ---------------------------------------------------------------------------------------------


def test_one_of_a_stack_is_a_network_by_itself(rng):
    stack = network_of([4, 5, 3], rng, PReLU, STACK)
    X = rng.normal(size=(6, 4))
    one = alone(stack, (1, 2))
    np.testing.assert_allclose(one.forward(X), stack.forward(X)[1, 2])
    one.theta[...] = 0
    assert stack.theta[1, 2].all()


def test_one_of_a_stack_has_its_own_running_statistics(rng):
    stack = mlp([4, 5, 3], normalization=BatchNorm, replicas=STACK)
    stack.apply(init.linear(init.he_normal, rng=rng))
    X = rng.normal(size=(*STACK, 6, 4))
    stack.forward(X, train=True)
    one = alone(stack, (1, 2))
    np.testing.assert_allclose(one.forward(X[1, 2]), stack.forward(X)[1, 2], rtol=1e-5)
    one.layers[1].running_mean[...] = 7
    assert (stack.layers[1].running_mean != 7).all()


@pytest.mark.parametrize("activation", [Tanh, ReLU, GELU])
def test_a_jacobian_is_that_of_torch_func(activation, rng):
    stack = network_of([6, 5, 3], rng, activation, STACK)
    X = rng.normal(size=(4, 6))
    J = jacobian(stack, X)
    assert J.shape == (*STACK, 4, 3, 6)
    for index in np.ndindex(STACK):
        forward, theta = in_torch(stack, index)
        theirs = torch.func.vmap(torch.func.jacrev(lambda x: forward(theta, x)))(torch.tensor(X))
        np.testing.assert_allclose(J[index], theirs.numpy(), atol=1e-12)


def test_a_neural_tangent_kernel_is_the_product_of_jacobians_of_torch_func(rng):
    stack = network_of([6, 5, 7], rng, replicas=STACK)
    X = rng.normal(size=(4, 6))
    kernel = ntk(stack, X)
    assert kernel.shape == (*STACK, 4, 4)
    for index in np.ndindex(STACK):
        forward, theta = in_torch(stack, index)
        J = torch.func.jacrev(lambda t: forward(t, torch.tensor(X)))(theta).numpy()
        np.testing.assert_allclose(kernel[index], np.einsum("ikp,jkp->ij", J, J) / 7, atol=1e-11)


@pytest.mark.parametrize("lead", [(), STACK])
def test_layers_that_are_not_linear_have_their_part_in_the_kernel(lead, rng):
    """One slope of a PReLU: its gradient for one example is the sum over units of dy·min(x, 0)."""
    network = mlp([6, 5, 3], activation=PReLU, normalization=LayerNorm, replicas=lead, dtype=np.float64)
    network.theta[...] = rng.normal(size=network.theta.shape)
    X = rng.normal(size=(4, 6))
    J = np.zeros((*lead, 4, 3, network.theta.shape[-1]))
    for i, k in np.ndindex(4, 3):
        Z = network.forward(X[i : i + 1])
        network.backward(np.eye(3)[None, k] * np.ones_like(Z))
        J[..., i, k, :] = network.grad
    np.testing.assert_allclose(ntk(network, X), np.einsum("...ikp,...jkp->...ij", J, J) / 3, atol=1e-11)


def hessian(stack, index, X, labels):
    """Of the loss with respect to all parameters of one of the networks, by PyTorch."""
    forward, theta = in_torch(stack, index)
    return torch.func.jacrev(torch.func.grad(cross_entropy(forward, X, labels)))(theta).numpy()


@pytest.mark.parametrize("negative", [False, True])
def test_sharpness_is_the_largest_eigenvalue_of_the_hessian(negative, rng):
    stack = network_of([4, 5, 3], rng, replicas=(3,))
    X, labels = rng.normal(size=(3, 8, 4)), rng.integers(3, size=8)
    if negative:  # on a saddle, as the first two are then, the eigenvalue that is largest in size is below 0
        stack.theta[:2] *= 0.02
        X *= np.array([20, 20, 0.3])[:, None, None]
    found = sharpness(stack, X, labels, rng=rng, tolerance=1e-7, most=5000)
    saddles = []
    for i in range(3):
        eigenvalues = np.linalg.eigvalsh(hessian(stack, i, X[i], labels))
        assert found[i] == pytest.approx(eigenvalues[-1], rel=1e-3)
        assert sharpness(alone(stack, (i,)), X[i], labels, rng=rng, tolerance=1e-7, most=5000) == pytest.approx(
            found[i], rel=1e-3
        )
        saddles.append(eigenvalues[0] + eigenvalues[-1] < 0)
    assert saddles == [negative, negative, False]
    assert 0 < found[2] < 1  # of all eigenvalues, those between 0 and 1 tell best whether a shift was taken by mistake


@pytest.mark.parametrize("activation", [Tanh, ReLU])
def test_sharpness_is_that_of_float64_for_float32_too(activation, rng):
    """With the steps that float32 needs, a ReLU's kinks would look like curvature."""
    single = mlp([30, 12, 9, 3], activation=activation)
    single.theta[...] = rng.normal(size=single.theta.shape) / 3
    double = mlp([30, 12, 9, 3], activation=activation, dtype=np.float64)
    double.theta[...] = single.theta
    X, labels = rng.normal(size=(50, 30)).astype(np.float32), rng.integers(3, size=50)
    found, expected = (
        sharpness(network, X, labels, rng=np.random.default_rng(0), tolerance=1e-6) for network in (single, double)
    )
    assert found == expected
    assert single.theta.dtype == np.float32
    if activation is Tanh:
        assert found == pytest.approx(np.linalg.eigvalsh(hessian(double, (), X.astype(np.float64), labels))[-1])


def test_the_step_of_sharpness_grows_with_theta_so_that_rounding_does_not_swallow_it(rng):
    network = network_of([4, 5, 3], rng)
    X, labels = rng.normal(size=(8, 4)) / 1e5, rng.integers(3, size=8)
    network.layers[0].W *= 1e5
    found = sharpness(network, X, labels, rng=rng, tolerance=1e-6, most=200)
    assert found == pytest.approx(np.linalg.eigvalsh(hessian(network, (), X, labels))[-1], rel=3e-5)


@pytest.mark.parametrize("scale", [0.1, 1])
@pytest.mark.parametrize(
    "settings", [{}, {"tolerance": 0.3}, {"tolerance": -1, "most": 1}, {"tolerance": -1, "most": 7}]
)
def test_sharpness_is_the_best_that_the_rounds_can_know_and_they_are_as_many_as_the_tolerance_asks_for(
    scale, settings, rng
):
    """The largest eigenvalue on the space of v, Hv, H²v, …; done when Hy is near enough to λy for its eigenvector y."""

    class Counted(Tanh):
        calls = 0

        def forward(self, X, train=False):
            Counted.calls += 1
            return super().forward(X, train)

    network = network_of([4, 5, 3], rng, Counted)
    X, labels = scale * rng.normal(size=(8, 4)), rng.integers(3, size=8)
    found = sharpness(network, X, labels, rng=np.random.default_rng(1), **settings)
    H = hessian(network_like(network, Tanh), (), X, labels)
    Q, q, rounds = np.zeros((len(H), 0)), np.random.default_rng(1).normal(size=len(H)), 0
    while rounds < settings.get("most", 100):
        for _ in range(2):
            q = q - Q @ (Q.T @ q)
        Q, rounds = np.column_stack([Q, q / np.linalg.norm(q)]), rounds + 1
        eigenvalues, vectors = np.linalg.eigh(Q.T @ H @ Q)
        y, q = Q @ vectors[:, -1], H @ Q[:, -1]
        if np.linalg.norm(H @ y - eigenvalues[-1] * y) <= settings.get("tolerance", 0.001) * abs(eigenvalues[-1]):
            break
    assert Counted.calls == 2 * rounds  # a gradient on either side
    assert found == pytest.approx(eigenvalues[-1], rel=1e-5)


def test_each_network_is_done_by_itself_and_then_stays_as_it_is(rng):
    """One without curvature is done in the first round; the others take more."""
    stack = network_of([4, 5, 3], rng, replicas=(3,))
    stack.theta[1] = 0
    stack.layers[-1].b[1, 0] = 1000
    X, labels = rng.normal(size=(3, 8, 4)), np.zeros(8, int)
    found = sharpness(stack, X, labels, rng=np.random.default_rng(1), tolerance=0.5)
    assert found[1] == 0
    for i in range(3):
        one = sharpness(alone(stack, (i,)), X[i], labels, rng=np.random.default_rng(1), tolerance=0.5)
        assert found[i] == pytest.approx(one, rel=1e-6)
        more = sharpness(alone(stack, (i,)), X[i], labels, rng=np.random.default_rng(1), tolerance=0.01)
        assert (found[i] == pytest.approx(more, rel=1e-4)) == (i == 1)  # another round would show


def test_where_the_loss_has_no_curvature_the_sharpness_is_0_and_the_gradients_change_no_number(rng):
    """A classifier so certain that the other classes have the probability 0: its gradient is constant, or 0."""
    b = np.zeros((2, 3))
    b[0, 0] = 1000
    stack = Network([Linear(rng.normal(size=(2, 4, 3)), b)])
    X, labels = rng.normal(size=(8, 4)), np.zeros(8, int)
    flat, curved = sharpness(stack, X, labels, rng=rng, tolerance=1e-4)
    assert flat == 0
    assert curved > 0.1
    assert np.isnan(gradient_change(stack, X, labels, learning_rate=0.1)).tolist() == [True, False]


def test_sharpness_of_a_diverged_network_is_no_number_and_warns_nobody(rng):
    stack = network_of([4, 5, 3], rng, replicas=(2,))
    stack.theta[0] *= 1e200
    found = sharpness(stack, rng.normal(size=(8, 4)), rng.integers(3, size=8), rng=rng)
    assert np.isnan(found[0])
    assert found[1] > 0


def test_a_gradient_change_is_what_one_step_of_torchs_sgd_does_to_the_gradient(rng):
    stack = network_of([4, 5, 3], rng, replicas=STACK)
    X, labels = rng.normal(size=(8, 4)), rng.integers(3, size=8)
    found = gradient_change(stack, X, labels, learning_rate=0.3)
    for index in np.ndindex(STACK):
        forward, theta = in_torch(stack, index)
        grad = torch.func.grad(cross_entropy(forward, X, labels))
        g = grad(theta)
        assert found[index] == pytest.approx(float((grad(theta - 0.3 * g) - g).norm() / g.norm()))
        np.testing.assert_allclose(gradient(stack, X, labels)[index], g.numpy(), atol=1e-12)


def test_nothing_that_is_measured_changes_a_parameter(rng):
    stack = network_of([4, 5, 3], rng, replicas=STACK)
    before = stack.theta.copy()
    X, labels = rng.normal(size=(8, 4)), rng.integers(3, size=8)
    jacobian(stack, X)
    ntk(stack, X)
    shattering(stack, X)
    sharpness(stack, X, labels, rng=rng)
    gradient_change(stack, X, labels, learning_rate=1.0)
    assert np.array_equal(stack.theta, before)
    for _, A, dA in parameters(stack):
        assert np.shares_memory(A, stack.theta)
        assert np.shares_memory(dA, stack.grad)


def test_no_gradient_of_the_inputs_is_asked_for_where_only_that_of_the_parameters_is_wanted(rng):
    class First(Linear):
        def backward(self, dY, need_dX=True):
            self.asked = need_dX
            return super().backward(dY, need_dX)

    network = Network([First(rng.normal(size=(4, 3)), np.zeros(3))])
    gradient(network, rng.normal(size=(8, 4)), rng.integers(3, size=8))
    assert network.layers[0].asked is False


def test_movement_is_one_number_for_each_layer_with_parameters(rng):
    stack = network_of([4, 5, 3], rng, PReLU, STACK)
    before = stack.theta.copy()
    stack.layers[2].W += 1
    found = movement(stack, before)
    assert found.shape == (3, *STACK)
    assert not found[:2].any()
    for index in np.ndindex(STACK):
        W, b = stack.layers[2].W[index] - 1, stack.layers[2].b[index]
        assert found[2][index] == pytest.approx(math.sqrt(15) / math.sqrt((W**2).sum() + (b**2).sum()))
    assert np.isinf(movement(stack, 0 * before)).all()
    one_of_one = mlp([4, 3], replicas=(1,))
    assert np.isnan(movement(one_of_one, one_of_one.theta)).all()  # still at 0


def test_movement_leaves_out_a_layer_that_declares_no_parameters(rng):
    class Bare:  # it need not inherit from Layer
        def forward(self, X, train=False):
            return X

        def backward(self, dY):
            return dY

    network = Network([Linear(np.ones((4, 3)), np.ones(3)), Bare()])
    assert movement(network, 2 * network.theta).tolist() == [0.5]


# --- shattering -------------------------------------------------------------------------------------------------------


def test_a_line_goes_from_one_input_to_the_other_in_equal_steps():
    for dtype in (np.float32, np.float64):
        found = line(np.array([0, 1], dtype), np.array([1, 0], dtype), 3)
        assert found.tolist() == [[0, 1], [0.5, 0.5], [1, 0]]
        assert found.dtype == dtype


def test_shattering_is_the_autocorrelation_of_the_gradients_along_a_line(rng):
    stack = network_of([4, 9, 3], rng, ReLU, (2,))
    X = line(rng.normal(size=4), rng.normal(size=4), 10)
    found = shattering(stack, X)
    assert found.shape == (2, 6)
    for i in range(2):
        forward, theta = in_torch(stack, i)
        J = torch.func.vmap(torch.func.jacrev(lambda x: forward(theta, x)))(torch.tensor(X))
        g = J.reshape(10, -1).numpy()
        for k in range(6):
            a, b = g[: 10 - k].ravel(), g[k:].ravel()
            assert found[i, k] == pytest.approx(a @ b / np.sqrt((a @ a) * (b @ b)))
    stack.theta[0] = 0
    assert np.isnan(shattering(stack, X)).all(axis=-1).tolist() == [True, False]


def test_looks_linear_keeps_gradients_whole_where_he_shatters_them(rng):
    """Balduzzi et al. 2017: the gradients of a deep ReLU network are like white noise, those of looks-linear equal."""
    start, end = rng.normal(size=(2, 20))
    X = line(start, end, 20)
    network = mlp([20, *[40] * 20, 5], dtype=np.float64)
    network.apply(init.linear(init.he_normal, rng=rng))
    assert shattering(network, X)[5] < 0.7
    init.looks_linear(network, rng=rng)
    np.testing.assert_allclose(shattering(network, X), 1, atol=1e-9)
    deep_linear = Network([Linear(rng.normal(size=(20, 5)), np.zeros(5))])
    np.testing.assert_allclose(shattering(deep_linear, X), 1)
