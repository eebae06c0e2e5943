"""Estimate the parameters of models whose true parameters are known.

With fixed random draws the loss of a whole dataset is a deterministic function, which a
quasi-Newton method minimises. The remaining error is that of the objective, not of its training.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench import datasets, energies, objectives
from ebm_bench.datasets.base import Dataset
from ebm_bench.errors import InputError
from ebm_bench.optim.bfgs import CONVERGED, hessian, inverse_where_positive, minimise
from ebm_bench.streams import Recording, Replay, Streams
from ebm_bench.suites.base import Named

# Numbers in the points of replicates that are estimated together, so that they fit into the cache.
CHUNK = 200_000


@dataclass(frozen=True)
class Setting:
    """A model with true parameters, and the objective that estimates them.

    Parameters
    ----------
    dataset, energy, objective : Named
        Registered names with settings.
    ratio_setting : str, optional
        Setting of the objective that is the ratio ν: noise samples, noisy copies or directions
        per data point.
    """

    dataset: Named
    energy: Named
    objective: Named
    ratio_setting: str | None = None

    def make_dataset(self) -> Dataset:
        """Make the dataset."""
        return datasets.create(self.dataset.name, **self.dataset.settings)

    def make_energy(self, dataset: Dataset, replicates: int):
        """Make the energy in float64 at its start, the same for every replicate."""
        shape = {"event_shape": dataset.event_shape, "replicates": replicates}
        streams = Streams(0, [0] * replicates, scope=("start",))
        name, settings = self.energy.name, self.energy.settings
        return energies.create(name, **shape, streams=streams, **settings).double()

    def make_objective(self, ratio: int):
        """Make the objective with a ratio."""
        vary = {self.ratio_setting: ratio} if self.ratio_setting else {}
        return objectives.create(self.objective.name, **{**self.objective.settings, **vary})

    def points(self, size: int, ratio: int) -> int:
        """Count the points at which a loss of ``size`` data points evaluates the energy."""
        return size * (1 + ratio) if self.ratio_setting else size


class _Once(torch.nn.Module):
    """A noise distribution that caches its first samples and densities."""

    def __init__(self, noise):
        super().__init__()
        self.noise, self._drawn, self._density = noise, None, None

    def sample_with_log_prob(self, n, streams):
        if self._drawn is None:
            self._drawn = self.noise.sample_with_log_prob(n, streams)
        return self._drawn

    def log_prob(self, x):
        if self._density is None:
            self._density = self.noise.log_prob(x)
        return self._density


class Loss:
    """An objective on given data with fixed random draws, as a function of flat parameters.

    Parameters
    ----------
    energy, objective : Energy, Objective
        Energy, and objective after `setup`.
    data : Tensor of shape (R, N, *event_shape)
        Full dataset of each replicate, used in every evaluation.
    streams : Streams
        Source of the draws.

    Attributes
    ----------
    used : Tensor of bool
        Which entries of all parameters in a row the energy or the objective depends on.
    """

    def __init__(self, energy, objective, data: Tensor, streams: Streams):
        self.energy, self.objective, self.data = energy, objective, data
        if hasattr(objective, "distribution"):
            objective.distribution = _Once(objective.distribution)
        self.parameters = [*energy.parameters(), *objective.parameters()]
        recording = Recording(streams)
        objective.loss_at(energy, data, recording)
        self.draws = recording.draws
        owned = len(list(energy.parameters()))
        with torch.enable_grad():
            total = energy(data).square().sum()
        touched = _flatten(self._differentiate(total, self.parameters[:owned]))
        rest = sum(p[0].numel() for p in self.parameters[owned:])
        own = torch.ones(rest, dtype=torch.bool)
        self.used = torch.cat([(touched != 0).any(0), own])

    @property
    def theta(self) -> Tensor:
        """The parameters, shape (R, p)."""
        return _flatten([p.detach() for p in self.parameters])[:, self.used]

    def set(self, theta: Tensor) -> None:
        """Write parameters (R, p) into the energy and the objective."""
        flat = _flatten([p.detach() for p in self.parameters])
        flat[:, self.used] = theta
        with torch.no_grad():
            sizes = [p[0].numel() for p in self.parameters]
            for parameter, values in zip(self.parameters, flat.split(sizes, 1), strict=True):
                parameter.copy_(values.view_as(parameter))

    def __call__(self, theta: Tensor) -> tuple[Tensor, Tensor]:
        """Losses (R,) and their gradients (R, p) at parameters (R, p)."""
        self.set(theta)
        loss = self.objective.loss_at(self.energy, self.data, Replay(self.draws))
        slopes = self._differentiate(loss.sum(), self.parameters)
        return loss.detach(), _flatten(slopes)[:, self.used]

    @staticmethod
    def _differentiate(total: Tensor, parameters) -> tuple[Tensor, ...]:
        return torch.autograd.grad(total, parameters, allow_unused=True, materialize_grads=True)


def _flatten(tensors) -> Tensor:
    return torch.cat([t.reshape(len(t), -1) for t in tensors], 1)


@dataclass
class Estimates:
    """Estimates from datasets of one size, with one ratio.

    Attributes
    ----------
    values : Tensor of shape (R, k)
        Flat estimates, each the nearest to the truth among equivalent ones.
    errors : Tensor of shape (R,)
        Squared Euclidean distance from the truth; infinite where there is no estimate.
    status : list of str
        As in `ebm_bench.optim.bfgs.Minimum`.
    evaluations : Tensor of int, shape (R,)
        Evaluations of the loss of the whole dataset.
    gradient : Tensor of shape (R,)
        Largest entry of the gradient at the end.
    """

    values: Tensor
    errors: Tensor
    status: list[str]
    evaluations: Tensor
    gradient: Tensor


def estimate(setting: Setting, size: int, ratio: int, streams: Streams) -> Estimates:
    """Estimate the parameters from data sets of one size, a replicate each.

    The minimisation of the first dataset starts at the energy's initial parameters, and that of
    the others at its minimum, with its Hessian there; or at the initial parameters, if it has no
    estimate. This is the same for all objectives, and does not depend on the truth.

    Parameters
    ----------
    setting : Setting
        Model and objective.
    size, ratio : int
        Number of data points N, and the ratio ν.
    streams : Streams
        Source of randomness; the same for all objectives, so that they get the same data.
    """
    ratio = ratio if setting.ratio_setting else 1
    dataset = setting.make_dataset()
    sought, found = dataset.parameters.keys(), setting.make_energy(dataset, 1).estimate.keys()
    if sought != found:
        raise InputError(
            f"{setting.dataset.name} has the parameters {', '.join(sought)}, and "
            f"{setting.energy.name} {', '.join(found)}: this energy cannot estimate them"
        )
    alone = Streams(streams.seed, [0], scope=streams.scope)
    pilot = _problem(setting, dataset, size, ratio, alone)
    end = minimise(pilot, pilot.theta)
    inverse, state = None, None
    if end.status == [CONVERGED]:
        inverse = inverse_where_positive(hessian(pilot, end.theta), end.inverse)
        pilot.set(end.theta)
        state = pilot.energy.state_dict()
    parts, status = [], list[str]()
    numbers = setting.points(size, ratio) * math.prod(dataset.event_shape)
    for rows in torch.arange(streams.replicates).split(max(1, CHUNK // numbers)):
        loss = _problem(setting, dataset, size, ratio, streams.select(rows.tolist()), state)
        near = None if inverse is None else inverse.expand(len(rows), -1, -1)
        found = minimise(loss, loss.theta, near)
        loss.set(found.theta)
        values = aligned(dataset, loss.energy).detach()
        ended = torch.tensor([s == CONVERGED for s in found.status])
        errors = torch.where(ended, distances(dataset, values), torch.inf)
        status += found.status
        parts.append((values, errors, found.evaluations, found.gradient))
    values, errors, evaluations, gradient = map(torch.cat, zip(*parts, strict=True))
    return Estimates(values, errors, status, evaluations, gradient)


def distances(dataset: Dataset, values: Tensor) -> Tensor:
    """Squared Euclidean distances of flat estimates (R, k) from the truth, shape (R,)."""
    return (values - flat_truth(dataset)).square().sum(1)


def flat_truth(dataset: Dataset) -> Tensor:
    """Put the true parameters in a row, shape (1, k)."""
    return _flatten([value.unsqueeze(0) for value in dataset.parameters.values()])


def aligned(dataset: Dataset, energy) -> Tensor:
    """Flat estimates of an energy, the nearest to the truth among equivalent ones, (R, k)."""
    return _flatten(list(dataset.align(energy.estimate).values()))


def _problem(
    setting: Setting, dataset: Dataset, size: int, ratio: int, streams: Streams, state=None
) -> Loss:
    """Set up the loss of the data sets of some replicates, at the state of another energy."""
    data = dataset.sample(size, streams.child("data", str(size))).double()
    energy = setting.make_energy(dataset, streams.replicates)
    if state:
        energy.load_state_dict({k: v.expand_as(energy.state_dict()[k]) for k, v in state.items()})
    draws = streams.child("draws", str(size), str(ratio))
    objective = setting.make_objective(ratio)
    objective.setup(energy, data, draws.child("fit"))
    return Loss(energy, objective, data, draws)
