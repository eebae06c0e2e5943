"""Energy of a mixture whose weights are trained."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ebm_bench.energies.base import Density
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ModeWeights(Density):
    """The dataset's own Gaussian modes, weighted: ``E(x) = −log Σₖ wₖ N(x; mₖ, s²I)``.

    Only the weights are trained, as the softmax of logits, and they start equal: what remains
    of learning a mixture when everything but the masses of its modes is known.
    """

    needs = ("modes",)

    def build(self, streams: Streams) -> None:
        """Do nothing, as the number of modes is known after `attach`."""

    def attach(self, dataset) -> None:
        """Take the modes and their width from the dataset."""
        self.modes: Tensor
        self.register_buffer("modes", dataset.modes.to(self.scale), persistent=False)
        self.sd = float(dataset.sd)
        self.logits = nn.Parameter(self.scale.new_zeros(self.replicates, len(dataset.modes)))

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, d), shape (R, B)."""
        squares = (x.unsqueeze(2) - self.modes).square().sum(3)
        constant = 0.5 * x.shape[2] * math.log(2 * math.pi * self.sd**2)
        log_weights = self.logits.log_softmax(1).unsqueeze(1)
        return constant - torch.logsumexp(log_weights - squares / (2 * self.sd**2), 2)
