import contextlib
import functools
import itertools
import logging
import resource
import signal
import time

import numpy as np
import pytest
import torch
from factories.data import POINTS, correlated, write_suite
from factories.interruption import killed_before
from factories.suites import METHODS, make_suite

from ebm_bench import records
from ebm_bench.errors import InputError
from ebm_bench.objectives.denoising_score_matching import DenoisingScoreMatching
from ebm_bench.objectives.flow_contrastive import FlowContrastive
from ebm_bench.runs import assembly, compilation, training
from ebm_bench.suites.suite import load


def run(method, checkpoint=None, **options):
    return training.train_method(
        make_suite(**options), "eight_gaussians", method, "cpu", checkpoint
    )


@pytest.mark.parametrize("method", METHODS)
def test_leaves_weights_and_a_record_that_can_be_restored(method, tmp_path):
    suite = make_suite()
    training.train(suite, "eight_gaussians", [method], tmp_path / "runs")
    folder = tmp_path / "runs" / "eight_gaussians" / method
    record = records.read(records.Run, folder / "run.json")
    assert [o.status for o in record.outcomes] == ["ok", "ok"]
    assert (record.cost.parameters == 0) == (method == "truth")
    assert not (folder / "checkpoint.pt").exists()
    restored = assembly.restore(suite, "eight_gaussians", method, folder, "cpu")
    trained, _ = run(method)
    x = torch.linspace(-3, 3, 8).view(1, 4, 2).expand(2, 4, 2)
    torch.testing.assert_close(restored.energy(x), trained.energy(x))


@pytest.mark.parametrize(("method", "takes_all"), [("gaussian", True), ("dsm", False)])
def test_a_gaussian_control_is_fitted_to_all_training_points(method, takes_all, tmp_path):
    np.save(tmp_path / "x.npy", correlated(n=400))
    suite = load(write_suite(tmp_path, {"points": {**POINTS, "settings": {"path": "x.npy"}}}))
    parts, _ = training.train_method(suite, "points", method)
    rows = torch.cat(list(parts.dataset.batches(parts.streams)), 1)
    assert rows.shape[1] == 320  # and fit_samples are 300
    same = torch.isclose(parts.energy.location.flatten(1), rows.mean(1), atol=1e-6).all()
    assert same == takes_all
    if takes_all:
        precision = parts.energy.factor @ parts.energy.factor.mT
        expected = torch.linalg.inv(torch.cov(rows[0].T.double(), correction=0))
        torch.testing.assert_close(precision[0].double(), expected, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("size", [1000, 7000, 12_000])
def test_a_full_disk_is_told(size, tmp_path):
    """The checkpoint does not fit, at its beginning or amid it."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        with pytest.raises(InputError, match="cannot be written"):
            training.train(make_suite(), "eight_gaussians", ["dsm"], tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, ignored)
    assert not list(tmp_path.rglob("*.tmp"))
    assert not list(tmp_path.rglob("*.pt"))


def test_an_energy_without_parameters_is_refused():
    methods = {"t": {**METHODS["dsm"], "energy": {"name": "truth"}}}
    with pytest.raises(InputError, match="nothing to train"):
        run("t", methods=methods)


CRITIC = {"objective": "learned_stein_discrepancy", "settings": {"width": 8, "critic_steps": 4}}
WITH_CRITIC = {**METHODS, "lsd": CRITIC}


@pytest.mark.parametrize("method", ["dsm", "nce", "pcd", "fce", "lsd"])
def test_resumed_equals_uninterrupted(method, tmp_path, monkeypatch):
    whole, record = run(method, methods=WITH_CRITIC)
    checkpoint = tmp_path / "checkpoint.pt"
    with killed_before(7, seconds=1e9):  # saved at step 5 for the last time
        run(method, checkpoint, methods=WITH_CRITIC)
    assert checkpoint.exists()
    setups = []
    monkeypatch.setattr(training._Trainer, "setup", lambda self: setups.append(self))
    resumed, resumed_record = run(method, checkpoint, methods=WITH_CRITIC)
    assert not setups
    for (name, a), b in zip(whole.state_dict().items(), resumed.state_dict().values(), strict=True):
        assert torch.equal(a, b), name
    assert resumed_record.cost.energy_evaluations == record.cost.energy_evaluations
    assert [p.value for p in resumed_record.curve] == [p.value for p in record.curve]
    assert [s.steps for s in record.segments] == [12]
    assert [s.steps for s in resumed_record.segments] == [5, 7]


def test_checkpoint_of_another_setting_is_not_used(tmp_path):
    checkpoint = tmp_path / "checkpoint.pt"
    run("dsm", checkpoint)
    other = {**METHODS, "dsm": {**METHODS["dsm"], "settings": {"sigma": 0.7}}}
    fresh, _ = run("dsm", methods=other)
    reused, _ = run("dsm", checkpoint, methods=other)
    for a, b in zip(fresh.state_dict().values(), reused.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_replicate_does_not_depend_on_the_others():
    one, _ = run("nce", replicates=1)
    three, _ = run("nce", replicates=3)
    for a, b in zip(one.energy.parameters(), three.energy.parameters(), strict=True):
        torch.testing.assert_close(a[0], b[0], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("method", ["dsm", "nce", "pcd", "fce"])
def test_rates_side_by_side_are_what_each_would_be_alone(method):
    suite = make_suite()
    rates = (0.001, 0.02)
    together, record = training.train_method(suite, "eight_gaussians", method, rates=rates)
    assert [outcome.replicate for outcome in record.outcomes] == [0, 1, 0, 1]
    for number, rate in enumerate(rates):
        alone, _ = training.train_method(suite, "eight_gaussians", method, rates=[rate])
        for a, b in zip(alone.energy.parameters(), together.energy.parameters(), strict=True):
            torch.testing.assert_close(a, b[2 * number : 2 * number + 2], rtol=1e-4, atol=1e-5)


def test_methods_see_the_same_data(monkeypatch):
    seen = {}
    for method in ("dsm", "nce"):
        trainer = training._Trainer(make_suite(), "eight_gaussians", method, "cpu")
        sample = trainer.parts.dataset.sample
        drawn = []

        def keep(n, streams, split="train", sample=sample, drawn=drawn):
            drawn.append(sample(n, streams, split))
            return drawn[-1]

        trainer.parts.dataset.sample = keep
        trainer.setup()
        for _ in range(3):
            trainer.take_step()
        seen[method] = [x for x in drawn if x.shape[1] == 16]
    for a, b in zip(*seen.values(), strict=True):
        assert torch.equal(a, b)


def test_diverged_replicate_is_recorded_and_the_others_go_on(monkeypatch):
    loss = DenoisingScoreMatching.loss
    calls = []

    def spoil(self, energy, x, streams):
        calls.append(1)
        value = loss(self, energy, x, streams)
        factor = torch.ones_like(value)
        factor[1] = float("nan") if len(calls) == 6 else 1.0
        return value * factor

    monkeypatch.setattr(DenoisingScoreMatching, "loss", spoil)
    _, record = run("dsm", replicates=3)
    assert [(o.status, o.step) for o in record.outcomes] == [
        ("ok", 12),
        ("diverged", 5),
        ("ok", 12),
    ]


@pytest.mark.parametrize(
    ("method", "expected"),
    [("fce", ["ok", "flow_escaped"]), ("gaussian", ["ok", "ok"]), ("dsm", ["ok", "ok"])],
)
def test_a_flow_that_escapes_is_a_status(method, expected, monkeypatch):
    def at_one(self, energy, streams):
        return torch.tensor([False, True])

    monkeypatch.setattr(FlowContrastive, "escaped", at_one)
    parts, record = run(method)
    steps = 0 if method == "gaussian" else 12
    assert [(o.status, o.step) for o in record.outcomes] == [(e, steps) for e in expected]
    assert parts.outcomes == record.outcomes


def test_a_replicate_that_diverged_has_diverged_wherever_its_flow_is(monkeypatch):
    loss = FlowContrastive.loss

    def spoil(self, *arguments):
        return loss(self, *arguments) * torch.tensor([1.0, float("nan")])

    monkeypatch.setattr(FlowContrastive, "loss", spoil)
    monkeypatch.setattr(FlowContrastive, "escaped", lambda *_: torch.tensor([True, True]))
    _, record = run("fce")
    assert [(o.status, o.step) for o in record.outcomes] == [("flow_escaped", 12), ("diverged", 0)]


def test_training_ends_when_every_replicate_has_diverged(monkeypatch):
    loss = DenoisingScoreMatching.loss
    monkeypatch.setattr(DenoisingScoreMatching, "loss", lambda *a: loss(*a) * float("inf"))
    _, record = run("dsm")
    assert [(o.status, o.step) for o in record.outcomes] == [("diverged", 0)] * 2


def test_time_limit_ends_a_run_with_a_record(monkeypatch):
    clock = itertools.count()  # a unit for each look
    monkeypatch.setattr(time, "process_time", lambda: next(clock) / 1000)
    _, record = run("dsm", steps=10_000_000, seconds=0.05)
    assert {o.status for o in record.outcomes} == {"timeout"}
    assert 0 < record.outcomes[0].step < 100
    assert record.curve[-1].step == record.outcomes[0].step


def test_lack_of_memory_is_a_status(monkeypatch):
    def fail(*args):
        raise MemoryError

    monkeypatch.setattr(DenoisingScoreMatching, "loss", fail)
    _, record = run("dsm")
    assert {o.status for o in record.outcomes} == {"out_of_memory"}


def test_bugs_are_not_taken_for_a_lack_of_memory(monkeypatch):
    def fail(*args):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(DenoisingScoreMatching, "loss", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        run("dsm")


def test_curve_is_spaced_in_the_logarithm_of_the_step():
    _, record = run("dsm", steps=1000, batch_size=4)
    assert sorted({p.step for p in record.curve}) == [0, 1, 10, 100, 750, 1000]
    seconds = [p.seconds for p in record.curve if p.replicate == 0]
    assert seconds == sorted(seconds)
    assert record.cost.train_seconds == pytest.approx(seconds[-1] - record.cost.setup_seconds)


def test_compiled_steps_are_the_same_steps(caplog):
    caplog.set_level(logging.INFO, "ebm_bench")
    # Compilation counts as training time, and takes minutes on a busy machine.
    eager_parts, eager = run("nce", seconds=3600)
    parts, compiled = run("nce", compute="compiled", seconds=3600)
    assert "compiled in" in caplog.text
    for name, value in parts.state_dict().items():
        torch.testing.assert_close(value, eager_parts.state_dict()[name], rtol=1e-4, atol=1e-5)
    assert compiled.cost.energy_evaluations == eager.cost.energy_evaluations
    assert compiled.cost.flops_per_step == eager.cost.flops_per_step
    assert (eager.steps, compiled.steps) == ("eager", "compiled")
    assert compiled.segments[0].compiled == 12 - training.WATCHED
    assert compiled.unsaved == []


def test_mixed_steps_are_those_of_a_gpu(monkeypatch):
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    (eager, _), (parts, record) = run("dsm"), run("dsm", compute="mixed", seconds=3600)
    assert (record.steps, record.segments[0].compiled) == ("compiled", 12 - training.WATCHED)
    for name, value in parts.state_dict().items():
        torch.testing.assert_close(value, eager.state_dict()[name], rtol=1e-4, atol=1e-5)
    mixed = [compilation.is_mixed("mixed", torch.device(d)) for d in ("cpu", "cuda:1")]
    assert mixed == [False, True]
    assert not compilation.is_mixed("compiled", torch.device("cuda"))


def test_what_cannot_be_compiled_runs_as_it_is(caplog, monkeypatch):
    def loss(self, energy, x, streams):
        torch._dynamo.graph_break()
        return energy(x).mean(1)

    monkeypatch.setattr(DenoisingScoreMatching, "loss", loss)
    _, record = run("dsm", steps=3, compute="compiled")
    assert "not compiled" in caplog.text
    assert record.steps == "eager"
    assert [o.status for o in record.outcomes] == ["ok", "ok"]


@pytest.mark.parametrize("steps", [10, 10**6])
def test_compilation_is_left_to_long_trainings(steps, monkeypatch):
    tried = []
    monkeypatch.setattr(training.compilation, "CompiledLoss", lambda *a, **k: tried.append(a))
    monkeypatch.setattr(training.compilation.shutil, "which", lambda name: "/usr/bin/g++")
    suite = make_suite(steps=steps, compute="auto")
    trainer = training._Trainer(suite, "eight_gaussians", "dsm", "cpu")
    trainer._optimise()
    with contextlib.suppress(AttributeError):  # of the compiled function that is none
        trainer._compile()
    assert bool(tried) == (steps == 10**6)


def test_time_that_other_processes_take_is_no_cost(monkeypatch):
    """On a busy machine a run waits: it is neither dearer nor ended by its time limit."""
    loss = DenoisingScoreMatching.loss

    def wait(*arguments):
        time.sleep(0.3)
        return loss(*arguments)

    monkeypatch.setattr(DenoisingScoreMatching, "loss", wait)
    clock = itertools.count()  # a unit for each look
    monkeypatch.setattr(time, "process_time", lambda: next(clock) / 1000)
    _, record = run("dsm", steps=3, seconds=0.3)
    assert [o.status for o in record.outcomes] == ["ok", "ok"]
    assert record.cost.train_seconds < 0.3


@pytest.mark.parametrize("resumed", [False, True])
def test_compilation_ends_no_training(resumed, monkeypatch, tmp_path):
    clock = [0.0]

    class Slow(compilation.CompiledLoss):
        def __init__(self, *arguments, **options):
            clock[0] += 1000
            super().__init__(*arguments, **options)

    monkeypatch.setattr(compilation, "CompiledLoss", Slow)
    monkeypatch.setattr(time, "process_time", lambda: clock[0])
    checkpoint = tmp_path / "checkpoint.pt"
    if resumed:
        save = training._Trainer.save

        def stop(self, path):
            save(self, path)
            raise KeyboardInterrupt

        with monkeypatch.context() as patched:
            patched.setattr(training._Trainer, "save", stop)
            with pytest.raises(KeyboardInterrupt):
                run("dsm", checkpoint=checkpoint, compute="compiled", seconds=10)
        assert clock[0] == 1000
    _, record = run("dsm", checkpoint=checkpoint, compute="compiled", seconds=10)
    assert clock[0] == 2000 if resumed else 1000
    assert [o.status for o in record.outcomes] == ["ok", "ok"]
    assert record.cost.setup_seconds + record.cost.train_seconds == 0


@pytest.mark.parametrize(("method", "points"), [("nce", 32), ("fce", 32), ("dsm", 0), ("truth", 0)])
@pytest.mark.parametrize("steps", [0, 12])
def test_densities_of_noises_are_counted_by_steps(method, points, steps):
    _, record = run(method, steps=steps)
    assert record.cost.noise_evaluations == steps * points


def test_evaluation_does_not_count_as_cost():
    _, record = run("dsm")
    assert record.cost.energy_evaluations == 12 * 16
    assert record.cost.flops_per_step > 0
