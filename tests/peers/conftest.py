"""One replicate of ours beside one model of theirs, with the same random numbers."""

from dataclasses import dataclass

import pytest
import torch
import torchebm.core
from ebm.nets import MLPEnergy
from torch import nn

from ebm_bench import energies
from ebm_bench.energies.base import Energy
from ebm_bench.streams import Recording, Streams


class Single(torchebm.core.BaseModel):
    """Our energy of one replicate as both libraries call theirs: (B, ...) to (B,)."""

    def __init__(self, energy):
        super().__init__(dtype=torch.float64)
        self.energy = energy

    def forward(self, x):
        return self.energy(x.unsqueeze(0)).squeeze(0)


@dataclass(eq=False, kw_only=True, repr=False)
class Theirs(Energy):
    """A network of ebmkit as our energy of one replicate."""

    def build(self, streams):
        torch.manual_seed(0)
        self.network = MLPEnergy(*self.event_shape, hidden=(8, 8))

    def forward(self, x):
        return self.network(x.squeeze(0)).unsqueeze(0)


class Pair:
    """An energy with a batch of data, and what was drawn for our loss of it."""

    def __init__(self, energy: nn.Module):
        self.energy = energy.double()
        self.theirs = Single(energy)
        self.streams = Recording(Streams(1, 1))
        shape = energy.event_shape
        self.x = 0.5 + 1.5 * Streams(2, 1).normal(7, *shape, dtype=torch.float64)
        energy.fit(self.x)

    def draws(self):
        """What was drawn so far as one row of numbers; integers stand for signs."""
        rows = (d.flatten() for d in self.streams.draws)
        return torch.cat([r if r.is_floating_point() else 2.0 * r.double() - 1 for r in rows])


@pytest.fixture(params=["mlp", "ica", "conv", "theirs"])
def any_pair(request):
    return make(request.param)


@pytest.fixture(params=["mlp", "ica", "theirs"])
def pair(request):
    return make(request.param)


def make(name):
    if name == "theirs":
        return Pair(Theirs(event_shape=(3,)))
    settings = {"mlp": {"width": 8}, "ica": {"source": "logistic"}, "conv": {"channels": 2}}
    shape = (1, 8, 8) if name == "conv" else (3,)
    return Pair(energies.create(name, event_shape=shape, **settings[name]))


@pytest.fixture
def hand_out(monkeypatch):
    """Let torch's global draws be these numbers, in order, until none is left."""

    def start(numbers):
        left = [numbers]

        def take(shape):
            size = torch.Size(shape).numel()
            taken, left[0] = left[0][:size], left[0][size:]
            return taken.reshape(shape)

        for name in ("randn_like", "rand_like"):
            monkeypatch.setattr(torch, name, lambda x, **_: take(x.shape).to(x.dtype))
        return take

    return start
