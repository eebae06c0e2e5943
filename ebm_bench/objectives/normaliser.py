"""A log-normaliser that is learned beside the energy."""

import math

import torch
from torch import Tensor, nn


class Normaliser(nn.Module):
    """The constant ``c`` of noise-contrastive estimation, one per replicate.

    Written as ``c = start + d·θ``: log Z grows with the dimension ``d``, so this lets one
    learning rate serve two dimensions and three thousand.
    """

    def __init__(self, replicates: int, event_shape: tuple[int, ...]):
        super().__init__()
        self.dimension = math.prod(event_shape)
        self.register_buffer("start", torch.zeros(replicates))
        self.theta = nn.Parameter(torch.zeros(replicates))

    @property
    def value(self) -> Tensor:
        """The current constant in nats, shape (R,)."""
        return self.start + self.dimension * self.theta

    def fit(self, energies: Tensor, log_noise: Tensor) -> None:
        """Start at the importance-sampling estimate of log Z, from noise samples.

        Parameters
        ----------
        energies, log_noise : Tensor of shape (R, N)
            Energy and log-density of samples of the noise.
        """
        log_weights = -energies - log_noise
        self.start.copy_(torch.logsumexp(log_weights, 1) - math.log(log_weights.shape[1]))
