"""Imports point one way, and the files of a family do not know each other."""

import ast
from pathlib import Path

import pytest

import ebm_bench
from ebm_bench import registry

ROOT = Path(ebm_bench.__file__).parent
# A room imports from the lines above its own, and from no other room of its line.
ORDER = """
errors streams derivatives
utils optim registry
suites nn datasets samplers
records noise energies
metrics objectives
runs report
api studies plugins
cli
__main__
"""
LINES = [line.split() for line in ORDER.strip().splitlines()]
LEVEL = {room: number for number, line in enumerate(LINES) for room in line}
# These stand side by side, though on different lines.
APART = {"noise", "energies", "datasets"}
FILES = sorted(p.relative_to(ROOT) for p in ROOT.rglob("*.py") if p != ROOT / "__init__.py")


def imports(path):
    """Modules of the package that a file imports anywhere in it, as tuples of their parts."""
    for node in ast.walk(ast.parse((ROOT / path).read_text())):
        if isinstance(node, ast.Import):
            found = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            found = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in found:
            parts = name.split(".")
            if parts[0] == "ebm_bench" and not parts[1].startswith("__"):
                yield tuple(parts[1:3])


def room(path):
    return path.parts[0].removesuffix(".py")


def test_every_file_has_its_place():
    assert {room(path) for path in FILES} == set(LEVEL)
    assert len([path for path in FILES if len(path.parts) == 1]) <= 5


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_one_way(path):
    own = room(path)
    for other, *_ in imports(path):
        if other == own:
            continue
        assert LEVEL[other] < LEVEL[own], f"{path} imports {other}"
        assert not {own, other} <= APART, f"{path} imports {other}"


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_files_of_a_family_do_not_know_each_other(family):
    registered = {entry.path.stem for entry in registry.entries(family).values()}
    for path in (p for p in FILES if p.parts[0] == family):
        for module, *rest in imports(path):
            if module == family:
                assert not set(rest) & registered - {path.stem}, f"{path} imports {rest}"


FIRST = ("errors", "registry", "utils", "suites", "cli")
ALSO = ("records/__init__.py", "records/schema.py", "studies/stress/suite.py",
        "studies/stress/theory.py", "studies/estimation/suite.py")  # fmt: skip


@pytest.mark.parametrize(
    "path", [p for p in FILES if room(p) in FIRST or p.as_posix() in ALSO], ids=str
)
def test_what_the_workflow_reads_first_does_not_import_torch(path):
    tree = ast.parse((ROOT / path).read_text())
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in top for alias in node.names}
    names |= {node.module for node in top if isinstance(node, ast.ImportFrom)}
    assert not {n.split(".")[0] for n in names} & {"torch", "pandas", "matplotlib", "snakemake"}
