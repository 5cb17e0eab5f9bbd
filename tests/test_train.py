"""Training: the same path as PyTorch's, step by step, and what fit and evaluate promise."""

import math

import numpy as np
import pytest
import torch

from scratchnet import init
from scratchnet.layers import Dropout, Linear
from scratchnet.network import mlp
from scratchnet.optim import SGD, Adam
from scratchnet.train import batches, evaluate, fit

SIZES = (784, 256, 128, 10)


def lessons_network(dtype, seed=0, **kwargs):
    network = mlp(SIZES, dropout=0.2, rng=np.random.default_rng(seed), dtype=dtype, **kwargs)
    return network.apply(init.linear(init.rule_uniform, rng=np.random.default_rng(seed)))


class Recorded(Dropout):
    """Keeps the masks that it draws, for PyTorch to use the same ones."""

    def __init__(self, p, *, rng, kept):
        super().__init__(p, rng=rng)
        self.kept = kept

    def draw_mask(self, shape, dtype):
        self.kept.append(super().draw_mask(shape, dtype))
        return self.kept[-1]


OPTIMIZERS = {
    "Adam": (lambda t, g: Adam(t, g), lambda p: torch.optim.Adam(p, lr=0.001)),
    "SGD with momentum": (
        lambda t, g: SGD(t, g, learning_rate=0.05, momentum=0.9),
        lambda p: torch.optim.SGD(p, lr=0.05, momentum=0.9),
    ),
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_300_steps_on_images_follow_pytorchs_path(dataset, name):
    """Same weights, batches and masks, in float64: all losses and all parameters agree to 1e-8."""
    images, labels, masks = dataset.images.astype(np.float64), dataset.labels, []
    network = lessons_network(np.float64)
    network.layers = [Recorded(y.p, rng=y.rng, kept=masks) if isinstance(y, Dropout) else y for y in network.layers]
    linears = [layer for layer in network.layers if isinstance(layer, Linear)]
    theirs = [torch.nn.Linear(*layer.W.shape, dtype=torch.float64) for layer in linears]
    for layer, module in zip(linears, theirs, strict=True):
        module.weight.data, module.bias.data = torch.tensor(layer.W.T.copy()), torch.tensor(layer.b)

    make_ours, make_theirs = OPTIMIZERS[name]
    optimizer = make_ours(network.theta, network.grad)
    losses = fit(network, optimizer, images, labels, epochs=5, batch_size=100, rng=np.random.default_rng(1))
    assert len(losses) == 300

    order, drawn = np.random.default_rng(1), iter(masks)
    optimizer = make_theirs([p for module in theirs for p in module.parameters()])
    expected = []
    for _ in range(5):
        for batch in batches(np.arange(len(images)), 100, rng=order):
            X = torch.tensor(images[batch])
            for module in theirs[:-1]:
                X = torch.relu(module(X)) * torch.tensor(next(drawn))
            loss = torch.nn.functional.cross_entropy(theirs[-1](X), torch.tensor(labels[batch].astype(int)))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            expected.append(loss.item())

    np.testing.assert_allclose(losses, expected, rtol=0, atol=1e-8)
    for layer, module in zip(linears, theirs, strict=True):
        np.testing.assert_allclose(layer.W, module.weight.detach().numpy().T, rtol=0, atol=1e-8)
        np.testing.assert_allclose(layer.b, module.bias.detach().numpy(), rtol=0, atol=1e-8)


def test_a_network_learns(dataset):
    network = lessons_network(np.float32)
    images, labels = dataset.images, dataset.labels
    before = evaluate(network, images, labels)
    losses = fit(
        network,
        Adam(network.theta, network.grad),
        images,
        labels,
        epochs=2,
        batch_size=100,
        rng=np.random.default_rng(0),
    )
    after = evaluate(network, images, labels)
    assert abs(before.loss - math.log(10)) < 0.1
    assert after.accuracy > 0.65 > 0.3 > before.accuracy
    assert losses[-10:].mean() < losses[:10].mean() / 2


def test_a_stack_trains_as_the_separate_networks_do(dataset):
    """Same batches, same masks: every loss and every parameter is the same, bit for bit."""
    images, labels = dataset.images[:1050], dataset.labels[:1050]
    alone = [lessons_network(np.float32, seed) for seed in range(3)]
    stack = mlp(SIZES, dropout=0.2, rng=np.random.default_rng(9), replicas=(3,))
    for r, network in enumerate(alone):
        stack.theta[r] = network.theta

    def train(network):
        network.apply(lambda y: setattr(y, "rng", masks) if isinstance(y, Dropout) else None)
        adam = Adam(network.theta, network.grad)
        return fit(network, adam, images, labels, epochs=2, batch_size=100, rng=np.random.default_rng(4))

    masks = np.random.default_rng(9)
    together = train(stack)
    for r, network in enumerate(alone):
        masks = np.random.default_rng(9)
        assert np.array_equal(train(network), together[:, r])
        assert np.array_equal(network.theta, stack.theta[r])
        assert evaluate(network, images, labels).loss == evaluate(stack, images, labels).loss[r]


def test_the_short_last_batch_counts(dataset):
    network = lessons_network(np.float32)
    adam = Adam(network.theta, network.grad)
    calls = []
    losses = fit(
        network,
        adam,
        dataset.images[:250],
        dataset.labels[:250],
        epochs=3,
        batch_size=100,
        rng=np.random.default_rng(0),
        on_step=lambda: calls.append(1),
    )
    assert losses.shape == (9,)
    assert len(calls) == 9


def test_only_the_chosen_rows_are_trained_on(dataset):
    """Rows outside `indices` may hold anything."""
    images, labels = dataset.images[:300].copy(), dataset.labels[:300]
    results = []
    for spoil in (False, True):
        if spoil:
            images[200:] = np.nan
        network = lessons_network(np.float32)
        adam = Adam(network.theta, network.grad)
        rng = np.random.default_rng(0)
        results.append(fit(network, adam, images, labels, epochs=1, batch_size=100, rng=rng, indices=np.arange(200)))
    assert np.array_equal(*results)


def test_evaluate_counts_every_example_once(dataset):
    """Batches of any size give the same loss and accuracy, also where the last one is short."""
    network = lessons_network(np.float32)
    images, labels = dataset.images[:1050], dataset.labels[:1050]
    whole = evaluate(network, images, labels, batch_size=1050)
    parts = evaluate(network, images, labels, batch_size=100)
    predicted = network.forward(images).argmax(axis=-1)
    assert whole.accuracy == parts.accuracy == (predicted == labels).mean()
    assert math.isclose(whole.loss, parts.loss, rel_tol=1e-5)


def test_a_run_that_overflows_goes_on_and_says_so_in_its_losses(dataset):
    network = lessons_network(np.float32)
    network.theta *= 1e30
    adam = Adam(network.theta, network.grad)
    rng = np.random.default_rng(0)
    losses = fit(network, adam, dataset.images[:200], dataset.labels[:200], epochs=1, batch_size=100, rng=rng)
    assert not np.isfinite(losses).all()


def test_labels_beyond_the_classes_are_refused_before_training(dataset):
    network = mlp([784, 5])
    with pytest.raises(ValueError, match="labels must lie in 0 … 4"):
        fit(
            network,
            Adam(network.theta, network.grad),
            dataset.images,
            dataset.labels,
            epochs=1,
            batch_size=100,
            rng=np.random.default_rng(0),
        )
    with pytest.raises(ValueError, match="labels must lie in 0 … 4"):
        evaluate(network, dataset.images, dataset.labels)
