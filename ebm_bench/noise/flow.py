"""Noise from a normalizing flow."""

from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge, Gt
from torch import Tensor

from ebm_bench.nn.flow import FlowModel
from ebm_bench.noise.base import Noise
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Flow(Noise):
    """Normalizing flow fitted by maximum likelihood.

    Parameters
    ----------
    kind : {"spline", "affine"}
        Couplings of the flow of vectors; images have a Glow.
    steps : int
        Number of updates of the fit.
    batch_size : int
        Points per replicate and update.
    learning_rate : float
        Initial learning rate; it decays along a cosine.

    References
    ----------
    Durkan et al., "Neural spline flows", 2019, arXiv:1906.04032. Kingma and Dhariwal, "Glow:
    generative flow with invertible 1x1 convolutions", 2018, arXiv:1807.03039.
    """

    kind: Literal["spline", "affine"] = "spline"
    steps: Annotated[int, Ge(1)] = 1000
    batch_size: Annotated[int, Ge(2)] = 256
    learning_rate: Annotated[float, Gt(0)] = 5e-3

    def build(self) -> None:
        """Start at the standard normal density."""
        self._renew(Streams(seed=0, replicates=self.replicates))

    def fit(self, data: Tensor, streams: Streams) -> None:
        """Maximise the likelihood of the data, (R, N, *event_shape), from fresh weights."""
        self._renew(streams.child("weights"))
        self.flow.to(data).requires_grad_(True)
        with torch.enable_grad():
            batches = streams.child("batches")
            self.flow.fit(data, batches, self.steps, self.batch_size, self.learning_rate)
        self.flow.requires_grad_(False)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw points, shape (R, n, *event_shape)."""
        return self.sample_with_log_prob(n, streams)[0].detach()

    def sample_with_log_prob(self, n: int, streams: Streams) -> tuple[Tensor, Tensor]:
        """Draw points and their log-density in one pass, differentiable in the flow."""
        return self.flow.sample_with_log_prob(n, streams)

    def log_prob(self, x: Tensor) -> Tensor:
        """Log-density in nats of points (R, B, *event_shape), shape (R, B)."""
        return self.flow.log_prob(x)

    def _renew(self, streams: Streams) -> None:
        self.flow = FlowModel(self.event_shape, streams, self.kind).requires_grad_(False)
