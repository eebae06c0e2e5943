"""Tangents of convolutional networks along all pixels, kept only where they are not zero.

A unit of such a network sees the pixels of its receptive field, so its derivatives by all others
vanish. Here ``t[:, k]`` holds the derivative of each unit by pixel ``k`` of its own field, where
`ebm_bench.derivatives.tangents.Directions` holds that of all units by the same pixel. A convolution
adds up tangents of units whose fields lie some pixels beside each other.
"""

from collections.abc import Iterable, Iterator, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ebm_bench.derivatives.base import Elementwise, Windowed, sum_of_products
from ebm_bench.derivatives.sweeps import Sweeps
from ebm_bench.derivatives.tangents import Gradients, Tangents, accumulate

# Numbers in the tangents of one chunk of points: more than a cache holds, but products of small
# matrices would be slow.
CHUNK = 1 << 21


def receptive_field(layers: Iterable[nn.Module]) -> int:
    """Side of what units of the last elementwise layer see; 0 if other than convolutions precede.

    Parameters
    ----------
    layers : iterable of Affine and Elementwise
    """
    fields = _fields(layers)
    return fields[-1][1] + (fields[-1][0].kernel - 1) * fields[-1][2] if fields else 0


def _fields(layers: Iterable[nn.Module]) -> list[tuple[Windowed, int, int]]:
    """Convolutions up to the last elementwise layer, if there are no others.

    Each with the side of the receptive field of its inputs, and the pixels from one to the next.
    """
    layers = list(layers)
    last = max(i for i, layer in enumerate(layers) if isinstance(layer, Elementwise))
    found: list[tuple[Windowed, int, int]] = []
    side = jump = 1
    for layer, after in zip(layers[:last:2], layers[1 : last + 1 : 2], strict=True):
        if not (isinstance(layer, Windowed) and isinstance(after, Elementwise)):
            return []
        found.append((layer, side, jump))
        side, jump = side + (layer.kernel - 1) * jump, jump * layer.stride
    return found


class LocalTangents:
    """Tangents along all unit vectors, by position in the receptive field; see `Tangents`.

    They have shape (R, K, B or 1, H, W, C), where K goes over rows, columns and channels of the
    field, and pass in chunks of points.

    Parameters
    ----------
    sweeps : Sweeps
        Inputs and adjoints of all layers.
    scale : Tensor of shape (R, 1, *event_shape)
        What the unit vectors are divided by.
    length : int, optional
        Number of points that pass at once.
    """

    def __init__(self, sweeps: Sweeps, scale: Tensor, length: int | None = None):
        self.lead, *others = (_Carrier(*each) for each in _fields(sweeps.layers))
        carriers = dict(zip(range(2, sweeps.last, 2), others, strict=True))
        channels = scale.shape[2]
        # A pixel sees nothing but itself.
        units = torch.eye(channels, dtype=scale.dtype, device=scale.device).view(
            1, channels, 1, 1, 1, channels
        )
        t, self.windows = self.lead.modulated(units, _channels_last(1 / scale))
        slopes = {i: _channels_last(s[0]) for i, s in sweeps.slopes.items()}
        factors = {i: _channels_last(f) for i, f in sweeps.factors().items()}
        last = factors[sweeps.last]
        if torch.compiler.is_compiling():
            length = last.shape[1]
        elif length is None:
            fields = channels * receptive_field(sweeps.layers) ** 2
            length = max(1, CHUNK // (fields * last[:, 0].numel()))
        self.length = length
        self.parts = [
            Tangents(carriers, *part, t, t.shape[1])
            for part in zip(self._split(slopes), self._split(factors), strict=True)
        ]

    def _split(self, values: dict[int, Tensor]) -> list[dict[int, Tensor]]:
        pieces = (value.split(self.length, dim=1) for value in values.values())
        return [dict(zip(values, piece, strict=True)) for piece in zip(*pieces, strict=True)]

    @property
    def passes_at_once(self) -> bool:
        """Whether all tangents are at hand at the same time."""
        return len(self.parts) == 1

    def sweep(self) -> None:
        """Carry all tangents up the layers, and keep them where they are few."""
        for part in self.parts:
            part.sweep()
            if not self.passes_at_once:
                part.kept = None

    def curvature(self) -> Tensor:
        """Curvature along all directions, (R, B)."""
        return torch.cat([part.curvature() for part in self.parts], 1)

    @property
    def squares(self) -> dict[int, Tensor]:
        """Sums of squares of the tangents of each unit."""
        return _joined(
            [
                {i: squares.expand_as(part.factors[i]) for i, squares in part.squares.items()}
                for part in self.parts
            ]
        )

    def differentiate(self, into: Gradients, each: Tensor | None = None) -> None:
        """Differentiate the sum of the curvatures, each times its factor (R, B)."""
        shares = [None] * len(self.parts) if each is None else each.split(self.length, dim=1)
        g, firsts = dict[int, Tensor](), []
        for part, share in zip(self.parts, shares, strict=True):
            into.first = {}
            accumulate(g, 0, part.differentiate(into, share))
            firsts.append(into.first)
        into.first = _joined(firsts)
        accumulate(into.weight, 0, self.lead.weight_gradient(self.windows, g[0]))


class _Carrier:
    """A convolution that acts on local tangents.

    Parameters
    ----------
    layer : Windowed
    side : int
        Of the receptive field of its inputs.
    jump : int
        Pixels from the field of an input to that of the next.
    """

    def __init__(self, layer: Windowed, side: int, jump: int):
        self.layer, self.side, self.jump = layer, side, jump
        assert layer.weight is not None
        self.weight = layer.weight.permute(3, 4, 0, 2, 1).contiguous()  # kernel, R, C_in, C_out

    def modulated(self, t: Tensor, s: Tensor, skip: int = 0) -> tuple[Tensor, list[Tensor]]:
        """Apply the linear part to tangents that are scaled at each point; see `Affine`.

        The intermediate result is what each entry of the kernel acts on.
        """
        if torch.compiler.is_compiling():
            return self._differentiable(t * s.unsqueeze(1))
        padded = self._padding(t, s.shape)
        torch.mul(t, s.unsqueeze(1), out=self._inside(padded))
        windows = [self._window(padded, *at).contiguous() for at in self._entries]
        fields = t.shape[1] // self.side**2 * self._side_after**2
        out = t.new_zeros(len(s), fields, *windows[0].shape[2:5], self.weight.shape[-1])
        for at, window in zip(self._entries, windows, strict=True):
            for place, rows, matrix in self._products(out, window, at):
                place.baddbmm_(rows, matrix)
        return out, windows

    def _differentiable(self, t: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Apply the linear part by operations that a compiler can differentiate."""
        padded = F.pad(t, [0, 0, *[self.layer.padding] * 4])
        total: Tensor | None = None
        for at in self._entries:
            window = self._window(padded, *at)
            part = torch.bmm(window.flatten(1, 4), self.weight[at])
            part = part.unflatten(1, (self.side, self.side, -1))
            before = [self.jump * n for n in at]
            after = [self._side_after - self.side - n for n in before]
            part = F.pad(part, [0, 0, 0, 0, before[1], after[1], before[0], after[0]])
            total = part if total is None else total + part
        assert total is not None, "kernels have entries"
        return total.flatten(1, 3).unflatten(1, (-1, *window.shape[2:5])), []

    def modulated_gradient(
        self, t: Tensor, s: Tensor, product: list[Tensor], g: Tensor, skip: int = 0
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Differentiate ``⟨g, modulated(t, s)⟩``; see `Affine`."""
        padded = self._padding(t, s.shape)
        for at, window in zip(self._entries, product, strict=True):
            share = torch.empty_like(window)
            for place, rows, matrix in self._products(g, share, at):
                torch.bmm(place, matrix.mT, out=rows)
            self._window(padded, *at).add_(share)
        back = self._inside(padded)
        for_t = back * s.unsqueeze(1)
        if t.shape[2] < s.shape[1]:
            for_t = for_t.sum(2, keepdim=True)
        return self.weight_gradient(product, g), for_t, sum_of_products(back, t)

    def weight_gradient(self, windows: list[Tensor], g: Tensor) -> Tensor:
        """Differentiate ``⟨g, modulated(t, s)⟩`` by the weight."""
        found = torch.empty_like(self.weight)
        for at, window in zip(self._entries, windows, strict=True):
            for one, (place, rows, _) in zip(found[at], self._products(g, window, at), strict=True):
                torch.addbmm(one, rows.mT, place, beta=0, out=one)
        return found.permute(2, 4, 3, 0, 1)

    @property
    def _entries(self) -> list[tuple[int, int]]:
        """Rows and columns of the kernel."""
        entries = range(self.layer.kernel)
        return [(y, x) for y in entries for x in entries]

    @property
    def _side_after(self) -> int:
        """Side of the receptive field of its outputs."""
        return self.side + (self.layer.kernel - 1) * self.jump

    def _products(
        self, fields: Tensor, window: Tensor, at: tuple[int, int]
    ) -> Iterator[tuple[Tensor, Tensor, Tensor]]:
        """Factors of an entry of the kernel, three matrices per row of the field, by replicate.

        The part of the outputs' fields where those of the inputs lie, the inputs and the weights.
        """
        rows, columns = (slice(self.jump * n, self.jump * n + self.side) for n in at)
        grid = fields.view(len(fields), self._side_after, self._side_after, -1, fields.shape[-1])
        places = grid[:, rows, columns].flatten(2, 3)
        matrices = self.weight[at].unsqueeze(1).expand(-1, self.side, -1, -1)
        return zip(places, window.view(*places.shape[:3], -1), matrices, strict=True)

    def _padding(self, t: Tensor, shape: Sequence[int]) -> Tensor:
        """Zeros of the shape of scaled tangents, with a margin."""
        replicates, points, *image, channels = shape
        image = [n + 2 * self.layer.padding for n in image]
        return t.new_zeros(replicates, t.shape[1], points, *image, channels)

    def _inside(self, padded: Tensor) -> Tensor:
        height, width = (n - 2 * self.layer.padding for n in padded.shape[3:5])
        return padded.narrow(3, self.layer.padding, height).narrow(4, self.layer.padding, width)

    def _window(self, padded: Tensor, y: int, x: int) -> Tensor:
        """Find what an entry of the kernel acts on."""
        margin, stride = self.layer.kernel - 1, self.layer.stride
        height, width = (n - margin for n in padded.shape[3:5])
        return padded[..., y : y + height : stride, x : x + width : stride, :]


def _channels_last(value: Tensor) -> Tensor:
    return value.movedim(2, -1).contiguous()


def _joined(parts: Sequence[dict[int, Tensor]]) -> dict[int, Tensor]:
    """Undo `LocalTangents._split` and `_channels_last`."""
    return {i: torch.cat([part[i] for part in parts], 1).movedim(-1, 2) for i in parts[0]}
