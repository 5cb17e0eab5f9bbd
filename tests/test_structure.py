"""What holds the files together: reading order, one file for each library, a light import."""

import ast
import re

import pytest
from conftest import ROOT

PACKAGE = ROOT / "scratchnet"
READING_ORDER = [
    "files",
    "backend",
    "idx",
    "fashion_mnist",
    "synthetic",
    "data",
    "layers",
    "loss",
    "gradcheck",
    "optim",
    "meanfield",
    "init",
    "network",
    "prepare",
    "train",
    "statistics",
    "experiment",
    "report",
    "theory",
    "plots",
]


def imports(path):
    """The modules that a file imports, wherever in it: 'numpy', 'scratchnet.layers', …"""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            module = node.module or ""
            yield module
            if module == "scratchnet":
                yield from (f"scratchnet.{alias.name}" for alias in node.names)


def test_the_reading_order_names_every_file():
    assert {p.stem for p in PACKAGE.glob("*.py")} == {*READING_ORDER, "__init__"}


@pytest.mark.parametrize("name", READING_ORDER)
def test_a_file_imports_only_files_above_it(name):
    above = READING_ORDER[: READING_ORDER.index(name)]
    for module in imports(PACKAGE / f"{name}.py"):
        match = re.fullmatch(r"scratchnet\.(\w+)", module)
        assert not match or match[1] in above, f"{name} imports {module}, which comes later"


@pytest.mark.parametrize(
    ("library", "allowed"),
    [("cupy", {"backend"}), ("cupyx", {"backend"}), ("matplotlib", {"plots"}), ("requests", {"fashion_mnist"})],
)
def test_a_library_is_named_in_one_file(library, allowed):
    users = {p.stem for p in PACKAGE.glob("*.py") if any(m.split(".")[0] == library for m in imports(p))}
    assert users <= allowed


@pytest.mark.parametrize("library", ["torch", "scipy", "jax"])
def test_the_package_never_imports_an_oracle(library):
    for path in PACKAGE.glob("*.py"):
        assert library not in {m.split(".")[0] for m in imports(path)}, path


def test_import_scratchnet_loads_neither_matplotlib_nor_requests_nor_cupy(python):
    heavy = ("matplotlib", "requests", "cupy", "tqdm", "torch")
    done = python("-c", f"import sys, scratchnet; print([m for m in {heavy} if m in sys.modules])")
    assert done.stdout.strip() == "[]", done.stderr


def test_nobody_seeds_a_global_generator():
    for path in [*PACKAGE.glob("*.py"), *(ROOT / "scripts").glob("*.py")]:
        assert not re.search(
            r"np\.random\.(seed|rand|randn|normal|uniform|choice|permutation)\b", path.read_text("utf-8")
        )
