"""Tangents by position in receptive fields add up to the curvature along all directions."""

from functools import partial

import pytest
import torch

from ebm_bench import derivatives, energies
from ebm_bench.derivatives import local, sweeps, tangents
from ebm_bench.derivatives.local import LocalTangents, receptive_field
from ebm_bench.nn.layers import Activation, Convolution, Dense, Flatten
from ebm_bench.streams import Streams

POINTS = 5
SHAPES = {
    "smaller than the field": (1, 6, 7),
    "a single row": (2, 1, 9),
    "odd": (1, 17, 19),
    "even, three channels": (3, 16, 18),
}


def network(shape, replicates, channels=(2, 3, 2)):
    """Layers with weights in double precision, and the scale of their points."""
    streams = Streams(0, replicates)
    layers, start = [], shape
    for number in channels:
        layers += [Convolution(shape, number, streams), Activation("silu")]
        shape = layers[-2].out_shape
    layers += [Flatten(shape), Dense(shape[0] * shape[1] * shape[2], 1, streams)]
    for layer in layers:
        layer.double()
    return layers, 1 + streams.uniform(1, *start, dtype=torch.float64)


def everywhere(sweeps, scale):
    """Tangents along all unit vectors, which all units share."""
    size = scale[0].numel()
    units = torch.eye(size).to(scale).view(1, size, 1, *scale.shape[2:])
    return tangents.Directions(sweeps, units / scale.unsqueeze(1))


@pytest.mark.parametrize("per_chunk", [1, 2, POINTS])
@pytest.mark.parametrize("replicates", [1, 3])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES.keys())
def test_curvature_and_its_derivatives(shape, replicates, per_chunk):
    layers, scale = network(shape, replicates)
    streams = Streams(1, replicates)
    u = streams.normal(POINTS, *shape, dtype=torch.float64).requires_grad_()
    weights = [u, *(p for layer in layers for p in layer.parameters())]
    factors = streams.normal(POINTS, dtype=torch.float64)
    for factor in (1.0, factors):  # alike for all points, or not

        def differentiated(way, factor=factor):
            gradient, total = sweeps.curvature(layers, u, partial(way, scale=scale))
            loss = (factor * (gradient.square().flatten(2).sum(2) + total)).sum()
            return total, torch.autograd.grad(loss, weights, materialize_grads=True)

        given = partial(LocalTangents, length=per_chunk)
        torch.testing.assert_close(differentiated(given), differentiated(everywhere))


def test_points_pass_in_chunks(monkeypatch):
    energy = energies.create("conv", event_shape=(1, 9, 9), replicates=2, channels=2)
    energy.double().fit(Streams().normal(20, 1, 9, 9, dtype=torch.float64))
    x = Streams(1, 2).normal(5, 1, 9, 9, dtype=torch.float64)

    def differentiated():
        total = derivatives.laplacian(energy, x)[1]
        weights = list(energy.parameters())
        return total, torch.autograd.grad(total.sum(), weights, materialize_grads=True)

    wanted, lengths, make = differentiated(), [], LocalTangents.__init__
    monkeypatch.setattr(local, "CHUNK", 1)

    def note(self, *args, **kwargs):
        make(self, *args, **kwargs)
        lengths.append(self.length)

    monkeypatch.setattr(LocalTangents, "__init__", note)
    torch.testing.assert_close(differentiated(), wanted)
    assert lengths == [1]


@pytest.mark.parametrize("channels", [(2,), (2, 3), (1, 1, 1, 1)])
def test_any_number_of_convolutions(channels):
    layers, scale = network((1, 12, 12), 2, channels)
    u = Streams(1, 2).normal(3, 1, 12, 12, dtype=torch.float64)
    found = (
        sweeps.curvature(layers, u, partial(way, scale=scale))[1]
        for way in (LocalTangents, everywhere)
    )
    torch.testing.assert_close(*found)
    assert receptive_field(layers) == 2 ** (len(channels) + 1) - 1


def test_what_a_compiler_differentiates_is_the_same(monkeypatch):
    layers, scale = network((2, 9, 8), 2)
    u = Streams(1, 2).normal(3, 2, 9, 8, dtype=torch.float64)
    weights = [p for layer in layers for p in layer.parameters()]

    def differentiated():
        _, total = sweeps.curvature(layers, u, partial(LocalTangents, scale=scale))
        return total, torch.autograd.grad(total.sum(), weights, materialize_grads=True)

    wanted = differentiated()
    monkeypatch.setattr(torch.compiler, "is_compiling", lambda: True)
    torch.testing.assert_close(differentiated(), wanted)


def test_layers_that_see_everything_have_no_field():
    assert not receptive_field([Flatten((3,)), Dense(3, 2, Streams()), Activation("silu")])


def test_laplacians_of_images_count_what_a_unit_sees():
    energy = energies.create("conv", event_shape=(2, 20, 8), channels=1)
    energy.fit(Streams().normal(20, 2, 20, 8))
    with torch.no_grad():
        derivatives.laplacian(energy, Streams().normal(3, 2, 20, 8))
    assert energy.evaluations == 3 * (1 + 2 * 15 * 8)
