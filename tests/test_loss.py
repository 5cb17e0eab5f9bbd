"""The loss: softmax cross-entropy against its own definition, finite differences and PyTorch."""

import math

import numpy as np
import pytest
from oracle import torch

from scratchnet.loss import CrossEntropy, check_labels, softmax

N, CLASSES, R = 6, 10, 3


@pytest.fixture
def labels(rng):
    return rng.integers(CLASSES, size=N)


def test_softmax_rows_are_probabilities(rng):
    P = softmax(rng.normal(size=(R, N, CLASSES)) * 100)
    assert (P >= 0).all()
    np.testing.assert_allclose(P.sum(axis=-1), 1)


def test_softmax_of_huge_logits_does_not_overflow_in_any_row_of_any_replica():
    Z = np.array([[[0.0, 1.0], [2000.0, 2001.0]], [[-4000.0, -3999.0], [1e5, 1e5 + 1]]])
    np.testing.assert_allclose(softmax(Z), np.broadcast_to(softmax(np.array([0.0, 1.0])), Z.shape), rtol=1e-10)


def test_cross_entropy_of_equal_logits_is_log_of_the_number_of_classes(labels):
    assert math.isclose(CrossEntropy().forward(np.zeros((N, CLASSES)), labels), math.log(CLASSES))


def test_a_class_that_is_ruled_out_by_a_logit_of_minus_infinity_leaves_the_loss_of_the_others_finite():
    """Its log p is −∞, and 0·(−∞) would be NaN."""
    loss = CrossEntropy()
    assert math.isclose(loss.forward(np.array([[0.0, 0.0, -math.inf]]), np.array([1])), math.log(2))
    np.testing.assert_allclose(loss.backward(), [[0.5, -0.5, 0]])


def test_cross_entropy_is_the_mean_of_minus_log_p_of_the_label(rng, labels):
    Z = rng.normal(size=(N, CLASSES))
    P = softmax(Z)
    expected = -sum(math.log(P[i, labels[i]]) for i in range(N)) / N
    assert math.isclose(CrossEntropy().forward(Z, labels), expected)


def test_cross_entropy_is_the_mean_of_log_sum_exp_minus_the_logit_of_the_label(rng, labels):
    Z = rng.normal(size=(N, CLASSES))
    expected = sum(math.log(sum(math.exp(z) for z in Z[i])) - Z[i, labels[i]] for i in range(N)) / N
    assert math.isclose(CrossEntropy().forward(Z, labels), expected)


def test_the_targets_have_a_1_in_the_column_of_the_label_and_0_elsewhere(labels):
    loss = CrossEntropy()
    loss.forward(np.zeros((N, CLASSES)), labels)
    assert np.array_equal(loss.T, [[k == label for k in range(CLASSES)] for label in labels])


def test_gradient_P_minus_T_over_n_is_the_chain_through_the_softmax_jacobian(rng, labels):
    """The long way round: ∂L/∂p, then the Jacobian ∂p_j/∂z_k = p_j([j = k] − p_k)."""
    Z = rng.normal(size=(N, CLASSES))
    loss = CrossEntropy()
    loss.forward(Z, labels)
    P = softmax(Z)
    for i in range(N):
        dp = np.zeros(CLASSES)
        dp[labels[i]] = -1 / P[i, labels[i]] / N
        jacobian = np.diag(P[i]) - np.outer(P[i], P[i])
        np.testing.assert_allclose(loss.backward()[i], jacobian @ dp, atol=1e-15)


@pytest.mark.parametrize("lead", [(), (R,)], ids=["single", "replicas"])
def test_gradient_equals_finite_differences(rng, lead, labels):
    Z, h = rng.normal(size=(*lead, N, CLASSES)), 1e-5
    loss = CrossEntropy()
    loss.forward(Z, labels)
    dZ = loss.backward()
    for index in np.ndindex(Z.shape):
        change = np.zeros_like(Z)
        change[index] = h
        plus, minus = loss.forward(Z + change, labels), loss.forward(Z - change, labels)
        assert abs(np.sum(plus - minus) / (2 * h) - dZ[index]) < 1e-9


@pytest.mark.parametrize(("dtype", "close"), [(np.float32, 1e-6), (np.float64, 1e-10)])
def test_equals_pytorch(rng, labels, dtype, close):
    Z = (rng.normal(size=(N, CLASSES)) * 5).astype(dtype)
    theirs = torch.tensor(Z, requires_grad=True)
    expected = torch.nn.functional.cross_entropy(theirs, torch.tensor(labels))
    expected.backward()
    loss = CrossEntropy()
    value = loss.forward(Z, labels)
    assert value.dtype == loss.backward().dtype == dtype
    np.testing.assert_allclose(value, expected.item(), rtol=close, atol=close)
    np.testing.assert_allclose(loss.backward(), theirs.grad.numpy(), rtol=close, atol=close)


def test_huge_logits_do_not_overflow(labels):
    Z = np.zeros((N, CLASSES), np.float32)
    Z[:, 0] = 1e30
    loss = CrossEntropy().forward(Z, np.ones(N, int))
    assert math.isclose(loss, 1e30, rel_tol=1e-6)


def test_each_replica_has_its_own_loss(rng, labels):
    Z = rng.normal(size=(R, N, CLASSES))
    together = CrossEntropy().forward(Z, labels)
    assert together.shape == (R,)
    assert np.array_equal(together, [CrossEntropy().forward(Z[r], labels) for r in range(R)])


def test_labels_may_have_replica_axes_too(rng):
    Z, labels = rng.normal(size=(2, R, N, CLASSES)), rng.integers(CLASSES, size=(R, N))
    together = CrossEntropy().forward(Z, labels)
    assert together.shape == (2, R)
    assert together[1, 2] == CrossEntropy().forward(Z[1, 2], labels[2])


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([0, 1, 2, 3, 4, 10], "must lie in 0 … 9 for 10 classes, got 0 … 10"),
        ([0, 1, 2, 3, 4, -1], "must lie in 0 … 9 for 10 classes, got -1 … 4"),
        ([0.0, 1.0, 2.0, 3.0, 4.0, 5.0], "must be integers in 0 … 9, got float64"),
        ([0, 1, 2], "need 6 labels, got labels of shape"),
    ],
)
@pytest.mark.host
def test_wrong_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        CrossEntropy().forward(np.zeros((N, CLASSES)), np.array(labels))


def test_an_empty_array_of_labels_is_accepted():
    check_labels(np.array([], dtype=np.uint8), CLASSES)


def test_each_row_has_its_own_maximum():
    """With one maximum for the whole array, exp of the other rows would underflow to 0 and log to −∞."""
    Z = np.array([[0.0, 1.0, 2.0], [2000.0, 2001.0, 2002.0]])
    P = softmax(Z)
    np.testing.assert_allclose(P[0], P[1], rtol=1e-12)
    loss = CrossEntropy()
    assert math.isclose(loss.forward(Z, np.array([0, 0])), loss.forward(Z[:1], np.array([0])))
    np.testing.assert_allclose(loss.backward(), P[:1] - [[1, 0, 0]], rtol=1e-12)
