"""A whole step of every objective as on a GPU, without one.

Torch's device "meta" has shapes and no numbers. It refuses tensors of another device beside its
own, and whatever looks at a number: on a GPU the first is an error, and the second waits for all
that is under way.
"""

import pytest
import torch

from ebm_bench import datasets, energies, objectives, registry
from ebm_bench.derivatives import sweeps
from ebm_bench.errors import InputError
from ebm_bench.optim import adam
from ebm_bench.optim.adam import Optimiser
from ebm_bench.plugins.checks.objectives import Case, variants
from ebm_bench.runs import contracts
from ebm_bench.samplers import leapfrog
from ebm_bench.streams import Streams

DATASET = datasets.create("eight_gaussians")
# Some have two ways: by their shape, or by a setting.
ENERGIES = {
    **{name: (name, (2,), {}) for name in energies.names()},
    "conv": ("conv", (1, 4, 4), {}),
    "flow": ("flow", (2,), {"kind": "affine"}),
    "glow": ("flow", (1, 4, 4), {}),
}


class NoNumbers(Streams):
    """Streams on the device "meta", on which torch has no generators."""

    def __init__(self, replicates: int):
        super().__init__(0, replicates)
        self.device = torch.device("meta")

    def child(self, *purpose):
        return NoNumbers(self.replicates)

    def _fill(self, shape, dtype, draw):
        return torch.empty(self.replicates, *shape, dtype=dtype, device=self.device)


def built(objective, settings, energy):
    """Make an objective and an energy for it; None where they do not go together."""
    name, shape, chosen = ENERGIES[energy]
    network = energies.create(name, event_shape=shape, **chosen)
    network.attach(DATASET)
    if not [*network.parameters()]:
        return None  # a control that is not trained
    made = objectives.create(objective, **settings)
    made.attach(DATASET)
    try:
        made.build(network)
    except InputError:
        return None
    return made, network


def moved(module):
    """Move a module; parameters keep their marks, as they do on the way to a GPU."""
    marks = {name: dict(vars(parameter)) for name, parameter in module.named_parameters()}
    module.to("meta")
    for name, parameter in module.named_parameters():
        vars(parameter).update(marks[name])
    return module


def optimiser_of(objective, energy):
    groups = [list(part.parameters()) for part in (energy, *objective.children())]
    trained = [[p for p in group if p.requires_grad] for group in groups]
    return Optimiser(trained, energy.replicates, 0.1, 1.0, 10)


def step(optimiser, objective, energy, x, streams):
    """Take a step of training."""
    loss = objective.loss_at(energy, x, streams, torch.full((), 0.5, device=x.device))
    contracts.LOSS.require(objective.name, objective, loss, x)
    optimiser.step(loss, 0)


DENSITIES = [
    name
    for name, entry in registry.entries("datasets").items()
    if not entry.files and not entry.downloads
]
TRAINED = [name for name in objectives.names() if objectives.create(name).trains]


def quick(name, settings):
    """Add what makes a step short."""
    own = registry.describe("objectives", name).settings
    return {**({"steps": 1} if "steps" in own else {}), **settings}


CASES = [
    *((n, quick(n, {}), e) for n in TRAINED for e in ENERGIES if e != "glow"),
    *((n, quick(n, s), "mlp") for n in TRAINED for s in variants(n) if s),
    *((n, {}, "glow") for n in ("maximum_likelihood", "denoising_score_matching")),
]


@pytest.mark.parametrize(("name", "settings", "energy"), CASES, ids=str)
def test_a_step_waits_for_no_number(name, settings, energy):
    parts = built(name, settings, energy)
    if parts is None:
        return
    objective, network = map(moved, parts)
    x = torch.empty(1, 6, *network.event_shape, device="meta")
    optimiser = optimiser_of(objective, network)
    step(optimiser, objective, network, x, NoNumbers(1))
    state = [*objective.state_dict().values(), *network.state_dict().values()]
    state += optimiser.state_dict().values()
    assert {tensor.device.type for tensor in state} == {"meta"}


@pytest.mark.parametrize("name", TRAINED)
def test_every_objective_takes_a_step_with_some_energy(name):
    assert any(built(name, quick(name, {}), e) is not None for e in ENERGIES if e != "glow")


@pytest.mark.parametrize("name", DENSITIES)
def test_a_batch_waits_for_no_number(name):
    assert datasets.create(name).sample(6, NoNumbers(2)).device.type == "meta"


def test_whoever_looks_at_a_number_is_found():
    x = torch.empty(1, 6, 2, device="meta")
    for look in (lambda: bool((x > 0).any()), lambda: x[x > 0], lambda: x + torch.ones(2)):
        with pytest.raises((RuntimeError, NotImplementedError)):
            look()


@pytest.mark.parametrize("name", TRAINED)
def test_what_waits_for_no_number_finds_the_same(name, monkeypatch):
    """The ways that are taken where numbers are far, on the CPU."""
    case, found = Case(name, next(variants(name))), []
    for far in (False, True):
        if far:
            for module in (sweeps, adam, leapfrog):
                monkeypatch.setattr(module, "is_at_hand", lambda value: False)
        energy = case.energy(2)
        objective, data, streams = case.prepare(energy, 2, n=64)
        step(optimiser_of(objective, energy), objective, energy, data, streams)
        found.append(torch.cat([p.detach().flatten() for p in energy.parameters()]))
    assert torch.allclose(*found, rtol=1e-9, atol=1e-12)
