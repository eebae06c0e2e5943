"""Contenders, rows of contenders, and the targets of a row."""

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec

import torch
from torch import Tensor

# Module of each peer library, and how to install them.
PEERS = {"torchebm": "torchebm", "ebmkit": "ebm"}
INSTALL = "pip install -e '.[peers]'"


@dataclass(frozen=True)
class Contender:
    """One way to do the work of a row.

    Attributes
    ----------
    step : callable
        The work that is timed: a training step with its optimiser, or part of an evaluation.
    values : callable
        Tensors that must agree with those of the other contenders: the loss, and gradients as
        vectors. Empty if there is nothing to compare.
    plain : callable, optional
        The same step without compilation, for counting operations. Default: ``step``.
    """

    step: Callable[[], object]
    values: Callable[[], list[Tensor]] = list
    plain: Callable[[], object] | None = None


# Builds a contender for a floating-point type and a batch size.
Builder = Callable[[torch.dtype, int], Contender]


@dataclass(frozen=True)
class Target:
    """A ratio, or an amount of memory, that a row should reach.

    Attributes
    ----------
    against : str
        Contender to compare with. Empty for an absolute limit on ours.
    at_least : float, optional
        Lower limit on the ratio of the other contender to ours.
    at_most : float, optional
        Upper limit on the ratio of ours to the other contender, or on ours.
    quantity : str
        ``seconds`` per step, or ``peak_bytes``.
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
        Name on the command line.
    title : str
        Description in the table.
    contenders : dict of str to Builder
        ``ours`` comes first; ``plain`` is forward, backward and Adam of the energy alone.
    targets : tuple of Target
        Contenders without a target are reported as well.
    batch, check_batch : int
        Batch size when timing, and when comparing values. At least two: data are standardised.
    compared : bool
        Whether all contenders compute the same values, which is checked first.
    counted : bool
        Whether to measure memory and count operations, which makes long work ten times longer.
    timed : bool
        Whether to measure the time. If not, only the memory of one step is measured.
    curve : str
        Panel of the figures to which the row contributes a point. Empty for none.
    dimension : int
        Dimension of a data point, for the figures.
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
    """Whether the contender needs a library that is not installed."""
    return contender in PEERS and find_spec(PEERS[contender]) is None
