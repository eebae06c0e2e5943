"""Derivatives of activations are those of autograd, and can be differentiated by it."""

import pytest
import torch

from ebm_bench.nn.layers import Activation


@pytest.mark.parametrize("function", ["silu", "softplus", "tanh", "gelu"])
@pytest.mark.parametrize("order", [1, 2, 3])
def test_activations(function, order):
    """A compiler differentiates them as they stand."""
    a = torch.linspace(-5, 5, 11, dtype=torch.float64).requires_grad_()
    layer = Activation(function)
    wanted = [layer(a)]
    for _ in range(order):
        wanted += torch.autograd.grad(wanted[-1].sum(), a, create_graph=True)
    given = layer.derivatives(a, order)
    torch.testing.assert_close(given, tuple(wanted))
    if order < 3:
        for mine, theirs in zip(given, wanted, strict=True):
            slopes = (torch.autograd.grad(f.sum(), a, retain_graph=True) for f in (mine, theirs))
            torch.testing.assert_close(*slopes)
