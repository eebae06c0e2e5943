"""Noise-contrastive estimation with an exponential loss."""

from dataclasses import dataclass

from torch import Tensor

from ebm_bench.energies.base import Energy
from ebm_bench.objectives.classifier import NoiseClassifier
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class ExponentialNoiseContrastive(NoiseClassifier):
    """Classify data against noise by the exponential loss, which noise far away does not flatten.

    ``E_data exp(−G/2) + E_noise exp(G/2)`` with ``G = −E − c − log q``. Its minimum is twice the
    overlap ``∫ √(p q)``; the learned ``c`` estimates log Z.

    Parameters
    ----------
    noise : str
        Registered name of the noise distribution ``q``; it is fitted to the data first.
    noise_settings : dict
        Settings of the noise distribution.

    References
    ----------
    Liu, Rosenfeld, Ravikumar and Risteski, "Analyzing and improving the optimization landscape of
    noise-contrastive estimation", ICLR 2022, arXiv:2110.11271. They take normalised gradient
    steps; the optimiser here clips gradients and divides by their size, as that of all methods.
    """

    kind = "noise contrastive"

    noise: str = "gaussian"

    def noise_evaluations(self, batch_size: int) -> int:
        """Count the data and as many samples."""
        return 2 * batch_size

    def loss(self, energy: Energy, x: Tensor, streams: Streams) -> Tensor:
        """Exponential loss of a batch (R, B, *event_shape), shape (R,)."""
        points, log_q = self.draw(x, x.shape[1], streams)
        data, noise = self.logits(energy, x, points, log_q)
        return (-0.5 * data).exp().mean(1) + (0.5 * noise).exp().mean(1)
