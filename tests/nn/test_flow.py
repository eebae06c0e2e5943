"""Normalizing flows, one per replicate."""

import math

import pytest
import torch
from torch import nn

from ebm_bench.errors import InputError
from ebm_bench.nn.flow import FlowModel, Replicated, standardisation
from ebm_bench.streams import Streams

KINDS = [("spline", (2,)), ("spline", (5,)), ("affine", (2,)), ("affine", (3,))]
KINDS += [("affine", (1, 4, 4)), ("affine", (3, 6, 4))]


def make(kind, shape, replicates=2, dtype=torch.float64, noise=0.1):
    """Flows with a base fitted to data, and weights moved away from the identity."""
    streams = Streams(1, replicates)
    model = FlowModel(shape, streams, kind).to(dtype)
    model.fit_base(1 + 2 * streams.child("data").normal(100, *shape, dtype=dtype))
    with torch.no_grad():
        for parameter in model.parameters():
            draw = Streams(2, 1).normal(*parameter.shape, dtype=dtype)[0]
            parameter += noise * draw
    return model


@pytest.fixture(params=KINDS, ids=lambda p: f"{p[0]}-{'x'.join(map(str, p[1]))}")
def flow(request):
    return make(*request.param)


class Scaling(nn.Linear):
    """An invertible map whose weights are drawn from the global generator."""

    def __init__(self):
        super().__init__(2, 2, bias=False)

    def forward(self, z):
        return super().forward(z), self.log_det.expand(len(z))

    def inverse(self, x):
        return x @ self.weight.inverse().mT, -self.log_det.expand(len(x))

    @property
    def log_det(self):
        return self.weight.det().abs().log()


def test_members_map_their_own_slices():
    modules = Replicated(Scaling, Streams(0, 3))
    z = Streams(1, 3).normal(4, 2)
    x, log_det = modules(z)
    assert log_det.shape == (3, 4)
    torch.testing.assert_close(x[2], z[2] @ modules.members[2].weight.mT)
    torch.testing.assert_close(modules.inverse(x), (z, -log_det))


def test_parameters_know_their_replicate():
    modules = Replicated(Scaling, Streams(0, 3))
    assert [p.replicate for p in modules.parameters()] == [0, 1, 2]


def test_member_does_not_depend_on_the_others():
    together, alone = Replicated(Scaling, Streams(0, 3)), Replicated(Scaling, Streams(0, [2]))
    assert torch.equal(together.members[2].weight, alone.members[0].weight)
    assert not torch.equal(together.members[0].weight, together.members[1].weight)


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_replicate_alone_equals_replicate_among_others(kind, shape):
    together, alone = FlowModel(shape, Streams(0, 3), kind), FlowModel(shape, Streams(0, [2]), kind)
    data = Streams(1, 3).normal(50, *shape)
    settings = {"steps": 3, "batch_size": 16, "learning_rate": 1e-2}
    together.fit(data, Streams(2, 3), **settings)
    alone.fit(data[2:], Streams(2, [2]), **settings)
    torch.testing.assert_close(together.log_prob(data)[2:], alone.log_prob(data[2:]))


def test_samples_and_their_density_come_from_one_pass(flow):
    x, log_q = flow.sample_with_log_prob(20, Streams(3, 2))
    assert x.shape == (2, 20, *flow.event_shape)
    torch.testing.assert_close(flow.log_prob(x), log_q, atol=1e-8, rtol=0)


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_single_precision_agrees(kind, shape):
    model = make(kind, shape, dtype=torch.float32, noise=0.05)
    x, log_q = model.sample_with_log_prob(20, Streams(3, 2))
    assert x.dtype == log_q.dtype == torch.float32
    torch.testing.assert_close(model.log_prob(x), log_q, atol=1e-4, rtol=1e-5)


def test_log_determinant_is_that_of_the_jacobian(flow):
    x = flow.sample_with_log_prob(1, Streams(4, 2))[0].detach()
    size = math.prod(flow.event_shape)

    def latent(point):
        u = (torch.stack([point, x[1]]) - flow.mean) / flow.scale
        return flow.flows.inverse(u)[0][0, 0]

    jacobian = torch.autograd.functional.jacobian(latent, x[0]).reshape(size, size)
    z = latent(x[0])
    base = -0.5 * z.square().sum() - 0.5 * size * math.log(2 * math.pi)
    expected = base + torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(flow.log_prob(x)[0, 0], expected)


def test_gradients_pass_through_the_samples(flow):
    parameter = list(flow.parameters())[-1]

    def mean_square():
        return flow.sample_with_log_prob(5, Streams(5, 2))[0].square().mean()

    (gradient,) = torch.autograd.grad(mean_square(), parameter)
    direction = gradient / gradient.norm()
    with torch.no_grad():
        parameter += 1e-5 * direction
        above = mean_square()
        parameter -= 2e-5 * direction
        below = mean_square()
    assert gradient.norm() > 0
    torch.testing.assert_close((above - below) / 2e-5, gradient.norm(), rtol=1e-4, atol=0)


def test_unfitted_flow_is_the_standard_normal_density(flow):
    model = FlowModel(flow.event_shape, Streams(1, 2)).double()
    before = {key: value.clone() for key, value in model.state_dict().items()}
    x = 3 + Streams(6, 2).normal(10, *flow.event_shape, dtype=torch.float64)
    expected = torch.distributions.Normal(0.0, 1.0).log_prob(x).flatten(2).sum(2)
    torch.testing.assert_close(model.log_prob(x), expected, atol=1e-3, rtol=0)
    assert all(torch.equal(before[key], value) for key, value in model.state_dict().items())


def test_activation_norms_start_from_the_data():
    streams = Streams(1, 2)
    rows = streams.normal(200, 1, 4, 1).expand(-1, -1, -1, -1, 4)
    data = 1 + rows + 0.3 * streams.normal(200, 1, 4, 4)
    model, bare, other = (FlowModel((1, 4, 4), Streams(2, 2)) for _ in range(3))
    model.log_prob(streams.normal(10, 1, 4, 4))  # of no consequence
    model.fit_base(data)
    bare.mean, bare.scale = standardisation(data)
    assert (model.log_prob(data).mean(1) > bare.log_prob(data).mean(1) + 1).all()

    other.fit_base(data)
    other.log_prob(streams.normal(10, 1, 4, 4))
    assert torch.equal(model.log_prob(data), other.log_prob(data))


@pytest.mark.parametrize(
    ("kind", "shape", "gap"),
    [("spline", (2,), 0.1), ("affine", (2,), 0.1), ("affine", (1, 4, 4), 1)],
)
def test_fit_approaches_the_entropy(kind, shape, gap):
    streams, size = Streams(1, 1), math.prod(shape)
    mixing = torch.eye(size) + 0.8 * torch.ones(size, size).triu(1) / math.sqrt(size)
    entropy = 0.5 * size * (1 + math.log(2 * math.pi))  # the mixing preserves volumes
    data = 5 + (streams.normal(2000, size) @ mixing).view(1, 2000, *shape)
    model = FlowModel(shape, streams, kind)
    model.fit_base(data)
    with torch.no_grad():
        untrained = -model.log_prob(data).mean() - entropy
    model.fit(data[:, :1000], streams, steps=80, batch_size=64, learning_rate=5e-3)
    with torch.no_grad():
        trained = -model.log_prob(data[:, 1000:]).mean() - entropy
    assert trained < gap
    assert trained < 0.5 * untrained


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_diverged_replicate_says_so_and_leaves_the_others(kind, shape):
    model = make(kind, shape)
    with torch.no_grad():
        for parameter in model.parameters():
            replicate = getattr(parameter, "replicate", None)
            if replicate is None:
                parameter[0] = math.nan
            elif replicate == 0:
                parameter.fill_(math.nan)
    x, log_q = model.sample_with_log_prob(5, Streams(7, 2))
    assert torch.isnan(log_q[0]).all()
    assert torch.isfinite(x[1]).all()
    log_prob = model.log_prob(Streams(8, 2).normal(5, *shape, dtype=torch.float64))
    assert torch.isnan(log_prob[0]).all()
    assert torch.isfinite(log_prob[1]).all()


@pytest.mark.parametrize(("kind", "shape"), KINDS)
def test_points_without_a_value_have_no_density(kind, shape):
    x = torch.zeros(2, 3, *shape, dtype=torch.float64)
    x[0, 1] = math.nan
    log_prob = make(kind, shape).log_prob(x)
    assert torch.isnan(log_prob[0, 1])
    assert torch.isfinite(log_prob).sum() == 5


def test_global_generator_stays_as_it_is():
    before = torch.get_rng_state()
    streams = Streams(0, 2)
    model = FlowModel((1, 4, 4), streams)
    model.fit(streams.normal(50, 1, 4, 4), streams, steps=2, batch_size=8, learning_rate=1e-3)
    model.sample_with_log_prob(3, streams)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(1,), (1, 5, 5), (4, 4)])
def test_shapes_without_a_flow_are_refused(shape):
    with pytest.raises(InputError, match="no flow for points of shape"):
        FlowModel(shape, Streams(0, 1))


def test_constant_dimension_keeps_a_scale():
    data = torch.stack([torch.arange(5.0), torch.full((5,), 3.0)], dim=1)[None]
    mean, scale = standardisation(data)
    torch.testing.assert_close(mean, torch.tensor([[[2.0, 3.0]]]))
    torch.testing.assert_close(scale, torch.tensor([[[math.sqrt(2), 1e-4]]]))
