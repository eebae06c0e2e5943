"""The objectives as other libraries compute them, on the same network.

A library is imported when one of its contenders is built; `contest.is_missing` checks first.
"""

import torch
from torch import Tensor, nn

from benchmarks.speed.contest import Builder, Contender
from benchmarks.speed.problem import Plain, Problem, adam


def torchebm(problem: Problem) -> Builder:
    """Train with a loss of torchebm."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        from torchebm import losses
        from torchebm.core import BaseModel

        parts = problem.build(dtype, batch)
        net = Plain(parts.energy)

        class Model(BaseModel):
            def __init__(self):
                super().__init__(dtype=dtype)
                self.net = net

            def forward(self, x: Tensor) -> Tensor:
                # Its losses sum over the last axis only, so points are passed as vectors.
                return self.net(x.view(-1, *problem.event_shape))

        def loss() -> nn.Module:
            match problem.objective:
                case "exact_score_matching":
                    return losses.ScoreMatching(Model(), hessian_method="exact", dtype=dtype)
                case "sliced_score_matching":
                    return losses.SlicedScoreMatching(
                        Model(), n_projections=1, projection_type="gaussian", dtype=dtype
                    )
            sigma = parts.objective.sigma
            return losses.DenoisingScoreMatching(Model(), noise_scale=sigma, dtype=dtype)

        evaluate, x = loss(), parts.x[0].flatten(1)
        return adam(net, lambda: evaluate(x))

    return build


def ebmkit(problem: Problem) -> Builder:
    """Train with a loss of ebmkit."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        from ebm.losses import nce, score_matching

        parts = problem.build(dtype, batch)
        net, x = Plain(parts.energy), parts.x[0]

        def loss() -> nn.Module:
            match problem.objective:
                case "exact_score_matching":
                    return score_matching.ExactScoreMatching()
                case "sliced_score_matching":
                    return score_matching.SlicedScoreMatching(n_projections=1, vr=False)
                case "denoising_score_matching":
                    return score_matching.DenoisingScoreMatching(sigma=parts.objective.sigma)
            # Its default noise is the standard normal, the fit of standardised data.
            found = nce.NoiseContrastiveEstimation()
            found.log_z = nn.Parameter(parts.objective.log_z[0].detach().clone())
            return found

        evaluate = loss()
        return adam(net, lambda: evaluate(net, x).loss, evaluate.parameters())

    return build
