"""Random numbers: one generator per replicate, none of them global."""

import hashlib
from collections.abc import Sequence

import torch


class Streams:
    """Independent random streams, one per replicate.

    Every draw has the replicates as its leading axis, and the numbers of a replicate do not
    depend on which other replicates are drawn with it.

    Parameters
    ----------
    seed : int
        Seed of the suite.
    replicates : int or sequence of int
        Number of replicates, or their indices.
    device : str or torch.device
        Device of the generators.
    scope : tuple of str
        Purpose of the streams; part of the seed. See `child`.
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

    @property
    def generators(self) -> list[torch.Generator]:
        """Generators of the replicates, whose state is that of the streams."""
        return self._generators

    def child(self, *purpose: str) -> "Streams":
        """Open streams for a purpose; they do not depend on what was drawn from these."""
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
        """State of each stream, for a checkpoint."""
        return [g.get_state() for g in self._generators]

    def load_state_dict(self, state: list[torch.Tensor]) -> None:
        """Restore the state that `state_dict` returned."""
        for generator, saved in zip(self._generators, state, strict=True):
            generator.set_state(saved.cpu())

    def _fill(self, shape, dtype, draw) -> torch.Tensor:
        out = torch.empty(self.replicates, *shape, dtype=dtype, device=self.device)
        for row, generator in zip(out, self._generators, strict=True):
            draw(row, generator)
        return out


class Recording(Streams):
    """Streams that record their draws, to replay or repeat them.

    Parameters
    ----------
    streams : Streams
        Source of the numbers.

    Attributes
    ----------
    draws : list of Tensor
        Numbers drawn so far, in order.
    """

    def __init__(self, streams: Streams):
        vars(self).update(vars(streams))
        self._source = streams
        self.draws: list[torch.Tensor] = []
        self._calls: list[tuple] = []

    def _fill(self, shape, dtype, draw) -> torch.Tensor:
        self._calls.append((shape, dtype, draw))
        self.draws.append(self._source._fill(shape, dtype, draw))
        return self.draws[-1]

    def on(self, streams: Streams) -> "Recording":
        """Record the same calls, for draws from other streams."""
        other = Recording(streams)
        other._calls = self._calls
        return other

    def redraw(self) -> list[torch.Tensor]:
        """Repeat all recorded calls with new numbers."""
        return [self._source._fill(*call) for call in self._calls]


class Replay(Streams):
    """Streams that return recorded numbers, in order.

    Parameters
    ----------
    draws : list of Tensor
        Draws of a `Recording`, each (R, ...).
    """

    def __init__(self, draws: list[torch.Tensor]):
        self._draws, self._next = draws, 0

    def _fill(self, shape, dtype, draw) -> torch.Tensor:
        self._next += 1
        return self._draws[self._next - 1]


def hashed(*parts: object) -> int:
    """Hash parts of a seed to one number, independent of platform and version."""
    digest = hashlib.sha256(repr(parts).encode()).digest()
    return int.from_bytes(digest[:8], "big") >> 1
