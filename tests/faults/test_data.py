"""Data that nobody looked at: refused before anything is trained, or right to the end."""

import json
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from factories import commands

from ebm_bench import fit, registry
from ebm_bench.errors import InputError
from ebm_bench.records import collection, fingerprint
from ebm_bench.report.files import figure_kinds
from ebm_bench.runs import checkpoints, evaluation, training
from ebm_bench.suites import suite
from tests.factories.data import IMAGES, POINTS, correlated, save_images, write_suite

PLUGIN = '''
"""Rows of a file, as a user would write it."""

from dataclasses import dataclass

import numpy as np
import torch

from ebm_bench.datasets.base import Dataset
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class Mine(Dataset):
    """Rows of a file."""

    version = 1
    citation = "own"
    files = ("path",)

    path: str = "mine.npy"
    dimension: int = 5

    @property
    def event_shape(self):
        """Shape of one point."""
        return (self.dimension,)

    def sample(self, n, streams, split="train"):
        """Draw rows."""
        rows = torch.from_numpy(np.load(self.path).astype(np.float32))
        return rows[streams.integers(len(rows), n)]
'''
METRICS = {"hyvarinen_score": {"points": 20}}
OWN = {**POINTS, "metrics": METRICS, "rank_by": "hyvarinen_score"}
GOOD = np.random.default_rng(0).standard_normal((500, 5))


def changed(value, at):
    x = GOOD.copy()
    x[at] = value
    return x


@pytest.fixture
def plugin(tmp_path, no_plugins):
    """The suite of a plugin whose data are elsewhere than the working folder."""
    (tmp_path / "mine.py").write_text(PLUGIN)
    return write_suite(tmp_path, {"mine": OWN}, plugins=["mine.py"])


def run(path, dataset, out):
    """Train and evaluate every method of a suite on a dataset."""
    chosen = suite.load(path)
    for method in chosen.methods:
        training.train(chosen, dataset, [method], out)
        evaluation.evaluate(chosen, dataset, method, out / dataset / method, "cpu")
    return chosen


@pytest.mark.parametrize(
    ("x", "reason"),
    [
        (GOOD[:, :1], r"points of shape .* 1\), and event_shape asks for .* 5\)"),
        (GOOD[:, :4], r"event_shape asks for"),
        (GOOD[None], r"event_shape asks for"),
        (changed(np.nan, (7, 2)), r"not finite .*: point \d+ of replicate 0"),
        (changed(np.inf, (7, 2)), r"not finite"),
        (changed(-np.inf, (slice(None), 0)), r"not finite .*20000 in all"),
        (changed(3.0, (slice(None), 3)), r"constant.*column '3'"),
        (np.repeat(GOOD[:1], 500, 0), r"constant.*column '0', column '1'"),
        (GOOD[:, [0, 1, 2, 3, 0]], r"linear functions of each other.*: column '0', column '4';"),
        (np.column_stack([GOOD[:, :4], 3 * GOOD[:, 1] - 7]), r"linear.*column '1', column '4';"),
        (np.column_stack([GOOD[:, :4], 100 + GOOD[:, :3].sum(1)]), r"linear.*'0'.*'1'.*'2'.*'4'"),
        (np.outer(GOOD[:, 0], [1, 2, 3, 4, 5.0]), r"linear functions"),
    ],
)
def test_data_of_plugins_are_looked_at_by_run_and_check_in_the_same_words(x, reason, plugin):
    np.save(plugin.parent / "mine.npy", x)
    with pytest.raises(InputError, match=reason) as error:
        training.train_method(suite.load(plugin), "mine", "dsm")
    assert "mine.npy" in str(error.value)
    checked = commands.run("check", plugin)
    assert str(error.value).partition(": ")[2] in checked.output


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("return (self.dimension,)", "return self.dimension", "event_shape is 5, not"),
        ("return (self.dimension,)", "return None", "event_shape is None, not"),
        ("return (self.dimension,)", "return (5.0,)", "event_shape is .5.0,., not"),
        ("return (self.dimension,)", "return '5'", "event_shape is 5, not"),
        ("rows[streams", "rows.numpy()[streams", "points are ndarray, not a dense tensor"),
        ("n)]", "n)].to_sparse()", "points are torch.sparse_coo, not a dense tensor"),
        ("n)]", "n)].tolist()", "points are list, not a dense tensor"),
        ("n)]", "n)][:, :1].expand(-1, n, -1)", "constant"),
        ("    def sample", "    def size(self, split):\n        return 'many'\n\n    def sample",
         "size of the train split is 'many'"),
        ("    def sample", "    def size(self, split):\n        return 9.5\n\n    def sample",
         "size of the train split is 9.5"),
    ],
)  # fmt: skip
def test_datasets_that_give_no_points(old, new, said, plugin):
    assert old in PLUGIN
    (plugin.parent / "mine.py").write_text(PLUGIN.replace(old, new))
    np.save(plugin.parent / "mine.npy", GOOD)
    with pytest.raises(InputError, match=rf"mine\.npy.*{said}"):
        training.train_method(suite.load(plugin), "mine", "dsm")


def test_numbers_of_numpy_are_a_shape_and_a_size(plugin):
    size = "    def size(self, split):\n        return np.int32(99)\n\n    def sample"
    text = PLUGIN.replace("(self.dimension,)", "(np.int64(self.dimension),)")
    (plugin.parent / "mine.py").write_text(text.replace("    def sample", size))
    np.save(plugin.parent / "mine.npy", GOOD)
    training.train_method(suite.load(plugin), "mine", "dsm")


def test_a_mixture_that_cannot_be_fitted_to_few_points(tmp_path):
    np.save(tmp_path / "x.npy", np.random.default_rng(0).standard_normal((40, 30)))
    methods = {"nce": {"objective": "noise_contrastive", "settings": {"noise": "gaussian_mixture"}}}
    data = {**POINTS, "settings": {"path": "x.npy"}}
    path = write_suite(tmp_path, {"points": data}, methods)
    with pytest.raises(InputError, match=r"10 components cannot be fitted to 300 points"):
        training.train_method(suite.load(path), "points", "nce")


def test_files_of_any_name_have_a_digest(tmp_path):
    save_images(tmp_path / "images")
    plain = [file for file in fingerprint._expanded(tmp_path / "images")]
    odd = Path(os.fsdecode(os.fsencode(tmp_path / "images") + b"/caf\xe9.png"))
    odd.write_bytes(plain[0].read_bytes())
    assert fingerprint.digest("", [*plain, odd]) != fingerprint.digest("", plain)


def test_what_never_ends_has_no_digest(tmp_path):
    os.mkfifo(tmp_path / "x.csv")
    path = write_suite(tmp_path, {"points": {**POINTS, "settings": {"path": "x.csv"}}})
    with pytest.raises(InputError, match=r"x.csv: is no file"):
        fingerprint.of_training(suite.load(path), "points", "dsm")


def test_missing_data_of_plugins_are_refused(plugin):
    with pytest.raises(InputError, match=r"mine.npy\): does not exist"):
        training.train_method(suite.load(plugin), "mine", "dsm")


def test_reports_are_planned_without_the_data_of_plugins(plugin):
    text = PLUGIN.replace("    dimension: int = 5\n", "")
    text = text.replace("(self.dimension,)", "np.load(self.path).shape[1:]")
    (plugin.parent / "mine.py").write_text(text)
    chosen = suite.load(plugin)
    assert figure_kinds(chosen, "mine") == ["cost", "curves"]
    np.save(plugin.parent / "mine.npy", GOOD[:, :2])
    assert figure_kinds(chosen, "mine") == ["densities", "cost", "curves"]


def test_sound_data_of_plugins_are_trained_on(plugin):
    np.save(plugin.parent / "mine.npy", GOOD)
    _, record = training.train_method(suite.load(plugin), "mine", "dsm")
    assert {outcome.status for outcome in record.outcomes} == {"ok"}


def test_paths_start_from_the_suite(plugin, tmp_path_factory, monkeypatch):
    np.save(plugin.parent / "mine.npy", GOOD)
    monkeypatch.chdir(tmp_path_factory.mktemp("elsewhere"))
    relative = Path(os.path.relpath(plugin))
    assert plugin.parent / "mine.npy" in {
        file.resolve() for file in fingerprint.training_files(suite.load(relative), "mine", "dsm")
    }
    training.train_method(suite.load(relative), "mine", "dsm")


def test_paths_start_from_the_working_folder_in_python(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", correlated())
    monkeypatch.chdir(tmp_path)
    options = {"replicates": 1, "steps": 1, "batch_size": 16}
    done = fit("points", "denoising_score_matching", dataset_settings={"path": "x.npy"}, **options)
    assert done.sample(3).shape == (1, 3, 2)


def test_content_and_not_the_place_of_data_counts(tmp_path):
    def digest(folder, name="x.npy"):
        fingerprint.forget()
        data = {**POINTS, "settings": {"path": name}}
        return fingerprint.of_training(
            suite.load(write_suite(folder, {"points": data})), "points", "dsm"
        )

    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        np.save(tmp_path / folder / "x.npy", correlated())
    first = digest(tmp_path / "one")
    assert (
        first == digest(tmp_path / "two") == digest(tmp_path / "one", str(tmp_path / "two/x.npy"))
    )
    np.save(tmp_path / "one" / "x.npy", correlated(seed=1))
    assert first != digest(tmp_path / "one")


def test_a_checkpoint_of_replaced_data_is_not_resumed(tmp_path):
    path = write_suite(tmp_path, {"points": {**POINTS, "settings": {"path": "x.npy"}}})
    np.save(tmp_path / "x.npy", correlated())
    trainer = training._Trainer(suite.load(path), "points", "dsm", "cpu")
    trainer.setup()
    trainer.save(tmp_path / "checkpoint.pt")
    again = training._Trainer(suite.load(path), "points", "dsm", "cpu")
    saved = checkpoints.read(tmp_path / "checkpoint.pt", again.identity, torch.device("cpu"))
    assert saved
    assert again.resume(saved)
    np.save(tmp_path / "x.npy", correlated(seed=1))
    fingerprint.forget()
    again = training._Trainer(suite.load(path), "points", "dsm", "cpu")
    assert not checkpoints.read(tmp_path / "checkpoint.pt", again.identity, torch.device("cpu"))


def test_a_batch_is_no_larger_than_the_training_split(tmp_path):
    np.save(tmp_path / "x.npy", correlated(18))
    path = write_suite(tmp_path, {"points": {**POINTS, "settings": {"path": "x.npy"}}})
    with pytest.raises(InputError, match=r"x.npy.*a batch of 16 from 14 training points"):
        training.train_method(suite.load(path), "points", "dsm")


@pytest.mark.parametrize("d", [1, 2, 3])
def test_points_from_training_to_the_report(d, tmp_path):
    (tmp_path / "x.csv").write_text(
        "\n".join(",".join(map(repr, map(float, row))) for row in correlated(d=d))
    )
    path = write_suite(tmp_path, {"points": {**POINTS, "settings": {"path": "x.csv"}}})
    chosen = run(path, "points", tmp_path / "runs")
    collection.keep_suite(chosen, path, tmp_path / "records")
    results = commands.run("collect", "--suite", path, "--results", tmp_path)
    assert not results.exit_code, results.output
    (tmp_path / "x.csv").unlink() if d == 3 else None  # results are reported without the data
    results = commands.run("report", "--suite", path, "--results", tmp_path)
    assert not results.exit_code, results.output
    assert "500 rows" in (tmp_path / "tables" / "points.md").read_text()
    figures = {file.name for file in (tmp_path / "figures").iterdir()}
    assert any("densities" in name for name in figures) == (d == 2)


def test_the_likelihood_is_in_the_units_of_the_file(tmp_path):
    x = correlated(2000)
    np.save(tmp_path / "x.npy", x)
    found = {}
    for standardise in (True, False):
        data = {**POINTS, "settings": {"path": "x.npy", "standardise": standardise}}
        data["metrics"] = {"negative_log_likelihood": {"points": 200}}
        data["budget"] = {**POINTS["budget"], "fit_samples": 5000}
        path = write_suite(tmp_path, {"points": data})
        run(path, "points", tmp_path / str(standardise))
        record = json.loads(
            (tmp_path / str(standardise) / "points" / "gaussian" / "evaluation.json").read_text()
        )
        found[standardise] = next(v["value"] for v in record["values"])
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * np.cov(x.T))[1]
    assert abs(found[True] - entropy) < 0.3
    assert abs(found[True] - found[False]) < 1e-3


@pytest.mark.parametrize("mode", ["L", "RGB"])
def test_images_from_training_to_the_report(mode, tmp_path):
    save_images(tmp_path / "images", mode=mode)
    data = {**IMAGES, "settings": {"path": "images"}}
    methods = {"dsm": {"objective": "denoising_score_matching", "settings": {"sigma": 0.3}}}
    path = write_suite(tmp_path, {"image_folder": data}, methods)
    run(path, "image_folder", tmp_path / "runs")
    for command in ("collect", "report"):
        done = commands.run(command, "--suite", path, "--results", tmp_path)
        assert not done.exit_code, done.output
    assert "40 images" in (tmp_path / "tables" / "image_folder.md").read_text()


def test_plugins_may_name_the_file(tmp_path, no_plugins):
    (tmp_path / "heights.py").write_text(
        '"""Own."""\n\nfrom dataclasses import dataclass\n\n'
        "from ebm_bench.datasets.points import Points\nfrom ebm_bench.registry import register\n\n"
        "@register\n@dataclass(eq=False, kw_only=True)\nclass Heights(Points):\n"
        '    """Heights."""\n\n    path: str = "x.npy"\n'
    )
    np.save(tmp_path / "x.npy", correlated())
    path = write_suite(tmp_path, {"heights": POINTS}, plugins=["heights.py"])
    training.train_method(suite.load(path), "heights", "dsm")
    assert registry.describe("datasets", "heights").files == ("path",)
