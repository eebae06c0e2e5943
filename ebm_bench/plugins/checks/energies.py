"""Checks of energies: shapes, replicates, derivatives, and the normaliser where it is known."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebm_bench import datasets
from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.base import Named, check, checks_of, expect, expect_close, expect_kept
from ebm_bench.runs import contracts
from ebm_bench.streams import Streams

VECTOR, IMAGE = (2,), (1, 8, 8)


@dataclass(frozen=True, eq=False)
class Case(Named):
    """An energy with its settings and the shape of a point."""

    family = "energies"

    shape: tuple[int, ...] = VECTOR

    @classmethod
    def all(cls, name: str) -> list["Case"]:
        """List the one case: vectors, or images if the energy refuses vectors."""
        try:
            cls(name).make()
        except InputError:
            return [cls(name, shape=IMAGE)]
        except Exception:  # for the checks to report
            pass
        return [cls(name)]

    @property
    def context(self) -> str:
        """Settings and shape, for messages."""
        return f", for points of shape {self.shape}{super().context}"

    def make(self, replicates=3, dtype=torch.float64, **settings) -> Energy:
        """Create the energy, fitted to data of mean 1 and standard deviation 2."""
        energy = self.fresh(replicates, **settings).to(dtype)
        energy.fit(1.0 + 2.0 * Streams(2, replicates).normal(200, *self.shape, dtype=dtype))
        return energy

    def fresh(self, replicates=3, **settings) -> Energy:
        """Create the energy, not fitted."""
        streams = Streams(seed=1, replicates=replicates)
        shapes = {"event_shape": self.shape, "replicates": streams.replicates}
        energy = self.create(**shapes, streams=streams, **settings)
        energy.attach(datasets.create("eight_gaussians"))
        return energy

    def use(self) -> None:
        """Create the energy, fit and evaluate it."""
        energy = self.make()
        energy(points(energy))


def points(energy: Energy, n: int = 5, seed: int = 4) -> Tensor:
    """Draw points at which to evaluate an energy."""
    return Streams(seed, energy.replicates).normal(n, *energy.event_shape, dtype=torch.float64)


@check(contracts.ENERGY, needed=True)
def shape_and_dtype(case: Case) -> None:
    """For three replicates."""
    energy = case.make()
    expect_kept(contracts.ENERGY, energy, points(energy))
    out = energy(points(energy))
    expect(out.isfinite().all(), f"energies {out.tolist()}")


@check(contracts.STEADY, needed=True)
def is_a_function(case: Case) -> None:
    """Of the points, in calls after training."""
    energy = case.make()
    expect_kept(contracts.STEADY, energy, points(energy))


@check(
    "log_z is the logarithm of the integral of exp(−E)",
    "A factor or a dimension is missing in log_z, or an energy is declared `normalised` "
    "whose normaliser is not known",
    lambda case: case.entry.normalised,
)
def known_normaliser_is_right(case: Case) -> None:
    """On a grid in the plane, for two replicates."""
    energy = case.make(replicates=2)
    # Midpoints, as a ring has a pole at the origin.
    line = 14 * (torch.arange(400, dtype=torch.float64) - 199.5) / 200
    grid = torch.cartesian_prod(line, line).expand(2, -1, 2)
    with torch.no_grad():
        integral = torch.logsumexp(-energy(grid), 1) + 2 * math.log(28 / 400)
    log_z = energy.log_z
    assert log_z is not None, "log_z is None, although the class is declared `normalised`"
    expect_close(integral, log_z.double(), "integral and log_z differ", atol=2e-3, rtol=0)


@check(contracts.ALONE)
def replicates_do_not_mix(case: Case) -> None:
    """By derivatives in the points, and by making one replicate alone."""
    energy = case.make()
    x = points(energy).requires_grad_()
    (first,) = torch.autograd.grad(energy(x)[0].sum(), x)
    expect(first[0].abs().sum() > 0, "the energy does not depend on the points")
    expect_kept(contracts.ALONE, energy, x)
    alone = case.make(replicates=[1])
    with torch.no_grad():
        found, expected = alone(x[1:2]), energy(x)[1:2]
    expect_close(found, expected, "a replicate alone and among others differ")


@check(contracts.GRADIENT)
def gradient_is_that_of_autograd(case: Case) -> None:
    """At random points."""
    energy = case.make()
    x = points(energy).requires_grad_()
    expect_kept(contracts.GRADIENT, energy, x)
    (expected,) = torch.autograd.grad(energy(x).sum(), x)
    expect_close(gradient(energy, x), expected, "they differ")


@check(contracts.SMOOTH, applies=lambda case: case.make(replicates=1).smooth)
def smooth_where_it_says_so(case: Case) -> None:
    """Along segments between points."""
    energy = case.make()
    expect_kept(contracts.SMOOTH, energy, points(energy, 50))


@check(contracts.COUNTED)
def evaluations_are_counted(case: Case) -> None:
    """Evaluate seven points."""
    energy = case.make()
    expect_kept(contracts.COUNTED, energy, points(energy, n=7))


@check(contracts.STATE)
def state_round_trip(case: Case) -> None:
    """Load the state into another instance."""
    energy, other = case.make(), case.make()
    expect_kept(contracts.STATE, energy, points(energy), case.fresh)
    for parameter in other.parameters():
        nn.init.constant_(parameter, 0.3)
    other.load_state_dict(energy.state_dict())
    x = points(energy)
    expect_close(energy(x), other(x), "the energies differ")


@check(contracts.UNSAVED)
def changes_are_saved(case: Case) -> None:
    """In evaluations."""
    energy = case.make()
    expect_kept(contracts.UNSAVED, lambda: energy(points(energy)), [energy])


CHECKS = checks_of(globals())
