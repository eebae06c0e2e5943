"""A contract, and words that several contracts share."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams


@dataclass(frozen=True)
class Contract:
    """A property that a run relies on.

    Attributes
    ----------
    family : str
        Family of the classes that have it.
    expected : str
        Description of the property.
    cause : str
        Usual cause of a failure.
    fault : callable
        Describes how the property fails; empty if it holds.
    """

    family: str
    expected: str
    cause: str
    fault: Callable[..., str]

    def require(self, name: str, *arguments: Any) -> None:
        """Raise an `InputError` that names the class if the property does not hold."""
        if found := self.fault(*arguments):
            entry = registry.describe(self.family, name)
            kind = registry.FAMILIES[self.family].singular
            raise InputError(f"{kind} {entry.class_name} ({entry.path.name}): {self.words(found)}")

    def words(self, found: str) -> str:
        """Describe a failure and its usual cause."""
        return f"{found}. Expected: {self.expected}. Usual cause: {self.cause}"


def no_tensor(values: Any) -> str:
    """Describe what is no tensor of numbers; empty if it is one."""
    if not isinstance(values, Tensor):
        return f"{type(values).__name__}, not a tensor"
    return "" if values.layout == torch.strided else f"{values.layout}, not a dense tensor"


def misshapen(values: Any, x: Tensor, axes: int = 1) -> str:
    """Compare values with points: one for each replicate, or also for each point."""
    if kind := no_tensor(values):
        return kind
    if values.shape != x.shape[:axes]:
        where = " and ".join(
            f"{axis} is {n}" for axis, n in zip("RB", x.shape[:axes], strict=False)
        )
        return f"shape {tuple(values.shape)} where {where}"
    if values.dtype != x.dtype:
        return f"{values.dtype} for data of {x.dtype}"
    if values.device != x.device:
        return f"on {values.device} for data on {x.device}"
    return ""


def normaliser_fault(part: Any, replicates: int) -> str:
    """Look at the log-normaliser of an energy, or that which an objective learns."""
    log_z = part.log_z
    if log_z is None:
        return ""
    if kind := no_tensor(log_z):
        return f"log_z is {kind}"
    if log_z.shape != (replicates,):
        return f"log_z is not of shape ({replicates},)"
    return "" if log_z.is_floating_point() else f"log_z is of {log_z.dtype}"


def foreign_draws(
    draw: Callable[[Streams], Tensor], streams: Streams, may_be_fixed: bool = False
) -> str:
    """Describe replicates whose numbers are not drawn from their own stream, and from it alone.

    Draw from the beginning of streams: unchanged, with other streams for all replicates but the
    first, and with others for all. What changes from call to call is left to another contract.

    Parameters
    ----------
    draw : callable
        Draws numbers of shape (R, ...) from streams.
    streams : Streams
        Streams of the replicates. They are not moved.
    may_be_fixed : bool
        Whether nothing need be drawn.
    """
    first = streams.indices[0]
    others = [n if n == first else _Foreign(n) for n in streams.indices]
    each = [_Foreign(n) for n in streams.indices]
    one, again, partly, wholly = (
        draw(Streams(streams.seed, chosen, streams.device, streams.scope))
        for chosen in (streams.indices, streams.indices, others, each)
    )
    if not torch.equal(one, again):
        return ""
    if torch.equal(one, wholly):
        return "" if may_be_fixed else "the numbers do not depend on the streams"
    for row, other in enumerate(others):
        if isinstance(other, _Foreign):
            if torch.equal(one[row], partly[row]):
                return "the numbers of a replicate do not depend on its own stream"
        elif not close(one[row], partly[row]):
            return "the numbers of a replicate depend on the streams of others"
    return ""


def depends_on_others(compute: Callable[[Tensor], Tensor], x: Tensor) -> bool:
    """Whether values of a replicate change with the points of others.

    Parameters
    ----------
    compute : callable
        Takes points of shape (R, B, *event_shape), and returns values of shape (R, ...).
    x : Tensor
        Points, which are moved a little towards each other within their replicate. They stay
        distinct, as what factors their covariance needs.
    """
    one, again = compute(x), compute(x)
    if not torch.equal(one, again):  # what changes from call to call is another contract's
        return False
    first, rest = slice(0, 1), slice(1, None)
    moved = x.lerp(x.roll(1, 1), 0.25)
    for replaced, kept in ((rest, first), (first, rest)):
        other = x.clone()
        other[replaced] = moved[replaced]
        if not close(compute(other)[kept], one[kept]):
            return True
    return False


class _Foreign(int):
    """An index of a replicate with a stream of its own, as streams are told apart by text."""

    def __repr__(self) -> str:
        return f"foreign {int(self)}"


def close(one: Tensor, other: Tensor) -> bool:
    """Compare up to rounding, and what iterations that all replicates share leave."""
    if one.shape != other.shape:
        return False
    return torch.allclose(one.double(), other.double(), rtol=1e-4, atol=1e-6, equal_nan=True)


def changes(names: Sequence[str]) -> str:
    """Say what changes."""
    return f"{', '.join(names)} {'changes' if len(names) == 1 else 'change'} from call to call"
