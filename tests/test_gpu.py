"""The same numbers on a GPU: every layer, the loss, Adam, training and a whole comparison, on each device.

On the CPU these tests hold by construction and show that they can pass; on "cuda" they are skipped where there is no
working GPU. "rules" is the device cuda with strict.py in the place of CuPy: it needs no GPU, and shows that every call
and every array is where CuPy asks for it.
"""

import copy
import sys

import numpy as np
import pytest
import strict

from scratchnet import init
from scratchnet.backend import adam_kernel, cuda_problem, on_host, to_device, to_host
from scratchnet.lab.comparison import compare
from scratchnet.lab.experiment import Arm, Settings
from scratchnet.layers import ELU, GELU, SELU, Dropout, LeakyReLU, Linear, ReLU, Sigmoid, SiLU, Tanh, parameters, states
from scratchnet.loss import CrossEntropy
from scratchnet.network import mlp
from scratchnet.normalization import BatchNorm, LayerNorm
from scratchnet.optim import SGD, Adam
from scratchnet.residual import Scale, Shift
from scratchnet.train import evaluate, fit

NO_GPU = cuda_problem()
R = 3


GPU = pytest.param("cuda", marks=pytest.mark.skipif(NO_GPU is not None, reason=f"no GPU: {NO_GPU}"))


@pytest.fixture(params=["cpu", "rules", GPU])
def device(request, monkeypatch):
    if request.param != "rules":
        yield request.param
        return
    for name, module in strict.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    adam_kernel.cache_clear()  # one of the real CuPy may be there
    yield "cuda"
    adam_kernel.cache_clear()


def moved(layer, device):
    layer = copy.deepcopy(layer)
    for name, value in vars(layer).items():
        if isinstance(value, np.ndarray):
            setattr(layer, name, to_device(value, device))
    return layer


def layers(rng):
    W, b = rng.normal(size=(R, 12, 7)).astype(np.float32), rng.normal(size=(R, 7)).astype(np.float32)
    activations = [ReLU(), LeakyReLU(), Tanh(), Sigmoid(), ELU(), SELU(), GELU(), SiLU()]
    gamma, beta = rng.normal(size=(2, R, 12)).astype(np.float32)
    normalizations = [LayerNorm(gamma, beta), BatchNorm(gamma.copy(), beta.copy())]
    scalars = [Scale(gamma[:, 0].copy()), Shift(beta[:, 0].copy())]
    return [Linear(W, b), *activations, Dropout(0.3, rng=rng), *normalizations, *scalars]


@pytest.mark.parametrize("index", range(14))
def test_a_layer_gives_the_same_output_and_gradients(device, rng, index):
    layer = layers(rng)[index]
    X = rng.normal(size=(R, 5, 12)).astype(np.float32)
    here, there = copy.deepcopy(layer), moved(layer, device)
    Y = here.forward(X, train=True)
    Y_there = there.forward(to_device(X, device), train=True)
    dY = rng.normal(size=Y.shape).astype(np.float32)
    dX, dX_there = here.backward(dY), there.backward(to_device(dY, device))
    assert on_host(Y_there) == (device == "cpu")
    pairs = [(Y, Y_there), (dX, dX_there)]
    pairs += [(dA, dA_there) for (_, _, dA), (_, _, dA_there) in zip(parameters(here), parameters(there), strict=True)]
    pairs += [(A, A_there) for (_, A), (_, A_there) in zip(states(here), states(there), strict=True)]
    for ours, theirs in pairs:
        np.testing.assert_allclose(to_host(theirs), ours, rtol=1e-4, atol=1e-5)


def test_the_loss_and_its_gradient_are_the_same(device, rng):
    Z, labels = rng.normal(size=(R, 6, 10)).astype(np.float32), rng.integers(10, size=6)
    here, there = CrossEntropy(), CrossEntropy()
    value = here.forward(Z, labels)
    value_there = there.forward(to_device(Z, device), to_device(labels, device))
    np.testing.assert_allclose(to_host(value_there), value, rtol=1e-5)
    np.testing.assert_allclose(to_host(there.backward()), here.backward(), atol=1e-6)


@pytest.mark.parametrize("make", [lambda t, g: SGD(t, g, learning_rate=0.1, momentum=0.9), Adam])
def test_an_optimizer_takes_the_same_steps(device, rng, make):
    theta = rng.normal(size=(R, 500)).astype(np.float32)
    grad = np.empty_like(theta)
    theta_there, grad_there = to_device(theta.copy(), device), to_device(grad.copy(), device)
    here, there = make(theta, grad), make(theta_there, grad_there)
    for _ in range(20):
        grad[...] = rng.normal(size=grad.shape)
        grad_there[...] = to_device(grad, device)
        here.step()
        there.step()
    np.testing.assert_allclose(to_host(theta_there), theta, atol=1e-5)


def lessons_stack(device):
    network = mlp([784, 256, 128, 10], dropout=0.2, rng=np.random.default_rng(1), replicas=(R,))
    network.apply(init.linear(init.he_normal, rng=np.random.default_rng(0)))
    return network.to(device)


def test_200_steps_of_training_give_the_same_losses_to_1e_4(device, dataset):
    """Same weights, order and masks."""
    results = []
    for where in ("cpu", device):
        network = lessons_stack(where)
        images, labels = (to_device(A[:2000], where) for A in (dataset.images, dataset.labels))
        adam, order = Adam(network.theta, network.grad), np.random.default_rng(2)
        losses = fit(network, adam, images, labels, epochs=10, batch_size=100, rng=order)
        results.append((losses, *evaluate(network, images, labels)))
    assert len(results[0][0]) == 200
    np.testing.assert_allclose(results[0][0], results[1][0], atol=1e-4)
    np.testing.assert_allclose(results[0][1], results[1][1], atol=1e-3)


def test_a_network_is_saved_on_one_device_and_loaded_on_another(device, tmp_path):
    network = lessons_stack("cpu")
    network.save(tmp_path / "network.npz")
    other = lessons_stack(device)
    other.theta *= 0
    other.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(to_host(other.theta), network.theta)
    other.save(tmp_path / "back.npz")
    assert np.array_equal(lessons_stack("cpu").load(tmp_path / "back.npz").theta, network.theta)


def test_a_comparison_finds_the_same_accuracies(device, dataset):
    arms = [Arm("rule", "rule", init.rule_uniform), Arm("he", "he", init.he_normal)]
    runs = {
        where: compare(arms, dataset, Settings(sizes=(784, 32, 10), epochs=1, device=where), seeds=[0, 1])
        for where in ("cpu", device)
    }
    for ours, theirs in zip(runs["cpu"], runs[device], strict=True):
        assert (ours.arm, ours.seed) == (theirs.arm, theirs.seed)
        assert abs(ours.validation_accuracy - theirs.validation_accuracy) < 0.01
        np.testing.assert_allclose(ours.training_loss, theirs.training_loss, atol=1e-3)
