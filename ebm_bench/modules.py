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


class Affine(nn.Module):
    """An affine map, as `ebm_bench.derivatives` needs it.

    Subclasses have a ``weight`` and a ``bias`` and the methods ``forward``, ``linear`` (without
    the bias), ``adjoint`` (the transpose of that) and ``weight_gradient``, all of them with
    replicates and points as the leading axes.
    """

    elementwise = False

    def modulated(self, t: Tensor, s: Tensor, skip: int = 0) -> tuple[Tensor, Tensor]:
        """Apply the linear part to directions times factors of the points.

        Parameters
        ----------
        t : Tensor of shape (R, K, B or 1, *in_shape)
            K directions.
        s : Tensor of shape (R, B, *in_shape)
            Factors.
        skip : int
            How many leading units are zero in all directions, which saves work here and there.

        Returns
        -------
        out : Tensor of shape (R, K, B, *out_shape)
        product : Tensor
            For `modulated_gradient`.
        """
        product = t * s.unsqueeze(1)
        out = self.linear(product.flatten(1, 2)).unflatten(1, product.shape[1:3])
        return out, product

    def modulated_gradient(
        self, t: Tensor, s: Tensor, product: Tensor, g: Tensor, skip: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Differentiate ``⟨g, modulated(t, s)⟩`` with respect to the weight, ``t`` and ``s``."""
        flat = g.flatten(1, 2)
        weight = self.weight_gradient(product.flatten(1, 2), flat)
        back = self.adjoint(flat).unflatten(1, g.shape[1:3])
        for_s = torch.zeros_like(s)
        for one, direction in zip(back.unbind(1), t.unbind(1), strict=True):
            for_s.addcmul_(one, direction)
        for_t = back.mul_(s.unsqueeze(1))
        return weight, for_t.sum(2, keepdim=True) if t.shape[2] < g.shape[2] else for_t, for_s


class Dense(Affine):
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

    def weight_gradient(self, t: Tensor, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, linear(t)⟩`` by the weight."""
        return torch.bmm(t.mT, g)

    def bias_gradient(self, g: Tensor) -> Tensor:
        """Differentiate ``⟨g, forward(h)⟩`` by the bias."""
        return g.sum(1, keepdim=True)

    def modulated(self, t: Tensor, s: Tensor, skip: int = 0) -> tuple[Tensor, Tensor]:
        """Apply the linear part to directions times factors; see `Affine`."""
        t, s, weight = t[..., skip:], s[..., skip:], self.weight[:, skip:]
        if self._folds(t, s):
            product = (weight.unsqueeze(2) * t.permute(0, 3, 1, 2)).flatten(2)
            return torch.bmm(s, product).unflatten(2, (t.shape[1], -1)).transpose(1, 2), product
        product = (t * s.unsqueeze(1)).flatten(1, 2)
        return torch.bmm(product, weight).unflatten(1, (t.shape[1], -1)), product

    def modulated_gradient(
        self, t: Tensor, s: Tensor, product: Tensor, g: Tensor, skip: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Differentiate ``⟨g, modulated(t, s)⟩``; see `Affine`."""
        fill = torch.zeros_like if skip else torch.empty_like
        for_weight, for_s = fill(self.weight), fill(s)
        of_weight, of_s = for_weight[:, skip:], for_s[..., skip:]
        if self._folds(t, s):
            flat = g.transpose(1, 2).flatten(2)
            torch.baddbmm(of_s, flat, product.mT, beta=0, out=of_s)
            moment = torch.bmm(s.mT, flat).unflatten(2, (t.shape[1], -1))  # (R, n_in, K, n_out)
            torch.sum(moment[:, skip:] * t.permute(0, 3, 1, 2)[:, skip:], 2, out=of_weight)
            for_t = moment.mul_(self.weight.unsqueeze(2)).sum(3).mT.unsqueeze(2)
            return for_weight, for_t, for_s
        flat = g.flatten(1, 2)
        torch.baddbmm(of_weight, product.mT, flat, beta=0, out=of_weight)
        back = self.adjoint(flat).unflatten(1, g.shape[1:3])
        parts = zip(back[..., skip:].unbind(1), t[..., skip:].unbind(1), strict=True)
        torch.mul(*next(parts), out=of_s)
        for one, direction in parts:
            of_s.addcmul_(one, direction)
        for_t = back.mul_(s.unsqueeze(1))
        return for_weight, for_t.sum(2, keepdim=True) if t.shape[2] < g.shape[2] else for_t, for_s

    def _folds(self, t: Tensor, s: Tensor) -> bool:
        """Whether to multiply the weights by directions, not the points: where they are fewer."""
        return t.shape[2] == 1 and 2 * self.weight.shape[2] <= s.shape[1]
