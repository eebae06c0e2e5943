"""What derivatives need to know of energies and of the layers of networks."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Protocol

import torch
from torch import Tensor, nn


class Energy(Protocol):
    """An energy on a Gaussian base measure; `ebm_bench.energies.base.Energy` is one.

    Attributes
    ----------
    event_shape : tuple of int
        Shape of one point.
    location, scale : Tensor of shape (R, 1, *event_shape)
        Mean and standard deviations of the base measure.
    """

    event_shape: tuple[int, ...]
    location: Tensor
    scale: Tensor

    def __call__(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""


class Network(Energy, Protocol):
    """A network on its base measure: ``E(x) = f(u) + ½‖u‖²`` with ``u = (x − location)/scale``.

    Attributes
    ----------
    layers : iterable of Affine and Elementwise
        The network ``f``, from (R, B, *event_shape) to (R, B, 1).
    """

    layers: Iterable[nn.Module]

    def count(self, points: int) -> None:
        """Add to the number of evaluations."""

    def directions(self) -> tuple[Tensor, bool]:
        """Directions whose curvatures under ``f`` add up to its Laplacian.

        Returns
        -------
        directions : Tensor of shape (R, K, 1, *event_shape)
        triangular : bool
            Whether the first layer maps direction ``k`` to a vector that starts with ``k`` zeros.
        """


class Above(ABC):
    """An energy for samplers that knows a better way to what is above its base measure."""

    event_shape: tuple[int, ...]
    location: Tensor
    scale: Tensor

    @abstractmethod
    def __call__(self, x: Tensor) -> Tensor:
        """Energy in nats of points (R, B, *event_shape), shape (R, B)."""

    @abstractmethod
    def excess(self, u: Tensor) -> tuple[Tensor, Tensor]:
        """Excess and slope, as of `ebm_bench.derivatives.for_samplers.value_and_grad`.

        A constant of each point may be left out.
        """


class Affine(nn.Module, ABC):
    """An affine map of points, (R, N, *in_shape) to (R, N, *out_shape)."""

    weight: nn.Parameter | None
    bias: nn.Parameter | None

    @abstractmethod
    def linear(self, t: Tensor) -> Tensor:
        """Apply the linear part, without the bias.

        The result shares no memory with ``t``, unless there is no weight.
        """

    @abstractmethod
    def adjoint(self, g: Tensor) -> Tensor:
        """Apply the transpose of the linear part."""

    @abstractmethod
    def weight_gradient(self, t: Tensor, g: Tensor) -> Tensor | None:
        """Differentiate ``⟨g, linear(t)⟩`` with respect to the weight, if there is one."""

    def bias_gradient(self, g: Tensor) -> Tensor | None:
        """Differentiate ``⟨g, forward(h)⟩`` with respect to the bias, if there is one."""
        return None

    def modulated(self, t: Tensor, s: Tensor, skip: int = 0) -> tuple[Tensor, Tensor]:
        """Apply the linear part to directions that are scaled differently at each point.

        Parameters
        ----------
        t : Tensor of shape (R, K, B or 1, *in_shape)
            K directions.
        s : Tensor of shape (R, B, *in_shape)
            Scale factors.
        skip : int
            Number of leading units that are zero in all directions. Subclasses may skip them.

        Returns
        -------
        out : Tensor of shape (R, K, B, *out_shape)
            ``linear(t s)``.
        product : Tensor
            Intermediate result that `modulated_gradient` needs.
        """
        product = t * s.unsqueeze(1)
        out = self.linear(product.flatten(1, 2)).unflatten(1, product.shape[1:3])
        return out, product

    def modulated_gradient(
        self, t: Tensor, s: Tensor, product: Tensor, g: Tensor, skip: int = 0
    ) -> tuple[Tensor | None, Tensor, Tensor]:
        """Differentiate ``⟨g, modulated(t, s)⟩`` with respect to the weight, ``t`` and ``s``."""
        flat = g.flatten(1, 2)
        weight = self.weight_gradient(product.flatten(1, 2), flat)
        back = self.adjoint(flat).unflatten(1, g.shape[1:3])
        for_s = sum_of_products(back, t)
        for_t = back.mul_(s.unsqueeze(1))
        return weight, for_t.sum(2, keepdim=True) if t.shape[2] < g.shape[2] else for_t, for_s


class Windowed(Affine):
    """A convolution, whose units each see a square window of an image.

    With zeros around the image, a bias and no dilation or groups.

    Attributes
    ----------
    weight : Parameter of shape (R, C_out, C_in, kernel, kernel)
    kernel, stride, padding : int
        Side of the window, pixels from one to the next, and zeros on each side of the image.
    """

    kernel: int
    stride: int
    padding: int


class Elementwise(nn.Module, ABC):
    """A function of each unit by itself.

    Attributes
    ----------
    smooth : bool
        Whether the function is twice differentiable.
    """

    smooth: bool

    @abstractmethod
    def derivatives(self, a: Tensor, order: int) -> tuple[Tensor, ...]:
        """Value and derivatives up to ``order`` (1, 2 or 3) at ``a``, each of its shape."""

    def slope_(self, a: Tensor) -> tuple[Tensor, ...]:
        """Value and first derivative at ``a``, which may be overwritten."""
        return self.derivatives(a, 1)


def sum_of_products(left: Tensor, right: Tensor) -> Tensor:
    """Multiply and sum over the second axis, without holding all products."""
    parts = zip(left.unbind(1), right.unbind(1), strict=True)
    total = torch.mul(*next(parts))
    for one, other in parts:
        total.addcmul_(one, other)
    return total


def is_at_hand(value: Tensor) -> bool:
    """Whether numbers can be looked at without waiting for all that is under way on a device."""
    return value.device.type == "cpu"
