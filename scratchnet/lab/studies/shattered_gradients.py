"""Balduzzi et al. 2017: in a deep ReLU network the gradients at two inputs have nothing to do with each other."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import product
from typing import Any

import numpy as np

from scratchnet import init
from scratchnet.lab import maps, outputs
from scratchnet.lab.executors import Tick
from scratchnet.lab.experiment import Arm, Settings, stream
from scratchnet.lab.intervals import judge as verdicts
from scratchnet.lab.study import Finding, Laboratory, Lines, Outcome, Study, Training, accuracies, plus_minus, train
from scratchnet.network import Network, mlp

SEEN, IMAGES, POINTS = 1000, 30, 65
WHITE = 0.05  # a correlation below this counts as none
HALF = 0.1  # how far a factor may be from one half


def he(network: Network, X: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator) -> None:
    """He's weights, and biases of 0."""
    network.apply(init.linear(init.he_normal, rng=rng))


def centred(network: Network, X: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator) -> None:
    """Each unit's outputs have mean 0 and variance 1 over X, as batch normalization would make them."""
    init.weight_norm(network, X, rng=rng)


def looks_linear(network: Network, X: np.ndarray, labels: np.ndarray, *, rng: np.random.Generator) -> None:
    """[Q, −Q; −Q, Q], a linear map to begin with."""
    init.looks_linear(network, rng=rng)


STARTS = {"He": he, "centred": centred, "looks linear": looks_linear}


def likeness(
    spec: tuple[str, int, int, int], images: np.ndarray, labels: np.ndarray, tick: Tick
) -> tuple[float, np.ndarray]:
    """How alike the gradients ∂Z/∂x are: for two images, on average over pairs, and `(lags,)` along a line.

    The gradient at x is a sum over all paths from the logits to the input, whose units are all active at x. At another
    input half of the units of each layer may be active: if independently, then half of the active ones of a layer are
    active there too, and a share of 2^(−L) of the paths is common to both after L layers.
    """
    start, depth, width, seed = spec
    network = mlp([images.shape[1], *[width] * depth, 10])
    seen = stream(seed, "seen").permutation(len(images))
    STARTS[start](network, images[seen[:SEEN]], labels, rng=stream(seed, "weights"))
    X = images[seen[SEEN : SEEN + IMAGES]]
    J = maps.jacobian(network, X).reshape(IMAGES, -1)
    tick(1)
    return float(outputs.correlation(J)), maps.shattering(network, maps.line(X[0], X[1], POINTS))


def measure(
    laboratory: Laboratory,
    *,
    depths: tuple[int, ...] = (1, 2, 3, 4, 6, 8, 12, 24, 50),
    width: int = 200,
    seeds: int = 10,
    trained: tuple[int, int] = (50, 100),
    images: int = 10_000,
) -> dict[str, Any]:
    """`pairs (starts, seeds, depths)`, `line (starts, seeds, depths, lags)`, `accuracy (starts, seeds)` in percent.

    `trained` is the depth and the width of the networks that are trained, with half of the seeds.
    """
    specs = [(start, depth, width, seed) for start, seed, depth in product(STARTS, range(seeds), depths)]
    pairs, lines = zip(*laboratory.each(likeness, specs), strict=True)
    shape = (len(STARTS), seeds, len(depths))
    depth, units = trained
    settings = Settings(sizes=(784, *[units] * depth, 10), dropout=0.0, epochs=2)
    arms = [Arm(name, name, preparation=start) for name, start in STARTS.items()]
    runs = laboratory.each(train, [Training(arms, [seed], settings, images) for seed in range(max(seeds // 2, 3))])
    return {
        "depths": depths,
        "trained": trained,
        "images": images,
        "pairs": np.reshape(pairs, shape),
        "line": np.reshape(lines, (*shape, -1)),
        "accuracy": np.array([accuracies([run for some in runs for run in some], arm) for arm in arms]),
    }


def judge(numbers: Mapping[str, Any]) -> Finding:
    depths, accuracy = np.asarray(numbers["depths"]), np.asarray(numbers["accuracy"])
    pairs = {name: np.asarray(p) for name, p in zip(STARTS, numbers["pairs"], strict=True)}
    early = depths <= 6  # later, a correlation of 2^(−L) is too small to be told from 0
    rate = {
        name: np.exp([np.polyfit(depths[early], np.log(np.maximum(p[early], 1e-6)), 1)[0] for p in pair])
        for name, pair in pairs.items()
    }
    shattered = abs(rate["centred"].mean() - 0.5) < HALF and abs(pairs["centred"][:, -1].mean()) < WHITE
    kept = pairs["looks linear"].min() > 1 - WHITE
    ahead = verdicts({name: accuracy[-1] - accuracy[i] for i, name in enumerate(list(STARTS)[:-1])})
    if not (shattered and kept) or (ahead["He"].established and ahead["He"].difference.mean < 0):
        outcome = Outcome.DID_NOT_HOLD
    else:
        outcome = Outcome.HELD if ahead["He"].established else Outcome.UNDECIDED
    deepest, mean = int(depths[-1]), accuracy.mean(axis=1)
    answer = (
        f"A layer multiplies the likeness of two images' gradients by {rate['centred'].mean():.2f} where units are "
        f"centred, and by {rate['He'].mean():.2f} under He's rule; {numbers['trained'][0]} layers learn to "
        f"{mean[0]:.0f} % from He's start and to {mean[-1]:.0f} % from one that looks linear."
    )
    lags = np.linspace(0, 0.5, np.asarray(numbers["line"]).shape[-1])
    along = {name: np.asarray(line) for name, line in zip(STARTS, numbers["line"], strict=True)}
    panels = [
        Lines(
            "Gradients at two images, on average over pairs",
            "Hidden layers",
            "Correlation",
            {name: (depths, np.where(p.mean(axis=0) > 1e-3, p, np.nan)) for name, p in pairs.items()}
            | {"2^(−L)": (depths[depths <= 8], 0.5 ** depths[depths <= 8])},
            log_x=True,
            log_y=True,
        ),
        Lines(
            "Along the line from one image to another",
            "Distance, as a share of the line",
            "Autocorrelation of the gradients",
            {
                f"{name}, {depths[d]} layers": (lags, along[name][:, d])
                for name in ("He", "centred")
                for d in (int(np.argmin(abs(depths - 2))), len(depths) - 1)
            }
            | {f"looks linear, {deepest} layers": (lags, along["looks linear"][:, -1])},
        ),
    ]
    some = np.unique(np.linspace(0, len(depths) - 1, 5).astype(int))
    rows = [["start", *(f"L = {depths[d]}" for d in some), "factor", "trained, %"]]
    for i, (name, p) in enumerate(pairs.items()):
        cells = [f"{correlation:.3f}" for correlation in p.mean(axis=0)[some]]
        rows.append([name, *cells, plus_minus(rate[name], "{:.2f}"), plus_minus(accuracy[i])])
    return Finding(outcome, answer, panels, rows)


STUDY = Study(
    name="shattered_gradients",
    title="Do gradients shatter with depth?",
    source="Balduzzi, Frean, Leary, Lewis, Ma & McWilliams 2017, ICML, arXiv 1702.08591; details from memory",
    claim="""In a plain ReLU network the correlation between the gradients at two inputs falls like 2^(−L) with the
    number of layers L, until they are like white noise. (The paper's deep networks are centred or batch-normalized, so
    that units are active for about half of the inputs.) A network that looks linear keeps its gradients, and so it can
    be trained.""",
    experiment="""ReLU networks with 200 units a layer: He's start, the same centred by its biases so that each unit has
    mean 0 and variance 1 over 1,000 images, and one that looks linear. The gradients of all logits with respect to the
    input, at 30 other images of Fashion-MNIST and along the line between two of them. Then 50 layers of 100 units are
    trained with Adam at 0.001, for two epochs of 10,000 images.""",
    rule=f"""It holds if in centred networks a layer multiplies the correlation of two images' gradients by ½, within
    {HALF:g} (a straight line through its logarithm from 1 to 6 layers), if at full depth it is below {WHITE:g}, if that
    of networks that look linear is above {1 - WHITE:g} at every depth, and if these are ahead of He's after training,
    established over the seeds (paired Student's tests with Holm's correction).""",
    measure=measure,
    judge=judge,
    quick={"depths": (1, 2, 4, 6, 24), "seeds": 3, "trained": (24, 50), "images": 5_000},
    remarks="""Under He's rule alone the correlation falls as well, but not exponentially: the signals of any two images
    become alike with depth, so their paths part more and more rarely. With θ_l the angle between two signals in layer
    l, computed by the arc-cosine kernel from the images themselves, a layer keeps 1 − θ_l/π, and the product is 0.71,
    0.53, 0.33, 0.16 and 0.09 after 1, 2, 4, 8 and 12 layers, close to what is measured. After 24 and 50 layers it is
    0.03 and 0.01, and the networks, which have only 200 units a layer, keep a little more. The network whose gradients
    are the most shattered also learns the least: the centred one comes after He's.""",
)
