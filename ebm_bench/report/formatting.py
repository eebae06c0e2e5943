"""Texts for numbers, metrics and outcomes, the same in tables, figures and page."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ebm_bench import registry
from ebm_bench.records import Outcome

MISSING = "–"
_ENDINGS = {
    "escaped": "escaped",
    "diverged": "diverged",
    "flow_escaped": "flow escaped",
    "out_of_memory": "out of memory",
    "timeout": "timed out",
}

WORDS = {"steps": "steps", "seconds": "seconds", "evaluations": "energy evaluations"}  # of budgets


@dataclass(frozen=True)
class Quantity:
    """The quantity of a column or axis.

    Attributes
    ----------
    label, unit : str
        Label and unit of the metric; a further part of a metric has no unit.
    meaning : str
        Description in one sentence.
    higher_is_better : bool or None
        None where neither is, as for a further part of a metric.
    lower_bound : bool
        Whether a value that did not converge is no more than a lower bound.
    scale : {"linear", "log"}
        On which scale values are compared and averaged.
    """

    label: str
    unit: str
    meaning: str
    higher_is_better: bool | None
    lower_bound: bool = False
    scale: Literal["linear", "log"] = "linear"

    @property
    def arrow(self) -> str:
        """The direction of better values."""
        return {True: "↑", False: "↓", None: ""}[self.higher_is_better]

    @property
    def axis(self) -> str:
        """For axes: ``KL(data‖model) [nats], lower is better``."""
        direction = {True: ", higher is better", False: ", lower is better", None: ""}
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.label}{unit}{direction[self.higher_is_better]}"

    @property
    def head(self) -> str:
        """For table heads: ``KL(data‖model) [nats] ↓``."""
        unit = f" [{self.unit}]" if self.unit else ""
        return f"{self.label}{unit} {self.arrow}".strip()


def quantity(metric: str) -> Quantity:
    """Describe a metric, or a further part of one (``metric.part``)."""
    name, _, part = metric.partition(".")
    entry = registry.describe("metrics", name)
    label = " ".join(entry.label.split()) or name.replace("_", " ")
    if part:
        words = " ".join(part.replace("_", " ").split())
        return Quantity(f"{label}: {words}", "", plain(entry.summary), None)
    return Quantity(
        label,
        entry.unit,
        plain(entry.summary),
        entry.higher_is_better,
        entry.lower_bound,
        entry.scale,
    )


def explanation(metric: str) -> str:
    """Read the docstring of a metric up to its sections, as one paragraph."""
    return plain(" ".join(registry.describe("metrics", metric).sections[""].split()))


def plain(text: str) -> str:
    """Remove backticks from the text of a docstring."""
    return text.replace("`", "")


def digits(x: float | None, decimals: int | None = None) -> tuple[str, int | None]:
    """Write a number as digits and a power of ten, which is None for 1; see `number`."""
    if x is None or math.isnan(x):
        return MISSING, None
    if math.isinf(x):
        return "∞" if x > 0 else "−∞", None
    if x != 0 and not 1e-3 <= abs(x) < 1e5:
        mantissa, power = f"{x:.2e}".split("e")
        return mantissa.replace("-", "−"), int(power)
    text = f"{x:.{decimals_of(x) if decimals is None else decimals}f}"
    return text.replace("-", "−" if float(text) else ""), None


def number(x: float | None, decimals: int | None = None) -> str:
    """Write a number with three digits or so many decimals, and a dash if it is missing."""
    mantissa, power = digits(x, decimals)
    return mantissa if power is None else f"{mantissa}e{power}".replace("-", "−")


def count(x: int) -> str:
    """Write a large count: ``1.2 M``."""
    for factor, sign in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if x >= factor:
            return f"{x / factor:.3g} {sign}"
    return str(x)


def amount(x: float, unit: str) -> str:
    """Write a budget: ``1.55 s``, ``600 steps``, ``76.8 k energy evaluations``."""
    if unit == "seconds":
        return f"{number(x)} s"
    return f"{count(round(x))} {WORDS[unit]}"


def few(names: Sequence[str], most: int, between: str = ", ") -> str:
    """Join the first names, and count the others where there are more than so many."""
    more = [f"{len(names) - most} more"] if len(names) > most else []
    return between.join([*names[:most], *more])


def probability(p: float, name: str = "") -> str:
    """Write a p value, ``0.02`` or with its name ``p = 0.02``; a dash where there is none."""
    text = MISSING if math.isnan(p) else "< 0.001" if p < 1e-3 else f"{p:.2g}"
    return f"{name} {text if text.startswith('<') else f'= {text}'}" if name else text


def ending(outcomes: list[Outcome]) -> str:
    """Describe how the replicates of a run ended: ``ok``, ``1 of 3 diverged at step 120``."""
    found = []
    for status, words in _ENDINGS.items():
        steps = sorted(o.step for o in outcomes if o.status == status)
        if steps:
            share = "" if len(outcomes) == 1 else f"{len(steps)} of {len(outcomes)} "
            first, last = steps[0], steps[-1]
            at = f" at step {first}" if first == last else f" at steps {first} to {last}"
            # That a model has escaped is seen at its end, and not when it did.
            found.append(f"{share}{words}{at if status != 'escaped' else ''}")
    return ", ".join(found) or "ok"


def decimals_of(x: float, digits: int = 3) -> int:
    """Count the decimals that show so many digits of a number, at most five."""
    if x == 0 or not math.isfinite(x):
        return 0
    return min(max(digits - 1 - math.floor(math.log10(abs(x))), 0), 5)
