"""Kullback–Leibler divergence from the truth, by sampling."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.metrics.likelihood import Likelihood
from ebm_bench.metrics.points import in_chunks
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class SampledKlDivergence(Likelihood):
    """Divergence of a model from the data, ``KL(data ‖ model)``, as an average over data.

    The average of ``log p(x) + E(x) + log Z``, in any dimension, where `kl_divergence` needs the
    plane. An unbiased estimate of a divergence near zero may be negative.

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
    requires = ("log_prob",)
    scale = "log"
    label = "KL"

    def offset(self, dataset, x: Tensor) -> Tensor:
        """Log-density of the data at points (R, N, *event_shape), shape (R, N)."""
        return in_chunks(dataset.log_prob, x)
