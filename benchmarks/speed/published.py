"""The objectives as their papers' code computes them: plainly, by automatic differentiation."""

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid

from benchmarks.speed.contest import Contender
from benchmarks.speed.problem import Parts, Plain, Problem, adam, sequence


def published(problem: Problem) -> Callable[[torch.dtype, int], Contender]:
    """Train by torch's Adam, replicates one after another."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        parts = problem.build(dtype, batch)
        make = _LOSSES[problem.objective]
        return sequence([make(parts, r) for r in range(problem.replicates)])

    return build


def _exact(parts: Parts, replicate: int) -> Contender:
    """Hyvärinen (2005), with one double backward for each dimension."""
    net, x = Plain(parts.energy, replicate), parts.x[replicate]

    def loss() -> Tensor:
        point = x.detach().requires_grad_()
        gradient = _gradient(net, point).flatten(1)
        trace = torch.zeros_like(gradient[:, 0])
        for i in range(gradient.shape[1]):
            (row,) = torch.autograd.grad(gradient[:, i].sum(), point, create_graph=True)
            trace = trace + row.flatten(1)[:, i]
        return (0.5 * gradient.square().sum(1) - trace).mean()

    return adam(net, loss)


def _sliced(parts: Parts, replicate: int) -> Contender:
    """Song et al. (2019), one projection, both terms projected, by a double backward."""
    net, x = Plain(parts.energy, replicate), parts.x[replicate]
    generator = _generator(parts, replicate)

    def loss() -> Tensor:
        point = x.detach().requires_grad_()
        v = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        slope = (_gradient(net, point) * v).flatten(1).sum(1)
        (product,) = torch.autograd.grad(slope.sum(), point, create_graph=True)
        return (0.5 * slope.square() - (product * v).flatten(1).sum(1)).mean()

    return adam(net, loss)


def _denoising(parts: Parts, replicate: int) -> Contender:
    """Vincent (2011)."""
    net, x = Plain(parts.energy, replicate), parts.x[replicate]
    generator, sigma = _generator(parts, replicate), parts.objective.sigma

    def loss() -> Tensor:
        noise = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        noisy = (x + sigma * noise).requires_grad_()
        residual = _gradient(net, noisy) - noise / sigma
        return 0.5 * residual.flatten(1).square().sum(1).mean()

    return adam(net, loss)


def _noise_contrastive(parts: Parts, replicate: int) -> Contender:
    """Gutmann and Hyvärinen (2010), as much noise as data, of a diagonal Gaussian."""
    net, x = Plain(parts.energy, replicate), parts.x[replicate]
    generator = _generator(parts, replicate)
    mean = parts.objective.distribution.mean[replicate]
    deviation = parts.objective.distribution.scale[replicate]
    log_z = nn.Parameter(parts.objective.log_z[replicate].detach().clone())

    def log_noise(points: Tensor) -> Tensor:
        z = (points - mean) / deviation
        each = 0.5 * z.square() + 0.5 * math.log(2 * math.pi) + deviation.log()
        return -each.flatten(1).sum(1)

    def loss() -> Tensor:
        z = torch.randn(x.shape, generator=generator, dtype=x.dtype)
        noise = mean + deviation * z
        data_logit = -net(x) - log_z - log_noise(x)
        noise_logit = -net(noise) - log_z - log_noise(noise)
        return -logsigmoid(data_logit).mean() - logsigmoid(-noise_logit).mean()

    return adam(net, loss, [log_z])


_LOSSES = {
    "exact_score_matching": _exact,
    "sliced_score_matching": _sliced,
    "denoising_score_matching": _denoising,
    "noise_contrastive": _noise_contrastive,
}


def _gradient(net: nn.Module, x: Tensor) -> Tensor:
    return torch.autograd.grad(net(x).sum(), x, create_graph=True)[0]


def _generator(parts: Parts, replicate: int) -> torch.Generator:
    return torch.Generator(parts.x.device).manual_seed(replicate)
