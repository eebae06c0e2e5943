"""The true density as an energy."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ebm_bench.energies.base import Density
from ebm_bench.errors import InputError
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Truth(Density):
    """The dataset's own density: what a perfect model would score."""

    needs = ("log_prob",)

    def build(self, streams: Streams) -> None:
        """Leave open until `attach`."""
        self._dataset: Any = None

    def attach(self, dataset) -> None:
        """Take the density from the dataset."""
        if "log_prob" not in dataset.knows:
            raise InputError(
                "the energy 'truth' needs a dataset whose density is known; "
                "restrict the method to such datasets with 'datasets: [...]'"
            )
        self._dataset = dataset

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        return -self._dataset.log_prob(x)

    def sample(self, n: int, streams: Streams) -> Tensor:
        """Draw exact samples, shape (R, n, *event_shape)."""
        return self._dataset.sample(n, streams)
