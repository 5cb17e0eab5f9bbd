"""What holds the files together: rooms and what they may import, an order to read them in, a light import."""

import ast
import re

import pytest
from conftest import ROOT, alone

PACKAGE = ROOT / "scratchnet"

# room → its files in reading order, and the rooms that they may import from besides their own
ROOMS = {
    "": (
        [
            *("layers", "loss", "gradcheck", "optim", "network", "train", "normalization", "residual"),
            *("backend", "files", "archive", "contract"),
        ],
        [],
    ),
    "init": (
        [
            *("schemes", "gaussian", "meanfield", "signals", "structured", "data_dependent", "residual"),
            *("registry", "expected"),
        ],
        [""],
    ),
    "data": (["dataset", "idx", "download", "fashion_mnist", "synthetic"], ["files"]),
    "lab": (
        [
            *("parts", "outputs", "symmetry", "recording", "checks", "experiment", "rehearsal"),
            *("work", "script", "keys", "journal"),
            *("packing", "processes", "executors", "comparison", "rates"),
            *("intervals", "maps", "expectations", "verdicts", "diagnostics", "trajectory", "study"),
            *("grid", "sweep", "cluster"),
        ],
        ["", "init", "data"],
    ),
    "report": (
        [
            *("tables", "results", "repetition", "diagnoses", "findings", "style", "plots", "reasons", "panels"),
            *("page", "live", "accounts", "story"),
            *("sweeps", "heatmaps"),
        ],
        ["files", "data", "lab"],
    ),
}
# Plumbing is imported by files above it: a reader may leave it for the end.
PLUMBING = {"backend", "files", "archive", "contract", "idx", "download", "fashion_mnist", "synthetic"}
# Read after the afternoon, by those who ask what modern networks add.
LATER = {"normalization", "residual"}
FILES = [(room, name) for room, (names, _) in ROOMS.items() for name in names]


def path(room, name):
    return PACKAGE / room / f"{name}.py"


def imports(file):
    """The modules that a file imports, wherever in it: 'numpy', 'scratchnet.layers', 'scratchnet.init.schemes', …"""
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative import"
            module = node.module or ""
            yield module
            if module.split(".")[0] == "scratchnet":
                yield from (f"{module}.{alias.name}" for alias in node.names)


def ours(file):
    """(room, file) of each module of this package that a file imports; the file is "" where the room itself is."""
    for module in imports(file):
        _, *parts = module.split(".")
        if not module.startswith("scratchnet.") or not parts:
            continue
        if parts[0] in ROOMS:
            leaf = parts[1] if len(parts) > 1 and path(parts[0], parts[1]).exists() else ""
            yield parts[0], leaf
        elif path("", parts[0]).exists():
            yield "", parts[0]


def test_the_table_of_rooms_names_every_file():
    for room, (names, _) in ROOMS.items():
        assert {p.stem for p in (PACKAGE / room).glob("*.py")} == {*names, "__init__"}, room
    assert {p.name for p in PACKAGE.iterdir() if (p / "__init__.py").exists()} == {room for room in ROOMS if room}


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_from_the_rooms_that_it_may(room):
    names, allowed = ROOMS[room]
    for name in [*names, "__init__"] if room else names:  # scratchnet/__init__.py opens every room
        for other, file in ours(path(room, name)):
            assert other == room or other in allowed or (other == "" and file in allowed), (
                f"{room}/{name}.py imports {other}/{file}.py"
            )


@pytest.mark.parametrize(("room", "name"), FILES)
def test_a_file_imports_from_its_own_room_only_what_comes_before_it(room, name):
    names, _ = ROOMS[room]
    before = names[: names.index(name)]
    for other, file in ours(path(room, name)):
        if other == room and file:
            assert file in before or (file in PLUMBING and name not in PLUMBING) or {file, name} <= PLUMBING, (
                f"{room}/{name}.py imports {file}.py, which comes later"
            )


def test_the_mathematics_is_an_afternoons_reading():
    """Blank lines, plumbing and what comes later left out: about a thousand lines."""
    files = [path("", name) for name in ROOMS[""][0] if name not in PLUMBING | LATER]
    assert sum(1 for file in files for line in file.read_text("utf-8").splitlines() if line.strip()) < 1050


def test_the_afternoon_needs_nothing_of_what_comes_later():
    for name in ROOMS[""][0]:
        if name not in LATER:
            assert not {file for room, file in ours(path("", name)) if room == "" and file in LATER}, name


@pytest.mark.parametrize(
    ("library", "allowed"),
    [
        ("cupy", {"backend"}),
        ("cupyx", {"backend"}),
        ("matplotlib", {"style", "plots", "reasons", "panels", "heatmaps"}),
        ("requests", {"download"}),
        ("distributed", {"cluster"}),
        ("dask", {"cluster"}),
    ],
)
def test_a_library_is_named_in_one_file(library, allowed):
    users = {p.stem for p in PACKAGE.rglob("*.py") if any(m.split(".")[0] == library for m in imports(p))}
    assert users <= allowed


@pytest.mark.parametrize("library", ["socket", "requests", "subprocess", "multiprocessing", "matplotlib", "tqdm"])
def test_the_mathematics_opens_no_socket_process_or_figure(library):
    for room in ("", "init"):
        for name in ROOMS[room][0]:
            assert library not in {m.split(".")[0] for m in imports(path(room, name))}, name


@pytest.mark.parametrize("library", ["torch", "scipy", "jax"])
def test_the_package_never_imports_an_oracle(library):
    for file in PACKAGE.rglob("*.py"):
        assert library not in {m.split(".")[0] for m in imports(file)}, file


@alone
def test_import_scratchnet_loads_neither_matplotlib_nor_requests_nor_cupy(python):
    heavy = ("matplotlib", "requests", "cupy", "tqdm", "torch", "multiprocessing")
    done = python("-c", f"import sys, scratchnet; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_a_scheme_is_found_in_init_whatever_file_it_is_in(python):
    names = ("he_normal", "orthogonal", "lsuv", "edge_of_chaos", "SCHEMES", "PREPARATIONS", "linear", "meanfield")
    done = python("-c", f"from scratchnet import init; print([n for n in {names} if not hasattr(init, n)])")
    assert done.stdout.strip() == "[]", done.stderr


def test_nobody_seeds_a_global_generator():
    for file in [*PACKAGE.rglob("*.py"), *(ROOT / "scripts").rglob("*.py")]:
        assert not re.search(
            r"np\.random\.(seed|rand|randn|normal|uniform|choice|permutation)\b", file.read_text("utf-8")
        )
