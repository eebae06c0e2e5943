"""Flow-contrastive estimation in the plane: the step of this project, and one with normflows.

The published algorithm alternates updates of the energy and the flow. Each draws samples,
evaluates the density of samples and data under the flow in separate passes, and backpropagates.
"""

from collections.abc import Callable

import normflows as nf
import torch
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
from torch import Tensor, nn
from torch.nn.functional import softplus

from benchmarks.speed.contest import Builder, Contender
from benchmarks.speed.problem import LEARNING_RATE, Parts, Plain, eager, vector
from ebm_bench import energies, objectives
from ebm_bench.nn.coupling import BINS, HIDDEN, LOG_SCALE_BOUND, TAIL_BOUND, UNIT_SLOPE, VectorFlow
from ebm_bench.streams import Streams

COUPLINGS = {"affine": 8, "spline": 4}


def _build(kind: str, dtype: torch.dtype, batch: int) -> tuple[Parts, VectorFlow]:
    """Create the energy, and the objective with an untrained flow."""
    streams = Streams(0, 1, scope=("speed",))
    x = streams.normal(batch, 2, dtype=dtype)
    weights = streams.child("weights")
    energy = energies.create("mlp", event_shape=(2,), streams=weights).to(dtype)
    objective = objectives.create("flow_contrastive", noise_settings={"kind": kind})
    objective.build(energy)
    flow = VectorFlow(2, kind, COUPLINGS[kind], weights)
    # Untrained couplings are the identity, which would hide mistakes.
    nn.init.trunc_normal_(flow.weights[2], std=0.02, generator=torch.Generator())
    objective.distribution.flow.flows = flow
    objective.distribution.requires_grad_(True)
    return Parts(energy, objective.to(dtype), x, streams.child("steps")), flow


def ours(kind: str) -> Builder:
    """Update energy and flow by one backward pass; ``kind`` of the couplings: affine, spline."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        parts, flow = _build(kind, dtype, batch)

        def values() -> list[Tensor]:
            loss, energy = parts.loss(), list(parts.energy.parameters())
            gradients = torch.autograd.grad(loss.sum(), [*energy, *flow.parameters()])
            return [*parts.values(loss, gradients), vector(gradients[len(energy) :])]

        return Contender(eager(parts).step, values)

    return build


def published(kind: str, stock: bool = False) -> Builder:
    """Update the energy and then the flow with normflows, as Gao et al. (CVPR 2020) do.

    Parameters
    ----------
    kind : {"affine", "spline"}
        Kind of the couplings.
    stock : bool
        Whether to use the complete spline layers of normflows, with residual networks of two
        blocks. These cannot take our weights, so their values are not compared.
    """

    def build(dtype: torch.dtype, batch: int) -> Contender:
        parts, copied = _build(kind, dtype, batch)
        x, net = parts.x[0], Plain(parts.energy)
        log_z = nn.Parameter(x.new_zeros(()))
        flow = _flow(copied, _stock if stock else {"affine": _affine, "spline": _spline}[kind])
        flow.to(dtype)
        optimisers = [
            torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
            for parameters in ([*net.parameters(), log_z], flow.parameters())
        ]

        def loss(through_flow: bool) -> Tensor:
            with torch.set_grad_enabled(through_flow):
                samples, _ = flow.sample(batch)
                log_q = [flow.log_prob(points) for points in (x, samples)]
            data, noise = -net(x) - log_z - log_q[0], -net(samples) - log_z - log_q[1]
            return softplus(-data).mean() + softplus(noise).mean()

        def step() -> None:
            for optimiser, sign in zip(optimisers, (1, -1), strict=True):
                optimiser.zero_grad()
                (sign * loss(through_flow=sign < 0)).backward()
                optimiser.step()

        def values() -> list[Tensor]:
            value = loss(through_flow=True)
            energy = torch.autograd.grad(value, list(net.parameters()), retain_graph=True)
            found = torch.autograd.grad(-value, list(flow.parameters()))
            # In our order: three weights, each stacked over the couplings, then three biases.
            stacked = [torch.stack([g.mT for g in found[i::6]]) for i in (0, 2, 4)]
            stacked += [torch.stack(found[i::6]) for i in (1, 3, 5)]
            return [value.detach().view(1), vector(energy), vector(stacked)]

        return Contender(step) if stock else Contender(step, values)

    return build


def _flow(copied: VectorFlow, make: Callable) -> nf.NormalizingFlow:
    """Create a flow of normflows from the weights of ours."""
    layers: list[nn.Module] = []
    for i in range(copied.weights[0].shape[1]):
        weights, biases = ([p[0, i] for p in group] for group in (copied.weights, copied.biases))
        layers += [make(weights, biases), nf.flows.Permute(2, mode="swap")]
    return nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=False), layers)


class _Network(nn.Sequential):
    hidden_features = 1  # normflows divides some outputs by its square root.

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        return super().forward(x)


def _network(weights: list[Tensor], biases: list[Tensor]) -> _Network:
    layers: list[nn.Module] = []
    for weight, bias in zip(weights, biases, strict=True):
        linear = nn.Linear(weight.shape[0], weight.shape[1], dtype=weight.dtype)
        linear.weight.data.copy_(weight.mT)
        linear.bias.data.copy_(bias.squeeze(0))
        layers += [linear, nn.SiLU()]
    return _Network(*layers[:-1])


class _Bounded(nn.Module):
    """Bounds the scales of an affine coupling."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        shift, log_scale = self.net(x).chunk(2, dim=1)
        log_scale = LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)
        return torch.cat([shift, log_scale], dim=1)


def _affine(weights: list[Tensor], biases: list[Tensor]) -> nn.Module:
    return nf.flows.AffineCouplingBlock(_Bounded(_network(weights, biases)))


class _SplineCoupling(nn.Module):
    """The spline of normflows, in the direction of its flows."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.coupling = PiecewiseRationalQuadraticCoupling(
            torch.tensor([0, 1]), lambda _, __: net, BINS, "linear", TAIL_BOUND
        )

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return self.coupling.inverse(z)

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.coupling(x)


def _spline(weights: list[Tensor], biases: list[Tensor]) -> nn.Module:
    # Ours shifts the slopes so that an untrained spline is the identity.
    shift = torch.zeros_like(biases[2])
    shift[:, 2 * BINS :] = UNIT_SLOPE
    return _SplineCoupling(_network(weights, [*biases[:2], biases[2] + shift]))


def _stock(_weights: list[Tensor], _biases: list[Tensor]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # Its weights come from the global generator.
        return nf.flows.CoupledRationalQuadraticSpline(2, 2, HIDDEN, tail_bound=TAIL_BOUND)
