"""Every registered objective keeps the contract, and points the right way.

The variants below are read from the registry, so that a new objective, a new choice of a
setting or a new noise is tested without a line being written here.
"""

import pytest

from ebm_bench import energies, objectives, registry
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.objectives import CHECKS, Case, variants

# What makes a test quick; nothing that changes what is tested.
QUICK = {
    "contrastive_divergence": {"steps": 20, "step_size": 0.3, "chains": 4000},
    "flow_contrastive": {"noise_settings": {"steps": 5}},
}
# Numbers that matter and are not a choice between a few.
NUMBERS = [
    ("sliced_score_matching", {"variance_reduced": False, "projections": 3}),
    ("denoising_score_matching", {"sigma": 0.3}),
    ("conditional_noise_contrastive", {"epsilon": 1.0, "ratio": 3}),
    ("noise_contrastive", {"ratio": 3}),
    ("noise_contrastive", {"ratio": 0.5}),
]
# What an objective owns and maximises, against the energy.
MAXIMISED = {"flow_contrastive": ("distribution",)}
CASES = [
    Case(name, {**QUICK.get(name, {}), **settings}, MAXIMISED.get(name, ()))
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
