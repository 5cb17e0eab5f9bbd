"""Which versions are tried: those that pyproject.toml claims, with the interpreters that are really there."""

import re
import subprocess
import sys
import tomllib

from conftest import ROOT

sys.path.insert(0, str(ROOT / "scripts"))
import versions


def test_the_oldest_series_are_those_that_pyproject_claims():
    oldest, tests = versions.claimed()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert [f"{name}>={series}" for name, series in oldest.items()] == project["dependencies"]
    assert any(name.startswith("pytest>=") for name in tests)
    assert not any(name.startswith(("torch", "selenium")) for name in tests)


def test_a_series_that_first_has_wheels_is_newer_than_the_oldest_claimed():
    oldest, _ = versions.claimed()
    for (python, name), series in versions.FIRST_WHEELS.items():
        assert re.fullmatch(r"3\.\d+", python)
        assert [int(part) for part in series.split(".")] > [int(part) for part in oldest[name].split(".")]


def test_every_interpreter_that_is_named_is_one_of_that_version():
    found = versions.pythons()
    assert f"3.{sys.version_info.minor}" in found
    for version, path in found.items():
        assert subprocess.run([path, "-V"], capture_output=True, text=True).stdout.startswith(f"Python {version}.")


def test_slow_files_exist():
    for name in versions.SLOW:
        assert list((ROOT / "tests").glob(f"test_{name}.py")), name


def test_a_python_that_is_not_here_is_wrong_usage(python):
    done = python("scripts/versions.py", "--python", "3.99")
    assert done.returncode == 2
    assert "invalid choice: '3.99'" in done.stderr
