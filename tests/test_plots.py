"""Figures: what is drawn is what was measured, and labels neither overlap nor leave the picture."""

import numpy as np
import pytest

from scratchnet.report import plots


def curves(*levels, seeds=3, steps=40):
    return {f"arm {i}": np.full((seeds, steps), float(level)) for i, level in enumerate(levels)}


def drawn(figure):
    figure.draw_without_rendering()
    return figure.axes[0]


def test_a_line_is_the_mean_over_seeds_and_the_band_goes_from_lowest_to_highest():
    values = np.array([[1.0, 2.0], [3.0, 6.0]])
    axes = drawn(plots.losses("title", {"arm": values}, dataset="x"))
    assert axes.get_lines()[0].get_ydata().tolist() == [2.0, 4.0]
    band = axes.collections[0].get_paths()[0].vertices
    assert (band[:, 1].min(), band[:, 1].max()) == (1.0, 6.0)


def test_the_scale_is_logarithmic_where_arms_differ_by_orders_of_magnitude():
    assert drawn(plots.losses("t", curves(1, 1000), dataset="x")).get_yscale() == "log"
    assert drawn(plots.losses("t", curves(1, 2), dataset="x")).get_yscale() == "linear"


@pytest.mark.parametrize("levels", [(1.0, 1.001, 1.002, 1.5), (2.3, 2000.0), (0.5, 0.5, 0.5)])
def test_labels_stand_on_the_right_do_not_overlap_and_are_not_clipped(levels):
    figure = plots.losses("t", curves(*levels), dataset="x")
    axes = drawn(figure)
    boxes = [text.get_window_extent() for text in axes.texts]
    assert len(boxes) == len(levels)
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])
    assert all(box.x1 <= figure.bbox.x1 and box.x0 >= axes.get_window_extent().x1 for box in boxes)


def test_what_is_not_finite_is_left_out_without_a_warning():
    values = np.array([[1.0, np.inf, np.nan], [2.0, 4.0, np.nan]])
    axes = drawn(plots.losses("t", {"arm": values}, dataset="x"))
    np.testing.assert_array_equal(axes.get_lines()[0].get_ydata(), [1.5, 4.0, np.nan])


def test_arms_that_never_were_finite_still_make_a_figure():
    drawn(plots.losses("t", {"arm": np.full((2, 5), np.nan)}, dataset="x"))


def test_a_stand_in_is_named_in_the_figure():
    for figure in (
        plots.losses("t", curves(1), dataset="synthetic stand-in", stand_in=True),
        plots.samples(np.zeros((20, 784)), np.zeros(20, int), ["a"], dataset="synthetic stand-in", stand_in=True),
    ):
        assert figure.get_supxlabel() == "synthetic stand-in"


def test_a_grid_of_samples_has_titles():
    labels = np.arange(20) % 3
    figure = plots.samples(np.zeros((20, 784)), labels, ["a", "b", "c"], dataset="x")
    assert [axes.get_title() for axes in figure.axes] == [["a", "b", "c"][k] for k in labels]


def test_a_histogram_has_area_1_and_its_density():
    figure = plots.histogram("t", np.random.default_rng(0).uniform(-3, 3, 1000), lambda x: np.full_like(x, 1 / 6))
    axes = drawn(figure)
    assert abs(sum(p.get_width() * p.get_height() for p in axes.patches) - 1) < 1e-9
    assert set(axes.get_lines()[0].get_ydata()) == {1 / 6}


def test_colours_and_dashes_differ_for_as_many_arms_as_there_are():
    assert len(set(plots.COLORS)) == len(set(map(str, plots.DASHES))) == 7


def test_positions_are_moved_apart_as_little_as_needed():
    np.testing.assert_allclose(plots._apart(np.array([0.0, 0.5, 1.0]), 0.2), [0, 0.5, 1])
    np.testing.assert_allclose(plots._apart(np.array([0.5, 0.5]), 0.2), [0.4, 0.6])
    apart = plots._apart(np.array([0.1, 0.45, 0.5, 0.55, 0.7]), 0.2)
    assert np.diff(apart).min() > 0.2 - 1e-12


def test_a_saved_figure_is_a_png(tmp_path):
    plots.save(plots.losses("t", curves(1), dataset="x"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]


def test_a_ranking_has_the_best_arm_at_the_top_and_a_dot_for_every_seed():
    arms = {"worse": (np.array([100.0, 200.0]), np.array([50.0, 52.0])), "better": (np.ones(2), np.array([80.0, 81.0]))}
    figure = plots.ranking("t", arms, loss_label="loss", dataset="x")
    left, right = figure.axes
    drawn(figure)
    assert [label.get_text() for label in left.get_yticklabels()] == ["worse", "better"]
    assert left.get_xscale() == "log"
    dots = [line for line in right.get_lines() if line.get_marker() == "o"]
    assert [line.get_xdata().tolist() for line in dots] == [[50, 52], [80, 81]]


def test_histograms_of_weights_have_their_density_or_a_labelled_bar_a_value():
    W = np.random.default_rng(0).normal(size=(50, 50))
    few = np.eye(10)
    figure = plots.histograms("t", {"normal": W, "eye": few}, {"normal": lambda x: 0 * x, "eye": None})
    drawn(figure)
    first, second, *rest = figure.axes
    assert len(first.get_lines()) == 1
    assert [text.get_text() for text in second.texts] == ["90 %", "10 %"]
    assert not any(axes.axison for axes in rest)


def test_growth_is_drawn_on_logarithmic_scales_or_from_zero_where_little_changes():
    x = np.array([1, 10, 100])
    steep, flat = {"a": x * 1.0, "b": x * 2.0}, {"a": np.array([1.0, 1.1, 1.2])}
    assert drawn(plots.growth("t", "x", x, steep)).get_yscale() == "log"
    axes = drawn(plots.growth("t", "x", x, flat))
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0
