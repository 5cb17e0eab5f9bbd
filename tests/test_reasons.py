"""Pictures of reasons: what is drawn is what was found, and nothing is cut off."""

import numpy as np
import pytest
from test_diagnoses import diagnosis
from test_plots import everything_fits

from scratchnet import init
from scratchnet.lab.trajectory import Trajectory
from scratchnet.report import reasons


@pytest.fixture(scope="module")
def arms(request):
    from scratchnet.data import Dataset, pixels, synthetic

    rng = np.random.default_rng(0)
    images, labels = synthetic.draw(600, rng=rng)
    data = Dataset("synthetic", pixels(images), labels, pixels(images[:0]), labels[:0])
    schemes = {"All zeros": init.zeros, "All ones": init.ones, "He's rule": init.he_normal}
    return {label: diagnosis(scheme, data, rng) for label, scheme in schemes.items()}


def test_a_page_has_a_panel_for_each_quantity_and_its_title_is_the_verdict(arms):
    figure = reasons.page("A title", arms, dataset="x", note="a note")
    assert len(figure.axes) == 6
    words = ", ".join(arms["All ones"].words)
    assert figure.texts[0].get_text().replace("\n", " ").startswith("All zeros: symmetric")
    assert f"All ones: {words}" in figure.texts[0].get_text().replace("\n", " ")
    everything_fits(figure)
    signal = figure.axes[0]
    measured = {line.get_label(): line.get_ydata() for line in signal.get_lines()}
    expected = [np.median(row.measured["q"]) for row in arms["He's rule"].rows]
    np.testing.assert_allclose(measured["He's rule"], expected)
    assert np.isnan(measured["All zeros"]).all()  # 0 has no place on a logarithmic scale,
    assert "All zeros: the signal is 0" in signal.get_title(loc="left").replace("\n", " ")  # so the title says it


def test_a_page_of_a_network_that_overflowed_can_be_drawn(dataset, rng):
    deep = {"All ones": diagnosis(init.ones, dataset, rng, (784, *[60] * 40, 10))}
    figure = reasons.page("t", deep, dataset="x")
    assert "overflows" in figure.axes[0].get_title(loc="left")
    assert figure.texts[0].get_text().startswith("All ones: not finite")
    everything_fits(figure)


def test_a_page_without_hidden_layers_can_be_drawn(dataset, rng):
    everything_fits(reasons.page("t", {"He": diagnosis(init.he_normal, dataset, rng, (784, 10))}, dataset="x"))


def test_units_over_steps_are_drawn_for_each_setting(rng):
    steps = (0, 1, 10, 100)
    path = Trajectory(steps, (64,), np.full((4, 1, 2), 64), rng.uniform(1, 60, (4, 1, 2)), *rng.random((2, 4, 2)))
    figure = reasons.units_over_steps(
        {"without dropout": {"a": path}, "dropout 0.2": {"a": path}}, dataset="x", title="t", answer="one\ntwo"
    )
    assert len(figure.axes) == 6
    np.testing.assert_allclose(figure.axes[2].get_lines()[0].get_ydata(), np.median(path.rank[:, 0], axis=1))
    np.testing.assert_allclose(figure.axes[4].get_lines()[0].get_ydata(), 100 * np.median(path.accuracy, axis=1))
    everything_fits(figure)
