"""The fitted mixture as an energy: a model of each replicate's own data."""

import torch

from ebm_bench import energies
from ebm_bench.nn import pca_mixture
from ebm_bench.streams import Streams

R, SHAPE = 3, (1, 4, 4)


def fitted(replicates=R, **settings):
    streams = Streams(3, replicates)
    energy = energies.create("pca_mixture", event_shape=SHAPE, replicates=streams.replicates,
                             components=4, rank=3, **settings)  # fmt: skip
    data = streams.normal(400, *SHAPE)
    data[:, :200] += 6
    energy.fit(data)
    return energy, data


def test_each_replicate_is_the_mixture_of_its_own_data():
    energy, data = fitted()
    for r in range(R):
        alone = pca_mixture.PcaMixture(SHAPE, 4, 3).fit(data[r])
        torch.testing.assert_close(energy(data)[r], -alone.log_prob(data[r : r + 1])[0])


def test_it_finds_clusters_that_a_gaussian_cannot():
    energy, data = fitted()
    gaussian = energies.create("quadratic", event_shape=SHAPE, replicates=R)
    gaussian.fit(data)
    losses = [(model(data).mean(1) + model.log_z) for model in (energy, gaussian)]
    assert (losses[0] < losses[1] - 1).all()
    # Between the clusters there is nothing.
    middle = torch.full((R, 1, *SHAPE), 3.0)
    assert (energy(middle) > energy(data).amax(1, keepdim=True)).all()


def test_samples_are_of_the_density_of_their_replicate():
    energy, data = fitted()
    x = energy.sample(4000, Streams(5, R))
    assert x.shape == (R, 4000, *SHAPE)
    torch.testing.assert_close(x.mean(1), data.mean(1), atol=0.3, rtol=0)
    torch.testing.assert_close(energy(x).mean(1), energy(data).mean(1), atol=0.7, rtol=0)
    alone, _ = fitted([1])
    torch.testing.assert_close(
        alone.sample(5, Streams(5, [1]))[0], energy.sample(5, Streams(5, R))[1]
    )


def test_the_density_has_mass_one():
    energy = energies.create("pca_mixture", event_shape=(2,), replicates=1, components=2, rank=1)
    data = Streams(0).normal(300, 2) * torch.tensor([1.0, 0.3])
    data[:, :100] += 3
    energy.fit(data)
    line = torch.linspace(-8, 12, 500)
    points = torch.cartesian_prod(line, line)[None]
    mass = (-energy(points)).exp().sum() * (line[1] - line[0]) ** 2
    torch.testing.assert_close(mass, torch.tensor(1.0), atol=1e-3, rtol=0)
