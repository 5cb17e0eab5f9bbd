"""The chapters of the course: their code runs from top to bottom and prints what they show, in notebooks too."""

import contextlib
import io
import re
import warnings

import numpy as np
import pytest
from conftest import ROOT

from scratchnet.layers import Dropout, Linear, ReLU, Sigmoid, Tanh
from scratchnet.loss import CrossEntropy, softmax
from scratchnet.optim import SGD, Adam

DOCS = ROOT / "docs"
CHAPTERS = ["linear", "activations", "dropout", "softmax-cross-entropy", "adam", "gradient-checking"]
FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NUMBER = re.compile(r"[-+]?\d+(?:\.\d*)?(?:e[-+]?\d+)?")


def page(name):
    return (DOCS / f"{name}.md").read_text("utf-8")


def blocks(name):
    """(code, what the page shows that it prints, or "") of each block of Python."""
    found = list(FENCE.finditer(page(name)))
    for fence, after in zip(found, [*found[1:], None], strict=True):
        if fence[1] == "python":
            follows = after and after[1] == "text" and not page(name)[fence.end() : after.start()].strip()
            yield fence[2], after[2] if follows else ""


def agree(printed, shown):
    """The same words, and numbers that differ by one in the last digit at most: another BLAS may round otherwise."""
    if NUMBER.sub("#", printed).split() != NUMBER.sub("#", shown).split():
        return False
    for one, other in zip(NUMBER.findall(printed), NUMBER.findall(shown), strict=True):
        mantissa, _, exponent = other.partition("e")
        last = 10.0 ** (int(exponent or 0) - len(mantissa.partition(".")[2]))
        exact = "." not in other and not exponent  # a count, or a name
        if one != other and (exact or abs(float(one) - float(other)) > 1.01 * last):
            return False
    return True


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_runs_from_top_to_bottom_and_prints_what_it_shows(name):
    namespace = {"__name__": "__main__"}
    for code, shown in blocks(name):
        out = io.StringIO()
        with contextlib.redirect_stdout(out):
            exec(compile(code, f"{name}.md", "exec"), namespace)
        assert agree(out.getvalue(), shown), f"{code}\nprinted\n{out.getvalue()}\nand the page shows\n{shown}"


@pytest.mark.parametrize("name", CHAPTERS)
def test_each_output_of_a_chapter_stands_below_the_code_that_prints_it(name):
    texts = [fence[2] for fence in FENCE.finditer(page(name)) if fence[1] == "text"]
    assert texts == [shown for _, shown in blocks(name) if shown]
    assert len(texts) >= 5


def test_agree_allows_one_in_the_last_digit_and_no_more():
    assert agree("a 1.24\n", "a  1.23")
    assert agree("1.0e-05", "1.1e-05")
    assert agree("3e-12", "4e-12")
    assert not agree("2e-12", "4e-12")
    assert not agree("a 1.25", "a 1.23")
    assert not agree("a 1.23", "b 1.23")
    assert not agree("6", "5")
    assert not agree("1.23 4", "1.23")


@pytest.mark.parametrize("name", CHAPTERS)
def test_the_mathematics_has_nothing_that_github_or_the_site_shows_wrongly(name):
    text = FENCE.sub("", page(name))
    displayed = re.findall(r"^\$\$(.*?)\$\$$", text, re.MULTILINE | re.DOTALL)
    text = re.sub(r"`[^`]*`", "", re.sub(r"\$\$.*?\$\$", "", text, flags=re.DOTALL))
    inline = re.findall(r"\$([^$\n]+)\$", text)
    text = re.sub(r"\$[^$\n]+\$", "¤", text)
    assert displayed
    for formula in displayed + inline:
        assert not re.search(r"\\[^a-zA-Z]", formula), f"GitHub eats the backslash of \\, or \\{{ in {formula}"
        assert not re.search(r"[*<>]|\n\n", formula), formula
    assert "$" not in text  # every $ has its partner, on its own line
    assert not re.search(r"\w¤|¤\w", text)  # GitHub takes the $ of a$x$ and of $x$b for money
    for formula in inline:
        assert formula == formula.strip()
    latex2mathml = pytest.importorskip("docutils.utils.math.latex2mathml", reason="the site's MathML: extra docs")
    for formula in displayed + inline:
        assert "math" in latex2mathml.tex2mathml(formula)


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_leads_to_its_file_its_exercises_and_the_next_chapter(name):
    text = page(name)
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", text):
        assert "://" in target or (DOCS / target).exists(), target
    assert "../scratchnet/" in text
    exercises = name.replace("-", "_")
    assert f"exercises/{exercises}.py" in text
    assert f"$ python docs/exercises/check.py {exercises}\n" in text
    following = [*CHAPTERS, "initialization"][CHAPTERS.index(name) + 1]
    assert f"({following}.md)" in text


@pytest.mark.parametrize("name", [*CHAPTERS, "initialization", "lesson"])
def test_a_chapter_names_every_exercise(name):
    exercises = name.replace("-", "_")
    assert f"](exercises/{exercises}.py)" in page(name)
    assert f"$ python docs/exercises/check.py {exercises}\n" in page(name)
    source = (DOCS / "exercises" / f"{exercises}.py").read_text("utf-8")
    for exercise in re.findall(r"^(?:def |class |)(\w+)(?:\(.*:| = None)$", source, re.MULTILINE):
        assert exercise in page(name), exercise


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_as_a_notebook_has_the_same_code(name):
    jupytext = pytest.importorskip("jupytext", reason="opening a chapter as a notebook needs jupytext: extra docs")
    notebook = jupytext.reads(page(name), fmt="md")
    cells = [cell.source for cell in notebook.cells if cell.cell_type == "code"]
    assert cells == [code.rstrip("\n") for code, _ in blocks(name)]


def test_a_notebook_runs_from_top_to_bottom_in_jupyter():
    """One of them, in a kernel of its own; the code of all is run above."""
    jupytext = pytest.importorskip("jupytext", reason="opening a chapter as a notebook needs jupytext: extra docs")
    nbclient = pytest.importorskip("nbclient", reason="running a notebook needs nbclient: extra docs")
    pytest.importorskip("ipykernel", reason="running a notebook needs ipykernel: extra docs")
    notebook = jupytext.reads(page("linear"), fmt="md")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries about themselves
        nbclient.NotebookClient(notebook, timeout=60, kernel_name="python3").execute(cwd=DOCS)
    outputs = ["".join(o.text for o in c.outputs if "text" in o) for c in notebook.cells if c.cell_type == "code"]
    assert all(agree(output, shown) for output, (_, shown) in zip(outputs, blocks("linear"), strict=True))


def test_the_figures_of_the_chapters_are_made_by_a_script(python, tmp_path):
    done = python("scripts/course_figures.py", "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    shown = {image for name in CHAPTERS for image in re.findall(r"\]\(images/(course-[\w-]+\.png)\)", page(name))}
    assert shown == {path.name for path in tmp_path.iterdir()}
    assert all((DOCS / "images" / image).stat().st_size < 100_000 for image in shown)


# --- formulas of the chapters that no other file tests by name -----------------------------------------------------


def slope(layer, x):
    layer.forward(x)
    return layer.backward(np.ones_like(x))


def test_gradients_of_the_halves_of_a_batch_add_up_in_a_layer_and_average_in_the_loss(rng):
    X, labels = rng.normal(size=(6, 4)), rng.integers(3, size=6)
    layer, loss = Linear(rng.normal(size=(4, 3)), rng.normal(size=3)), CrossEntropy()

    def dW(rows, dY=None):
        Z = layer.forward(X[rows])
        if dY is None:
            loss.forward(Z, labels[rows])
        layer.backward(loss.backward() if dY is None else dY[rows])
        return layer.dW.copy()

    dY, first, last = rng.normal(size=(6, 3)), slice(0, 3), slice(3, 6)
    np.testing.assert_allclose(dW(first, dY) + dW(last, dY), dW(slice(6), dY))
    np.testing.assert_allclose((dW(first) + dW(last)) / 2, dW(slice(6)))


def test_equal_rows_of_W_give_equal_columns_of_dX(rng):
    layer = Linear(np.tile(rng.normal(size=(1, 3)), (4, 1)), np.zeros(3))
    layer.forward(rng.normal(size=(5, 4)))
    dX = layer.backward(rng.normal(size=(5, 3)))
    np.testing.assert_allclose(dX, np.tile(dX[:, :1], (1, 4)))


def test_the_slope_of_tanh_is_1_minus_tanh_squared_and_that_of_sigma_is_sigma_times_1_minus_sigma():
    x = np.linspace(-5, 5, 101)[None, :]
    np.testing.assert_allclose(slope(Tanh(), x), 1 - ((np.exp(x) - np.exp(-x)) / (np.exp(x) + np.exp(-x))) ** 2)
    np.testing.assert_allclose(slope(Sigmoid(), x), 1 / (1 + np.exp(-x)) * (1 - 1 / (1 + np.exp(-x))))
    assert slope(Sigmoid(), x).max() == slope(Sigmoid(), np.zeros((1, 1)))[0, 0] == 0.25


def test_relu_halves_the_mean_square_of_a_gradient_whatever_the_size_of_its_input(rng):
    for s in (1e-3, 1.0, 1e3):
        assert abs((slope(ReLU(), s * rng.normal(size=(1000, 100))) ** 2).mean() - 0.5) < 0.01


def test_dropout_multiplies_the_mean_square_by_1_over_1_minus_p(rng):
    for p in (0.1, 0.2, 0.5):
        Y = Dropout(p, rng=rng).forward(np.full((1000, 200), 3.0), train=True)
        assert abs(np.mean(Y**2) / 9 * (1 - p) - 1) < 0.02
        assert abs(np.var(Y) / 9 * (1 - p) / p - 1) < 0.02


def test_a_constant_added_to_all_logits_changes_no_probability_and_rows_of_the_gradient_add_up_to_0(rng):
    Z, loss = rng.normal(size=(5, 4)), CrossEntropy()
    np.testing.assert_allclose(softmax(Z + 100), softmax(Z))
    loss.forward(Z, rng.integers(4, size=5))
    np.testing.assert_allclose(loss.backward().sum(axis=1), 0, atol=1e-16)


def test_sgd_multiplies_a_coordinate_by_1_minus_alpha_times_its_steepness():
    theta, grad, steepness = np.ones(2), np.zeros(2), np.array([1000.0, 1.0])
    sgd = SGD(theta, grad, learning_rate=0.0019)
    for t in range(1, 4):
        grad[...] = steepness * theta
        sgd.step()
        np.testing.assert_allclose(theta, (1 - 0.0019 * steepness) ** t)


def test_the_weights_of_the_gradients_in_m_and_v_add_up_to_1_minus_beta_to_the_t():
    grad = np.ones(1)
    adam = Adam(np.zeros(1), grad, beta1=0.8, beta2=0.95)
    for t in range(1, 10):
        adam.step()
        np.testing.assert_allclose((adam.m[0], adam.v[0]), (1 - 0.8**t, 1 - 0.95**t))


def test_adams_step_does_not_depend_on_the_scale_of_the_loss(rng):
    gradients = rng.normal(size=(20, 5))
    ends = []
    for scale in (1.0, 1000.0):
        theta, grad = np.zeros(5), np.zeros(5)
        adam = Adam(theta, grad)
        for g in gradients:
            grad[...] = scale * g
            adam.step()
        ends.append(theta)
    np.testing.assert_allclose(ends[0], ends[1], rtol=1e-5)


def test_the_central_difference_errs_by_h_squared_over_6_times_f3_and_the_one_sided_by_h_over_2_times_f2():
    a, h = 1.0, 1e-3
    central = (np.sin(a + h) - np.sin(a - h)) / (2 * h) - np.cos(a)
    one_sided = (np.sin(a + h) - np.sin(a)) / h - np.cos(a)
    np.testing.assert_allclose(central, h**2 / 6 * -np.cos(a), rtol=1e-3)
    np.testing.assert_allclose(one_sided, h / 2 * -np.sin(a), rtol=1e-3)
