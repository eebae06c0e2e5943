"""Checking a plugin: every class of it by the contract of its family."""

import importlib
from dataclasses import dataclass
from pathlib import Path

from ebm_bench import registry
from ebm_bench.plugins.checks.base import Verdict, verify
from ebm_bench.registry.source import Entry


@dataclass(frozen=True)
class Examination:
    """What came of the checks of one class.

    Attributes
    ----------
    entry : Entry
        The class.
    verdicts : list of Verdict
        One a check.
    notes : list of str
        What was measured and has no right or wrong.
    """

    entry: Entry
    verdicts: list[Verdict]
    notes: list[str]

    @property
    def holds(self) -> bool:
        """Whether nothing was found."""
        return not any(verdict.found for verdict in self.verdicts)

    @property
    def lines(self) -> list[str]:
        """Tell it in words."""
        kept = sum(not verdict.found for verdict in self.verdicts)
        entry = self.entry
        told = [f"{registry.SINGULAR[entry.family]} {entry.name} ({entry.path.name})"]
        for verdict in self.verdicts:
            words = verdict.check.name.replace("_", " ")
            told.append(f"  {'FAILS' if verdict.found else 'holds'}  {words}")
            if verdict.found:
                told += [f"         expected: {verdict.check.expected}"]
                told += [f"         found: {verdict.found}"]
                if not verdict.raised:
                    told += [f"         usual cause: {verdict.check.cause}"]
        told += [f"  note   {note}" for note in self.notes]
        last = self.verdicts[-1]
        if last.check.needed and last.found:
            told += ["  Mend this first: the checks that follow need it, and were not made."]
        return [*told, f"{kept} of {len(self.verdicts)} checks hold"]


def examine(path: str | Path) -> list[Examination]:
    """Check every class that a plugin registers.

    Parameters
    ----------
    path : path
        Of the file.

    Raises
    ------
    InputError
        Where the file is no plugin, or cannot be imported.
    """
    return [_examine(entry) for entry in registry.load(path)]


def _examine(entry: Entry) -> Examination:
    registry.imported(entry)  # what cannot be imported is bad input, not a broken contract
    contract = importlib.import_module(f"ebm_bench.plugins.checks.{entry.family}")
    cases = contract.cases(entry.name)
    verdicts = verify(contract.CHECKS, cases)
    done = Examination(entry, verdicts, [])
    # Where something is wrong, what else was measured would only mislead.
    return Examination(entry, verdicts, contract.notes(cases[0])) if done.holds else done
