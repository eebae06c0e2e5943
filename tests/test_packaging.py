"""Lock, project and conda environment agree on versions; continuous integration runs it all."""

import os
import re
import shutil
import subprocess
import time
import tomllib
from contextlib import suppress
from importlib import metadata
from pathlib import Path

import psutil
import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import ebm_bench

ROOT = Path(__file__).parents[1]
LINES = (ROOT / "constraints.txt").read_text().splitlines()
PINS = {canonicalize_name(name): v for name, v in (line.split("==") for line in LINES)}
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
REQUIRED = [
    Requirement(text) for text in PROJECT["dependencies"] + PROJECT["optional-dependencies"]["dev"]
]
ENVIRONMENT = yaml.safe_load((ROOT / "environment.yml").read_text())


def test_the_lock_is_sorted_and_holds_versions_alone():
    assert [line.lower() for line in LINES] == sorted(line.lower() for line in LINES)
    assert all(re.fullmatch(r"[A-Za-z0-9._-]+==[A-Za-z0-9.+!]+", line) for line in LINES)
    assert "ebm-bench" not in PINS


@pytest.mark.parametrize("requirement", REQUIRED, ids=str)
def test_the_lock_satisfies_the_project(requirement):
    assert PINS[canonicalize_name(requirement.name)] in requirement.specifier


def test_the_lock_holds_all_that_the_project_brings():
    waiting, seen = [r.name for r in REQUIRED], set()
    while waiting:
        name = canonicalize_name(waiting.pop())
        if name in seen:
            continue
        seen.add(name)
        for text in metadata.requires(name) or []:
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                waiting.append(requirement.name)
    assert seen - {"setuptools", "pip"} <= set(PINS)


def test_conda_has_the_same_pins():
    (pip,) = (entry["pip"] for entry in ENVIRONMENT["dependencies"] if isinstance(entry, dict))
    pins = {canonicalize_name(r.name): str(r.specifier) for r in map(Requirement, pip)}
    assert pins == {
        canonicalize_name(r.name): f"=={PINS[canonicalize_name(r.name)]}" for r in REQUIRED
    }


def test_conda_has_a_python_that_the_project_takes():
    (python,) = (e for e in ENVIRONMENT["dependencies"] if str(e).startswith("python="))
    assert python.split("=")[1] in Requirement(f"python{PROJECT['requires-python']}").specifier


def test_the_package_has_the_version_of_the_project():
    assert ebm_bench.__version__ == PROJECT["version"]


def test_the_workflow_asks_for_a_snakemake_that_the_project_brings():
    asked = re.search(r'min_version\("(.+)"\)', (ROOT / "Snakefile").read_text())[1]
    bound = next(r for r in REQUIRED if r.name == "snakemake")
    assert str(bound.specifier) == f">={asked}"


FAKE_MAKE = """#!/bin/sh
echo "$1, $EBM_BENCH_BROWSER, $EBM_BENCH_SLURM"
[ "$1" != lint ] || sleep 0.5 # the tests end first
[ "$1" != "$FAILING" ] || exit 2
"""
TARGETS = [".venv/.installed", "lint", "test"]


def run_ci(programs, **variables):
    """Run continuous integration with some programs in place of those that install and test."""
    return subprocess.run(
        ROOT / ".ci/run", env={**os.environ, "PATH": programs, **variables},
        capture_output=True, text=True, timeout=300,
    )  # fmt: skip


def write_program(path, text):
    path.write_text(text)
    path.chmod(0o755)


@pytest.mark.parametrize("failing", [*TARGETS, ""])
def test_continuous_integration_checks_the_style_and_always_runs_the_tests(tmp_path, failing):
    for name in ("chromium", "slurmctld"):
        write_program(tmp_path / name, "#!/bin/sh\n")
    write_program(tmp_path / "make", FAKE_MAKE)
    done = run_ci(f"{tmp_path}:{os.environ['PATH']}", FAILING=failing)
    # The tests come last, whatever ended first; nothing is tested that is not installed.
    expected = TARGETS[:1] if failing == TARGETS[0] else TARGETS
    assert done.stdout.splitlines() == [f"{target}, required, required" for target in expected]
    assert done.returncode == (2 if failing else 0)


@pytest.mark.parametrize(
    ("there", "said"),
    [
        (["slurmctld"], "Chromium is required to test the page, and apt-get could not install it. "
                        "Install it (on Debian: apt install chromium) and run again"),
        (["chromium"], "Slurm is required to test the workflow on a cluster, and apt-get could not "
                       "install it. Install it (on Debian: apt install slurm-wlm munge) and run "
                       "again"),
    ],
)  # fmt: skip
def test_continuous_integration_tells_what_cannot_be_installed(tmp_path, there, said):
    for name in ("apt-get", "sudo"):
        write_program(tmp_path / name, "#!/bin/sh\necho nothing is reached; exit 100\n")
    write_program(tmp_path / "make", FAKE_MAKE)
    for name in ("bash", "cat", "dirname", "env", "id", "mktemp", "python3", "rm", "timeout"):
        (tmp_path / name).symlink_to(shutil.which(name))
    for name in there:
        (tmp_path / name).symlink_to(shutil.which("true"))
    done = run_ci(str(tmp_path), FAILING="")
    assert done.returncode == 2
    assert done.stderr.splitlines()[-2:] == ["nothing is reached", said]
    assert done.stdout.splitlines() == [".venv/.installed, required, required"]


def test_continuous_integration_leaves_nothing_that_installs(tmp_path):
    child = tmp_path / "child"
    text = f"#!/bin/sh\nsleep 600 & echo $! >{child}.new; mv {child}.new {child}; wait\n"
    for name in ("apt-get", "sudo"):
        write_program(tmp_path / name, text)
    write_program(
        tmp_path / "make", f"#!/bin/sh\nuntil [ -e {child} ]; do sleep 0.01; done; exit 2\n"
    )
    for name in ("bash", "cat", "dirname", "env", "id", "mktemp", "mv", "python3", "rm", "sleep",
                 "timeout"):  # fmt: skip
        (tmp_path / name).symlink_to(shutil.which(name))
    done = run_ci(str(tmp_path))
    assert done.returncode == 2
    with suppress(psutil.NoSuchProcess):
        process = psutil.Process(int(child.read_text()))
        while process.status() != psutil.STATUS_ZOMBIE:  # which nobody may wait for
            time.sleep(0.01)


def test_every_dependency_has_its_reason():
    section = (ROOT / "CONTRIBUTING.md").read_text().partition("## Dependencies")[2]
    rows = re.findall(r"^\| ([\w, -]+) \| \S.* \|$", section, flags=re.M)
    explained = {canonicalize_name(name) for row in rows for name in row.split(", ")} - {"package"}
    assert explained == {canonicalize_name(r.name) for r in REQUIRED}
