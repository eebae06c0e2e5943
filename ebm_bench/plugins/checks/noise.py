"""Checks of noise: a density that integrates to one, and samples that are drawn from it."""

from functools import cached_property

import torch
from torch import Tensor

from ebm_bench.noise.base import Noise
from ebm_bench.plugins.checks.base import Named, check, checks_of, expect, expect_close, expect_kept
from ebm_bench.runs import contracts
from ebm_bench.streams import Streams

R, POINTS = 3, 400
CORRELATION = 0.8
VECTOR, IMAGE = (2,), (1, 4, 4)


def gaussian_data(streams: Streams, n: int = POINTS) -> Tensor:
    """Correlated Gaussian data, of another location and scale in each replicate."""
    index = torch.tensor(streams.indices, dtype=torch.float64)[:, None]
    z = streams.child("data").normal(n, 2, dtype=torch.float64)
    second = CORRELATION * z[..., 0] + (1 - CORRELATION**2) ** 0.5 * z[..., 1]
    return torch.stack([3 + (1 + index) * z[..., 0], 0.5 * second - index], dim=2)


class Case(Named):
    """A noise with its settings."""

    family = "noise"

    def make(self, shape: tuple[int, ...] = VECTOR, replicates: int = R) -> Noise:
        """Create the noise, not fitted."""
        return self.create(event_shape=shape, replicates=replicates)

    @cached_property
    def fitted(self) -> Noise:
        """The noise of three replicates, fitted to vectors in float64."""
        return self.fit([*range(R)])

    @cached_property
    def of_images(self) -> Noise:
        """The noise of two replicates, fitted to images in float32."""
        streams = Streams(1, 2)
        distribution = self.make(IMAGE, 2)
        distribution.fit(0.5 + 0.1 * streams.normal(100, *IMAGE), streams)
        return distribution

    def fit(self, replicates: list[int]) -> Noise:
        """Fit it for some replicates."""
        streams = Streams(1, replicates)
        distribution = self.make(replicates=len(replicates)).double()
        distribution.fit(gaussian_data(streams), streams.child("fit"))
        return distribution

    def use(self) -> None:
        """Fit a distribution, sample and evaluate it."""
        self.fit([0]).sample_with_log_prob(5, Streams(1, 1))


def grid(cells: int = 400) -> tuple[Tensor, Tensor]:
    """Centres of cells that cover nearly all mass of each replicate, and log cell areas."""
    data = gaussian_data(Streams(1, R))
    mean, spread = data.mean(1, keepdim=True), 8 * data.std(1, keepdim=True)
    line = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells * 2 - 1
    x = mean + spread * torch.cartesian_prod(line, line)
    return x, (2 * spread / cells).log().sum((1, 2))[:, None]


@check(contracts.NOISE, needed=True)
def shapes_and_types(case: Case) -> None:
    """Sample and evaluate."""
    for distribution, n in ((case.fitted, 7), (case.of_images, 5)):
        shape, replicates = distribution.event_shape, distribution.replicates
        expect_kept(contracts.NOISE, distribution, Streams(2, replicates))
        x = distribution.sample(n, Streams(2, replicates))
        log_prob = distribution.log_prob(x)
        dtype = torch.float64 if shape == VECTOR else torch.float32
        expect(x.dtype == log_prob.dtype == dtype, f"{x.dtype} and {log_prob.dtype}, not {dtype}")
        expect(log_prob.isfinite().all(), "log-densities of its own samples that are not finite")
        expect(not x.requires_grad, "samples carry a graph")


@check(contracts.SINGLE)
def points_do_not_mix(case: Case) -> None:
    """For vectors and for images."""
    for distribution in (case.fitted, case.of_images):
        expect_kept(contracts.SINGLE, distribution, Streams(2, distribution.replicates))


@check(contracts.DRAWN)
def numbers_are_drawn_one_by_one(case: Case) -> None:
    """For vectors and for images."""
    for distribution in (case.fitted, case.of_images):
        expect_kept(contracts.DRAWN, distribution, Streams(2, distribution.replicates))


@check(contracts.MATCHED)
def samples_are_of_the_density(case: Case) -> None:
    """For vectors and for images."""
    for distribution in (case.fitted, case.of_images):
        expect_kept(contracts.MATCHED, distribution, Streams(2, distribution.replicates))


@check(contracts.MATCHED)
def integrates_to_one(case: Case) -> None:
    """On a grid in the plane."""
    x, log_area = grid()
    mass = torch.logsumexp(case.fitted.log_prob(x) + log_area, 1).exp()
    expect(((mass - 1).abs() < 0.015).all(), f"integrals of {mass.tolist()}")


@check(contracts.MATCHED)
def samples_have_the_moments_of_the_density(case: Case) -> None:
    """Compare 40,000 samples with integrals over a grid."""
    distribution, n = case.fitted, 40_000
    x, log_area = grid()
    log_prob = distribution.log_prob(x)
    weight = (log_prob + log_area).softmax(1)[..., None]
    mean = (weight * x).sum(1, keepdim=True)
    covariance = ((x - mean) * weight).mT @ (x - mean)
    scale = covariance.diagonal(dim1=1, dim2=2).sqrt()

    sample = distribution.sample(n, Streams(3, R))
    u = (sample - mean) / scale[:, None]
    expected = covariance / scale[:, :, None] / scale[:, None]
    zero = torch.zeros(R, 2).double()
    expect_close(u.mean(1), zero, "means differ, in standard deviations", atol=0.025, rtol=0)
    expect_close(u.mT @ u / n, expected, "correlations differ", atol=0.04, rtol=0)

    inside = torch.where(weight > 0, log_prob[..., None], 0)
    negative_entropy = (weight * inside).sum((1, 2))
    own = distribution.log_prob(sample).mean(1)
    expect_close(own, negative_entropy, "mean log-densities differ", atol=0.03, rtol=0)


@check(
    "a replicate fitted alone is the one that it is among others, in its density and its samples",
    "A statistic over all replicates together (use mean(1), not mean()), or one draw for all",
)
def replicates_do_not_mix(case: Case) -> None:
    """Among three and alone."""
    together, alone = case.fitted, case.fit([1])
    x, streams = gaussian_data(Streams(5, R)), Streams(6, R)
    expect_close(together.log_prob(x)[1:2], alone.log_prob(x[1:2]), "log-densities differ")
    expect_close(
        together.sample(9, streams)[1:2], alone.sample(9, streams.select([1])), "samples differ"
    )


@check(
    "a checkpoint restores density and samples, for vectors and for images",
    "A tensor that fit() made and that is a plain attribute: make it in build() by "
    "register_buffer, in its final shape",
)
def state_round_trip(case: Case) -> None:
    """Load the state into another instance."""
    for distribution, dtype in ((case.fitted, torch.float64), (case.of_images, torch.float32)):
        replicates = distribution.replicates
        other = case.make(distribution.event_shape, replicates).to(dtype)
        other.load_state_dict(distribution.state_dict())
        x = distribution.sample(20, Streams(7, replicates))
        expect(torch.equal(other.log_prob(x), distribution.log_prob(x)), "log-densities differ")
        samples = [d.sample(5, Streams(8, replicates)) for d in (other, distribution)]
        expect(torch.equal(*samples), "samples differ")


@check(contracts.UNSAVED)
def changes_are_saved(case: Case) -> None:
    """In samples and their densities."""
    distribution, streams = case.fitted, Streams(2, R)

    def call():
        return distribution.sample_with_log_prob(5, streams)

    expect_kept(contracts.UNSAVED, call, [distribution], [streams])


@check(contracts.FINAL)
def nothing_is_left_to_train(case: Case) -> None:
    """Before and after the fit."""
    for distribution in (case.make(), case.fitted):
        expect_kept(contracts.FINAL, distribution)


@check(
    "a density whose gradient in the points is finite, where it has one",
    "A no_grad() or detach() in log_prob(), or a square root at zero",
)
def differentiable_in_the_points(case: Case) -> None:
    """At its own samples; a constant density has no gradient."""
    x = case.fitted.sample(5, Streams(2, R)).requires_grad_()
    log_prob = case.fitted.log_prob(x)
    if not log_prob.requires_grad:
        same = (log_prob - log_prob[:, :1]).abs().max().item()
        expect(same == 0, "log_prob() has no gradient, and is not constant")
        return
    (gradient,) = torch.autograd.grad(log_prob.sum(), x)
    expect(gradient.isfinite().all(), "a gradient that is not finite")


@check(contracts.PAIRED)
def points_come_with_their_density(case: Case) -> None:
    """Compare with sample() and log_prob()."""
    expect_kept(contracts.PAIRED, case.fitted, Streams(2, R))
    x, log_prob = case.fitted.sample_with_log_prob(8, Streams(2, R))
    expect_close(x, case.fitted.sample(8, Streams(2, R)), "the points differ")
    expect_close(log_prob, case.fitted.log_prob(x), "the log-densities differ")


CHECKS = checks_of(globals())
