"""Convolutional energy for images."""

import math
from dataclasses import dataclass
from typing import Annotated, Literal

from annotated_types import Ge
from torch import nn

from ebm_bench.energies.network import Network
from ebm_bench.errors import InputError
from ebm_bench.nn.layers import Activation, Convolution, Dense, Flatten
from ebm_bench.registry import register
from ebm_bench.streams import Streams


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Conv(Network):
    """Three convolutions of stride 2 and a linear read-out, on a Gaussian base measure.

    Parameters
    ----------
    channels : int
        Channels of the first convolution; the other two have twice as many.
    activation : str
        Nonlinearity. Score matching needs one that is not piecewise linear.
    """

    rough = {"activation": ("relu", "leaky_relu")}  # noqa: RUF012
    needs = ("image",)

    channels: Annotated[int, Ge(1)] = 16
    activation: Literal["silu", "softplus", "tanh", "gelu", "relu", "leaky_relu"] = "silu"

    def make_layers(self, streams: Streams) -> list[nn.Module]:
        """Create the layers; the last starts small, so that training starts at the base measure."""
        if len(self.event_shape) != 3:
            raise InputError(
                f"conv is for images (C, H, W), not for points of shape {self.event_shape}. "
                "Choose mlp"
            )
        shape, layers = self.event_shape, list[nn.Module]()
        for channels in (self.channels, 2 * self.channels, 2 * self.channels):
            convolution = Convolution(shape, channels, streams)
            layers += [convolution, Activation(self.activation)]
            shape = convolution.out_shape
        size = math.prod(shape)
        return [*layers, Flatten(shape), Dense(size, 1, streams, gain=0.1)]
