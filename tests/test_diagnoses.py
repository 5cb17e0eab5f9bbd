"""A diagnosis as text and as JSON."""

import json
import math

import numpy as np
import pytest

from scratchnet import init
from scratchnet.lab.diagnostics import diagnose
from scratchnet.layers import Linear
from scratchnet.network import mlp
from scratchnet.optim import Adam
from scratchnet.report.diagnoses import MANY, reasons, record, table, whole


def diagnosis(scheme, dataset, rng, sizes=(784, 30, 20, 10), **options):
    network = mlp(sizes, replicas=(3,), **options)
    for layer in network.layers:
        if isinstance(layer, Linear):
            for W in layer.W:
                W[...] = scheme(W.shape, rng=rng)
    return diagnose(network, Adam(network.theta, network.grad), dataset.images, dataset.labels)


@pytest.mark.parametrize("scheme", [init.zeros, init.ones, init.uniform, init.he_normal])
@pytest.mark.parametrize("depth", [0, 2, 40])
def test_a_table_fits_eighty_columns_and_has_no_more_rows_than_a_screen(scheme, depth, dataset, rng):
    found = diagnosis(scheme, dataset, rng, (784, *[30] * depth, 10))
    lines = table(found).splitlines()
    assert max(map(len, lines)) <= 80
    assert len(lines) <= MANY + 2
    assert len(lines) == depth + 2 or depth == 40
    assert lines[-1].split()[0] == str(depth + 1)
    assert max(map(len, whole(found).splitlines())) <= 80


def test_a_table_shows_medians_beside_expectations_and_the_verdict(dataset, rng):
    found = diagnosis(init.uniform, dataset, rng)
    first = table(found).splitlines()[1]
    assert f"{np.median(found.rows[0].measured['q']):.1e}".replace("e+0", "e") in first
    assert f"({found.rows[0].expected['q']:.1e})".replace("e+0", "e") in first
    assert first.endswith("explodes")


def test_each_word_has_one_reason_with_its_rule(dataset, rng):
    found = reasons(diagnosis(init.ones, dataset, rng))
    assert [text.split(",")[0].split(":")[0] for text in found][:2] == ["symmetric", "explodes"]
    assert all("(rule: " in text for text in found)
    assert reasons(diagnosis(init.he_normal, dataset, rng)) == ["fine: no rule is broken"]


def test_a_record_is_json_whatever_happened(dataset, rng):
    found = diagnosis(init.ones, dataset, rng, (784, *[100] * 30, 10))  # overflows
    text = json.dumps(record(found), allow_nan=False)
    again = json.loads(text)
    assert again["rows"][0]["measured"]["q"] == pytest.approx(list(found.rows[0].measured["q"]), rel=1e-6)
    assert None in again["rows"][-1]["measured"]["q"]
    assert again["rows"][0]["words"] == found.rows[0].words
    assert not math.isnan(again["images"])
