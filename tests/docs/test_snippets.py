"""Every command and snippet of the documentation is executed.

Blocks of a page run in order, in a copy of the repository: ``bash`` line by line, ``python`` in a
process of its own; a block with a title is a file that later blocks use. `INSTEAD` lists the
commands that take minutes or need another machine, how they are checked instead, and why.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from functools import cache
from pathlib import Path

import pytest
import yaml
from factories import forks

from ebm_bench.report.tables import macros
from ebm_bench.suites import suite

ROOT = Path(__file__).parents[2]
# Pages whose blocks another test executes.
ELSEWHERE = {"tutorial.md": "workflow/test_tutorial.py"}
PAGES = [
    ROOT / "README.md",
    ROOT / "AGENTS.md",
    ROOT / "CONTRIBUTING.md",
    *(path for path in sorted((ROOT / "docs").glob("*.md")) if path.name not in ELSEWHERE),
]
EVERY = [*PAGES, *(ROOT / "docs" / name for name in ELSEWHERE), ROOT / "results" / "README.md"]
BLOCK = re.compile(r"^```(\w*)(?: title=\"(.+?)\")?\n(.*?)^```$", re.M | re.S)
DRY = "would take minutes: the plan is made, and nothing is run"
OPTIONS = "needs results that take minutes: the options are checked, and nothing is run"
SYNTAX = {*"|&;<>()$`\\*?[]#~!{}"}  # of a shell, beside quotes
# What a line begins with, what is run in its place (None: nothing; "--help": whether the command
# takes these options), and why.
INSTEAD = [
    ("make run", "make --dry-run run", "takes ten minutes and fetches data"),
    ("make test", "make --dry-run test", "is what runs these tests"),
    ("make docs", "make --dry-run docs", "tests/docs/test_site.py builds the pages"),
    ("make lint", "make --dry-run lint", "takes a minute, and is not what a page is for"),
    ("pip install", None, "fetches packages"),
    ("tar ", None, "packs results that take half an hour"),
    ("source .venv", None, "tests run in an environment of their own"),
    ("make .venv", "make --dry-run run", "installs"),
    ("snakemake --profile profiles/slurm", None, "needs a cluster; tests/cluster executes it"),
    ("ebm-bench show --suite benchmarks/quick", "--help", OPTIONS),
    ("snakemake --config suite=my-data", "{line} --cores 2", "is made to be quick"),
    ("snakemake", "{line} --dry-run --quiet", DRY),
    ("python -m benchmarks.speed", "{line} --help", "takes ten minutes"),
    ("ebm-bench doctor", "--help", "takes a minute; tests/runs/test_doctor.py"),
    ("ebm-bench estimate", "--help", "takes minutes"),
    ("ebm-bench stress", "--help", "takes minutes, and `stress-report` needs its results"),
    ("ebm-bench compare", "--help", OPTIONS),
    ("ebm-bench paper", "--help", "takes minutes"),
    ("ebm-bench claims", "--help", OPTIONS),
    ("ebm-bench merge", "--help", OPTIONS),
    ("ebm-bench verify", "--help", OPTIONS),
    ("ebm-bench report", "--help", OPTIONS),
    ("ebm-bench run", "--help", "trains for a minute; the test of the tutorial runs it"),
    ("ebm-bench prepare", "--help", "fetches data"),
]


def blocks(page):
    """Language, title and text of the fenced blocks of a page."""
    return [match.groups() for match in BLOCK.finditer(page.read_text())]


def lines(text):
    """Commands of a block, continued lines joined, without comments and outputs."""
    joined = re.sub(r"\\\n\s*", "", text)
    commands = [re.sub(r"\s+#.*$", "", line).strip() for line in joined.splitlines()]
    return [line for line in commands if line and not line.startswith("#")]


def plan(line):
    """What is run for a line: a command, or None."""
    for start, other, _ in INSTEAD:
        if line.startswith(start):
            if other == "--help":
                return f"{' '.join(line.split()[:2])} --help"
            return other and other.format(line=line)
    return line


@pytest.fixture(scope="module")
def copy(tmp_path_factory):
    """A copy of the repository, with its own code on the path."""
    folder = tmp_path_factory.mktemp("repository")
    parts = ["Snakefile", "workflow", "profiles", "benchmarks", "ebm_bench", "environment.yml",
             "Makefile", "pyproject.toml", "constraints.txt", "docs"]  # fmt: skip
    for part in parts:
        source = ROOT / part
        (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / part)
    if (ROOT / "results" / "reference").is_dir():
        shutil.copytree(ROOT / "results" / "reference", folder / "results" / "reference")
    return folder


@pytest.fixture(scope="module")
def run(copy):
    environment = {
        **os.environ,
        "PYTHONPATH": str(copy),
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }

    @cache  # pages repeat what others begin with
    def run(*command):
        words = shlex.split(command[-1]) if command[:2] == ("bash", "-c") else [""]
        if words[0] == "snakemake" and not set(command[-1]) & SYNTAX:
            done = forks.run(*words, python=sys.executable, cwd=copy, env=environment)
        else:
            done = subprocess.run(command, cwd=copy, env=environment, text=True,
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT)  # fmt: skip
        assert done.returncode == 0, f"{command}\n{done.stdout}"
        return done.stdout

    return run


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_snippets_run(page, copy, run):
    for language, title, text in blocks(page):
        if title:
            (copy / title).write_text(text)
        elif language == "bash":
            for line in lines(text):
                if command := plan(line):
                    told = run("bash", "-c", command)
                    if command.endswith("--help"):
                        options = re.findall(r"(?<=\s)--[a-z-]+", line)
                        assert [o for o in options if o not in told] == [], line
        elif language == "python":
            run(sys.executable, "-c", text)
        elif language == "yaml":
            yaml.safe_load(text)
        elif language == "latex":
            known = macro_names(copy)
            assert set(re.findall(r"\\(ebm\w+)", text)) <= known
        else:
            assert language in ("", "text"), f"{page.name}: a block of {language}"


def macro_names(copy):
    """Names that the macros of the quick suite may have, from its file alone."""
    chosen = suite.load(copy / "benchmarks" / "quick.yaml")
    names = set()
    for dataset, spec in chosen.datasets.items():
        for method in chosen.methods_of(dataset):
            for what in [*spec.metrics, "Rank"]:
                name = "ebm" + "".join(map(macros.letters, [chosen.name, dataset, what, method]))
                names |= {name, f"{name}Low", f"{name}High", f"{name}Interval"}
    return names


def prose(text):
    """Words of a page that a reader sees, without code blocks and markup."""
    text = BLOCK.sub("", text)
    text = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", text)
    return [word for word in re.sub(r"[|*#`_]", " ", text).split() if re.search(r"\w", word)]


def test_readme_and_agents_stay_short():
    assert len(prose((ROOT / "README.md").read_text())) <= 900
    assert len((ROOT / "AGENTS.md").read_text().splitlines()) <= 60


def test_words_are_counted_without_markup():
    text = (
        "# A *title*\n\n![seen](not/seen.png)\n\n| a | `b` |\n|---|:--|\n\n```bash\nnot seen\n```\n"
    )
    assert prose(text) == ["A", "title", "seen", "a", "b"]


ROOTS = ("benchmarks/", "docs/", "ebm_bench/", "profiles/", "results/reference/", "tests/",
         "workflow/")  # fmt: skip


@pytest.mark.parametrize("page", EVERY, ids=lambda page: page.name)
def test_paths_and_links_exist(page):
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.M | re.S)
    named = {path for path in re.findall(r"`([\w./-]+)`", text) if path.startswith(ROOTS)}
    linked = {link for link in re.findall(r"\]\(([^)#]+)\)", text) if "://" not in link}
    missing = {path for path in named if not (ROOT / path).exists()}
    missing |= {link for link in linked if not (page.parent / link).exists()}
    # mkdocs builds these pages from the docstrings.
    assert {path for path in missing if not path.startswith("objectives/")} == set()


def test_every_page_is_seen_and_has_closed_blocks():
    assert {"README.md", "AGENTS.md", "index.md", "stress.md"} <= {page.name for page in PAGES}
    for page in PAGES:
        assert page.read_text().count("```") == 2 * len(blocks(page)), page.name


def test_what_is_not_run_is_still_a_command(run):
    told = run("ebm-bench", "--help")
    starts = [start for start, _, _ in INSTEAD if start.startswith("ebm-bench ")]
    written = {" ".join(line.split()[:2]) for page in PAGES for _, _, text in blocks(page)
               for line in lines(text) if line.startswith("ebm-bench ")}  # fmt: skip
    for start in written & set(starts):
        assert start.split()[1] in told, start


def test_what_is_tested_elsewhere_is():
    for page, test in ELSEWHERE.items():
        assert (ROOT / "docs" / page).exists()
        assert page in (ROOT / "tests" / test).read_text()


def test_lines_are_read_as_a_shell_reads_them():
    assert lines("# about\nmake run     # sets up\nebm-bench a \\\n  --b c\n\n") == [
        "make run", "ebm-bench a --b c",
    ]  # fmt: skip
    assert plan("snakemake tune --config a=b") == "snakemake tune --config a=b --dry-run --quiet"
    assert plan("ebm-bench list objectives") == "ebm-bench list objectives"
    assert plan("pip install -e .") is None
    assert all(shlex.split(plan(start) or "") is not None for start, _, _ in INSTEAD)
