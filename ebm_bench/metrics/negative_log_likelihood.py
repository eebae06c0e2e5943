"""Negative log-likelihood of held-out data."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.metrics.likelihood import Likelihood
from ebm_bench.metrics.points import in_chunks
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class NegativeLogLikelihood(Likelihood):
    """Average of ``E(x) + log Z`` over held-out data, in the units of the data.

    Where points were made from data of other units, the log-determinant of that map is included.
    The part ``gap``, for data of known entropy, estimates the divergence from the data: the excess
    over the mean of ``−log p(x)`` at the same points, which scatters far less than the excess over
    the entropy.

    Parameters
    ----------
    points : int
        Held-out points.
    chains, levels : int
        Chains and levels of annealed importance sampling, where the log-normaliser is estimated
        by it.
    best_start : bool
        Whether annealing starts at the base measure alone, not at the density of the data, where
        next to none of the mass of the model is found from the latter.
    """

    version = 2
    label = "NLL"

    def offset(self, dataset, x: Tensor) -> Tensor:
        """Log-determinant of the map from the data, with a minus, shape (R, N)."""
        return -dataset.log_det(x)

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Average over each replicate's held-out data."""
        result = super().__call__(model, dataset, streams)
        if "log_prob" in dataset.knows:
            x = dataset.sample(self.points, streams.child("data"), split=self.split)
            log_p = in_chunks(dataset.log_prob, x).double() + dataset.log_det(x)
            return {**result, "gap": result["value"] + log_p.mean(1)}
        if "entropy" in dataset.knows:
            return {**result, "gap": result["value"] - dataset.entropy()}
        return result
