"""Names that would share files, could not be folders, or that YAML reads as something else."""

import copy

import pytest
import yaml
from factories.suites import changed, describe, toy

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.studies.estimation import suite as estimation
from ebm_bench.studies.stress import suite as stress
from ebm_bench.suites import names, suite

DATASET = toy()
CONTENT = describe({"dsm": {"objective": "denoising_score_matching"}}, {"two_moons": DATASET})
METHOD = CONTENT["methods"]["dsm"]


def with_methods(*given):
    return {**CONTENT, "methods": dict.fromkeys(given, METHOD)}


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (("dsm", "DSM"), "'dsm' and 'DSM' differ in case alone"),
        (("Nce-1.0", "nce-1.0"), "differ in case alone"),
        (("a/b",), "name 'a/b' is not valid"),
        (("a\\b",), "is not valid"),
        ((".kept",), "name '.kept' is not valid"),
        (("-dsm",), "is not valid"),
        (("dsm 0.1",), "is not valid"),
        (("dsm\n",), "is not valid"),
        (("méthode",), "name 'méthode' is not valid"),
        (("me\u0301thode",), "is not valid"),
        (("λ",), "is not valid"),
        (("ｄｓｍ",), "is not valid"),
        (("dsm١",), "is not valid"),
        (("",), "name '' is not valid"),
        (("dsm.",), "ends with a dot"),
        (("con",), "reserved on Windows"),
        (("NUL.txt",), "reserved on Windows"),
        (("Com1",), "reserved on Windows"),
        (("a" * 101,), "has 101 letters; at most 100"),
    ],
)
def test_names_that_cannot_be_folders(given, said):
    with pytest.raises(InputError, match=r"^here: methods") as caught:
        suite.check(with_methods(*given), "here")
    assert said in str(caught.value)


def test_names_that_can():
    suite.check(with_methods("dsm", "dsm-0.1", "dsm_0.1", "console", "com10", "a" * 80), "here")


@pytest.mark.parametrize("name", ["stress", "estimation", "speed", "reference"])
def test_suites_that_would_share_a_folder_with_other_results(name):
    with pytest.raises(InputError, match=f"the folder results/{name} is that of `snakemake"):
        suite.check({**CONTENT, "name": name}, "here")


def test_studies_keep_their_folders():
    assert not names.fault_of_suite("stress", "stress")
    assert not names.fault_of_suite("estimation", "estimation")
    assert names.fault_of_suite("stress", "estimation")


def test_a_suite_that_windows_could_not_name():
    with pytest.raises(InputError, match=r"name: .*reserved on Windows"):
        suite.check({**CONTENT, "name": "aux"}, "here")


def test_panels_and_methods_of_studies_that_differ_in_case():
    panel = {
        "title": "", "knob": {"label": "σ", "values": [1, 2]},
        "datasets": {"two_moons": {**DATASET, "replicates": "$knob"}},
        "methods": {"dsm": METHOD},
    }  # fmt: skip
    whole = {"kind": "stress", "name": "stress", "version": 1}
    with pytest.raises(ValueError, match="'a' and 'A' differ in case"):
        stress.Stress.model_validate({**whole, "panels": {"a": panel, "A": panel}})
    panel = {**panel, "methods": {"dsm": METHOD, "Dsm": METHOD}}
    with pytest.raises(ValueError, match="'dsm' and 'Dsm' differ in case"):
        stress.Stress.model_validate({**whole, "panels": {"a": panel}})
    models = {"line": {"dataset": {"name": "gaussian"}, "energy": {"name": "quadratic"}}}
    content = {
        "kind": "estimation", "name": "estimation", "version": 1, "sizes": [10], "ratios": [1],
        "size": 10, "ratio": 1, "models": {**models, "Line": models["line"]},
        "methods": {"nce": {"objective": "noise_contrastive"}},
    }  # fmt: skip
    with pytest.raises(ValueError, match="'line' and 'Line' differ in case"):
        estimation.EstimationSuite.model_validate(content)


@pytest.mark.parametrize("where", [("methods", "dsm", "datasets"), ("datasets",), ("methods",)])
def test_nothing_to_run_is_refused(where):
    content = changed(CONTENT, *where, to=[] if where[1:] else {})
    with pytest.raises(InputError, match=rf"^here: {'.'.join(where)}: .*at least 1 item"):
        suite.check(content, "here")


@pytest.mark.parametrize("datasets", [{"pinwheel": DATASET}, {"ring": DATASET, "banana": DATASET}])
def test_a_dataset_that_no_method_runs_on_is_refused(datasets, tmp_path):
    content = copy.deepcopy(CONTENT)
    content["datasets"] |= datasets
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(content))
    suite.load(path)
    content["methods"]["dsm"]["datasets"] = ["two_moons"]
    path.write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"suite.yaml: datasets\.\w+: no method runs on"):
        suite.load(path)


@pytest.mark.parametrize(
    ("key", "read"),
    [
        ("no", "False"), ("on", "True"), ("Yes", "True"), ("off", "False"), ("true", "True"),
        ("1", "1"), ("0.1", "0.1"), ("1.0e+3", "1000.0"), ("null", "None"), ("~", "None"),
        ("2020-01-01", "datetime.date"), ("0x10", "16"), ("12:30", "750"), (".inf", "inf"),
    ],
)  # fmt: skip
def test_keys_that_yaml_reads_as_something_else(key, read, tmp_path):
    path = tmp_path / "suite.yaml"
    text = yaml.safe_dump(CONTENT).replace("  dsm:", f"  {key}:")
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        suite.load(path)
    for part in (str(path), f"key {key} is read as {read}", f"quote it: '{key}'", "line"):
        assert part in str(caught.value)
    path.write_text(text.replace(f"  {key}:", f"  '{key}':"))
    if key[0].isalnum() and ":" not in key and "+" not in key:
        assert list(suite.load(path).methods) == [key]


@pytest.mark.parametrize("value", ["no", "1", "null", "2020-01-01", "0.5"])
def test_values_that_yaml_reads_as_something_else(value, tmp_path):
    path = tmp_path / "suite.yaml"
    text = yaml.safe_dump(CONTENT)
    path.write_text(text.replace("objective: denoising_score_matching", f"objective: {value}"))
    with pytest.raises(InputError, match=r"methods\.dsm\.objective: .*quote what is a text"):
        suite.load(path)


PLUGIN = '''
from dataclasses import dataclass
from ebm_bench.metrics.base import Metric
from ebm_bench.registry import register

@register
@dataclass(eq=False, kw_only=True)
class {name}(Metric):
    """A metric."""

    def __call__(self, model, dataset, streams):
        return {{}}
'''


@pytest.mark.parametrize("name", ["Größe", "Λ", "Mesure\u0301e", "尺度"])
def test_class_names_beyond_ascii(name, tmp_path):
    path = tmp_path / "own.py"
    path.write_text(PLUGIN.format(name=name), encoding="utf-8")
    with pytest.raises(InputError, match=r"own\.py:\d+: the class name .* is not in ASCII"):
        registry.load(path)


@pytest.mark.parametrize(
    ("name", "said"), [("overall", "files of a table"), ("macros", "files of a table"),
                       ("nul", "reserved on Windows")],
)  # fmt: skip
def test_datasets_whose_files_would_be_others(name, said):
    with pytest.raises(InputError, match=f"datasets.*{said}"):
        suite.check({**CONTENT, "datasets": {name: DATASET}}, "here")
