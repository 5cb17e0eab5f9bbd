"""README and docs/: each link leads somewhere, each command is one that its script takes and runs, each block runs."""

import argparse
import ast
import importlib.util
import os
import re
import shlex
import sys
import tomllib

import pytest
from conftest import ROOT

from scratchnet.data import Dataset

PAGES = [ROOT / f"{name}.md" for name in ("README", "CONTRIBUTING", "CHANGELOG")] + sorted(ROOT.glob("docs/**/*.md"))
GUIDES = [page for page in PAGES if page.name != "CHANGELOG.md"]  # what is history may name what is no more
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"(`+)(.+?)\1", re.DOTALL)

# What makes a documented command short, besides few images.
SHORT = {
    "against_pytorch.py": ["--seeds", "2"],
    "compare.py": ["--seeds", "1", "--epochs", "1", "--jobs", "1"],
    "why.py": ["--seeds", "1"],
    "schemes.py": [],
    "course_figures.py": [],
    "symmetry.py": [],
    "verdict_rates.py": ["--repeats", "1"],
}
# Commands that other tests run.
ELSEWHERE = {
    "study.py": "test_studies",
    "benchmark.py": "test_benchmark",
    "growth.py": "test_growth",
    "variants.py": "test_your_own",
    "fuzz.py": "test_fuzz",
    "torture.py": "test_torture",
    "check.py": "test_exercises",
    "play.py": "test_play",
    "sweep.py": "test_sweep",
}
# What needs more than a folder and images: every Python at hand, mutmut, or a run that came before (test_repetition).
BY_HAND = {"versions.py", "mutants.py", "--repeat"}
WITHOUT_OUT = {"against_pytorch.py", "symmetry.py", "verdict_rates.py"}
PLACEHOLDERS = {"NAME": "born_dead", "N": "1"}


def prose(text):
    """A page without its fenced blocks."""
    return FENCE.sub("", text)


def blocks(page, *languages):
    return [body for _, language, body in FENCE.findall(page.read_text("utf-8")) if language in languages]


def name(page):
    return str(page.relative_to(ROOT))


# --- links ----------------------------------------------------------------------------------------------------


def anchors(page):
    """The names by which GitHub reaches the headings of a page."""
    found = []
    for heading in re.findall(r"^#+ +(.+?) *$", prose(page.read_text("utf-8")), re.MULTILINE):
        plain = re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).lower()
        slug = re.sub(r"[^\w\- ]", "", plain).replace(" ", "-")
        found.append(slug if slug not in found else f"{slug}-{found.count(slug)}")
    return found


def links(page):
    """The targets of a page's links and images that are in this repository."""
    text = CODE.sub("", prose(page.read_text("utf-8")))
    targets = re.findall(r"\]\(\s*([^)\s]+)[^)]*\)", text)
    return [target for target in targets if not re.match(r"[a-z]+:", target)]


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_every_link_leads_to_a_file_and_to_a_heading_in_it(page):
    for target in links(page):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve() if path else page
        assert file.exists(), f"{name(page)} links to {target}: there is no such file"
        assert file.is_relative_to(ROOT), f"{name(page)} links to {target}, outside of the repository"
        assert not anchor or anchor in anchors(file), f"{name(page)} links to {target}: there is no such heading"


def test_links_are_found_and_headings_named_as_on_github(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# `Adam`, the paper's lines\n## Two [words](x.md)\n[a\nb](there.md#two-words) ![c](d.png) `[e](f.md)`\n"
        "```text\n# no heading\n[g](h.md)\n```\n[i](https://example.org)\n",
        "utf-8",
    )
    assert anchors(page) == ["adam-the-papers-lines", "two-words"]
    assert links(page) == ["x.md", "there.md#two-words", "d.png"]


# --- commands -------------------------------------------------------------------------------------------------


def commands(text):
    """(script, its arguments) for every `python SCRIPT …` in a block of commands or between backticks."""
    lines = [body for _, language, body in FENCE.findall(text) if language in {"sh", "console", "bat"}]
    lines = [line.removeprefix("$ ") for body in lines for line in body.replace("\\\n", "").splitlines()]
    lines += [" ".join(code.split()) for _, code in CODE.findall(prose(text))]
    for line in lines:
        for command in line.replace(".venv\\Scripts\\", "").replace("scripts\\", "scripts/").split("&&"):
            if match := re.match(r"\s*(?:\.venv/bin/)?python3? (\w\S*\.py)\b(.*)", command):
                yield match[1], filled(match[2])


def fragments(page):
    """The options of a script that stand alone between backticks, as in `--dropout 0`."""
    for _, code in CODE.findall(prose(page.read_text("utf-8"))):
        if code.startswith("--") and "://" not in code:
            yield filled(code)


def filled(text):
    """The words of a command, with something in the place of `NAME`."""
    return [PLACEHOLDERS.get(word, word) for word in shlex.split(text, comments=True)]


SCRIPTS = sorted([*(ROOT / "scripts").glob("*.py"), *ROOT.glob("docs/*/*.py")])
TEXTS = {page: page.read_text("utf-8") for page in GUIDES}
for path in SCRIPTS:  # what a script's docstring says how to run it
    usage = re.findall(
        r"^ *(python \S+\.py.*?)(?:  .*)?$", ast.get_docstring(ast.parse(path.read_text("utf-8"))) or "", re.M
    )
    TEXTS[path] = "".join(f"```sh\n{command}\n```\n" for command in usage)
COMMANDS = {(script, *arguments): page for page, text in TEXTS.items() for script, arguments in commands(text)}


@pytest.fixture
def reader(tmp_path, monkeypatch, dataset):
    """Run `reader(script, arguments, main=True)` in the folder of a reader who has a my.py of their own.

    Without main=True only the arguments are read. Images are 600 of those that the tests have.
    """
    for folder in ("docs", "scripts"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    (tmp_path / "my.py").write_text(
        "from scratchnet.init import he_normal as mine\nfrom scratchnet.layers import Tanh as Mine\n"
        "from scratchnet.network import mlp as build\n",
        "utf-8",
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(ROOT / "scripts"))
    monkeypatch.setattr(os, "environ", os.environ.copy())  # growth.py sets the number of threads
    few = Dataset(dataset.name, dataset.images[:600], dataset.labels[:600], dataset.images[:0], dataset.labels[:0])

    monkeypatch.setattr("scratchnet.data.load", lambda *_: few)

    def run(script, arguments, main=False):
        spec = importlib.util.spec_from_file_location("a_script_of_the_docs", ROOT / script)
        module = importlib.util.module_from_spec(spec)
        monkeypatch.setitem(sys.modules, spec.name, module)
        spec.loader.exec_module(module)
        monkeypatch.setattr(sys, "argv", [script, *arguments])
        if main:
            return module.main()
        return module.arguments() if hasattr(module, "arguments") else only_parsed(module.main, monkeypatch)

    return run


def only_parsed(main, monkeypatch):
    """The arguments that a script's `main` reads at its beginning, where no function of its own reads them."""

    class Read(Exception):
        pass

    def parse_args(parser, parse=argparse.ArgumentParser.parse_args):
        raise Read(parse(parser))

    with monkeypatch.context() as patched:
        patched.setattr(argparse.ArgumentParser, "parse_args", parse_args)
        with pytest.raises(Read) as read:
            main()
    return read.value.args[0]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_docs_names_a_script_and_options_that_there_are(command, reader):
    script, *arguments = command
    assert (ROOT / script).exists(), f"{name(COMMANDS[command])}: there is no {script}"
    if BY_HAND & {script.rpartition("/")[2], *arguments}:
        text = (ROOT / script).read_text("utf-8")
        assert all(f'"{word}"' in text for word in arguments if word.startswith("--"))
    elif script.startswith("scripts/"):
        if "pytorch" in script:
            pytest.importorskip("torch")
        reader(script, arguments)  # SystemExit, with a message, where the script does not take them
    elif script == "docs/exercises/check.py":
        assert reader(script, arguments, main=True) in (0, 1)  # it exits with 2 where there is no such chapter
    else:
        assert not arguments or "argparse" in (ROOT / script).read_text("utf-8"), f"{script} takes no arguments"


@pytest.mark.parametrize("page", GUIDES, ids=name)
def test_an_option_that_the_docs_name_is_one_of_a_script(page, reader, capsys):
    known = '"--help"' + "".join(path.read_text("utf-8") for path in SCRIPTS)
    for fragment in fragments(page):
        if len(fragment) == 1 or page.parent.name == "exercises":
            assert f'"{fragment[0]}"' in known, f"{name(page)}: no script has {fragment[0]}"
        else:
            assert any(takes(reader, script, fragment) for script in ("compare.py", "why.py", "study.py")), (
                f"{name(page)}: {' '.join(fragment)}\n{capsys.readouterr().err}"
            )


def takes(reader, script, arguments):
    try:
        return reader(f"scripts/{script}", arguments)
    except SystemExit:
        return False


def test_commands_are_found_in_blocks_tables_and_sentences(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "```sh\npython scripts/a.py --b c,\\\nd   # e\n```\n| `python scripts/f.py g` | `--h\n1`\n"
        "```sh\npython3 -m venv .venv && .venv/bin/python scripts/i.py\n```\n",
        "utf-8",
    )
    assert list(commands(page.read_text("utf-8"))) == [
        ("scripts/a.py", ["--b", "c,d"]),
        ("scripts/i.py", []),
        ("scripts/f.py", ["g"]),
    ]
    assert list(fragments(page)) == [["--h", "1"]]
    assert len(COMMANDS) > 30


def test_a_wrong_option_and_a_wrong_name_are_noticed(reader, capsys):
    for arguments in (["--no-such-option"], ["--arms", "no_such_scheme"], ["no-such-comparison"]):
        with pytest.raises(SystemExit):
            reader("scripts/compare.py", arguments)


@pytest.mark.skipif(not os.environ.get("SCRATCHNET_DOCS_REQUIRED"), reason="the step `docs` of .ci/run runs them")
@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_a_command_of_the_docs_runs(command, reader, tmp_path, capsys):
    script, *arguments = command
    file = script.rpartition("/")[2]
    if BY_HAND & {file, *arguments}:
        return
    if file in ELSEWHERE:
        assert file in (ROOT / "tests" / f"{ELSEWHERE[file]}.py").read_text("utf-8")
        return
    out = [] if file in WITHOUT_OUT else ["--out", str(tmp_path / "results")]
    assert not reader(script, [*arguments, *SHORT[file], *out], main=True)
    assert capsys.readouterr().out.strip()


def test_an_extra_that_the_docs_install_exists():
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]["optional-dependencies"]
    for page in PAGES:
        for names in re.findall(r"\"\.\[([\w,-]+)\]\"", page.read_text("utf-8")):
            assert set(names.split(",")) <= set(extras), name(page)


# --- blocks ---------------------------------------------------------------------------------------------------

# Doctests (>>>) are pytest's own business: `testpaths` in pyproject.toml. These pages have tests of their own:
TESTED = {"your-own", "linear", "activations", "dropout", "softmax-cross-entropy", "adam", "gradient-checking"}
PLAIN = [page for page in PAGES if page.stem not in TESTED and any(">>>" not in b for b in blocks(page, "python"))]


@pytest.mark.parametrize("page", PLAIN, ids=name)
def test_the_blocks_of_a_page_run_in_order_and_print_what_it_says(page, reader, monkeypatch, dataset, capsys):
    text = page.read_text("utf-8")
    after_a_run = "results/results.json" in text  # by a few images here, so that its numbers are not the page's
    if after_a_run:
        assert reader("scripts/compare.py", [*SHORT["compare.py"], "--batch-size", "4"], main=True) == 0
        capsys.readouterr()
    monkeypatch.setattr("scratchnet.data.load", lambda *_: dataset)
    namespace = {"__name__": page.stem}
    for block in blocks(page, "python"):
        exec(compile(block, page, "exec"), namespace)
    printed = capsys.readouterr().out
    assert printed
    if not (dataset.stand_in or after_a_run):
        for number in re.findall(r"\d\.\d+e[+-]\d+", printed):
            assert number in text, f"{name(page)} prints {number}, and does not say so"


def test_doctests_of_the_docs_are_collected():
    options = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["tool"]["pytest"]["ini_options"]
    with_doctests = {name(page) for page in PAGES if ">>> " in page.read_text("utf-8")}
    assert "README.md" in with_doctests
    assert with_doctests <= {*options["testpaths"], "docs/your-own.md"}  # which has a test file of its own


def test_the_lesson_counts_its_claims_as_they_are_marked():
    text = (ROOT / "docs" / "lesson.md").read_text("utf-8")
    claims = re.findall(r"^(\d+)\. (\*.+?)(?=\n(?:\d+\. |\n|\Z))", text, re.MULTILINE | re.DOTALL)
    marks = [frozenset(re.findall(r"\*\*(held|did not hold|cannot be told)", claim.lower())) for _, claim in claims]
    assert [int(number) for number, _ in claims] == list(range(1, len(claims) + 1))
    assert all(marks)
    held, failed, unknown = (marks.count(frozenset({mark})) for mark in ("held", "did not hold", "cannot be told"))
    count = f"Of the {len(claims)} claims, {held} held, {failed} did not, {unknown} cannot be told, and "
    assert f"{count}{sum(len(mark) == 2 for mark in marks)} have two halves" in " ".join(text.split())
