"""The table of a network: measured beside expected, and the verdicts with their rules."""

import copy
import warnings

import numpy as np
import pytest
from conftest import ROOT

from scratchnet import init
from scratchnet.lab import parts
from scratchnet.lab.diagnostics import diagnose
from scratchnet.lab.expectations import flat_share, moments, places
from scratchnet.lab.outputs import saturation
from scratchnet.lab.verdicts import WORDS, Numbers, Verdict, on_layer, on_looks, on_network, size, words
from scratchnet.layers import Layer, Linear, PReLU, ReLU, Sigmoid, Tanh
from scratchnet.network import Network, mlp
from scratchnet.optim import SGD, Adam
from scratchnet.train import fit

WIDE = [784, 300, 300, 10]


def table(scheme, dataset, rng, sizes=WIDE, *, optimizer=Adam, rate=0.001, dropout=0.2, **options):
    """The diagnosis of two networks side by side that are filled by one scheme."""
    masks = [np.random.default_rng(1), np.random.default_rng(2)]
    network = mlp(sizes, dropout=dropout, rng=masks, replicas=(2,), **options)
    for layer in network.layers:
        if isinstance(layer, Linear):
            for W in layer.W:
                W[...] = scheme(W.shape, rng=rng)
    made = optimizer(network.theta, network.grad, learning_rate=rate)
    return diagnose(network, made, dataset.images, dataset.labels, rate=rate)


# --- measured beside expected -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("activation", [ReLU, Tanh])
@pytest.mark.parametrize("scheme", [init.he_normal, init.uniform])
def test_what_is_measured_is_what_theory_expects(scheme, activation, dataset, rng):
    """U[0, 1) too, whose weights have a mean: its signals grow by the square of a layer's width."""
    diagnosis = table(scheme, dataset, rng, activation=activation)
    for row in diagnosis.rows[:-1]:  # 300 units; the last layer has ten
        for name, within in (("q", 0.15), ("correlation", 0.1), ("update", 0.1)):
            if name == "update" and scheme is init.uniform:
                continue  # with tanh, φ' is 0 in float32: no gradient, no step
            assert np.mean(row.measured[name]) == pytest.approx(row.expected[name], rel=within), (row.name, name)
        assert np.mean(row.measured["saturation"]) == pytest.approx(row.expected["saturation"], abs=0.03)
    if scheme is not init.uniform:
        first, second = diagnosis.rows[:2]
        assert np.mean(first.measured["gradient"]) == pytest.approx(first.expected["gradient"], rel=0.3)
        assert np.mean(second.measured["gradient"]) == pytest.approx(second.expected["gradient"], rel=0.3)
        assert np.mean(diagnosis.measured["loss"]) == pytest.approx(diagnosis.expected["loss"], rel=0.1)


def test_the_update_is_the_one_that_the_optimizer_makes(dataset, rng):
    network = mlp([784, 30, 10], activation=Tanh).apply(init.linear(init.rule_normal, rng=rng))
    optimizer = SGD(network.theta, network.grad, learning_rate=0.1)
    row = diagnose(network, optimizer, dataset.images, dataset.labels, rate=0.1).rows[0]
    W = network.layers[0].W.copy()
    settings = {
        "epochs": 1,
        "batch_size": 100,
        "rng": rng,
        "indices": np.arange(100),
    }  # one step
    fit(network, optimizer, dataset.images, dataset.labels, **settings)
    moved = np.sqrt(np.square(network.layers[0].W - W).mean() / np.square(W).mean())
    assert row.measured["update"] == pytest.approx(moved, rel=1e-4)


def test_a_diagnosis_leaves_network_optimizer_and_masks_as_they_are(dataset, rng):
    masks = np.random.default_rng(1)
    network = mlp([784, 30, 10], dropout=0.2, rng=masks).apply(init.linear(init.he_normal, rng=rng))
    optimizer = Adam(network.theta, network.grad)
    before = copy.deepcopy((network.theta, network.grad, optimizer.m, masks.bit_generator.state))
    diagnose(network, optimizer, dataset.images, dataset.labels)
    assert np.array_equal(before[0], network.theta)
    assert np.array_equal(before[1], network.grad)
    assert np.array_equal(before[2], optimizer.m)
    assert before[3] == masks.bit_generator.state
    assert optimizer.t == 0


def test_the_law_of_weights_is_read_off_them(rng):
    assert moments(np.full((30, 20), 0.3, np.float32)) == (pytest.approx(0.3), 0)
    mean, var = moments(rng.uniform(0, 1, (300, 200)))
    assert (mean, var) == (pytest.approx(0.5, rel=0.01), pytest.approx(1 / 12, rel=0.02))
    assert moments(rng.normal(0, 0.1, (300, 200)))[0] == 0  # and not the little that one draw happens to have


def test_the_expected_saturation_is_that_of_normal_outputs(rng):
    for phi in (ReLU(), Tanh(), Sigmoid()):
        Y = 0.5 + rng.normal(size=(500, 400)) * 4
        assert flat_share(phi, 0.5, 16.0) == pytest.approx(saturation(Y, phi), abs=0.01)


# --- verdicts ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("scheme", "sizes", "word"),
    [
        (init.zeros, WIDE, "symmetric"),
        (init.ones, WIDE, "symmetric"),
        (init.ones, WIDE, "explodes"),
        (init.uniform, WIDE, "explodes"),
        (init.rule_normal, WIDE, "fine"),
        (init.he_normal, WIDE, "fine"),
        (init.rule_normal, [784, *[64] * 20, 10], "fades"),
        (init.he_normal, [784, *[64] * 20, 10], "fine"),
    ],
)
def test_a_verdict_names_what_theory_says_of_a_start(scheme, sizes, word, dataset, rng):
    dropout = 0.2 if len(sizes) == 4 else 0.0
    assert word in table(scheme, dataset, rng, sizes, dropout=dropout).words


def test_saturated_units_dead_ones_and_steps_have_their_words(dataset, rng):
    wide = table(lambda shape, rng: init.normal(shape, rng=rng, std=0.5), dataset, rng, activation=Tanh)
    assert "saturated" in wide.words
    assert "too small a step" in table(init.he_normal, dataset, rng, optimizer=SGD, rate=1e-7).words
    assert "too big a step" in table(init.he_normal, dataset, rng, optimizer=Adam, rate=0.1).words

    def down(layer):
        if isinstance(layer, Linear):
            layer.W[...] = init.he_normal(layer.W.shape, rng=rng)
            layer.b[: int(0.6 * len(layer.b))] = -100

    network = mlp([784, 40, 10]).apply(down)
    diagnosis = diagnose(network, Adam(network.theta, network.grad), dataset.images, dataset.labels)
    assert "dead" in diagnosis.rows[0].words
    assert diagnosis.rows[0].measured["dead"] == 0.6
    assert diagnosis.images == 6000  # all of them
    assert any(f"for all {6000:,} images" in verdict.reason for verdict in diagnosis.rows[0].verdicts)


def test_every_verdict_prints_its_rule(dataset, rng):
    for scheme in (init.zeros, init.ones, init.uniform):
        diagnosis = table(scheme, dataset, rng)
        for verdict in [*diagnosis.verdicts, *(v for row in diagnosis.rows for v in row.verdicts)]:
            assert "(rule: " in verdict.reason
            assert verdict.word in WORDS


def test_what_is_not_finite_is_a_verdict_that_says_where_it_began_and_no_warning(dataset, rng):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        diagnosis = table(init.ones, dataset, rng, [784, *[100] * 30, 10])
    first = next(i for i, row in enumerate(diagnosis.rows, 1) if not np.isfinite(row.measured["q"]).all())
    assert 1 < first < 31
    for row in diagnosis.rows:
        assert row.verdicts == [
            Verdict("not finite", f"E[y²] is infinite or NaN from layer {first} on (rule: finite numbers)")
        ]


def test_a_gradient_that_overflows_is_told_where_it_begins_going_back(dataset, rng):
    network = mlp([784, 30, 30, 10]).apply(init.linear(init.he_normal, rng=rng))
    network.layers[4].W *= 1e30  # dX = dY Wᵀ is still finite; its product with the next weights is not
    network.layers[2].W *= 1e15
    network.layers[0].W *= 1e-20
    diagnosis = diagnose(network, Adam(network.theta, network.grad), dataset.images, dataset.labels)
    assert [row.words[0] == "not finite" for row in diagnosis.rows] == [True, False, False]
    assert "E[dW²] is infinite or NaN from layer 1 on, going back" in diagnosis.rows[0].verdicts[0].reason


@pytest.mark.parametrize("activation", [PReLU, "softplus.py:Softplus"])
def test_an_activation_with_parameters_has_an_expectation_too(activation, dataset, rng):
    if isinstance(activation, str):
        activation = parts.find(str(ROOT / "docs" / "examples" / activation), {}, "activation")
    row = table(init.he_normal, dataset, rng, activation=activation).rows[1]
    assert np.mean(row.measured["q"]) == pytest.approx(row.expected["q"], rel=0.15)


def test_the_words_come_in_one_order():
    assert words([]) == ["fine"]
    assert words([Verdict("fades", ""), Verdict("symmetric", ""), Verdict("fades", "")]) == ["symmetric", "fades"]


def test_numbers_are_short():
    for x, text in ((0.4123, "0.41"), (320.4, "320"), (31999, "3.2e4"), (9.6e-18, "1e-17"), (0, "0"), (1e-3, "1.0e-3")):
        assert size(x) == text
    assert [size(x) for x in (None, np.nan, np.inf, -np.inf)] == ["–", "NaN", "∞", "−∞"]
    assert [size(x) for x in (0.01, 0.00999, 999.4, 1000)] == ["0.01", "1.0e-2", "999", "1.0e3"]
    assert all(len(size(10.0**k * 1.26)) <= 6 for k in range(-99, 99))


# --- other networks ---------------------------------------------------------------------------------------------------


class Softmax(Layer):
    """Each output depends on all units: φ'(y) means nothing."""

    def forward(self, X, train=False):
        E = np.exp(X - X.max(axis=-1, keepdims=True))
        self.P = E / E.sum(axis=-1, keepdims=True)
        return self.P

    def backward(self, dY):
        return self.P * (dY - (dY * self.P).sum(axis=-1, keepdims=True))


def test_what_has_no_meaning_for_an_activation_is_none_and_theory_is_silent(dataset, rng):
    network = mlp([784, 30, 10], activation=Softmax).apply(init.linear(init.rule_normal, rng=rng))
    row = diagnose(network, Adam(network.theta, network.grad), dataset.images, dataset.labels).rows[0]
    assert row.measured["saturation"] is row.measured["dead"] is row.measured["patterns"] is None
    assert "q" not in row.expected
    assert row.measured["q"] > 0


def test_a_block_of_layers_is_one_row(dataset, rng):
    block = Network([Linear(rng.normal(size=(20, 20)), np.zeros(20)), Tanh(), Linear(np.eye(20), np.zeros(20))])
    network = Network(
        [Linear(rng.normal(size=(784, 20)), np.zeros(20)), PReLU(), block, Linear(np.eye(20), np.ones(20))]
    )
    diagnosis = diagnose(network, Adam(network.theta, network.grad), dataset.images, dataset.labels)
    assert [row.shape for row in diagnosis.rows] == [(784, 20), (20, 20), (20, 20)]
    assert [place.plain for place in places(network, dataset.images[:4])] == [True, False, True]


# --- on the looks of a training -----------------------------------------------------------------------------------


def looks(**change):
    """A recording of one look at a network of two layers in which all is well."""
    layers = {"signal": [1.0, 1.0], "gradient": [0.1, 0.4], "distinct": [8, 2], "rank": [8.0, 2.0]}
    layers |= {"silent": [0.0, None], "saturation": [0.5, None]}
    recording = {"steps": [0], "loss": [0.7], "images": [0.5], "units": [8, 2], "usual": [0.5, None]}
    recording |= {name: [values] for name, values in layers.items()}
    return recording | change


def said(recording):
    [(layers, whole)] = on_looks(recording, images=100, classes=2)
    return [[verdict.word for verdict in layer] for layer in layers], [verdict.word for verdict in whole]


def test_a_look_at_which_all_is_well_breaks_no_rule():
    assert said(looks()) == ([[], []], [])


@pytest.mark.parametrize(
    ("change", "layers", "whole"),
    [
        ({"signal": [[6.0, 70.0]]}, [["explodes"], ["explodes"]], []),
        ({"signal": [[6.0, 50.0]]}, [["explodes"], []], []),
        ({"signal": [[1.0, 0.09]]}, [[], ["fades"]], []),
        ({"gradient": [[0.009, 0.4]]}, [["fades"], []], []),  # the sums over units are 0.072 and 0.8
        ({"gradient": [[0.03, 0.4]]}, [[], []], []),  # 0.24 and 0.8
        ({"distinct": [[3, 2]]}, [["symmetric"], []], []),
        ({"distinct": [[8, 0]]}, [[], []], []),  # logits need not differ
        ({"silent": [[0.6, None]]}, [["dead"], []], []),
        ({"saturation": [[0.76, None]]}, [["saturated"], []], []),
        ({"loss": [1.5]}, [[], []], ["explodes"]),
        ({"signal": [[1.0, None]]}, [[], ["not finite"]], []),
        ({"gradient": [[None, 0.4]]}, [["not finite"], []], []),
    ],
)
def test_a_look_is_judged_by_the_rules_of_a_diagnosis(change, layers, whole):
    assert said(looks(**change)) == (layers, whole)


def well(**change):
    """The numbers of a hidden layer in which all is well."""
    numbers = {"hidden": True, "q": 1.0, "q_before": 1.0, "q_images": 1.0, "units": 8, "distinct": 8.0, "dead": 0.0}
    numbers |= {"gradient": 1.0, "gradient_after": 1.0, "gradient_logits": 1.0, "update": 0.001}
    return Numbers(**numbers | {"saturation": 0.5, "saturation_normal": 0.5} | change)


@pytest.mark.parametrize(
    ("at_the_limit", "beyond", "word"),
    [
        ({"distinct": 4.0}, {"distinct": 3.9}, "symmetric"),
        ({"dead": 0.5}, {"dead": 0.51}, "dead"),
        ({"saturation": 0.75}, {"saturation": 0.76}, "saturated"),
        ({"q": 10.0}, {"q": 10.1}, "explodes"),
        ({"q": 0.1}, {"q": 0.099}, "fades"),
        ({"gradient": 10.0}, {"gradient": 10.1}, "explodes"),
        ({"gradient": 0.1}, {"gradient": 0.099}, "fades"),
        ({"update": 0.3}, {"update": 0.31}, "too big a step"),
        ({"update": 1e-5}, {"update": 0.9e-5}, "too small a step"),
    ],
)
def test_a_number_at_its_limit_breaks_no_rule_and_one_beyond_it_does(at_the_limit, beyond, word):
    assert list(on_layer(well(**at_the_limit), images=100)) == []
    assert [verdict.word for verdict in on_layer(well(**beyond), images=100)] == [word]


def test_a_loss_and_a_sharpness_at_their_limits_break_no_rule_either():
    blind = np.log(10)
    assert list(on_network({"loss": 2 * blind, "sharpness": 2.0}, 10, 2.0)) == []
    beyond = on_network({"loss": 2.1 * blind, "sharpness": 2.1}, 10, 2.0)
    assert [verdict.word for verdict in beyond] == ["explodes", "too big a step"]


@pytest.mark.parametrize("nothing", [0.0, np.nan])
@pytest.mark.parametrize("now", [0.0, 5.0, np.nan])
def test_what_comes_out_of_nothing_or_of_no_number_is_not_judged(now, nothing):
    assert list(on_layer(well(q=now, q_before=nothing, q_images=nothing), images=100)) == []
    assert list(on_layer(well(q=np.nan), images=100)) == []


def test_a_sentence_says_what_is_compared_with_what_and_the_rule():
    said = [verdict.reason for verdict in on_layer(well(q=1200.0, q_before=100.0), images=100)]
    assert said == [
        "E[y²] is 12 times that of the layer before (rule: more than 10)",
        "E[y²] is 1.2e3 times that of the images (rule: more than 1,000)",
    ]
    said = [verdict.reason for verdict in on_layer(well(gradient=0.0005, gradient_after=0.01), images=100)]
    assert said == [
        "the gradient is 0.05 of that of the layer after (rule: below 1/10)",
        "the gradient is 5.0e-4 of that of the logits (rule: below 1/1,000)",
    ]


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"signal": [[None, 1.0]]}, "E[y²] is infinite or NaN (rule: finite numbers)"),
        ({"gradient": [[None, 0.4]]}, "E[dY²] is infinite or NaN (rule: finite numbers)"),
    ],
)
def test_what_is_not_finite_is_named(change, sentence):
    [(layers, _)] = on_looks(looks(**change), images=100, classes=2)
    assert layers[0] == [Verdict("not finite", sentence)]


def test_a_gradient_is_compared_with_that_of_the_layer_after():
    three = {"signal": [[1.0, 1.0, 1.0]], "gradient": [[25.0, 5.0, 1.0]], "distinct": [[2, 2, 2]], "usual": [None] * 3}
    three |= {"silent": [[None] * 3], "saturation": [[None] * 3], "units": [2, 2, 2]}
    assert said(looks(**three)) == ([[], [], []], [])


def test_the_sentence_names_the_images_that_were_looked_at():
    [(layers, _)] = on_looks(looks(silent=[[0.6, None]]), images=100, classes=2)
    assert "silent for all 100 images" in layers[0][0].reason
