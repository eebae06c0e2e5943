"""Run the checks of its family on every class of a plugin."""

import importlib
from dataclasses import dataclass, replace
from pathlib import Path

from ebm_bench import registry
from ebm_bench.plugins.checks.base import Verdict, verify
from ebm_bench.registry import Entry


@dataclass(frozen=True)
class Examination:
    """Results of the checks of one class.

    Attributes
    ----------
    entry : Entry
        Description of the class.
    verdicts : list of Verdict
        One per check.
    notes : list of str
        Measurements that have no right or wrong result.
    """

    entry: Entry
    verdicts: list[Verdict]
    notes: list[str]

    @property
    def holds(self) -> bool:
        """Whether every check passed."""
        return not any(verdict.found for verdict in self.verdicts)

    @property
    def lines(self) -> list[str]:
        """Report, line by line."""
        kept = sum(not verdict.found for verdict in self.verdicts)
        entry = self.entry
        report = [f"{registry.FAMILIES[entry.family].singular} {entry.name} ({entry.path.name})"]
        for verdict in self.verdicts:
            words = verdict.check.name.replace("_", " ")
            report.append(f"  {'FAILS' if verdict.found else 'holds'}  {words}")
            if verdict.found:
                report += [f"         expected: {verdict.check.expected}"]
                report += [f"         found: {verdict.found}"]
                if not verdict.raised:
                    report += [f"         usual cause: {verdict.check.cause}"]
        report += [f"  note   {note}" for note in self.notes]
        last = self.verdicts[-1]
        if last.check.needed and last.found:
            report += ["  Fix this first: the checks that follow depend on it and were skipped."]
        return [*report, f"{kept} of {len(self.verdicts)} checks hold"]


def examine(path: str | Path) -> list[Examination]:
    """Check every class that a plugin registers.

    Parameters
    ----------
    path : str or Path
        Python file.

    Raises
    ------
    InputError
        If the file is not a plugin or cannot be imported.
    """
    return [_examine(entry) for entry in registry.load(path)]


def _examine(entry: Entry) -> Examination:
    registry.imported(entry)  # what cannot be imported is bad input, not a broken contract
    contract = importlib.import_module(f"ebm_bench.plugins.checks.{entry.family}")
    cases = contract.Case.all(entry.name)
    done = Examination(entry, verify(contract.CHECKS, cases), [])
    # Measurements of a class that fails a check would mislead.
    return replace(done, notes=cases[0].notes()) if done.holds else done
