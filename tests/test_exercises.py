"""docs/exercises: check.py says "right" of right answers, and names the mistake in each typical wrong one."""

import re
import sys
import textwrap

import numpy as np
import pytest
from answers import RIGHT, WRONG
from conftest import ROOT

EXERCISES = ROOT / "docs" / "exercises"
sys.path[:0] = [str(ROOT / "scripts"), str(EXERCISES)]

from check import CHAPTERS, judged  # noqa: E402
from checks import answers  # noqa: E402


def fill(source, exercise, answer):
    """A stub's file with one answer in its place."""
    if f"\n{exercise} = None\n" in source:
        return source.replace(f"\n{exercise} = None\n", f"\n{exercise} = {answer}\n")
    start = re.search(rf"^(def|class) {exercise}\b", source, re.MULTILINE).start()
    for body in answer if isinstance(answer, tuple) else (answer,):
        stub = re.search(r"( +)raise NotImplementedError", source[start:])
        first, _, rest = body.partition("\n")
        lines = [first.strip(), *textwrap.dedent(rest).splitlines()]
        filled = "\n".join(stub[1] + line for line in lines if line)
        source = source[:start] + source[start:].replace(stub[0], filled, 1)
    return source


def judge(chapter, filled, tmp_path):
    """{exercise: (verdict, why)} of a chapter's file in which some exercises are filled in."""
    source = (EXERCISES / f"{chapter}.py").read_text("utf-8")
    for exercise, answer in filled.items():
        source = fill(source, exercise, answer)
    (tmp_path / f"{chapter}.py").write_text(source, "utf-8")
    return {exercise: (verdict, why) for exercise, verdict, why in judged(chapter, tmp_path)}


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_an_untouched_stub_is_not_filled_yet(chapter):
    found = {exercise: verdict for exercise, verdict, _ in judged(chapter, EXERCISES)}
    assert found == dict.fromkeys(CHAPTERS[chapter], "not filled yet")


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_right_answers_are_right(chapter, tmp_path):
    assert RIGHT[chapter].keys() == CHAPTERS[chapter].keys()
    found = judge(chapter, RIGHT[chapter], tmp_path)
    assert {exercise: verdict for exercise, (verdict, _) in found.items()} == dict.fromkeys(found, "right"), found


MISTAKES = [(exercise, *row) for exercise, rows in WRONG.items() for row in rows]


@pytest.mark.parametrize(("exercise", "answer", "sentence"), MISTAKES, ids=[f"{row[0]}: {row[2]}" for row in MISTAKES])
def test_a_wrong_answer_is_told_its_mistake(exercise, answer, sentence, tmp_path):
    [chapter] = [chapter for chapter, exercises in CHAPTERS.items() if exercise in exercises]
    others = {name: right for name, right in RIGHT[chapter].items() if name != exercise}
    found = judge(chapter, others | {exercise: answer}, tmp_path)
    verdict, why = found.pop(exercise)
    assert verdict == "wrong"
    assert sentence in why
    assert {verdict for verdict, _ in found.values()} <= {"right"} | ({"wrong"} if exercise in str(others) else set())


def test_every_exercise_has_typical_mistakes():
    assert {exercise for exercises in CHAPTERS.values() for exercise in exercises} == WRONG.keys()


def test_every_named_mistake_is_made_by_some_wrong_answer(tmp_path, monkeypatch):
    """No sentence of `checks` is dead: each can be met by a wrong answer, or is generic."""
    offered = set()
    keep = answers.expect

    def expect(name, got, right, mistakes=None, rtol=1e-7):
        offered.update(mistakes or {})
        keep(name, got, right, mistakes, rtol)

    for chapter, exercises in CHAPTERS.items():
        module = sys.modules[f"checks.{chapter}"]
        monkeypatch.setattr(module, "expect", expect)
        judge(chapter, RIGHT[chapter], tmp_path)
        assert exercises
    said = [sentence for _, _, sentence in MISTAKES]
    assert sorted(sentence for sentence in offered if not any(part in sentence for part in said)) == []


def test_a_file_that_python_cannot_read_is_told_its_line(tmp_path):
    (tmp_path / "adam.py").write_text("import numpy as np\n\ndef adam_step(:\n", "utf-8")
    [first, *others] = judged("adam", tmp_path)
    assert first[1:] == ("wrong", "Line 3, `def adam_step(:`: Python cannot read it (invalid syntax).")
    assert {verdict for _, verdict, _ in others} == {"not read"}


def test_a_file_that_raises_is_told_its_own_line(tmp_path):
    (tmp_path / "linear.py").write_text("import numpy as np\nW = np.zeros(3)[5]\n", "utf-8")
    [(_, verdict, why), *_] = judged("linear", tmp_path)
    assert verdict == "wrong"
    assert why.startswith("Line 2, `W = np.zeros(3)[5]`, raised IndexError: index 5 is out of bounds")


def test_a_name_that_was_changed_and_a_file_that_is_gone_are_told(tmp_path):
    (tmp_path / "linear.py").write_text("scale_backward = 3\n", "utf-8")
    found = {exercise: why for exercise, _, why in judged("linear", tmp_path)}
    assert "The file has no linear_backward any more" in found["linear_backward"]
    assert "It is a int, expected a function" in found["scale_backward"]
    assert "There is no file" in next(judged("adam", tmp_path))[2]


def test_an_error_deep_in_numpy_is_told_at_the_readers_line(tmp_path):
    [(_, why), *_] = judge("linear", {"linear_backward": "return np.linalg.inv(X), 0, 0"}, tmp_path).values()
    assert re.match(r"Line \d+, `return np.linalg.inv\(X\), 0, 0`, raised LinAlgError", why)


NONSENSE = [
    *("None", "5", "'five'", "[]", "{}", "object()", "np", "(None, None, None)", "(1, 2)", "('a', 'b', 'c')"),
    *("np.array(['a'])", "np.array([None])", "np.full((5, 3), np.nan)", "np.zeros((0, 3))", "np.array(1j)", "range(3)"),
    *("(np.zeros(3),) * 3", "(np.zeros((4000, 6)),) * 2", "(np.full((4000, 6), 'x'),) * 2", "10**400", "True", "1 / 0"),
    *("np.inf", "print", "[[1, 2], [3]]"),
]


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_nonsense_is_told_in_one_sentence_and_is_no_crash(chapter, tmp_path):
    for value in NONSENSE:
        answers = {}
        for exercise, right in RIGHT[chapter].items():
            line = f"return {value}"
            answers[exercise] = (line, line) if isinstance(right, tuple) else line if "return" in right else value
        if value == "1 / 0":  # in a number to predict it would raise before anything is judged
            answers = {exercise: answer for exercise, answer in answers.items() if answer != value}
        for exercise, (verdict, why) in judge(chapter, answers, tmp_path).items():
            missing = answers.get(exercise, "None") == "None"
            assert verdict == ("not filled yet" if missing else "wrong"), (exercise, value)
            assert len(why) > 20


def test_a_function_that_calls_a_stub_is_told_so(tmp_path):
    found = judge("adam", {"adamw_step": RIGHT["adam"]["adamw_step"]}, tmp_path)
    assert found["adamw_step"] == ("not filled yet", "It calls adam_step, which is not filled yet.")


def test_expect_takes_what_is_right_up_to_rounding():
    answers.expect("A", np.array([1.0, 2.0 + 1e-9]), np.array([1.0, 2.0]))
    with pytest.raises(answers.Wrong, match=r"A\[1\] is 2.1, expected 2; 1 of 2 elements are wrong"):
        answers.expect("A", np.array([1.0, 2.1]), np.array([1.0, 2.0]))


def test_the_page_on_exercises_shows_what_the_command_prints(python, tmp_path):
    wrong = {"linear_backward": "return dY.T @ X, dY.sum(0), dY @ W.T"}
    judge("linear", wrong | {"scale_backward": RIGHT["linear"]["scale_backward"]}, tmp_path)
    printed = python("docs/exercises/check.py", "linear", "--folder", tmp_path, COLUMNS="100").stdout
    page = (EXERCISES / "README.md").read_text("utf-8")
    shown = re.search(r"check\.py linear\ndocs/exercises/linear\.py\n(.*?)```", page, re.DOTALL)[1]
    assert printed.partition("\n")[2] == shown


def test_the_command_says_verdicts_and_its_exit_code_too(python, tmp_path):
    judge("linear", RIGHT["linear"], tmp_path)
    right = python("docs/exercises/check.py", "linear", "--folder", tmp_path, COLUMNS="100")
    assert (right.returncode, right.stderr) == (0, "")
    assert right.stdout.endswith("4 of 4 right\n")
    judge("linear", RIGHT["linear"] | {"linear_backward": "return dY.T @ X, dY.sum(0), dY @ W.T"}, tmp_path)
    wrong = python("docs/exercises/check.py", "linear", "--folder", tmp_path, COLUMNS="100")
    assert (wrong.returncode, wrong.stderr) == (1, "")
    assert "linear_backward: WRONG. dW is transposed" in wrong.stdout
    stubs = python("docs/exercises/check.py")
    assert (stubs.returncode, stubs.stderr) == (1, "")
    assert stubs.stdout.endswith("0 of 28 right\n")
    unknown = python("docs/exercises/check.py", "physics")
    assert (unknown.returncode, unknown.stdout) == (2, "")
    assert "expected one of linear, activations" in unknown.stderr
