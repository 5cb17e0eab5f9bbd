"""Datasets: what a row is, how the rows are split and put into batches, and when the stand-in is used."""

import dataclasses

import numpy as np
import pytest

from scratchnet.data import download, fashion_mnist, load, pixels, split, synthetic
from scratchnet.train import batches


def test_a_row_is_a_picture_flattened_from_0_to_1():
    images = np.zeros((2, 28, 28), np.uint8)
    images[1, 2, 3] = 255
    X = pixels(images)
    assert X.shape == (2, 784)
    assert X.dtype == np.float32
    assert X[1, 2 * 28 + 3] == X.max() == 1
    assert X.min() == 0


def test_a_pixel_is_x_over_255_to_the_last_bit():
    """Not x·(1/255), which rounds twice: 126 of the 256 levels would differ."""
    levels = np.arange(256, dtype=np.uint8)
    images = np.resize(levels, (1, 28, 28))
    assert np.array_equal(pixels(images).ravel()[:256], levels.astype(np.float32) / np.float32(255))


def test_the_digest_of_a_dataset_changes_with_any_pixel_or_label(dataset):
    assert dataset.sha256 == dataset.first(6000).sha256 != dataset.first(5999).sha256
    labels = dataset.labels.copy()
    labels[7] += 1
    assert dataclasses.replace(dataset, labels=labels).sha256 != dataset.sha256


def test_no_images_make_no_rows():
    assert pixels(np.zeros((0, 28, 28), np.uint8)).shape == (0, 784)


def test_the_split_is_a_partition_with_the_requested_share(rng):
    training, validation = split(60_000, rng=rng)
    assert (len(training), len(validation)) == (48_000, 12_000)
    assert np.array_equal(np.sort(np.concatenate([training, validation])), np.arange(60_000))


def test_the_split_depends_on_the_seed_alone():
    first, again, other = (split(100, rng=np.random.default_rng(seed))[1] for seed in (1, 1, 2))
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


@pytest.mark.parametrize("share", [-0.1, 1.0, float("nan")])
def test_an_impossible_share_is_refused(share, rng):
    with pytest.raises(ValueError, match=f"expected a validation share of at least 0 and below 1, got {share}"):
        split(10, rng=rng, validation=share)


def test_an_epoch_of_batches_is_every_row_once_in_random_order(rng):
    indices = np.arange(100, 350)
    parts = list(batches(indices, 100, rng=rng))
    assert [len(part) for part in parts] == [100, 100, 50]
    together = np.concatenate(parts)
    assert not np.array_equal(together, indices)
    assert np.array_equal(np.sort(together), indices)


def test_epochs_differ_and_seeds_repeat():
    rng, indices = np.random.default_rng(3), np.arange(50)
    first, second = (np.concatenate(list(batches(indices, 20, rng=rng))) for _ in range(2))
    assert not np.array_equal(first, second)
    assert np.array_equal(first, np.concatenate(list(batches(indices, 20, rng=np.random.default_rng(3)))))


def test_epochs_side_by_side_are_the_separate_epochs():
    indices = np.stack([np.arange(50), np.arange(100, 150)])
    together = list(batches(indices, 20, rng=[np.random.default_rng(s) for s in (1, 2)]))
    for row, seed in enumerate((1, 2)):
        alone = list(batches(indices[row], 20, rng=np.random.default_rng(seed)))
        assert all(np.array_equal(t[row], a) for t, a in zip(together, alone, strict=True))


def test_one_generator_for_several_rows_of_indices_is_refused():
    """It would put the rows in another order, and never the examples of a row."""
    with pytest.raises(ValueError, match="need 3 generators, one for each row, got one"):
        next(batches(np.arange(12).reshape(3, 4), 2, rng=np.random.default_rng(0)))


def test_a_batch_needs_an_example(rng):
    with pytest.raises(ValueError, match="expected a batch size ≥ 1, got 0"):
        list(batches(np.arange(3), 0, rng=rng))


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """No data on this machine, and a mirror that refuses connections."""
    monkeypatch.setenv("SCRATCHNET_DATA", str(tmp_path))
    monkeypatch.setenv("SCRATCHNET_MIRROR", "http://127.0.0.1:9/")
    monkeypatch.setattr(download, "PAUSE", 0.0)
    few = synthetic.draw(100, rng=np.random.default_rng(0))
    monkeypatch.setattr(synthetic, "load", lambda: (*few, *few))


def test_auto_falls_back_to_the_stand_in_with_a_warning_that_nobody_can_miss(offline, capsys):
    dataset = load("auto")
    assert dataset.name == "synthetic"
    assert dataset.stand_in
    assert "NOT Fashion-MNIST" in dataset.title
    message = capsys.readouterr().err
    assert "NOT FASHION-MNIST" in message
    assert "http://127.0.0.1:9/train-images-idx3-ubyte.gz cannot be reached" in message
    assert "SCRATCHNET_DATA" in message


def test_fashion_mnist_never_falls_back(offline):
    with pytest.raises(fashion_mnist.FashionMNISTUnavailable):
        load("fashion-mnist")


def test_synthetic_does_not_look_for_the_real_images(offline, capsys):
    assert load("synthetic").stand_in
    assert capsys.readouterr().err == ""


def test_auto_loads_the_real_images_if_they_are_on_this_machine(monkeypatch):
    try:
        fashion_mnist.load(mirrors=())
    except fashion_mnist.FashionMNISTUnavailable:
        pytest.skip("Fashion-MNIST is not on this machine: set SCRATCHNET_DATA to the folder of its four files")
    monkeypatch.setenv("SCRATCHNET_MIRROR", "http://127.0.0.1:9/")
    dataset = load()
    assert (dataset.name, dataset.stand_in, dataset.title) == ("fashion-mnist", False, "Fashion-MNIST")
    assert dataset.images.shape == (60_000, 784)
    assert dataset.test_images.shape == (10_000, 784)
    # E[x²] ≈ 0.21, not 1: the analysis of a scheme must not assume inputs of unit variance
    assert abs((dataset.images**2).mean() - 0.2064) < 1e-3


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="unknown dataset 'mnist': choose one of auto, fashion-mnist, synthetic"):
        load("mnist")


@pytest.mark.parametrize("n", [0, -1])
def test_a_look_needs_an_image(dataset, n):
    with pytest.raises(ValueError, match=f"expected a number of images ≥ 1, got {n}"):
        dataset.first(n)
