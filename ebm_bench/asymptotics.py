"""What theory says of an estimate from many data: its covariance and its bias.

An estimate that minimises a mean of independent losses has, for N data points, the covariance
``H⁻¹ J H⁻¹ / N`` around the minimum of the expected loss, with its Hessian ``H`` there and the
covariance ``J`` of the gradients of single points. Both are computed on a large sample, alike
for every objective: of maximum likelihood it is the inverse Fisher information, of
noise-contrastive estimation the covariance of Gutmann and Hyvärinen (2012).
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ebm_bench.estimation import CHUNK, Loss, Setting, aligned, flat_truth
from ebm_bench.objectives.normaliser import Normaliser
from ebm_bench.quasi_newton import hessian, minimise
from ebm_bench.streams import Streams

# Groups of points whose gradients give J.
_GROUPS = 20_000
# Points to which what an objective owns is fitted.
_FIT = 100_000
# Points of either half of a Hessian's sample.
_FEWEST = 4000
_STEP = 1e-6


@dataclass
class Asymptote:
    """The distribution of estimates from many data, in the coordinates of the estimates.

    Attributes
    ----------
    covariance : Tensor of shape (k, k)
        Of an estimate, times N.
    bias : Tensor of shape (k,)
        Of the minimum of the expected loss.
    """

    covariance: Tensor
    bias: Tensor

    @property
    def variance(self) -> float:
        """Sum of the variances of all coordinates, times N."""
        return self.covariance.trace().item()

    def errors(self, size: int, levels: tuple[float, ...], draws: int = 20_000) -> list[float]:
        """Quantiles of the squared error of estimates from N data points, by simulation.

        Parameters
        ----------
        size : int
            N.
        levels : tuple of float
            Which quantiles.
        draws : int
            Normal errors that are simulated.
        """
        values, vectors = torch.linalg.eigh(self.covariance)
        spread = (values.clamp_min(0) / size).sqrt()
        mean = vectors.T @ self.bias
        z = Streams(0, scope=("asymptote",)).normal(draws, len(mean), dtype=mean.dtype)[0]
        return np.quantile((mean + spread * z).square().sum(1).numpy(), levels).tolist()


def asymptote(
    setting: Setting, ratio: int, streams: Streams, budget: float = 3e6, biased: bool = False
) -> Asymptote:
    """Compute the asymptotic distribution of the estimates of an objective.

    Parameters
    ----------
    setting : Setting
        What is estimated, and by which objective.
    ratio : int
        ν.
    streams : Streams
        For the samples.
    budget : float
        Evaluations of the energy, about: as many as a Hessian may cost, where this is enough
        for 8,000 points.
    biased : bool
        Whether the minimum of the expected loss is elsewhere than at the truth. It is searched
        from there.
    """
    population = _Population(setting, ratio, streams)
    probe = population.loss(1, 10, "probe")
    theta = probe.theta
    cost = probe.energy.evaluations / 10 - 1  # one was to see which parameters are used
    half = max(_FEWEST, int(budget / (4 * theta.shape[1]) / cost))
    if biased:
        theta = population.minimum(int(0.02 * budget / cost))
    halves = [population.hessian(theta, half, f"half {i}") for i in range(2)]
    slopes = population.slopes(theta, max(_FEWEST, int(0.2 * budget / cost)))
    inverses = [torch.linalg.inv(h) for h in (0.5 * (halves[0] + halves[1]), *halves)]
    whole, first, second = (inverse @ slopes @ inverse for inverse in inverses)
    # The inverse of a noisy matrix is too large on average. The halves, with twice the noise
    # variance, show by how much.
    covariance = 2 * whole - 0.5 * (first + second)
    return population.in_estimates(theta, covariance, biased)


class _Population:
    """Losses at the truth on fresh samples, with all that is fitted to data fitted well."""

    def __init__(self, setting: Setting, ratio: int, streams: Streams):
        self.setting, self.ratio, self.streams = setting, ratio, streams.select([0])
        self.dataset = setting.make_dataset()
        data = self.dataset.sample(_FIT, self.streams.child("population")).double()
        energy, objective = self._truth(1), setting.make_objective(ratio)
        objective.setup(energy, data, self.streams.child("fit"))
        for part in objective.modules():
            if isinstance(part, Normaliser):  # known here, where training has to estimate it
                part.start.copy_(energy.log_z)
        self._fitted = objective.state_dict()

    def loss(self, groups: int, size: int, purpose: str) -> Loss:
        """Take the loss of groups of points, a replicate each."""
        streams = Streams(self.streams.seed, groups, scope=(*self.streams.scope, purpose))
        data = self.dataset.sample(size, streams.child("data")).double()
        energy, objective = self._truth(groups), self.setting.make_objective(self.ratio)
        objective.build(energy)
        objective.double()
        fitted = {k: v.expand(groups, *v.shape[1:]) for k, v in self._fitted.items()}
        objective.load_state_dict(fitted)
        return Loss(energy, objective, data, streams.child("draws"))

    def minimum(self, size: int) -> Tensor:
        """Find where the expected loss is smallest, shape (1, p)."""
        loss = self.loss(1, size, "minimum")
        return minimise(loss, loss.theta).theta

    def hessian(self, theta: Tensor, size: int, purpose: str) -> Tensor:
        """Average the Hessian over points, shape (p, p)."""
        piece = min(size, max(1, CHUNK // self._numbers(1)))
        count = math.ceil(size / piece)
        total = sum(hessian(self.loss(1, piece, f"{purpose}, {i}"), theta)[0] for i in range(count))
        return total / count

    def slopes(self, theta: Tensor, size: int) -> Tensor:
        """Find the covariance of the gradients of single points, shape (p, p)."""
        points, groups = max(1, size // _GROUPS), min(size, _GROUPS)
        rows = min(groups, max(1, CHUNK // max(self._numbers(points), theta.shape[1])))
        found = [
            self.loss(rows, points, f"slopes, {i}")(theta.expand(rows, -1))[1]
            for i in range(math.ceil(groups / rows))
        ]
        return points * torch.cov(torch.cat(found).T)

    def in_estimates(self, theta: Tensor, covariance: Tensor, biased: bool) -> Asymptote:
        """Carry a covariance from the parameters to the estimates."""
        loss = self.loss(1, 2, "coordinates")

        def flat(parameters: Tensor) -> Tensor:
            loss.set(parameters)
            return aligned(self.dataset, loss.energy).detach()[0]

        here = flat(theta)
        steps = _STEP * torch.eye(theta.shape[1]).to(theta)
        change = torch.stack([flat(theta + step) - here for step in steps], 1) / _STEP
        bias = here - flat_truth(self.dataset)[0] if biased else torch.zeros_like(here)
        return Asymptote(change @ covariance @ change.T, bias)

    def _numbers(self, size: int) -> int:
        """Count the numbers in the points at which a loss evaluates the energy."""
        return self.setting.points(size, self.ratio) * math.prod(self.dataset.event_shape)

    def _truth(self, replicates: int):
        energy = self.setting.make_energy(self.dataset, replicates)
        energy.assume(self.dataset.parameters)
        return energy
