"""scripts/cli.py: results are saved before they are printed, and neither streams nor signals lose them."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time

import pytest
from conftest import LAUNCHER, ROOT

from scratchnet import init

COMPARE = "scripts/compare.py"
FILES = {"uniform-baseline.png", "samples.png", "uniform-distribution.png", "normal-distribution.png"}
FILES |= {"results.json", "tables.txt", "report.html"}
FULL = "compare.py: standard output cannot be written (No space left on device)\n"

needs_bash = pytest.mark.skipif(shutil.which("bash") is None, reason="redirects by means of bash")
needs_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs a device that is always full")
needs_signals = pytest.mark.skipif(sys.platform == "win32", reason="sends SIGTERM and SIGHUP")


def in_bash(redirection, *arguments, encoding="utf-8", **environment):
    """`python ARGUMENTS REDIRECTION`, with the exit code of python even in a pipe."""
    return subprocess.run(
        ["bash", "-o", "pipefail", "-c", f'"$@" {redirection}', "bash", sys.executable, *map(str, arguments)],
        cwd=ROOT,
        env=os.environ | {"PYTHONUNBUFFERED": "", "PYTHONIOENCODING": encoding} | environment,
        capture_output=True,
        encoding=encoding,
        timeout=120,
    )


# --- results where nobody can read them -----------------------------------------------------------------------


@pytest.fixture
def small_run(tmp_path, dataset):
    """Make the smallest comparison with this redirection; (finished process, names of the files that it has left)."""

    def run(redirection, **options):
        arguments = ("uniform-baseline", "--quick", "--seeds", 1, "--jobs", 1, "--hidden", "none")
        done = in_bash(
            redirection, COMPARE, *arguments, "--dataset", dataset.name, "--out", tmp_path / "out", **options
        )
        return done, {path.name for path in (tmp_path / "out").iterdir()}

    return run


@needs_bash
def test_a_character_that_the_encoding_lacks_is_printed_as_a_question_mark(small_run):
    done, files = small_run("", encoding="ascii")
    assert (done.returncode, done.stderr, files) == (0, "", FILES)
    assert "== Uniform baseline ==" in done.stdout
    assert "\n  ? " in done.stdout  # an arrow


@needs_bash
@needs_full
def test_a_full_standard_output_is_exit_code_1_and_the_results_are_in_their_files(small_run):
    done, files = small_run("> /dev/full", PYTHONUNBUFFERED="1")  # without it: `--list` below
    assert (done.returncode, done.stderr, files) == (1, FULL, FILES)


@needs_bash
def test_closed_streams_change_nothing_else(small_run):
    done, files = small_run("<&- >&- 2>&-")  # each alone: `--list` below
    assert (done.returncode, done.stdout, done.stderr, files) == (0, "", "", FILES)


@needs_bash
def test_a_reader_who_has_seen_enough_is_no_reason_to_complain(small_run):
    done, files = small_run("| head -1")
    assert (done.returncode, done.stderr, files) == (0, "", FILES)
    assert len(done.stdout.splitlines()) == 1


REDIRECTIONS = ["", ">&-", "2>&-", "<&-", "<&- >&- 2>&-", "| head -1", "| true", "2> /dev/full", "> /dev/full"]


@needs_bash
@needs_full
@pytest.mark.parametrize("option", ["--list", "--help"])
@pytest.mark.parametrize("redirection", REDIRECTIONS, ids=["open", *REDIRECTIONS[1:]])
def test_list_and_help_are_printed_where_they_can_be(option, redirection):
    done = in_bash(redirection, COMPARE, option)
    full = redirection == "> /dev/full"
    assert (done.returncode, done.stderr) == ((1, FULL) if full else (0, ""))
    readable = redirection in ("", "2>&-", "<&-", "| head -1", "2> /dev/full")
    assert done.stdout.startswith({"--list": "zeros-vs-ones ", "--help": "usage: compare.py "}[option] * readable)
    assert readable or done.stdout == ""


@needs_bash
@needs_full
def test_help_that_cannot_be_printed_is_exit_code_1_without_buffers_too():
    done = in_bash("> /dev/full", COMPARE, "--help", PYTHONUNBUFFERED="1")
    assert (done.returncode, done.stderr) == (1, FULL)


# --- messages and exit codes ----------------------------------------------------------------------------------


@pytest.fixture
def script(tmp_path):
    """The path of a script that is started by `cli.run` and has this body."""

    def write(body):
        lines = "".join(f"    {line}\n" for line in body.splitlines())
        path = tmp_path / "script.py"
        path.write_text(
            "import os, signal, sys, time\n"
            f"sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
            "import cli\nfrom scratchnet.lab.comparison import Unfinished\n"
            "from scratchnet.lab.parts import PartError\n\n\n"
            f"def main():\n{lines}\n\ncli.run(main)\n"
        )
        return path

    return write


ENDINGS = [
    ("return 0", 0, ""),
    ("raise ValueError('there is no such thing')", 1, "there is no such thing"),
    ("open('/no/such/file')", 1, "[Errno 2] No such file or directory: '/no/such/file'"),
    (
        "raise OSError(28, 'No space left on device', 'out/a.png')",
        1,
        "out/a.png cannot be written (No space left on device): free some disk space, and start again",
    ),
    ("raise MemoryError", 1, "MemoryError"),
    ("raise PartError('it does not fit')", 2, "it does not fit"),
    ("cli.parser('').parse_args(['--jobs'])", 2, "error: unrecognized arguments: --jobs"),
    ("raise KeyboardInterrupt", 130, "interrupted"),
    ("raise Unfinished('interrupted', [], interrupted=True) from KeyboardInterrupt()", 130, "interrupted"),
    ("raise Unfinished('a worker process ended', [], interrupted=False)", 1, "a worker process ended"),
]


@pytest.mark.parametrize(("body", "code", "message"), ENDINGS, ids=[body for body, *_ in ENDINGS])
def test_what_a_user_can_cause_is_one_sentence_and_an_exit_code(script, python, body, code, message):
    done = python(script(body))
    assert done.returncode == code
    assert done.stderr.splitlines()[-1:] == ([f"script.py: {message}"] if message else [])
    assert "Traceback" not in done.stderr


def test_a_fault_of_the_program_shows_where_it_is(script, python):
    done = python(script("return {}['here']"))
    assert done.returncode == 1
    assert "Traceback" in done.stderr
    assert "KeyError: 'here'" in done.stderr


@needs_bash
@needs_full
@pytest.mark.parametrize("redirection", ["2> /dev/full", "2> >(true)", "> /dev/full 2> /dev/full"])
@pytest.mark.parametrize(("body", "code"), [("return 3", 3), ("raise PartError('what')", 2), ("raise MemoryError", 1)])
def test_messages_that_nobody_can_read_change_no_exit_code(script, redirection, body, code):
    body = f"for _ in range(9):\n    cli.complain('so far so good')\n    time.sleep(0.01)\n{body}"
    assert in_bash(redirection, script(body)).returncode == code


@needs_bash
@needs_full
def test_what_a_readers_own_function_prints_stops_nothing_either(script):
    done = in_bash("| true", script("time.sleep(0.1)\nprint('hello', flush=True)\nreturn 0"))
    assert (done.returncode, done.stderr) == (0, "")
    done = in_bash("> /dev/full", script("print('hello', flush=True)\ncli.complain('further on')\nreturn 0"))
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["script.py: further on", FULL.strip().replace("compare", "script")]


@pytest.mark.skipif(sys.platform == "win32", reason="opens a terminal")
def test_a_terminal_that_is_gone_takes_neither_results_nor_a_progress_bar_with_it(script, tmp_path):
    """Writing to it fails with EIO. Nobody sees the exit code, either: 1, since the results were not printed."""
    body = """
print("ready", flush=True)
signal.sigwait({signal.SIGUSR1})
from tqdm import tqdm
for _ in tqdm(range(3), mininterval=0, ncols=80):
    cli.complain("so far so good")
open("results", "w").close()
return 0 if cli.say("results") else 1
"""
    path = script("signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})" + body)
    terminal, other = os.openpty()
    with subprocess.Popen([sys.executable, path], cwd=tmp_path, stdin=other, stdout=other, stderr=other) as process:
        os.close(other)
        try:
            assert os.read(terminal, 100) == b"ready\r\n"
            os.close(terminal)
            process.send_signal(signal.SIGUSR1)
            assert process.wait(timeout=60) == 1
        finally:
            process.kill()
    assert (tmp_path / "results").exists()


# --- signals --------------------------------------------------------------------------------------------------

WORK = """
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt as stopped:
    time.sleep(0.2)
    print("saved", flush=True)
    raise
"""


def signalled(path, numbers, *, ignored="", wait_until="ready\n"):
    """Start a script, send it these signals when it has printed `wait_until`; (exit code, the rest of stdout, stderr).

    It ignores `ignored` from the start, and nothing else, whatever this process ignores.
    """
    with subprocess.Popen(
        [sys.executable, "-c", LAUNCHER, ignored, path],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        encoding="utf-8",
    ) as process:
        try:
            assert process.stdout.readline() == wait_until
            for number in numbers:
                process.send_signal(number)
                time.sleep(0.05)
            stdout, stderr = process.communicate(timeout=60)
        finally:
            process.kill()
    return process.returncode, stdout, stderr


@needs_signals
@pytest.mark.parametrize(
    ("name", "code", "message"),
    [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "stopped by SIGTERM"), ("SIGHUP", 129, "stopped by SIGHUP")],
    ids=["SIGINT", "SIGTERM", "SIGHUP"],
)
def test_sigterm_and_sighup_end_a_script_as_ctrl_c_does(script, name, code, message):
    done = signalled(script(WORK), [getattr(signal, name)])
    assert done == (code, "saved\n", f"script.py: {message}\n")


@needs_signals
def test_a_second_one_does_not_stop_the_saving(script):
    done = signalled(script(WORK), [signal.SIGHUP, signal.SIGHUP, signal.SIGTERM])
    assert done == (129, "saved\n", "script.py: stopped by SIGHUP\n")


@needs_signals
def test_a_second_ctrl_c_does(script):
    code, stdout, stderr = signalled(script(WORK), [signal.SIGINT, signal.SIGINT])
    assert (code, stdout, stderr) == (130, "", "script.py: interrupted\n")


SWALLOWED = """
try:
    print("ready", flush=True)
    time.sleep(60)
except KeyboardInterrupt:
    time.sleep(WAIT)
    raise ValueError("Invalid affine transformation matrix") from None
"""


@needs_signals
@pytest.mark.parametrize(
    ("name", "code", "message"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "stopped by SIGTERM")]
)
def test_an_error_that_matplotlib_makes_of_ctrl_c_is_told_as_ctrl_c(script, name, code, message):
    done = signalled(script(SWALLOWED.replace("WAIT", "0")), [getattr(signal, name)])
    assert done == (code, "", f"script.py: {message}\n")


@needs_signals
def test_an_error_long_after_ctrl_c_is_told_as_it_is(script):
    done = signalled(script(SWALLOWED.replace("WAIT", "1.1")), [signal.SIGINT])
    assert done == (1, "", "script.py: Invalid affine transformation matrix\n")


IN_PASSING = """
class Passing:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(0.5)

Passing()
time.sleep(60)"""


@needs_signals
@pytest.mark.parametrize(
    ("name", "code", "message"), [("SIGINT", 130, "interrupted"), ("SIGTERM", 143, "stopped by SIGTERM")]
)
def test_ctrl_c_in_a_destructor_which_python_drops_comes_once_more(script, name, code, message):
    done = signalled(script(IN_PASSING), [getattr(signal, name)])
    assert done == (code, "", f"script.py: {message}\n")


FAREWELL = """
class Late:
    def __del__(self):
        print("ready", flush=True)
        time.sleep(0.5)

late = Late()
raise KeyboardInterrupt"""


@needs_signals
def test_ctrl_c_at_the_very_end_of_a_script_shows_no_traceback(script):
    """A second one meets a destructor, in which Python would report the KeyboardInterrupt and go on."""
    assert signalled(script(FAREWELL), [signal.SIGINT]) == (-signal.SIGINT, "", "script.py: interrupted\n")


@needs_signals
@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_what_was_ignored_stays_ignored(script, name):
    body = "print('ready', flush=True)\ntime.sleep(0.3)\nreturn 7"
    assert signalled(script(body), [getattr(signal, name)], ignored=name) == (7, "", "")


# --- values ---------------------------------------------------------------------------------------------------

VALUES = [
    ("hidden", "256,128", (256, 128)),
    ("hidden", "100x3", (100, 100, 100)),
    ("hidden", "20×2, 5", (20, 20, 5)),
    ("hidden", "none", ()),
    ("hidden", "", None),
    ("hidden", "20,", None),
    ("hidden", "20x0", None),
    ("hidden", "20x10001", None),
    ("hidden", "-20", None),
    ("positive", "1e-3", 0.001),
    ("positive", "0", None),
    ("positive", "inf", None),
    ("positive", "1/2", None),
    ("probability", "0", 0.0),
    ("probability", "0.999", 0.999),
    ("probability", "1", None),
    ("probability", "nan", None),
    ("whole(2)", "2", 2),
    ("whole(2)", "1", None),
    ("whole(2)", "2.0", None),
    ("whole(2)", "99999999999999999999", None),
    ("whole(2)", "9" * 5000, None),
    ("whole(0, 7)", "7", 7),
    ("whole(0, 7)", "8", None),
]


LISTS = {
    "he_normal": ["he_normal"],
    "he_normal, lsuv ,": ["he_normal", "lsuv"],
    "he_normal,HE_NORMAL,kaiming_normal": ["he_normal"],
    "uniform:low=-1,high=1,he_normal": ["uniform:low=-1,high=1", "he_normal"],
    "orthogonal:gain=1.3,orthogonal:gain=2,uniform:low=0,high=2": [
        "orthogonal:gain=1.3",
        "orthogonal:gain=2",
        "uniform:low=0,high=2",
    ],
}


@pytest.fixture(scope="module")
def parsed():
    """What cli makes of VALUES, None for what it refuses, and the keys of the arms in LISTS."""
    code = (
        "import argparse, ast, sys\nsys.path.insert(0, 'scripts')\nimport cli\n"
        "def value(parse, text):\n"
        "    if parse == 'arms':\n        return [arm.key for arm in cli.arms(text)]\n"
        "    try:\n        return eval(f'cli.{parse}')(text)\n"
        "    except argparse.ArgumentTypeError:\n        return None\n"
        "print([value(*pair) for pair in ast.literal_eval(sys.argv[1])])\n"
    )
    pairs = [(parse, text) for parse, text, _ in VALUES] + [("arms", text) for text in [*LISTS, "all"]]
    done = subprocess.run([sys.executable, "-c", code, repr(pairs)], cwd=ROOT, capture_output=True, encoding="utf-8")
    assert done.returncode == 0, done.stderr
    return dict(zip(pairs, eval(done.stdout), strict=True))


@pytest.mark.parametrize(("parse", "text", "value"), VALUES, ids=[f"{parse} {text[:20]}" for parse, text, _ in VALUES])
def test_a_value_is_what_it_says_or_refused(parsed, parse, text, value):
    assert parsed[parse, text] == value


@pytest.mark.parametrize("text", LISTS)
def test_a_list_of_arms_may_hold_commas_in_arguments(parsed, text):
    assert parsed["arms", text] == LISTS[text]


def test_all_is_every_initialization_and_the_first_is_the_reference(parsed):
    first, *others = parsed["arms", "all"]
    assert first == "he_normal"
    assert sorted([first, *others]) == sorted([*init.SCHEMES, *init.PREPARATIONS])


# --- what is found before the work begins ---------------------------------------------------------------------

SCRIPTS = {
    "compare": ["--quick"],
    "study": ["--quick", "born_dead"],
    "why": [],
    "schemes": [],
    "growth": ["--quick"],
    "benchmark": ["--quick"],
    "fuzz": ["--count", "10"],
}
NO_FOLDERS = {
    "": "expected the name of a folder, got ''",
    "a\x1b[31m": r"expected the name of a folder, got 'a\x1b[31m'",
    "README.md": "expected a folder, but README.md is a file",
    "README.md/results": "expected a folder, but README.md is a file",
}


PLACES = [*[("schemes", out) for out in NO_FOLDERS], *[(name, "") for name in SCRIPTS if name != "schemes"]]


@pytest.mark.parametrize(("name", "out"), PLACES, ids=[f"{name} {out!r}" for name, out in PLACES])
def test_an_out_that_is_no_folder_is_wrong_usage(python, name, out):
    done = python(f"scripts/{name}.py", *SCRIPTS[name], "--out", out)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.endswith(f"{name}.py: error: argument --out: {NO_FOLDERS[out]}\n")


def test_a_data_dir_without_a_name_is_wrong_usage(python):
    done = python(COMPARE, "--data-dir", "")
    assert done.returncode == 2
    assert done.stderr.endswith("argument --data-dir: expected the name of a folder, got ''\n")


COUNTS = [
    *[(name, "--seeds") for name in ("compare", "benchmark", "against_pytorch", "why")],
    *[("verdict_rates", "--repeats"), ("study", "--jobs"), ("schemes", "--seed"), ("fuzz", "--count")],
]


@pytest.mark.parametrize(("name", "option"), COUNTS, ids=[" ".join(pair) for pair in COUNTS])
def test_a_number_that_no_memory_holds_is_wrong_usage(python, name, option):
    done = python(f"scripts/{name}.py", option, "99999999999999999999")
    assert done.returncode == 2
    message = rf"argument {option}: expected an integer of at most [\d,]+, got 99999999999999999999\n$"
    assert re.search(message, done.stderr)


@needs_signals
@pytest.mark.parametrize("name", [*SCRIPTS, "against_pytorch", "verdict_rates"])
def test_ctrl_c_while_modules_are_imported_is_one_line(tmp_path, name):
    """NumPy's place is taken by a module that takes its time."""
    (tmp_path / "numpy.py").write_text("import time\nprint('importing', flush=True)\ntime.sleep(60)\n")
    command = [sys.executable, "-c", LAUNCHER, "", f"scripts/{name}.py"]
    environment = os.environ | {"PYTHONPATH": str(tmp_path)}
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8"
    ) as process:
        try:
            assert process.stdout.readline() == "importing\n"
            process.send_signal(signal.SIGINT)
            _, stderr = process.communicate(timeout=30)
        finally:
            process.kill()
    assert stderr == f"{name}.py: interrupted\n"
    assert process.returncode == -signal.SIGINT  # 130 in a shell


@needs_bash
def test_a_current_folder_that_is_gone_is_told(tmp_path):
    script = f"mkdir gone && cd gone && rmdir ../gone && exec {sys.executable} {ROOT / COMPARE} --quick"
    done = subprocess.run(["bash", "-c", script], cwd=tmp_path, capture_output=True, encoding="utf-8", timeout=60)
    assert done.returncode == 1
    assert done.stderr == ("compare.py: the current folder has been deleted: change to another one, and start again\n")


@needs_bash
def test_every_script_finds_its_neighbours_where_python_does_not_look_for_them(python):
    scripts = [path for path in (ROOT / "scripts").glob("*.py") if "\nimport cli\n" in path.read_text("utf-8")]
    assert len(scripts) > 10
    for path in scripts:
        assert "\nsys.path.insert(0, str(Path(__file__).parent))" in path.read_text("utf-8").split("\nimport cli\n")[0]
    assert python(COMPARE, "--list", PYTHONSAFEPATH="1").returncode == 0


def test_neither_tex_nor_a_window_is_asked_for(tmp_path, small_run):
    """A matplotlibrc and an MPLBACKEND that would fail after the training."""
    (tmp_path / "matplotlibrc").write_text("text.usetex: True\n")
    done, files = small_run("", MPLBACKEND="senseless", MATPLOTLIBRC=str(tmp_path))
    assert (done.returncode, done.stderr, files) == (0, "", FILES)


def test_results_that_cannot_be_saved_are_printed(tmp_path, python, dataset):
    """Somebody removes the folder while the second unit trains."""
    (tmp_path / "my.py").write_text(
        "import shutil\nfrom pathlib import Path\n"
        "def mine(shape, *, rng):\n"
        f"    for journal in [*Path({str(tmp_path)!r}).glob('*/*journal*')]:\n"
        "        shutil.rmtree(journal.parent)\n"
        "    return rng.normal(size=shape)\n"
    )
    (tmp_path / "grid.toml").write_text('scheme = "my.py:mine"\nwidth = [4, 5]\nimages = 100\nepochs = 1')
    common = ["--jobs", "1", "--dataset", dataset.name, "--out"]
    arms = ["--arms", f"{tmp_path / 'my.py'}:mine", "--quick", "--seeds", "2", "--hidden", "4"]
    for command, said in [
        ([COMPARE, *arms, *common, tmp_path / "compared"], "mine"),
        (["scripts/sweep.py", tmp_path / "grid.toml", *common, tmp_path / "swept"], "The best cells"),
    ]:
        done = python(*command)
        assert done.returncode == 1
        assert said in done.stdout
        assert re.fullmatch(r"\w+\.py: the folder .* was moved or replaced while .*\n", done.stderr)


@pytest.mark.parametrize(
    ("command", "file", "said"),
    [
        (["why.py", "zeros", "--seeds", "1", "--dataset", "synthetic"], "why.json", "== All zeros: "),
        (["schemes.py", "--shape", "16x8", "--dataset", "synthetic"], "schemes.txt", "n_in = 16 inputs"),
        (["growth.py", "batch", "--quick"], "growth.json", "milliseconds a step"),
    ],
    ids=["why", "schemes", "growth"],
)
def test_results_that_have_no_room_beside_earlier_ones_are_printed(tmp_path, python, command, file, said):
    (tmp_path / file).write_text("{}")
    (tmp_path / "earlier").write_text("a file, where the folder for earlier results would be")
    done = python(f"scripts/{command[0]}", *command[1:], "--out", tmp_path)
    assert done.returncode == 1 and said in done.stdout
    assert "no folder can be made in" in done.stderr and "Traceback" not in done.stderr
