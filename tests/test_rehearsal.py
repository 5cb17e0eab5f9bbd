"""What does not work is found before training, in one sentence that names it."""

import dataclasses
import itertools
import math
from functools import partial
from typing import Any

import numpy as np
import pytest
from comparing import ARMS, SETTINGS, same

from scratchnet import init
from scratchnet.lab.experiment import CHOOSING, Arm, named, train_stack
from scratchnet.lab.parts import PartError
from scratchnet.lab.rehearsal import rehearse, starts
from scratchnet.layers import LeakyReLU, PReLU, Sigmoid, Tanh
from scratchnet.network import mlp
from scratchnet.normalization import BatchNorm, LayerNorm
from scratchnet.optim import SGD, Adam
from scratchnet.residual import residual_mlp


def test_batchnorm_with_batches_of_one_is_refused_before_training(dataset):
    settings = dataclasses.replace(SETTINGS, normalization=BatchNorm, batch_size=1)
    with pytest.raises(PartError, match="BatchNorm passes no gradient on from a batch of one example: give a larger"):
        rehearse(ARMS[:1], 0, dataset.images[:500], dataset.labels[:500], settings)
    rehearse(ARMS[:1], 0, dataset.images[:500], dataset.labels[:500], dataclasses.replace(settings, batch_size=2))


class StateWithoutAName(BatchNorm):
    """Wrong: a network does not know of its running statistics, and gives them no replica axes."""

    state = {}


def test_a_state_that_is_not_declared_is_found_before_training(dataset):
    settings = dataclasses.replace(SETTINGS, normalization=StateWithoutAName)
    with pytest.raises(PartError, match="it works alone and not in a stack of four"):
        rehearse(ARMS[:1], 0, dataset.images[:500], dataset.labels[:500], settings)


class Forgetful(Tanh):
    """Its parameter is one number; side by side with others it is used with the wrong axes."""

    params = {"a": 1}

    def __init__(self):
        self.a, self.da = np.array([2.0]), np.zeros(1)

    def forward(self, X, train=False):
        return self.a.sum() * super().forward(X)

    def backward(self, dY):
        self.da[...] = (dY * self.Y).sum()
        return self.a.sum() * super().backward(dY)


class NoAxes(Forgetful):
    """Its parameter meets X without room for replica axes."""

    def forward(self, X, train=False):
        self.X = X
        return X * self.a

    def backward(self, dY):
        np.sum(dY * self.X, axis=(-2, -1), keepdims=True, out=self.da[..., None])
        return dY * self.a


class Rebinds(PReLU):
    def backward(self, dY):
        self.da = np.sum(dY * np.minimum(self.X, 0), axis=(-2, -1))
        return dY


class ReturnsNothing(Tanh):
    def backward(self, dY):
        super().backward(dY)


class OneScale(Tanh):
    """Its outputs are divided by their root mean square in training: over all networks of a stack, or over each."""

    axes: tuple[int, ...] | None = None

    def forward(self, X, train=False):
        Y = super().forward(X)
        self.scale = np.sqrt(np.square(Y).mean(axis=self.axes, keepdims=True)) if train else 1
        return Y / self.scale

    def backward(self, dY):
        return super().backward(dY / self.scale)


class OneScaleEach(OneScale):
    axes = (-2, -1)


class OneScaleForAllSeeds(OneScale):
    axes = (-3, -2, -1)

    def forward(self, X, train=False):
        return super().forward(X if X.ndim > 2 else X[None], train)[(...,) if X.ndim > 2 else 0]

    def backward(self, dY):
        return super().backward(dY if dY.ndim > 2 else dY[None])[(...,) if dY.ndim > 2 else 0]


class FirstSlope(PReLU):
    """The first network's slope in all networks."""

    def forward(self, X, train=False):
        self.X = X
        return np.where(X > 0, X, self.a.flat[0] * X)


class Undefined(Tanh):
    """One unit has no derivative."""

    def backward(self, dY):
        dX = super().backward(dY)
        dX[..., 0] = np.nan
        return dX


class OneMean(BatchNorm):
    """Its running mean is one for all networks of a stack."""

    def forward(self, X, train=False):
        Y = super().forward(X, train)
        self.running_mean[...] = self.running_mean.reshape(-1, X.shape[-1]).mean(axis=0)
        return Y


class Noise(Tanh):
    """Random in training, with numbers of its own for each replica."""

    def forward(self, X, train=False):
        Y = super().forward(X)
        return Y + 0.1 * np.random.default_rng().standard_normal(X.shape) if train else Y


class Clipped(SGD):
    """Clips the norm of the gradient: of all networks of a stack together, or of each."""

    axis = None

    def step(self):
        self.grad /= np.maximum(1, np.linalg.norm(self.grad, axis=self.axis, keepdims=self.axis is not None))
        super().step()


class Noisy(SGD):
    """Random numbers of its own for each network of a stack: they would depend on what is trained beside it."""

    def __init__(self, theta, grad, *, learning_rate):
        super().__init__(theta, grad, learning_rate=learning_rate)
        self.rng = np.random.default_rng(0)

    def noise(self):
        return self.rng.standard_normal(self.theta.shape)

    def step(self):
        super().step()
        self.theta += self.noise() * self.learning_rate


class NoisyAlike(Noisy):
    def noise(self):
        return self.rng.standard_normal(self.theta.shape[-1:])


class ClippedEach(Clipped):
    axis = -1


class ClippedRarely(SGD):
    """All networks together, where their gradients are very long."""

    def step(self):
        self.grad /= max(1, np.linalg.norm(self.grad) / 1e4)
        super().step()


class ClippedByArm(Clipped):
    """The seeds of an arm together."""

    def step(self):
        rows = self.grad.reshape(len(self.grad) if self.grad.ndim > 1 else 1, -1)
        rows /= np.maximum(1, np.linalg.norm(rows, axis=-1, keepdims=True))
        SGD.step(self)


class NeedsAVector(SGD):
    def step(self):
        self.theta -= self.learning_rate * self.grad / (self.grad @ self.grad)


class CopiesTheta(SGD):
    def step(self):
        self.theta = self.theta - self.learning_rate * self.grad


def from_the_module(shape, *, rng):
    return np.random.normal(0, 0.1, shape)  # noqa: NPY002


def kept_from_the_last_call():
    kept = [0.0]

    def scheme(shape, *, rng):
        W, kept[0] = init.he_normal(shape, rng=rng) + kept[0], float(rng.random())
        return W

    return scheme


def kept_by_shape():
    """What is drawn first in a process is used for all seeds."""
    kept = {}

    def scheme(shape, *, rng):
        if shape not in kept:
            kept[shape] = init.he_normal(shape, rng=rng)
        return kept[shape]

    return scheme


class StartsAnywhere(PReLU):
    def __init__(self):
        super().__init__(np.random.default_rng().random())


def rebinds_W(network, X, labels, *, rng):
    network.layers[0].W = init.he_normal(network.layers[0].W.shape, rng=rng)


def sets_p(network, X, labels, *, rng):
    network.layers[2].p = np.float32(0.9)


def sets_array(network, X, labels, *, rng):
    network.layers[2].p = np.array(0.9)


def sets_slope(network, X, labels, *, rng):
    network.layers[1].slope = 0.9


class Peculiar(LeakyReLU):
    """It counts layers and its own calls, and has a number that is none."""

    made = itertools.count()

    def __init__(self, slope=0.1, limit=math.nan, number=None, calls=0):
        super().__init__(slope)
        self.limit, self.number, self._calls = limit, next(self.made), calls

    def forward(self, X, train=False):
        self._calls += 1
        return super().forward(X, train)


def replaces_a_layer(network, X, labels, *, rng):
    network.layers[1] = Sigmoid()


def broken(**change):
    return dataclasses.replace(SETTINGS, **change)


@pytest.mark.parametrize(
    ("settings", "arm", "message"),
    [
        (SETTINGS, Arm("a", "mine", preparation=sets_p), "mine does not work: it changes p of Dropout: it may fill"),
        (
            SETTINGS,
            Arm("a", "mine", preparation=sets_array),
            "mine does not work: it changes p of Dropout: it may fill",
        ),
        (broken(activation=LeakyReLU), Arm("a", "a", preparation=sets_slope), "it changes slope of LeakyReLU"),
        (SETTINGS, Arm("a", "mine", preparation=replaces_a_layer), "it changes the layers: it may fill"),
        (broken(activation=Sigmoid), named("looks_linear"), "looks_linear needs the activation ReLU"),
        (SETTINGS, Arm("a", "mine", lambda shape, *, rng: np.zeros(3)), r"the initialization mine .*shape \(3,\)"),
        (SETTINGS, Arm("a", "mine", lambda shape, *, rng: 1 / 0), "ZeroDivisionError: division by zero .*line"),
        (SETTINGS, Arm("a", "mine", lambda shape, *, rng: exit(3)), "mine does not work: SystemExit: 3"),
        (
            broken(activation=Forgetful),
            ARMS[0],
            "Forgetful does not work: its gradients in a stack of four are not those",
        ),
        (broken(activation=NoAxes), ARMS[0], r"works alone and not in a stack of four .*a\[..., None, None\]"),
        (broken(activation=Rebinds), ARMS[0], "backward left the gradient of 1.a as it was: fill it in place"),
        (broken(activation=ReturnsNothing), ARMS[0], "ReturnsNothing.backward returned NoneType: it must return dX"),
        (SETTINGS, Arm("a", "mine", from_the_module), "mine does not work: it starts twice from seed 0 .*from rng"),
        (SETTINGS, Arm("a", "mine", kept_from_the_last_call()), "mine does not work: it starts twice from seed 0"),
        (SETTINGS, Arm("a", "mine", kept_by_shape()), "it starts twice from seed 0 .*keep nothing from one call"),
        (broken(activation=StartsAnywhere), ARMS[0], "StartsAnywhere does not work: built twice, it has other"),
        (broken(activation=OneScale), ARMS[0], "its gradients in a stack of four are not those that it has alone"),
        (broken(activation=OneScaleForAllSeeds), ARMS[0], "gradients in a stack of four are not those that it has"),
        (broken(normalization=OneMean), ARMS[0], "its gradients in a stack of four are not those that it has alone"),
        (broken(optimizer=Clipped), ARMS[0], "optimizer .*Clipped does not work: it steps four networks .* otherwise"),
        (broken(optimizer=ClippedRarely), ARMS[0], "it steps four networks in a stack otherwise than each of them"),
        (broken(activation=FirstSlope), ARMS[0], "its gradients in a stack of four are not those that it has alone"),
        (broken(optimizer=ClippedByArm), ARMS[0], "it steps four networks in a stack otherwise than each of them"),
        (broken(optimizer=Noisy), ARMS[0], "it steps four .* draw random numbers of shape theta.shape.-1:."),
        (broken(optimizer=NeedsAVector), ARMS[0], "it works alone and not in a stack of four .*over the last axis"),
        (broken(optimizer=CopiesTheta), ARMS[0], "three steps left theta as it was: change it in place"),
        (SETTINGS, Arm("a", "mine", preparation=rebinds_W), "the initialization mine .* 0.W is a new array: fill it"),
        (broken(activation=np.tanh), ARMS[0], "the activation tanh does not work: TypeError"),
        (broken(build=lambda *a, **k: "net"), ARMS[0], "expected a Network, got str"),
        (broken(build=lambda *a, **k: mlp([784, 5])), ARMS[0], r"expected logits of shape \(8, 10\), got \(8, 5\)"),
        (broken(build=lambda s, **k: mlp(s, dtype=np.float64)), ARMS[0], "expected parameters of float32"),
        (broken(optimizer=lambda theta, grad, learning_rate: 3), ARMS[0], "the optimizer .* does not work: Attribute"),
    ],
    ids=[
        "sets p",
        "sets an array for p",
        "sets slope",
        "replaces a layer",
        "unfit",
        "shape",
        "raises",
        "exits",
        "no replicas",
        "no axes",
        "rebinds dA",
        "no dX",
        "module's numbers",
        "keeps a number",
        "keeps weights",
        "starts anywhere",
        "mixes all",
        "mixes seeds",
        "mixes states",
        "clips all",
        "clips rarely",
        "one slope",
        "clips arms",
        "draws for each",
        "needs a vector",
        "rebinds theta",
        "rebinds W",
        "no layer",
        "no network",
        "classes",
        "dtype",
        "no step",
    ],
)
def test_a_part_that_does_not_work_is_found_before_training_in_one_sentence(dataset, settings, arm, message):
    with pytest.raises(PartError, match=message) as error:
        rehearse([arm], 0, dataset.images, dataset.labels, settings)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "change",
    [
        {"optimizer": SGD},
        {"optimizer": partial(SGD, momentum=0.9), "dtype": "float64"},
        {"optimizer": Adam, "sizes": (784, 128, 10)},
        {"optimizer": ClippedEach},
        {"optimizer": NoisyAlike},
        {"activation": OneScaleEach},
        {"activation": Undefined, "sizes": (784, 16, 10)},
        {"activation": Noise, "normalization": BatchNorm},
        {"activation": PReLU, "normalization": LayerNorm},
        {"build": partial(residual_mlp, branch=1, alpha=0.0, shifts=True), "sizes": (784, *[16] * 40, 10)},
        {"normalization": BatchNorm, "sizes": (784, *[8] * 60, 10)},
    ],
    ids=[
        "SGD",
        "momentum",
        "Adam",
        "clips each",
        "draws alike",
        "scales each",
        "undefined",
        "noise",
        "PReLU",
        "residual",
        "deep BatchNorm",
    ],
)
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_part_that_keeps_networks_apart_passes(dataset, change, seed):
    rehearse(ARMS[:1], seed, dataset.images[:500], dataset.labels[:500], broken(**change))


def test_a_scheme_that_remembers_another_seed_is_refused(dataset):
    """Its largest weight so far: that of seed 2,000,001 is larger than that of seed 1."""
    seen = [0.0]

    def scheme(shape, *, rng):
        W = init.he_normal(shape, rng=rng)
        if shape[0] == 784:
            seen[0] = max(seen[0], W.max())
        return W / max(seen)

    with pytest.raises(PartError, match="mine does not work: it starts twice from seed 1"):
        rehearse([Arm("a", "mine", scheme)], 1, dataset.images, dataset.labels, SETTINGS)


def test_where_rates_are_chosen_the_starts_are_those_of_the_seeds_that_train_then(dataset):
    choosing, arms = broken(choosing=True), [named("he_normal")]
    found = starts(arms, 1, dataset.images, dataset.labels, choosing)
    assert found == starts(arms, CHOOSING + 1, dataset.images, dataset.labels, SETTINGS)
    assert found != starts(arms, 1, dataset.images, dataset.labels, SETTINGS)


@dataclasses.dataclass(slots=True)
class WithoutADict:
    """A layer that is no subclass of Layer, whose number a preparation leaves as it is."""

    slope: float = 0.1
    X: Any = None

    def forward(self, X, train=False):
        self.X = X
        return np.where(X > 0, X, self.slope * X)

    def backward(self, dY):
        return np.where(self.X > 0, dY, self.slope * dY)


def clips(network, X, labels, *, rng):
    network.layers[1].slope = np.clip(network.layers[1].slope, 0, 1)


@pytest.mark.parametrize("activation", [WithoutADict, LeakyReLU])
def test_a_preparation_may_set_a_number_to_what_it_is(dataset, activation):
    arm = Arm("a", "mine", preparation=clips)
    rehearse([arm], 0, dataset.images[:500], dataset.labels[:500], broken(activation=activation))


def with_a_drawn_slope(sizes, *, activation, dropout, rng, dtype):
    slope = rng.random()
    return mlp(sizes, activation=lambda: Peculiar(slope), dropout=dropout, rng=rng, dtype=dtype)


@pytest.mark.parametrize("choosing", [False, True])
def test_what_layers_draw_and_count_by_themselves_is_no_change_by_a_preparation(dataset, choosing):
    arm, settings = named("lsuv"), broken(build=with_a_drawn_slope, choosing=choosing)
    rehearse([arm], 0, dataset.images[:500], dataset.labels[:500], settings)


def test_a_network_that_overflows_passes(dataset):
    """What diverges is a result."""
    rehearse(ARMS[:1], 0, dataset.images[:500] * 1e38, dataset.labels[:500], SETTINGS)


def test_a_rehearsal_changes_no_number(dataset):
    """It draws from streams of its own."""
    images, labels = dataset.images[:500], dataset.labels[:500]
    [before] = train_stack(ARMS[:1], [0], images, labels, SETTINGS)
    rehearse(ARMS, 0, images, labels, SETTINGS)
    assert same(before, train_stack(ARMS[:1], [0], images, labels, SETTINGS)[0])
