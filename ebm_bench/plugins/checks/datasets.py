"""Checks of datasets: the density integrates to one, and samples are drawn from it."""

import math
from collections.abc import Callable
from functools import cached_property
from typing import Any

import torch
from scipy.stats import multivariate_t
from torch import Tensor

from ebm_bench.datasets.inspection import inspect
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.base import Named, check, checks_of, expect, expect_close, expect_kept
from ebm_bench.runs import contracts
from ebm_bench.streams import Streams

N = 40_000
_CELLS = 256
_DIRECTIONS = 8


class Case(Named):
    """A dataset with its settings, and what several checks compute of it."""

    family = "datasets"

    @cached_property
    def dataset(self) -> Any:
        """The dataset."""
        return self.create()

    def create(self, **arguments: Any) -> Any:
        """Create the dataset; paths of its files are relative to the file of the class."""
        return super().create(**self.entry.located(self.settings, self.entry.path.parent))

    def use(self) -> None:
        """Create a dataset and sample it."""
        self.create().sample(5, Streams(0))

    @cached_property
    def draws(self) -> Tensor:
        """Points in float64, shape (N, *event_shape)."""
        return self.dataset.sample(N, Streams(3))[0].double()

    @cached_property
    def density(self) -> Tensor:
        """Density at the cells of a grid over the box of a dataset in the plane, (256, 256)."""
        steps = (torch.arange(_CELLS, dtype=torch.float64) + 0.5) / _CELLS
        axes = [low + (high - low) * steps for low, high in self.dataset.box]
        points = torch.cartesian_prod(*axes)
        return self.dataset.log_prob(points).exp().reshape(_CELLS, _CELLS)

    @cached_property
    def area(self) -> float:
        """Area of a cell."""
        return math.prod((high - low) / _CELLS for low, high in self.dataset.box)


def knows(*what: str) -> Callable[[Case], bool]:
    """Select datasets that offer something."""
    return lambda case: {*what} <= {*case.entry.knows}


def _in_space(case: Case) -> bool:
    """Select vectors of known density without a grid."""
    vectors = case.entry.kind == "toy"
    return vectors and knows("log_prob")(case) and not knows("grid")(case)


def deviation(values: Tensor, truth) -> Tensor:
    """Distance of a mean (over the first axis) from the truth, in standard errors."""
    error = values.std(0) / math.sqrt(len(values))
    return ((values.mean(0) - truth).abs() / (error + 1e-12)).max()


def misplaced(case: Case, x: Tensor) -> float:
    """Chi-square of the counts in 16 × 16 cells, in standard deviations above its mean."""
    low, high = torch.tensor(case.dataset.box, dtype=torch.float64).T
    flat = torch.stack([low, high], 1).flatten().tolist()
    counts = torch.histogramdd(x.clamp(low, high), 16, range=flat).hist.flatten()
    mass = (case.density * case.area).reshape(16, 16, 16, 16).sum((1, 3)).flatten()
    expected = N * mass
    # Cells that expect next to nothing count as one, of a variance of at least 5.
    common = expected > 5
    counts, expected = (
        torch.cat([v[common], v[~common].sum()[None]]).double() for v in (counts, expected)
    )
    chi_square = ((counts - expected).square() / expected.clamp_min(5)).sum()
    return ((chi_square - len(expected)) / math.sqrt(2 * len(expected))).item()


@check("a citation", "citation = '...' is missing in the class")
def metadata(case: Case) -> None:
    """Look for a citation."""
    expect(case.entry.citation, "no citation")


@check(contracts.DENSITY, needed=True)
def shapes_and_types(case: Case) -> None:
    """Sample and evaluate."""
    x = case.dataset.sample(7, Streams(0, replicates=3))
    shape = (3, 7, *case.dataset.event_shape)
    expect(x.shape == shape, f"samples of shape {tuple(x.shape)}, not {shape}")
    expect(x.dtype == torch.float32, f"samples of {x.dtype}")
    if not knows("log_prob")(case):
        return
    expect_kept(contracts.DENSITY, case.dataset, x)
    found = case.dataset.log_prob(x)
    expect(case.dataset.log_prob(x[0, 0]).shape == (), "log_prob of one point is no scalar")
    exact = case.dataset.log_prob(x.double())
    expect(exact.dtype == torch.float64, f"log_prob of {exact.dtype} for points of float64")
    expect_close(found.double(), exact, "float32 and float64 differ", rtol=1e-4, atol=1e-4)
    if knows("grid")(case):
        expect(len(case.dataset.box) == x.shape[-1], "box has not one pair of bounds a coordinate")


@check(contracts.UNSAVED)
def changes_are_saved(case: Case) -> None:
    """From sample to sample."""
    dataset, streams = case.create(), Streams(0)
    expect_kept(contracts.UNSAVED, lambda: dataset.sample(5, streams), [dataset], [streams])


@check(
    "points of every split that are finite and vary, as the set-up of a run asks for",
    "The data themselves, or what the class makes of them",
    needed=True,
)
def data_are_whole(case: Case) -> None:
    """Inspect the data as a run does."""
    try:
        inspect(case.dataset)
    except InputError as error:
        raise AssertionError(str(error)) from None


@check(contracts.POINTS)
def replicates_do_not_mix(case: Case) -> None:
    """Among four and alone."""
    together = case.dataset.sample(5, Streams(1, replicates=4))
    alone = case.dataset.sample(5, Streams(1, replicates=[2]))
    expect_close(together[2:3], alone, "the points differ")
    expect_kept(contracts.POINTS, case.dataset, Streams(1, replicates=4))


@check(
    "a density that integrates to one over the box",
    "The log-normaliser, or a box that leaves mass outside",
    knows("log_prob", "grid"),
)
def integrates_to_one(case: Case) -> None:
    """On 256 × 256 cells."""
    mass = (case.density.sum() * case.area).item()
    expect(abs(mass - 1) < 3e-6, f"the integral is {mass:.8f}")


@check("a density that integrates to one", "The log-normaliser", _in_space)
def integrates_to_one_in_space(case: Case) -> None:
    """By importance sampling from a distribution of heavier tails, Student's of 5 degrees."""
    (d,), n = case.dataset.event_shape, 200_000
    student = multivariate_t(shape=case.draws.T.cov().reshape(d, d).numpy(), df=5, seed=5)
    x = student.rvs(n).reshape(n, d)
    log_q = torch.from_numpy(student.logpdf(x))
    weights = (case.dataset.log_prob(torch.from_numpy(x)) - log_q).exp()
    expect(weights.std() / math.sqrt(n) < 0.01, "its tails are too heavy to be integrated here")
    expect(
        deviation(weights, 1) < 4,
        f"the integral is {weights.mean():.4f}, {deviation(weights, 1):.1f} standard errors off",
    )


@check(contracts.ENTROPY, applies=knows("entropy"))
def samples_have_the_entropy(case: Case) -> None:
    """With 40,000 points."""
    expect_kept(contracts.ENTROPY, case.dataset, case.draws[None])
    if not knows("log_prob")(case):
        return
    own, entropy = -case.dataset.log_prob(case.draws), case.dataset.entropy()
    expect(
        deviation(own, entropy) < 4,
        f"{own.mean():.4f} from samples and {entropy:.4f} from entropy(), "
        f"{deviation(own, entropy):.1f} standard errors apart",
    )


@check(
    "samples that are distributed as the density",
    "sample() and log_prob() are of different densities",
    knows("log_prob", "grid"),
)
def samples_fall_where_the_density_says(case: Case) -> None:
    """By the counts in 16 × 16 cells."""
    found = misplaced(case, case.draws)
    expect(found < 4, f"chi-square is {found:.1f} standard deviations above its mean")


@check(
    "an entropy that agrees with the integral of −p log p",
    "A term of the closed form is missing",
    knows("log_prob", "grid", "entropy"),
)
def entropy_is_right(case: Case) -> None:
    """On 256 × 256 cells."""
    found = (torch.special.entr(case.density) * case.area).sum().item()
    entropy = case.dataset.entropy()
    expect(abs(found - entropy) < 3e-4, f"{entropy:.5f} from entropy(), {found:.5f} by quadrature")


@check(contracts.SCORE, applies=knows("log_prob", "score"))
def score_is_the_gradient(case: Case) -> None:
    """By automatic differentiation and by finite differences."""
    dataset, x = case.dataset, case.draws[:200].clone().requires_grad_()
    expect_kept(contracts.SCORE, dataset, case.draws[None])
    score = dataset.score(x)
    (gradient,) = torch.autograd.grad(dataset.log_prob(x).sum(), x)
    expect_close(score, gradient, "score and gradient differ", rtol=1e-9, atol=1e-9)
    same = torch.autograd.gradcheck(
        lambda x: dataset.log_prob(x).sum(),
        x,
        atol=1e-4,
        rtol=1e-4,
        fast_mode=True,
        raise_exception=False,
    )
    expect(same, "automatic and finite differences of log_prob differ")


@check(
    "Stein's identity: the mean of x sᵀ over samples is minus the identity",
    "score() is of another density than the samples, or a density that jumps claims to know it",
    knows("score"),
)
def samples_obey_steins_identity(case: Case) -> None:
    """With 40,000 points, in eight random directions where there are many dimensions."""
    x, score = case.draws.flatten(1), case.dataset.score(case.draws).flatten(1)
    size = x.shape[1]
    if size > _DIRECTIONS:
        random = Streams(4).normal(size, _DIRECTIONS, dtype=x.dtype)[0]
        directions = torch.linalg.qr(random).Q
        x, score, size = x @ directions, score @ directions, _DIRECTIONS
    products = x.unsqueeze(2) * score.unsqueeze(1)
    found = deviation(products, -torch.eye(size, dtype=torch.float64))
    expect(found < 4.5, f"off by {found:.1f} standard errors")


@check(
    "modes that hold their weights",
    "mode_weights in another order than modes",
    knows("modes"),
)
def modes_hold_their_weights(case: Case) -> None:
    """By the modes of 40,000 points."""
    modes, weights = case.dataset.modes, case.dataset.mode_weights
    expect(modes.shape == (len(weights), *case.dataset.event_shape), f"modes of {modes.shape}")
    expect(abs(weights.sum().item() - 1) < 1e-6, f"weights that add up to {weights.sum():.6f}")
    mass = torch.bincount(case.dataset.mode_of(case.draws), minlength=len(modes)) / N
    expect_close(mass.double(), weights, "shares of samples differ", rtol=0.1, atol=0.01)


CHECKS = checks_of(globals())
