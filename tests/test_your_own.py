"""docs/your-own.md: its blocks are in the example files, these prove themselves, and its commands make its tables."""

import doctest
import os
import re
import shlex
import subprocess
import sys

import pytest
from conftest import ROOT

PAGE = (ROOT / "docs" / "your-own.md").read_text("utf-8")
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def commands():
    """(arguments after `python`, printed lines) of each block that shows a command and what it prints."""
    for language, text in BLOCKS:
        if language == "console":
            command, printed = re.fullmatch(r"\$ python ((?:[^\n]*\\\n)*[^\n]*)\n(.*)", text, re.DOTALL).groups()
            yield shlex.split(command.replace("\\\n", " ")), printed.splitlines()


COMPARISONS = [(arguments, printed) for arguments, printed in commands() if arguments[0] == "scripts/compare.py"]


def rows(lines):
    """The labels of a table's rows: from the line of column names to the first verdict."""
    [start] = [i for i, line in enumerate(lines) if line.split() == ["accuracy", "loss,", "last", "100"]]
    labels = [re.match(r"(\S.*?)  +\S+( ± \S+)? %  ", line) for line in lines[start + 1 :]]
    return [match[1] for match in labels if match]


def test_the_page_shows_a_scheme_an_activation_an_optimizer_and_a_network():
    text = [" ".join(arguments) for arguments, _ in COMPARISONS]
    for option in ("--arms he_normal,docs", "--activation docs", "--optimizer docs", "--network docs"):
        assert sum(option in line for line in text) >= 1, option
    assert len(text) == 4


PYTHON = [text for language, text in BLOCKS if language == "python"]


@pytest.mark.parametrize("block", PYTHON, ids=[text.partition("\n")[0] for text in PYTHON])
def test_a_block_of_the_page_is_in_an_example_file_word_for_word(block):
    assert any(block in path.read_text("utf-8") for path in EXAMPLES)


@pytest.mark.parametrize("path", [path for path in EXAMPLES if path.stem != "variants"], ids=lambda path: path.stem)
def test_an_example_proves_its_variance_its_gradients_or_its_steps(path, monkeypatch):
    namespace = {"__name__": path.stem}
    exec(compile(path.read_text("utf-8"), path, "exec"), namespace)
    [test] = doctest.DocTestFinder().find(type(sys)(path.stem, namespace["__doc__"]), globs=namespace)
    result = doctest.DocTestRunner(optionflags=FLAGS).run(test)
    assert result.attempted >= 3
    assert result.failed == 0


@pytest.mark.skipif(not os.environ.get("SCRATCHNET_DOCS_REQUIRED"), reason="the step `docs` of .ci/run runs them")
@pytest.mark.parametrize(("arguments", "printed"), COMPARISONS, ids=[arguments[1] for arguments, _ in COMPARISONS])
def test_a_command_of_the_page_prints_the_rows_of_its_table(arguments, printed, python, dataset, tmp_path):
    done = python(*arguments, "--quick", "--seeds", 1, "--dataset", dataset.name, "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert len(rows(printed)) == 2
    assert rows(done.stdout.splitlines()) == rows(printed)


def test_settings_are_compared_side_by_side_in_python(dataset, tmp_path):
    """variants.py, with one seed and the images of these tests; the classes of its neighbours go to the workers."""
    [(arguments, printed)] = [(arguments, printed) for arguments, printed in commands() if "variants" in arguments[0]]
    path = ROOT / arguments[0]
    text = path.read_text("utf-8").replace("range(5)", "range(1)")
    text = text.replace("load()", f"load({dataset.name!r}).first(2000)")
    (tmp_path / "variants.py").write_text(text, "utf-8")
    for name in ("lion.py", "softplus.py"):
        (tmp_path / name).write_bytes((path.parent / name).read_bytes())
    done = subprocess.run(
        [sys.executable, tmp_path / "variants.py"], cwd=ROOT, capture_output=True, encoding="utf-8", timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert rows(done.stdout.splitlines()) == rows(printed)
    assert len(rows(printed)) == 4


def test_every_option_on_the_page_exists(python):
    known = python("scripts/compare.py", "--help").stdout
    for option in set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", PAGE)):
        assert re.search(rf"{option}\b", known), option


def test_every_link_on_the_page_leads_somewhere():
    for target in re.findall(r"\]\(([^)]*)\)", PAGE.replace("\n", " ")):
        file, _, heading = target.partition("#")
        assert (ROOT / "docs" / file).exists(), target
        assert not heading or f"\n## {heading.replace('-', ' ')}\n" in PAGE.lower(), target
