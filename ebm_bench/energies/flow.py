"""Energy of a normalizing flow."""

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from ebm_bench.energies.base import Density
from ebm_bench.nn.flow import FlowModel
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Flow(Density):
    """Negative log-density of a normalizing flow, ``E(x) = −log q(x)``, whose log Z is 0.

    Parameters
    ----------
    kind : {"spline", "affine"}
        Couplings of the flow of vectors; images have a Glow. Splines fit better, but their
        score jumps at the knots: score matching needs affine couplings.

    References
    ----------
    Durkan et al., "Neural spline flows", 2019, arXiv:1906.04032. Dinh, Sohl-Dickstein and Bengio,
    "Density estimation using Real NVP", 2017, arXiv:1605.08803. Kingma and Dhariwal, "Glow", 2018,
    arXiv:1807.03039.
    """

    rough = {"kind": ("spline",)}  # noqa: RUF012
    rough_for = ("toy",)  # images have a Glow

    kind: Literal["spline", "affine"] = "spline"

    def build(self, streams: Streams) -> None:
        """Start at the standard normal density."""
        self.flow = FlowModel(self.event_shape, streams, self.kind)

    def fit(self, data: Tensor) -> None:
        """Standardise by the data, (R, N, *event_shape)."""
        super().fit(data)
        self.flow.fit_base(data)

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        return -self.flow.log_prob(x)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw exact samples, shape (R, n, *event_shape)."""
        with torch.no_grad():
            return self.flow.sample_with_log_prob(n, streams)[0]
