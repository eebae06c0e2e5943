"""Where annealing starts, and by which densities it goes: found by a pilot run."""

import math
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from ebm_bench.derivatives.base import Energy
from ebm_bench.derivatives.for_samplers import half_square, rescale, unscale
from ebm_bench.samplers.leapfrog import State, init, leapfrog
from ebm_bench.streams import Streams

# Acceptance rate that the pilot run aims at. A rejection reverses the momentum, so chains that keep
# their momentum need a higher rate than those that draw it anew.
_TARGET = 0.9
# Conditional effective sample size of a level of the pilot run, as a fraction of the chains.
_EVEN = 0.9
# Effective sample size under which the chains of the pilot run are resampled, likewise.
_UNEVEN = 0.5
# One in how many levels of the pilot run is spent on the step size where the path starts.
_STILL = 10
_BISECTIONS = 40
# Least share of the chains that start at the base measure, and at the proposal.
_LEAST = 1 / 8


class Proposal(Protocol):
    """A normalised density with exact samples."""

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, n, *event_shape), shape (R, n)."""


class Start:
    """The density where the path starts: a proposal, the base measure, or a mixture of both.

    Its energy is in units of the base measure, ``½‖u‖²`` for that, with the normaliser of the
    standard normal density. Replicates in ``alone``, (R, 1), start at the base measure in spite of
    the proposal.

    Parameters
    ----------
    energy : Energy
        Its ``location`` and ``scale`` define the base measure ``N(location, scale²)``.
    proposal : Proposal, optional
        Without one, the path starts at the base measure.
    """

    def __init__(self, energy: Energy, proposal: Proposal | None = None):
        self.energy, self.proposal = energy, proposal
        log_scale = energy.scale.double().log().flatten(1).sum(1, keepdim=True)
        half = 0.5 * math.log(2 * math.pi) * math.prod(energy.event_shape)
        self.log_volume = log_scale + half
        self.share = torch.full_like(log_scale, 1.0 if proposal is None else 0.5)
        self.alone = torch.full_like(log_scale, proposal is None, dtype=torch.bool)

    def __call__(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the energy, (R, C), and its gradient at points (R, C, *event_shape)."""
        base = half_square(u)
        if self.proposal is None:
            return base, u
        log_q, slope = self._proposed(self.proposal, u)
        ours = (1 - self.share).log() + log_q + self.log_volume
        value = torch.logaddexp(ours, self.share.log() - base)
        mine = (ours - value).exp().to(u.dtype).view(*u.shape[:2], *[1] * (u.dim() - 2))
        return -value.to(u.dtype), u - mine * (u + slope)

    def _proposed(self, proposal: Proposal, u: Tensor) -> tuple[Tensor, Tensor]:
        """Log-density and its gradient; without one, as any force will do for an accept step."""
        with torch.enable_grad():
            point = u.detach().requires_grad_()
            log_q, slope = proposal.log_prob(unscale(self.energy, point)), torch.zeros_like(u)
            if log_q.requires_grad:
                (slope,) = torch.autograd.grad(log_q.sum(), point)
        return log_q.detach(), slope.nan_to_num(0.0, 0.0, 0.0)

    def choose(self, ours: Tensor, theirs: Tensor) -> Tensor:
        """Take what belongs to the base measure alone, (R, ...), where the path starts there."""
        return torch.where(self.alone.view(-1, *[1] * (ours.dim() - 1)), ours, theirs)

    def draw(
        self, chains: int, streams: Streams, share: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Draw points (R, chains, *event_shape), and tell which are of the base measure.

        Their number is its share, (R, 1), of the chains, and no matter of chance, which the spread
        of the weights would not show; each part has a least share.
        """
        u = streams.normal(chains, *self.energy.event_shape, dtype=self.energy.scale.dtype)
        if self.proposal is not None:
            least = max(1, round(_LEAST * chains))
            wanted = self.share if share is None else share
            both = (wanted * chains).round().clamp(least, chains - least) / chains
            self.share = both.masked_fill(self.alone, 1.0)
        of_base = torch.arange(chains, device=u.device) < (self.share * chains).round()
        if self.proposal is not None:
            x = rescale(self.energy, self.proposal.sample(chains, streams))
            u[~of_base] = x[~of_base].to(u)
        return u, of_base


class Path(NamedTuple):
    """Densities on the way, and how chains move among them.

    Attributes
    ----------
    betas : Tensor of shape (R, levels + 1)
        Weights of the energy, from 0 to 1, in float64.
    steps : Tensor of shape (R, levels)
        Step sizes at all but the first density, in units of the base measure.
    """

    betas: Tensor
    steps: Tensor

    def divide(self, levels: int) -> "Path":
        """Divide the path into more levels, or fewer, as evenly as it is divided."""
        last = (self.betas < 1).sum(1, keepdim=True)
        at = torch.arange(levels + 1, device=last.device) * last.double() / levels
        low = at.long().minimum(last - 1)
        before, after = self.betas.gather(1, low), self.betas.gather(1, low + 1)
        betas = torch.lerp(before, after, at - low)
        betas[:, -1] = 1
        return Path(betas, self.steps.gather(1, low[:, :-1]))


class Found(NamedTuple):
    """What a pilot run found.

    Attributes
    ----------
    path : Path
        Densities on the way.
    log_ratio : Tensor of shape (R, 1)
        Estimated logarithm of the mass at the end, over that at the start.
    share : Tensor of shape (R, 1)
        Share of the mass in chains that came from the base measure.
    ends : Tensor of shape (R, chains, *event_shape)
        Where the chains ended, in units of the base measure.
    """

    path: Path
    log_ratio: Tensor
    share: Tensor
    ends: Tensor


def find(energy: Energy, start: Start, streams: Streams, chains: int, levels: int) -> Found:
    """Find a path of even levels by an adaptive sequential Monte Carlo sampler.

    Each level goes as far as the conditional effective sample size allows, but at least to
    ``β = (k / levels)⁴`` with the ``k``-th, so that levels suffice. Chains are resampled where
    their weights have become uneven.

    Parameters
    ----------
    energy : Energy
        Where the path ends.
    start : Start
        Where it starts.
    streams : Streams
        Source of randomness.
    chains, levels : int
        Chains, and the most levels.

    Returns
    -------
    Found
        Shorter paths of some replicates end in levels with β = 1.

    References
    ----------
    Zhou, Johansen and Aston, "Toward automatic model comparison: an adaptive sequential Monte Carlo
    approach", 2016, arXiv:1303.3123. The step sizes start at the scaling with dimension that is
    optimal for a Gaussian: Roberts and Rosenthal, "Optimal scaling of discrete approximations to
    Langevin diffusions", 1998, doi:10.1111/1467-9868.00123.
    """
    u, of_base = start.draw(chains, streams)
    weights = torch.zeros(u.shape[:2], dtype=torch.float64, device=u.device)
    beta = torch.zeros_like(weights[:, :1])
    step = torch.full_like(beta, math.prod(energy.event_shape) ** (-1 / 6))
    betas, steps = [beta], list[Tensor]()
    state, ends = init(energy, u, streams.normal_like(u), start), u
    still = levels // _STILL
    for k in range(1 - still, levels - still + 1):
        # Those at the end already move on while others do not: that must not matter.
        on_the_way = (beta < 1).view(-1, *[1] * (u.dim() - 1))
        if k > 0:
            after = _next(beta, weights, state.excess, least=(k / (levels - still)) ** 4)
            weights = weights - (after - beta) * state.excess.double()
            beta = after
            state, weights, of_base = _resample(state, weights, of_base, streams)
        state, acceptance = move(energy, streams, state, step, beta, start)
        ends = torch.where(on_the_way, state.u, ends)
        step = step * (0.5 * (acceptance.double().mean(1, keepdim=True) - _TARGET)).exp()
        if k > 0:
            betas.append(beta)
            steps.append(step)
        if (beta == 1).all():
            break
    share = (weights.softmax(1) * of_base).sum(1, keepdim=True)
    log_ratio = weights.logsumexp(1, keepdim=True) - math.log(chains)
    return Found(Path(torch.cat(betas, 1), torch.cat(steps, 1)), log_ratio, share, ends)


def move(
    energy: Energy, streams: Streams, state: State, step: Tensor, beta: Tensor, start: Start
) -> tuple[State, Tensor]:
    """Draw a part of the momentum anew, and take a leapfrog step.

    Parameters
    ----------
    step, beta : Tensor of shape (R, 1)
        Step size, and weight of the energy.

    Returns
    -------
    state, acceptance
        As of `leapfrog`.
    """
    step, beta = step.to(state.u.dtype), beta.to(state.u.dtype)
    step = step.view(-1, *[1] * (state.u.dim() - 1))
    keep = 0.5**step  # of the momentum's variance
    momentum = streams.normal_like(state.u).mul_((1 - keep).sqrt())
    state = state._replace(momentum=momentum.addcmul_(state.momentum, keep.sqrt()))
    return leapfrog(energy, state, streams, step, beta=beta, start=start)


def _next(beta: Tensor, weights: Tensor, excess: Tensor, least: float) -> Tensor:
    """Go on to where the conditional effective sample size is just large enough, by bisection."""
    low, high = torch.zeros_like(beta), 1 - beta
    middle = high
    for _ in range(_BISECTIONS):
        once = weights - middle * excess
        log_size = 2 * once.logsumexp(1, keepdim=True) - weights.logsumexp(1, keepdim=True)
        log_size = log_size - (once - middle * excess).logsumexp(1, keepdim=True)
        enough = log_size >= math.log(_EVEN)
        low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
        middle = (low + high) / 2
    return (beta + low).clamp(least, 1)


def _resample(
    state: State, weights: Tensor, of_base: Tensor, streams: Streams
) -> tuple[State, Tensor, Tensor]:
    """Replace chains by copies of those that weigh more, where their weights have become uneven."""
    chains, total = weights.shape[1], weights.logsumexp(1, keepdim=True)
    uneven = 2 * total - (2 * weights).logsumexp(1, keepdim=True) < math.log(_UNEVEN * chains)
    same = torch.arange(chains, device=weights.device)
    places = (same + streams.uniform(1, dtype=torch.float64)) / chains
    chosen = torch.searchsorted(weights.softmax(1).cumsum(1), places).clamp_max(chains - 1)
    index = torch.arange(len(weights), device=weights.device)[:, None], chosen.where(uneven, same)
    weights = (total - math.log(chains)).where(uneven, weights)
    return State(*(part[index] for part in state)), weights, of_base[index]
