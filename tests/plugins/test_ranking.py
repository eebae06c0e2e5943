"""Methods of one's own beside reference records, and suites for what needs other runs."""

import shutil
from pathlib import Path

import pandas as pd
import pytest
import yaml
from factories import commands
from factories.suites import describe, few, toy

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.plugins import ranking, templates
from ebm_bench.records import collection, fingerprint
from ebm_bench.report.figures import screen
from ebm_bench.runs import evaluation, training
from ebm_bench.suites import suite

pytestmark = pytest.mark.usefixtures("no_plugins")

DATASET = toy(4, metrics={"hyvarinen_score": {}, "mode_mass_error": {}})
SMALL = describe(
    {
        "dsm": {"objective": "denoising_score_matching"},
        **few("truth"),
        "there": {"objective": "untrained", "datasets": ["two_moons"], "control": True},
    },
    {"eight_gaussians": DATASET, "two_moons": toy(4)},
)


@pytest.fixture(scope="module")
def reference(tmp_path_factory):
    """Records of the small suite on one of its datasets, and nothing but these."""
    folder = tmp_path_factory.mktemp("reference")
    checked = suite.check(SMALL, "small")
    training.train(checked, "eight_gaussians", ["dsm", "truth"], folder / "runs")
    runs = [folder / "runs/eight_gaussians" / name for name in ("dsm", "truth")]
    for run in runs:
        evaluation.evaluate(checked, "eight_gaussians", run.name, run, "cpu")
    collection.collect(runs).write(folder / "alone" / "records")
    return folder / "alone"


@pytest.fixture
def place(tmp_path, monkeypatch):
    """A folder with the suite in it, which is where one works."""
    (tmp_path / "benchmarks").mkdir()
    (tmp_path / "benchmarks/small.yaml").write_text(yaml.safe_dump(SMALL))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments):
    return commands.run("run", *arguments)


def blank(jobs, rc):
    """Save empty figures: `tests/report` looks at them."""
    saved = [path for _, paths in jobs for path in paths]
    for path in saved:
        path.parent.mkdir(exist_ok=True)
        path.write_text("<svg></svg>")
    return saved


def test_a_method_stands_beside_the_reference(place, reference, monkeypatch):
    monkeypatch.setattr(screen, "save_all", blank)
    templates.write("objective", "mine")
    command = ("--plugin", "mine.py", "--suite", "small", "--datasets", "eight_gaussians",
               "--settings", "sigma=0.1", "--reference", reference)  # fmt: skip
    done = run(*command)
    assert done.exit_code == 0, done.output
    assert "eight_gaussians: mine-0.1 has rank " in done.output
    assert "of 2 by Hyvärinen score ↓: " in done.output
    results = place / "results/mine/small"
    assert (results / "leaderboard.html").exists()
    runs = collection.load(results / "records").runs
    assert sorted(runs["method"]) == ["dsm", "mine-0.1", "truth"]
    # By it, measurements of a reference that were made otherwise are refused.
    assert (results / "own/records/suite.yaml").exists()
    # With sigma = 0.1 the skeleton is the method that stands beside it: seed by seed.
    values = collection.load(results / "records").values
    chosen = values[values["metric"] == "hyvarinen_score"].set_index(["method", "replicate"])
    for replicate in (0, 1):
        mine, other = (chosen.loc[(name, replicate), "value"] for name in ("mine-0.1", "dsm"))
        assert mine == other
    assert {p.name for p in (results / "runs/eight_gaussians").iterdir()} == {"mine-0.1"}
    monkeypatch.setattr(training, "train", None)  # what is finished is not trained again
    assert run(*command).exit_code == 0
    registry._loaded.clear()
    registry.entries.cache_clear()
    again = suite.load(results / "suite.yaml")
    assert again.methods["mine-0.1"].settings == {"sigma": 0.1}
    assert again.datasets_of("mine-0.1") == ["eight_gaussians"]


def test_a_reference_without_a_column_is_refused_before_anything_is_written(place, reference):
    templates.write("objective", "mine")
    shutil.copytree(reference, "copied")
    table = Path("copied/records/runs.parquet")
    pd.read_parquet(table).drop(columns="method").to_parquet(table)
    done = run("--plugin", "mine.py", "--suite", "small", "--reference", "copied")
    assert done.exit_code == 2
    assert "runs.parquet: has no column method; collect the records again" in done.output
    assert not Path("results/mine").exists()


def test_a_noise_runs_as_noise_contrastive_estimation(place, reference):
    path = templates.write("noise", "wide")
    prepared = ranking.prepare(
        path, ranking.find_suite("small"), ["eight_gaussians"], {"spread": 2}, reference
    )
    assert prepared.methods == ["nce-wide-2"]
    assert [*prepared.suite.methods] == ["dsm", "truth", "nce-wide-2"]  # those with records
    method = prepared.suite.methods["nce-wide-2"]
    assert method.objective == "noise_contrastive"
    assert method.settings == {"noise": "wide", "noise_settings": {"spread": 2}}
    assert path.resolve() in fingerprint.training_files(
        prepared.suite, "eight_gaussians", "nce-wide-2"
    )


@pytest.mark.parametrize(
    ("kind", "said", "changed"),
    [
        ("dataset", "all 2 methods must be trained with it: 2 runs. In the reference records, ",
         {"name": "small-mine", "datasets": ["mine"], "metrics": {"hyvarinen_score"}}),
        ("energy", "all 3 methods must be trained with it: 5 runs. In the reference records, ",
         {"name": "small-mine", "energy": {"name": "mine"}}),
        ("metric", "all 5 trained models must be measured again; those in results/small",
         {"name": "small", "metrics": {"hyvarinen_score", "mode_mass_error", "mine"}}),
        ("sampler", "all 5 trained models must be measured again",
         {"name": "small", "sampler": {"name": "mine"}}),
    ],
)  # fmt: skip
def test_what_needs_other_runs_gets_a_suite_and_its_cost(kind, said, changed, place, reference):
    templates.write(kind, "mine")
    done = run("--plugin", "mine.py", "--suite", "small", "--reference", reference)
    assert done.exit_code == 0, done.output
    assert said in done.output
    assert "make run SUITE=mine-small.yaml" in done.output
    content = yaml.safe_load((place / "mine-small.yaml").read_text())
    assert content["plugins"] == ["mine.py"]
    assert content["name"] == changed.pop("name")
    assert list(content["datasets"]) == changed.pop("datasets", ["eight_gaussians", "two_moons"])
    spec = next(iter(content["datasets"].values()))
    assert set(spec["metrics"]) == changed.pop("metrics", {"hyvarinen_score", "mode_mass_error"})
    for key, value in changed.items():
        assert spec[key] == value
    again = run("--plugin", "mine.py", "--suite", "small", "--reference", reference)
    assert again.exit_code == 2
    assert "mine-small.yaml: already exists" in again.output


def test_a_metric_leaves_what_was_trained_with_tuned_values(place):
    toy = Path(suite.__file__).parents[2] / "benchmarks/toy.yaml"
    templates.write("metric", "mymetric")
    for chosen in ("", "two_moons,swiss_roll"):
        done = run("--plugin", "mymetric.py", "--suite", toy, "--datasets", chosen)
        assert done.exit_code == 0, done.output
        before, after = suite.load(toy), suite.load("mymetric-toy.yaml")
        assert after.name == before.name
        for dataset in after.datasets:
            for method in after.methods_of(dataset):
                slices = (one.training_slice(dataset, method) for one in (before, after))
                assert len(set(slices)) == 1, (dataset, method)
        Path("mymetric-toy.yaml").unlink()


def test_options_of_a_run_say_nothing_where_none_is_made(place, reference):
    templates.write("metric", "mine")
    for option in (["--settings", "a=1"], ["--out", "there"]):
        done = run("--plugin", "mine.py", "--suite", "small", *option)
        assert done.exit_code == 2
        assert "have no effect: remove them" in done.output
    assert not (place / "mine-small.yaml").exists()


def test_any_file_name_makes_a_suite(place, reference):
    Path("My.Energy.py").write_text(templates.write("energy", "mine").read_text())
    done = run("--plugin", "My.Energy.py", "--suite", "small", "--reference", reference)
    assert done.exit_code == 0, done.output
    assert suite.load("My.Energy-small.yaml").name == "small-my-energy"


def test_a_dataset_without_a_density_leaves_out_what_needs_one(place, reference):
    path = templates.write("dataset", "mine")
    text = path.read_text().replace('("log_prob", "score", "entropy", "grid")', "()")
    path.write_text(text)
    done = run("--plugin", "mine.py", "--suite", "small", "--reference", reference)
    assert done.exit_code == 0, done.output
    content = yaml.safe_load((place / "mine-small.yaml").read_text())
    assert list(content["methods"]) == ["dsm"]


def test_all_classes_of_a_file_enter_the_suite(place, reference):
    text = templates.write("dataset", "mine").read_text()
    (place / "mine.py").write_text(text + text[text.index("@register") :].replace("Mine", "Other"))
    done = run("--plugin", "mine.py", "--suite", "small", "--reference", reference)
    assert done.exit_code == 0, done.output
    assert list(suite.load(place / "mine-small.yaml").datasets) == ["mine", "other"]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--suite", "smal"], "unknown suite 'smal'. Did you mean 'small'?"),
        (["--suite", "small", "--datasets", "two_mons"], "Did you mean 'two_moons'?"),
        (["--suite", "small", "--settings", "sigma"], "--settings sigma: write key=value"),
        (["--suite", "small", "--settings", "sigma=[1"], "'[1' is not a value in YAML"),
        (["--suite", "small", "--settings", "sigm=1"], "Did you mean 'sigma'?"),
        (["--suite", "small", "--settings", "sigma=0"], "mine.sigma = 0"),
        (["--suite", "small"], "no records of suite small in results/reference/small, results"),
    ],
)
def test_bad_input_is_told_before_anything_is_run(arguments, said, place):
    templates.write("objective", "mine")
    done = run("--plugin", "mine.py", *arguments)
    assert done.exit_code == 2
    assert said in done.output
    assert not (place / "results").exists()


def test_a_method_that_the_suite_has_is_refused(place, reference):
    path = templates.write("objective", "mine")
    content = {**SMALL, "methods": {"mine": {"objective": "untrained"}}}
    (place / "own.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"own\.yaml: already has a method 'mine'"):
        ranking.prepare(path, ranking.find_suite("own.yaml"), [], {}, reference)


def test_a_plugin_named_as_one_of_the_suite_is_refused(place, reference):
    path = templates.write("objective", "mine")
    (place / "suite").mkdir()
    templates.write("objective", "theirs").rename(place / "suite" / "mine.py")
    content = {**SMALL, "plugins": ["suite/mine.py"]}
    (place / "own.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"own\.yaml has a plugin of this file name"):
        ranking.prepare(path, ranking.find_suite("own.yaml"), [], {}, reference)
