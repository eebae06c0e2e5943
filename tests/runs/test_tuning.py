import json

import pytest
import torch
import yaml

from ebm_bench import records
from ebm_bench.datasets.mixtures import EightGaussians
from ebm_bench.runs import assembly, training, tuning
from ebm_bench.runs.tuning import Trial, choose
from ebm_bench.suites import suite
from ebm_bench.suites.tuning import Values

PROVENANCE = {
    "version": "1", "commit": "abc", "dirty": False, "lock": "l", "python": "3", "torch": "2",
    "device": "cpu", "threads": 1, "machine": "m", "date": "2025-01-01T00:00:00+00:00",
}  # fmt: skip
METHODS = {
    "exact": {"objective": "exact_score_matching"},
    "dsm": {"objective": "denoising_score_matching"},
    "gaussian": {"objective": "untrained", "energy": {"name": "quadratic"}},
}


def make_suite(rates=(1e-9, 0.03), methods=METHODS, steps=40):
    content = {
        "name": "test",
        "version": 1,
        "tuning": {
            "trials": len(rates),
            "steps": steps,
            "learning_rates": rates,
            "datasets": {"eight_gaussians": []},
        },
        "datasets": {
            "eight_gaussians": {
                "energy": {"name": "mlp", "settings": {"width": 8}},
                "replicates": 3,
                "budget": {"steps": 4, "batch_size": 64, "fit_samples": 100},
                "sampler": {"name": "langevin"},
                "metrics": {"negative_log_likelihood": {"points": 1000}},
                "rank_by": "negative_log_likelihood",
                "curve": "hyvarinen_score",
            }
        },
        "methods": methods,
    }
    return suite.check(content, "test")


def run(out, **options):
    described = make_suite(**options)
    found = tune(described, described.tuning_jobs()["eight_gaussians"], out)
    return described, {one.method: one.trials for one in found}


def tune(described, methods, out):
    return [tuning.tune(described, "eight_gaussians", method, out) for method in methods]


def trial(rate, score, status="ok"):
    return Trial(
        values=Values(learning_rate=rate), status=status, score=score, seconds=1.0,
        provenance=PROVENANCE,
    )  # fmt: skip


def test_the_lowest_score_is_chosen_and_the_next_is_the_runner_up():
    chosen = choose([trial(0.1, 3.0), trial(0.2, -1.0), trial(0.3, 2.0)])
    assert (chosen.best.learning_rate, chosen.best.score) == (0.2, -1.0)
    assert chosen.runner_up.learning_rate == 0.3
    assert (chosen.trials, chosen.failed) == (3, 0)


@pytest.mark.parametrize("status", [*records.FAILED, "not_finite", "not_converged"])
def test_trials_without_a_score_lose(status):
    chosen = choose([trial(0.1, None, status), trial(0.2, 100.0)])
    assert chosen.best.learning_rate == 0.2
    assert chosen.runner_up is None
    assert chosen.failed == 1
    assert choose([trial(0.1, None, status)]).best is None


def test_of_equal_scores_the_first_is_chosen():
    assert choose([trial(0.2, 1.0), trial(0.1, 1.0)]).best.learning_rate == 0.2


def test_a_rate_that_learns_is_chosen_over_one_that_does_not(tmp_path):
    _, found = run(tmp_path)
    assert found.keys() == {"exact", "dsm"}
    for trials in found.values():
        scores = {one.values.learning_rate: one.score for one in trials}
        assert scores[0.03] < scores[1e-9] - 0.02
        assert choose(trials).best.learning_rate == 0.03


def test_a_trial_that_diverges_loses_and_is_counted(tmp_path):
    only = {"exact": METHODS["exact"]}
    _, found = run(tmp_path, rates=(1e30, 1e-9), methods=only, steps=3)
    assert {t.values.learning_rate: t.status for t in found["exact"]} == {
        1e30: "diverged", 1e-9: "ok",
    }  # fmt: skip
    chosen = choose(found["exact"])
    assert (chosen.best.learning_rate, chosen.failed) == (1e-9, 1)


@pytest.mark.parametrize(
    ("energy", "status"),
    [
        # So flat that most of the mass is outside of every grid.
        (lambda x: 1e-12 * x.square().sum(-1), "not_converged"),
        (lambda x: torch.nan * x.sum(-1), "not_finite"),
    ],
)
def test_a_likelihood_that_is_none_has_no_score(energy, status, monkeypatch):
    described = make_suite()
    trial_of = tuning.trial_suite(described, "eight_gaussians", "exact", Values(learning_rate=1))
    parts = assembly.assemble(trial_of, "eight_gaussians", "exact", "cpu")
    monkeypatch.setattr(parts.energy, "forward", energy)
    assert tuning._score(described, "eight_gaussians", parts) == (status, None)


@pytest.fixture
def trained(monkeypatch):
    """The values of each training that was run."""
    done, train = [], training.train_method

    def counting(described, dataset, method, *rest):
        done.append((method, described.datasets[dataset].budget.learning_rate))
        return train(described, dataset, method, *rest)

    monkeypatch.setattr(training, "train_method", counting)
    return done


def test_trials_that_are_done_are_not_repeated(tmp_path, trained):
    _, first = run(tmp_path, steps=2)
    assert len(trained) == 4
    lost = max((tmp_path / ".trials").iterdir())
    method_rate = json.loads(lost.read_text())["values"]["learning_rate"]
    lost.unlink()
    for path in (tmp_path / "eight_gaussians").iterdir():
        path.unlink()
    trained.clear()
    _, again = run(tmp_path, steps=2)
    assert [rate for _, rate in trained] == [method_rate]
    scores = [[one.score for one in trials] for trials in first.values()]
    assert [[one.score for one in trials] for trials in again.values()] == scores
    assert {p.stem for p in (tmp_path / "eight_gaussians").iterdir()} == {"exact", "dsm"}


def test_other_values_are_other_trials(tmp_path, trained):
    run(tmp_path, steps=2)
    trained.clear()
    stated = {"dsm": {**METHODS["dsm"], "settings": {"sigma": 0.3}}, "exact": METHODS["exact"]}
    run(tmp_path, steps=2, methods=stated)
    assert {method for method, _ in trained} == {"dsm"}


def test_trials_have_data_and_weights_of_their_own_and_meet_validation_data(monkeypatch):
    described = make_suite(steps=2)
    trial_of = tuning.trial_suite(described, "eight_gaussians", "dsm", Values(learning_rate=0.1))
    assert trial_of.seed != described.seed
    own, suites = (
        assembly.assemble(one, "eight_gaussians", "dsm", "cpu") for one in (trial_of, described)
    )
    assert own.streams.replicates == 2
    draws = [parts.streams.child("data").normal(5) for parts in (own, suites)]
    assert not torch.equal(draws[0], draws[1][:2])
    weights = [next(parts.energy.parameters()) for parts in (own, suites)]
    assert not torch.equal(weights[0], weights[1][:2])
    splits, sample = [], EightGaussians.sample

    def spied(self, n, streams, split="train"):
        splits.append((streams.scope[-2:], split, n))
        return sample(self, n, streams, split)

    monkeypatch.setattr(EightGaussians, "sample", spied)
    tuning.run_trial(described, "eight_gaussians", "dsm", Values(learning_rate=0.1), "cpu")
    assert splits[-1] == (("validation", "data"), "validation", 1000)


def test_the_file_says_how_and_the_suite_trains_with_its_values(tmp_path):
    described, _ = run(tmp_path, steps=2)
    found = tune(described, ["exact", "dsm"], tmp_path)
    content = yaml.safe_load(described.model_dump_json(exclude_none=True))
    file = tmp_path / "test.yaml"
    file.write_text(yaml.safe_dump({**content, "tuned": "tuned/test.yaml"}))
    target = suite.tuned_file(file, described)
    tuning.write(tuning.gather(described, found), target)
    told = yaml.safe_load(target.read_text())
    assert {told[key] for key in ("suite", "trials", "steps", "replicates")} == {"test", 2}
    assert told.keys() >= {"date", "version", "commit", "seed", "learning_rates"}
    tuned = told["datasets"]["eight_gaussians"]
    assert tuned["criterion"] == "negative_log_likelihood"
    assert {one["trials"] for one in tuned["methods"].values()} == {2}
    loaded = suite.load(file)
    best = tuned["methods"]["dsm"]["best"]
    _, record = training.train_method(loaded, "eight_gaussians", "dsm")
    assert record.settings == best["settings"]
    assert record.budget["learning_rate"] == best["learning_rate"]
    assert record.budget["steps"] == 4


def test_the_file_says_where_every_trial_failed(tmp_path):
    only = {"exact": METHODS["exact"]}
    described, _ = run(tmp_path, rates=(1e30, 1e31), methods=only, steps=3)
    found = tune(described, ["exact"], tmp_path)
    tuning.write(tuning.gather(described, found), tmp_path / "values.yaml")
    told = yaml.safe_load((tmp_path / "values.yaml").read_text())
    assert told["datasets"]["eight_gaussians"]["methods"] == {"exact": {"trials": 2, "failed": 2}}


def test_what_is_best_at_an_end_of_what_was_tried_is_named():
    assert choose([trial(0.1, 3.0), trial(0.2, 1.0), trial(0.3, 2.0)]).edge == []
    assert choose([trial(0.1, 3.0), trial(0.2, 2.0), trial(0.3, 1.0)]).edge == ["learning_rate"]
    tried = [trial(rate, rate) for rate in (0.2, 0.1, 0.3)]
    for one, sigma in zip(tried, (0.5, 0.4, 0.3), strict=True):
        one.values.settings["sigma"] = sigma
    assert choose(tried).edge == ["learning_rate"]
    assert choose([trial(0.1, None, "diverged")]).edge == []


def test_values_that_blow_up_now_and_then_lose(monkeypatch):
    described = make_suite()
    trial_of = tuning.trial_suite(described, "eight_gaussians", "exact", Values(learning_rate=1))
    parts = assembly.assemble(trial_of, "eight_gaussians", "exact", "cpu")

    def scored(*values):
        result = {"value": torch.tensor(values)}
        monkeypatch.setattr(tuning.metrics, "create", lambda *_, **__: lambda *_: result)
        return tuning._score(described, "eight_gaussians", parts)[1]

    # The second is better on average.
    assert scored(1.0, 1.0, 1.0, 1.0) < scored(0.0, 0.0, 0.0, 3.0)
