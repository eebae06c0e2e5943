import json
import resource
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from factories.commands import run
from factories.suites import describe, few, toy

from ebm_bench import registry
from ebm_bench.cli import inspecting
from ebm_bench.errors import InputError
from ebm_bench.suites.base import KINDS

SMALL = describe(
    {
        "dsm-0.2": {"objective": "denoising_score_matching", "settings": {"sigma": 0.2}},
        **few("gaussian"),
    },
    {"two_moons": toy(4)},
)


@pytest.fixture
def suite_file(tmp_path):
    path = tmp_path / "small.yaml"
    path.write_text(yaml.safe_dump(SMALL))
    return path


def run_apart(*arguments, code=""):
    """Run the command line in a process of its own, then more code in it."""
    program = (
        "import sys; from ebm_bench import cli\n"
        "try: cli.main()\nexcept SystemExit as end: code = end.code\n" + code
    )
    return subprocess.run(
        [sys.executable, "-c", program, *map(str, arguments)], capture_output=True, text=True
    )


def test_version():
    assert run("--version").output.startswith("ebm-bench 0.")


def test_the_package_is_a_command_too():
    done = subprocess.run(
        [sys.executable, "-m", "ebm_bench", "--version"], capture_output=True, text=True
    )
    assert done.stdout.startswith("ebm-bench 0."), done.stderr


def test_list_shows_every_name_and_setting():
    output = run("list").output
    for family in registry.FAMILIES:
        for name, entry in registry.entries(family).items():
            assert name in output
            assert all(f"{setting} = " in output for setting in entry.settings)


def test_list_of_one_family():
    output = run("list", "energies").output
    assert "mlp" in output
    assert "two_moons" not in output


def test_list_groups_objectives_and_datasets_by_their_kind():
    for family in ("objectives", "datasets"):
        lines = run("list", family).output.splitlines()
        heads = [line for line in lines if line.startswith(f"{family}: ")]
        assert len(heads) == len(set(heads)) > 1
        for name, entry in registry.entries(family).items():
            (place,) = (i for i, line in enumerate(lines) if line.startswith(f"  {name}  "))
            above = [line for line in lines[:place] if line in heads]
            assert above[-1] == f"{family}: {entry.kind}"
    assert "metrics" in run("list", "metrics").output.splitlines()


def test_check_shows_what_would_run(suite_file):
    output = run("check", suite_file).output
    assert "two_moons  dsm-0.2, gaussian" in output
    assert "1 datasets, 2 methods: 2 runs" in output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("quick", "4 datasets, 17 methods: 66 runs"),
        ("stress", "ebm-bench stress runs them"),
        ("estimation", "6 models, 6 methods"),
        ("papers/liu2022", "ebm-bench paper makes them"),
        ("papers/yu2026-estimates", "ebm-bench paper makes them"),
    ],
)
def test_check_knows_every_kind_of_suite(name, said):
    done = run("check", Path(__file__).parents[2] / "benchmarks" / f"{name}.yaml")
    assert done.exit_code == 0, done.output
    assert said in done.output


def test_check_has_a_description_of_every_kind_of_suite():
    assert inspecting._CHECKS.keys() == KINDS.keys()


def test_check_names_what_is_wrong_in_a_panel(stress_file):
    stress_file.write_text(stress_file.read_text().replace("sigma: 0.2", "sgma: 0.2"))
    done = run("check", stress_file)
    assert done.exit_code == 2
    assert "steps at 1: methods.dsm-0.2.settings" in done.output


def test_an_objective_without_settings_says_so(suite_file):
    text = suite_file.read_text().replace("denoising_score_matching", "maximum_likelihood")
    suite_file.write_text(text)
    output = run("check", suite_file).output
    assert "unknown setting of maximum_likelihood 'sigma': it has no settings" in output


@pytest.mark.parametrize("arguments", [["--help"], ["list"], ["check", "SUITE"]])
def test_torch_is_not_imported(arguments, suite_file):
    arguments = [suite_file if a == "SUITE" else a for a in arguments]
    done = run_apart(*arguments, code="print('HEAVY', {'torch', 'pandas'} & set(sys.modules))")
    assert "HEAVY set()" in done.stdout, done.stderr


def test_help_is_quick():
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_apart("--help")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["list", "dataset"], "Did you mean 'datasets'?"),
        (["check", "nowhere.yaml"], "nowhere.yaml: cannot be read"),
        (["prepare"], "--suite FILE or --dataset NAME"),
        (["prepare", "--dataset", "minst"], "Did you mean 'mnist'?"),
        (["train", "--suite", "S", "--dataset", "two_mons", "--out", "O"], "'two_moons'?"),
        (["train", "--suite", "S", "--dataset", "two_moons", "--method", "dsm", "--out", "O"],
         "Valid: dsm-0.2, gaussian"),
        (["train", "--suite", "S", "--dataset", "two_moons", "--out", "O", "--device", "gpu"],
         "unknown device 'gpu'. Valid on this machine: auto, cpu"),
        (["evaluate", "--suite", "S", "--dataset", "two_moons", "--method", "gaussian",
          "--out", "O"], "has no trained model"),
        (["collect", "--suite", "S", "--results", "O"], "no run of suite small yet"),
    ],
)  # fmt: skip
def test_bad_input_is_told_in_one_message(arguments, said, suite_file, tmp_path):
    places = {"S": suite_file, "O": tmp_path / "out"}
    result = run(*(places.get(a, a) for a in arguments))
    assert result.exit_code == 2
    assert said in result.stderr
    assert "Traceback" not in result.output
    assert not list(tmp_path.glob("out/**/*.*"))


@pytest.mark.parametrize(
    ("name", "options", "code"),
    [("fashion_mnist", ["--optional"], 0), ("fashion_mnist", [], 2), ("mnist", ["--optional"], 2)],
)
def test_data_that_are_only_compared_with_can_be_missing(
    name, options, code, tmp_path, monkeypatch, caplog
):
    monkeypatch.setenv("EBM_BENCH_DATA", str(tmp_path / "data"))
    monkeypatch.setattr("ebm_bench.datasets.cached.SOURCES", {})
    out = tmp_path / "notes"
    result = run("prepare", "--dataset", name, *options, "--out", out)
    assert result.exit_code == code
    assert f"no source of {name} could be used" in result.stderr + caplog.text
    assert (out / f"{name}.json").exists() == (code == 0)
    if code == 0:
        assert "no source" in json.loads((out / f"{name}.json").read_text())["missing"]


@pytest.mark.parametrize("trained_on", [True, False])
def test_a_suite_fetches_what_its_images_are_compared_with(
    trained_on, suite_file, tmp_path, monkeypatch, caplog
):
    """And does without clothes, unless a method is trained on them."""
    asked = []

    def prepare(name):
        asked.append(name)
        if name == "fashion_mnist":
            raise InputError("no clothes")

    monkeypatch.setattr("ebm_bench.datasets.cached.prepare", prepare)
    settings = {**SMALL["datasets"]["two_moons"], "metrics": {"ood_auroc": {}},
                "rank_by": "ood_auroc", "curve": "ood_auroc",
                "energy": {"name": "conv"}}  # fmt: skip
    names = ["mnist", *(["fashion_mnist"] if trained_on else [])]
    suite_file.write_text(yaml.safe_dump({**SMALL, "datasets": dict.fromkeys(names, settings)}))
    result = run("prepare", "--suite", suite_file)
    assert result.exit_code == (2 if trained_on else 0), result.output
    assert "no clothes" in result.stderr + caplog.text
    assert trained_on or sorted(asked) == ["cifar10", "fashion_mnist", "mnist"]


def test_a_typo_in_an_option_ends_with_2(suite_file):
    assert run("train", "--siute", suite_file).exit_code == 2


def test_bad_input_leaves_no_traceback_in_a_process(tmp_path):
    done = run_apart("check", tmp_path / "no.yaml", code="sys.exit(code)")
    assert done.returncode == 2
    assert done.stderr.count("\n") == 1


def test_interruption_says_that_it_can_be_resumed(suite_file, tmp_path, monkeypatch):
    from ebm_bench.runs import training

    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(training, "train", interrupted)
    result = run("train", "--suite", suite_file, "--dataset", "two_moons", "--method", "gaussian",
                 "--out", tmp_path)  # fmt: skip
    assert result.exit_code == 130
    assert "resumes" in result.stderr


def test_threads_are_set_before_torch_is_imported(suite_file, tmp_path):
    code = "import torch; print('THREADS', torch.get_num_threads())"
    done = run_apart(
        "train", "--suite", suite_file, "--dataset", "two_moons", "--method", "gaussian",
        "--out", tmp_path / "runs", "--threads", "1", code=code,
    )  # fmt: skip
    assert "THREADS 1" in done.stdout, done.stderr
    assert (tmp_path / "runs/two_moons/gaussian/run.json").exists()


def test_an_unwritable_folder(suite_file):
    out = "/proc/ebm-bench"  # closed to root too
    result = run("train", "--suite", suite_file, "--dataset", "two_moons", "--method", "gaussian",
                 "--out", out)  # fmt: skip
    assert result.exit_code == 2
    assert "cannot be written" in result.stderr


def test_a_file_in_place_of_the_folder(suite_file, tmp_path):
    (tmp_path / "out").write_text("")
    result = run("train", "--suite", suite_file, "--dataset", "two_moons", "--method", "gaussian",
                 "--out", tmp_path / "out" / "runs")  # fmt: skip
    assert result.exit_code == 2
    assert "is a file, where there should be a folder" in result.stderr


def test_show_prints_the_ranking_and_where_the_page_is(suite_file, tmp_path, monkeypatch):
    suite_file.write_text(suite_file.read_text().replace("name: small", "name: 'small'  # so", 1))
    monkeypatch.chdir(tmp_path)
    result = run("show", "--suite", suite_file)
    assert result.exit_code == 2
    assert "make the report first" in result.stderr
    (tmp_path / "results/small/tables").mkdir(parents=True)
    (tmp_path / "results/small/tables/overall.txt").write_text("1 dsm-0.2\n")
    result = run("show", "--suite", suite_file)
    assert result.exit_code == 0
    assert "1 dsm-0.2" in result.output
    assert f"{tmp_path}/results/small/leaderboard.html" in result.output


def test_stages_from_training_to_partial_collection(suite_file, tmp_path):
    where = ["--suite", suite_file, "--dataset", "two_moons", "--method", "gaussian",
             "--out", tmp_path / "runs"]  # fmt: skip
    assert run("train", *where).exit_code == 0
    assert run("evaluate", *where).exit_code == 0
    result = run("collect", "--suite", suite_file, "--results", tmp_path)
    assert result.exit_code == 0, result.output
    assert "not trained yet, left out: two_moons/dsm-0.2" in result.stderr
    found = {path.name for path in (tmp_path / "records").iterdir()}
    tables = {f"{t}.{e}" for t in ("runs", "values", "curves") for e in ("parquet", "csv")}
    assert found == {*tables, "suite.yaml"}


def test_stages_take_all_datasets_unless_some_are_named(tmp_path):
    path = tmp_path / "two.yaml"
    datasets = {"two_moons": toy(2), "banana": toy(2)}
    methods = {**few("gaussian"), "truth": {**few("truth")["truth"], "datasets": ["banana"]}}
    path.write_text(yaml.safe_dump(describe(methods, datasets)))
    for stage in ("train", "evaluate"):
        for given in ([], ["--method", "truth"]):
            done = run(stage, "--suite", path, "--out", tmp_path / "runs", *given)
            assert done.exit_code == 0, done.output
            assert "banana truth: done" in done.output
            assert given or all(f"{name} gaussian: done" in done.output for name in datasets)
    assert run("train", "--suite", path, "--out", tmp_path, "--method", "truht").exit_code == 2


@pytest.fixture
def stress_file(tmp_path):
    data = {**SMALL["datasets"]["two_moons"], "budget": {"steps": "$knob", "fit_samples": 100}}
    panel = {
        "title": "More steps",
        "knob": {"label": "steps", "values": [1, 2]},
        "scale": "linear",
        "datasets": {"two_moons": data},
        "methods": {"dsm-0.2": SMALL["methods"]["dsm-0.2"]},
    }
    content = {"kind": "stress", "name": "stress", "version": 1, "panels": {"steps": panel}}
    path = tmp_path / "stress.yaml"
    path.write_text(yaml.safe_dump(content))
    return path


def test_stress_runs_a_panel_and_its_report_is_made(stress_file, tmp_path):
    done = run("stress", "--suite", stress_file, "--panel", "steps", "--out", tmp_path / "panels")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "panels/steps/2/two_moons/dsm-0.2/evaluation.json").exists()
    done = run("stress-report", "--suite", stress_file, "--results", tmp_path)
    assert done.exit_code == 0, done.output
    assert str(tmp_path / "figures/stress.png") in done.output.split()


def test_stress_refuses_an_unknown_panel(stress_file, tmp_path):
    done = run("stress", "--suite", stress_file, "--panel", "setps", "--out", tmp_path)
    assert done.exit_code == 2
    assert "unknown panel 'setps'. Did you mean 'steps'?" in done.output


def test_stress_refuses_a_bad_suite_before_anything_is_run(stress_file, tmp_path):
    stress_file.write_text(stress_file.read_text().replace("sigma: 0.2", "sgma: 0.2"))
    done = run("stress", "--suite", stress_file, "--out", tmp_path / "panels")
    assert done.exit_code == 2
    assert "steps at 1: methods.dsm-0.2.settings" in done.output
    assert not (tmp_path / "panels").exists()
