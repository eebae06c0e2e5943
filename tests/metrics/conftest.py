"""Models whose marks are known in closed form."""

from dataclasses import dataclass

import pytest
import torch

from ebm_bench import datasets, samplers
from ebm_bench.energies.base import Energy
from ebm_bench.plugins.checks.metrics import Pixels
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams


@dataclass(eq=False, kw_only=True, repr=False)
class Bowl(Energy):
    """A Gaussian energy that does not know its normaliser."""

    mean: float = 0.0
    sd: float = 1.0
    offset: float = 0.0
    slope: float = 1.0

    def build(self, streams):
        pass

    def forward(self, x):
        z = (x - self.mean) / self.sd
        return self.slope * 0.5 * z.flatten(2).square().sum(2) + self.offset


@pytest.fixture
def bowl():
    """A model of the standard normal in d dimensions: (settings) -> Model."""

    def make(dimension=2, replicates=2, learned=None, **settings):
        dataset = datasets.create("gaussian", dimension=dimension, condition_number=1.0)
        return model_of(dataset, replicates, learned, **settings)

    return make


@pytest.fixture
def images():
    """A model of images with standard normal logits: (settings) -> Model."""

    def make(replicates=2, learned=None, **settings):
        return model_of(Pixels(), replicates, learned, **settings)

    return make


def model_of(dataset, replicates, learned, **settings):
    energy = Bowl(event_shape=dataset.event_shape, replicates=replicates, **settings)
    streams = Streams(3, replicates)
    learned = None if learned is None else torch.full((replicates,), learned)
    return Model(energy, dataset, samplers.create("langevin"), streams, learned)


@pytest.fixture
def truth_of():
    """A model that is the truth of a toy: (name) -> Model."""

    def make(name, energy_class=None, replicates=2):
        dataset = datasets.create(name)
        energy = (energy_class or Density)(event_shape=(2,), replicates=replicates)
        energy.dataset = dataset
        return Model(energy, dataset, samplers.create("langevin"), Streams(3, replicates))

    return make


@dataclass(eq=False, kw_only=True, repr=False)
class Density(Energy):
    def build(self, streams):
        pass

    def forward(self, x):
        return -self.dataset.log_prob(x)
