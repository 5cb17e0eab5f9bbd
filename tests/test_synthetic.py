"""The synthetic stand-in has the shapes, statistics and difficulty of the real images."""

import numpy as np
import pytest

from scratchnet.data import synthetic
from scratchnet.data.fashion_mnist import CLASSES

TOPS = [CLASSES.index(name) for name in ("T-shirt/top", "Pullover", "Coat", "Shirt")]


@pytest.fixture(scope="module")
def drawn():
    return synthetic.draw(6000, rng=np.random.default_rng(0))


@pytest.fixture(scope="module")
def confusion(drawn):
    """Row: the class, column: the prediction of ridge regression, as shares; 4,000 images to train, 2,000 to test."""
    images, labels = drawn
    X = np.hstack([images.reshape(-1, 784) / 255, np.ones((6000, 1))])
    targets = np.eye(10)[labels]
    W = np.linalg.solve(X[:4000].T @ X[:4000] + 30 * np.eye(785), X[:4000].T @ targets[:4000])
    counts = targets[4000:].T @ np.eye(10)[(X[4000:] @ W).argmax(axis=1)]
    return counts / counts.sum(axis=1, keepdims=True)


def test_shapes_and_types_are_those_of_fashion_mnist(drawn):
    images, labels = drawn
    assert images.shape == (6000, 28, 28)
    assert labels.shape == (6000,)
    assert images.dtype == labels.dtype == np.uint8


def test_there_is_one_garment_for_each_class():
    assert [garment.__name__ for garment in synthetic.GARMENTS] == [
        name.removesuffix("/top").lower().replace("-", "_").replace(" ", "_") for name in CLASSES
    ]


def test_every_class_is_drawn_equally_often_in_shuffled_order(drawn):
    labels = drawn[1]
    np.testing.assert_array_equal(np.bincount(labels), 600)
    first = np.bincount(labels[:1000], minlength=10)
    assert np.all(np.abs(first - 100) < 5 * np.sqrt(100))


@pytest.mark.parametrize("n", [0, 1, 7, 23, 1010])
def test_any_number_of_images_can_be_drawn_and_classes_differ_by_at_most_one(n, rng):
    images, labels = synthetic.draw(n, rng=rng)
    assert images.shape == (n, 28, 28)
    assert labels.shape == (n,)
    assert images.dtype == labels.dtype == np.uint8
    assert np.ptp(np.bincount(labels, minlength=10)) == (n % 10 > 0)


def test_the_same_seed_draws_the_same_images_and_another_seed_others():
    a, b, c = (synthetic.draw(500, rng=np.random.default_rng(seed)) for seed in (1, 1, 2))
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])
    assert not np.array_equal(a[0], c[0])
    assert not np.array_equal(a[1], c[1])


def test_a_generator_goes_on_where_it_was(rng):
    a, b = synthetic.draw(100, rng=rng)[0], synthetic.draw(100, rng=rng)[0]
    assert not {image.tobytes() for image in a} & {image.tobytes() for image in b}


def test_no_two_images_are_equal_within_or_between_training_and_test():
    train, train_labels, test, test_labels = synthetic.load(train=1200, test=800)
    assert (len(train), len(train_labels), len(test), len(test_labels)) == (1200, 1200, 800, 800)
    assert len({image.tobytes() for image in (*train, *test)}) == 2000


def test_the_training_images_do_not_depend_on_how_many_test_images_there_are():
    a = synthetic.load(train=50, test=0, seed=3)
    b = synthetic.load(train=50, test=20, seed=3)
    np.testing.assert_array_equal(a[0], b[0])
    np.testing.assert_array_equal(a[1], b[1])
    assert not np.array_equal(a[0], synthetic.load(train=50, test=0, seed=4)[0])


def test_no_progress_bar_where_there_is_no_terminal(capfd):
    synthetic.load(train=10, test=10)
    assert capfd.readouterr() == ("", "")


def test_the_background_is_0_and_the_brightest_pixel_is_255(drawn):
    images = drawn[0]
    assert images.min() == 0
    assert images.max() == 255
    corners = images[:, [0, 0, -1, -1], [0, -1, 0, -1]]
    assert (corners == 0).mean() > 0.95
    assert (images.reshape(-1, 784) > 0).any(axis=1).all(), "an image is empty"


def test_pixels_have_the_statistics_that_initialization_depends_on(drawn):
    """Fashion-MNIST: mean 0.286, mean square 0.206, and 50 % of the pixels are 0."""
    x = drawn[0] / 255
    assert 0.26 < x.mean() < 0.31
    assert 0.18 < (x**2).mean() < 0.23
    assert 0.47 < (x == 0).mean() < 0.56


def test_images_of_a_class_differ_in_brightness_and_shape(drawn):
    images, labels = drawn
    for label in range(10):
        x = images[labels == label].reshape(-1, 784)
        assert np.std(x.max(axis=1)) > 20
        assert 0.05 < np.std((x > 0).sum(axis=1)) / np.mean((x > 0).sum(axis=1)) < 0.5


def test_a_linear_classifier_does_well_but_not_perfectly(confusion):
    """On as many images of Fashion-MNIST the accuracy is 81 %."""
    assert 0.70 < np.diag(confusion).mean() < 0.88


def test_tops_are_confused_with_each_other_and_other_clothes_are_not(confusion):
    right = np.diag(confusion)
    others = np.delete(right, TOPS)
    assert right[TOPS].mean() < 0.8 < others.mean()  # for Fashion-MNIST: 0.68 and 0.89
    among_tops = confusion[np.ix_(TOPS, TOPS)].sum(axis=1)
    assert np.all(among_tops - right[TOPS] > 1 - among_tops), "most wrong predictions for a top are another top"


@pytest.mark.parametrize("n", [-1, 2.5, 10.0, "10", None, True])
def test_an_invalid_number_of_images_is_refused(n, rng):
    with pytest.raises(ValueError, match="expected an integer ≥ 0 as the number of images to draw, got "):
        synthetic.draw(n, rng=rng)
    with pytest.raises(ValueError, match="expected an integer ≥ 0"):
        synthetic.load(test=n)
