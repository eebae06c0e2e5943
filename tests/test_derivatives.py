"""Both ways of differentiating agree with brute force."""

import pytest
import torch
from torch import nn

from ebm_bench import derivatives, energies
from ebm_bench.streams import Streams

CASES = {
    "narrow": ("mlp", (3,), {"width": 6}),
    "one hidden layer": ("mlp", (2,), {"width": 5, "depth": 1}),
    "wider than its first layer": ("mlp", (11,), {"width": 4, "activation": "tanh"}),
    "softplus": ("mlp", (3,), {"width": 4, "activation": "softplus"}),
    "gelu": ("mlp", (3,), {"width": 4, "activation": "gelu"}),
    "odd and even sides": ("conv", (2, 9, 8), {"channels": 2}),
    "several colours": ("conv", (1, 17, 16), {"channels": 2, "activation": "softplus"}),
    "not a network": ("quadratic", (3,), {}),
    "ica": ("ica", (3,), {"source": "logistic"}),
}
R, B = 2, 3


@pytest.fixture(params=CASES)
def case(request):
    name, shape, settings = CASES[request.param]
    streams = Streams(0, R)
    energy = energies.create(name, event_shape=shape, replicates=R, streams=streams, **settings)
    energy.double().fit(1 + 2 * streams.normal(60, *shape, dtype=torch.float64))
    return energy, streams.normal(B, *shape, dtype=torch.float64)


def hessian(energy, x):
    """(R, B, d, d) by automatic differentiation, one replicate and point at a time."""
    size = x[0, 0].numel()
    out = torch.zeros(R, B, size, size, dtype=x.dtype)
    for r in range(R):
        for b in range(B):

            def at(point, r=r, b=b):
                full = x.clone()
                full[r, b] = point
                return energy(full)[r, b]

            out[r, b] = torch.autograd.functional.hessian(at, x[r, b]).view(size, size)
    return out


def test_laplacian(case):
    energy, x = case
    gradient, trace = derivatives.laplacian(energy, x)
    torch.testing.assert_close(gradient, derivatives.gradient(energy, x))
    torch.testing.assert_close(trace, hessian(energy, x).diagonal(dim1=2, dim2=3).sum(2))


def test_curvature(case):
    energy, x = case
    v = Streams(9, R).normal(2, B, *energy.event_shape, dtype=torch.float64)
    gradient, total = derivatives.curvature(energy, x, v)
    flat = v.flatten(3)
    torch.testing.assert_close(gradient, derivatives.gradient(energy, x))
    torch.testing.assert_close(
        total, torch.einsum("rkbi,rbij,rkbj->rb", flat, hessian(energy, x), flat)
    )


def test_weights_get_the_gradient_of_brute_force(case):
    energy, x = case

    def brute():
        point = x.clone().requires_grad_()
        (first,) = torch.autograd.grad(energy(point).sum(), point, create_graph=True)
        flat = first.flatten(2)
        return sum(
            torch.autograd.grad(
                flat[..., i].sum(), point, create_graph=True, materialize_grads=True
            )[0].flatten(2)[..., i]
            for i in range(flat.shape[2])
        )

    parameters = list(energy.parameters())
    ours = torch.autograd.grad(
        derivatives.laplacian(energy, x)[1].sum(),
        parameters,
        allow_unused=True,
        materialize_grads=True,
    )
    theirs = torch.autograd.grad(
        brute().sum(), parameters, allow_unused=True, materialize_grads=True
    )
    torch.testing.assert_close(ours, theirs)


def test_chunks_of_directions_change_nothing(case, monkeypatch):
    energy, x = case
    whole = derivatives.laplacian(energy, x)[1]
    wanted = torch.autograd.grad(whole.sum(), list(energy.parameters()), allow_unused=True)
    monkeypatch.setattr(derivatives, "_CHUNK", 1)
    parts = derivatives.laplacian(energy, x)[1]
    given = torch.autograd.grad(parts.sum(), list(energy.parameters()), allow_unused=True)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(given, wanted)


def test_any_module_is_differentiated():
    class Quartic(nn.Module):
        evaluations = 0

        def forward(self, x):
            return x.pow(4).sum(2)

    x = torch.tensor([[[1.0, 2.0]]], dtype=torch.float64)
    gradient, trace = derivatives.laplacian(Quartic(), x)
    torch.testing.assert_close(gradient, 4 * x**3)
    torch.testing.assert_close(trace, (12 * x**2).sum(2))
