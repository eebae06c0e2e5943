"""What fits together, according to names, settings and declarations.

Each check raises a ValueError that names the place in the suite. Nothing here
imports torch.
"""

from collections.abc import Iterable, Mapping
from typing import Any, NoReturn

from ebm_bench import registry
from ebm_bench.errors import InputError, unknown
from ebm_bench.registry.entries import LEARNED
from ebm_bench.registry.fitting import misfit, needs_plane
from ebm_bench.suites.base import Named


def fail(where: str, why: object) -> NoReturn:
    """Refuse a part of a suite."""
    raise ValueError(f"{where}: {why}") from None


def check_named(where: str, family: str, name: str, settings: dict[str, Any]) -> None:
    """Refuse unknown names and settings, and normalise the settings in place.

    What is recorded, hashed and compared is what the suite contains after this.
    """
    try:
        settings.update(registry.describe(family, name).normalise(settings))
    except InputError as error:
        fail(where, error)


def check_served(where: str, serving: dict[str, list[str]], known: Iterable[str]) -> None:
    """Refuse unknown datasets, and values of two datasets for one."""
    seen: set[str] = set()
    for dataset in [name for first, others in serving.items() for name in (first, *others)]:
        if dataset not in known:
            fail(where, unknown("dataset of this suite", dataset, known))
        if dataset in seen:
            fail(where, f"{dataset} is listed twice")
        seen.add(dataset)


def objective_parts(objective: str, settings: dict[str, Any]) -> list[tuple[str, Named]]:
    """List an objective and the noise that it uses: by its setting, or by its definition."""
    entry = registry.describe("objectives", objective)
    _, default = entry.settings.get("noise", (None, entry.noise))
    noise = settings.get("noise", default)
    own = [("objectives", Named(name=objective, settings=settings))]
    if noise is None:
        return own
    return [*own, ("noise", Named(name=noise, settings=settings.get("noise_settings") or {}))]


def check_objective(
    where: str, objective: str, given: dict[str, Any], others: Mapping[str, Any] | None = None
) -> None:
    """Refuse unknown objectives and settings, those of the noise included, and normalise them.

    Parameters
    ----------
    where : str
        In the suite.
    objective : str
        Registered name.
    given : dict
        Settings, which are normalised in place.
    others : mapping, optional
        Further settings that these are used with, and replace.
    """
    settings = {**(others or {}), **given}
    check_named(where, "objectives", objective, settings)
    for family, noise in objective_parts(objective, settings)[1:]:
        check_named(f"{where}.noise_settings", family, noise.name, noise.settings)
        if settings.get("noise_settings"):
            settings["noise_settings"] = noise.settings
    given.update({name: settings[name] for name in given})


def check_offered(
    where: str, metric: str, dataset: str, learned: tuple[str, ...] = LEARNED
) -> None:
    """Refuse a metric that needs what neither the dataset nor a trained model knows."""
    offered = {*registry.describe("datasets", dataset).knows, *learned}

    def missing(name: str) -> list[str]:
        return [r for r in registry.describe("metrics", name).requires if r not in offered]

    if missing(metric):
        fitting = [name for name in registry.names("metrics") if not missing(name)]
        fail(
            where,
            f"{metric} needs {', '.join(missing(metric))}, which {dataset} does not offer. "
            f"Valid: {', '.join(fitting)}",
        )


def check_directed(where: str, metric: str, choices: Iterable[str]) -> None:
    """Refuse to rank by a metric of which neither more nor less is better."""
    if not _directed(metric):
        fitting = ", ".join(filter(_directed, choices)) or "none of them; add one to metrics"
        fail(where, f"{metric} has no better direction, so that nothing is ranked by it. "
             f"Valid: {fitting}")  # fmt: skip


def _directed(metric: str) -> bool:
    return registry.describe("metrics", metric).higher_is_better is not None


def check_fitting(
    where: str, objective: str, energy: Named, dataset: str, advice: str = ""
) -> None:
    """Refuse an objective, an energy and a dataset that cannot go together.

    Parameters
    ----------
    where : str
        In the suite.
    objective : str
        Registered name.
    energy : Named
        What it trains.
    dataset : str
        Registered name.
    advice : str, optional
        What to do about an energy that is not smooth.
    """
    requires = registry.describe("objectives", objective).requires
    entry = registry.describe("energies", energy.name)
    data = registry.describe("datasets", dataset)
    if why := misfit(requires, entry, entry.validate(energy.settings), data.kind, advice):
        fail(where, f"{objective} {why}")
    if "grid" in requires and "grid" not in data.knows:
        fail(where, f"{objective} {needs_plane()}")
    lacking = [need for need in entry.needs if need not in (*data.knows, data.kind)]
    if lacking:
        fail(where, f"energy {energy.name} needs {lacking[0]}, and {dataset} has none")
