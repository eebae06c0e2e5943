"""What is compared: contenders, rows of contenders, and the targets of a row."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

# The module that a contender needs, and how its absence is mended.
PEERS = {"torchebm": "torchebm", "ebmkit": "ebm"}
INSTALL = "pip install -e '.[peers]'"


@dataclass(frozen=True)
class Contender:
    """One way to do what a row compares.

    Attributes
    ----------
    step : callable
        What is timed: a training step with its optimiser, or another stretch of work.
    values : callable
        What must agree with the other contenders, as tensors: the loss, and the gradients as
        one vector. Nothing where there is nothing to compare.
    plain : callable, optional
        The same step without compilation, whose operations can be counted; default ``step``.
    """

    step: Callable[[], object]
    values: Callable[[], list[Tensor]] = list
    plain: Callable[[], object] | None = None


# A floating-point type and a number of points make a contender.
Builder = Callable[[torch.dtype, int], Contender]


@dataclass(frozen=True)
class Target:
    """What the project wants of a row.

    Attributes
    ----------
    against : str
        The contender to compare with; empty for a limit in the quantity's own unit.
    at_least : float, optional
        Smallest good ratio of the other contender to ours.
    at_most : float, optional
        Largest good ratio of ours to the other contender, or value of ours.
    quantity : str
        ``seconds`` of a step, or ``peak_bytes`` of its memory.
    """

    against: str
    at_least: float | None = None
    at_most: float | None = None
    quantity: str = "seconds"


@dataclass(frozen=True)
class Row:
    """One comparison.

    Attributes
    ----------
    name : str
        As ``python -m benchmarks.speed --only`` takes it.
    title : str
        What is done, in words.
    contenders : dict of str to Builder
        ``ours`` is the first; ``plain`` is forward, backward and Adam of the energy alone.
    targets : tuple of Target
        What is wanted. Contenders without one are reported all the same.
    batch, check_batch : int
        Points in a timed step, and in the comparison of the values; at least two, which data
        that are standardised need.
    compared : bool
        Whether the contenders compute the same, which is found out first; not so for bounds.
    counted : bool
        Whether memory and operations are found, which takes a long work ten times as long.
    timed : bool
        Whether the time is measured, or the memory of one step alone.
    curve : str
        The panel of the figures that the row is a point of; empty for none.
    dimension : int
        Of a point, for the figures.
    """

    name: str
    title: str
    contenders: dict[str, Builder]
    targets: tuple[Target, ...] = ()
    batch: int = 512
    check_batch: int = 16
    compared: bool = True
    counted: bool = True
    timed: bool = True
    curve: str = ""
    dimension: int = 0


def is_missing(contender: str) -> bool:
    """Tell whether the library of a contender is not installed."""
    return contender in PEERS and find_spec(PEERS[contender]) is None
