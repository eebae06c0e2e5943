"""Which objective can train which energy: one answer for suites, read early, and for training."""

from collections.abc import Iterable, Mapping
from typing import Any, get_args

from ebm_bench import registry
from ebm_bench.registry.entries import Kind


def kind_of(event_shape: tuple[int, ...]) -> Kind:
    """Kind of the datasets whose points have a shape: vectors are toys."""
    return "image" if len(event_shape) > 1 else "toy"


def rough_setting(energy: Any, settings: Mapping[str, Any], kind: Kind) -> str | None:
    """Find a setting that makes an energy not twice differentiable.

    Parameters
    ----------
    energy : Energy or EnergyEntry
        Declares ``rough`` and ``rough_for``.
    settings : mapping
        All settings of the energy.
    kind : {"toy", "image"}
        Kind of the dataset.
    """
    if kind not in energy.rough_for:
        return None
    return next((s for s, values in energy.rough.items() if settings[s] in values), None)


def misfit(
    requires: Iterable[str], energy: Any, settings: Mapping[str, Any], kind: Kind, advice: str = ""
) -> str | None:
    """State why an objective cannot train an energy.

    Parameters
    ----------
    requires : iterable of str
        Declared by the objective.
    energy : Energy or EnergyEntry
        The energy, or its description.
    settings : mapping
        All settings of the energy.
    kind : {"toy", "image"}
        Kind of the dataset.
    advice : str, optional
        What to do about an energy that is not smooth.

    Returns
    -------
    str or None
        A sentence whose subject is the objective, with the valid choices. None where the two
        fit.
    """
    if "smooth" in requires:
        need = f"needs a twice differentiable energy, and {energy.name}"
        if setting := rough_setting(energy, settings, kind):
            choices = get_args(registry.describe("energies", energy.name).settings[setting][0])
            smooth = ", ".join(v for v in choices if v not in energy.rough[setting])
            return f"{need} with {setting} '{settings[setting]}' is not{advice}. Valid: {smooth}"
        if not energy.smooth:
            return f"{need} is not{advice}"
    if "log_z" in requires and not energy.normalised:
        return (
            "needs an energy whose normaliser is known, and that of "
            f"{energy.name} is not. Valid: {_declaring('normalised')}"
        )
    if "levels" in requires and not energy.levels:
        return (
            "needs an energy that can be continued to noise levels, and "
            f"{energy.name} cannot. Valid: {_declaring('levels')}"
        )
    return None


def _declaring(attribute: str) -> str:
    """List the energies of which an attribute is true."""
    return ", ".join(n for n, e in registry.entries("energies").items() if getattr(e, attribute))


def needs_plane() -> str:
    """State that an objective is for densities in the plane only, as `misfit` does."""
    planar = ", ".join(n for n, e in registry.entries("datasets").items() if "grid" in e.knows)
    return f"needs a density in the plane; restrict it by 'datasets: [...]'. Valid: {planar}"
