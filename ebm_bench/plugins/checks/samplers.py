"""Checks of samplers: the start, replicates, units, and the density that is sampled."""

import torch
from torch import Tensor

from ebm_bench import energies
from ebm_bench.plugins.checks.base import Named, check, checks_of, expect, expect_close, expect_kept
from ebm_bench.runs import contracts
from ebm_bench.streams import Streams

_CHAINS = 20_000
# Four standard errors of the variance of so many points.
TOLERANCE = 4 * (2 / _CHAINS) ** 0.5


class Case(Named):
    """A sampler with its settings."""

    family = "samplers"

    def use(self) -> None:
        """Run chains."""
        energy = energies.create("quadratic", event_shape=(2,))
        self.create().run(energy, start(1, 5, 2), Streams(0))


def start(replicates, chains: int, *shape: int, dtype=torch.float32) -> Tensor:
    """Draw points to start from."""
    return Streams(1, replicates, scope=("start",)).normal(chains, *shape, dtype=dtype)


@check(contracts.SAMPLER, needed=True)
def leaves_its_start_and_no_graph(case: Case) -> None:
    """On a network's energy."""
    energy = energies.create("mlp", event_shape=(2,), replicates=3, width=8)
    x = start(3, 5, 2)
    expect_kept(contracts.SAMPLER, case.create(), energy, x, Streams(0, 3))
    moved = case.create().run(energy, x, Streams(0, 3))
    expect(moved.isfinite().all(), "points that are not finite")
    expect(all(p.grad is None for p in energy.parameters()), "weights got gradients")


@check(contracts.UNSAVED)
def changes_are_saved(case: Case) -> None:
    """From run to run."""
    energy, streams, sampler = (
        energies.create("quadratic", event_shape=(2,)),
        Streams(0),
        case.create(),
    )

    def call():
        return sampler.run(energy, start(1, 5, 2), streams)

    expect_kept(contracts.UNSAVED, call, [sampler], [streams])


@check(contracts.CHAINS)
def replicates_do_not_mix(case: Case) -> None:
    """Among three and alone."""
    energy = energies.create("mlp", event_shape=(2,), replicates=3, width=8)
    alone = energies.create("mlp", event_shape=(2,), replicates=1, width=8)
    alone.load_state_dict({k: v[1:2] for k, v in energy.state_dict().items()})
    x = start(3, 5, 2)
    among = case.create().run(energy, x, Streams(0, 3))[1:2]
    found = case.create().run(alone, x[1:2], Streams(0, [1]))
    expect_close(found, among, "the points differ")
    expect_kept(contracts.CHAINS, case.create(), energy, x, Streams(0, 3))


@check(
    "steps are measured in the energy's scale: chains of a stretched density are stretched",
    "A step size in units of the data: multiply it by energy.scale, or work in units of the base "
    "measure (rescale and unscale of ebm_bench.derivatives.for_samplers)",
)
def steps_are_measured_in_the_scale(case: Case) -> None:
    """Coordinate by coordinate."""
    stretch = torch.tensor([0.1, 30.0], dtype=torch.float64)
    round_, long = (energies.create("quadratic", event_shape=(2,)).double() for _ in range(2))
    long.log_diagonal.data -= stretch.log()
    long.scale.mul_(stretch)
    x = start(1, 5, 2, dtype=torch.float64)
    moved = case.create().run(round_, x, Streams(0))
    found = case.create().run(long, x * stretch, Streams(0))
    expect_close(found, moved * stretch, "the points differ")


@check(
    "chains that start in the density stay in it: draws of a standard normal keep mean 0 and "
    "variance 1",
    "The sign of the gradient, a noise of the wrong size for the step, an accept step with the "
    "wrong ratio, or a step that is too long where there is no accept step",
)
def stays_in_the_density(case: Case) -> None:
    """Within four standard errors of the moments of 20,000 chains."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=2)
    found = case.create().run(energy, start(2, _CHAINS, 1), Streams(0, 2))
    means, variances = found.mean(1).flatten().tolist(), found.var(1).flatten().tolist()
    words = f"means {means} and variances {variances}"
    expect(max(abs(m) for m in means) < 4 / _CHAINS**0.5, words)
    expect(max(abs(v - 1) for v in variances) < TOLERANCE, words)


@check(
    "chains that start too far out come nearer (three standard deviations, from a standard normal)",
    "The sign of the gradient, or steps that are always rejected",
)
def moves_towards_the_density(case: Case) -> None:
    """Compare mean squares."""
    energy = energies.create("quadratic", event_shape=(1,), replicates=2)
    x = 3 * start(2, 2000, 1)
    found = case.create().run(energy, x, Streams(0, 2)).square().mean(1).flatten()
    expect((found < 8).all(), f"mean squares of {found.tolist()}, from 9 at the start")


CHECKS = checks_of(globals())
