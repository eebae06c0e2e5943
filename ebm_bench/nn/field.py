"""Networks from points to vectors, such as critics."""

import itertools
import math

import torch
from torch import Tensor, nn

from ebm_bench.nn.layers import Activation, Dense
from ebm_bench.streams import Streams


class VectorField(nn.Module):
    """Multilayer perceptron from points to vectors of their dimension, one per replicate.

    Parameters
    ----------
    event_shape : tuple of int
        Shape of one point.
    width : int
        Units in each of the two hidden layers.
    streams : Streams
        Source of the initial weights.

    Attributes
    ----------
    location, scale : Tensor of shape (R, 1, d)
        Mean and standard deviations of the points. The vectors are in units of one over the scale,
        as scores are.
    """

    def __init__(self, event_shape: tuple[int, ...], width: int, streams: Streams):
        super().__init__()
        size = math.prod(event_shape)
        self.location: Tensor
        self.scale: Tensor
        self.register_buffer("location", torch.zeros(streams.replicates, 1, size))
        self.register_buffer("scale", torch.ones(streams.replicates, 1, size))
        layers: list[nn.Module] = []
        for n_in, n_out in itertools.pairwise((size, width, width)):
            layers += [Dense(n_in, n_out, streams, spread=1.0), Activation("silu")]
        self.layers = nn.ModuleList([*layers, Dense(width, size, streams, gain=0.1)])

    def forward(self, x: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Evaluate the field, and its derivative along a direction in that direction.

        Parameters
        ----------
        x, v : Tensor of shape (R, B, *event_shape)
            Points, and a direction for each.

        Returns
        -------
        f : Tensor of shape (R, B, d)
        derivative : Tensor of shape (R, B)
            ``vᵀ∇f v``.
        """
        h, t = (x.flatten(2) - self.location) / self.scale, v.flatten(2) / self.scale
        direction = t
        for layer in self.layers:
            if isinstance(layer, Activation):
                h, slope = layer.derivatives(h, 1)
                t = t * slope
            else:
                assert isinstance(layer, Dense)
                h, t = layer(h), layer.linear(t)
        return h / self.scale, (direction * t).sum(2)
