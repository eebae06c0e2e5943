"""Energies that are networks of affine and elementwise layers."""

import math
from abc import abstractmethod

import torch
from torch import Tensor, nn

from ebm_bench.energies.base import Energy
from ebm_bench.streams import Streams


class Network(Energy):
    """A network on top of a Gaussian base measure that is fitted to the data.

    ``E(x) = f(u) + ½‖u‖²`` with ``u = (x − m)/s``: as long as ``f`` grows more slowly than
    a square, ``exp(−E)`` has a finite integral.

    Attributes
    ----------
    layers : torch.nn.ModuleList
        Affine and elementwise layers from (R, B, *event_shape) to (R, B, 1).
    """

    levels = True

    def build(self, streams: Streams) -> None:
        """Create the layers."""
        self.layers = nn.ModuleList(self.make_layers(streams))

    @abstractmethod
    def make_layers(self, streams: Streams) -> list[nn.Module]:
        """Create affine and elementwise layers with initial weights."""

    def forward(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""
        u = (x - self.location) / self.scale
        h = u
        for layer in self.layers:
            h = layer(h)
        return h.squeeze(2) + 0.5 * u.flatten(2).square().sum(2)

    def directions(self) -> tuple[Tensor, bool]:
        """Directions whose curvatures under ``f`` add up to its Laplacian.

        Returns
        -------
        directions : Tensor of shape (R, K, 1, *event_shape)
            All unit vectors, unless the architecture allows fewer.
        triangular : bool
            Whether the first layer maps direction ``k`` to a vector that starts with ``k`` zeros.
        """
        size = math.prod(self.event_shape)
        units = torch.eye(size).to(self.scale).view(1, size, 1, *self.event_shape)
        return units.expand(self.replicates, -1, -1, *self.event_shape), False
