"""Pages: one file, whose words are text, whose numbers are the run's, and which stands without its script."""

import base64
import hashlib
import json
import re
from dataclasses import replace
from html import unescape
from html.parser import HTMLParser

import numpy as np
import pytest
from conftest import ROOT
from pages import SMALL, document, found

from scratchnet import init
from scratchnet.init import SCHEMES
from scratchnet.lab.experiment import Arm
from scratchnet.lab.intervals import interval
from scratchnet.lab.studies import study
from scratchnet.report import accounts, live, page, story
from scratchnet.report.page import Folded, Picture, Section, Table, Words
from scratchnet.report.tables import LAST

UPLOT = ROOT / "scratchnet" / "report" / "web" / "uplot"
HOSTILE = '</script><script>alert(1)</script> & "it\'s" <b>ü</b> \u2028'


class Read(HTMLParser):
    """Elements, ids and texts of a page; fails where an element is closed that is not open."""

    VOID = {"meta", "link", "img", "br", "input", "hr"}

    def __init__(self, text):
        super().__init__()
        self.open, self.seen, self.ids, self.scripts, self.rows = [], [], [], {}, []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.seen.append((tag, dict(attributes)))
        self.ids += [value for name, value in attributes if name == "id"]
        if tag not in self.VOID:
            self.open.append((tag, dict(attributes).get("id")))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, text):
        if self.open and self.open[-1][0] == "script":
            self.scripts[self.open[-1][1]] = text
        elif any(tag in ("td", "th") for tag, _ in self.open):
            self.rows[-1][-1] += text


@pytest.fixture(scope="module")
def record(dataset):
    return found(dataset, ["he_normal", "zeros", "constant:value=1e30"], lesson={"zeros": (9.475, 2.304)})


def told(record, **how):
    results, comparison, words, _ = record
    how = {"dataset": "x", "note": "y", "explanation": words, "pictures": {}} | how
    return story.html(results, [comparison], **how)


# --- the file -----------------------------------------------------------------------------------------------------


def test_the_vendored_files_are_what_their_readme_says():
    rows = re.findall(r"\| `(\S+)` \| `\S+` \| `([0-9a-f]{64})` \|", (UPLOT / "README.md").read_text("utf-8"))
    assert {name for name, _ in rows} == {path.name for path in UPLOT.iterdir()} - {"README.md"}
    for name, digest in rows:
        assert hashlib.sha256((UPLOT / name).read_bytes()).hexdigest() == digest, name


def test_a_page_carries_the_licence_of_what_it_carries():
    text = page.html("t", [])
    assert "Permission is hereby granted, free of charge" in text
    assert "Copyright (c)" in text
    assert "Leon Sorokin" in text


def test_the_policy_forbids_every_request_and_names_the_scripts_and_the_style_by_their_hashes():
    text = page.html("t", [Words("x")])
    [policy] = [a["content"] for tag, a in Read(text).seen if a.get("http-equiv") == "Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules["default-src"] == "'none'"
    assert "unsafe" not in policy
    assert "http" not in policy
    for tag, rule in (("script", "script-src"), ("style", "style-src")):
        inside = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        hashes = {f"'sha256-{base64.b64encode(hashlib.sha256(x.encode()).digest()).decode()}'" for x in inside}
        assert set(rules[rule].split()) == hashes


def test_what_comes_from_outside_is_text_and_never_markup(dataset):
    arm = Arm("mine", HOSTILE, init.he_normal)
    text = document(dataset, [arm], seeds=(0,))
    read = Read(text)
    assert "alert(1)</script>" not in text
    assert "b" not in {tag for tag, _ in read.seen}
    assert json.loads(read.scripts["losses-chosen-arms-data"])["arms"][0]["label"] == HOSTILE
    assert any(HOSTILE.strip() in row[0] for row in read.rows if row)


@pytest.mark.parametrize(
    "part",
    [Words(HOSTILE), Table([["", HOSTILE], [HOSTILE, "1"]], HOSTILE), Picture(b"<svg/>", HOSTILE, HOSTILE),
     Folded(HOSTILE, [Words(HOSTILE)]), Section(HOSTILE, [Words(HOSTILE)], "a-b")],
)  # fmt: skip
def test_each_part_escapes_its_words(part):
    assert not {"script", "b"} & {tag for tag, _ in Read(part.html()).seen}


def test_a_table_names_its_rows_and_columns_and_sets_numbers_to_the_right():
    html = Table([["", "accuracy", "verdict"], ["a", "9.75 ± 0.15 %", "fine"], ["b"]]).html()
    assert '<th scope="col" class="number">accuracy</th><th scope="col">verdict</th>' in html
    assert '<th scope="row">a</th><td class="number">9.75 ± 0.15 %</td><td>fine</td>' in html
    assert Read(html).rows[-1] == ["b", "", ""]


def test_a_picture_is_in_the_page_itself():
    assert "data:image/svg+xml;base64," in Picture(b"<svg/>", "x").html()
    assert "data:image/png;base64," in Picture(b"\x89PNG", "x").html()


def test_ids_are_there_once_and_no_element_is_left_open(record):
    ids = Read(told(record)).ids
    assert len(ids) == len(set(ids)) > 4


def test_a_page_is_the_same_after_its_results_were_saved_and_read(record):
    results, *rest = record
    again = json.loads(json.dumps(results, allow_nan=False))
    assert told((again, *rest)) == told(record)


# --- a comparison ---------------------------------------------------------------------------------------------------


def test_the_table_has_our_numbers_beside_the_lessons(record):
    rows = {row[0]: row[1:] for row in Read(told(record, lesson=True)).rows if len(row) == 5 and ";" not in row[1]}
    zeros = record[0]["comparisons"][0]["arms"][1]
    accuracy = interval([100 * x for x in zeros["validation_accuracy"]])
    loss = interval([np.mean(x[-LAST:]) for x in zeros["training_loss"]])
    assert rows["zeros"] == [
        f"{accuracy.mean:.2f} ± {accuracy.std:.2f} %",
        f"{loss.mean:.3f} ± {loss.std:.3f}",
        "9.475 %",
        "2.304",
    ]
    assert rows["constant:value=1e+30"][1] == "diverged"


def test_the_answers_are_the_verdicts(record):
    text = unescape(re.sub("<[^>]+>", "", told(record)))
    assert all(answer in text for answer in record[3])
    assert record[2].replace("\n", " ") in text


def unpacked(packed, width):
    return np.frombuffer(base64.b64decode(packed), "<f4").reshape(-1, width)


def test_a_chart_has_the_first_batches_and_the_running_mean_of_all_with_students_interval(rng):
    values = rng.uniform(1, 2, size=(4, 500))
    content = live.Chart("c", "t", "loss", {"a": values}, range(4))._content()
    rows = unpacked(content["arms"][0]["values"], content["alone"] + len(content["ends"]))
    assert (content["alone"], content["ends"][0], content["ends"][-1]) == (300, LAST, 500)
    expected = interval(values[:, 16])
    assert rows[:3, 16] == pytest.approx([expected.mean, expected.low, expected.high], rel=1e-6)
    assert rows[3:, 16] == pytest.approx(values[:, 16], rel=1e-6)
    assert rows[0, -1] == pytest.approx(values[:, -LAST:].mean(), rel=1e-6)
    k = 300 + content["ends"].index(LAST)
    assert rows[4, k] == pytest.approx(values[1, :LAST].mean(), rel=1e-6)


def test_what_is_not_finite_is_a_gap_and_few_seeds_have_no_band():
    values = np.array([[1.0, np.inf, 3.0], [2.0, 2.0, np.nan]])
    content = live.Chart("c", "t", "loss", {"a": values}, range(2))._content()
    rows = unpacked(content["arms"][0]["values"], 3)
    assert np.isnan(rows[0]).tolist() == [False, True, True]
    assert np.isnan(rows[1:3]).all()
    assert content["band"] is False


def test_many_arms_and_seeds_leave_room_and_keep_every_mean():
    curves = {f"arm {i}": np.full((50, 2000), 1.0 + i) for i in range(34)}
    chart = live.Chart("c", "t", "loss", curves, range(50))
    assert len(chart.html()) < 1.6 * live.ROOM
    content = chart._content()
    assert content["count"] == 50
    assert 1 <= len(content["seeds"]) < 50
    rows = unpacked(content["arms"][33]["values"], content["alone"] + len(content["ends"]))
    assert (rows[0] == 34).all()


def test_a_page_says_what_it_is_not(dataset, record):
    results, *rest = record
    stand_in = {**results, "dataset": results["dataset"] | {"stand_in": True}, "complete": False, "quick": True}
    text = told((stand_in, *rest))
    for words in ("This is not Fashion-MNIST", "stopped before its end", "A quick look"):
        assert words in text
    usual = {**results, "dataset": results["dataset"] | {"stand_in": False}}
    assert 'class="warning"' not in told((usual, *rest))


def test_without_a_script_a_picture_and_tables_stand_by_themselves(dataset):
    read = Read(document(dataset, ["he_normal", "zeros"]))
    [img] = [attributes for tag, attributes in read.seen if tag == "img"]
    assert img["src"].startswith("data:image/svg+xml;base64,")
    assert "Training loss over batches" in img["alt"]
    words = {row[0]: row[1] for row in read.rows if len(row) > 2 and ";" in row[1]}
    assert words["zeros"].startswith("symmetric, fades")
    assert "script" in (ROOT / "scratchnet/report/web/page.css").read_text("utf-8")


def test_many_arms_are_ranked_and_the_best_five_are_shown_first(dataset):
    names = list(SCHEMES)[:9]
    settings = replace(SMALL, batch_size=50)
    text = document(dataset, names, seeds=(0,), settings=settings)
    content = json.loads(Read(text).scripts["losses-chosen-arms-data"])
    assert sum(arm["shown"] for arm in content["arms"]) == story.BEST
    shares = [float(row[1].split()[0]) for row in Read(text).rows if len(row) == 3 and row[1].endswith(" %")]
    assert len(shares) == 9
    assert shares == sorted(shares, reverse=True)


def test_a_page_says_what_differs_between_its_arms(dataset, record):
    assert "what differs is the initial weights, and nothing else." in told(record)
    alone = document(dataset, ["he_normal"], seeds=(0,))
    assert "One start of one network, one seed, on" in alone
    assert "what differs" not in alone


# --- why, and studies -------------------------------------------------------------------------------------------------


def test_the_walk_has_each_looks_numbers_and_verdicts(record):
    recording = record[0]["comparisons"][0]["arms"][1]["recording"][0]
    walk = live.walk(recording, 10)
    assert walk["steps"] == recording["steps"]
    assert walk["called"][:2] == ["before the first step", "after 1 step"]
    assert walk["units"] == [20, 16, 10]
    assert walk["words"][0][0] == "symmetric"
    assert walk["layers"][0][0][0][0] == "symmetric"
    assert sum(walk["y"][0][0]) == 20 * 100


def test_where_walks_have_no_room_the_page_says_how_many_there_are(record, monkeypatch):
    first = record[0]["comparisons"][0]["arms"][0]["recording"][0]
    monkeypatch.setattr(story, "WALKS", len(json.dumps(live.walk(first, 10))) + 1)
    text = told(record)
    assert "There is room for 1 of the 3 starts here" in text
    [name] = [arm["label"] for arm in json.loads(Read(text).scripts["why-data"])["arms"]]
    assert name == "he_normal"


def test_a_diverged_arm_is_said_to_be_not_finite(record):
    recording = record[0]["comparisons"][0]["arms"][2]["recording"][0]
    assert live.judged(recording, 10)[0][0] == "not finite"


def test_only_the_first_seed_has_histograms(record):
    first, second, _ = record[0]["comparisons"][0]["arms"][0]["recording"]
    assert set(first) - set(second) == {"y", "y_range", "log_dY", "log_dY_range"}


def test_the_page_of_studies_has_each_claim_rule_outcome_figure_and_table():
    chosen = study("born_dead")
    record = {
        "claim": "A <claim>.", "source": "S", "rule": "R < 1.", "outcome": "held", "answer": "It is so.",
        "rows": [["width", "dead"], ["2", "100 %"]], "dataset": {"stand_in": True}, "command": ["study.py"],
        "quick": False,
    }  # fmt: skip
    text = accounts.studies([chosen], [record], {"born_dead": b"<svg/>"})
    read = Read(text)
    assert ["2", "100 %"] in read.rows
    assert ["Are deep, narrow ReLU networks born dead?", "held (not Fashion-MNIST)", "It is so."] in read.rows
    for words in (
        "A &lt;claim&gt;.",
        "R &lt; 1.",
        "The claim held (not Fashion-MNIST). It is so.",
        "This is not Fashion-MNIST",
    ):
        assert words in text
    assert [attributes["alt"] for tag, attributes in read.seen if tag == "img"] == ["It is so."]


def test_figures_that_are_too_large_for_one_page_are_named_instead():
    chosen, other = study("born_dead"), study("isometry")
    record = {"claim": "c", "source": "s", "rule": "r", "outcome": "held", "answer": "a", "command": []}
    record |= {"dataset": {"stand_in": False}, "quick": False, "rows": [["a"], ["b"]]}
    large = {"born_dead": b"\x89PNG" + bytes(page.MOST), "isometry": b"\x89PNG"}
    text = accounts.studies([chosen, other], [record, record], large)
    assert len(text) < page.MOST
    assert "born_dead.png</code>, beside this page" in text
    assert text.count("<img") == 1


def test_a_page_names_files_that_are_there_to_read_on(dataset):
    text = document(dataset, ["zeros"], seeds=(0,))
    named = set(re.findall(r"(?:docs|scratchnet|scripts)/[\w/]+\.(?:md|py)", text))
    assert {"docs/initialization.md", "docs/diagnostics.md", "docs/verdicts.md", "scratchnet/layers.py"} <= named
    assert [name for name in named if not (ROOT / name).is_file()] == []
