"""Units that start equal, with and without dropout. And a scheme of one line: W = 1/n_in everywhere.

    python docs/examples/symmetry.py          half a minute: the table of docs/initialization.md

Equal units get equal gradients and stay equal. But each has a dropout mask of its own, so with dropout they part at the
first step. How many directions a layer's outputs really use, the effective rank exp(−Σ p ln p) with p the singular
values as shares, grows from there:

>>> from scratchnet.data import synthetic
>>> images, labels = synthetic.draw(1000, rng=np.random.default_rng(0))
>>> X = images.reshape(1000, 784) / np.float32(255)
>>> for dropout in (0.0, 0.2):
...     network, _ = train(equal, X, labels, dropout=dropout, seed=0)
...     print(dropout, [distinct(layer) > 100 for layer in hidden(network)], next(ranks(network, X)) > 1.05)
0.0 [False, False] False
0.2 [True, True] True

One step from *ones*, whose first loss is that of a blind guess:

>>> network, losses = train(init.ones, X[:100], labels[:100], dropout=0.0, seed=0)
>>> bool(abs(losses[0] - np.log(10)) < 0.1)
True
"""

import numpy as np
from tqdm import tqdm

from scratchnet import data, init
from scratchnet.layers import Linear
from scratchnet.network import mlp
from scratchnet.optim import Adam
from scratchnet.train import evaluate, fit

IMAGES, SEEDS = 24_000, 5  # 240 steps with batches of 100


def equal(shape, *, rng):
    """W = 1/n_in: each unit is the mean of its inputs."""
    return init.constant(shape, rng=rng, value=1 / shape[-2])


def train(scheme, X, labels, *, dropout, seed):
    """The lesson's network after one pass over X, and the loss of each batch."""
    rng = np.random.default_rng(seed)
    network = mlp([784, 256, 128, 10], dropout=dropout, rng=rng).apply(init.linear(scheme, rng=rng))
    adam = Adam(network.theta, network.grad)
    return network, fit(network, adam, X, labels.astype(int), epochs=1, batch_size=100, rng=rng)


def hidden(network):
    return [layer for layer in network.layers if isinstance(layer, Linear)][:-1]


def distinct(layer):
    """The number of different units: columns of W with their biases."""
    return len(np.unique(np.vstack([layer.W, layer.b]), axis=1).T)


def ranks(network, X):
    """The effective rank of each hidden layer's outputs, an array (n, units)."""
    network.forward(X[:1000])
    for layer in hidden(network):
        s = np.linalg.svd(layer.X.astype(float) @ layer.W + layer.b, compute_uv=False)
        p = s[s > 0] / s.sum() if s.any() else np.ones(1)
        yield float(np.exp(-np.sum(p * np.log(p))))


def main():
    dataset = data.load()
    X, labels = dataset.images[:IMAGES], dataset.labels[:IMAGES]
    others, theirs = dataset.images[-10_000:], dataset.labels[-10_000:].astype(int)
    print(
        f"{dataset.title}, {IMAGES // 100} steps, {SEEDS} seeds: medians; of the accuracy, mean ± standard deviation\n"
    )
    print("| W | dropout | distinct units | effective rank | loss, first and last 20 | accuracy, % |")
    print("|---|---|---|---|---|---|")
    arms = [(s, p) for s in (init.zeros, equal, init.ones, init.he_normal) for p in (0.0, 0.2)]
    for scheme, dropout in tqdm(arms, unit="row", disable=None):
        rows = []
        for seed in range(SEEDS):
            network, losses = train(scheme, X, labels, dropout=dropout, seed=seed)
            right = float(evaluate(network, others, theirs).accuracy)
            units = [distinct(layer) for layer in hidden(network)]
            rows.append([*units, *ranks(network, others), losses[0], losses[-20:].mean(), 100 * right])
        a, b, r, s, first, last, _ = np.median(rows, axis=0)
        accuracy = np.array(rows)[:, -1]
        print(
            f"| {scheme.__name__} | {dropout} | {a:.0f}, {b:.0f} | {r:.1f}, {s:.1f} | {first:.2f}, {last:.4g} "
            f"| {accuracy.mean():.1f} ± {accuracy.std(ddof=1):.1f} |"
        )


if __name__ == "__main__":
    main()
