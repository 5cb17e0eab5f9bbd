"""A comparison changes one thing: same split, same batches, same dropout masks, other initial weights."""

from __future__ import annotations

import inspect
import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.backend import Array, like, to_host
from scratchnet.data import split
from scratchnet.lab import parts
from scratchnet.lab.checks import check_settings
from scratchnet.lab.recording import Recording
from scratchnet.layers import Layer, ReLU, parameters, states, walk
from scratchnet.network import Network, mlp
from scratchnet.normalization import BatchNorm, LayerNorm
from scratchnet.optim import Adam, Optimizer
from scratchnet.train import EVALUATION_BATCH, evaluate, fit

# What random numbers are for. A stream depends on the seed and on its purpose alone, never on who ran first.
PURPOSES = ("split", "weights", "order", "dropout", "seen")

# Images that a preparation looks at.
SEEN = 2000

# Where learning rates are chosen for seed s, the streams are those of seed CHOOSING + s: nothing is chosen for the very
# weights, batches and masks that are reported.
CHOOSING = 1_000_000


@dataclass(frozen=True)
class Arm:
    """One way to initialize the network.

    `scheme(shape, rng=...) -> W` fills the weights of every Linear layer and `bias(shape, fan_in=..., rng=...)` the
    biases (None: 0). A scheme with a parameter `phi` is given the network's activation. Or
    `preparation(network, X, labels, rng=...)` fills the whole network, looking at SEEN training images of the seed. An
    activation's own parameters start as the activation has them. `learning_rate` is the arm's own, where it has one: a
    number, or one for each seed.
    """

    key: str
    label: str
    scheme: init.Scheme = init.zeros
    bias: init.Scheme | None = None
    preparation: init.Preparation | None = None
    learning_rate: float | Mapping[int, float] | None = field(default=None, hash=False)  # None: that of the settings

    def rate(self, seed: int, settings: Settings) -> float:
        """The learning rate with which it is trained with `seed`."""
        if self.learning_rate is None:
            return settings.learning_rate
        return self.learning_rate[seed] if isinstance(self.learning_rate, Mapping) else self.learning_rate


INITIALIZATIONS = {**init.SCHEMES, **init.PREPARATIONS}
ALIASES = {alias: INITIALIZATIONS[name] for alias, name in init.ALIASES.items()}


def named(text: str) -> Arm:
    """The arm that `text` names: a scheme or a preparation of `init`, or FILE.py:NAME, perhaps with arguments.

    A function in a file is a preparation if its first parameter is called `network`, and otherwise a scheme. Raises
    PartError, with near names, where there is none.
    """
    part = parts.find(text, INITIALIZATIONS | ALIASES, "initialization")
    function = parts.target(part)
    label = parts.describe(part)
    key = text if ".py:" in text else label
    if next(iter(inspect.signature(function).parameters), None) == "network":
        return Arm(key, label, preparation=part)
    bias = next((init.BIASES[name] for name in init.BIASES if init.SCHEMES[name] is function), None)
    if bias is not None and isinstance(part, partial):
        bias = partial(bias, **{k: v for k, v in part.keywords.items() if k in inspect.signature(bias).parameters})
    return Arm(key, label, part, bias)


@dataclass(frozen=True)
class Settings:
    """What all arms have in common; the defaults are the lesson's.

    `build(sizes, activation=..., dropout=..., rng=..., dtype=...)` makes the network, and `rng` draws its masks;
    `activation()` makes one activation layer; `optimizer(theta, grad, learning_rate=...)` makes the optimizer.
    `normalization(gamma, beta)`, if it is not None, makes a layer before each activation, and is given to `build` too.
    With `choosing`, a seed's validation images are left out, and its other images are split once more: see `rows`.
    Raises ValueError for numbers that nothing can be trained with.
    """

    sizes: tuple[int, ...] = (784, 256, 128, 10)
    build: Callable[..., Network] = mlp
    activation: Callable[[], Layer] = ReLU
    normalization: Callable[[Array, Array], Layer] | None = None
    dropout: float = 0.2
    optimizer: Callable[..., Optimizer] = Adam
    learning_rate: float = 0.001
    batch_size: int = 100
    epochs: int = 2
    validation: float = 0.2
    dtype: str = "float32"
    device: str = "cpu"
    choosing: bool = False

    def __post_init__(self) -> None:
        check_settings(self)

    def network(self, masks: np.random.Generator | Sequence[np.random.Generator]) -> Network:
        """A network as `build` makes it, not yet initialized, whose dropout masks are drawn by `masks`."""
        optional = {} if self.normalization is None else {"normalization": self.normalization}
        return self.build(
            self.sizes,
            activation=self.activation,
            dropout=self.dropout,
            rng=masks,
            dtype=np.dtype(self.dtype),
            **optional,
        )

    @property
    def architecture(self) -> str:
        """The network in a few words: 784-256-128-10, relu, dropout 0.2."""
        build = "" if self.build is mlp else f"{parts.describe(self.build)}, "
        norm = "" if self.normalization is None else f"{parts.describe(self.normalization)} normalization, "
        return f"{build}{_short(self.sizes)}, {norm}{parts.describe(self.activation)}, dropout {self.dropout:g}"

    def summary(self, rate: str = "") -> str:
        """The settings in one line, for headings: 784-256-128-10, relu, dropout 0.2, adam at 0.001, …

        `rate`: what to say instead of the learning rate.
        """
        epochs = f"{self.epochs} epoch{'s' * (self.epochs != 1)} of batches of {self.batch_size}"
        dtype = "" if self.dtype == "float32" else f", {self.dtype}"
        return (
            f"{self.architecture}, "
            f"{parts.describe(self.optimizer)} at {rate or format(self.learning_rate, 'g')}, {epochs}{dtype}"
        )

    def steps(self, examples: int) -> int:
        """Optimizer steps of one run on a dataset of `examples` images."""
        for _ in range(2 if self.choosing else 1):
            examples -= round(examples * self.validation)
        return self.epochs * math.ceil(examples / self.batch_size)


def _short(sizes: Sequence[int]) -> str:
    """784-256-128-10; equal sizes in a row are counted: 784-100×20-10."""
    runs = [(size, len(list(equal))) for size, equal in itertools.groupby(sizes)]
    return "-".join(f"{size}" if count == 1 else f"{size}×{count}" for size, count in runs)


@dataclass(frozen=True)
class Run:
    """One arm trained with one seed."""

    arm: str
    seed: int
    training_loss: np.ndarray  # (steps,): each batch's loss before its step, dropout included
    validation_loss: float
    validation_accuracy: float  # from 0 to 1
    recording: Mapping[str, np.ndarray] = field(default_factory=dict, compare=False)  # see `recording.Recording`

    @property
    def diverged(self) -> bool:
        """Some loss is infinite or not a number."""
        return not (np.isfinite(self.training_loss).all() and np.isfinite(self.validation_loss))


def stream(seed: int, purpose: str) -> np.random.Generator:
    """The random numbers of `seed` for one of PURPOSES."""
    return np.random.default_rng(np.random.SeedSequence([seed, PURPOSES.index(purpose)]))


def rows(n: int, seed: int, settings: Settings) -> tuple[np.ndarray, np.ndarray]:
    """The (training, validation) rows of `seed`, among n images.

    Where learning rates are chosen, both are parts of the seed's training rows, in the same proportion.
    """
    training, validation = split(n, rng=stream(seed, "split"), validation=settings.validation)
    if settings.choosing:
        again = split(len(training), rng=stream(CHOOSING + seed, "split"), validation=settings.validation)
        training, validation = (training[part] for part in again)
    return training, validation


def seen_rows(training: np.ndarray, seed: int) -> np.ndarray:
    """The SEEN rows of the seed's training images that a preparation looks at, drawn at random."""
    return stream(seed, "seen").permutation(training)[:SEEN]


@np.errstate(over="ignore")  # weights that float32 cannot hold are infinite: that run diverges, and says so
def initialized(
    arm: Arm,
    seed: int,
    settings: Settings,
    images: np.ndarray | None = None,
    labels: np.ndarray | None = None,
    *,
    rng: np.random.Generator | None = None,
) -> Network:
    """A network as `arm` starts it; `images` and `labels` are what a preparation may look at.

    Arms share the seed's weight stream, so those that differ in scale alone have the same numbers behind their weights:
    U(−½, ½) is U(−y, y), only wider. `rng`, by default that stream, draws them.
    """
    weights = stream(seed, "weights") if rng is None else rng
    network = settings.network(stream(seed, "dropout"))
    if arm.preparation is not None:
        arm.preparation(network, images, labels, rng=weights)
        return network
    scheme, bias = (_with_phi(scheme, settings) for scheme in (arm.scheme, arm.bias))
    return network.apply(init.linear(scheme, rng=weights, bias=bias))


def put(stack: Network, index: tuple[Any, ...], one: Network) -> None:
    """Make the network at this index of the replica axes equal to `one`, its state included."""
    stack.theta[index] = one.theta
    for (_, A), (_, A_one) in zip(states(stack), states(one), strict=True):
        A[index] = A_one


def _with_phi(scheme: Any, settings: Settings) -> Any:
    """A scheme that asks for the activation, as `edge_of_chaos` does, is given the network's."""
    if scheme is None or "phi" not in inspect.signature(parts.target(scheme)).parameters:
        return scheme
    if isinstance(scheme, partial) and "phi" in scheme.keywords:
        return scheme
    return partial(scheme, phi=settings.activation())


class SideBySide:
    """An optimizer for each network of a stack, with its own learning rate: `rates: (arms, seeds)`.

    Each works on its network's part of theta, so that its numbers are those of the network alone, to the last bit, and
    an optimizer of your own needs to know nothing of other rates. Networks that have one rate share an optimizer.
    """

    def __init__(self, settings: Settings, network: Network, rates: np.ndarray) -> None:
        theta, grad = network.theta, network.grad
        alone = [(...)] if (rates == rates.flat[0]).all() else np.ndindex(rates.shape)
        self.optimizers = [settings.optimizer(theta[i], grad[i], learning_rate=float(rates[i].flat[0])) for i in alone]

    def step(self) -> None:
        for optimizer in self.optimizers:
            optimizer.step()


def train_stack(
    arms: Sequence[Arm],
    seeds: Sequence[int],
    images: Array,
    labels: Array,
    settings: Settings,
    on_step: Callable[[], None] | None = None,
    *,
    record: bool = True,
) -> list[Run]:
    """Train every arm with every seed, all side by side: replica axes (arms, seeds).

    Batches and masks are drawn once for each seed and shared by all arms. Without `record`, runs have no recording:
    its looks take a third of the time of a small network that is trained for a few steps.
    """
    images = images.astype(settings.dtype, copy=False)
    pairs = [rows(len(images), seed, settings) for seed in seeds]
    training, validation = (np.stack(part) for part in zip(*pairs, strict=True))
    drawn = [CHOOSING + seed if settings.choosing else seed for seed in seeds]
    masks = [stream(s, "dropout") for s in drawn]
    network = settings.network(masks if len(seeds) > 1 else masks[0]).replicate((len(arms), len(seeds)))
    for s, seed in enumerate(drawn):
        seen = like(seen_rows(training[s], seed), images)
        X, t = to_host(images[seen]), to_host(labels[seen])
        for a, arm in enumerate(arms):
            put(network, (a, s), initialized(arm, seed, settings, X, t))
    network.to(settings.device)
    last = settings.steps(len(images))
    recording = Recording(network, images, labels, validation, last) if record else None

    def after_step() -> None:
        if recording is not None:
            recording.after_step()
        if on_step is not None:
            on_step()

    losses = fit(
        network,
        SideBySide(settings, network, np.array([[arm.rate(seed, settings) for seed in seeds] for arm in arms])),
        images,
        labels,
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        rng=[stream(s, "order") for s in drawn],
        indices=training,
        on_step=after_step,
    )
    loss, accuracy = evaluate(network, images, labels, indices=validation)
    return [
        Run(
            arm.key,
            seed,
            losses[:, a, s],
            float(loss[a, s]),
            float(accuracy[a, s]),
            recording.of((a, s)) if recording else {},
        )
        for a, arm in enumerate(arms)
        for s, seed in enumerate(seeds)
    ]


def bytes_of_a_network(settings: Settings) -> int:
    """What one network of a stack takes while it trains, roughly, and not less.

    θ, its gradient and Adam's two averages; and for each example of a batch, of training or of evaluation, each layer's
    input, its output and a few intermediate results of the same size. A normalization adds X̂ and two more.
    """
    network = settings.network(stream(0, "dropout"))
    units = sum(A.shape[-1] for _, A, _ in parameters(network) if A.ndim > 1)
    normalized = sum(y.gamma.size for y in walk(network) if isinstance(y, (LayerNorm, BatchNorm)))
    activations = (settings.sizes[0] + 6 * units + 3 * normalized) * max(settings.batch_size, EVALUATION_BATCH)
    return network.theta.itemsize * (4 * network.theta.size + activations)
