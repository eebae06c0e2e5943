"""Every registered noise keeps the contract."""

import functools
import math

import numpy as np
import pytest
import torch

from ebm_bench import noise
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams

SETTINGS = {
    "flow": {"steps": 20, "batch_size": 64},
    "gaussian_mixture": {"components": 3},
}
CORRELATION = 0.8
R, POINTS = 3, 400


def gaussian_data(streams, n=POINTS):
    """Correlated Gaussian data, of another location and scale in each replicate."""
    index = torch.tensor(streams.indices, dtype=torch.float64)[:, None]
    z = streams.child("data").normal(n, 2, dtype=torch.float64)
    second = CORRELATION * z[..., 0] + math.sqrt(1 - CORRELATION**2) * z[..., 1]
    return torch.stack([3 + (1 + index) * z[..., 0], 0.5 * second - index], dim=2)


def make(name, shape=(2,), replicates=R, **settings):
    chosen = {**SETTINGS.get(name, {}), **settings}
    return noise.create(name, event_shape=shape, replicates=replicates, **chosen)


@functools.cache
def fitted(name, replicates=tuple(range(R))):
    streams = Streams(1, list(replicates))
    distribution = make(name, replicates=len(replicates)).double()
    distribution.fit(gaussian_data(streams), streams.child("fit"))
    return distribution


@functools.cache
def fitted_to_images(name):
    streams = Streams(1, 2)
    distribution = make(name, (1, 4, 4), 2)
    distribution.fit(0.5 + 0.1 * streams.normal(100, 1, 4, 4), streams)
    return distribution


@pytest.fixture(params=noise.names())
def name(request):
    return request.param


def grid(distribution, cells=400):
    """Centres of cells that cover nearly all mass of each replicate, and log cell areas."""
    data = gaussian_data(Streams(1, R))
    mean, spread = data.mean(1, keepdim=True), 8 * data.std(1, keepdim=True)
    line = (torch.arange(cells, dtype=torch.float64) + 0.5) / cells * 2 - 1
    x = mean + spread * torch.cartesian_prod(line, line)
    return x, (2 * spread / cells).log().sum((1, 2))[:, None]


def test_shapes_of_vectors(name):
    distribution = fitted(name)
    x = distribution.sample(7, Streams(2, R))
    assert x.shape == (R, 7, 2)
    assert distribution.log_prob(x).shape == (R, 7)
    assert torch.isfinite(distribution.log_prob(x)).all()


def test_shapes_of_images(name):
    distribution = fitted_to_images(name)
    x = distribution.sample(5, Streams(2, 2))
    assert x.shape == (2, 5, 1, 4, 4)
    assert distribution.log_prob(x).shape == (2, 5)
    assert x.dtype == distribution.log_prob(x).dtype == torch.float32
    assert torch.isfinite(distribution.log_prob(x)).all()


def test_density_integrates_to_one(name):
    x, log_area = grid(fitted(name))
    log_mass = torch.logsumexp(fitted(name).log_prob(x) + log_area, 1)
    torch.testing.assert_close(log_mass, torch.zeros_like(log_mass), atol=0.015, rtol=0)


def test_samples_have_the_moments_of_the_density(name):
    distribution, n = fitted(name), 40_000
    x, log_area = grid(distribution)
    log_prob = distribution.log_prob(x)
    weight = (log_prob + log_area).softmax(1)[..., None]
    mean = (weight * x).sum(1, keepdim=True)
    covariance = ((x - mean) * weight).mT @ (x - mean)
    scale = covariance.diagonal(dim1=1, dim2=2).sqrt()

    sample = distribution.sample(n, Streams(3, R))
    u = (sample - mean) / scale[:, None]
    expected = covariance / scale[:, :, None] / scale[:, None]
    torch.testing.assert_close(u.mean(1), torch.zeros(R, 2).double(), atol=0.025, rtol=0)
    torch.testing.assert_close(u.mT @ u / n, expected, atol=0.04, rtol=0)

    inside = torch.where(weight > 0, log_prob[..., None], 0)
    negative_entropy = (weight * inside).sum((1, 2))
    own = distribution.log_prob(sample).mean(1)
    torch.testing.assert_close(own, negative_entropy, atol=0.03, rtol=0)


@pytest.mark.parametrize(
    ("name", "gap"),
    [("gaussian", 0.0), ("gaussian_mixture", 0.0), ("diagonal_gaussian", 0.5108)],
)
def test_cross_entropy_of_gaussian_data(name, gap):
    streams = Streams(4, R)
    distribution = make(name).double()
    distribution.fit(gaussian_data(streams.child("train"), 4000), streams)
    x = gaussian_data(streams.child("test"), 4000)
    index = torch.arange(R)
    determinant = ((1 + index) * 0.5) ** 2 * (1 - CORRELATION**2)
    entropy = 1 + math.log(2 * math.pi) + 0.5 * determinant.double().log()
    torch.testing.assert_close(-distribution.log_prob(x).mean(1), entropy + gap, atol=0.05, rtol=0)


def test_replicate_alone_equals_replicate_among_others(name):
    together, alone = fitted(name), fitted(name, (1,))
    x, streams = gaussian_data(Streams(5, R)), Streams(6, R)
    torch.testing.assert_close(together.log_prob(x)[1:2], alone.log_prob(x[1:2]))
    torch.testing.assert_close(
        together.sample(9, streams)[1:2], alone.sample(9, streams.select([1]))
    )


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
def test_state_restores_the_density(name, shape):
    distribution = fitted(name) if shape == (2,) else fitted_to_images(name)
    dtype = torch.float64 if shape == (2,) else torch.float32
    other = make(name, shape, distribution.replicates).to(dtype)
    other.load_state_dict(distribution.state_dict())
    x = distribution.sample(20, Streams(7, distribution.replicates))
    assert torch.equal(other.log_prob(x), distribution.log_prob(x))
    assert torch.equal(
        other.sample(5, Streams(8, other.replicates)),
        distribution.sample(5, Streams(8, other.replicates)),
    )


def test_nothing_is_left_to_train(name):
    assert not any(p.requires_grad for p in make(name).parameters())
    assert not any(p.requires_grad for p in fitted(name).parameters())


def test_density_is_differentiable_in_the_points(name):
    x = fitted(name).sample(5, Streams(2, R)).requires_grad_()
    total = fitted(name).log_prob(x).sum()
    if name == "uniform":
        assert not total.requires_grad
        return
    (gradient,) = torch.autograd.grad(total, x)
    assert torch.isfinite(gradient).all()


def test_global_generators_stay_as_they_are(name):
    before, numpy_before = torch.get_rng_state(), np.random.get_state()[1].copy()  # noqa: NPY002
    distribution = make(name, replicates=1)
    distribution.fit(gaussian_data(Streams(1, 1)).float(), Streams(1, 1))
    distribution.log_prob(distribution.sample(5, Streams(1, 1)))
    assert torch.equal(before, torch.get_rng_state())
    assert np.array_equal(numpy_before, np.random.get_state()[1])  # noqa: NPY002


def test_uniform_is_a_box_around_the_data():
    data = torch.tensor([[[0.0, 10.0], [1.0, 30.0]]])
    distribution = make("uniform", replicates=1, margin=0.5)
    distribution.fit(data, Streams(0, 1))
    points = torch.tensor([[[-0.4, 1.0], [1.4, 39.0], [1.6, 20.0], [0.5, 41.0]]])
    expected = torch.tensor([[-math.log(80), -math.log(80), -math.inf, -math.inf]])
    torch.testing.assert_close(distribution.log_prob(points), expected)


def test_uniform_refuses_constant_dimensions():
    with pytest.raises(InputError, match="vary in every dimension"):
        make("uniform", replicates=1).fit(torch.ones(1, 5, 2), Streams(0, 1))


@pytest.mark.parametrize("name", ["gaussian", "diagonal_gaussian", "gaussian_mixture"])
def test_constant_dimension_has_a_density(name):
    data = gaussian_data(Streams(1, 1))
    data[..., 1] = 2.0
    distribution = make(name, replicates=1)
    distribution.fit(data, Streams(0, 1))
    assert torch.isfinite(distribution.log_prob(data)).all()


def test_gaussian_of_fewer_points_than_dimensions():
    distribution = make("gaussian", (1, 8, 8), 1)
    distribution.fit(Streams(0, 1).normal(20, 1, 8, 8), Streams(0, 1))
    assert torch.isfinite(distribution.log_prob(Streams(1, 1).normal(5, 1, 8, 8))).all()


def test_mixture_finds_modes_and_their_weights():
    streams, n = Streams(0, 1), 2000
    side = (streams.uniform(n) < 0.2).float()[..., None]
    data = torch.cat([8 * side - 4, torch.zeros_like(side)], 2) + streams.normal(n, 2)
    distribution = make("gaussian_mixture", replicates=1, components=2)
    distribution.fit(data, streams)
    order = distribution.means[0, :, 0].argsort()
    torch.testing.assert_close(
        distribution.means[0, order, 0], torch.tensor([-4.0, 4.0]), atol=0.2, rtol=0
    )
    torch.testing.assert_close(
        distribution.weights[0, order], torch.tensor([0.8, 0.2]), atol=0.03, rtol=0
    )


def test_mixture_refuses_more_components_than_points():
    with pytest.raises(InputError, match="components = 3"):
        make("gaussian_mixture").fit(torch.randn(R, 2, 2), Streams(0, R))


def test_mixture_of_many_dimensions():
    streams = Streams(0, 2)
    sign = 2 * (streams.uniform(500) < 0.5).float().view(2, 500, 1, 1, 1) - 1
    data = sign + 0.1 * streams.normal(500, 1, 5, 5)
    distribution = make("gaussian_mixture", (1, 5, 5), 2, components=2)
    distribution.fit(data, streams)
    sample = distribution.sample(20_000, streams)
    torch.testing.assert_close(sample.abs().mean(), torch.tensor(1.0), atol=3e-3, rtol=0)
    torch.testing.assert_close(sample.abs().std(), torch.tensor(0.1), atol=3e-3, rtol=0)
    entropy = math.log(2) + 25 * (0.5 + 0.5 * math.log(2 * math.pi) + math.log(0.1))
    expected = torch.full((2,), -entropy)
    torch.testing.assert_close(distribution.log_prob(data).mean(1), expected, atol=0.3, rtol=0)


def test_points_come_with_their_density(name):
    x, log_prob = fitted(name).sample_with_log_prob(8, Streams(2, R))
    torch.testing.assert_close(x, fitted(name).sample(8, Streams(2, R)))
    torch.testing.assert_close(log_prob, fitted(name).log_prob(x))
    assert not fitted(name).sample(8, Streams(2, R)).requires_grad


@pytest.mark.parametrize("settings", [{"components": 0}, {"iterations": -1}])
def test_settings_are_validated(settings):
    with pytest.raises(InputError, match="greater than or equal to 1"):
        make("gaussian_mixture", **settings)


def test_gaussian_that_is_not_fitted_stays_standard_normal():
    distribution = make("gaussian", fitted=False).double()
    distribution.fit(gaussian_data(Streams(1, R)), Streams(0, R))
    x = Streams(2, R).normal(5, 2, dtype=torch.float64)
    expected = -0.5 * x.square().sum(2) - math.log(2 * math.pi)
    torch.testing.assert_close(distribution.log_prob(x), expected)
    assert distribution.sample(2000, Streams(3, R)).std().item() == pytest.approx(1, abs=0.03)
