"""Training: the same path as PyTorch's, step by step, and what fit and evaluate promise."""

import math
import re

import numpy as np
import pytest
from oracle import torch

from scratchnet import init
from scratchnet.lab import parts
from scratchnet.layers import Dropout, Linear, Tanh, parameters
from scratchnet.network import Network, mlp
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


# Those of the command line. The learning rates are small enough for a deep network with SELU, too: with SGD at 0.02 its
# training is unstable, and 3 epochs blow up a difference of 1e-16 in the weights to 1e-8 in the losses, here as there.
OPTIMIZERS = {
    "adam": (0.002, lambda p: torch.optim.Adam(p, lr=0.002)),
    "sgd": (0.005, lambda p: torch.optim.SGD(p, lr=0.005)),
    "momentum": (0.005, lambda p: torch.optim.SGD(p, lr=0.005, momentum=0.9)),
}
ACTIVATIONS = {
    "identity": torch.nn.Identity,
    "relu": torch.nn.ReLU,
    "leaky_relu": lambda: torch.nn.LeakyReLU(0.01),
    "prelu": lambda: torch.nn.PReLU(dtype=torch.float64),
    "tanh": torch.nn.Tanh,
    "sigmoid": torch.nn.Sigmoid,
    "elu": torch.nn.ELU,
    "selu": torch.nn.SELU,
    "gelu": torch.nn.GELU,
    "silu": torch.nn.SiLU,
}


def test_every_activation_and_optimizer_of_the_command_line_has_its_counterpart_here():
    assert ACTIVATIONS.keys() == parts.ACTIVATIONS.keys()
    assert OPTIMIZERS.keys() == parts.OPTIMIZERS.keys()


def same_path(dataset, sizes, activation, optimizer, *, dropout, epochs, batch_size):
    """Train a stack of two here and the two one by one in PyTorch, in float64: all losses and parameters agree.

    Same weights, batches and masks. The bound allows for another order of sums: in these runs a difference of 1e-14 in
    the weights becomes one of 1e-12 in the losses at most.
    """
    images, labels, masks = dataset.images.astype(np.float64), dataset.labels, []
    rng = np.random.default_rng(0)
    network = mlp(
        sizes, activation=parts.ACTIVATIONS[activation], dropout=dropout, rng=rng, dtype=np.float64, replicas=(2,)
    ).apply(init.linear(init.glorot_normal, rng=rng, bias=init.torch_linear_bias))
    network.layers = [Recorded(y.p, rng=y.rng, kept=masks) if isinstance(y, Dropout) else y for y in network.layers]
    start = {name: A.copy() for name, A, _ in parameters(network)}
    learning_rate, make_theirs = OPTIMIZERS[optimizer]
    ours = parts.OPTIMIZERS[optimizer](network.theta, network.grad, learning_rate=learning_rate)
    losses = fit(network, ours, images, labels, epochs=epochs, batch_size=batch_size, rng=np.random.default_rng(1))

    for r in range(2):
        modules, drops = [], []
        for i, layer in enumerate(network.layers):
            if isinstance(layer, Linear):
                W, b = start[f"{i}.W"][r], start[f"{i}.b"][r]
                module = torch.nn.Linear(*W.shape, dtype=torch.float64)
                module.weight.data, module.bias.data = torch.tensor(W.T.copy()), torch.tensor(b)
                modules.append(module)
            elif isinstance(layer, Dropout):
                drops.append(len(modules))
            else:
                modules.append(ACTIVATIONS[activation]())
        theirs, order, drawn = torch.nn.ModuleList(modules), np.random.default_rng(1), iter(masks)
        optimizer_theirs = make_theirs(theirs.parameters())
        expected = []
        for _ in range(epochs):
            for batch in batches(np.arange(len(images)), batch_size, rng=order):
                X = torch.tensor(images[batch])
                for i, module in enumerate(modules, start=1):
                    X = module(X) * torch.tensor(next(drawn)) if i in drops else module(X)
                loss = torch.nn.functional.cross_entropy(X, torch.tensor(labels[batch].astype(int)))
                optimizer_theirs.zero_grad()
                loss.backward()
                optimizer_theirs.step()
                expected.append(loss.item())
        np.testing.assert_allclose(losses[:, r], expected, rtol=0, atol=1e-10)
        parameters_theirs = [p.detach().numpy() for p in theirs.parameters()]
        for (_, A, _), p in zip(parameters(network), parameters_theirs, strict=True):
            np.testing.assert_allclose(A[r].reshape(-1), p.T.reshape(-1), rtol=0, atol=1e-10)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
def test_300_steps_on_images_follow_pytorchs_path(dataset, optimizer):
    """The lesson's network, with dropout."""
    same_path(dataset.first(1200), SIZES, "relu", optimizer, dropout=0.2, epochs=5, batch_size=20)


@pytest.mark.parametrize("optimizer", OPTIMIZERS)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_a_deep_narrow_network_follows_pytorchs_path(dataset, activation, optimizer):
    few = dataset.first(1000)
    same_path(few, (784, *[12] * 8, 10), activation, optimizer, dropout=0.1, epochs=3, batch_size=100)


def test_frozen_parameters_stay_and_the_others_learn_as_without_them(dataset):
    """The gradient of a frozen parameter is 0 before each step, for any optimizer."""
    frozen = np.random.default_rng(3).random(784 * 10 + 10) < 0.5
    for optimizer in parts.OPTIMIZERS.values():
        network = mlp([784, 10], replicas=(2,)).apply(init.linear(init.he_normal, rng=np.random.default_rng(0)))
        before = network.theta.copy()
        largest = []
        fit(
            network,
            optimizer(network.theta, network.grad, learning_rate=0.01),
            dataset.images[:300],
            dataset.labels[:300],
            epochs=1,
            batch_size=100,
            rng=np.random.default_rng(0),
            frozen=frozen,
            on_step=lambda network=network, largest=largest: largest.append(abs(network.grad[:, frozen]).max()),
        )
        assert largest == [0, 0, 0]
        assert np.array_equal(network.theta[:, frozen], before[:, frozen])
        assert (network.theta[:, -10:] != before[:, -10:])[:, ~frozen[-10:]].all()


def test_a_network_whose_last_layer_has_no_weights_is_trained(dataset):
    """The number of classes is that of the logits, whatever the last layer is."""
    network = Network([*mlp([784, 10]).layers, Tanh()])
    adam, rng = Adam(network.theta, network.grad), np.random.default_rng(0)
    fit(network, adam, dataset.images[:200], dataset.labels[:200], epochs=1, batch_size=100, rng=rng)
    with pytest.raises(ValueError, match="labels must lie in 0 … 9"):
        evaluate(network, dataset.images[:20], dataset.labels[:20] + 10)


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
        one, all_of_them = evaluate(network, images, labels), evaluate(stack, images, labels)
        assert (one.loss, one.accuracy) == (all_of_them.loss[r], all_of_them.accuracy[r])


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


def test_evaluate_of_some_rows_is_that_of_these_images_alone(dataset):
    network = lessons_network(np.float32)
    rows = np.array([3, 50, 51, 400])
    some = evaluate(network, dataset.images, dataset.labels, indices=rows)
    alone = evaluate(network, dataset.images[rows], dataset.labels[rows])
    np.testing.assert_allclose(some, alone, rtol=1e-6)


def test_every_label_is_checked_once_and_not_only_those_of_the_chosen_rows(dataset):
    """On a GPU the loss looks at no label: a class that does not exist would be trained without a word."""
    network, labels = lessons_network(np.float32), dataset.labels.copy()
    labels[-1] = 10
    with pytest.raises(ValueError, match="labels must lie in 0 … 9"):
        evaluate(network, dataset.images, labels, indices=np.arange(5))


def test_no_step_asks_for_the_gradient_of_the_images(dataset):
    class First(Linear):
        def backward(self, dY, need_dX=True):
            asked.append(need_dX)
            return super().backward(dY, need_dX)

    asked = []
    network = Network([First(np.zeros((784, 10)), np.zeros(10))])
    adam, rng = Adam(network.theta, network.grad), np.random.default_rng(0)
    fit(network, adam, dataset.images[:20], dataset.labels[:20], epochs=1, batch_size=10, rng=rng)
    assert asked == [False, False]


def test_on_step_is_called_after_the_step(dataset):
    network, seen = lessons_network(np.float32), []
    adam = Adam(network.theta, network.grad)
    images, labels, rng = dataset.images[:300], dataset.labels[:300], np.random.default_rng(0)
    fit(
        *(network, adam, images, labels),
        epochs=1,
        batch_size=100,
        rng=rng,
        on_step=lambda: seen.append((adam.t, network.theta.copy())),
    )
    assert [t for t, _ in seen] == [1, 2, 3]
    assert np.array_equal(seen[-1][1], network.theta)


def test_evaluate_sees_the_first_example(dataset):
    """One example whose logits are certain and wrong: the accuracy is (n − 1)/n, and the loss says which it was."""
    network = mlp([784, 10])
    network.layers[0].b[...] = np.arange(10) == 3
    images, labels = np.zeros((5, 784), np.float32), np.array([7, 3, 3, 3, 3], np.uint8)
    assert math.isclose(evaluate(network, images, labels, batch_size=2).accuracy, 4 / 5)
    losses = [evaluate(network, images[i : i + 1], labels[i : i + 1]).loss for i in range(5)]
    assert math.isclose(evaluate(network, images, labels, batch_size=2).loss, np.mean(losses), rel_tol=1e-6)


@pytest.mark.parametrize("epochs", [0, 1])
def test_no_epoch_trains_nothing_and_a_negative_number_is_refused(dataset, epochs):
    network = lessons_network(np.float32)
    before, adam = network.theta.copy(), Adam(network.theta, network.grad)
    images, labels = dataset.images[:100], dataset.labels[:100]
    rng = np.random.default_rng(0)
    losses = fit(network, adam, images, labels, epochs=epochs, batch_size=100, rng=rng)
    assert len(losses) == epochs
    assert np.array_equal(before, network.theta) == (epochs == 0)
    with pytest.raises(ValueError, match="expected a number of epochs ≥ 0, got -1"):
        fit(network, adam, images, labels, epochs=-1, batch_size=100, rng=rng)


def test_a_run_that_overflows_goes_on_and_says_so_in_its_losses(dataset):
    network = lessons_network(np.float32)
    network.theta[...] *= 1e30
    assert not np.isfinite(evaluate(network, dataset.images[:200], dataset.labels[:200]).loss)
    adam = Adam(network.theta, network.grad)
    rng = np.random.default_rng(0)
    losses = fit(network, adam, dataset.images[:200], dataset.labels[:200], epochs=1, batch_size=100, rng=rng)
    assert not np.isfinite(losses).all()


def small_fit(network, optimizer, dataset):
    rng = np.random.default_rng(0)
    return fit(network, optimizer, dataset.images[:20], dataset.labels[:20], epochs=1, batch_size=10, rng=rng)


@pytest.mark.parametrize("name", ["W", "b"])
def test_a_parameter_that_was_replaced_instead_of_filled_is_refused(dataset, name):
    """The optimizer changes theta, of which the new array is no part: it would stay as it is."""
    network = mlp([784, 5, 10])
    adam = Adam(network.theta, network.grad)
    setattr(network.layers[2], name, getattr(mlp([784, 5, 10]).layers[2], name))
    with pytest.raises(ValueError, match=rf"^2\.{name} or its gradient is a new array, .*: fill the old one in place"):
        small_fit(network, adam, dataset)


def test_a_gradient_that_was_replaced_is_refused(dataset):
    network = mlp([784, 5, 10])
    adam = Adam(network.theta, network.grad)
    network.layers[0].dW = mlp([784, 5, 10]).layers[0].dW
    with pytest.raises(ValueError, match=r"^0\.W or its gradient is a new array"):
        small_fit(network, adam, dataset)


@pytest.mark.parametrize("optimizer", [Adam, SGD])
def test_an_optimizer_of_another_network_is_refused(dataset, optimizer):
    """As in a notebook, where the cell that makes the network was run again, and the next one was not."""
    network = mlp([784, 10])
    stale = optimizer(network.theta, network.grad, learning_rate=0.1)
    with pytest.raises(ValueError, match="the optimizer was made for another network, or before this one's parameters"):
        small_fit(mlp([784, 10]), stale, dataset)
    with pytest.raises(ValueError, match="the optimizer was made for another network"):
        small_fit(network, optimizer(network.theta, mlp([784, 10]).grad, learning_rate=0.1), dataset)
    with pytest.raises(ValueError, match="the optimizer was made for another network"):
        small_fit(network, optimizer(mlp([784, 10]).theta, network.grad, learning_rate=0.1), dataset)
    network.replicate((2,))
    with pytest.raises(ValueError, match="make it with this network's theta and grad"):
        small_fit(network, stale, dataset)


def test_an_optimizer_that_does_not_say_what_it_changes_may_train(dataset):
    class Own:
        def __init__(self, theta, grad):
            self.pair = theta, grad

        def step(self):
            theta, grad = self.pair
            theta -= 0.1 * grad

    network = mlp([784, 10])
    assert len(small_fit(network, Own(network.theta, network.grad), dataset)) == 2


@pytest.mark.parametrize("name", ["images", "labels"])
def test_lists_in_the_place_of_arrays_are_refused_in_one_sentence(dataset, name):
    given = {"images": dataset.images[:5], "labels": dataset.labels[:5]}
    given[name] = given[name].tolist()
    with pytest.raises(ValueError, match=rf"^{name}: expected an array, got list: np\.asarray makes one of it$"):
        evaluate(mlp([784, 10]), **given)


@pytest.mark.host("masked arrays are NumPy's alone")
@pytest.mark.parametrize("name", ["images", "labels"])
def test_masked_arrays_are_refused_since_what_is_masked_would_be_used(dataset, name):
    given = {"images": dataset.images[:5], "labels": dataset.labels[:5]}
    given[name] = np.ma.masked_equal(given[name], 0)
    with pytest.raises(ValueError, match=rf"^{name}: expected an array, got a masked one: what is masked would be"):
        evaluate(mlp([784, 10]), **given)


@pytest.mark.parametrize("dtype", [np.complex64, object])
def test_images_are_real_numbers(dataset, dtype):
    with pytest.raises(ValueError, match=rf"^images: expected rows of real numbers, got {np.dtype(dtype).name} of"):
        evaluate(mlp([784, 10]), dataset.images[:5].astype(dtype), dataset.labels[:5])
    with pytest.raises(ValueError, match=r"^images: expected rows of real numbers, got float32 of shape \(5, 1, 784\)"):
        evaluate(mlp([784, 10]), dataset.images[:5, None], dataset.labels[:5])
    for real in (np.float64, np.int32, np.uint8, bool):
        evaluate(mlp([784, 10]), (255 * dataset.images[:5]).astype(real), dataset.labels[:5])


def test_a_mask_is_refused_where_row_numbers_are_expected(dataset):
    """It would be shuffled as it is, and its length be the number of examples."""
    network, images, labels = mlp([784, 10]), dataset.images[:20], dataset.labels[:20]
    mask = np.arange(20) < 5
    with pytest.raises(
        ValueError, match=r"indices: expected row numbers, got bool: np\.flatnonzero makes them of a mask"
    ):
        evaluate(network, images, labels, indices=mask)
    sgd = SGD(network.theta, network.grad, learning_rate=0.1)
    with pytest.raises(ValueError, match="indices: expected row numbers, got bool"):
        fit(network, sgd, images, labels, epochs=1, batch_size=20, rng=np.random.default_rng(0), indices=mask)
    found = evaluate(network, images, labels, indices=[0, 1, 2, 3, 4])
    assert found == evaluate(network, images, labels, indices=np.flatnonzero(mask))


@pytest.mark.parametrize("optimizer", [parts.OPTIMIZERS["adam"], parts.OPTIMIZERS["momentum"]])
def test_frozen_parameters_stay_although_the_optimizer_remembers_earlier_gradients(dataset, optimizer):
    network = mlp([784, 10]).apply(init.linear(init.he_normal, rng=np.random.default_rng(0)))
    used = optimizer(network.theta, network.grad, learning_rate=0.01)
    small_fit(network, used, dataset)
    before, frozen = network.theta.copy(), np.arange(network.theta.size) % 2 == 0
    images, labels = dataset.images[:20], dataset.labels[:20]
    fit(network, used, images, labels, epochs=1, batch_size=10, rng=np.random.default_rng(1), frozen=frozen)
    moved = np.asarray(network.theta != before)
    assert not moved[frozen].any()
    assert moved[~frozen].mean() > 0.5


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


@pytest.mark.parametrize("shape", [(5,), (11,), (2, 10), (10, 1)])
@pytest.mark.parametrize("how", ["fit", "evaluate"])
def test_fewer_or_more_labels_than_images_are_refused(rng, how, shape):
    network = mlp([4, 3])
    X, labels = rng.random((10, 4), dtype=np.float32), np.zeros(shape, int)
    message = f"a label for each of 10 images, got labels of shape {shape}"
    with pytest.raises(ValueError, match=re.escape(message)):
        if how == "fit":
            fit(network, Adam(network.theta, network.grad), X, labels, epochs=1, batch_size=2, rng=rng)
        else:
            evaluate(network, X, labels)


@pytest.mark.parametrize(("indices", "batch_size"), [([], 10), ([1], 0), ([1], -1)])
def test_an_evaluation_needs_examples(rng, indices, batch_size):
    X, labels = rng.random((10, 4), dtype=np.float32), np.zeros(10, int)
    with pytest.raises(ValueError, match=f"got {len(indices)} in batches of {batch_size}"):
        evaluate(mlp([4, 3]), X, labels, indices=np.array(indices, int), batch_size=batch_size)


def test_a_batch_may_be_one_example(dataset):
    images, labels = dataset.images[:3], dataset.labels[:3]
    network = lessons_network(np.float32)
    alone, together = (evaluate(network, images, labels, batch_size=size) for size in (1, 3))
    np.testing.assert_allclose(alone, together, rtol=1e-5)
    adam, rng = Adam(network.theta, network.grad), np.random.default_rng(0)
    assert fit(network, adam, images, labels, epochs=2, batch_size=1, rng=rng).shape == (6,)


@pytest.mark.parametrize("epochs", [0, 1])
def test_losses_are_float64_with_a_column_for_each_replica(dataset, epochs):
    network = mlp([784, 10], replicas=(2, 3))
    adam, rng = Adam(network.theta, network.grad), np.random.default_rng(0)
    images, labels = dataset.images[:20], dataset.labels[:20]
    losses = fit(network, adam, images, labels, epochs=epochs, batch_size=10, rng=rng)
    assert losses.shape == (2 * epochs, 2, 3)
    assert losses.dtype == np.float64
    assert all(np.asarray(value).dtype == np.float64 for value in evaluate(network, images, labels))


def test_each_row_of_a_stacks_order_needs_a_generator_of_its_own():
    with pytest.raises(ValueError, match="argument 2 is longer"):
        next(batches(np.arange(12).reshape(3, 4), 2, rng=[np.random.default_rng(s) for s in (0, 1)]))
