"""Energy of a ring, or shell."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Ring(Energy):
    """Uniform direction and Gaussian radius: ``E(x) = ½ γ (|x| − r)² + (d − 1) log |x|``.

    The second term makes the distance from the origin Gaussian, cut off at 0. Fitted to data,
    radius and precision are moments of the distances: maximum likelihood as far as the cut-off
    does not matter.

    References
    ----------
    Ceylan and Gutmann, "Conditional noise-contrastive estimation of unnormalised models", ICML
    2018, arXiv:1806.03664.
    """

    normalised = True

    def build(self, streams: Streams) -> None:
        """Start at radius and precision 1."""
        self.radius = nn.Parameter(torch.ones(self.replicates, 1))
        self.log_precision = nn.Parameter(torch.zeros(self.replicates, 1))

    @property
    def estimate(self) -> dict[str, Tensor]:
        """``radius`` and ``precision`` of the distance from the origin, each (R,)."""
        return {"radius": self.radius[:, 0], "precision": self.log_precision[:, 0].exp()}

    @torch.no_grad()
    def assume(self, parameters: dict[str, Tensor]) -> None:
        """Take on a radius and a precision."""
        self.radius.copy_(parameters["radius"].view(-1, 1))
        self.log_precision.copy_(parameters["precision"].log().view(-1, 1))

    @property
    def log_z(self) -> Tensor:
        """Log-normaliser, shape (R,): the sphere's area times the cut-off Gaussian's integral."""
        half = math.prod(self.event_shape) / 2
        area = math.log(2) + half * math.log(math.pi) - math.lgamma(half)
        inside = torch.special.log_ndtr(self.radius * (0.5 * self.log_precision).exp())
        gaussian = 0.5 * (math.log(2 * math.pi) - self.log_precision) + inside
        return area + gaussian[:, 0]

    def fit(self, data: Tensor) -> None:
        """Set radius and precision to the moments of the distances from the origin."""
        super().fit(data)
        variance, mean = torch.var_mean(data.flatten(2).norm(dim=2), dim=1, correction=0)
        self.assume({"radius": mean, "precision": 1 / variance.clamp_min(1e-12)})

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        flat = x.flatten(2)
        distance = flat.norm(dim=2)
        deviation = distance - self.radius
        quadratic = 0.5 * self.log_precision.exp() * deviation.square()
        return quadratic + (flat.shape[2] - 1) * distance.log()
