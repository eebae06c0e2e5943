"""Checks of registered classes, and how their failures are reported."""

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from ebm_bench import registry
from ebm_bench.registry import Entry
from ebm_bench.runs.contracts.base import Contract
from ebm_bench.runs.state import changed
from ebm_bench.runs.surroundings import global_generators


@dataclass(frozen=True, eq=False)
class Named:
    """A registered class with its settings.

    Attributes
    ----------
    name : str
        Registered name.
    settings : dict
        Settings that differ from the defaults.
    """

    family: ClassVar[str]

    name: str
    settings: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def all(cls, name: str) -> list[Self]:
        """List the cases in which a class is checked."""
        return [cls(name)]

    @property
    def entry(self) -> Any:
        """Description of the class, an `Entry` of its family."""
        return registry.describe(self.family, self.name)

    def create(self, **arguments: Any) -> Any:
        """Create an instance with the settings, and further arguments."""
        return registry.create(self.family, self.name, **{**self.settings, **arguments})

    @property
    def context(self) -> str:
        """Settings, for messages."""
        return f", with {self.settings}" if self.settings else ""

    def notes(self) -> list[str]:
        """Report measurements that have no right or wrong result."""
        return []


@dataclass(frozen=True)
class Check:
    """A property that every class of a family has.

    Attributes
    ----------
    run : callable
        Takes a case of the family; raises AssertionError if the property does not hold.
    expected : str
        Description of the property.
    cause : str
        Usual cause of a failure.
    applies : callable
        Whether a case must have the property.
    needed : bool
        Whether the checks that follow depend on it: tensors of wrong shapes could grow to any
        size in them.
    """

    run: Callable[[Any], None]
    expected: str
    cause: str
    applies: Callable[[Any], bool]
    needed: bool

    @property
    def name(self) -> str:
        """Name of the function that checks."""
        return self.run.__name__

    def __call__(self, case: Any) -> None:
        """Check a case."""
        self.run(case)


@dataclass(frozen=True)
class Verdict:
    """Result of a check.

    Attributes
    ----------
    check : Check
        The check.
    found : str
        Description of the failure; empty if the property holds.
    raised : bool
        Whether the class itself raised an error.
    """

    check: Check
    found: str = ""
    raised: bool = False


def check(
    what: str | Contract,
    cause: str = "",
    applies: Callable[[Any], bool] = lambda case: True,
    needed: bool = False,
) -> Callable[[Callable], Check]:
    """Turn a function into a check of what is expected; further arguments as for `Check`.

    A contract, which runs verify too, states itself what is expected and the usual cause.
    """
    if isinstance(what, Contract):
        cause, what = what.cause, what.expected
    return lambda run: Check(run, what, cause, applies, needed)


def expect_kept(contract: Contract, *arguments: Any) -> None:
    """Raise AssertionError with a description if a contract is broken."""
    found = contract.fault(*arguments)
    expect(not found, found)


def expect(holds: Any, found: str) -> None:
    """Raise AssertionError with a description if a condition does not hold."""
    if not holds:
        raise AssertionError(found)


def expect_close(found: Tensor, expected: Tensor, words: str, **tolerances: Any) -> None:
    """Raise AssertionError if two tensors differ; tolerances as in `torch.testing`."""
    try:
        torch.testing.assert_close(found, expected, **tolerances)
    except AssertionError as error:
        lines = [line for line in str(error).splitlines() if line][1:] or [str(error)]
        raise AssertionError(f"{words} ({'; '.join(lines)})") from None


@check(
    "a docstring whose first line is a sentence",
    "The docstring is missing, or its first line does not end with a full stop: `ebm-bench list` "
    "and the leaderboard show that line",
)
def says_what_it_is(case) -> None:
    """Look for a summary."""
    expect(case.entry.summary.endswith("."), f"the first line is '{case.entry.summary}'")


@check(
    "random numbers come from the streams that are passed in, none from global generators",
    "torch.randn, x.normal_() or numpy.random: use streams.normal, streams.uniform or, to seed "
    "a library, streams.integers",
)
def global_generator_is_left_alone(case) -> None:
    """Compare states of the generators before and after a use of the class."""
    before = global_generators()
    case.use()
    moved = changed(before, global_generators())
    expect(not moved, f"{' and '.join(moved)} was used")


def verify(checks: Sequence[Check], cases: Sequence[Any]) -> list[Verdict]:
    """Run each check on the cases of one class, up to the first case that fails it.

    A failure of a check that is `needed` ends the run.
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
        return Verdict(each, f"{error}{case.context}")
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # a plugin may also exit
        found = f"{type(error).__name__}: {error}{_place(error, case.entry)}{case.context}"
        return Verdict(each, found, raised=True)
    return Verdict(each)


def _place(error: BaseException, entry: Entry) -> str:
    """Name the line of the class's own file that raised an error."""
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if frame.filename == str(entry.path)]
    return f" ({entry.path.name}:{own[-1].lineno}: {own[-1].line})" if own else ""


def checks_of(module: dict[str, Any]) -> list[Check]:
    """List the checks that a module defines, in order, between those of all families."""
    own = (each for each in module.values() if isinstance(each, Check))
    return [says_what_it_is, *own, global_generator_is_left_alone]
