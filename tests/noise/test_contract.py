"""Every registered noise keeps the contract."""

import functools
import math
import subprocess
import sys

import pytest
import torch

from ebm_bench import noise
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.noise import CHECKS, CORRELATION, Case, R, gaussian_data
from ebm_bench.streams import Streams

SETTINGS = {
    "flow": {"steps": 20, "batch_size": 64},
    "gaussian_mixture": {"components": 3},
}


def make(name, shape=(2,), replicates=R, **settings):
    chosen = {**SETTINGS.get(name, {}), **settings}
    return noise.create(name, event_shape=shape, replicates=replicates, **chosen)


@functools.cache
def case(name):
    return Case(name, SETTINGS.get(name, {}))


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@pytest.mark.parametrize("name", noise.names())
def test_contract(name, check):
    check(case(name))


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


def test_the_fit_of_a_mixture_imports_no_library():
    code = """
import sys
from ebm_bench import noise
noise.create("gaussian_mixture", event_shape=(2,))
print("sklearn.mixture" in sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "True\n"
