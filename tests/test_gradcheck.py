"""gradcheck itself: it passes what is right and catches what is wrong, in a layer that a reader might write."""

import contextlib
import math

import numpy as np
import pytest
import zoo

from scratchnet.gradcheck import GradientError, _error, _estimates, _refuse_a_kink, gradcheck, numerical_gradient
from scratchnet.layers import (
    ELU,
    GELU,
    SELU,
    Dropout,
    Identity,
    LeakyReLU,
    Linear,
    PReLU,
    ReLU,
    Sigmoid,
    SiLU,
    Tanh,
)
from scratchnet.network import Network, mlp


class Scale:
    """A reader's layer: Y = X·a, one factor a unit."""

    params = {"a": 1}

    def __init__(self, a):
        self.a, self.da = a, np.empty_like(a)

    def forward(self, X, train=False):
        self.X = X
        return X * self.a[..., None, :]

    def backward(self, dY):
        np.sum(dY * self.X, axis=-2, out=self.da)
        return dY * self.a[..., None, :]


@pytest.fixture
def X(rng):
    return rng.normal(size=(5, 4))


def test_the_numerical_gradient_of_a_polynomial_is_its_derivative(rng):
    """(f(a + h) − f(a − h))/2h of Σ a³ is 3a² + h², and A is put back as it was."""
    A = rng.normal(size=(3, 4))
    before = A.copy()
    G = numerical_gradient(lambda: float((A**3).sum()), A, step=1e-4)
    np.testing.assert_allclose(G, 3 * before**2 + 1e-8, rtol=1e-7)
    assert np.array_equal(A, before)
    G = numerical_gradient(lambda: float((A**3).sum()), A, indices=[(1, 2)])
    assert np.isfinite(G).sum() == 1
    assert math.isclose(G[1, 2], 3 * before[1, 2] ** 2, rel_tol=1e-6)


@pytest.mark.parametrize("dtype", [np.int64, np.float32])
def test_a_numerical_gradient_needs_float64(dtype):
    A = np.ones(3, dtype)
    with pytest.raises(ValueError, match=rf"expected an array of float64, got {np.dtype(dtype).name}: convert it"):
        numerical_gradient(lambda: float((A**3).sum()), A)


def test_a_readers_own_layer_is_checked_with_its_parameters(rng, X):
    errors = gradcheck(Scale(rng.normal(size=4)), X, rng=rng)
    assert errors.keys() == {"X", "a"}
    assert max(errors.values()) < 1e-9


@pytest.mark.parametrize("lead", [(), (2,)], ids=["single", "replicas"])
def test_a_whole_network_is_checked_layer_by_layer(rng, X, lead):
    network = mlp([4, 6, 3], activation=Tanh, dropout=0.3, rng=rng, replicas=lead, dtype=np.float64)
    network.theta[...] = rng.normal(size=network.theta.shape)
    errors = gradcheck(network, X, rng=rng, train=True)
    assert errors.keys() == {"X", "0.W", "0.b", "3.W", "3.b"}
    assert max(errors.values()) < 1e-8


def test_the_checked_layer_is_left_as_it_was(rng, X):
    layer = Linear(rng.normal(size=(4, 3)), np.zeros(3))
    layer.dW[...] = 7.0
    W = layer.W.copy()
    gradcheck(layer, X, rng=rng)
    assert np.array_equal(layer.W, W)
    assert (layer.dW == 7.0).all()


def test_a_forgotten_factor_is_caught(rng, X):
    class Wrong(Scale):
        def backward(self, dY):
            super().backward(dY)
            return dY

    with pytest.raises(GradientError, match=r"dX\[.*\] is .*, but finite differences give"):
        gradcheck(Wrong(np.array([1.0, 2.0, 3.0, 4.0])), X, rng=rng)


def test_rows_that_are_mixed_up_are_caught(rng, X):
    class Wrong(Tanh):
        def backward(self, dY):
            return super().backward(dY[::-1])

    with pytest.raises(GradientError, match="dX"):
        gradcheck(Wrong(), X, rng=rng)


def test_a_gradient_that_accumulates_is_caught(rng, X):
    class Wrong(Scale):
        def backward(self, dY):
            self.da += (dY * self.X).sum(axis=-2)
            return dY * self.a

    layer = Wrong(np.ones(4))
    layer.da[...] = 0
    with pytest.raises(GradientError, match="backward must fill da in place"):
        gradcheck(layer, X, rng=rng)


def test_a_gradient_in_a_new_array_that_no_network_knows_of_is_caught(rng, X):
    class Wrong(Scale):
        def backward(self, dY):
            self.da = (dY * self.X).sum(axis=-2)
            return dY * self.a

    for layer in (Wrong(np.ones(4)), Network([Wrong(np.ones(4))])):
        with pytest.raises(GradientError, match=r"a\[\d\] is NaN"):
            gradcheck(layer, X, rng=rng)


def test_a_gradient_of_the_wrong_shape_is_caught(rng, X):
    class Wrong(Tanh):
        def backward(self, dY):
            return super().backward(dY)[:, :2]

    with pytest.raises(GradientError, match=r"dX has the shape \(5, 2\), expected \(5, 4\)"):
        gradcheck(Wrong(), X, rng=rng)


def test_writing_into_the_incoming_gradient_is_caught(rng, X):
    class Wrong(Tanh):
        def backward(self, dY):
            dY *= 1 - self.Y**2
            return dY

    with pytest.raises(GradientError, match="wrote into dY: neither may change"):
        gradcheck(Wrong(), X, rng=rng)


def test_a_nan_is_no_agreement(rng, X):
    class Wrong(Tanh):
        def backward(self, dY):
            return super().backward(dY) * np.nan

    with pytest.raises(GradientError, match="dX"):
        gradcheck(Wrong(), X, rng=rng)


def test_float32_is_refused_because_differences_would_drown(rng, X):
    with pytest.raises(ValueError, match="got X in float32"):
        gradcheck(Tanh(), X.astype(np.float32), rng=rng)
    with pytest.raises(ValueError, match="got W in float32"):
        gradcheck(Linear(np.ones((4, 3), np.float32), np.zeros(3, np.float32)), X, rng=rng)


# --- the zoo ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", zoo.ZOO)
def test_every_wrong_layer_of_the_zoo_is_found_and_told_in_one_sentence(rng, name):
    kind, sentence = zoo.ZOO[name]
    with pytest.raises(GradientError, match=sentence) as error:
        gradcheck(zoo.build(kind, rng), zoo.inputs(kind, rng), rng=rng)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wrong", "right"),
    [
        (zoo.Accumulates, zoo.Scale),
        (zoo.WrongInAnotherOrder, Tanh),
        (zoo.WrongWithoutDX, zoo.Dense),
        (zoo.ClipsItsGradient, Tanh),
        (zoo.ListOfItsParameters, zoo.Scale),
        (zoo.DividesByItsInput, zoo.TimesTanh),
        (zoo.Promotes, zoo.TimesRootOfTwo),
    ],
)
def test_a_mistake_that_is_made_in_training_alone_is_found_too(rng, wrong, right):
    layer, X = zoo.build(zoo.in_training_alone(wrong, right), rng), zoo.inputs(wrong, rng)
    gradcheck(layer, X, rng=rng, train=False)
    with pytest.raises(GradientError, match=zoo.ZOO[wrong.__name__][1]):
        gradcheck(layer, X, rng=rng, train=True)


@pytest.mark.parametrize("training", [False, True])
def test_the_error_that_is_returned_is_the_worst_of_all_comparisons(rng, X, training):
    class Half(Tanh):
        def forward(self, X, train=False):
            self.train = train
            return super().forward(X)

        def backward(self, dY):
            return super().backward(dY) * (0.5 if self.train == training else 1)

    assert gradcheck(Half(), X, rng=rng, tolerance=0.9)["X"] == pytest.approx(0.5)


@pytest.mark.parametrize("training", [False, True])
def test_values_that_are_not_finite_in_one_of_the_modes_are_refused(rng, X, training):
    class Overflows(Tanh):
        def forward(self, X, train=False):
            return super().forward(X) + (np.inf if train == training else 0)

    with pytest.raises(ValueError, match="forward returns values that are not finite here: choose another X"):
        gradcheck(Overflows(), X, rng=rng)


@pytest.mark.parametrize("samples", [2, 200])
def test_with_a_tolerance_of_0_rounding_alone_is_excused(rng, X, samples):
    errors = gradcheck(Identity(), X, rng=rng, tolerance=0, samples=samples)
    assert errors == {"X": 0}


SCALES = [1e-6, 1e-3, 1.0, 1e3, 1e6]


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("scale_of_parameters", SCALES)
@pytest.mark.parametrize("name", zoo.RIGHT)
def test_right_layers_pass_at_every_scale(rng, name, scale, scale_of_parameters):
    if name == "Residual" and scale > 1:
        pytest.skip("what tanh changes is lost in the rounding of a large X that it is added to")
    gradcheck(zoo.RIGHT[name](rng, scale_of_parameters), scale * rng.normal(size=(5, 4)), rng=rng)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", [zoo.NoGradient, zoo.HalfAGradient, zoo.NotTransposed])
def test_wrong_layers_fail_at_every_scale(rng, kind, scale):
    with pytest.raises(GradientError, match="but finite differences give"):
        gradcheck(zoo.build(kind, rng), scale * rng.normal(size=(5, 4)), rng=rng)


@pytest.mark.parametrize("scale", SCALES)
def test_one_element_of_many_that_is_forgotten_is_found_at_every_scale_of_the_parameters(rng, scale):
    layer = zoo.OneElementOfManyForgotten(scale * rng.normal(size=(40, 40)))
    with pytest.raises(GradientError, match=zoo.ZOO["OneElementOfManyForgotten"][1]):
        gradcheck(layer, rng.normal(size=(5, 40)), rng=rng)


def test_two_elements_of_many_that_are_exchanged_are_found_although_their_sum_is_right(rng):
    class Exchanged(zoo.Dense):
        def backward(self, dY, need_dX=True):
            dX = super().backward(dY, need_dX)
            self.dW[..., 3, [4, 5]] = self.dW[..., 3, [5, 4]]
            return dX

    with pytest.raises(GradientError, match=r"Σ dW·V is .*: some element of dW is wrong"):
        gradcheck(Exchanged(rng.normal(size=(40, 40))), rng.normal(size=(5, 40)), rng=rng, samples=2)


ACTIVATIONS = [Identity, ReLU, LeakyReLU, PReLU, Tanh, Sigmoid, ELU, SELU, GELU, SiLU]


def test_a_linear_layer_of_many_weights_passes_as_a_whole_at_every_scale(rng):
    for scale in SCALES:
        layer = Linear(scale * rng.normal(size=(30, 20)), rng.normal(size=20))
        gradcheck(layer, 1e6 / scale * rng.normal(size=(15, 30)), rng=rng, samples=20)


def test_a_network_with_many_kinks_passes_as_a_whole(rng):
    """A direction crosses some kink of a ReLU now and then, and is drawn anew."""
    network = mlp([30, 60, 60, 5], dropout=0.2, rng=np.random.default_rng(1), dtype=np.float64)
    network.theta[...] = 0.3 * rng.normal(size=network.theta.shape)
    gradcheck(network, rng.random((20, 30)), rng=rng, samples=5)


def test_a_mask_that_is_drawn_once_is_found_in_a_network_too(rng, X):
    network = Network([Linear(rng.normal(size=(4, 4)), np.zeros(4)), zoo.build(zoo.MaskDrawnOnce, rng)])
    with pytest.raises(GradientError, match="300 calls with train=True drop the same units"):
        gradcheck(network, X, rng=rng)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", [zoo.Softmax, zoo.LayerNorm, zoo.BatchNorm, zoo.Noise])
def test_right_layers_of_other_kinds_pass_at_every_scale(rng, kind, scale):
    gradcheck(kind(), scale * rng.normal(size=(5, 4)), rng=rng)


@pytest.mark.parametrize("scale", SCALES)
@pytest.mark.parametrize("kind", ACTIVATIONS)
def test_every_activation_passes_at_every_scale(rng, kind, scale):
    for _ in range(3):
        gradcheck(kind(), scale * rng.normal(size=(5, 4)), rng=rng)


def test_an_element_at_a_kink_is_named(rng, X):
    X[2, 1] = 0
    with pytest.raises(ValueError, match=r"X\[2, 1\] = 0 is at a kink: the slope is .* on its left and"):
        gradcheck(ReLU(), X, rng=rng)

    class Small(ReLU):
        def forward(self, X, train=False):
            return 1e-7 * super().forward(X)

        def backward(self, dY):
            return 1e-7 * super().backward(dY)

    with pytest.raises(ValueError, match=r"X\[2, 1\] = 0 is at a kink: the slope is 0 on its left and .*e-0"):
        gradcheck(Small(), X, rng=rng)


def test_where_finite_differences_say_nothing_the_check_is_impossible_and_the_layer_not_called_wrong(rng):
    """1e12 + tanh(1e7·x) is right: what tanh changes is lost in rounding, or saturated at the next step."""

    class FarAway(Tanh):
        def forward(self, X, train=False):
            return 1e12 + super().forward(1e7 * X)

        def backward(self, dY):
            return 1e7 * super().backward(dY)

    with pytest.raises(ValueError, match=r"cannot be checked here: finite differences give another number for each"):
        gradcheck(FarAway(), 1e-7 * rng.normal(size=(5, 4)), rng=rng)


def test_one_element_of_many_at_a_kink_is_told_from_a_wrong_gradient(rng):
    X = rng.normal(size=(20, 50))
    X[3, 4] = 0
    with pytest.raises(ValueError, match=r"some element of X is at a kink: the slope is .* on its left and"):
        gradcheck(ReLU(), X, rng=rng, samples=2)


def test_one_element_of_many_near_a_kink_is_no_mistake():
    """2e-6 away from it: a direction that crosses the kink even with the smallest step is followed by another one."""
    for seed in range(100):
        rng = np.random.default_rng(seed)
        X = rng.normal(size=(10, 11))
        X[3, 4] = 2e-6
        gradcheck(ReLU(), X, rng=rng, samples=2)


def test_an_element_much_nearer_to_a_kink_than_the_others_is_no_mistake(rng):
    X = 1e-6 * rng.normal(size=(5, 4))
    X[0, 0] = -1e-10
    gradcheck(LeakyReLU(), X, rng=rng)


def test_denormal_numbers_are_not_compared_digit_by_digit(rng):
    gradcheck(zoo.Softmax(), np.array([[0.0, -735.0, -738.0, -740.0]]), rng=rng)


@pytest.mark.parametrize(
    ("layer", "X", "message"),
    [
        (np.tanh, np.ones((2, 2)), "expected a layer, got ufunc, which has no method forward"),
        (Tanh(), np.ones(3), r"expected X of shape \(..., n, n_in\) with at least one example, got \(3,\)"),
        (Tanh(), np.ones((0, 3)), "at least one example"),
        (Tanh(), np.full((2, 2), np.nan), "gradcheck needs finite numbers, and X has others"),
        (zoo.Scale(np.array([1e300, 1.0])), np.full((2, 2), 1e300), "forward returns values that are not finite here"),
    ],
    ids=["a function", "one axis", "no example", "NaN", "overflow"],
)
def test_what_cannot_be_checked_is_refused_in_one_sentence(rng, layer, X, message):
    with np.errstate(over="ignore"), pytest.raises(ValueError, match=message):
        gradcheck(layer, X, rng=rng)


def test_train_may_be_restricted_to_one_mode(rng, X):
    gradcheck(zoo.WrongInTraining(), X, rng=rng, train=False)
    with pytest.raises(GradientError, match="train=True"):
        gradcheck(zoo.WrongInTraining(), X, rng=rng, train=True)


# --- how a gradient is compared with estimates, and where these come from ---


@pytest.mark.parametrize(
    ("got", "estimates", "tolerance", "result"),
    [
        (1.0, [(1.0, 0.0)], 1e-6, (0.0, 1.0, True)),
        (1.0, [(0.75, 0.25)], 1e-6, (0.0, 0.75, True)),  # rounding explains it
        (5.0, [(2.0, 0.0)], 1e-6, (0.6, 2.0, False)),
        (5.0, [(2.0, 0.0), (2.001, 0.0), (9.0, 0.0)], 1e-6, (2.999 / 5, 2.001, True)),  # the second one is settled
        (5.0, [(2.0, 0.0), (9.0, 0.0)], 1e-6, (4 / 9, 9.0, False)),  # none is: the last
        # an estimate of 0: the first may be what rounding hides; a later one says nothing of less than its rounding
        (0.25, [(0.0, 0.5)], 1e-6, (0.0, 0.0, True)),
        (0.25, [(5.0, 0.0), (0.0, 0.5)], 1e-6, (0.95, 5.0, False)),
        (0.25, [(5.0, 0.0), (0.0, 0.5), (0.25, 0.0)], 1e-6, (0.0, 0.25, True)),
        (1.0, [(5.0, 0.0), (0.0, 0.5)], 0.6, (1.0, 0.0, False)),  # and is right about more
    ],
)
def test_a_gradient_is_as_wrong_as_by_the_first_estimate_that_it_meets_or_by_the_last(
    got, estimates, tolerance, result
):
    assert _error(got, estimates, tolerance) == pytest.approx(result)


def estimates(f, a, dY=1.0):
    A = np.array([a])
    return list(_estimates(lambda: f(A), A, (0,), np.array([dY])))


def test_the_first_estimate_is_a_plain_difference_with_a_step_of_1e_5_times_the_size():
    """The derivative of a³, with an error of h² and one of rounding, 1e-16·a³/h."""
    (expected, unsure), *_ = estimates(lambda A: A**3, 1000.0, dY=100.0)
    assert expected == pytest.approx(100 * (3e6 + 1e-4), abs=2e-3)
    assert unsure == pytest.approx(32 * np.finfo(float).eps * 100 * 1e9 / 1e-2)


def test_the_others_are_extrapolated_to_a_step_of_0():
    """Of a⁵ the error of a difference is 10a²h² + h⁴: the first term cancels, and of the second −h⁴/4 is left."""
    _, *others = estimates(lambda A: A**5, 1.0)
    steps = 2 * [0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6]
    assert [expected for expected, _ in others] == pytest.approx([5 - h**4 / 4 for h in steps], abs=1e-9)
    assert [unsure for _, unsure in others] == pytest.approx([32 * np.finfo(float).eps / h for h in steps])


def test_no_estimate_is_asked_of_which_rounding_may_be_more_than_a_hundredth():
    """Of a small output, rounding is first taken for that of a number near 1, and at last for the output's own."""
    _, *others = estimates(lambda A: 1e9 + 1e-3 * A, 1.0)
    assert not any(expected for expected, _ in others)  # left are the steps that are too small to move anything
    small = estimates(lambda A: 1e-12 * A, 1.0)
    assert [expected for expected, _ in small] == pytest.approx([1e-12] * 13)
    assert [unsure for _, unsure in small[1:]] == pytest.approx(
        [32e-12 * np.finfo(float).eps / h for h in 2 * [0.1, 0.01, 1e-3, 1e-4, 1e-5, 1e-6]]
    )


@pytest.mark.parametrize(
    ("f", "refused"),
    [
        (lambda t: t + 0.5 * np.minimum(np.abs(t), 1), True),  # far away it is straight, and near it has a kink
        (lambda t: t + 0.5 * np.minimum(np.abs(t), 0.001), False),  # a kink that a wider step does not see
        (lambda t: np.where(t > 0, 1.01005, 1) * t, False),  # slopes that differ by less than 1 % of the larger one
        (lambda t: np.where(t > 0, 1, 1.01005) * t, False),
        (lambda t: np.where(t > 0, 1.0103, 1) * t, True),
        (lambda t: np.where(t > 0, 1, 1.0103) * t, True),
    ],
)
def test_a_kink_is_where_the_slopes_on_both_sides_differ_for_a_wide_and_for_a_narrow_step(f, refused):
    A = np.array([1000.0])
    with pytest.raises(ValueError, match="is at a kink") if refused else contextlib.nullcontext():
        _refuse_a_kink(lambda: f(A - 1000), A, (0,), np.ones(1), "x")
    assert A[0] == 1000


def test_a_new_mask_may_well_drop_the_same_few_units_several_times():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        gradcheck(Dropout(0.9, rng=rng), rng.normal(size=(1, 3)), rng=rng)
