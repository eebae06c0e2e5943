"""The objectives as their papers' code computes them: plainly, by automatic differentiation."""

import math
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from benchmarks.speed.contest import Builder, Contender
from benchmarks.speed.problem import Parts, Plain, Problem, adam, sequence

# Draws standard normal numbers in the shape of the batch.
Draw = Callable[[], Tensor]


def published(problem: Problem) -> Builder:
    """Train with torch's Adam, replicates one after another."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        parts = problem.build(dtype, batch)
        return sequence([_replicate(problem, parts, r) for r in range(problem.replicates)])

    return build


def _replicate(problem: Problem, parts: Parts, replicate: int) -> Contender:
    net, x = Plain(parts.energy, replicate), parts.x[replicate]
    generator = torch.Generator().manual_seed(replicate)
    draw = partial(torch.randn, x.shape, generator=generator, dtype=x.dtype)
    match problem.objective:
        case "exact_score_matching":
            return adam(net, lambda: _exact(net, x))
        case "sliced_score_matching":
            return adam(net, lambda: _sliced(net, x, draw))
        case "denoising_score_matching":
            return adam(net, lambda: _denoising(net, x, draw, parts.objective.sigma))
    log_z = nn.Parameter(parts.objective.log_z[replicate].detach().clone())
    fitted = parts.objective.distribution
    mean, deviation = fitted.mean[replicate], fitted.scale[replicate]
    loss = partial(_noise_contrastive, net, x, draw, log_z, mean, deviation)
    return adam(net, loss, [log_z])


def _exact(net: nn.Module, x: Tensor) -> Tensor:
    """Hyvärinen (2005), with one double backward pass per dimension."""
    point = x.detach().requires_grad_()
    gradient = _gradient(net, point).flatten(1)
    trace = torch.zeros_like(gradient[:, 0])
    for i in range(gradient.shape[1]):
        (row,) = torch.autograd.grad(gradient[:, i].sum(), point, create_graph=True)
        trace = trace + row.flatten(1)[:, i]
    return (0.5 * gradient.square().sum(1) - trace).mean()


def _sliced(net: nn.Module, x: Tensor, draw: Draw) -> Tensor:
    """Song et al. (2019), one projection of both terms, by a double backward pass."""
    point, v = x.detach().requires_grad_(), draw()
    slope = (_gradient(net, point) * v).flatten(1).sum(1)
    (product,) = torch.autograd.grad(slope.sum(), point, create_graph=True)
    return (0.5 * slope.square() - (product * v).flatten(1).sum(1)).mean()


def _denoising(net: nn.Module, x: Tensor, draw: Draw, sigma: float) -> Tensor:
    """Vincent (2011)."""
    noise = draw()
    residual = _gradient(net, (x + sigma * noise).requires_grad_()) - noise / sigma
    return 0.5 * residual.flatten(1).square().sum(1).mean()


def _noise_contrastive(
    net: nn.Module, x: Tensor, draw: Draw, log_z: Tensor, mean: Tensor, deviation: Tensor
) -> Tensor:
    """Gutmann and Hyvärinen (2010), with as much noise as data, from a diagonal Gaussian."""

    def logit(points: Tensor) -> Tensor:
        z = (points - mean) / deviation
        each = 0.5 * z.square() + 0.5 * math.log(2 * math.pi) + deviation.log()
        return -net(points) - log_z + each.flatten(1).sum(1)

    noise = mean + deviation * draw()
    return -logsigmoid(logit(x)).mean() - logsigmoid(-logit(noise)).mean()


def _gradient(net: nn.Module, x: Tensor) -> Tensor:
    return torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]
