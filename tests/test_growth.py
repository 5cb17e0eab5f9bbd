"""scripts/growth.py as a person runs it. Nothing here depends on how fast anything is."""

import json

from conftest import ROOT

SCRIPT = ROOT / "scripts" / "growth.py"


def test_quick_measures_every_sweep_and_draws_a_figure_each(python, tmp_path):
    done = python(SCRIPT, "--quick", "--out", tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    found = json.loads((tmp_path / "growth.json").read_text("utf-8"))["milliseconds"]
    assert list(found) == ["replicas", "width", "depth", "batch"]
    for sweep in found.values():
        for times in sweep.values():
            assert times.keys() == {"scratchnet", "matrix products alone"}
            assert all(value > 0 for values in times.values() for value in values)
    assert {p.name for p in tmp_path.glob("*.png")} == {f"growth-{name}.png" for name in found}


def test_an_unknown_sweep_is_exit_code_2(python):
    done = python(SCRIPT, "height")
    assert done.returncode == 2
    assert "there is no sweep 'height'; there are replicas, width, depth, batch" in done.stderr
