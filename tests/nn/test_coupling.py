"""Couplings, against those of normflows."""

import math

import pytest
import torch
from normflows.utils.splines import unconstrained_rational_quadratic_spline

from ebm_bench.nn.coupling import BINS, TAIL_BOUND, UNIT_SLOPE, VectorFlow, spline
from ebm_bench.streams import Streams

UP = [True, False]
# Inside, on the edges, and beyond them.
EDGES = torch.tensor([-50.0, -4.1, -4.0, -3.999, 0.0, 3.999, 4.0, 4.1, 50.0], dtype=torch.float64)


def draws(spread=2.0, dtype=torch.float64):
    """Points (2, 3, 1, B) and settings of splines that are far from the identity."""
    streams = Streams(0, 2)
    free = 2 * streams.normal(3, 1, 400, dtype=torch.float64)
    points = torch.cat([EDGES.expand(2, 3, 1, -1), free], dim=3)
    settings = spread * streams.normal(3, 3 * BINS - 1, points.shape[3], dtype=torch.float64)
    return points.to(dtype), settings.to(dtype)


def reference(points, settings, up):
    rows = settings.movedim(2, 3)
    widths, heights, slopes = rows.split([BINS, BINS, BINS - 1], dim=3)
    out, log_det = unconstrained_rational_quadratic_spline(
        points.squeeze(2), widths, heights, slopes + UNIT_SLOPE, inverse=up, tail_bound=TAIL_BOUND
    )
    return out.unsqueeze(2), log_det.unsqueeze(2)


def ours(points, settings, up):
    return spline(points, settings, float(up), 2.0 * up - 1)


@pytest.mark.parametrize("up", UP)
def test_splines_are_those_of_normflows(up):
    points, settings = draws()
    for found, expected in zip(
        ours(points, settings, up), reference(points, settings, up), strict=True
    ):
        torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("up", UP)
def test_gradients_of_splines_are_those_of_normflows(up):
    # Not on the edges, where a derivative from the left is as good as one from the right.
    points, settings = (t[..., len(EDGES) :].requires_grad_() for t in draws())

    def gradients(function):
        out, log_det = function(points, settings, up)
        return torch.autograd.grad((out.sin() + log_det.cos()).sum(), [points, settings])

    for found, expected in zip(gradients(ours), gradients(reference), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-7, atol=1e-9)


def test_a_spline_undoes_its_inverse():
    points, settings = draws()
    up, log_det_up = ours(points, settings, True)
    down, log_det_down = ours(up, settings, False)
    torch.testing.assert_close(down, points, rtol=1e-8, atol=1e-8)
    torch.testing.assert_close(log_det_down, -log_det_up, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("up", UP)
def test_single_precision_is_enough_for_splines(up):
    points, settings = draws(spread=1.0)
    exact = ours(points, settings, up)
    rounded = ours(points.float(), settings.float(), up)
    for found, expected in zip(rounded, exact, strict=True):
        assert torch.isfinite(found).all()
        torch.testing.assert_close(found.double(), expected, rtol=1e-4, atol=1e-3)


def test_each_replicate_goes_its_own_way():
    points, settings = draws()
    way = torch.tensor([1.0, 0.0], dtype=torch.float64).view(2, 1, 1, 1)
    for found, up, down in zip(
        spline(points, settings, way, 2 * way - 1),
        ours(points, settings, True),
        ours(points, settings, False),
        strict=True,
    ):
        torch.testing.assert_close(found, torch.stack([up[0], down[1]]))


@pytest.mark.parametrize("up", UP)
@pytest.mark.parametrize("place", [0, 4], ids=["tail", "inside"])
def test_splines_hide_no_missing_value(up, place):
    points, settings = draws()
    points[0, 0, 0, place] = math.nan
    settings[1, 1, :, place] = math.nan
    for found in ours(points, settings, up):
        assert torch.isnan(found[0, 0, 0, place])
        assert torch.isnan(found[1, 1, 0, place])
        assert torch.isfinite(found).sum() == found.numel() - 2


@pytest.mark.parametrize("kind", ["affine", "spline"])
@pytest.mark.parametrize("dimension", [2, 3, 4])
def test_both_ways_in_one_sweep(kind, dimension):
    flow = VectorFlow(dimension, kind, 3, Streams(0, 2)).double()
    with torch.no_grad():
        for parameter in flow.parameters():
            parameter += 0.1 * Streams(1, 1).normal(*parameter.shape, dtype=torch.float64)[0]
    z, x = Streams(2, 2).normal(2, 7, dimension, dtype=torch.float64).unbind(1)
    above, below = flow.both(z, x)
    for found, expected in zip((*above, *below), (*flow(z), *flow.inverse(x)), strict=True):
        torch.testing.assert_close(found, expected)
    torch.testing.assert_close(flow.inverse(above[0]), (z, -above[1]))
