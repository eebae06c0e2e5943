"""Steps of flow-contrastive estimation in the plane: this project's, and with normflows.

The published way keeps two players apart: each update draws samples, evaluates the flow's
density of the samples and of the data in passes of their own, and goes backward.
"""

from collections.abc import Iterable

import normflows as nf
import torch
from normflows.flows.neural_spline.coupling import PiecewiseRationalQuadraticCoupling
from torch import Tensor, nn
from torch.nn.functional import softplus

from ebm_bench import energies, objectives
from ebm_bench.nn.coupling import BINS, HIDDEN, LOG_SCALE_BOUND, TAIL_BOUND, UNIT_SLOPE, VectorFlow
from ebm_bench.nn.layers import Dense
from ebm_bench.optim.adam import Optimiser
from ebm_bench.streams import Replay, Streams

COUNTS = {"affine": 8, "spline": 4}  # couplings
# So small that the weights stay where they are however often a step is repeated.
LEARNING_RATE = 1e-7


class Ours:
    """A step of this project: one sweep, one backward pass for both players.

    Parameters
    ----------
    kind : {"affine", "spline"}
        Of the couplings.
    batch : int
        Points of data, and of samples.
    dtype : torch.dtype
        Of weights and points.
    """

    def __init__(self, kind: str, batch: int, dtype: torch.dtype):
        streams = Streams(0, 1, scope=("speed",))
        self.streams = streams.child("steps")
        self.x = streams.normal(batch, 2, dtype=dtype)
        weights = streams.child("weights")
        self.energy = energies.create("mlp", event_shape=(2,), streams=weights).to(dtype)
        self.objective = objectives.create("flow_contrastive", noise_settings={"kind": kind})
        self.objective.build(self.energy)
        flow = VectorFlow(2, kind, COUNTS[kind], weights)
        # An untrained coupling is the identity, which would hide mistakes.
        nn.init.trunc_normal_(flow.weights[2], std=0.02, generator=torch.Generator())
        self.objective.distribution.flow.flows = self.flow = flow
        self.objective.distribution.requires_grad_(True)
        self.objective.to(dtype)
        self.players = [self.energy, *self.objective.children()]
        self.optimiser = Optimiser(
            [list(p.parameters()) for p in self.players], 1, LEARNING_RATE, clip=10.0, steps=10**6
        )

    def __call__(self) -> None:
        """Take a step of both players."""
        loss = self.objective.loss(self.energy, self.x, self.streams)
        self.optimiser.step(loss, 0)

    def values(self, z: Tensor) -> list[Tensor]:
        """Loss, gradient of the energy's and the flow's, for latent vectors (B, 2)."""
        loss = self.objective.loss(self.energy, self.x, Replay([z[None]]))
        found = [loss.detach().squeeze(0)]
        for player in (self.energy, self.flow):
            gradients = torch.autograd.grad(loss.sum(), player.parameters(), retain_graph=True)
            found.append(_vector(gradients))
        return found


class Published:
    """Two updates with normflows, as Gao et al. (2020) alternate them.

    Parameters
    ----------
    kind, batch, dtype
        As for `Ours`, whose weights are copied.
    stock : bool
        Whether the spline couplings are normflows' own whole layers, with residual networks
        of two blocks, which can take no weights of ours; else its spline with our network.
    """

    def __init__(self, kind: str, batch: int, dtype: torch.dtype, stock: bool = False):
        ours = Ours(kind, batch, dtype)
        self.x = ours.x[0]
        dense = [layer for layer in ours.energy.layers if isinstance(layer, Dense)]
        self.energy = _network([layer.weight[0] for layer in dense], [d.bias[0] for d in dense])
        self.log_z = nn.Parameter(self.x.new_zeros(()))
        make = _stock if stock else {"affine": _affine, "spline": _spline}[kind]
        layers: list[nn.Module] = []
        for i in range(COUNTS[kind]):
            weights, biases = ([p[0, i] for p in g] for g in (ours.flow.weights, ours.flow.biases))
            layers += [make(weights, biases), nf.flows.Permute(2, mode="swap")]
        self.flow = nf.NormalizingFlow(nf.distributions.DiagGaussian(2, trainable=False), layers)
        self.flow.to(dtype)
        self.optimisers = [
            torch.optim.Adam(parameters, lr=LEARNING_RATE, fused=True)
            for parameters in ([*self.energy.parameters(), self.log_z], self.flow.parameters())
        ]

    def __call__(self) -> None:
        """Update the energy, then the flow."""
        with torch.no_grad():
            samples, _ = self.flow.sample(len(self.x))
            densities = [self.flow.log_prob(points) for points in (self.x, samples)]
        self._update(0, self._loss(samples, *densities))
        samples, _ = self.flow.sample(len(self.x))
        densities = [self.flow.log_prob(points) for points in (self.x, samples)]
        self._update(1, -self._loss(samples, *densities))

    def values(self, z: Tensor) -> list[Tensor]:
        """Loss, gradient of the energy's and of the flow's, for latent vectors (B, 2)."""
        samples, _ = self.flow.forward_and_log_det(z)
        densities = [self.flow.log_prob(points) for points in (self.x, samples)]
        loss = self._loss(samples, *densities)
        energy = torch.autograd.grad(loss, self.energy.parameters(), retain_graph=True)
        flow = torch.autograd.grad(-loss, self.flow.parameters())
        # As ours are stacked: first the three weights of all couplings, then their biases.
        stacked = [torch.stack([g.mT for g in flow[i::6]]) for i in (0, 2, 4)]
        stacked += [torch.stack(flow[i::6]) for i in (1, 3, 5)]
        return [loss.detach(), _vector(g.mT if g.ndim > 1 else g for g in energy), _vector(stacked)]

    def _loss(self, samples: Tensor, log_q_x: Tensor, log_q_samples: Tensor) -> Tensor:
        data, noise = self._logit(self.x, log_q_x), self._logit(samples, log_q_samples)
        return softplus(-data).mean() + softplus(noise).mean()

    def _logit(self, points: Tensor, log_q: Tensor) -> Tensor:
        base = 0.5 * points.square().sum(1)
        return -self.energy(points).squeeze(1) - base - self.log_z - log_q

    def _update(self, player: int, loss: Tensor) -> None:
        self.optimisers[player].zero_grad()
        loss.backward()
        self.optimisers[player].step()


def ours(kind: str, batch: int = 512, dtype: torch.dtype = torch.float32) -> Ours:
    """Make a step of this project: call it to take it. Arguments as for `Ours`."""
    return Ours(kind, batch, dtype)


def published(
    kind: str, batch: int = 512, dtype: torch.dtype = torch.float32, stock: bool = False
) -> Published:
    """Make a step with normflows: call it to take it. Arguments as for `Published`."""
    return Published(kind, batch, dtype, stock)


def difference(kind: str, batch: int = 64) -> float:
    """Largest difference between ours and the published way, in double precision.

    Of the loss and of each player's gradient, relative to its largest entry, for the same
    weights, data and samples.
    """
    z = Streams(0, 1, scope=("check",)).normal(batch, 2, dtype=torch.float64)[0]
    both = (make(kind, batch, torch.float64).values(z) for make in (ours, published))
    pairs = zip(*both, strict=True)
    return max(((a - b).abs().max() / b.abs().max()).item() for a, b in pairs)


class _Network(nn.Sequential):
    hidden_features = 1  # normflows divides some outputs by its root

    def forward(self, x: Tensor, context: None = None) -> Tensor:
        return super().forward(x)


def _network(weights: list[Tensor], biases: list[Tensor]) -> _Network:
    layers: list[nn.Module] = []
    for weight, bias in zip(weights, biases, strict=True):
        linear = nn.Linear(*weight.shape, dtype=weight.dtype)
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
    """normflows' spline, in the direction in which its flows are written."""

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
    # Ours adds to the slopes what makes an untrained spline the identity.
    shift = torch.zeros_like(biases[2])
    shift[:, 2 * BINS :] = UNIT_SLOPE
    return _SplineCoupling(_network(weights, [*biases[:2], biases[2] + shift]))


def _stock(_weights: list[Tensor], _biases: list[Tensor]) -> nn.Module:
    with torch.random.fork_rng(devices=[]):  # It draws its weights from the global generator.
        return nf.flows.CoupledRationalQuadraticSpline(2, 2, HIDDEN, tail_bound=TAIL_BOUND)


def _vector(tensors: Iterable[Tensor]) -> Tensor:
    return torch.cat([t.detach().flatten() for t in tensors])
