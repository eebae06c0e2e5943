"""Imports point one way, and the files of a family do not know each other."""

import ast
from pathlib import Path

import pytest

import ebm_bench
from ebm_bench import registry

ROOT = Path(ebm_bench.__file__).parent
# A unit may import what stands before it, and nothing else of the package.
ORDER = [
    "errors", "declarations", "registry", "streams", "modules", "specs", "tuned", "reading",
    "compatibility", "suite", "estimation_suite", "records", "collecting", "merging", "progress",
    "provenance", "devices", "optimisation", "sweeps", "derivatives", "cost", "couplings",
    "flows", "noise", "energies", "datasets", "samplers", "metrics", "objectives", "model",
    "skeletons", "contracts", "compiling", "assembling", "training", "tuning", "evaluation",
    "verifying", "api", "theory", "stress", "quasi_newton", "estimation", "asymptotics",
    "estimating", "report", "challenge", "speed", "cli", "warm",
]  # fmt: skip
# These stand side by side: none of them imports another.
APART = [{"noise", "energies", "datasets"}, {"metrics", "objectives"}]
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


def unit(path):
    return path.parts[0].removesuffix(".py")


def test_every_file_has_its_place():
    assert {unit(path) for path in FILES} <= set(ORDER)


@pytest.mark.parametrize("path", FILES, ids=str)
def test_imports_point_one_way(path):
    own = unit(path)
    for module, *_ in imports(path):
        if module == own:
            continue
        assert ORDER.index(module) < ORDER.index(own), f"{path} imports {module}"
        for group in APART:
            assert not {own, module} <= group, f"{path} imports {module}"


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_files_of_a_family_do_not_know_each_other(family):
    registered = {entry.path.stem for entry in registry.entries(family).values()}
    for path in (p for p in FILES if p.parts[0] == family):
        for module, *rest in imports(path):
            if module == family:
                assert not set(rest) & registered - {path.stem}, f"{path} imports {rest}"


FIRST = (
    "errors", "declarations", "registry", "reading", "compatibility", "suite",
    "estimation_suite", "records", "theory", "stress", "cli",
)  # fmt: skip


@pytest.mark.parametrize("path", [p for p in FILES if unit(p) in FIRST], ids=str)
def test_what_the_workflow_reads_first_does_not_import_torch(path):
    tree = ast.parse((ROOT / path).read_text())
    top = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    names = {alias.name for node in top for alias in node.names}
    names |= {node.module for node in top if isinstance(node, ast.ImportFrom)}
    assert not {n.split(".")[0] for n in names} & {"torch", "pandas", "matplotlib", "snakemake"}
