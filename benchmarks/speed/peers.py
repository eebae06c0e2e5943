"""The objectives as other libraries compute them, on the same network.

A library is imported when one of its contenders is built; `contest.is_missing` checks first.
"""

import math

import torch
from torch import Tensor, nn

from benchmarks.speed.contest import Builder, Contender
from benchmarks.speed.problem import Parts, Plain, Problem, adam


def torchebm(problem: Problem) -> Builder:
    """Train with a loss of torchebm."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        from torchebm import losses, samplers
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
                case "contrastive_divergence":
                    model = Model()
                    chains = samplers.LangevinDynamics(model, step_size=_time(parts), dtype=dtype)
                    settings = {
                        "k_steps": parts.objective.steps,
                        "energy_reg_weight": 0.0,
                        "dtype": dtype,
                    }
                    if not parts.objective.persistent:
                        return losses.ContrastiveDivergence(model, chains, **settings)
                    settings |= {"buffer_size": batch, "new_sample_ratio": 0.0, "init_steps": 0}
                    return losses.PersistentContrastiveDivergence(model, chains, **settings)
            sigma = parts.objective.sigma
            return losses.DenoisingScoreMatching(Model(), noise_scale=sigma, dtype=dtype)

        evaluate, x = loss(), parts.x[0].flatten(1)

        def value() -> Tensor:
            found = evaluate(x)
            # Contrastive divergence gives the samples as well.
            return found[0] if isinstance(found, tuple) else found

        return adam(net, value)

    return build


def _time(parts: Parts) -> float:
    """Time that a Langevin step covers, by which theirs are measured; ours by its root."""
    return parts.objective.step_size**2 / 2


def ebmkit(problem: Problem) -> Builder:
    """Train with a loss of ebmkit."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        from ebm import ReplayBuffer, losses, samplers

        parts = problem.build(dtype, batch)
        net, x = Plain(parts.energy), parts.x[0]

        def loss() -> nn.Module:
            match problem.objective:
                case "exact_score_matching":
                    return losses.ExactScoreMatching()
                case "sliced_score_matching":
                    return losses.SlicedScoreMatching(n_projections=1, vr=False)
                case "denoising_score_matching":
                    return losses.DenoisingScoreMatching(sigma=parts.objective.sigma)
                case "contrastive_divergence":
                    steps = parts.objective.steps
                    chains = samplers.LangevinDynamics(step_size=_time(parts), steps=steps)
                    if parts.objective.persistent:
                        buffer = ReplayBuffer(batch, problem.event_shape, reinit_prob=0.0)
                        return losses.ContrastiveDivergence(chains, buffer)
                    return losses.ContrastiveDivergence(chains, init_fn=lambda shape: x)
                case "energy_discrepancy":
                    return losses.EnergyDiscrepancy(
                        math.sqrt(parts.objective.time),
                        parts.objective.samples,
                        parts.objective.weight,
                    )
            # Its default noise is the standard normal, the fit of standardised data.
            found = losses.NoiseContrastiveEstimation()
            found.log_z = nn.Parameter(parts.objective.log_z[0].detach().clone())
            return found

        evaluate = loss()
        return adam(net, lambda: evaluate(net, x).loss, evaluate.parameters())

    return build


def ebmkit_levels(problem: Problem) -> Builder:
    """Train with a loss of ebmkit at many noise levels, and its network that is told the level."""

    def build(dtype: torch.dtype, batch: int) -> Contender:
        from ebm import losses, nets

        parts = problem.build(dtype, batch)
        ours, x = parts.objective, parts.x[0]
        width = problem.energy_settings.get("width", 128)
        net = nets.NoiseConditionalMLPEnergy(problem.event_shape[0], (width, width)).to(dtype)

        def loss() -> nn.Module:
            if problem.objective == "multi_noise_denoising":
                sigmas = ours.sigma * ours.ratio ** torch.linspace(0, 1, ours.levels, dtype=dtype)
                return losses.MultiSigmaDenoisingScoreMatching(sigmas)
            ladder = torch.linspace(1, 0, ours.levels + 1, dtype=dtype)
            sigmas = ours.sigma * ours.ratio**ladder
            return losses.DiffusionRecoveryLikelihood(sigmas, ours.steps, ours.step_size**2 / 2)

        evaluate = loss()
        return adam(net, lambda: evaluate(net, x).loss)

    return build
