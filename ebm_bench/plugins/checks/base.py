"""What a check is, and how its failure is told."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

import torch
from torch import Tensor

from ebm_bench import registry
from ebm_bench.registry.source import Entry


@dataclass(frozen=True, eq=False)
class Named:
    """A registered class with its settings: what the cases of all families share.

    Attributes
    ----------
    name : str
        Registered name.
    settings : dict
        Other than the defaults.
    """

    family: ClassVar[str]

    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    @property
    def entry(self) -> Entry:
        """What its source says."""
        return registry.describe(self.family, self.name)

    @property
    def told(self) -> str:
        """Its settings in words, for messages."""
        return f", with {self.settings}" if self.settings else ""


def _always(case: Any) -> bool:
    return True


@dataclass(frozen=True)
class Check:
    """A property that every class of a family has.

    Attributes
    ----------
    run : callable
        Takes a case of its family and raises AssertionError where the property does not hold.
    expected : str
        The property, in words.
    cause : str
        Where it usually comes from when it does not hold.
    applies : callable
        Whether a case is to have the property.
    needed : bool
        Whether the checks after it make no sense without: tensors of wrong shapes would grow
        to any size in them.
    """

    run: Callable[[Any], None]
    expected: str
    cause: str
    applies: Callable[[Any], bool] = _always
    needed: bool = False

    @property
    def name(self) -> str:
        """Of the function that checks."""
        return self.run.__name__

    def __call__(self, case: Any) -> None:
        """Check a case."""
        self.run(case)


@dataclass(frozen=True)
class Verdict:
    """What came of a check.

    Attributes
    ----------
    check : Check
        What was checked.
    found : str
        What was found where it does not hold; empty where it does.
    raised : bool
        Whether the class itself raised an error.
    """

    check: Check
    found: str = ""
    raised: bool = False


def check(
    expected: str, cause: str, applies: Callable[[Any], bool] = _always, needed: bool = False
):
    """Turn a function into a check; see `Check`."""
    return lambda run: Check(run, expected, cause, applies, needed)


def expect(holds: Any, found: str) -> None:
    """Say what was found where a condition does not hold.

    Raises
    ------
    AssertionError
        With these words.
    """
    if not holds:
        raise AssertionError(found)


def expect_close(found: Tensor, expected: Tensor, words: str, **tolerances: float) -> None:
    """Say what was found where two tensors differ; tolerances as in `torch.testing`."""
    try:
        torch.testing.assert_close(found, expected, **tolerances)
    except AssertionError as error:
        lines = [line for line in str(error).splitlines() if line][1:] or [str(error)]
        raise AssertionError(f"{words} ({'; '.join(lines)})") from None


@check(
    "a docstring whose first line says in a sentence what it is",
    "The docstring is missing, or its first line does not end with a full stop: `ebm-bench list` "
    "and the leaderboard show that line",
)
def says_what_it_is(case) -> None:
    """Look for a summary."""
    expect(case.entry.summary.endswith("."), f"the first line is '{case.entry.summary}'")


def verify(checks: Sequence[Check], cases: Sequence[Any]) -> list[Verdict]:
    """Check cases of one class, each check until the first case for which it does not hold.

    A check that is `needed` ends the checking where it fails.
    """
    verdicts = []
    for each in checks:
        applying = [case for case in cases if each.applies(case)]
        if not applying:
            continue
        failing = (verdict for case in applying if (verdict := _examine(each, case)).found)
        verdicts.append(next(failing, Verdict(each)))
        if each.needed and verdicts[-1].found:
            break
    return verdicts


def _examine(each: Check, case: Any) -> Verdict:
    """Check a case."""
    try:
        each(case)
    except AssertionError as error:
        return Verdict(each, f"{error}{case.told}")
    except Exception as error:
        found = f"{type(error).__name__}: {error}{_place(error, case.entry)}{case.told}"
        return Verdict(each, found, raised=True)
    return Verdict(each)


def _place(error: Exception, entry: Entry) -> str:
    """Name the line of the class's own file that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(entry.path)]
    return f" ({entry.path.name}:{own[-1].lineno}: {own[-1].line})" if own else ""
