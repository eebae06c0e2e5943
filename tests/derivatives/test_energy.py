"""Both ways of differentiating agree with brute force."""

import gc
import weakref
from functools import partial

import pytest
import torch
from torch import nn

from ebm_bench import derivatives, energies
from ebm_bench.derivatives import sweeps, tangents
from ebm_bench.nn.layers import Activation, Dense, Flatten
from ebm_bench.streams import Streams

CASES = {
    "narrow": ("mlp", (3,), {"width": 6}),
    "one hidden layer": ("mlp", (2,), {"width": 5, "depth": 1}),
    "wider than its first layer": ("mlp", (11,), {"width": 4, "activation": "tanh"}),
    "triangular": ("mlp", (17,), {"width": 40, "depth": 3}),
    "triangular, many points": (
        "mlp",
        (33,),
        {"width": 36, "depth": 2, "activation": "tanh"},
    ),
    "softplus": ("mlp", (3,), {"width": 4, "activation": "softplus"}),
    "gelu": ("mlp", (3,), {"width": 4, "activation": "gelu"}),
    "odd and even sides": ("conv", (2, 9, 8), {"channels": 2}),
    "larger than a field": ("conv", (1, 17, 16), {"channels": 2, "activation": "softplus"}),
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


def test_samplers_get_the_same_gradient_and_their_points_back(case):
    energy, x = case
    points = x.clone()
    with torch.no_grad():
        found = derivatives.gradient(energy, x)
    torch.testing.assert_close(found, derivatives.gradient(energy, x))
    assert torch.equal(x, points)


def test_a_sweep_leaves_the_points_that_an_activation_sees_first():
    u = Streams(1, R).normal(B, 3)
    layers = [Flatten((3,)), Activation("silu"), Dense(3, 1, Streams(0, R))]
    found, points = sweeps.value_and_gradient(layers, u), u.clone().requires_grad_()
    value = layers[2](layers[1](points)).squeeze(2)
    torch.testing.assert_close(found, (value, *torch.autograd.grad(value.sum(), points)))
    assert torch.equal(u, points)


def test_a_loss_keeps_its_derivative_that_an_activation_sees_first():
    u, streams = Streams(1, R).normal(B, 3), Streams(0, R)
    layers = [Flatten((3,)), Activation("silu"), Dense(3, 1, streams)]
    of_gradient = streams.normal(B, 3)
    given = of_gradient.clone()
    sweeps.gradient(layers, u).backward(of_gradient)
    assert torch.equal(of_gradient, given)


@pytest.mark.parametrize("directions", [0, 2])
def test_the_memory_of_a_graph_is_free_when_nothing_holds_it(directions):
    """And not only when Python looks for cycles."""
    u, layers = Streams(1, R).normal(B, 3), [Dense(3, 4, Streams(0, R)), Activation("silu")]
    layers.append(Dense(4, 1, Streams(0, R)))
    along = partial(tangents.Directions, t=Streams(2, R).normal(directions, B, 3))
    graph = weakref.ref(u)
    gc.disable()
    try:
        found = sweeps.curvature(layers, u, along) if directions else sweeps.gradient(layers, u)
        del u
        assert graph() is not None
        del found
        assert graph() is None
    finally:
        gc.enable()


def test_laplacian(case):
    energy, x = case
    gradient, trace = derivatives.laplacian(energy, x)
    torch.testing.assert_close(gradient, derivatives.gradient(energy, x))
    torch.testing.assert_close(trace, hessian(energy, x).diagonal(dim1=2, dim2=3).sum(2))


@pytest.mark.parametrize("count", [2, 5])  # more directions than coordinates, in some cases
def test_curvature(case, count):
    energy, x = case
    v = Streams(9, R).normal(count, B, *energy.event_shape, dtype=torch.float64)
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
    monkeypatch.setattr(tangents, "CHUNK", 1)
    parts = derivatives.laplacian(energy, x)[1]
    given = torch.autograd.grad(parts.sum(), list(energy.parameters()), allow_unused=True)
    torch.testing.assert_close(parts, whole)
    torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("chunk", [tangents.CHUNK, 1])  # all directions at once, or two
@pytest.mark.parametrize("count", [2, 5])
def test_points_may_count_differently(case, count, chunk, monkeypatch):
    monkeypatch.setattr(tangents, "CHUNK", chunk)
    energy, x = case
    v = Streams(9, R).normal(count, B, *energy.event_shape, dtype=torch.float64)
    factors = Streams(10, R).normal(B, dtype=torch.float64)
    parameters = list(energy.parameters())

    def differentiated(gradient, total):
        loss = (factors * (gradient.square().flatten(2).sum(2) + total)).sum()
        return torch.autograd.grad(loss, parameters, allow_unused=True, materialize_grads=True)

    given = differentiated(*derivatives.curvature(energy, x, v))
    point = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(energy(point).sum(), point, create_graph=True)
    product = sum(
        torch.autograd.grad((first * d).sum(), point, create_graph=True, materialize_grads=True)[0]
        .mul(d)
        .flatten(2)
        .sum(2)
        for d in v.unbind(1)
    )
    torch.testing.assert_close(given, differentiated(first, product))


def test_the_gradient_is_differentiable_in_the_points(case):
    energy, x = case
    x.requires_grad_()
    (given,) = torch.autograd.grad(derivatives.gradient(energy, x).square().sum(), x)
    (first,) = torch.autograd.grad(energy(x).sum(), x, create_graph=True)
    (wanted,) = torch.autograd.grad(first.square().sum(), x)
    torch.testing.assert_close(given, wanted)


@pytest.mark.parametrize("points", [2, 9])
@pytest.mark.parametrize("shared", [True, False])
def test_modulated_maps_and_their_gradients(points, shared):
    """With few and many points, directions of their own and shared ones."""
    streams = Streams(1, R)
    layer = Dense(5, 4, streams).double()
    s = streams.normal(points, 5, dtype=torch.float64).requires_grad_()
    t = streams.normal(3, 1 if shared else points, 5, dtype=torch.float64)
    t[..., :2] = 0
    t.requires_grad_()
    g = streams.normal(3, points, 4, dtype=torch.float64)
    plain = torch.einsum("rkbi,rbi,rio->rkbo", t.expand(R, 3, points, 5), s, layer.weight)
    wanted = torch.autograd.grad((plain * g).sum(), (layer.weight, t, s))
    with torch.no_grad():
        for skip in (0, 2):
            out, product = layer.modulated(t, s, skip)
            torch.testing.assert_close(out, plain)
            weight, for_t, for_s = layer.modulated_gradient(t, s, product, g, skip)
            torch.testing.assert_close(weight, wanted[0])
            torch.testing.assert_close(for_t, wanted[1])
            torch.testing.assert_close(for_s[..., skip:], wanted[2][..., skip:])


def test_any_module_is_differentiated():
    class Quartic(nn.Module):
        def forward(self, x):
            return x.pow(4).sum(2)

    x = torch.tensor([[[1.0, 2.0]]], dtype=torch.float64)
    gradient, trace = derivatives.laplacian(Quartic(), x)
    torch.testing.assert_close(gradient, 4 * x**3)
    torch.testing.assert_close(trace, (12 * x**2).sum(2))


def test_without_a_graph_the_gradient_is_the_same_and_detached(case):
    energy, x = case
    before = energy.evaluations
    wanted = derivatives.gradient(energy, x)
    once = energy.evaluations - before
    with torch.no_grad():
        given = derivatives.gradient(energy, x)
    assert wanted.requires_grad
    assert not given.requires_grad
    assert energy.evaluations - before == 2 * once
    torch.testing.assert_close(given, wanted.detach())


def test_layers_in_a_module_of_another_kind_are_no_network():
    """Its energy may be any function of them."""

    class Doubled(nn.Module):
        def __init__(self):
            super().__init__()
            streams = Streams()
            self.layers = nn.ModuleList(
                [Dense(2, 4, streams), Activation("tanh"), Dense(4, 1, streams)]
            )

        def forward(self, x):
            return 2 * nn.Sequential(*self.layers)(x).squeeze(2)

    x = Streams(3).normal(5, 2).requires_grad_()
    (wanted,) = torch.autograd.grad(Doubled()(x).sum(), x)
    torch.testing.assert_close(derivatives.gradient(Doubled(), x), wanted)
