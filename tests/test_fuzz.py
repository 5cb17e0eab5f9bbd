"""scripts/fuzz.py: damaged files are refused in one sentence or read as what they say, and a fault would be noticed."""

import pytest
from conftest import ROOT

KINDS = ["idx", "idx.gz", "npz"]


def counts(stdout):
    """kind → (tried, refused, read, anything else) of the table."""
    rows = [line.replace(",", "").split() for line in stdout.splitlines()[1:]]
    return {kind: tuple(map(int, numbers)) for kind, *numbers in rows}


def test_damaged_files_are_refused_in_one_sentence_or_read_as_what_they_say(python, tmp_path):
    done = python("scripts/fuzz.py", "--count", 3000, "--jobs", 1, "--out", tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    table = counts(done.stdout)
    assert list(table) == KINDS
    for tried, refused, read, fault in table.values():
        assert (tried, refused + read, fault) == (3000, 3000, 0)
        assert min(refused, read) > 20
    assert list(tmp_path.iterdir()) == []


def test_equal_seeds_damage_alike_on_any_number_of_processes(python, tmp_path):
    one, two, other = (
        python("scripts/fuzz.py", "idx", "--count", 4100, "--jobs", jobs, "--seed", seed, "--out", tmp_path).stdout
        for jobs, seed in ((1, 0), (2, 0), (1, 1))
    )
    assert one == two
    assert one != other


FAULTS = {
    "a reader that reads anything": ("numpy.zeros(3)", "read as something else"),
    "a reader that raises what is not documented": ("1 / 0", "ZeroDivisionError: division by zero"),
    "a reader that warns": ("warnings.warn('careful')", "UserWarning: careful"),
}


@pytest.mark.parametrize("case", FAULTS)
def test_a_reader_with_a_fault_is_found_and_what_it_failed_on_is_kept(python, tmp_path, case):
    body, reason = FAULTS[case]
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "import warnings, numpy, cli, fuzz\n"
        f"fuzz.read_idx = lambda file: {body}\n"
        f"sys.argv[1:] = ['idx', '--count', '50', '--jobs', '1', '--out', {str(tmp_path)!r}]\n"
        "cli.run(fuzz.main)"
    )
    done = python("-W", "ignore", "-c", code)
    assert done.returncode == 1
    assert counts(done.stdout)["idx"][3] > 40
    assert reason in done.stderr
    assert len(list(tmp_path.glob("fuzz-*.idx"))) > 40


def test_a_network_that_is_left_half_changed_is_a_fault(python, tmp_path):
    code = (
        f"import sys; sys.path.insert(0, {str(ROOT / 'scripts')!r})\n"
        "import cli, fuzz\n"
        "load = fuzz.Network.load\n"
        "def careless(network, file):\n    network.theta[0] += 1\n    return load(network, file)\n"
        "fuzz.Network.load = careless\n"
        f"sys.argv[1:] = ['npz', '--count', '50', '--jobs', '1', '--out', {str(tmp_path)!r}]\n"
        "cli.run(fuzz.main)"
    )
    done = python("-c", code)
    assert done.returncode == 1
    assert "refused, and changed" in done.stderr


def test_an_unknown_kind_is_refused(python):
    done = python("scripts/fuzz.py", "png")
    assert done.returncode == 2
    assert "there is no kind 'png'; there are idx, idx.gz, npz" in done.stderr
