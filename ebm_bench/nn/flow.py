"""Normalizing flows: densities that are sampled and evaluated by one pass of a network.

Vectors pass the stacked couplings of `ebm_bench.nn.coupling`, images a Glow of normflows' layers,
one per replicate. A flow maps standard normal ``z`` to standardised data ``u = (x − m) / s``
and knows its log-determinant both ways:
``log q(x) = log N(z; 0, I) − log |du/dz| − Σ log s``.
"""

import logging
import math
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal

import normflows as nf
import torch
from torch import Tensor, nn

from ebm_bench.errors import InputError
from ebm_bench.nn.coupling import LOG_SCALE_BOUND, VectorFlow
from ebm_bench.optim.adam import Optimiser
from ebm_bench.streams import Streams

log = logging.getLogger("ebm_bench")

Kind = Literal["spline", "affine"]

_COUPLINGS = {"spline": 3, "affine": 8}  # of vectors
_HIDDEN_CHANNELS = 24  # of the coupling networks of images
_LEVELS, _BLOCKS_PER_LEVEL = 2, 2
_CLIP = 1.0  # norm of the gradient of the likelihood per dimension
_INITIALISATION_POINTS = 512  # that activation norms start from
_LEAST_SCALE = 1e-4  # of a dimension, as a part of the overall scale


class Replicated(nn.Module):
    """One ordinary invertible module per replicate, called side by side.

    Every parameter carries the position of its replicate as the attribute ``replicate``.

    Parameters
    ----------
    factory : callable
        Makes the module of one replicate. Its ``forward`` and ``inverse`` map (B, ...) to
        points (B, ...) and their log-determinants (B,).
    streams : Streams
        Seeds the initial weights; as many modules are made as there are streams.
    """

    def __init__(self, factory: Callable[[], nn.Module], streams: Streams):
        super().__init__()
        self.members = nn.ModuleList()
        for r, seed in enumerate(streams.integers(2**62).tolist()):
            # Modules draw their initial weights from the global generator.
            with torch.random.fork_rng(devices=[]):
                torch.default_generator.manual_seed(seed)
                member = factory()
            for parameter in member.parameters():
                setattr(parameter, "replicate", r)  # noqa: B010  # no attribute of parameters
            self.members.append(member.to(streams.device))

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """Map each replicate's points, (R, B, ...); also the log-determinants, (R, B)."""
        return _stack(member(z_r) for member, z_r in zip(self.members, z, strict=True))

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Undo `forward`; also the log-determinants of doing so, (R, B)."""
        pairs = zip(self.members, x, strict=True)
        return _stack(_inverse(member, x_r) for member, x_r in pairs)

    def both(self, z: Tensor, x: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
        """Compute `forward` of ``z`` and `inverse` of ``x``."""
        return self(z), self.inverse(x)


def _stack(results: Iterable[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    points, log_dets = zip(*results, strict=True)
    return torch.stack(points), torch.stack(log_dets)


def _inverse(module: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    return module.inverse(x)


class FlowModel(nn.Module):
    """Normalizing flows for vectors or images, one per replicate.

    Vectors pass rational-quadratic spline couplings (Durkan et al., arXiv:1906.04032) or affine
    ones (Dinh et al., arXiv:1605.08803), images a Glow (Kingma and Dhariwal, arXiv:1807.03039).
    Every coupling network is smooth. So is the log-density of affine couplings and of the Glow;
    the score of splines jumps at their knots.

    Parameters
    ----------
    event_shape : tuple of int
        Shape of one point: ``(d,)`` with d ≥ 2, or ``(C, H, W)`` with H and W even.
    streams : Streams
        Source of the initial weights.
    kind : {"spline", "affine"}
        Couplings of vectors; those of images are always affine.

    Attributes
    ----------
    mean, scale : Tensor of shape (R, 1, *event_shape)
        Mean and scale of the data; see `fit_base`.

    Raises
    ------
    InputError
        Where no flow is known for the event shape.
    """

    def __init__(self, event_shape: Sequence[int], streams: Streams, kind: Kind = "spline"):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.replicates = streams.replicates
        shape = (self.replicates, 1, *self.event_shape)
        self.mean: Tensor
        self.scale: Tensor
        self.register_buffer("mean", torch.zeros(shape, device=streams.device))
        self.register_buffer("scale", torch.ones(shape, device=streams.device))
        self.flows: VectorFlow | Replicated = _make(self.event_shape, kind, streams)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""
        return self._density_of_data(*self.flows.inverse((x - self.mean) / self.scale))

    def sample_with_log_prob(self, n: int, streams: Streams) -> tuple[Tensor, Tensor]:
        """Draw points and their log-density in one pass.

        Parameters
        ----------
        n : int
            Points per replicate.
        streams : Streams
            Source of the latent noise.

        Returns
        -------
        x : Tensor of shape (R, n, *event_shape)
            Differentiable in the flow's parameters.
        log_q : Tensor of shape (R, n)
            Log-density in nats of the same points.
        """
        z = self._latents(n, streams)
        return self._density_of_samples(z, *self.flows(z))

    def sample_beside(self, x: Tensor, streams: Streams) -> tuple[Tensor, Tensor, Tensor]:
        """Draw as many points as are given, and compute the log-density of both, in one pass.

        Parameters
        ----------
        x : Tensor of shape (R, B, *event_shape)
            Data.
        streams : Streams
            Source of the latent noise.

        Returns
        -------
        points : Tensor of shape (R, B, *event_shape)
            Samples, differentiable in the flow's parameters.
        log_q_points, log_q_x : Tensor of shape (R, B)
            Log-density in nats of the samples and of the data.
        """
        z = self._latents(x.shape[1], streams)
        above, below = self.flows.both(z, (x - self.mean) / self.scale)
        return *self._density_of_samples(z, *above), self._density_of_data(*below)

    @torch.no_grad()
    def fit_base(self, data: Tensor) -> None:
        """Standardise by the data (R, N, *event_shape), and start activation norms on them."""
        self.mean, self.scale = standardisation(data)
        norms = [module for module in self.modules() if isinstance(module, _ActNorm)]
        for norm in norms:
            norm.data_dep_init_done.fill_(0.0)
            norm.starts = True
        self.log_prob(data[:, :_INITIALISATION_POINTS])
        for norm in norms:
            norm.starts = False

    def fit(
        self, data: Tensor, streams: Streams, steps: int, batch_size: int, learning_rate: float
    ) -> None:
        """Maximise the likelihood by Adam, its rate decaying to zero along a cosine.

        Parameters
        ----------
        data : Tensor of shape (R, N, *event_shape)
            Training data of each replicate.
        streams : Streams
            Source of the batches.
        steps, batch_size : int
            Number of updates, and points per replicate and update.
        learning_rate : float
            Initial learning rate.
        """
        self.fit_base(data)
        parameters = list(self.parameters())
        optimiser = Optimiser([parameters], self.replicates, learning_rate, _CLIP, steps)
        replicate = torch.arange(self.replicates, device=data.device)[:, None]
        for step in range(steps):
            batch = data[replicate, streams.integers(data.shape[1], batch_size)]
            loss = -self.log_prob(batch).mean(1) / math.prod(self.event_shape)
            optimiser.step(loss, step)
        if not optimiser.alive.all():
            log.warning("a flow diverged while it was fitted, and is used as it was before")

    def _latents(self, n: int, streams: Streams) -> Tensor:
        return streams.normal(n, math.prod(self.event_shape), dtype=self.mean.dtype)

    def _density_of_samples(self, z: Tensor, u: Tensor, log_det: Tensor) -> tuple[Tensor, Tensor]:
        log_q = standard_normal_log_prob(z) - log_det - self._log_scale
        return self.mean + self.scale * u, log_q

    def _density_of_data(self, z: Tensor, log_det: Tensor) -> Tensor:
        return standard_normal_log_prob(z) + log_det - self._log_scale

    @property
    def _log_scale(self) -> Tensor:
        return self.scale.log().flatten(1).sum(1, keepdim=True)


def standardisation(data: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and standard deviation of each dimension.

    Parameters
    ----------
    data : Tensor of shape (R, N, *event_shape)

    Returns
    -------
    mean, scale : Tensor of shape (R, 1, *event_shape)
        The scale of a constant dimension is a small part of the others', not zero.
    """
    scale, mean = torch.std_mean(data, dim=1, keepdim=True, correction=0)
    overall = scale.square().flatten(1).mean(1).sqrt().view(-1, *[1] * (data.ndim - 1))
    return mean, scale.maximum(_LEAST_SCALE * overall)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Log-density in nats of N(0, I) at vectors (R, B, d), shape (R, B)."""
    return -0.5 * (z.square() + math.log(2 * math.pi)).sum(2)


class _Chain(nn.Module):
    """Invertible layers, one after the other, from latent vectors (B, D) to events."""

    def __init__(self, layers: Sequence[nn.Module], latent_shape: tuple[int, ...]):
        super().__init__()
        self.layers = nn.ModuleList(layers)
        self.latent_shape = latent_shape

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        log_det = z.new_zeros(len(z))
        z = z.view(-1, *self.latent_shape)
        for layer in self.layers:
            z, step = layer(z)
            log_det = log_det + step
        return z, log_det

    def inverse(self, x: Tensor) -> tuple[Tensor, Tensor]:
        log_det = x.new_zeros(len(x))
        for layer in reversed(self.layers):
            x, step = _inverse(layer, x)
            log_det = log_det + step
        return x.flatten(1), log_det


class _ShiftAndScale(nn.Module):
    """Turns a network's output, channels (2C, ...), into interleaved shifts and log-scales."""

    def __init__(self, net: nn.Module):
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        shift, log_scale = self.net(x).chunk(2, dim=1)
        log_scale = LOG_SCALE_BOUND * torch.tanh(log_scale / LOG_SCALE_BOUND)
        return torch.stack([shift, log_scale], dim=2).flatten(1, 2)


class _ActNorm(nf.flows.ActNorm):
    """An activation norm that starts where it is told to: the flag for it may be on a GPU."""

    starts = False

    def forward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        return nf.flows.AffineConstFlow.forward(self, z)

    def inverse(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if self.starts:
            return super().inverse(z)
        return nf.flows.AffineConstFlow.inverse(self, z)


def _make(event_shape: tuple[int, ...], kind: Kind, streams: Streams) -> VectorFlow | Replicated:
    if len(event_shape) == 1 and event_shape[0] >= 2:
        return VectorFlow(event_shape[0], kind, _COUPLINGS[kind], streams)
    if len(event_shape) == 3 and event_shape[1] % 2 == event_shape[2] % 2 == 0:
        return Replicated(lambda: _image_flow(*event_shape), streams)
    raise InputError(
        f"no flow for points of shape {event_shape}: it takes vectors of at least two "
        "dimensions or images of even height and width; choose another noise or energy"
    )


def _image_flow(channels: int, height: int, width: int) -> _Chain:
    layers: list[nn.Module] = []
    shape = (channels, height, width)
    for _ in range(_LEVELS):
        if shape[1] % 2 or shape[2] % 2:
            break
        shape = (4 * shape[0], shape[1] // 2, shape[2] // 2)
        layers.append(nf.flows.Squeeze())
        for _ in range(_BLOCKS_PER_LEVEL):
            net = _convolutional((shape[0] + 1) // 2, 2 * (shape[0] // 2))
            layers += [
                _ActNorm((shape[0], 1, 1)),
                nf.flows.Invertible1x1Conv(shape[0], use_lu=False),
                nf.flows.AffineCouplingBlock(_ShiftAndScale(net)),
            ]
    # From data to latents above; normflows counts the other way.
    layers.reverse()
    return _Chain(layers, shape)


def _convolutional(inputs: int, outputs: int) -> nn.Sequential:
    h = _HIDDEN_CHANNELS
    last = nn.Conv2d(h, outputs, 3, padding=1)
    for parameter in last.parameters():
        nn.init.zeros_(parameter)  # an untrained coupling is the identity
    net = nn.Sequential(
        nn.Conv2d(inputs, h, 3, padding=1), nn.SiLU(), nn.Conv2d(h, h, 1), nn.SiLU(), last
    )
    # With channels last, convolutions of so few channels take about half the time.
    return net.to(memory_format=torch.channels_last)
