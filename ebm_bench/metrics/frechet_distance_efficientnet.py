"""Fréchet distance between samples and data in the features of a network."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from ebm_bench.metrics.features import FeatureDistance
from ebm_bench.registry import register

# Two samples of 1,500 from one Gaussian of 1,280 dimensions are 549 apart.
_POINTS_PER_FEATURE = 10


@register
@dataclass(eq=False, kw_only=True)
class FrechetDistanceEfficientnet(FeatureDistance):
    """Fréchet distance of samples to held-out images in EfficientNet-Lite0 features.

    With fewer samples than features (1,280) the fitted covariances are singular and the distance
    is far too large, by an amount that differs between models, and is still too large with a few
    times as many: the part ``converged`` is 1 only with ten a feature, and the part ``floor`` is
    the distance between two halves of the data, which is all bias, and more than that of the
    value, as the halves are smaller. Not comparable with published FID: other features and fewer
    samples. It rewards blur, so read it beside the kernel distance.

    Parameters
    ----------
    points : int
        Samples, and as many held-out images.

    References
    ----------
    Heusel et al., "GANs trained by a two time-scale update rule converge to a local Nash
    equilibrium", NeurIPS 2017, arXiv:1706.08500.
    """

    version = 2
    scale = "log"
    label = "Fréchet (EfficientNet)"

    def compare(self, samples: Tensor, data: Tensor) -> dict[str, Tensor]:
        """Compute the distance between features, each of shape (R, points, F)."""
        pairs = zip(samples, data, strict=True)
        value = torch.stack([frechet_distance(x, y) for x, y in pairs])
        halves = [frechet_distance(*y.chunk(2)) for y in data]
        enough = self.points >= _POINTS_PER_FEATURE * data.shape[-1]
        return {
            "value": value,
            "floor": torch.stack(halves),
            "converged": torch.full_like(value, float(enough)),
        }


def frechet_distance(x: Tensor, y: Tensor) -> Tensor:
    """Compute the squared Fréchet distance between Gaussians fitted to features.

    Parameters
    ----------
    x, y : Tensor of shape (N, F), (M, F)
        Features.

    Returns
    -------
    Tensor of shape ()
        ``‖m_x − m_y‖² + tr(Σ_x + Σ_y − 2 (Σ_x Σ_y)^½)``, not a number where a feature is not.
    """
    if not (x.isfinite().all() and y.isfinite().all()):
        return x.new_full((), math.nan, dtype=torch.float64)
    x, y = x.double(), y.double()
    shift = (x.mean(0) - y.mean(0)).square().sum()
    a = (x - x.mean(0)) / math.sqrt(len(x) - 1)
    b = (y - y.mean(0)) / math.sqrt(len(y) - 1)
    # With Σ_x = aᵀa and Σ_y = bᵀb the trace of the root is the nuclear norm of a bᵀ, and of the
    # triangular factors where there are more points than features.
    r, s = (torch.linalg.qr(m, mode="r").R if len(m) > m.shape[1] else m for m in (a, b))
    root = torch.linalg.svdvals(r @ s.T).sum()
    return shift + a.square().sum() + b.square().sum() - 2 * root
