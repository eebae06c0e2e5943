"""What a result depends on is what Python imports to compute it, and nothing else."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import ebm_bench
from benchmarks.speed import code as speed_code
from ebm_bench import registry
from ebm_bench.records import fingerprint
from ebm_bench.studies.estimation import suite as estimation
from ebm_bench.studies.papers import suite as papers
from ebm_bench.studies.stress import suite as stress
from ebm_bench.suites import suite

PACKAGE = Path(ebm_bench.__file__).parent
ROOT = PACKAGE.parent
QUICK = suite.load(ROOT / "benchmarks/quick.yaml")
TOY = suite.load(ROOT / "benchmarks/toy.yaml")
STRESS = stress.load(ROOT / "benchmarks/stress.yaml")
ESTIMATION = estimation.load(ROOT / "benchmarks/estimation.yaml")
ENTRIES = [entry for family in registry.FAMILIES for entry in registry.packaged(family)]
TRAININGS = [("two_moons", method) for method in ("exact-sm", "nce-mixture", "fce", "truth")]
TRAININGS += [("mnist", method) for method in ("dsm-0.2", "cd")]


def modules_of(parts):
    return [str(registry.describe(family, part.name).module) for family, part in parts]


def results():
    """Every kind of result: the files that it depends on, and the modules that compute it."""
    for entry in ENTRIES:
        yield f"{entry.family} {entry.name}", fingerprint.closure(entry.path), [entry.module]
    for dataset, method in TRAININGS:
        yield (
            f"train {dataset} {method}",
            fingerprint.training_files(QUICK, dataset, method),
            [*modules_of(QUICK.training_parts(dataset, method)), "ebm_bench.runs.training"],
        )
    for dataset in ("eight_gaussians", "mnist"):
        yield (
            f"evaluate {dataset}",
            fingerprint.evaluation_files(QUICK, dataset),
            [*modules_of(QUICK.evaluation_parts(dataset)), "ebm_bench.runs.evaluation"],
        )
    for dataset in ("ring", "two_moons"):
        parts = [p for p in TOY.training_parts(dataset, "cd") if p[0] != "metrics"]
        measured = ["hyvarinen_score", TOY.criterion_of(dataset).name]
        yield (
            f"tune {dataset}",
            fingerprint.tuning_files(TOY, dataset, "cd"),
            [
                *modules_of(parts),
                *(f"ebm_bench.metrics.{name}" for name in measured),
                "ebm_bench.runs.tuning",
            ],
        )
    for panel in STRESS.panels:
        points = STRESS.expand(panel).values()
        parts = [p for x in points for run in x.runs() for p in x.parts(*run)]
        stages = ["records.collection", "runs.training", "runs.evaluation", "studies.stress.run"]
        yield (
            f"stress {panel}",
            STRESS.files(panel),
            [*modules_of(parts), *(f"ebm_bench.{stage}" for stage in stages)],
        )
    for model, method in (("ring-5", "nce"), ("laplace_ica-4", "mle")):
        parts = ESTIMATION.parts(model, method)
        names = ["objectives.noise_contrastive", "noise.gaussian"]
        if method == "mle":
            names = ["objectives.maximum_likelihood"]
        yield (
            f"estimate {model} {method}",
            ESTIMATION.files(model, method),
            [
                *modules_of(parts),
                *(f"ebm_bench.{name}" for name in (*names, "studies.estimation.jobs")),
            ],
        )
    for name in ("song2019", "yu2026-estimates"):
        paper = papers.load_named(ROOT / f"benchmarks/papers/{name}.yaml")
        parts, stages = [], ["studies.papers.run", "runs.training", "runs.evaluation"]
        for knob, dataset, method in paper.cells:
            parts += paper.points[knob].parts(dataset, method)
        yield (
            f"paper {name}",
            paper.files(),
            [*modules_of(parts), *(f"ebm_bench.{stage}" for stage in stages)],
        )
    created = ("energies", "noise", "objectives", "samplers")
    yield (
        "speed",
        speed_code.files(),
        [
            "benchmarks.speed.rows",
            "benchmarks.speed.timing",
            "ebm_bench.datasets.gaussian",  # whose box an objective takes
            *(str(entry.module) for entry in ENTRIES if entry.family in created),
        ],
    )


RESULTS = {name: (files, modules) for name, files, modules in results()}
# Each result is imported in a process of its own, forked from one that has loaded what they need
# of other packages.
IMPORT = """
import contextlib, importlib, json, os, sys

def loaded(names):
    read, write = os.pipe()
    if os.fork() == 0:
        for name in names:
            importlib.import_module(name)
        found = {name: getattr(module, "__file__", None) for name, module in sys.modules.items()}
        with os.fdopen(write, "w") as out:
            json.dump(found, out)
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as answer:
        return json.load(answer)

results = json.load(sys.stdin)
for name in loaded({name for names in results.values() for name in names}):
    if name.split(".")[0] not in ("ebm_bench", "benchmarks"):
        with contextlib.suppress(Exception):
            importlib.import_module(name)
own = ("ebm_bench", "benchmarks")
json.dump({
    result: [file for name, file in loaded(names).items() if name.split(".")[0] in own and file]
    for result, names in results.items()
}, sys.stdout)
"""


@pytest.fixture(scope="module")
def imported():
    """Files of this project that Python imports for each result, found by importing."""
    modules = {name: modules for name, (_, modules) in RESULTS.items()}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        input=json.dumps(modules), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return {name: sorted(map(Path, files)) for name, files in json.loads(done.stdout).items()}


@pytest.mark.parametrize("name", RESULTS)
def test_a_result_depends_on_the_files_that_are_imported_for_it(name, imported):
    files, _ = RESULTS[name]
    assert [str(f.relative_to(ROOT)) for f in files] == [
        str(f.relative_to(ROOT)) for f in imported[name]
    ]


@pytest.mark.parametrize("name", RESULTS)
def test_commands_reports_and_plugins_decide_no_result(name):
    files, _ = RESULTS[name]
    outside = {"cli", "report", "plugins", "api.py"}
    assert not {f.relative_to(PACKAGE).parts[0] for f in files if PACKAGE in f.parents} & outside


def test_a_training_depends_on_no_noise_that_it_does_not_use():
    files, _ = RESULTS["train mnist dsm-0.2"]
    assert {f.name for f in files if f.parent == PACKAGE / "noise"} == {"__init__.py", "base.py"}


@pytest.mark.parametrize("name", ["train mnist cd", "train mnist dsm-0.2", "speed"])
def test_editing_a_file_changes_the_digests_that_depend_on_it(name, monkeypatch):
    files, _ = RESULTS[name]
    before, content = fingerprint.digest("", files), fingerprint._content
    for file in sorted(PACKAGE.rglob("*.py")):
        with monkeypatch.context() as patched:
            patched.setattr(
                fingerprint, "_content",
                lambda path, file=file: "edited" if path == file else content(path),
            )  # fmt: skip
            assert (fingerprint.digest("", files) != before) == (file in files), file


@pytest.mark.parametrize(
    "entry",
    ["report/__init__.py", *(f"studies/{s}/report.py" for s in ("stress", "papers", "estimation"))],
)
def test_a_report_depends_on_no_code_that_trains_or_measures(entry):
    rooms = {f.relative_to(PACKAGE).parts[0] for f in fingerprint.files([], entry)}
    assert not rooms & {"runs", "optim", *registry.FAMILIES}
