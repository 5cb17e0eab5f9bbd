"""Which mutants are explained: those of a file and a change that stand in mutants.txt, and of files that there are."""

import sys

import pytest
from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import mutants

TEXT = (ROOT / "tests" / "mutants.txt").read_text("utf-8")
DIFF = """--- scratchnet/loss.py
+++ scratchnet/loss.py
@@ -1,3 +1,3 @@
     def forward(self, Z):
-        return Z >= 0 and Z >= 1
+        return Z >= 0 and Z > 1"""


@pytest.mark.parametrize(
    ("known", "explains"),
    [
        (("loss", "Z >= 1", "Z > 1"), True),
        (("loss", ">=", ">"), True),  # at either place
        (("loss", "Z >= 0", "Z > 0"), False),
        (("loss", "Z >= 1", "Z < 1"), False),
        (("optim", "Z >= 1", "Z > 1"), False),
    ],
)
def test_a_mutant_is_explained_where_its_file_and_its_change_are(known, explains):
    assert mutants.explains(known, "loss", DIFF) == explains


def test_a_reason_stands_above_the_changes_that_it_explains():
    text = "In a file of text.\n\nThe same at 0\n    loss: Z > 0 → Z >= 0\n    optim: a → b\n"
    assert mutants.explained(text) == [("loss", "Z > 0", "Z >= 0"), ("optim", "a", "b")]


def test_every_change_that_is_explained_is_one_of_a_line_that_there_is():
    for file, old, new in mutants.explained(TEXT):
        assert file in mutants.FILES
        assert old in (ROOT / "scratchnet" / f"{file}.py").read_text("utf-8"), f"{file} has no {old!r} any more"
        assert new != old


def test_the_mathematics_and_the_tests_that_are_named_exist():
    for file in mutants.FILES:
        assert (ROOT / "scratchnet" / f"{file}.py").exists()
        for name in mutants.tests(file):
            path, _, test = name.partition("::")
            assert f"def {test}" in (ROOT / path).read_text("utf-8")


def test_a_file_that_is_none_of_the_mathematics_is_wrong_usage(python):
    done = python("scripts/mutants.py", "report/page")
    assert done.returncode == 2
    assert "got 'report/page'" in done.stderr
