"""Fully connected energy."""

import itertools
import math
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from annotated_types import Ge
from torch import Tensor, nn

from ebm_bench.energies.network import Network
from ebm_bench.nn.layers import Activation, Dense, Flatten
from ebm_bench.registry import register
from ebm_bench.streams import Streams

_FEW = 16  # dimensions, below which a basis is not worth its computation


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Mlp(Network):
    """Multilayer perceptron on a Gaussian base measure.

    Parameters
    ----------
    width : int
        Units per hidden layer.
    depth : int
        Number of hidden layers.
    activation : str
        Nonlinearity. Score matching needs one that is not piecewise linear.
    """

    rough = {"activation": ("relu", "leaky_relu")}  # noqa: RUF012

    width: Annotated[int, Ge(1)] = 128
    depth: Annotated[int, Ge(1)] = 2
    activation: Literal["silu", "softplus", "tanh", "gelu", "relu", "leaky_relu"] = "silu"

    def make_layers(self, streams: Streams) -> list[nn.Module]:
        """Create the layers; the last starts small, so that training starts at the base measure."""
        sizes = [math.prod(self.event_shape), *[self.width] * self.depth]
        layers: list[nn.Module] = [Flatten(self.event_shape)]
        for depth, (n_in, n_out) in enumerate(itertools.pairwise(sizes)):
            # The first features are finer than the data are wide and spread over them; with
            # coarser ones that all bend at the origin, modes take thousands of steps to show.
            fine = {"gain": 2.0, "spread": 2.0} if depth == 0 else {}
            layers += [Dense(n_in, n_out, streams, **fine), Activation(self.activation)]
        return [*layers, Dense(self.width, 1, streams, gain=0.1)]

    def directions(self) -> tuple[Tensor, bool]:
        """Directions that span what the first layer sees: no more than its width of them.

        Orthogonal to the rows of the first weight matrix the network is flat. An orthonormal
        basis of their span therefore has the whole trace of the Hessian, and the one of the QR
        decomposition turns the matrix into a triangular one, half of which is zero.
        """
        size = math.prod(self.event_shape)
        if size < _FEW:
            return super().directions()
        with torch.no_grad():  # The trace does not depend on which basis is taken.
            weight: Tensor = self.layers[1].weight  # type: ignore[assignment]  # a Dense layer
            seen = weight / self.scale.view(-1, size, 1)
            basis = torch.linalg.qr(seen).Q.mT
        return basis.reshape(self.replicates, -1, 1, *self.event_shape), True
