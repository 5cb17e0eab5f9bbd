"""scripts/torture.py: a careful script survives kills, and the judge notices whatever a careless one does."""

import argparse
import signal
import sys
from dataclasses import replace

import numpy as np
import pytest
from conftest import ROOT

if sys.platform == "win32":
    pytest.skip("sends signals", allow_module_level=True)
sys.path.insert(0, str(ROOT / "scripts"))  # as a script has it
import torments.victim
import torture
from torments import judge
from torments.torments import TORMENTS, WHO, Trial
from torments.victim import Victim

CAREFUL = """
import json, subprocess, sys, time
from pathlib import Path
import cli
from scratchnet.files import replacing, set_aside

def main():
    out = Path(sys.argv[1])
    cli.own(out)
    time.sleep(0.1)
    set_aside(out, ["found.json"])
    with replacing(out / "found.json") as temporary:
        temporary.write_text('{"found": ')
        time.sleep(0.1)
        temporary.write_text('{"found": 7}')
    return 0

cli.run(main)
"""
ASIDE, END = '    set_aside(out, ["found.json"])\n', "    return 0\n"
CARELESS = {  # what is done instead of something else: what the judge says
    (ASIDE, ""): "found.json is lost or changed",
    (ASIDE, "    (out / 'notes.txt').unlink()\n"): "notes.txt is lost or changed",
    (END, "    (out / 'x.tmp').touch()\n    return 0\n"): "it leaves x.tmp",
    (END, "    (out / 'more.json').write_text('{')\n    return 0\n"): "more.json is torn",
    (END, "    (out / 'found.json').write_text('8')\n    return 0\n"): "other numbers (8…",
    (END, "    return 1\n"): "exit code 1",
    (END, "    raise KeyError('here')\n"): "a traceback in",
    (END, "    cli.complain('old, and is not used')\n    return 0\n"): "it does not go on with what",
    (END, "    subprocess.Popen(['sleep', '30'])\n    return 0\n"): "processes are left: ",
}


def victim(folder, text):
    path = folder / "script.py"
    path.write_text(text)
    return Victim("compare", [str(path), "FOLDER"], lambda run: (run.folder / "found.json").read_text(), keep="*.json")


@pytest.fixture(scope="module")
def calm(tmp_path_factory):
    """A run of the careful script that nobody disturbs."""
    folder = tmp_path_factory.mktemp("calm")
    return torture.undisturbed(victim(folder, CAREFUL), folder)


def test_a_careful_script_survives_kills_and_leaves_nothing(tmp_path):
    careful = victim(tmp_path, CAREFUL)
    outcomes = torture.tormented([torture.Job("kill", careful, i) for i in range(6)], tmp_path, 0, 2)
    assert [outcome.faults for outcome in outcomes] == [[]] * 6
    row = torture.table(outcomes, argparse.Namespace(kills=6, rounds=2, seed=3)).splitlines()[2]
    assert row.startswith("| SIGKILL, SIGTERM, Ctrl-C or SIGHUP at a random moment | compare | 6 | 6 | `python")
    assert row.endswith("--only kill,compare --kills 6 --seed 3` |")
    assert {path.name for path in tmp_path.iterdir()} == {"script.py", "undisturbed-compare"}


@pytest.mark.parametrize("change", CARELESS, ids=CARELESS.values())
def test_the_judge_notices_a_planted_fault(tmp_path, calm, monkeypatch, change):
    monkeypatch.setattr(judge, "GONE", 0.2)
    careless = victim(tmp_path, CAREFUL.replace(*change))
    had = judge.earlier(careless, calm, tmp_path / "trial" / "out")
    trial = Trial(careless, tmp_path / "trial", calm, None, had)
    run = trial.run("run")
    faults = list(trial.ends_well(run))
    run.send(signal.SIGKILL)
    assert [fault for fault in faults if fault.startswith(CARELESS[change])], faults


def test_a_file_in_the_cache_that_is_not_the_published_one_is_noticed(tmp_path, calm):
    had = judge.earlier(victim(tmp_path, CAREFUL), calm, tmp_path / "trial" / "out")
    half = CAREFUL.replace(END, "    (out / 'train-labels-idx1-ubyte.gz').write_bytes(b'half')\n    return 0\n")
    trial = Trial(victim(tmp_path, half), tmp_path / "trial", calm, None, had)
    faults = list(trial.ends_well(trial.run("run")))
    assert "train-labels-idx1-ubyte.gz is not the published file" in faults


def test_a_run_that_does_not_end_is_noticed_and_killed(tmp_path, calm, monkeypatch):
    monkeypatch.setattr(torments.victim, "LONGEST", 0.5)
    slow = victim(tmp_path, CAREFUL.replace("time.sleep(0.1)", "time.sleep(60)"))
    had = judge.earlier(slow, calm, tmp_path / "trial" / "out")
    faults = list(TORMENTS["clock-jump"](Trial(slow, tmp_path / "trial", calm, np.random.default_rng(0), had)))
    assert faults[0] == f"exit code -{signal.SIGKILL:d}"
    assert [fault for fault in faults if fault.startswith("it had not ended after")]


def test_an_exit_code_that_no_signal_explains_is_noticed(tmp_path, calm):
    failing = replace(victim(tmp_path, CAREFUL.replace(END, "    return 3\n")))
    had = judge.earlier(failing, calm, tmp_path / "trial" / "out")
    run = Trial(failing, tmp_path / "trial", calm, None, had).run("run")
    run.end()
    assert list(judge.after_torment(run, had, {0, 130})) == ["exit code 3, expected one of [0, 130]"]


def test_every_torment_is_tried_and_the_kills_are_spread_evenly(python):
    some = [Victim(name, [], str) for name in WHO["kill"]]
    args = torture.argparse.Namespace(kills=203, rounds=2, only=[], trial=None)
    jobs = torture.jobs(args, some)
    kills = [sum(job.torment == "kill" and job.victim is one for job in jobs) for one in some]
    assert kills == [41, 41, 41, 40, 40]
    assert {job.torment for job in jobs} == set(TORMENTS)
    args.only = ["twice", "play"]
    assert [(job.torment, job.victim.name) for job in torture.jobs(args, some)] == [("twice", "play")] * 2
    args.trial = 17
    assert [(job.torment, job.number) for job in torture.jobs(args, some)] == [("twice", 17)]
    args.only = ["read-only", "play"]
    assert torture.jobs(args, some) == []
    done = python("scripts/torture.py", "--only", "flood")
    assert (done.returncode, "there is no 'flood'; there are kill, twice," in done.stderr) == (2, True)


def test_ctrl_c_while_python_starts_is_no_fault_of_a_script():
    start = (
        "Fatal Python error: init_import_site: Failed to import the site module\nTraceback (most recent call last):\n"
    )
    frame = '  File "/x/site-packages/finder.py", line 5, in <module>\n'
    assert judge.unborn(f"{start}{frame}KeyboardInterrupt\n")
    assert not judge.traceback(f"{start}{frame}KeyboardInterrupt\n")
    for text in (f"{start}{frame}KeyError\n", f"Traceback (most recent call last):\n{frame}KeyboardInterrupt\n"):
        assert not judge.unborn(text) and judge.traceback(text)


def test_ctrl_c_before_the_first_line_of_cli_is_no_fault_of_a_script():
    start = "Traceback (most recent call last):\n"
    script = f'  File "{judge.ROOT}/scripts/sweep.py", line 23, in <module>\n    import cli\n'
    inside = f'  File "{judge.ROOT}/scripts/cli.py", line 30, in <module>\n    import math\n'
    later = f'  File "{judge.ROOT}/scripts/sweep.py", line 260, in <module>\n    sys.exit(main())\n'
    library = '  File "/usr/lib/python3/argparse.py", line 90, in <module>\n    import re\n'
    for frames in (script, script.replace("import cli", "from pathlib import Path"), script + library):
        assert judge.unborn(f"{start}{frames}KeyboardInterrupt\n")
        assert not judge.traceback(f"{start}{frames}KeyboardInterrupt\n")
        assert judge.traceback(f"{start}{frames}ImportError: no module\n")
    for frames in (script + inside, later, script + inside + library):
        assert judge.traceback(f"{start}{frames}KeyboardInterrupt\n")
