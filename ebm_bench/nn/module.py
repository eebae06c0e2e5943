"""What the parts of a model share."""

import torch
from torch import Tensor, nn


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
