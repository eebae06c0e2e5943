"""The energy of a flow: normalised, sampled exactly, honest about its smoothness."""

import pytest
import torch

from ebm_bench import energies
from ebm_bench.derivatives import gradient
from ebm_bench.streams import Streams


def make(kind="spline", shape=(2,), noise=0.3):
    streams = Streams(1, 2)
    energy = energies.create(
        "flow", event_shape=shape, replicates=2, streams=streams, kind=kind
    ).double()
    energy.fit(1 + 2 * streams.child("data").normal(300, *shape, dtype=torch.float64))
    with torch.no_grad():
        for parameter in energy.parameters():
            parameter += noise * Streams(2, 1).normal(*parameter.shape, dtype=torch.float64)[0]
    return energy


def test_energy_is_the_negative_log_density():
    energy = make()
    x, log_q = energy.flow.sample_with_log_prob(10, Streams(3, 2))
    torch.testing.assert_close(energy(x), -log_q)
    assert torch.equal(energy.log_z, torch.zeros(2, dtype=torch.float64))


def test_base_is_that_of_the_data():
    data = 1 + 2 * Streams(4, 2).normal(300, 3)
    energy = energies.create("flow", event_shape=(3,), replicates=2)
    energy.fit(data)
    torch.testing.assert_close(energy.location, data.mean(1, keepdim=True))
    torch.testing.assert_close(energy.scale, data.std(1, keepdim=True, correction=0))
    assert not energy.location.requires_grad


@pytest.mark.parametrize("shape", [(2,), (1, 4, 4)])
def test_sample_is_detached(shape):
    x = make(shape=shape).sample(6, Streams(5, 2))
    assert x.shape == (2, 6, *shape)
    assert not x.requires_grad


@pytest.mark.parametrize(
    ("kind", "shape", "noise", "smooth"),
    [("spline", (2,), 0.3, False), ("affine", (2,), 0.1, True), ("spline", (1, 4, 4), 0.1, True)],
)
def test_score_jumps_only_where_the_energy_is_not_smooth(kind, shape, noise, smooth):
    energy = make(kind, shape, noise)
    assert energy.smooth == smooth
    line = torch.linspace(-3, 3, 2000, dtype=torch.float64).view(1, -1, *[1] * len(shape))
    x = energy.location + energy.scale * line

    def widest_step(points):
        return gradient(energy, points).diff(dim=1).abs().max()

    # Halving the step halves the steps of a continuous function, but not a jump.
    ratio = widest_step(x) / widest_step(x[:, ::2])
    assert (ratio < 0.75) == smooth
