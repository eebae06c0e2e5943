"""Asymptotic covariance and bias of estimates.

An estimate that minimises a mean of independent losses has, for N data points, the covariance
``H⁻¹ J H⁻¹ / N`` around the minimum of the expected loss, with its Hessian ``H`` there and the
covariance ``J`` of the gradients of single points. Both are computed on a large sample, alike
for every objective: of maximum likelihood it is the inverse Fisher information, of
noise-contrastive estimation the covariance of Gutmann and Hyvärinen (2012).
"""

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from ebm_bench.objectives.classifier import Normaliser
from ebm_bench.optim.bfgs import hessian, minimise
from ebm_bench.streams import Streams
from ebm_bench.studies.estimation.estimate import CHUNK, Loss, Setting, aligned, flat_truth

# Largest number of groups of points whose gradients give the J of a block.
_GROUPS = 2_000
# Number of points to which the noise and normaliser of an objective are fitted.
_FIT = 100_000
# Least numbers of points for H and for J, and the number of blocks they are split into.
_FOR_HESSIAN, _FOR_SLOPES, _BLOCKS = 8_000, 20_000, 10
_STEP = 1e-6


@dataclass
class Asymptote:
    """The distribution of estimates from many data, in the coordinates of the estimates.

    Attributes
    ----------
    covariance : Tensor of shape (k, k)
        Covariance of an estimate, times N.
    bias : Tensor of shape (k,)
        Bias of the minimum of the expected loss.
    error, bias_error : float
        Standard errors of `variance`, and of the length of the bias.
    """

    covariance: Tensor
    bias: Tensor
    error: float
    bias_error: float

    @property
    def variance(self) -> float:
        """Sum of the variances of all coordinates, times N."""
        return self.covariance.trace().item()

    def errors(self, size: int, levels: tuple[float, ...], draws: int = 20_000) -> list[float]:
        """Quantiles of the squared error of estimates from N data points, by simulation.

        Parameters
        ----------
        size : int
            Number of data points N.
        levels : tuple of float
            Levels of the quantiles.
        draws : int
            Number of simulated errors.
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

    The means over points are taken in ten blocks, which the jackknife leaves out in turn
    (Efron, "The jackknife, the bootstrap and other resampling plans", 1982,
    doi:10.1137/1.9781611970319).

    Parameters
    ----------
    setting : Setting
        Model and objective.
    ratio : int
        ν.
    streams : Streams
        Source of the samples.
    budget : float
        Approximate number of evaluations of the energy for H, at least for 8,000 points. For J it
        is a fifth of this, or all of it with a bias, at least for 20,000 points.
    biased : bool
        Whether the minimum of the expected loss is not at the truth. It is searched from there.
    """
    population = _Population(setting, ratio, streams)
    probe = population.loss(1, 10, "probe")
    theta = probe.theta
    cost = probe.energy.evaluations / 10 - 1  # one was to see which parameters are used
    if biased:
        theta = population.minimum(int(0.02 * budget / cost))
    for_hessian = max(_FOR_HESSIAN, int(budget / (2 * theta.shape[1]) / cost))
    for_slopes = max(_FOR_SLOPES, int((1.0 if biased else 0.2) * budget / cost))
    blocks = range(_BLOCKS)
    share = [math.ceil(size / _BLOCKS) for size in (for_hessian, for_slopes)]
    hessians = torch.stack([population.hessian(theta, share[0], f"block {i}") for i in blocks])
    found = [population.slopes(theta, share[1], f"block {i}") for i in blocks]
    slopes, pulls = (torch.stack(part) for part in zip(*found, strict=True))
    change, truth = population.change(theta), flat_truth(population.dataset)[0]

    def distribution(kept: list[int]) -> tuple[Tensor, Tensor]:
        inverse = torch.linalg.inv(hessians[kept].mean(0))
        carried = change @ inverse
        covariance = carried @ slopes[kept].mean(0) @ carried.mT
        if not biased:
            return covariance, torch.zeros_like(truth)
        # A step of Newton's on more points than the minimum was searched on.
        return covariance, population.estimate(theta - pulls[kept].mean(0) @ inverse) - truth

    # The inverse of a noisy matrix is too large on average, and so is the norm of a noisy bias.
    # The jackknife estimates by how much, and the standard error of the whole.
    whole, bias = distribution([*blocks])
    parts = [distribution([j for j in blocks if j != i]) for i in blocks]
    variances = torch.stack([covariance.trace() for covariance, _ in parts])
    norms = torch.stack([part.norm() for _, part in parts])
    square = _BLOCKS * bias.square().sum() - (_BLOCKS - 1) * norms.square().mean()
    covariance = _BLOCKS * whole - (_BLOCKS - 1) * sum(part for part, _ in parts) / _BLOCKS
    bias = bias * (square.clamp_min(0) / bias.square().sum().clamp_min(1e-300)).sqrt()
    errors = [math.sqrt(_BLOCKS - 1) * x.std(correction=0).item() for x in (variances, norms)]
    return Asymptote(covariance, bias, *errors)


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
        losses = (self.loss(1, piece, f"{purpose}, Hessian {i}") for i in range(count))
        return torch.stack([hessian(loss, theta)[0] for loss in losses]).mean(0)

    def slopes(self, theta: Tensor, size: int, purpose: str) -> tuple[Tensor, Tensor]:
        """Find covariance (p, p) and mean (p,) of the gradients of single points."""
        points, groups = max(1, size // _GROUPS), min(size, _GROUPS)
        rows = min(groups, max(1, CHUNK // max(self._numbers(points), theta.shape[1])))
        found = torch.cat(
            [
                self.loss(rows, points, f"{purpose}, slopes {i}")(theta.expand(rows, -1))[1]
                for i in range(math.ceil(groups / rows))
            ]
        )
        return points * torch.cov(found.T), found.mean(0)

    def estimate(self, theta: Tensor) -> Tensor:
        """Read the estimates off parameters (1, p), flat, shape (k,)."""
        self._coordinates.set(theta)
        return aligned(self.dataset, self._coordinates.energy).detach()[0]

    def change(self, theta: Tensor) -> Tensor:
        """Differentiate the estimates by the parameters, shape (k, p)."""
        here, steps = self.estimate(theta), _STEP * torch.eye(theta.shape[1]).to(theta)
        return torch.stack([self.estimate(theta + step) - here for step in steps], 1) / _STEP

    @cached_property
    def _coordinates(self) -> Loss:
        return self.loss(1, 2, "coordinates")

    def _numbers(self, size: int) -> int:
        """Count the numbers in the points at which a loss evaluates the energy."""
        return self.setting.points(size, self.ratio) * math.prod(self.dataset.event_shape)

    def _truth(self, replicates: int):
        energy = self.setting.make_energy(self.dataset, replicates)
        energy.assume(self.dataset.parameters)
        return energy
