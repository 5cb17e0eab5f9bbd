"""Figures: what is drawn is what was measured, and nothing overlaps or leaves the picture."""

import math

import numpy as np
import pytest
from matplotlib.text import Text

from scratchnet.lab.intervals import interval
from scratchnet.report import plots, style
from scratchnet.report.tables import LAST

LONG = "docs/examples/laplace.py:laplace:factor=3"


def curves(*levels, seeds=3, steps=40):
    return {f"arm {i}": np.full((seeds, steps), float(level)) for i, level in enumerate(levels)}


def noisy(rng, *levels, seeds=5, steps=3 * LAST):
    return {f"arm {i}": level * rng.uniform(0.8, 1.2, size=(seeds, steps)) for i, level in enumerate(levels)}


def drawn(figure):
    figure.draw_without_rendering()
    return figure.axes[0]


def everything_fits(figure):
    """Nothing leaves the figure, and no two texts overlap (tick labels left out, which matplotlib spaces itself)."""
    figure.draw_without_rendering()
    whole = figure.get_tightbbox().extents * figure.dpi
    assert (whole[:2] >= -1).all() and (whole[2:] <= figure.bbox.extents[2:] + 1).all(), whole
    ticks = [tick for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for tick in axis.findobj(Text)]
    titles = [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label)]
    seen = [text for text in figure.findobj(Text) if text.get_text().strip() and text.get_visible()]
    seen = [text for text in seen if text in titles or text not in ticks]
    boxes = [(text, Text.get_window_extent(text)) for text in seen]  # an annotation's own would hold its line too
    for i, (text, box) in enumerate(boxes):
        assert not [other for other, its in boxes[:i] if box.overlaps(its)], text


def mean_lines(axes):
    return [line for line in axes.get_lines() if line.get_linewidth() > 1]


# --- losses -------------------------------------------------------------------------------------------------------


def test_a_line_is_the_mean_over_seeds_and_the_band_is_students_interval(rng):
    values = rng.uniform(1, 2, size=(4, 30))
    axes = drawn(plots.losses("t", {"arm": values}, dataset="x"))
    np.testing.assert_allclose(mean_lines(axes)[0].get_ydata(), values.mean(axis=0))
    vertices = axes.collections[0].get_paths()[0].vertices
    for batch in (1, 17, 30):
        at = vertices[vertices[:, 0] == batch, 1]
        expected = interval(values[:, batch - 1])
        np.testing.assert_allclose([at.min(), at.max()], [expected.low, expected.high])


def test_two_seeds_are_drawn_themselves_and_one_has_nothing_beside_it(rng):
    values = rng.uniform(1, 2, size=(2, 30))
    axes = drawn(plots.losses("t", {"arm": values}, dataset="x"))
    assert len(axes.collections) == 0
    first, second, mean = (line.get_ydata() for line in axes.get_lines()[:3])
    np.testing.assert_allclose([first, second], values)
    np.testing.assert_allclose(mean, values.mean(axis=0))
    axes = drawn(plots.losses("t", {"arm": values[:1]}, dataset="x"))
    assert len(axes.collections) == 0
    assert len(mean_lines(axes)) == 1


@pytest.mark.parametrize(("seeds", "words"), [(1, "one seed"), (2, "thin: each seed"), (3, "Student's 95 % interval")])
def test_the_note_says_what_lines_and_bands_are(seeds, words):
    assert words in plots.losses("t", curves(1, seeds=seeds), dataset="x").get_supxlabel()


def test_on_the_left_are_the_first_batches_and_on_the_right_the_running_mean_of_all(rng):
    values = rng.uniform(1, 2, size=(3, 3 * LAST))
    figure = plots.losses("t", {"arm": values}, dataset="x", first=20)
    left, right = figure.axes
    assert (left.get_title("left"), right.get_title("left")) == (
        "First 20 batches",
        f"All {3 * LAST} batches: running mean of {LAST}",
    )
    np.testing.assert_allclose(mean_lines(left)[0].get_ydata(), values[:, :20].mean(axis=0))
    smooth = mean_lines(right)[0]
    assert smooth.get_xdata()[[0, -1]].tolist() == [LAST, 3 * LAST]
    np.testing.assert_allclose(smooth.get_ydata()[7], values[:, 7 : 7 + LAST].mean())


def test_a_line_ends_at_the_number_of_the_table_which_stands_beside_it():
    falling = 28_000 * np.exp(-np.arange(1000) / 100) * np.ones((3, 1))
    figure = plots.losses("t", {"U[0, 1)": falling}, dataset="x")
    expected = falling[:, -LAST:].mean()
    np.testing.assert_allclose(mean_lines(figure.axes[1])[0].get_ydata()[-1], expected)
    assert f"{expected:.3f}  U[0, 1)" in [text.get_text() for text in figure.axes[1].texts]
    assert figure.axes[1].get_ylim()[0] < expected


def test_a_short_training_has_one_panel_with_all_batches():
    figure = plots.losses("t", curves(1, steps=LAST), dataset="x", first=20)
    assert [axes.get_title("left") for axes in figure.axes] == [f"All {LAST} batches"]
    assert figure.axes[0].texts[0].get_text() == "mean 1.000  arm 0"
    figure = plots.losses("t", curves(1, steps=LAST + 1), dataset="x", first=5000)
    assert [axes.get_title("left")[:15] for axes in figure.axes] == ["All 101 batches"] * 2
    assert figure.axes[1].texts[0].get_text() == "1.000  arm 0"


def test_the_scale_is_logarithmic_where_arms_differ_by_orders_of_magnitude():
    assert drawn(plots.losses("t", curves(1, 1000), dataset="x")).get_yscale() == "log"
    axes = drawn(plots.losses("t", curves(1, 2), dataset="x"))
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0


@pytest.mark.parametrize(("low", "high"), [(1, 21), (0.15, 90), (0.02, 45), (0.3, 3e5), (2, 3e31), (0.21, 0.9)])
def test_a_logarithmic_scale_has_at_least_three_ticks_in_plain_numbers(low, high):
    axes = drawn(plots.losses("t", curves(1, 1000), dataset="x"))
    axes.set_ylim(low, high)
    style.log_ticks(axes.yaxis)
    ticks = axes.get_yticks()
    assert 3 <= len(ticks) <= 9
    assert low <= ticks.min() < ticks.max() <= high
    assert [label.get_text() for label in axes.get_yticklabels()] == [style.plain(tick) for tick in ticks]


@pytest.mark.parametrize(
    ("x", "text"),
    [(0.05, "0.05"), (0.5, "0.5"), (2.0, "2"), (1e3, "1,000"), (1e5, "100,000"), (1e6, "10⁶"), (5e8, "5·10⁸")],
)
def test_ticks_are_plain_numbers(x, text):
    assert style.plain(x) == text


@pytest.mark.parametrize("classes", [2, 10])
def test_a_thin_line_marks_the_loss_of_a_blind_guess_where_it_is_within_the_scale(classes):
    axes = drawn(plots.losses("t", curves(0.1, 3), dataset="x", classes=classes))
    assert axes.get_lines()[-1].get_ydata() == pytest.approx([math.log(classes)] * 2)
    assert f"{math.log(classes):.3f}  blind guess: ln {classes}" in [text.get_text() for text in axes.texts]
    for beyond in ((0.1, 0.2), (500, 90_000)):
        axes = drawn(plots.losses("t", curves(*beyond), dataset="x", classes=classes))
        assert "blind" not in "".join(text.get_text() for text in axes.texts)


@pytest.mark.parametrize(("last", "shown"), [(11, True), (22, True), (300, False)])
def test_a_logarithmic_scale_reaches_down_to_the_blind_guess_where_that_is_near(last, shown):
    """U[0, 1) ends at a loss of 11 on average: whether that is better than guessing is what one wants to see."""
    falling = np.geomspace(80_000, last, 90) * np.ones((3, 1))
    axes = drawn(plots.losses("t", {"U[0, 1)": falling}, dataset="x"))
    assert axes.get_yscale() == "log"
    assert (axes.get_ylim()[0] < math.log(10)) == shown


def test_thousands_have_commas_on_a_linear_scale_and_beside_a_line():
    figure = plots.losses("t", {"arm": np.linspace(100_000, 27_817, 90) * np.ones((3, 1))}, dataset="x")
    figure.draw_without_rendering()
    axes = drawn(figure)
    assert "100,000" in [label.get_text() for label in axes.get_yticklabels()]
    assert "mean 63,908  arm" in [text.get_text() for text in axes.texts]


def test_the_note_says_what_the_points_of_an_answer_are():
    note = plots.losses("t", curves(1), dataset="x", answer="A is ahead of B by 5.45 points.").get_supxlabel()
    assert "points: validation accuracy" in note
    assert "points" not in plots.losses("t", curves(1), dataset="x").get_supxlabel()


@pytest.mark.parametrize("steps", [40, 3 * LAST])
@pytest.mark.parametrize("levels", [(1.0, 1.001, 1.002, 1.5), (2.3, 2000.0), (0.5,) * 7, (1, 2, 3, 4, 9, 9e4, 1e5)])
def test_labels_stand_on_the_right_and_neither_overlap_nor_leave_the_figure(rng, levels, steps):
    figure = plots.losses("t", noisy(rng, *levels, steps=steps), dataset="x")
    everything_fits(figure)
    labels = [text for text in figure.axes[-1].texts if "blind" not in text.get_text()]
    assert len(labels) == len(levels)
    # an annotation's own extent has its line in it
    assert all(Text.get_window_extent(text).x0 > figure.axes[-1].bbox.x1 for text in labels)


@pytest.mark.parametrize("steps", [40, 3 * LAST])
def test_long_names_answers_and_settings_are_wrapped(rng, steps):
    arms = {f"{LONG}{i}": values for i, values in enumerate(noisy(rng, *[0.4] * 7, steps=steps).values())}
    note = f"784-100×20-10, {LONG}, dropout 0.2, {LONG} at 0.001, 2 epochs of batches of 100, float64; a quick look"
    answer = "\n".join([f"{LONG} is ahead of {LONG} by 23.05 points (+16.82 to +29.29), a small difference."] * 6)
    for stand_in in (False, True):
        figure = plots.losses("Chosen arms", arms, dataset="a stand-in", stand_in=stand_in, answer=answer, note=note)
        everything_fits(figure)
        assert figure.axes[0].bbox.height > 250  # pixels, at 100 an inch


def test_what_is_not_finite_is_left_out_without_a_warning():
    values = np.array([[1.0, np.inf, np.nan], [2.0, 4.0, np.nan], [3.0, 4.0, 5.0]])
    axes = drawn(plots.losses("t", {"arm": values[:2]}, dataset="x"))
    np.testing.assert_array_equal(mean_lines(axes)[0].get_ydata(), [1.5, 4.0, np.nan])
    assert "diverged  arm" in [text.get_text() for text in axes.texts]
    axes = drawn(plots.losses("t", {"arm": values}, dataset="x"))
    ends = {x for path in axes.collections[0].get_paths() for x in path.vertices[:, 0]}
    assert ends <= {1.0}, "a band where a seed is missing"


@pytest.mark.parametrize("steps", [5, 3 * LAST])
@pytest.mark.parametrize("value", [np.nan, np.inf, 1e30, 1e300])
def test_arms_that_diverged_still_make_a_figure(value, steps):
    for seeds in (1, 2, 3):
        everything_fits(plots.losses("t", {"arm": np.full((seeds, steps), value)}, dataset="x"))


# --- ranking ------------------------------------------------------------------------------------------------------


def ranked(rng, *accuracies, seeds=5):
    """Arms of these mean accuracies, whose losses are 1 − accuracy."""
    arms = {}
    for i, mean in enumerate(accuracies):
        x = mean + rng.uniform(-0.5, 0.5, size=seeds)
        arms[f"arm {i}"] = (1 - x / 100, x)
    return arms


def dots(axes):
    return [line.get_xdata().tolist() for line in axes.get_lines() if line.get_marker() == "o"]


def test_a_ranking_has_the_best_arm_at_the_top_and_a_dot_for_every_seed():
    arms = {"worse": (np.array([100.0, 200.0]), np.array([50.0, 52.0])), "better": (np.ones(2), np.array([80.0, 81.0]))}
    figure = plots.ranking("t", arms, loss_label="loss", dataset="x")
    left, right = figure.axes
    drawn(figure)
    assert [label.get_text() for label in left.get_yticklabels()] == ["worse", "better"]
    assert left.get_xscale() == "log"
    assert dots(right) == [[50, 52], [80, 81]]


def test_a_ranking_has_the_mean_and_students_interval(rng):
    arms = ranked(rng, 80, 81)
    figure = plots.ranking("t", arms, loss_label="loss", dataset="x")
    lines = [line.get_xdata() for line in figure.axes[1].get_lines() if line.get_linestyle() == "-"]
    ends = [line for line in lines if len(line) == 2 and line[0] != line[1]]
    np.testing.assert_allclose(ends, [interval(x)[2:] for _, x in arms.values()])
    bars = [line.get_xdata() for line in figure.axes[1].get_lines() if line.get_marker() == "|"]
    np.testing.assert_allclose(bars, [[x.mean()] for _, x in arms.values()])
    figure = plots.ranking("t", ranked(rng, 80, 81, seeds=2), loss_label="loss", dataset="x")
    assert "interval" not in figure.get_supxlabel()


def test_a_ranking_shows_the_better_arms_in_detail_and_points_to_the_others(rng):
    figure = plots.ranking("t", ranked(rng, 86, 86.5, 85.8, 86.1, 12.5, 9.8), loss_label="loss", dataset="x")
    left, right = figure.axes
    assert right.get_xlim()[0] > 84
    assert len(dots(right)) == 4
    marks = [text.get_text() for text in right.texts]
    assert len(marks) == 2
    assert all(mark.startswith("◂ ") for mark in marks)
    assert float(marks[0][2:]) == pytest.approx(9.8, abs=0.5)
    assert [text.get_text()[-1] for text in left.texts] == ["▸", "▸"]
    everything_fits(figure)


def test_a_ranking_marks_the_blind_guess_where_it_is_within_the_scale(rng):
    figure = plots.ranking("t", ranked(rng, 60, 35, 9), loss_label="loss", dataset="x")
    assert "blind guess: 10 %" in [text.get_text() for text in figure.axes[1].texts]
    figure = plots.ranking("t", ranked(rng, 86, 86.5), loss_label="loss", dataset="x")
    assert not list(figure.axes[1].texts)


def test_a_ranking_says_which_arms_diverged(rng):
    arms = ranked(rng, 86, 85, 84, 10)
    arms["arm 3"][0][2] = np.inf
    arms["arm 0"][0][1] = np.nan
    figure = plots.ranking("t", arms, loss_label="loss", dataset="x")
    assert [text.get_text() for text in figure.axes[0].texts] == ["diverged ▸", "diverged ▸"]
    for _, (losses, _) in arms.items():
        losses[:] = np.nan
    everything_fits(plots.ranking("t", arms, loss_label="loss", dataset="x"))


@pytest.mark.parametrize("count", [5, 34])
@pytest.mark.parametrize("label", ["he_normal", LONG])
@pytest.mark.parametrize("seeds", [1, 2, 5])
def test_a_ranking_is_readable_with_few_arms_and_with_many(rng, count, label, seeds):
    arms = ranked(rng, *rng.uniform(85, 86.5, size=count - 2), 10, 45, seeds=seeds)
    arms = {f"{label}{i}": values for i, values in enumerate(arms.values())}
    answer = f"{LONG} is ahead of {LONG} by 23.05 points (+16.82 to +29.29)."
    figure = plots.ranking("t", arms, loss_label="loss", dataset="x", answer=answer, note=LONG)
    everything_fits(figure)
    boxes = [text.get_window_extent() for text in figure.axes[0].get_yticklabels()]
    assert len(boxes) == count
    assert not any(a.overlaps(b) for i, a in enumerate(boxes) for b in boxes[:i])


# --- weights ------------------------------------------------------------------------------------------------------


def test_histograms_of_weights_have_their_density_or_a_labelled_bar_a_value():
    W = np.random.default_rng(0).normal(size=(50, 50))
    few = np.eye(10)
    figure = plots.histograms("t", {"normal": W, "eye": few}, {"normal": lambda x: 0 * x, "eye": None})
    drawn(figure)
    first, second = figure.axes
    assert len(first.get_lines()) == 1
    assert [text.get_text() for text in second.texts] == ["90 %", "10 %", "eye"]


def test_weights_of_similar_size_share_one_scale_and_the_others_have_their_own(rng):
    widths = {"wide": 2.0, "tiny": 0.001, "narrow": 1.0, "huge": 100.0}
    W = {label: rng.uniform(-width, width, size=(50, 50)) for label, width in widths.items()}
    figure = plots.histograms("t", W, {label: lambda x: 0 * x for label in W})
    drawn(figure)
    rows = {axes.texts[-1].get_text(): axes for axes in figure.axes}
    assert list(rows) == ["narrow", "wide", "tiny", "huge"]
    assert rows["narrow"].get_xlim() == rows["wide"].get_xlim() == pytest.approx((-2.1, 2.1), rel=0.01)
    assert rows["narrow"].get_ylim() == rows["wide"].get_ylim()
    assert rows["tiny"].get_xlim()[1] < 0.0012
    assert rows["huge"].get_xlim()[1] > 100
    everything_fits(figure)


def test_a_histogram_has_area_1_and_its_density():
    figure = plots.histogram(
        "t",
        np.random.default_rng(0).uniform(-3, 3, 1000),
        lambda x: np.full_like(x, 1 / 6),
        answer="U(−3, 3): every value in the range is as likely as any other",
    )
    axes = drawn(figure)
    assert abs(sum(p.get_width() * p.get_height() for p in axes.patches) - 1) < 1e-9
    assert set(axes.get_lines()[0].get_ydata()) == {1 / 6}
    everything_fits(figure)


# --- the rest -----------------------------------------------------------------------------------------------------


def test_a_stand_in_is_a_warning_in_the_figure_and_a_dataset_a_name_below_it():
    for draw in (
        lambda **which: plots.losses("t", curves(1), **which),
        lambda **which: plots.ranking("t", {"arm": (np.ones(1), np.ones(1))}, loss_label="loss", **which),
        lambda **which: plots.samples(np.zeros((20, 784)), np.zeros(20, int), ["a"], **which),
    ):
        figure = draw(dataset="synthetic stand-in", stand_in=True)
        [warning] = [text for text in figure.texts if text.get_text() == "synthetic stand-in"]
        assert warning.get_color() == "#B00020"
        everything_fits(figure)
        assert draw(dataset="Fashion-MNIST").get_supxlabel().startswith("Fashion-MNIST")


def test_a_grid_of_samples_has_titles():
    labels = np.arange(20) % 3
    figure = plots.samples(np.zeros((20, 784)), labels, ["a", "b", "c"], dataset="x")
    assert [axes.get_title() for axes in figure.axes] == [["a", "b", "c"][k] for k in labels]


def test_growth_is_drawn_on_logarithmic_scales_or_from_zero_where_little_changes():
    x = np.array([1, 10, 100])
    steep, flat = {"a": x * 1.0, "b": x * 2.0}, {"a": np.array([1.0, 1.1, 1.2])}
    figure = plots.growth("t", "x", x, steep)
    assert drawn(figure).get_yscale() == "log"
    everything_fits(figure)
    axes = drawn(plots.growth("t", "x", x, flat))
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim()[0] == 0


def test_colours_and_dashes_differ_for_as_many_arms_as_there_are():
    assert len(set(style.COLORS)) == len(set(map(str, style.DASHES))) == 7


def test_things_are_moved_apart_as_little_as_needed():
    def apart(*positions, size=0.2):
        return style.apart(np.array(positions), np.full(len(positions), size))

    np.testing.assert_allclose(apart(0.0, 0.5, 1.0), [0, 0.5, 1])
    np.testing.assert_allclose(apart(0.5, 0.5), [0.4, 0.6])
    np.testing.assert_allclose(apart(0.0, 0.0, 0.9), [0, 0.2, 0.9])
    np.testing.assert_allclose(apart(0.1, 1.0, 1.0), [0.1, 0.8, 1.0])
    assert np.diff(apart(0.1, 0.45, 0.5, 0.55, 0.7)).min() > 0.2 - 1e-12
    np.testing.assert_allclose(style.apart(np.array([0.5, 0.5]), np.array([0.2, 0.4])), [0.35, 0.65])


@pytest.mark.parametrize(
    ("label", "lines"),
    [
        ("he_normal", ["he_normal"]),
        (LONG, ["docs/examples/", "laplace.py:laplace:", "factor=3"]),
        ("a" * 45, ["a" * 20, "a" * 20, "a" * 5]),
    ],
)
def test_a_long_label_is_broken_where_its_parts_meet(label, lines):
    assert style.folded(label, 20).splitlines() == lines


def test_a_saved_figure_is_a_png(tmp_path):
    style.save(plots.losses("t", curves(1), dataset="x"), tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
