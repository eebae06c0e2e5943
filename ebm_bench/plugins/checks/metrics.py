"""Checks of metrics: one value per replicate, the same in each call, no hidden NaN."""

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from ebm_bench import datasets, energies, objectives, registry, samplers
from ebm_bench.energies.base import Energy
from ebm_bench.plugins.checks.base import Named, check, checks_of, expect, expect_close, expect_kept
from ebm_bench.registry.entries import LEARNED
from ebm_bench.runs import contracts
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams


class Pixels:
    """Images whose logits are standard normal."""

    name, kind, knows, lam, event_shape = "pixels", "image", ("pixels",), 0.0, (1, 8, 8)

    def sample(self, n: int, streams: Streams, split: str = "train") -> Tensor:
        """Draw images, (R, n, 1, 8, 8)."""
        return streams.normal(n, *self.event_shape)

    def batches(self, streams: Streams, split: str = "train") -> Iterator[Tensor]:
        """Go through 300 images, each replicate the same."""
        images = Streams(1).normal(300, *self.event_shape)
        yield from images.expand(streams.replicates, -1, *self.event_shape).split(200, 1)

    def to_pixels(self, y: Tensor) -> Tensor:
        """Turn logits into pixels between 0 and 1."""
        return torch.sigmoid(y)

    def log_det(self, y: Tensor) -> Tensor:
        """Log-determinant of that."""
        both = nn.functional.logsigmoid(y) + nn.functional.logsigmoid(-y)
        return -both.sum((-3, -2, -1))


class Case(Named):
    """A metric with its settings."""

    family = "metrics"

    def dataset(self):
        """Find data that offer what it asks for."""
        asked = {*self.entry.requires} - {*LEARNED}
        if "pixels" in asked:
            return Pixels()
        fitting = [
            entry.name
            for entry in registry.packaged("datasets")
            if asked <= {*entry.knows} and entry.kind == "toy"
        ]
        expect(fitting, f"no dataset knows all of {', '.join(sorted(asked))}")
        return datasets.create(max(fitting, key="eight_gaussians".__eq__))

    def model(self, replicates: Sequence[int]) -> Model:
        """Make a network's model of such data, of other weights in each replicate."""
        dataset = self.dataset()
        shape = dataset.event_shape
        whole = energies.create("mlp", event_shape=shape, replicates=3, width=8)
        energy = energies.create("mlp", event_shape=shape, replicates=len(replicates), width=8)
        energy.load_state_dict({k: v[list(replicates)] for k, v in whole.state_dict().items()})
        return _model(energy, dataset, replicates)

    def control(self, name: str) -> Model:
        """Fit an energy that is no network to such data, in two replicates."""
        dataset = self.dataset()
        energy = energies.create(name, event_shape=dataset.event_shape, replicates=2)
        energy.attach(dataset)
        energy.fit(dataset.sample(5000, Streams(2, 2)))
        return _model(energy, dataset, [0, 1])

    def measure(self, model: Model) -> dict[str, Tensor]:
        """Measure a model."""
        return self.create()(model, model.dataset, model.streams)

    def use(self) -> None:
        """Measure a network."""
        self.measure(self.model([0]))

    def notes(self) -> list[str]:
        """Compare the truth with a Gaussian that has the moments of the data.

        Not a check: a metric that measures something else of a model need not prefer the truth.
        """
        better = self.entry.higher_is_better
        if better is None or not _beside_truth(self):
            return []
        truth, gaussian = (
            self.measure(self.control(name))["value"].mean().item() for name in _beside_truth(self)
        )
        return [
            f"on {self.dataset().name} the truth has {truth:.4g}, a fitted Gaussian "
            f"{gaussian:.4g}, and {'higher' if better else 'lower'} is better by its declaration"
        ]


def _model(energy: Energy, dataset, replicates: Sequence[int]) -> Model:
    learned = torch.zeros(len(replicates))
    kind = "multi_noise_denoising" if energy.levels else "denoising_score_matching"
    objective = objectives.create(kind)
    objective.build(energy)
    sampler = samplers.create("langevin")
    return Model(energy, dataset, sampler, Streams(5, list(replicates)), learned, objective)


@check(contracts.MEASURED, needed=True)
def one_finite_value_per_replicate(case: Case) -> None:
    """For three replicates."""
    result = case.measure(case.model([0, 1, 2]))
    expect_kept(contracts.MEASURED, result, 3)
    for part, values in result.items():
        expect(values.isfinite().all(), f"'{part}' is {values.tolist()}")
        expect(not values.requires_grad, f"'{part}' carries a graph")


@check(contracts.POSITIVE)
def positive_on_the_log_scale(case: Case) -> None:
    """For three replicates."""
    model = case.model([0, 1, 2])
    expect_kept(contracts.POSITIVE, case.create(), case.measure(model))


@check(contracts.UNTOUCHED)
def leaves_the_model_as_it_was(case: Case) -> None:
    """Compare its weights, and samples that other metrics use, around two calls."""
    model = case.model([0, 1])
    for _ in range(2):
        before = contracts.state_of(model)
        case.measure(model)
        expect_kept(contracts.UNTOUCHED, before, contracts.state_of(model))
    again = case.model([0, 1])
    drawn = {name: value for name, value in model.cached.items() if "samples of" in name}
    for value in drawn.values():
        again.samples(value.shape[1])
    for name, value in drawn.items():
        same = torch.equal(value, again.cached[name])
        expect(same, f"{name} changes in a call")


@check(
    "a replicate has the same value alone as among others",
    "Something is computed over all replicates together, or drawn otherwise than from streams",
)
def replicates_do_not_mix(case: Case) -> None:
    """Among three and alone."""
    among, alone = case.measure(case.model([0, 1, 2])), case.measure(case.model([1]))
    for part, values in alone.items():
        expect_close(values, among[part][1:2], f"'{part}' differs", rtol=1e-4, atol=1e-5)


@check(
    "the same value in each call, whatever was drawn before",
    "Draws from the streams themselves: use streams.child('data'), which begins anew each time",
)
def same_whenever_asked(case: Case) -> None:
    """Before and after other draws."""
    model, other = case.model([0, 1]), case.model([0, 1])
    other.streams.normal(10)
    expect_close(case.measure(other)["value"], case.measure(model)["value"], "the values differ")


@check(
    "not a number for a replicate whose energy is not a number, and no harm to the others",
    "nan_to_num, nanmean or a clamp: a failure must be seen",
    # It measures what the objective learned, whatever the energy.
    lambda case: "learned_log_z" not in case.entry.requires,
)
def keeps_what_is_not_finite(case: Case) -> None:
    """With weights of one replicate that are not numbers."""
    model = case.model([0, 1])
    with torch.no_grad():
        next(model.energy.parameters())[1] = math.nan
    result = case.measure(model)["value"]
    expect(result[0].isfinite(), f"the sound replicate has {result[0].item()}")
    expect(result[1].isnan(), f"the broken replicate has {result[1].item()}")


@check(
    "a value for models that are not networks, such as the controls: a Gaussian, the truth",
    "Uses layers or weights of the energy; use energy(x), and gradient and laplacian from "
    "ebm_bench.derivatives",
    lambda case: _beside_truth(case) != (),
)
def measures_controls(case: Case) -> None:
    """Measure the truth and a fitted Gaussian."""
    for name in _beside_truth(case):
        shape = case.measure(case.control(name))["value"].shape
        expect(shape == (2,), f"of {name}, the value has the shape {tuple(shape)} where R is 2")


@check("a label for axes and table heads", "label = '...' is missing in the class")
def has_a_label(case: Case) -> None:
    """Look for a label."""
    expect(case.entry.label, "no label")


CHECKS = checks_of(globals())


def _beside_truth(case: Case) -> tuple[str, ...]:
    """Name the energies to compare; none where the metric asks for what they do not have."""
    apart = {*LEARNED, "pixels", "parameters"}
    return () if apart & {*case.entry.requires} else ("truth", "quadratic")
