"""The chapters of the course: their code runs from top to bottom and prints what they show, in notebooks too."""

import contextlib
import io
import re
import warnings

import pytest
from conftest import ROOT

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
        if one != other and ("." not in other or abs(float(one) - float(other)) > 1.01 * last):
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


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_chapter_names_every_exercise(name):
    source = (DOCS / "exercises" / f"{name.replace('-', '_')}.py").read_text("utf-8")
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
