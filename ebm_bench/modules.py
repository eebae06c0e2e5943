"""What the parts of a model share."""

import math

import torch
from torch import Tensor, nn

from ebm_bench.streams import Streams


class Component(nn.Module):
    """A torch module whose subclasses are dataclasses.

    `torch.nn.Module` must be initialised before a dataclass assigns its first field;
    subclasses build their parameters in ``__post_init__``.
    """

    name: str

    def __new__(cls, *args, **kwargs):
        """Initialise the module before the fields are assigned."""
        self = super().__new__(cls)
        nn.Module.__init__(self)
        return self


class Dense(nn.Module):
    """Affine map of vectors, one per replicate: (R, N, n_in) to (R, N, n_out).

    Parameters
    ----------
    n_in, n_out : int
        Length of the vectors.
    streams : Streams
        Where the initial weights are drawn.
    gain : float
        Standard deviation of an output for standard normal input.
    spread : float
        Standard deviation of the initial biases.
    """

    elementwise = False

    def __init__(
        self, n_in: int, n_out: int, streams: Streams, gain: float = 1.0, spread: float = 0.0
    ):
        super().__init__()
        self.weight = nn.Parameter(streams.normal(n_in, n_out) * gain / math.sqrt(n_in))
        self.bias = nn.Parameter(streams.normal(1, n_out) * spread)

    def forward(self, h: Tensor) -> Tensor:
        """Apply the map."""
        return torch.baddbmm(self.bias, h, self.weight)

    def linear(self, t: Tensor) -> Tensor:
        """Apply its linear part."""
        return torch.bmm(t, self.weight)

    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose of its linear part."""
        return torch.bmm(g, self.weight.mT)
