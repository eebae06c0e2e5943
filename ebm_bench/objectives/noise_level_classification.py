"""Classification of noise levels, with the energies of all levels as logits."""

from dataclasses import dataclass
from typing import Annotated

import torch
from annotated_types import Ge
from torch import Tensor

from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.energies.levels import log_base, stratified
from ebm_bench.objectives.noise_levels import ToKnownEnd
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class NoiseLevelClassification(ToKnownEnd):
    """Find the noise level of each point, besides predicting its noise.

    ``−mean log softmax_i(−E(x, t_i) − c)`` at the level of x, plus ``mean ½‖√v ∇E(x, t) − ε‖²`` at
    levels anywhere between. Levels ``t_i`` are evenly spaced from the data to a Gaussian with
    their means and variances. That last one's density is known and stands for its energy, so that
    the classification has no factor common to all levels that it leaves open, and the learned c
    estimates log Z. Constants of the other levels are part of ``E(x, t)``.

    Parameters
    ----------
    levels : int
        Number of levels, the data and the Gaussian among them.
    denoising : float
        Weight of the prediction of noise; without it each level is only compared with others.

    References
    ----------
    Yadin, Elata and Michaeli, "Classification diffusion models: revitalizing density ratio
    estimation", NeurIPS 2024, arXiv:2402.10095, with a known last level. Aggarwal, Chen, Boffi and
    Koes, "BoltzNCE: learning likelihoods for Boltzmann generation with stochastic interpolants and
    noise contrastive estimation", NeurIPS 2025, arXiv:2507.00846, with the interpolant that is
    taken here, from the data to N(0, I).
    """

    requires = ("smooth", "levels")
    search = {"levels": (4, 8, 16), "denoising": (0.1, 1.0)}  # noqa: RUF012

    levels: Annotated[int, Ge(2)] = 8
    denoising: Annotated[float, Ge(0)] = 1.0

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Loss of a batch (R, B, *event_shape), shape (R,)."""
        level = (stratified(x, streams) * self.levels).floor()
        noise = streams.normal_like(x)
        points = self.embedding.noised(energy, x, level / (self.levels - 1), noise)
        known = log_base(energy, points).unsqueeze(1)
        every = torch.arange(self.levels - 1, dtype=x.dtype, device=x.device) / (self.levels - 1)
        t = every.repeat_interleave(x.shape[1]).expand(len(x), -1)
        repeated = points.repeat(1, self.levels - 1, *[1] * (x.dim() - 2))
        energies = self.embedding.at(energy, t)(repeated).unflatten(1, (self.levels - 1, -1))
        logits = torch.cat([-energies - self.log_z[:, None, None], known], dim=1)
        found = logits.log_softmax(1).gather(1, level.long().unsqueeze(1))
        loss = -found.mean((1, 2))
        return loss + self.denoising * self._denoise(energy, x, streams) if self.denoising else loss

    def _denoise(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        t, noise = stratified(x, streams), streams.normal_like(x)
        points = self.embedding.noised(energy, x, t, noise)
        spread = t.reshape(*t.shape, *[1] * (x.dim() - 2)) * energy.scale
        residual = spread * gradient(self.embedding.at(energy, t), points) - noise
        return 0.5 * residual.flatten(2).square().sum(2).mean(1)
