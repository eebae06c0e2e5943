"""Every registered metric has a model with a known mark and one that it must mark down.

A metric without an entry in `CASES` fails: measure a model whose mark follows from a formula,
and one so wrong that the metric is of no use if it does not say so.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from factories.levels import divergence_of_smoothed, smoothed

from ebm_bench import datasets, energies, metrics, objectives
from ebm_bench.energies.base import Energy
from ebm_bench.metrics import features
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams

LOG_2PI = math.log(2 * math.pi)
FEATURES = 4


@dataclass(frozen=True)
class Case:
    """How a metric is tested.

    Attributes
    ----------
    known, bad : callable
        Make a model from the fixtures ``(bowl, images, truth_of)``.
    answer : float
        The mark of the first.
    limit : float
        What the mark of the second must be beyond; with ``part`` that part of the result.
    within : float, optional
        Of the answer; four of its own standard errors where not given.
    settings : dict, optional
        Of the metric.
    """

    known: Callable[..., Model]
    answer: float
    bad: Callable[..., Model]
    limit: float
    within: float | None = None
    settings: dict | None = None
    part: str = "value"


@dataclass(eq=False, kw_only=True, repr=False)
class OneMode(Energy):
    """All mass at the lighter of two modes."""

    def build(self, streams):
        pass

    def forward(self, x):
        return 0.5 * ((x[..., 0] + 4).square() + x[..., 1].square())


@dataclass(eq=False, kw_only=True, repr=False)
class Swapped(Energy):
    """The modes of a mixture with each other's weights."""

    def build(self, streams):
        pass

    def forward(self, x):
        return -self.dataset.log_prob(x * x.new_tensor([-1.0, 1.0]))


def sampled(model):
    """The same model, which can be sampled exactly."""
    energy = model.energy
    shape = energy.event_shape
    energy.sample = lambda n, streams: energy.mean + energy.sd * streams.normal(n, *shape)
    return model


def copying(model):
    """The same model, of which samples are training images."""
    images = torch.cat([*model.dataset.batches(model.streams)], 1)
    model.energy.sample = lambda n, streams: images[:, :n]
    return model


def repeating(model, images, times=1, far=0):
    """The same model, of which samples are some of the held-out images, and some far from all."""
    streams = model.streams.child("data")
    held_out = model.dataset.sample(times * images + far, streams, "test")[:, :images]
    strange = 8 + 0 * streams.normal(far, *model.energy.event_shape)
    samples = torch.cat([*[held_out] * times, strange], 1)
    model.energy.sample = lambda n, streams: samples
    return model


def bits():
    """Bits of a pixel whose logit is standard normal: an integral over one dimension."""
    y = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    log_p = -0.5 * y**2 - 0.5 * LOG_2PI
    log_det = -torch.nn.functional.logsigmoid(y) - torch.nn.functional.logsigmoid(-y)
    nats = (-(log_p + log_det) * log_p.exp()).sum() * (y[1] - y[0])
    return nats.item() / math.log(2) + 8


def distance(mean):
    """Mean distance of two points of planar normals with means (mean, mean) and 0: a Rice law."""
    q = torch.tensor(mean**2 / 4, dtype=torch.float64)
    bessel = torch.special.i0e(q) * (1 + 2 * q) + 2 * q * torch.special.i1e(q)
    return math.sqrt(math.pi) * bessel.item()


def discrepancy(mean, size=FEATURES):
    """Squared discrepancy of N(mean, I) from N(0, I) under the kernel (x·y / size + 1)³."""

    def kernel(a, b):
        # Cumulants of x·y, a sum of independent products.
        first, second = size * a * b, size * (a**2 + b**2 + 1)
        square = second + first**2
        cube = 6 * size * a * b + 3 * first * second + first**3
        return cube / size**3 + 3 * square / size**2 + 3 * first / size + 1

    return kernel(mean, mean) + kernel(0, 0) - 2 * kernel(mean, 0)


def kernel(mean):
    """Mean kernel of planar normals around (mean, mean) and 0; h² = 4 log 2, of the median."""
    square = 4 * math.log(2)
    return square / (square + 2) * math.exp(-(mean**2) / (square + 2))


def likelihood(mean=0.0, log_precision=0.0):
    """A Gaussian energy on a line, trained by maximum likelihood on the standard normal."""
    dataset = datasets.create("gaussian", dimension=1, condition_number=1.0)
    energy = energies.create("quadratic", event_shape=(1,), replicates=2)
    criterion = objectives.create("maximum_likelihood")
    criterion.build(energy)
    with torch.no_grad():
        energy.mean += mean
        energy.log_diagonal += 0.5 * log_precision
    return Model(energy, dataset, None, Streams(0, 2), objective=criterion)


CASES = {
    "bits_per_dim": Case(
        known=lambda bowl, images, truth_of: images(),
        answer=bits(),
        bad=lambda bowl, images, truth_of: images(mean=5.0),
        limit=bits() + 10,
    ),
    # Of normals that are √2 apart, the best classifier is a plane half way.
    "classifier_two_sample_test": Case(
        known=lambda bowl, images, truth_of: bowl(mean=1.0),
        answer=0.5 + 0.5 * math.erf(0.5),
        within=0.03,
        bad=lambda bowl, images, truth_of: bowl(mean=4.0),
        limit=0.98,
    ),
    # The step leaves (1 − σ²/s²)² σ² of the noise and moves the data by σ²/s².
    "denoising_error": Case(
        known=lambda bowl, images, truth_of: bowl(sd=0.5),
        answer=(1 - 0.36) ** 2 * 0.09 + 0.36**2,
        bad=lambda bowl, images, truth_of: bowl(sd=0.2),
        limit=0.3,
        settings={"points": 20_000},
    ),
    "energy_distance": Case(
        known=lambda bowl, images, truth_of: bowl(mean=3.0),
        answer=2 * distance(3.0) - 2 * distance(0),
        within=0.15,
        bad=lambda bowl, images, truth_of: bowl(mean=6.0),
        limit=10.0,
    ),
    "fisher_divergence": Case(
        known=lambda bowl, images, truth_of: bowl(sd=2.0),
        answer=2 * 0.75**2,
        bad=lambda bowl, images, truth_of: bowl(slope=-1.0),
        limit=7.0,
    ),
    "frechet_distance_efficientnet": Case(
        known=lambda bowl, images, truth_of: sampled(images(mean=4.0)),
        answer=16.0 * FEATURES,
        within=3.0,
        bad=lambda bowl, images, truth_of: sampled(images(mean=8.0)),
        limit=150.0,
        settings={"points": 400},
    ),
    # Derivatives of the energy at y = x − m have the means (−m, m²) and variances (1, 2 + 4m²).
    "gradient_signal_to_noise": Case(
        known=lambda bowl, images, truth_of: likelihood(mean=1.0),
        answer=math.sqrt(256 * 2 / 7),
        within=0.05 * math.sqrt(256 * 2 / 7),
        bad=lambda bowl, images, truth_of: likelihood(),
        limit=0.2,
        settings={"batches": 2000},
    ),
    "hyvarinen_score": Case(
        known=lambda bowl, images, truth_of: bowl(),
        answer=-1.0,
        bad=lambda bowl, images, truth_of: bowl(slope=-1.0),
        limit=1.0,
        settings={"points": 20_000},
    ),
    "kernel_distance_efficientnet": Case(
        known=lambda bowl, images, truth_of: sampled(images(mean=2.0)),
        answer=discrepancy(2.0),
        within=0.05 * discrepancy(2.0),
        bad=lambda bowl, images, truth_of: sampled(images(mean=4.0)),
        limit=100.0,
        settings={"points": 1000},
    ),
    # Scores that differ by the shift, and the mean of the kernel.
    "kernel_stein_discrepancy": Case(
        known=lambda bowl, images, truth_of: bowl(mean=3.0),
        answer=18 * kernel(0),
        within=0.05 * 18 * kernel(0),
        bad=lambda bowl, images, truth_of: bowl(slope=-8.0),
        limit=15.0,
        settings={"points": 2000},
    ),
    "kl_divergence": Case(
        known=lambda bowl, images, truth_of: bowl(mean=0.8),
        answer=0.8**2,
        within=1e-4,
        bad=lambda bowl, images, truth_of: truth_of("weighted_gaussians", OneMode),
        limit=15.0,
    ),
    # Neither high nor low is bad, but an integral that does not exist must be told.
    "log_z": Case(
        known=lambda bowl, images, truth_of: bowl(sd=0.7, offset=2.0),
        answer=LOG_2PI + 2 * math.log(0.7) - 2,
        within=1e-4,
        bad=lambda bowl, images, truth_of: bowl(slope=0.0),
        limit=0.5,
        part="converged",
    ),
    # Of N(0, v + s²) from N(0, 1 + s²), in the plane.
    "level_fisher_divergence": Case(
        known=lambda bowl, images, truth_of: smoothed(sd=2.0),
        answer=divergence_of_smoothed(sd=2.0),
        bad=lambda bowl, images, truth_of: smoothed(sd=0.4),
        limit=10.0,
        settings={"points": 20_000},
    ),
    "log_z_error": Case(
        known=lambda bowl, images, truth_of: bowl(learned=LOG_2PI - 0.5),
        answer=0.5,
        within=1e-4,
        bad=lambda bowl, images, truth_of: bowl(learned=50.0),
        limit=40.0,
    ),
    # The energy ½λx² of a standard normal x has the variance λ²/2.
    "loss_variance": Case(
        known=lambda bowl, images, truth_of: likelihood(),
        answer=0.5,
        within=0.025,
        bad=lambda bowl, images, truth_of: likelihood(log_precision=2.0),
        limit=10.0,
        settings={"batches": 10_000},
    ),
    "maximum_mean_discrepancy": Case(
        known=lambda bowl, images, truth_of: bowl(mean=1.0),
        answer=2 * kernel(0) - 2 * kernel(1.0),
        within=0.05 * (2 * kernel(0) - 2 * kernel(1.0)),
        bad=lambda bowl, images, truth_of: bowl(mean=6.0),
        limit=1.0,
        settings={"points": 3000},
    ),
    "mode_mass_error": Case(
        known=lambda bowl, images, truth_of: truth_of("weighted_gaussians", Swapped),
        answer=0.6,
        within=1e-3,
        bad=lambda bowl, images, truth_of: truth_of("weighted_gaussians", OneMode),
        limit=0.79,
    ),
    "nearest_neighbour_ratio": Case(
        known=lambda bowl, images, truth_of: sampled(images()),
        answer=1.0,
        within=0.03,
        bad=lambda bowl, images, truth_of: copying(images()),
        limit=0.99,
        settings={"points": 200},
        part="near",
    ),
    "negative_log_likelihood": Case(
        known=lambda bowl, images, truth_of: bowl(mean=0.5, offset=1.0),
        answer=LOG_2PI + 1 + 0.25,
        bad=lambda bowl, images, truth_of: bowl(mean=5.0),
        limit=20.0,
    ),
    # A flat energy cannot tell; an inverted one is worse than that.
    "ood_auroc": Case(
        known=lambda bowl, images, truth_of: images(slope=0.0),
        answer=0.5,
        within=1e-9,
        bad=lambda bowl, images, truth_of: images(slope=-1.0),
        limit=0.2,
    ),
    # Half of the samples are held-out images, the others are like none.
    "precision_efficientnet": Case(
        known=lambda bowl, images, truth_of: repeating(images(), images=200, far=200),
        answer=0.5,
        within=1e-9,
        bad=lambda bowl, images, truth_of: sampled(images(mean=8.0)),
        limit=0.01,
        settings={"points": 400},
    ),
    # A quarter of the held-out images, each four times: nothing else is near enough.
    "recall_efficientnet": Case(
        known=lambda bowl, images, truth_of: repeating(images(), images=100, times=4),
        answer=0.25,
        within=1e-9,
        bad=lambda bowl, images, truth_of: sampled(images(sd=0.0)),
        limit=0.01,
        settings={"points": 400},
    ),
    "sampled_kl_divergence": Case(
        known=lambda bowl, images, truth_of: bowl(mean=0.8),
        answer=0.8**2,
        bad=lambda bowl, images, truth_of: bowl(mean=5.0),
        limit=20.0,
        settings={"points": 100_000},
    ),
    "sampled_mode_mass_error": Case(
        known=lambda bowl, images, truth_of: truth_of("weighted_gaussians", Swapped),
        answer=0.6,
        within=0.01,
        bad=lambda bowl, images, truth_of: truth_of("weighted_gaussians", OneMode),
        limit=0.79,
        settings={"points": 20_000},
    ),
    "sliced_wasserstein": Case(
        known=lambda bowl, images, truth_of: bowl(mean=3.0),
        answer=3.0,
        within=0.15,
        bad=lambda bowl, images, truth_of: bowl(mean=6.0),
        limit=5.0,
    ),
}


@pytest.fixture(autouse=True)
def simple_features(monkeypatch):
    """The first logits of the pixels, and images that differ from the data."""
    monkeypatch.setattr(
        features, "extract", lambda pixels: pixels.logit().flatten(2)[..., :FEATURES]
    )
    monkeypatch.setattr(
        "ebm_bench.metrics.ood_auroc._others",
        lambda dataset, n, streams: 0.98 + 0.01 * streams.uniform(n, *dataset.event_shape),
    )


@pytest.fixture(params=metrics.names())
def name(request):
    assert request.param in CASES, f"declare a known and a bad case of {request.param}"
    return request.param


@pytest.fixture
def measure(name, bowl, images, truth_of):
    case = CASES[name]

    def run(which):
        model = getattr(case, which)(bowl, images, truth_of)
        metric = metrics.create(name, **(case.settings or {}))
        return metric(model, model.dataset, model.streams)

    return run


def test_a_known_mark(name, measure):
    case, result = CASES[name], measure("known")
    within = case.within or 4 * result["standard_error"]
    assert ((result["value"] - case.answer).abs() <= within).all(), (result, case.answer)
    # So close that five per cent more or less would show.
    assert torch.as_tensor(within).max() <= 0.05 * abs(case.answer)


def test_a_bad_model_is_marked_down(name, measure):
    case, result = CASES[name], measure("bad")
    higher_is_better = metrics.create(name).higher_is_better or case.part == "converged"
    found = result[case.part]
    assert ((found < case.limit) if higher_is_better else (found > case.limit)).all(), result
    known = measure("known")[case.part]
    assert ((found < known) if higher_is_better else (found > known)).all()
