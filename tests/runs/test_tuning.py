import json
import math
from contextlib import contextmanager
from functools import partial

import pytest
import torch
import yaml
from factories.suites import describe, toy

from ebm_bench import records
from ebm_bench.errors import InputError
from ebm_bench.metrics.grid import integrate
from ebm_bench.runs import assembly, model, training, tuning
from ebm_bench.runs.tuning import Trial
from ebm_bench.suites import suite
from ebm_bench.suites.tuning import Values
from ebm_bench.utils import leases

PROVENANCE = {
    "version": "1", "commit": "abc", "dirty": False, "lock": "l", "python": "3", "torch": "2",
    "device": "cpu", "threads": 1, "machine": "m", "date": "2025-01-01T00:00:00+00:00",
}  # fmt: skip
METHODS = {
    "exact": {"objective": "exact_score_matching"},
    "dsm": {"objective": "denoising_score_matching"},
    "gaussian": {"objective": "untrained", "energy": {"name": "quadratic"}},
}


def make_suite(rates=(1e-9, 0.03), methods=METHODS, steps=40, trials=2):
    data = toy(
        replicates=3,
        budget={"steps": 4, "batch_size": 64, "fit_samples": 100},
        metrics={"negative_log_likelihood": {"points": 1000}},
        rank_by="negative_log_likelihood",
    )
    tuning = {
        "trials": trials,
        "steps": steps,
        "learning_rates": rates,
        "datasets": {"eight_gaussians": []},
    }
    content = describe(methods, {"eight_gaussians": data}, "test", tuning=tuning)
    return suite.check(content, "test")


def run(out, **options):
    described = make_suite(**options)
    found = tune(described, described.tuning_jobs()["eight_gaussians"], out)
    return described, {one.method: one.trials for one in found}


def tune(described, methods, out):
    return [tuning.tune(described, "eight_gaussians", method, out) for method in methods]


@pytest.fixture(autouse=True)
def coarse(monkeypatch):
    """Grids that are refined less than those of models that learned little would be."""
    monkeypatch.setattr(model, "integrate", partial(integrate, tolerance=1.0))


def trial(rate, score, status="ok", **settings):
    return Trial(
        values=Values(learning_rate=rate, settings=settings), status=status, score=score,
        seconds=1.0, provenance=PROVENANCE,
    )  # fmt: skip


def choose(trials, objective="denoising_score_matching"):
    return tuning.choose(trials, objective)


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
    wide = {**METHODS, "dsm": {**METHODS["dsm"], "settings": {"sigma": 0.5}}}
    _, found = run(tmp_path, methods=wide)
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
    trial_of = tuning.trial_suite(described, "eight_gaussians", "exact", {})
    parts, _ = training.train_method(trial_of, "eight_gaussians", "exact", rates=[1e-3])
    monkeypatch.setattr(parts.energy, "forward", energy)
    assert tuning._scores(described, "eight_gaussians", parts, 1) == [(status, None)]


@pytest.fixture
def trained(monkeypatch):
    """Method and learning rates of each training that was run."""
    done, train = [], training.train_method

    def counting(described, dataset, method, *rest, rates):
        done.append((method, rates))
        return train(described, dataset, method, *rest, rates=rates)

    monkeypatch.setattr(training, "train_method", counting)
    return done


@pytest.mark.parametrize("damage", [None, "", "{}", '{"dataset": "", "method": "", "trials": []}'])
def test_trials_that_are_done_are_not_repeated(damage, tmp_path, trained):
    _, first = run(tmp_path, steps=2)
    # The rates of a round are trained side by side.
    assert [len(rates) for _, rates in trained] == [2, 2]
    lost = max((tmp_path / ".trials").iterdir())
    rates = [one["values"]["learning_rate"] for one in json.loads(lost.read_text())["trials"]]
    lost.unlink()
    if damage is not None:
        lost.write_text(damage)
    described = make_suite(steps=2)
    tuned = [tuning.is_tuned(described, "eight_gaussians", m, tmp_path) for m in ("exact", "dsm")]
    assert sorted(tuned) == [False, True]
    for path in (tmp_path / "eight_gaussians").iterdir():
        path.unlink()
    trained.clear()
    _, again = run(tmp_path, steps=2)
    assert [tried for _, tried in trained] == [rates]
    scores = [[one.score for one in trials] for trials in first.values()]
    assert [[one.score for one in trials] for trials in again.values()] == scores
    assert {p.stem for p in (tmp_path / "eight_gaussians").iterdir()} == {"exact", "dsm"}


def test_trials_that_another_process_ran_meanwhile_are_not_repeated(tmp_path, trained, monkeypatch):
    described = make_suite(methods={"exact": METHODS["exact"]}, steps=2)
    held = []

    @contextmanager
    def waited(path, label):
        held.append((path, label))
        if len(held) == 1:  # that other process, which has the lease
            tune(described, ["exact"], tmp_path)
        yield

    monkeypatch.setattr(leases, "hold", waited)
    (found,) = tune(described, ["exact"], tmp_path)
    assert held == [(tmp_path / "eight_gaussians/.exact.lease", "eight_gaussians exact")] * 2
    assert [len(rates) for _, rates in trained] == [2]
    assert len(found.trials) == 2
    tune(described, ["exact"], tmp_path)
    assert len(held) == 2  # nothing is left to do


def test_other_values_are_other_trials(tmp_path, trained):
    run(tmp_path, steps=2)
    trained.clear()
    stated = {"dsm": {**METHODS["dsm"], "settings": {"sigma": 0.3}}, "exact": METHODS["exact"]}
    run(tmp_path, steps=2, methods=stated)
    assert {method for method, _ in trained} == {"dsm"}


def test_trials_have_data_and_weights_of_their_own_and_meet_validation_data(monkeypatch):
    described = make_suite(steps=2)
    trial_of = tuning.trial_suite(described, "eight_gaussians", "dsm", {})
    assert trial_of.seed != described.seed
    own, suites = (
        assembly.assemble(one, "eight_gaussians", "dsm", "cpu") for one in (trial_of, described)
    )
    assert own.streams.replicates == 2
    draws = [parts.streams.child("data").normal(5) for parts in (own, suites)]
    assert not torch.equal(draws[0], draws[1][:2])
    weights = [next(parts.energy.parameters()) for parts in (own, suites)]
    assert not torch.equal(weights[0], weights[1][:2])
    splits, create = [], tuning.metrics.create

    def spied(name, **settings):
        splits.append((name, settings))
        return create(name, **settings)

    monkeypatch.setattr(tuning.metrics, "create", spied)
    values = [Values(learning_rate=rate) for rate in (0.1, 0.2)]
    tuning.run_round(described, "eight_gaussians", "dsm", values, "cpu")
    assert splits[-1] == ("kl_divergence", {"split": "validation"})


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
    assert tuned["criterion"] == "kl_divergence"
    assert {one["trials"] for one in tuned["methods"].values()} == {2}
    dsm, data = tuned["methods"]["dsm"], described.datasets["eight_gaussians"]
    assert (dsm["energy"]["name"], dsm["batch_size"]) == ("mlp", data.budget.batch_size)
    quadratic = data.energy.model_copy(update={"name": "quadratic"})
    spec = described.methods["dsm"].model_copy(update={"energy": quadratic})
    own = described.model_copy(update={"methods": {**described.methods, "dsm": spec}})
    gathered = tuning.gather(own, found).datasets["eight_gaussians"].methods.values()
    assert [each.energy.name for each in gathered] == ["mlp", "quadratic"]
    loaded = suite.load(file)
    best = tuned["methods"]["dsm"]["best"]
    _, record = training.train_method(loaded, "eight_gaussians", "dsm")
    assert record.settings == best.get("settings", {})
    assert record.budget["learning_rate"] == best["learning_rate"]
    assert record.budget["steps"] == 4


def test_the_file_says_where_every_trial_failed(tmp_path):
    only = {"exact": METHODS["exact"]}
    described, _ = run(tmp_path, rates=(1e30, 1e31), methods=only, steps=3)
    found = tune(described, ["exact"], tmp_path)
    tuning.write(tuning.gather(described, found), tmp_path / "values.yaml")
    told = yaml.safe_load((tmp_path / "values.yaml").read_text())
    outcome = told["datasets"]["eight_gaussians"]["methods"]["exact"]
    assert (outcome["trials"], outcome["failed"], outcome.get("best")) == (2, 2, None)


def test_a_rate_at_an_end_of_those_tried_with_its_settings_is_named():
    assert choose([trial(0.1, 3.0), trial(0.2, 1.0), trial(0.3, 2.0)]).edge == []
    assert choose([trial(0.1, 3.0), trial(0.2, 2.0), trial(0.3, 1.0)]).edge == ["learning_rate"]
    assert choose([trial(0.1, 1.0), trial(0.2, 2.0), trial(0.3, 3.0)]).edge == ["learning_rate"]
    assert choose([trial(0.1, None, "diverged")]).edge == []
    # With others the range was wider, which says nothing of these.
    others = [trial(rate, 9.0, sigma=0.2) for rate in (0.01, 0.5)]
    at_end = [trial(0.1, 1.0, sigma=0.1), trial(0.2, 2.0, sigma=0.1)]
    assert "learning_rate" in choose([*others, *at_end]).edge


@pytest.mark.parametrize(
    ("objective", "name", "tried", "best", "edge"),
    [
        ("denoising_score_matching", "sigma", (0.05, 0.1, 0.2), 0.05, True),
        ("denoising_score_matching", "sigma", (0.05, 0.1, 0.2), 0.1, False),
        ("denoising_score_matching", "sigma", (0.05, 0.1, 0.2), 0.2, True),
        # Tried alone.
        ("denoising_score_matching", "sigma", (0.05,), 0.05, False),
        # Fewer than one projection there are not.
        ("sliced_score_matching", "projections", (1, 2, 4), 1, False),
        ("sliced_score_matching", "projections", (1, 2, 4), 4, True),
        ("sliced_score_matching", "projection", ("gaussian", "rademacher"), "gaussian", False),
        ("sliced_score_matching", "variance_reduced", (True, False), True, False),
        ("contrastive_divergence", "step_size", (0.01, 0.03, 0.1), 0.1, True),
    ],
)
def test_a_setting_at_an_end_beyond_which_there_are_more_is_named(
    objective, name, tried, best, edge
):
    trials = [
        trial(rate, (value != best) + (rate != 0.2), **{name: value})
        for value in tried
        for rate in (0.1, 0.2, 0.3)
    ]
    assert choose(trials, objective).edge == [name] * edge


def scores(monkeypatch, values, trials, **rest):
    """Scores where a criterion has some values of the replicates."""
    described = make_suite()
    trial_of = tuning.trial_suite(described, "eight_gaussians", "exact", {})
    parts = assembly.assemble(trial_of, "eight_gaussians", "exact", "cpu", copies=trials)
    outcome = {"status": "ok", "step": 4}
    parts.outcomes = [records.Outcome(replicate=0, **outcome) for _ in values]
    for replicate, status in rest.pop("ended", {}).items():
        parts.outcomes[replicate] = records.Outcome(replicate=0, step=1, status=status)
    result = {name: torch.tensor(part) for name, part in {"value": values, **rest}.items()}
    monkeypatch.setattr(tuning.metrics, "create", lambda *_, **__: lambda *_: result)
    return tuning._scores(described, "eight_gaussians", parts, trials)


def test_values_that_blow_up_now_and_then_lose(monkeypatch):
    ((_, steady), (_, wild)) = scores(monkeypatch, [1.0] * 4 + [0.0, 0.0, 0.0, 3.0], 2)
    # The second is better on average.
    assert steady < wild


def test_each_trial_of_a_round_has_the_status_and_score_of_its_replicates(monkeypatch):
    values = [1.0, 1.0, 2.0, math.nan, 3.0, 3.0, math.nan, 4.0, 5.0, 5.0]
    converged = [1.0, 1.0, 1.0, 1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0]
    found = scores(monkeypatch, values, 5, converged=converged, ended={6: "diverged"})
    statuses = ["ok", "not_finite", "not_converged", "diverged", "ok"]
    assert [status for status, _ in found] == statuses
    assert [score for _, score in found] == [1.0, None, None, None, 5.0]


def test_nothing_is_measured_where_every_trial_failed(monkeypatch):
    monkeypatch.setattr(model, "integrate", None)
    described = make_suite(steps=3)
    values = [Values(learning_rate=rate) for rate in (1e30, 1e31)]
    found = tuning.run_round(described, "eight_gaussians", "exact", values, "cpu")
    assert [one.status for one in found] == ["diverged", "diverged"]


def test_a_round_is_what_its_trials_are_alone(tmp_path):
    described = make_suite(steps=5)
    values = [Values(learning_rate=rate, settings={"sigma": 0.3}) for rate in (0.03, 1e30, 0.01)]
    together = tuning.run_round(described, "eight_gaussians", "dsm", values, "cpu")
    assert [one.values for one in together] == values
    assert [one.status for one in together] == ["ok", "diverged", "ok"]
    for one in together:
        (alone,) = tuning.run_round(described, "eight_gaussians", "dsm", [one.values], "cpu")
        assert alone.score == (one.score and pytest.approx(one.score, rel=1e-4))


def test_rates_that_have_no_memory_together_are_tried_alone(monkeypatch):
    train, stacked = training.train_method, []

    def limited(*given, rates):
        stacked.append(len(rates))
        parts, record = train(*given, rates=rates)
        if len(rates) > 1:
            # The first had diverged before.
            for place, status in enumerate(["diverged"] + ["out_of_memory"] * 3):
                parts.outcomes[place] = parts.outcomes[place].model_copy(update={"status": status})
        return parts, record

    monkeypatch.setattr(training, "train_method", limited)
    values = [Values(learning_rate=rate) for rate in (0.03, 0.01)]
    found = tuning.run_round(make_suite(steps=2), "eight_gaussians", "exact", values, "cpu")
    assert stacked == [2, 1, 1]
    assert [(one.values, one.status) for one in found] == [(one, "ok") for one in values]


def test_the_search_goes_on_beyond_the_rates_of_the_suite(tmp_path):
    only = {"exact": METHODS["exact"]}
    _, found = run(tmp_path, rates=(1e-7, 1e-6, 1e-5), methods=only, steps=2, trials=6)
    tried = sorted(one.values.learning_rate for one in found["exact"])
    assert tried == [1e-7, 1e-6, 1e-5, 1e-4, 1e-3, 1e-2]


def test_trials_side_by_side_have_the_time_of_as_many_runs():
    described = make_suite(steps=2)
    seconds = described.budget_of("eight_gaussians", "dsm").seconds
    found = tuning.trial_suite(described, "eight_gaussians", "dsm", {}, trials=3)
    assert found.budget_of("eight_gaussians", "dsm").seconds == 3 * seconds


def test_trials_take_the_steps_of_the_suite_unless_told_otherwise():
    steps = {
        given: tuning.trial_suite(make_suite(steps=given), "eight_gaussians", "dsm", {})
        .budget_of("eight_gaussians", "dsm")
        .steps
        for given in (None, 7)
    }
    assert steps == {None: 4, 7: 7}


@pytest.mark.parametrize(("steps", "compute"), [(1_000, "auto"), (20_000, "compiled")])
def test_steps_are_compiled_where_the_whole_search_is_long(steps, compute):
    described = make_suite(steps=steps)
    trial_of = tuning.trial_suite(described, "eight_gaussians", "dsm", {})
    assert trial_of.datasets["eight_gaussians"].compute == compute
    eager = described.datasets["eight_gaussians"].model_copy(update={"compute": "eager"})
    described = described.model_copy(update={"datasets": {"eight_gaussians": eager}})
    trial_of = tuning.trial_suite(described, "eight_gaussians", "dsm", {})
    assert trial_of.datasets["eight_gaussians"].compute == "eager"


def test_code_that_was_edited_meanwhile_is_told(tmp_path):
    with pytest.raises(InputError, match="code was edited"):
        tuning.tune(make_suite(), "eight_gaussians", "dsm", tmp_path, expected="other")
