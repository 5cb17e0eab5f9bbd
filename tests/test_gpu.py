"""The same numbers on a GPU: every layer, the loss, Adam, training and a whole comparison, on each device.

On the CPU these tests hold by construction and show that they can pass; on "cuda" they are skipped where there is no
working GPU. "rules" is the device cuda with strict.py in the place of CuPy: it needs no GPU, and shows that every call
and every array is where CuPy asks for it. The tests of these parts run on it once more, by placed.py.
"""

import copy
import json
import pickle
from dataclasses import replace
from functools import partial

import numpy as np
import pytest
import strict
from conftest import ROOT

from scratchnet import init
from scratchnet.backend import cuda_problem, on_host, to_device, to_host
from scratchnet.data import Dataset
from scratchnet.lab.comparison import compare
from scratchnet.lab.executors import units_for_gpu
from scratchnet.lab.experiment import Arm, Settings, bytes_of_a_network
from scratchnet.layers import (
    ELU,
    GELU,
    SELU,
    Dropout,
    LeakyReLU,
    Linear,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
    parameters,
    states,
)
from scratchnet.loss import CrossEntropy, softmax
from scratchnet.network import Network, mlp
from scratchnet.normalization import BatchNorm, LayerNorm
from scratchnet.optim import SGD, Adam
from scratchnet.residual import Residual, Scale, Shift, residual_mlp
from scratchnet.train import evaluate, fit

NO_GPU = cuda_problem()
R = 3


GPU = pytest.param("cuda", marks=pytest.mark.skipif(NO_GPU is not None, reason=f"no GPU: {NO_GPU}"))


@pytest.fixture(params=["cpu", "rules", GPU])
def device(request, monkeypatch):
    if request.param != "rules":
        return request.param
    strict.install(monkeypatch)
    return "cuda"


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
    scalars = [Scale(gamma[:, 0].copy()), Shift(beta[:, 0].copy()), PReLU(gamma[:, 1].copy())]
    masks = [Dropout(0.3, rng=rng), Dropout(0.3, rng=[np.random.default_rng(s) for s in range(R)])]
    return [Linear(W, b), *activations, *masks, *normalizations, *scalars]


@pytest.mark.parametrize("index", range(16))
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


def every_part(device):
    """A stack of (2, R) residual networks with BatchNorm, learned factors, a learned slope and dropout."""
    masks = [np.random.default_rng(s) for s in range(R)]
    network = residual_mlp(
        [784, 20, 20, 20, 10], alpha=1, shifts=True, normalization=BatchNorm, activation=PReLU, dropout=0.1, rng=masks
    )
    network.replicate((2, R))
    network.apply(init.linear(init.he_normal, rng=np.random.default_rng(0)))
    return network.to(device)


@pytest.mark.parametrize("make", [partial(SGD, momentum=0.9), Adam])
def test_a_network_of_all_parts_trains_the_same(device, dataset, make):
    """With a rate for each parameter, frozen parameters, and an order, masks and images for each seed."""
    indices = np.random.default_rng(3).integers(2000, size=(R, 500))
    results = []
    for where in ("cpu", device):
        network = every_part(where)
        start = to_host(network.theta).copy()
        images, labels = (to_device(A[:2000], where) for A in (dataset.images, dataset.labels))
        rates = to_device(np.where(np.arange(start.shape[-1]) % 2, 0.01, 0.001).astype(np.float32), where)
        frozen = to_device(np.arange(start.shape[-1]) % 3 == 0, where)
        orders = [np.random.default_rng(10 + s) for s in range(R)]
        optimizer = make(network.theta, network.grad, learning_rate=rates)
        losses = fit(
            network, optimizer, images, labels, epochs=1, batch_size=50, rng=orders, indices=indices, frozen=frozen
        )
        assert np.array_equal(to_host(network.theta)[..., ::3], start[..., ::3])
        running = [to_host(A) for _, A in states(network)]
        results.append((losses, *evaluate(network, images, labels, indices=indices), *running))
    for ours, theirs in zip(*results, strict=True):
        np.testing.assert_allclose(theirs, ours, rtol=1e-3, atol=1e-3)


def test_a_network_may_be_built_and_initialized_on_the_device(device, rng):
    """Of arrays that are there already; a scheme's draw, a rate for each parameter and a mask may be the host's."""
    networks = []
    for where in ("cpu", device):
        there = partial(to_device, device=where)
        W, v = np.zeros((12, 12), np.float32), np.ones(12, np.float32)
        block = Residual([Shift(there(v[0] * 0.1)), Linear(there(W), there(v)), Scale(there(v[0]))])
        network = Network([Linear(there(W), there(v)), LayerNorm(there(v), there(v)), PReLU(there(v[0])), block])
        draw = np.random.default_rng(0)
        network.replicate((R,)).apply(init.linear(init.torch_linear, rng=draw, bias=init.torch_linear_bias))
        X, labels = there(np.random.default_rng(1).random((20, 12), np.float32)), there(np.arange(20) % 12)
        adam = Adam(network.theta, network.grad, learning_rate=np.linspace(0, 0.01, network.theta.shape[-1]))
        frozen = np.arange(network.theta.shape[-1]) % 5 == 0
        fit(network, adam, X, labels, epochs=5, batch_size=10, rng=np.random.default_rng(2), frozen=frozen)
        probabilities = softmax(network.forward(X))
        assert on_host(network.theta) == on_host(probabilities) == (where == "cpu")
        networks.append((to_host(network.theta), to_host(probabilities)))
    for ours, theirs in zip(*networks, strict=True):
        np.testing.assert_allclose(theirs, ours, atol=1e-5)


def test_copies_of_a_network_are_where_it_is(device):
    network = every_part(device)
    for other in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert on_host(other.theta) == on_host(network.theta) == (device == "cpu")
        other.layers[0].W[...] = 9.0  # the parameters are views on theta
        assert float(other.theta.max()) == 9.0 != float(network.theta.max())
        assert np.array_equal(to_host(other.theta[..., -10:]), to_host(network.theta[..., -10:]))


def test_a_wrong_label_is_found_before_training(device, dataset):
    network, labels = lessons_stack(device), dataset.labels[:100].copy()
    labels[7] = 10  # a GPU would wrap an index without a word
    images, labels = to_device(dataset.images[:100], device), to_device(labels, device)
    adam, order = Adam(network.theta, network.grad), np.random.default_rng(0)
    with pytest.raises(ValueError, match=r"labels must lie in 0 … 9"):
        fit(network, adam, images, labels, epochs=1, batch_size=10, rng=order)


def test_a_network_is_saved_on_one_device_and_loaded_on_another(device, tmp_path):
    network = lessons_stack("cpu")
    network.save(tmp_path / "network.npz")
    other = lessons_stack(device)
    other.theta *= 0
    other.load(tmp_path / "network.npz")
    np.testing.assert_array_equal(to_host(other.theta), network.theta)
    other.save(tmp_path / "back.npz")
    assert np.array_equal(lessons_stack("cpu").load(tmp_path / "back.npz").theta, network.theta)


def test_a_network_with_state_goes_through_a_file(device, tmp_path):
    network = every_part(device)
    for _, A in states(network):
        A += 0.5
    network.save(tmp_path / "network.npz")
    other = every_part("cpu").load(tmp_path / "network.npz")
    for (_, here), (_, there) in zip(states(other), states(network), strict=True):
        np.testing.assert_array_equal(to_host(there), here)


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


def test_a_comparison_of_all_parts_in_several_stacks_is_the_same(device, dataset, monkeypatch):
    """Arms with rates of their own, a preparation that looks at images, normalization, and memory for two networks."""
    arms = [
        Arm("he", "he", init.he_normal, learning_rate={0: 0.001, 1: 0.003}),
        Arm("lsuv", "lsuv", preparation=init.PREPARATIONS["lsuv"]),
        Arm("default", "default", init.torch_linear, bias=init.torch_linear_bias),
    ]
    small = Dataset("small", dataset.images[:1000], dataset.labels[:1000], dataset.images[:0], dataset.labels[:0])
    settings = Settings(sizes=(784, 12, 12, 12, 10), activation=PReLU, normalization=LayerNorm, epochs=1)
    monkeypatch.setattr(strict, "FREE", small.images.nbytes + 7 * bytes_of_a_network(settings) // 2)
    if isinstance(to_device(np.ones(1), device), strict.ndarray):
        units = units_for_gpu(arms, [0, 1], settings, small)
        assert [(len(unit.arms), list(unit.seeds)) for unit in units] == [(2, [0]), (1, [0]), (2, [1]), (1, [1])]
    runs = {
        where: compare(arms, small, replace(settings, device=where), seeds=[0, 1], jobs=1) for where in ("cpu", device)
    }
    for ours, theirs in zip(runs["cpu"], runs[device], strict=True):
        assert (ours.arm, ours.seed) == (theirs.arm, theirs.seed)
        np.testing.assert_allclose(ours.training_loss, theirs.training_loss, atol=1e-3)
        for name, look in ours.recording.items():
            np.testing.assert_allclose(theirs.recording[name], look, rtol=0.02, atol=1e-6)


def test_the_command_line_names_the_gpu_and_trains_on_it(python, tmp_path):
    """With the rules in the place of CuPy: all that a person sees is as on a CPU."""
    with_rules = f"import runpy, sys; sys.path[:0] = [{str(ROOT / 'tests')!r}, {str(ROOT / 'scripts')!r}]; "
    with_rules += "import strict; strict.install(); sys.argv.pop(0); runpy.run_path(sys.argv[0], run_name='__main__')"
    options = (
        "--quick",
        "--arms",
        "he_normal,lsuv",
        "--seeds",
        1,
        "--hidden",
        16,
        "--dataset",
        "synthetic",
        "--device",
        "auto",
    )
    done = python("-c", with_rules, ROOT / "scripts" / "compare.py", *options, "--out", tmp_path / "results")
    assert done.returncode == 0, done.stderr
    assert "training on cuda (CuPy's rules on NumPy)" in done.stderr
    assert (
        json.loads((tmp_path / "results" / "results.json").read_text(encoding="utf-8"))["settings"]["device"] == "cuda"
    )
