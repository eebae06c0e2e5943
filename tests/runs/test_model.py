"""Where a model gets its log-normaliser from beyond the plane."""

import pytest
import torch

from ebm_bench import datasets, energies
from ebm_bench.nn.pca_mixture import PcaMixture
from ebm_bench.plugins.checks.metrics import Pixels
from ebm_bench.runs import model as module
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams


@pytest.fixture
def started(monkeypatch):
    """Find data and proposal of annealing to a network on a dataset: (dataset, ...) -> both."""

    def arguments(energy, streams, chains, levels, data, proposal, best_start):
        return data, proposal

    def start(dataset, sample=None):
        energy = energies.create("mlp", event_shape=dataset.event_shape, replicates=2, width=4)
        if sample is not None:
            energy.sample = sample
        return Model(energy, dataset, None, Streams(0, 2)).normaliser(8, 10)

    monkeypatch.setattr(module, "annealed_importance_sampling", arguments)
    return start


@pytest.mark.parametrize("name", ["ring", "laplace_ica", "gaussian", "student_t"])
def test_annealing_starts_at_the_truth_where_it_is_known(name, started):
    dataset = datasets.create(name)
    data, proposal = started(dataset)
    assert data is None
    assert proposal is dataset


def test_elsewhere_it_starts_at_what_is_fitted_and_is_told_of_data(started):
    data, proposal = started(Pixels())
    assert isinstance(proposal, PcaMixture)
    assert data.shape == (2, 8, 1, 8, 8)


def test_exact_samples_of_the_model_are_used_where_there_are_any(started):
    samples = torch.full((2, 8, 5), 3.0)
    data, _ = started(datasets.create("ring"), sample=lambda n, streams: samples[:, :n])
    assert torch.equal(data, samples)
