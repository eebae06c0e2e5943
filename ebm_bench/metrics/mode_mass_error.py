"""Error of the masses of modes."""

from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import in_chunks
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class ModeMassError(Metric):
    """Total variation between the masses that truth and model give to each mode.

    Each point belongs to one mode, in the plane to the nearest; 0 is best and 1 worst. Scores
    hardly depend on these masses.

    References
    ----------
    Wenliang and Kanagawa, "Blindness of score-based methods to isolated components and mixing
    proportions", 2020, arXiv:2008.10087.
    """

    version = 1
    requires = ("modes", "log_prob", "grid")
    scale = "log"
    label = "mode mass error"

    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the masses of each replicate."""
        grid = model.grid
        with torch.no_grad():
            truth = in_chunks(dataset.log_prob, grid.points[None]).double().softmax(1)
        mode = in_chunks(dataset.mode_of, grid.points[None])[0]
        excess = grid.probabilities() - truth
        empty = excess.new_zeros(len(excess), len(dataset.mode_weights))
        by_mode = empty.index_add(1, mode, excess)
        return {"value": 0.5 * by_mode.abs().sum(1), "converged": grid.converged.double()}
