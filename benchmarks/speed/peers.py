"""The objectives as other libraries compute them, on the same network.

The libraries are imported when a contender is built; `contest.is_missing` tells beforehand
whether they can be.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from benchmarks.speed.contest import Contender
from benchmarks.speed.problem import Parts, Plain, Problem, adam


def torchebm(problem: Problem) -> Callable[[torch.dtype, int], Contender]:
    """Train with a loss of torchebm."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        from torchebm.core import BaseModel

        parts = problem.build(dtype, batch)
        net, shape = Plain(parts.energy), problem.event_shape

        class Model(BaseModel):
            def __init__(self):
                super().__init__(dtype=dtype)
                self.net = net

            def forward(self, x: Tensor) -> Tensor:
                # Its losses sum over the last axis alone: points come as vectors.
                return self.net(x.view(-1, *shape))

        loss = _TORCHEBM[problem.objective](Model(), parts, dtype)
        x = parts.x[0].flatten(1)
        return adam(net, lambda: loss(x))

    return build


def _torchebm_exact(model, parts: Parts, dtype: torch.dtype):
    from torchebm.losses import ScoreMatching

    return ScoreMatching(model, hessian_method="exact", dtype=dtype)


def _torchebm_sliced(model, parts: Parts, dtype: torch.dtype):
    from torchebm.losses import SlicedScoreMatching

    return SlicedScoreMatching(model, n_projections=1, projection_type="gaussian", dtype=dtype)


def _torchebm_denoising(model, parts: Parts, dtype: torch.dtype):
    from torchebm.losses import DenoisingScoreMatching

    return DenoisingScoreMatching(model, noise_scale=parts.objective.sigma, dtype=dtype)


_TORCHEBM = {
    "exact_score_matching": _torchebm_exact,
    "sliced_score_matching": _torchebm_sliced,
    "denoising_score_matching": _torchebm_denoising,
}


def ebmkit(problem: Problem) -> Callable[[torch.dtype, int], Contender]:
    """Train with a loss of ebmkit."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        parts = problem.build(dtype, batch)
        net, x = Plain(parts.energy), parts.x[0]
        loss = _EBMKIT[problem.objective](parts)
        return adam(net, lambda: loss(net, x).loss, loss.parameters())

    return build


def _ebmkit_exact(parts: Parts):
    from ebm.losses.score_matching import ExactScoreMatching

    return ExactScoreMatching()


def _ebmkit_sliced(parts: Parts):
    from ebm.losses.score_matching import SlicedScoreMatching

    return SlicedScoreMatching(n_projections=1, vr=False)


def _ebmkit_denoising(parts: Parts):
    from ebm.losses.score_matching import DenoisingScoreMatching

    return DenoisingScoreMatching(sigma=parts.objective.sigma)


def _ebmkit_noise_contrastive(parts: Parts):
    from ebm.losses.nce import NoiseContrastiveEstimation

    # Its own default noise is the standard normal, the fit of standardised data.
    loss = NoiseContrastiveEstimation()
    loss.log_z = torch.nn.Parameter(parts.objective.log_z[0].detach().clone())
    return loss


_EBMKIT = {
    "exact_score_matching": _ebmkit_exact,
    "sliced_score_matching": _ebmkit_sliced,
    "denoising_score_matching": _ebmkit_denoising,
    "noise_contrastive": _ebmkit_noise_contrastive,
}
