"""Training steps of this project, and the same network in the layers of torch."""

import itertools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor, nn

from benchmarks.speed.contest import Builder, Contender
from ebm_bench import datasets, energies, objectives
from ebm_bench.nn.layers import Activation, Convolution, Dense, Flatten
from ebm_bench.optim.adam import Optimiser
from ebm_bench.runs.compilation import CompiledLoss
from ebm_bench.streams import Streams

# So small that repeated steps hardly change the weights.
LEARNING_RATE = 1e-7


@dataclass(frozen=True)
class Problem:
    """An objective and an energy, shared by all contenders of a row.

    Attributes
    ----------
    objective, energy : str
        Registered names.
    event_shape : tuple of int
        Shape of a data point.
    settings, energy_settings : mapping
        Settings of the objective and of the energy.
    replicates : int
        Number of models trained in parallel.
    """

    objective: str
    energy: str
    event_shape: tuple[int, ...]
    settings: Mapping[str, Any] = field(default_factory=dict)
    energy_settings: Mapping[str, Any] = field(default_factory=dict)
    replicates: int = 1

    def build(self, dtype: torch.dtype, batch: int) -> "Parts":
        """Create energy and objective, fitted to a batch of standardised noise."""
        streams = Streams(0, self.replicates, scope=("speed",))
        x = streams.normal(batch, *self.event_shape, dtype=torch.float64)
        deviation, mean = torch.std_mean(x, dim=1, keepdim=True, correction=0)
        x = ((x - mean) / deviation).to(dtype)
        energy = energies.create(
            self.energy,
            event_shape=self.event_shape,
            replicates=self.replicates,
            streams=streams.child("weights"),
            **self.energy_settings,
        ).to(dtype)
        energy.fit(x)
        objective = objectives.create(self.objective, **self.settings)
        if self.event_shape == (2,):
            objective.attach(datasets.create("gaussian", dimension=2))  # its box
        objective.setup(energy, x, streams.child("fit"))
        return Parts(energy, objective.to(dtype), x, streams.child("steps"))


@dataclass(frozen=True)
class Parts:
    """Energy, objective, batch and random streams of a problem, before the first step.

    Attributes
    ----------
    energy, objective : Any
        Modules created by name; contenders use what their own kind of objective has.
    x : Tensor of shape (R, B, *event_shape)
        Batch of every step, standardised, so that the fitted Gaussian is the standard normal.
    """

    energy: Any
    objective: Any
    x: Tensor
    streams: Streams

    def loss(self) -> Tensor:
        """Loss of the batch with new random numbers, shape (R,)."""
        return self.objective.loss_at(self.energy, self.x, self.streams)

    @property
    def optimiser(self) -> Optimiser:
        """A new optimiser of all trained parameters."""
        parts = (self.energy, *self.objective.children())
        groups = [[p for p in part.parameters() if p.requires_grad] for part in parts]
        return Optimiser(groups, self.energy.replicates, LEARNING_RATE, clip=10.0, steps=1_000_000)

    def values(self, loss: Tensor, gradients: Iterable[Tensor]) -> list[Tensor]:
        """Losses and gradients in the layout of torch's layers, for comparison.

        Gradients with respect to the parameters of the energy come first; the others are left
        out.
        """
        own = list(gradients)[: len(list(self.energy.parameters()))]
        arranged = [arrange(self.energy, own, r) for r in range(len(loss))]
        return [loss.detach(), vector(g for row in arranged for g in row)]


class Plain(nn.Module):
    """A replicate of a network energy in the layers of torch, (B, *event_shape) to (B,).

    Parameters
    ----------
    energy : Network
        Energy whose weights are copied.
    replicate : int
        Index of the replicate.
    """

    location: Tensor
    scale: Tensor

    def __init__(self, energy: Any, replicate: int = 0):
        super().__init__()
        self.net = nn.Sequential(*(_LAYERS[type(layer)](layer) for layer in energy.layers))
        self.to(energy.scale.dtype)
        self.register_buffer("location", energy.location[replicate].clone())
        self.register_buffer("scale", energy.scale[replicate].clone())
        with torch.no_grad():
            copied = arrange(energy, energy.parameters(), replicate)
            for target, source in zip(self.parameters(), copied, strict=True):
                target.copy_(source.view_as(target))

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats."""
        u = (x - self.location) / self.scale
        return self.net(u).squeeze(1) + 0.5 * u.flatten(1).square().sum(1)


def ours(problem: Problem) -> Builder:
    """Train as `ebm_bench.runs.training` does."""
    return lambda dtype, batch: eager(problem.build(dtype, batch))


def eager(parts: Parts) -> Contender:
    """Train without compilation."""
    optimiser, steps = parts.optimiser, itertools.count()

    def values() -> list[Tensor]:
        loss = parts.loss()
        return parts.values(loss, _gradients(loss.sum(), optimiser.parameters))

    return Contender(lambda: optimiser.step(parts.loss(), next(steps)), values)


def compiled(problem: Problem) -> Builder:
    """Train as `ebm_bench.runs.training` does when it compiles the loss."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        parts = problem.build(dtype, batch)
        optimiser = parts.optimiser
        differentiate = CompiledLoss(
            parts.objective, parts.energy, parts.streams, parts.x, optimiser.parameters
        )

        def values() -> list[Tensor]:
            gradients, loss = differentiate(parts.x)
            return parts.values(loss, gradients)

        def step() -> None:
            gradients, loss = differentiate(parts.x)
            optimiser.update(tuple(gradients), torch.isfinite(loss), 0)

        return Contender(step, values, eager(parts).step)

    return build


def one_by_one(problem: Problem) -> Builder:
    """Train the same replicates with this project, one after another."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        stacked = problem.build(dtype, batch)
        single = replace(problem, replicates=1)
        return sequence([eager(_alone(single, stacked, r)) for r in range(problem.replicates)])

    return build


def plain(problem: Problem) -> Builder:
    """Forward, backward and Adam of the energy alone: the unit of cost."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        parts = problem.build(dtype, batch)
        net = Plain(parts.energy)
        # There is no objective whose values could be compared.
        return Contender(adam(net, lambda: net(parts.x[0]).mean()).step)

    return build


def adam(
    net: nn.Module, loss: Callable[[], Tensor], extra: Iterable[nn.Parameter] = ()
) -> Contender:
    """Train a network with torch's fused Adam.

    Parameters
    ----------
    net : Plain
        Network whose gradients are compared.
    loss : callable
        Loss of the batch, a scalar.
    extra : iterable of Parameter
        Further parameters to train.
    """
    parameters = list(net.parameters())
    optimiser = torch.optim.Adam([*parameters, *extra], lr=LEARNING_RATE, fused=True)

    def values() -> list[Tensor]:
        value = loss()
        return [value.detach().view(1), vector(_gradients(value, parameters))]

    def step() -> None:
        optimiser.zero_grad()
        loss().backward()
        optimiser.step()

    return Contender(step, values)


def repeated(build: Builder, times: int) -> Builder:
    """Take several steps as one."""
    return lambda dtype, batch: sequence([build(dtype, batch)] * times)


def sequence(contenders: list[Contender]) -> Contender:
    """Train several models one after another."""

    def step() -> None:
        for contender in contenders:
            contender.step()

    def values() -> list[Tensor]:
        found = [contender.values() for contender in contenders]
        return [torch.cat(column) for column in zip(*found, strict=True)]

    return Contender(step, values)


def arrange(energy: Any, tensors: Iterable[Tensor], replicate: int) -> list[Tensor]:
    """Parameters of a network, or their gradients, in the layout of torch's layers."""
    dense = {id(layer.weight) for layer in energy.layers if isinstance(layer, Dense)}
    return [
        tensor[replicate].mT if id(parameter) in dense else tensor[replicate]
        for parameter, tensor in zip(energy.parameters(), tensors, strict=True)
    ]


def vector(tensors: Iterable[Tensor]) -> Tensor:
    """Concatenate tensors into a vector."""
    return torch.cat([tensor.detach().flatten() for tensor in tensors])


def _gradients(loss: Tensor, parameters: list[nn.Parameter]) -> tuple[Tensor, ...]:
    return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)


def _alone(single: Problem, stacked: Parts, replicate: int) -> Parts:
    """Extract one replicate of a stacked problem."""
    x = stacked.x[[replicate]]
    parts = single.build(x.dtype, x.shape[1])
    for own, source in ((parts.energy, stacked.energy), (parts.objective, stacked.objective)):
        own.load_state_dict({key: value[[replicate]] for key, value in source.state_dict().items()})
    return replace(parts, x=x, streams=stacked.streams.select([replicate]))


_LAYERS: dict[type, Callable[[Any], nn.Module]] = {
    Dense: lambda layer: nn.Linear(*layer.weight.shape[1:]),
    Convolution: lambda layer: nn.Conv2d(
        layer.weight.shape[2], layer.weight.shape[1], layer.kernel, layer.stride, layer.padding
    ),
    Flatten: lambda layer: nn.Flatten(),
    Activation: lambda layer: nn.SiLU(),  # the default of the energies
}
