"""Every registered objective keeps the contract, and points the right way.

The variants below are read from the registry, so that a new objective, a new choice of a
setting or a new noise is tested without a line being written here.
"""

import pytest

from ebm_bench import energies, objectives, registry
from ebm_bench.errors import InputError
from ebm_bench.nn.flow import FlowModel
from ebm_bench.noise.flow import Flow
from ebm_bench.plugins.checks.objectives import CHECKS, Case, variants

# What makes a test quick; nothing that changes what is tested.
CHAINS = {"steps": 20, "step_size": 0.3, "chains": 4000}
QUICK = {
    "contrastive_divergence": CHAINS,
    "improved_contrastive_divergence": {**CHAINS, "chains": 150},
    "jarzynski_contrastive_divergence": {"walkers": 4000, "steps": 2},
    "pseudo_spherical": CHAINS,
}
# Numbers that matter and are not a choice between a few.
NUMBERS = [
    ("sliced_score_matching", {"variance_reduced": False, "projections": 3}),
    ("denoising_score_matching", {"sigma": 0.3}),
    ("conditional_noise_contrastive", {"epsilon": 1.0, "ratio": 3}),
    ("weighted_score_matching", {"projections": 2}),
    ("noise_contrastive", {"ratio": 3}),
    ("noise_contrastive", {"ratio": 0.5}),
]
CASES = [
    Case(name, {**QUICK.get(name, {}), **settings})
    for name, settings in [
        *((name, settings) for name in objectives.names() for settings in variants(name)),
        *NUMBERS,
    ]
]
APPLYING = [(case, check) for check in CHECKS for case in CASES if check.applies(case)]


def ids(named):
    return [f"{name}-{'-'.join(map(str, settings.values()))}" for name, settings in named]


@pytest.mark.parametrize(
    ("case", "check"),
    APPLYING,
    ids=[f"{check.name}-{ids([(case.name, case.settings)])[0]}" for case, check in APPLYING],
)
def test_contract(case, check):
    check(case)


def density_points(found):
    """Points of log-densities (R, B), alone or behind their points."""
    return (found[1] if isinstance(found, tuple) else found).shape[1]


@pytest.mark.parametrize("batch", [2, 7, 64])
@pytest.mark.parametrize("case", CASES, ids=ids([(case.name, case.settings) for case in CASES]))
def test_densities_of_noises_are_counted(case, batch, monkeypatch):
    """As many points as pass the noise in a step, whichever way they do."""
    seen = []

    def count(cls, name, points):
        original = getattr(cls, name)

        def counting(self, *arguments):
            found = original(self, *arguments)
            seen.append(points(found))
            return found

        monkeypatch.setattr(cls, name, counting)

    energy = case.energy(2)
    objective, data, streams = case.prepare(energy, 2, n=max(batch, 64))
    kind = type(getattr(objective, "distribution", None))
    if kind is Flow:
        for name in ("_density_of_samples", "_density_of_data"):
            count(FlowModel, name, density_points)
    elif kind is not type(None):
        count(kind, "log_prob", density_points)
    objective.loss_at(energy, data[:, :batch], streams)
    assert sum(seen) == objective.noise_evaluations(batch)


ROUGH = [
    (name, {key: value})
    for name, entry in registry.entries("energies").items()
    for key, values in entry.rough.items()
    for value in values
]


@pytest.mark.parametrize(("energy", "settings"), ROUGH, ids=ids(ROUGH))
def test_score_matching_refuses_energies_without_a_second_derivative(energy, settings):
    shape = (1, 8, 8) if energy == "conv" else (2,)
    rough = energies.create(energy, event_shape=shape, **settings)
    asking = [n for n in objectives.names() if "smooth" in objectives.create(n).requires]
    assert len(asking) >= 3
    for name in asking:
        with pytest.raises(InputError, match=r"twice differentiable"):
            objectives.create(name).build(rough)
