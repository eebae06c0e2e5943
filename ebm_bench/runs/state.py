"""State that no checkpoint holds: what calls change besides parameters and buffers.

A counter that anneals a loss would be compiled as the constant that it was, and start again at
zero where a training is resumed. `Watch` finds such state by comparing digests of all that the
parts of a run refer to, and of what belongs to the process.
"""

import copy
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from torch import Tensor

from ebm_bench.errors import InputError
from ebm_bench.runs.surroundings import surroundings
from ebm_bench.runs.walk import plain_state
from ebm_bench.streams import Streams

if TYPE_CHECKING:
    from ebm_bench.runs.assembly import Parts

_LARGE = 2**24  # bytes of an array that is not copied


class Watch:
    """Looks at the parts of a run between steps, for what changes and is not saved.

    Parameters
    ----------
    parts : sequence of object
        The energy, the objective, and others.
    streams : sequence of Streams
        Streams that calls get. Checkpoints hold their generators, and nothing else of them.
    put_back : list of str
        Names of settings that calls have changed, to which `guarded` and `around` add.

    Attributes
    ----------
    seen : dict of str to str
        Digests at the last look, by name; see `plain_state`.
    looks : int
        Number of looks.
    unsaved : list of str
        Names of what has changed between looks.
    """

    def __init__(
        self,
        parts: Sequence[object],
        streams: Sequence[Streams] = (),
        put_back: list[str] | None = None,
    ):
        self.parts = (*parts, *streams)
        self.saved = [generator for one in streams for generator in one.generators]
        self.seen: dict[str, str] = {}
        self.looks = 0
        self.unsaved: list[str] = []
        self.put_back = [] if put_back is None else put_back

    def begin(self) -> None:
        """Take note of what belongs to the process, before the first call."""
        self.seen |= surroundings()

    def look(self) -> bool:
        """Compare with the last look; returns whether a change was found for the first time.

        What has appeared is no change, as caches are made when they are first needed.
        """
        now = plain_state(*self.parts, saved=self.saved)
        if self.looks < 2:  # Later, others may have used them, such as a compiler.
            now |= surroundings()
        found = [*changed(self.seen, now), *self.put_back]
        is_first = bool(found) and not self.unsaved
        self.unsaved = sorted({*self.unsaved, *found})
        self.seen |= now
        self.looks += 1
        return is_first

    @contextmanager
    def around(self) -> Iterator[None]:
        """Compare what belongs to the process before and after a call."""
        before = surroundings()
        try:
            yield
        finally:
            self.put_back += changed(before, surroundings())

    def differences(self, seen: dict[str, str]) -> list[str]:
        """List what differs from the last look of another process, and look from here on."""
        self.seen, self.looks = plain_state(*self.parts, saved=self.saved), 2
        return [*changed(seen, self.seen), *self.put_back]


@contextmanager
def held(parts: "Parts") -> Iterator[None]:
    """Put weights, buffers and the count of evaluations back afterwards."""
    kept = {name: value.clone() for name, value in parts.state_dict().items()}
    evaluations = parts.energy.evaluations
    try:
        yield
    finally:
        try:
            parts.load_state_dict(kept)
        except RuntimeError as error:  # of a buffer that has grown
            raise InputError(f"{str(error).splitlines()[-1].strip()}: not put back") from error
        parts.energy.evaluations = evaluations


def copied(part: Any, *shared: object) -> Any:
    """Copy a part of a run, or several together, with the state that is plain attributes.

    Parameters
    ----------
    part : object
        Part, or a tuple of parts that may refer to each other.
    shared : object
        What copies refer to as the part does. They also share large arrays that are attributes.

    Returns
    -------
    object
        None where it cannot be copied.
    """
    memo = {id(one): one for one in shared}
    for each in part if isinstance(part, tuple) else (part,):
        memo |= {id(value): value for value in vars(each).values() if _is_large(value)}
    try:
        return copy.deepcopy(part, memo)
    except Exception:  # of many kinds: tensors with a graph, generators, locks
        return None


def _is_large(value: object) -> bool:
    return isinstance(value, Tensor | np.ndarray) and value.nbytes > _LARGE


def changed(before: dict[str, str], after: dict[str, str]) -> list[str]:
    """List what is in two states and differs."""
    return [name for name in before if after.get(name, before[name]) != before[name]]
