"""Negative log-likelihood of held-out data."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.metrics.likelihood import Likelihood
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class NegativeLogLikelihood(Likelihood):
    """Average of ``E(x) + log Z`` over held-out data.

    The part ``gap`` is the excess over the entropy of the data, an estimate of the divergence.

    Parameters
    ----------
    points : int
        Held-out points.
    chains, levels : int
        Chains and levels of annealed importance sampling, where the log-normaliser is estimated
        by it.
    """

    version = 1
    requires = ("entropy",)
    label = "NLL"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average over each replicate's held-out data."""
        result = super().__call__(model, dataset, streams)
        return {**result, "gap": result["value"] - dataset.entropy()}
