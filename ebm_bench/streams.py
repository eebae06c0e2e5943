"""Random numbers: one generator per replicate, none of them global."""

import hashlib
from collections.abc import Sequence

import torch


class Streams:
    """Independent random streams, one per replicate.

    Every draw has the replicates as its leading axis, and what replicate ``r`` draws does
    not depend on which other replicates are drawn beside it.

    Parameters
    ----------
    seed : int
        The suite's seed.
    replicates : int or sequence of int
        How many replicates, or which ones.
    device : str or torch.device
        Where the numbers are drawn.
    scope : tuple of str
        What the streams are for; part of the seed. See `child`.
    """

    def __init__(
        self,
        seed: int = 0,
        replicates: int | Sequence[int] = 1,
        device: str | torch.device = "cpu",
        scope: tuple[str, ...] = (),
    ):
        self.seed, self.device, self.scope = seed, torch.device(device), scope
        self.indices = list(range(replicates) if isinstance(replicates, int) else replicates)
        self._generators = [
            torch.Generator(self.device).manual_seed(hashed(seed, *scope, index))
            for index in self.indices
        ]

    @property
    def replicates(self) -> int:
        """Number of replicates."""
        return len(self.indices)

    def child(self, *purpose: str) -> "Streams":
        """Open new streams for a purpose, the same ones however much was drawn from these."""
        return Streams(self.seed, self.indices, self.device, (*self.scope, *purpose))

    def select(self, positions: Sequence[int]) -> "Streams":
        """Open the same streams for some of the replicates only, from their beginning."""
        chosen = [self.indices[p] for p in positions]
        return Streams(self.seed, chosen, self.device, self.scope)

    def normal(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Draw standard normal numbers of shape ``(R, *shape)``."""
        return self._fill(shape, dtype, lambda out, g: out.normal_(generator=g))

    def uniform(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Draw numbers uniform on [0, 1) of shape ``(R, *shape)``."""
        return self._fill(shape, dtype, lambda out, g: out.uniform_(generator=g))

    def integers(self, high: int, *shape: int) -> torch.Tensor:
        """Draw integers uniform on ``0 … high − 1`` of shape ``(R, *shape)``."""
        return self._fill(shape, torch.int64, lambda out, g: out.random_(0, high, generator=g))

    def rademacher(self, *shape: int, dtype: torch.dtype | None = None) -> torch.Tensor:
        """Draw signs, −1 or +1, of shape ``(R, *shape)``."""
        return self.integers(2, *shape).to(dtype or torch.get_default_dtype()) * 2 - 1

    def normal_like(self, x: torch.Tensor) -> torch.Tensor:
        """Draw standard normal numbers of the shape and type of ``x``, (R, ...)."""
        return self.normal(*x.shape[1:], dtype=x.dtype)

    def state_dict(self) -> list[torch.Tensor]:
        """Where each stream stands, for a checkpoint."""
        return [g.get_state() for g in self._generators]

    def load_state_dict(self, state: list[torch.Tensor]) -> None:
        """Go on from where `state_dict` was taken."""
        for generator, saved in zip(self._generators, state, strict=True):
            generator.set_state(saved.cpu())

    def _fill(self, shape, dtype, draw) -> torch.Tensor:
        out = torch.empty(self.replicates, *shape, dtype=dtype, device=self.device)
        for row, generator in zip(out, self._generators, strict=True):
            draw(row, generator)
        return out


class Recording(Streams):
    """Streams that keep what is drawn, to draw the like again and to replay it.

    Parameters
    ----------
    streams : Streams
        Where the numbers come from.

    Attributes
    ----------
    draws : list of Tensor
        What was drawn, in order.
    """

    def __init__(self, streams: Streams):
        vars(self).update(vars(streams))
        self.draws: list[torch.Tensor] = []
        self._calls: list[tuple] = []

    def _fill(self, shape, dtype, draw) -> torch.Tensor:
        self._calls.append((shape, dtype, draw))
        self.draws.append(super()._fill(shape, dtype, draw))
        return self.draws[-1]

    def on(self, streams: Streams) -> "Recording":
        """Remember the same draws, to be drawn from other streams."""
        other = Recording(streams)
        other._calls = self._calls
        return other

    def redraw(self) -> list[torch.Tensor]:
        """Draw new numbers of the same kinds, shapes and order."""
        return [super(Recording, self)._fill(*call) for call in self._calls]


class Replay(Streams):
    """Streams that hand out numbers that were drawn before, in their order.

    Parameters
    ----------
    draws : list of Tensor
        As `Recording` keeps them, each (R, ...).
    """

    def __init__(self, draws: list[torch.Tensor]):
        self._draws, self._next = draws, 0

    def _fill(self, shape, dtype, draw) -> torch.Tensor:
        self._next += 1
        return self._draws[self._next - 1]


def hashed(*parts: object) -> int:
    """Turn parts of a seed into one number, the same one everywhere and always."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
