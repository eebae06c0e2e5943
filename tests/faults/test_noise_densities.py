"""Runs refuse noise whose samples are not of its density, in the words of `ebm-bench check`."""

import pytest
import torch
from factories.plugins import found_by, make_suite, refused, train

from ebm_bench import datasets, noise
from ebm_bench.plugins.checks.noise import Case, samples_are_of_the_density
from ebm_bench.runs import contracts, training
from ebm_bench.streams import Streams

NOISE = """
def build(self):
    for name in ("mean", "scale"):
        self.register_buffer(name, torch.ones(self.replicates, 1, *self.event_shape))

def fit(self, data, streams):
    self.mean.copy_(data.mean(1, keepdim=True))
    self.scale.copy_(data.std(1, keepdim=True))

def sample(self, n, streams):
    z = streams.normal(n, *self.event_shape, dtype=self.scale.dtype)
    return {sample}

def log_prob(self, x):
    z = (x - self.mean) / self.scale
    d = z[0, 0].numel()
    half = 0.5 * z.square().flatten(2).sum(2)
    log_2pi = 1.8378770664093453
    log_scale = self.scale.log().flatten(2).sum(2)
    return {log_prob}
"""
DRAWN = "self.mean + self.scale * z"
DENSITY = "-half - log_scale - 0.5 * d * log_2pi"
TAILS = "self.mean + self.scale * torch.tan(torch.pi * (torch.special.ndtr(z) - 0.5))"
CAUCHY = "-(1 + z.square()).log().flatten(2).sum(2) - log_scale - d * 1.1447298858494002"


def own(plugin, sample=DRAWN, log_prob=DENSITY):
    return plugin("Noise", NOISE.format(sample=sample, log_prob=log_prob))


@pytest.mark.parametrize(
    ("sample", "log_prob"),
    [
        (DRAWN, "-half - log_scale"),
        (DRAWN, "-half - 0.5 * d * log_2pi"),
        (DRAWN, "-half - log_scale - 0.5 * log_2pi"),
        (DRAWN, "-half + log_scale - 0.5 * d * log_2pi"),
        (DRAWN, "-half - 2 * log_scale - 0.5 * d * log_2pi"),
        (DRAWN, "-2 * half - log_scale - 0.5 * d * log_2pi"),
        (DRAWN, "half - log_scale - 0.5 * d * log_2pi"),
        (DRAWN, "0 * half"),
        (DRAWN, f"({DENSITY}).exp()"),
        (DRAWN, f"({DENSITY}) / d"),
        (DRAWN, f"({DENSITY}) / 0.6931471805599453"),
        (DRAWN, f"{DENSITY} + 0.1"),
        ("self.mean + self.scale.square() * z", DENSITY),
        ("self.mean + 1.1 * self.scale * z", DENSITY),
        ("self.mean + self.scale * (z + 0.5)", DENSITY),
        ("self.scale * z.abs()", DENSITY),
        ("self.mean + self.scale * z.clamp(-1, 1)", DENSITY),
        (TAILS, DENSITY),
        (DRAWN, CAUCHY),
        (TAILS, CAUCHY + " - 0.5 * log_2pi"),
    ],
)
def test_densities_of_other_samples(plugin, tmp_path, sample, log_prob):
    name = own(plugin, sample, log_prob)
    expected = "Expected: a density that integrates to one, and samples that are drawn from it"
    refused(tmp_path, "an integral is ", expected, settings={"noise": name}, steps=20_000)
    assert "by the density" in found_by(samples_are_of_the_density, Case(name))


@pytest.mark.parametrize(("sample", "log_prob"), [(DRAWN, DENSITY), (TAILS, CAUCHY)])
def test_densities_of_their_samples_pass(plugin, sample, log_prob):
    train(settings={"noise": own(plugin, sample, log_prob)})


@pytest.mark.parametrize("piece", [512, 1001])
def test_memory_for_the_points_of_a_training_suffices(plugin, monkeypatch, piece):
    """Where the look itself needs more, the training goes on without it."""
    monkeypatch.setattr(contracts.noise, "_PIECE", piece)
    body = NOISE.format(sample=DRAWN, log_prob=DENSITY)
    body = body.replace(
        "def log_prob(self, x):",
        """def log_prob(self, x):
    if x.shape[1] > 1000:  # as many as the objective looks at when it is fitted
        raise torch.OutOfMemoryError("full")""",
    )
    parts, _ = train(settings={"noise": plugin("Noise", body)})
    assert {outcome.status for outcome in parts.outcomes} == {"ok"}


@pytest.mark.parametrize(("most", "points"), [(0, 2**11), (5000, 5000), (10**9, 2**14)])
def test_short_trainings_are_looked_at_with_few_points(most, points, monkeypatch):
    fitted, streams = (
        noise.create("diagonal_gaussian", event_shape=(2,), replicates=2),
        Streams(1, 2),
    )
    plain, sizes = fitted.log_prob, []
    monkeypatch.setattr(fitted, "log_prob", lambda x: (sizes.append(x.shape[1]), plain(x))[1])
    assert not contracts.MATCHED.fault(fitted, streams, most)
    assert sum(sizes) == 2 * points
    assert max(sizes) <= 512


def test_the_bound_is_as_wide_as_the_terms():
    terms = torch.full((2, 2**14), 0.006, dtype=torch.float64)
    found = contracts.noise._improbable(terms, torch.tensor([2.0, 4.0]))
    assert found.tolist() == [True, False]


@pytest.mark.parametrize("name", noise.names())
@pytest.mark.parametrize("dataset", ["grid_gaussians", "two_circles", "ring"])
def test_noise_of_the_package_passes_however_often_it_is_looked_at(name, dataset):

    settings = {"steps": 30} if name == "flow" else {}
    source, streams = datasets.create(dataset), Streams(1, 2)
    fitted = noise.create(name, event_shape=source.event_shape, replicates=2, **settings)
    fitted.fit(source.sample(500, streams), streams)
    for seed in range(3):
        assert not contracts.MATCHED.fault(fitted, Streams(seed, 2))


def test_looking_at_noise_draws_from_no_stream_of_a_run(plugin, monkeypatch):
    suite = make_suite(settings={"noise": own(plugin)})
    looked, _ = training.train_method(suite, "eight_gaussians", "own")
    monkeypatch.setattr(training.contracts, "require_fitted", lambda *given: None)
    plain, _ = training.train_method(suite, "eight_gaussians", "own")
    for one, other in zip(looked.energy.parameters(), plain.energy.parameters(), strict=True):
        assert torch.equal(one, other)
