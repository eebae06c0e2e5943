"""Fisher divergence from the smoothed truth, at many noise levels."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench import registry
from ebm_bench.derivatives import gradient
from ebm_bench.errors import InputError
from ebm_bench.metrics.base import Metric
from ebm_bench.metrics.points import average
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True)
class LevelFisherDivergence(Metric):
    """Mean squared distance of the score of ``E(x, t)`` from that of the data smoothed to level t.

    The mean over evenly spaced levels from the data on, without the end of the path; each is a
    part, ``level_0`` of the data themselves. An objective that smooths the data has them with its
    noise at that level, and is compared with these. Scores are largest near the data, and so are
    their errors. Levels between those at which an objective is trained count like these.

    Parameters
    ----------
    levels : int
        Number of levels, ``t = 0, 1/levels, …``.
    points : int
        Noised held-out points, the same ones at all levels but for their noise.

    References
    ----------
    Song and Ermon, "Generative modeling by estimating gradients of the data distribution", NeurIPS
    2019, arXiv:1907.05600, on the divergence at each level, which they weight by its variance.
    """

    levels: Annotated[int, Ge(1)] = 5
    points: Annotated[int, Ge(2)] = 2_000

    version = 1
    requires = ("smoothed_score", "levels")
    scale = "log"
    label = "Fisher divergence of levels"

    @torch.no_grad()
    def __call__(self, model, dataset, streams: Streams) -> dict[str, Tensor]:
        """Compare the scores of each replicate at each level, on exact samples of it."""
        energy, objective, embedding = model.energy, model.objective, model.levels
        if embedding is None:
            entries = registry.entries("objectives").items()
            valid = ", ".join(name for name, entry in entries if "levels" in entry.requires)
            raise InputError(
                f"{self.name} needs an energy that was trained at noise levels, E(x, t). "
                f"Valid objectives: {valid}"
            )
        x = dataset.sample(self.points, streams.child("data"), split=self.split)
        smoothing = objective.smoothing or 0.0
        x = x + smoothing * streams.child("smoothing").normal_like(x)
        noise = streams.child("noise").normal_like(x)

        def errors(t: Tensor) -> Tensor:
            points = embedding.noised(energy, x, t, noise)
            level = embedding.at(energy, t)
            variance = level.variance + (level.share * smoothing).square()
            truth = dataset.smoothed_score(points, energy.location, level.share, variance)
            return (truth + gradient(level, points)).flatten(2).square().sum(2)

        found = [errors(x.new_full((len(x), 1), i / self.levels)) for i in range(self.levels)]
        parts = {f"level_{i}": values.double().mean(1) for i, values in enumerate(found)}
        return {**average(torch.stack(found).mean(0)), **parts}
