"""A results folder of a small suite, made up so that the right conclusions are known."""

import json
import shutil

import pytest
from factories.report import collect, fabricate, make_suite, make_up_names

from ebm_bench import report
from ebm_bench.report import loading


@pytest.fixture
def made_up_names(monkeypatch):
    make_up_names(monkeypatch)


@pytest.fixture(scope="session")
def fabricated(tmp_path_factory):
    """A results folder that is made once."""
    folder = tmp_path_factory.mktemp("fabricated")
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_up_names(monkeypatch)
        fabricate(make_suite(), folder)
    return folder


@pytest.fixture(scope="session")
def built(fabricated, tmp_path_factory):
    """A whole report that is made once: its folder, its suite and the files it says it wrote."""
    folder = shutil.copytree(fabricated, tmp_path_factory.mktemp("built") / "results")
    with pytest.MonkeyPatch.context() as monkeypatch:
        make_up_names(monkeypatch)
        suite = make_suite()
        return folder, suite, report.build(suite, "benchmarks/small suite.yaml", folder)


@pytest.fixture
def suite(made_up_names):
    return make_suite()


@pytest.fixture
def folder(fabricated, tmp_path):
    return shutil.copytree(fabricated, tmp_path, dirs_exist_ok=True)


@pytest.fixture
def results(suite, folder):
    return loading.load(suite, folder)


@pytest.fixture
def forget(suite, folder):
    """Remove a file of a run and collect anew."""

    def forget(dataset, method, *names):
        for name in names:
            (folder / "runs" / dataset / method / name).unlink()
        collect(suite, folder)
        return loading.load(suite, folder)

    return forget


@pytest.fixture
def change(suite, folder):
    """Change the record of a run and collect anew."""

    def change(dataset, method, name, edit):
        path = folder / "runs" / dataset / method / name
        record = json.loads(path.read_text())
        edit(record)
        path.write_text(json.dumps(record))
        collect(suite, folder)
        return loading.load(suite, folder)

    return change


@pytest.fixture
def add_part(change):
    """Give a metric of a run a further part: (replicate) -> value."""

    def add_part(dataset, method, metric, part, value):
        def edit(record):
            main = [v for v in record["values"] if v["metric"] == metric]
            record["values"] += [
                {**v, "metric": f"{metric}.{part}", "value": value(v["replicate"])} for v in main
            ]

        return change(dataset, method, "evaluation.json", edit)

    return add_part
