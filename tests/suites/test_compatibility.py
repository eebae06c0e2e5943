"""A suite refuses exactly those energies that an objective refuses when it is built."""

from functools import cache

import pytest

from ebm_bench import energies, objectives, registry
from ebm_bench.errors import InputError
from ebm_bench.suites.base import Named
from ebm_bench.suites.compatibility import check_fitting

POINTS = {"weighted_gaussians": (2,), "mnist": (1, 8, 8)}


def settings_of(entry):
    """Settings to try: the defaults, and each value that is declared rough."""
    rough = [(key, value) for key, values in entry.rough.items() for value in values]
    choices = {key: entry.settings[key][0].__args__ for key in entry.rough}
    smooth = [(key, next(v for v in choices[key] if v not in entry.rough[key]))
              for key in entry.rough]  # fmt: skip
    return [(), *((pair,) for pair in rough + smooth)]


@cache
def energy_of(name, settings, shape):
    return energies.create(name, event_shape=shape, **dict(settings))


PAIRS = [
    (objective, energy, settings, dataset)
    for objective in registry.names("objectives")
    for energy, entry in registry.entries("energies").items()
    for settings in settings_of(entry)
    for dataset in POINTS
    if {*entry.needs}
    <= {*registry.describe("datasets", dataset).knows}
    | {registry.describe("datasets", dataset).kind}
]


def refused(call):
    try:
        call()
    except ValueError as error:
        return str(error)
    return ""


@pytest.mark.parametrize(("objective", "energy", "settings", "dataset"), PAIRS)
def test_check_and_build_agree(objective, energy, settings, dataset):
    made = energy_of(energy, settings, POINTS[dataset])
    early = refused(
        lambda: check_fitting(
            "here", objective, Named(name=energy, settings=dict(settings)), dataset
        )
    )
    late = refused(lambda: objectives.create(objective).build(made))
    assert early.removeprefix("here: ") == late


def test_some_pairs_are_refused_and_others_are_not():
    def check(energy, dataset, **settings):
        named = Named(name=energy, settings=settings)
        return refused(lambda: check_fitting("here", "exact_score_matching", named, dataset))

    assert check("flow", "weighted_gaussians") == (
        "here: exact_score_matching needs a twice differentiable energy, and flow with kind "
        "'spline' is not. Valid: affine"
    )
    assert not check("flow", "weighted_gaussians", kind="affine")
    assert not check("flow", "mnist")  # a Glow, whatever the kind
    assert "silu" in check("mlp", "weighted_gaussians", activation="relu")


@pytest.mark.parametrize("name", registry.names("energies"))
def test_what_is_declared_normalised_has_a_log_normaliser(name):
    entry = registry.describe("energies", name)
    shape = POINTS["mnist" if "image" in entry.needs else "weighted_gaussians"]
    if "modes" not in entry.needs:  # its normaliser comes with the dataset
        assert entry.normalised == (energy_of(name, (), shape).log_z is not None)


def test_an_energy_that_is_never_smooth_is_refused_by_both(tmp_path, no_plugins):
    path = tmp_path / "angular.py"
    path.write_text('''
from dataclasses import dataclass

from ebm_bench.energies.base import Energy
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Angular(Energy):
    """A piecewise-linear energy."""

    smooth = False

    def build(self, streams):
        pass

    def forward(self, x):
        return x.abs().sum(2)
''')
    registry.load(path)
    words = "exact_score_matching needs a twice differentiable energy, and angular is not"
    named = Named(name="angular")
    assert refused(
        lambda: check_fitting("here", "exact_score_matching", named, "two_moons")
    ) == f"here: {words}"  # fmt: skip
    with pytest.raises(InputError, match=words):
        objectives.create("exact_score_matching").build(
            energies.create("angular", event_shape=(2,))
        )
