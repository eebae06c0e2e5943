"""Our losses and their gradients are those of two other libraries, up to known constants.

Both sides see the same energy, data and random numbers, in float64. What differs by design or
by fault over there is in docs/peers.md, and each line of it is a test below.
"""

import math
from types import SimpleNamespace

import ebm
import pytest
import torch
import torchebm.datasets
import torchebm.losses
import torchebm.samplers

from ebm_bench import datasets, derivatives, metrics, objectives, samplers
from ebm_bench.metrics.frechet_distance_efficientnet import frechet_distance
from ebm_bench.metrics.kernel_stein_discrepancy import stein
from ebm_bench.metrics.kernels import gaussian, squared_discrepancy, to_others
from ebm_bench.metrics.neighbours import covered
from ebm_bench.metrics.ood_auroc import auroc
from ebm_bench.runs.model import Model
from ebm_bench.streams import Streams


class Bowl(torchebm.core.BaseModel):
    """A Gaussian as a model of theirs."""

    def forward(self, x):
        return 0.5 * x.flatten(1).square().sum(1)


def ours(pair, name, **settings):
    objective = objectives.create(name, **settings)
    objective.setup(pair.energy, pair.x, pair.streams.child("fit"))
    return objective, objective.loss(pair.energy, pair.x, pair.streams).squeeze(0)


def agree(pair, loss, other):
    """Values, and gradients in every parameter of the energy."""
    torch.testing.assert_close(loss, other, rtol=1e-10, atol=1e-10)
    parameters = list(pair.energy.parameters())
    gradients = (
        torch.autograd.grad(
            value, parameters, retain_graph=True, allow_unused=True, materialize_grads=True
        )
        for value in (loss, other)
    )
    for own, their in zip(*gradients, strict=True):
        torch.testing.assert_close(own, their, rtol=1e-9, atol=1e-9)


def by_torchebm(kind, pair, **settings):
    return getattr(torchebm.losses, kind)(pair.theirs, dtype=torch.float64, **settings)(pair.x[0])


def by_ebmkit(kind, pair, **settings):
    return getattr(ebm, kind)(**settings)(pair.theirs, pair.x[0]).loss


def test_exact_score_matching(pair):
    _, loss = ours(pair, "exact_score_matching")
    agree(pair, loss, by_torchebm("ScoreMatching", pair))
    agree(pair, loss, by_ebmkit("ExactScoreMatching", pair))


def test_exact_score_matching_of_images(any_pair):
    _, loss = ours(any_pair, "exact_score_matching")
    agree(any_pair, loss, by_ebmkit("ExactScoreMatching", any_pair))


@pytest.mark.parametrize("projection", ["gaussian", "rademacher"])
def test_sliced_score_matching_by_torchebm(pair, hand_out, projection):
    settings = {"projections": 3, "projection": projection}
    _, loss = ours(pair, "sliced_score_matching", variance_reduced=False, **settings)
    hand_out(pair.draws())
    theirs = {"n_projections": 3, "projection_type": projection}
    agree(pair, loss, by_torchebm("SlicedScoreMatching", pair, **theirs))


@pytest.mark.parametrize("variance_reduced", [True, False])
def test_sliced_score_matching_by_ebmkit(any_pair, hand_out, variance_reduced):
    settings = {"projections": 3, "variance_reduced": variance_reduced}
    _, loss = ours(any_pair, "sliced_score_matching", **settings)
    hand_out(any_pair.draws())
    theirs = {"n_projections": 3, "vr": variance_reduced}
    agree(any_pair, loss, by_ebmkit("SlicedScoreMatching", any_pair, **theirs))


@pytest.mark.parametrize("sigma", [0.1, 1.0])
@pytest.mark.parametrize(
    "theirs",
    [
        lambda pair, sigma: by_torchebm("DenoisingScoreMatching", pair, noise_scale=sigma),
        lambda pair, sigma: by_ebmkit("DenoisingScoreMatching", pair, sigma=sigma),
    ],
    ids=["torchebm", "ebmkit"],
)
def test_denoising_score_matching(any_pair, hand_out, sigma, theirs):
    _, loss = ours(any_pair, "denoising_score_matching", sigma=sigma)
    hand_out(any_pair.draws())
    agree(any_pair, loss, theirs(any_pair, sigma))


class HandedOut(torch.distributions.MultivariateNormal):
    """The fitted noise by torch's own density, at points that were drawn before."""

    def __init__(self, noise, draws):
        factor = noise.scale[0, 0, :, None] * noise.factor[0]
        super().__init__(noise.mean[0, 0], scale_tril=factor)
        self.points = draws.reshape(-1, len(factor)) @ factor.T + noise.mean[0, 0]

    def sample(self, shape=()):
        assert len(self.points) == shape[0]
        return self.points


@pytest.mark.parametrize("ratio", [1, 3])
def test_noise_contrastive(pair, ratio):
    """By ebmkit; the gradient in c is ours in θ over the dimension, as c = start + d θ."""
    objective, loss = ours(pair, "noise_contrastive", ratio=ratio)
    theirs = ebm.NoiseContrastiveEstimation(
        HandedOut(objective.distribution, pair.draws()), noise_ratio=ratio
    ).double()
    torch.nn.init.constant_(theirs.log_z, objective.log_z.item())
    other = theirs(pair.theirs, pair.x[0]).loss
    agree(pair, loss, other)
    (in_theta,) = torch.autograd.grad(loss, objective.normaliser.theta)
    (in_c,) = torch.autograd.grad(other, theirs.log_z)
    torch.testing.assert_close(in_theta.item(), 3 * in_c.item(), rtol=1e-9, atol=1e-12)


@pytest.fixture
def unit_scale(pair):
    """Steps of one size in every dimension: theirs know no scale."""
    pair.energy.scale.fill_(1.0)
    return pair


STEP = 0.2
# Ours are in units of ε, theirs of the time ε²/2 that a step covers.
TIME = STEP**2 / 2


def test_contrastive_divergence(unit_scale, hand_out):
    pair = unit_scale
    _, loss = ours(pair, "contrastive_divergence", steps=5, step_size=STEP, adjusted=False)
    numbers = pair.draws()
    hand_out(numbers)
    sampler = torchebm.samplers.LangevinDynamics(pair.theirs, step_size=TIME, dtype=torch.float64)
    settings = {"sampler": sampler, "k_steps": 5, "energy_reg_weight": 0.0}
    agree(pair, loss, by_torchebm("ContrastiveDivergence", pair, **settings)[0])
    hand_out(numbers)
    chains = ebm.LangevinDynamics(step_size=TIME, steps=5)
    settings = {"sampler": chains, "init_fn": lambda shape: pair.x[0]}
    agree(pair, loss, by_ebmkit("ContrastiveDivergence", pair, **settings))


@pytest.mark.parametrize("weight", [0.0, 0.5])
@pytest.mark.parametrize("samples", [1, 4])
def test_energy_discrepancy(any_pair, hand_out, monkeypatch, samples, weight):
    """By ebmkit, which sums over the M points of a data point where ours averages."""
    settings = {"time": 0.3, "samples": samples, "weight": weight}
    _, loss = ours(any_pair, "energy_discrepancy", **settings)
    numbers, size = any_pair.draws(), any_pair.x[0].shape
    there, back = numbers.split([size.numel(), samples * size.numel()])
    # Theirs are drawn point by point, ours a set for all points at a time.
    take = hand_out(torch.cat([there, back.view(samples, *size).transpose(0, 1).flatten()]))
    monkeypatch.setattr(torch, "randn", lambda *shape, **_: take(shape))
    theirs = {"sigma": 0.3**0.5, "m_particles": samples, "w_stable": weight}
    other = by_ebmkit("EnergyDiscrepancy", any_pair, **theirs)
    agree(any_pair, loss, other - math.log(samples))


def test_persistent_contrastive_divergence(unit_scale, hand_out, monkeypatch):
    """With as many chains as points, so that theirs have slots of their own too; for two steps."""
    pair = unit_scale
    settings = {"persistent": True, "chains": 7, "steps": 5, "step_size": STEP}
    objective = objectives.create("contrastive_divergence", adjusted=False, **settings)
    objective.setup(pair.energy, pair.x, Streams(4, 1))
    start = objective.states[0].clone()

    sampler = torchebm.samplers.LangevinDynamics(pair.theirs, step_size=TIME, dtype=torch.float64)
    settings = {"k_steps": 5, "buffer_size": 7, "new_sample_ratio": 0.0, "init_steps": 0}
    by_torchebm = torchebm.losses.PersistentContrastiveDivergence(
        pair.theirs, sampler, energy_reg_weight=0.0, dtype=torch.float64, **settings
    )
    by_torchebm.initialize_buffer(start.shape[1:])
    by_torchebm.replay_buffer.copy_(start)

    buffer = ebm.ReplayBuffer(7, start.shape[1:], reinit_prob=0.0)
    buffer.data = start.clone()
    by_ebmkit = ebm.ContrastiveDivergence(ebm.LangevinDynamics(step_size=TIME, steps=5), buffer)
    for _ in range(2):
        pair.streams.draws.clear()
        loss = objective.loss(pair.energy, pair.x, pair.streams).squeeze(0)
        hand_out(pair.draws())
        agree(pair, loss, by_torchebm(pair.x[0])[0])
        hand_out(pair.draws())
        with monkeypatch.context() as patch:
            patch.setattr(torch, "randint", lambda n, shape: torch.arange(*shape))
            agree(pair, loss, by_ebmkit(pair.theirs, pair.x[0]).loss)
    torch.testing.assert_close(by_torchebm.replay_buffer, objective.states[0])
    torch.testing.assert_close(buffer.data, objective.states[0])


class TestDifferences:
    """What docs/peers.md lists."""

    def test_torchebm_divides_the_estimated_trace_by_the_dimension(self, pair, hand_out):
        """And so trains towards another density than the data's."""
        v = pair.streams.normal(1, 7, 3, dtype=torch.float64)
        gradient, along = derivatives.curvature(pair.energy, pair.x, v)
        hand_out(pair.draws())
        found = by_torchebm("ScoreMatching", pair, hessian_method="approx")
        expected = (0.5 * gradient.square().sum(2) - along / 3).mean()
        torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-3)

    def test_torchebm_flattens_images_before_the_exact_trace(self):
        seen = []

        class Shape(torchebm.core.BaseModel):
            def forward(self, x):
                seen.append(x.shape)
                return x.flatten(1).square().sum(1)

        torchebm.losses.ScoreMatching(Shape())(torch.zeros(3, 1, 2, 2))
        assert set(seen) == {(1, 4)}

    def test_torchebm_slices_images_row_by_row(self):
        """The average over C × H rows: a smaller loss by that factor, with the same optimum."""

        loss = torchebm.losses.SlicedScoreMatching(Bowl())
        assert loss(torch.ones(5, 2, 3, 1)).item() == pytest.approx(-0.5 * 6 / (2 * 3))

    def test_torchebm_shrinks_energies_and_hides_what_is_not_finite(self, pair):
        sampler = torchebm.samplers.LangevinDynamics(pair.theirs, dtype=torch.float64)
        loss = torchebm.losses.ContrastiveDivergence(pair.theirs, sampler, dtype=torch.float64)
        x, y = pair.x[0], pair.x[0] + 1
        data, model = pair.theirs(x), pair.theirs(y)
        penalty = 1e-3 * (data.square().mean() + model.square().mean())
        torch.testing.assert_close(loss.compute_loss(x, y), data.mean() - model.mean() + penalty)
        assert loss.compute_loss(math.nan * x, y).item() == pytest.approx(0.1)

    def test_torchebm_writes_persistent_chains_over_others(self):
        """In turn, wherever they came from: with chains that stand still, few are left."""
        still = SimpleNamespace(sample=lambda x, **_: x)
        settings = {"buffer_size": 32, "init_steps": 0, "new_sample_ratio": 0.0}
        loss = torchebm.losses.PersistentContrastiveDivergence(Bowl(), still, **settings)
        torch.manual_seed(0)
        loss.initialize_buffer((2,))
        for _ in range(1000):
            loss(torch.zeros(8, 2))
        assert len(loss.replay_buffer.unique(dim=0)) == 1

    def test_torchebm_starts_persistent_chains_at_the_origin(self):
        loss = torchebm.losses.PersistentContrastiveDivergence(Bowl(), None, init_steps=0)
        assert loss.initialize_buffer((2,)).std().item() == pytest.approx(0.01, rel=0.05)

    def test_ebmkit_draws_persistent_chains_with_replacement(self):
        """Of 1,000 among as many, a third of the slots is not drawn, and 5 % begin anew."""
        torch.manual_seed(0)
        buffer = ebm.ReplayBuffer(1000, (2,))
        assert buffer.data.std().item() == pytest.approx(1, rel=0.1)
        begun = (buffer.sample(1000) != buffer.data[buffer._last_idx]).any(1)
        assert begun.double().mean().item() == pytest.approx(0.05, abs=0.03)
        assert len(buffer._last_idx.unique()) == pytest.approx(632, abs=40)

    def test_ebmkit_starts_chains_at_noise(self):
        loss = ebm.ContrastiveDivergence(ebm.LangevinDynamics())
        assert loss.init_fn is torch.randn

    def test_ebmkit_starts_c_at_zero_and_noise_at_the_standard_normal(self, pair):
        loss = ebm.NoiseContrastiveEstimation()
        assert loss.log_z == 0
        noise = loss._default_noise(pair.x[0])
        torch.testing.assert_close(
            noise.log_prob(pair.x[0]),
            -0.5 * pair.x[0].square().sum(1) - 1.5 * math.log(2 * math.pi),
        )

    @pytest.mark.parametrize(
        ("theirs", "sd"),
        [
            (lambda n: torchebm.datasets.EightGaussiansDataset(n, seed=0).get_data(), 0.02),
            (lambda n: ebm.datasets.eight_gaussians(n, generator=torch.manual_seed(0)), 0.15),
        ],
        ids=["torchebm", "ebmkit"],
    )
    def test_eight_gaussians_have_another_width(self, theirs, sd):
        """Radius 2 and a smaller sd; ours are those of most papers, 2√2 and 1/√8."""
        centres = datasets.create("eight_gaussians").modes / math.sqrt(2)
        squares = torch.cdist(theirs(4000).double(), centres).min(1).values.square()
        assert (squares.mean() / 2).sqrt().item() == pytest.approx(sd, rel=0.05)


def test_metrics(pair):
    """Of ebmkit: Fréchet distance, area under the ROC curve with ties, Fisher divergence."""
    x, y = Streams(3, 2).normal(40, 3, dtype=torch.float64)
    y = 1 + y @ torch.tensor([[2.0, 1, 0], [0, 1, 0], [0, 1, 3]]).double()
    found = frechet_distance(x, y).item()
    assert found == pytest.approx(ebm.eval.frechet_distance(x, y), rel=1e-9)

    inside, outside = x[:, :1].round(), y[:, :1].round()
    expected = ebm.eval.ood_auroc(lambda points: points.squeeze(1), inside, outside)
    assert auroc(inside.T, outside.T).item() == pytest.approx(expected, abs=1e-12)

    normal = datasets.create("gaussian", dimension=3)
    model = Model(pair.energy, normal, None, Streams(5, 1))
    metric = metrics.create("fisher_divergence", points=50)
    held_out = normal.sample(50, model.streams.child("data"))[0]
    pair.energy.float()
    expected = ebm.eval.fisher_divergence(
        lambda points: -normal.log_prob(points), pair.theirs, held_out
    )
    found = metric(model, normal, model.streams)["value"]
    assert found.item() == pytest.approx(expected, rel=1e-4)


def test_metrics_of_pairs():
    """Of ebmkit, by the same bandwidth: theirs is the median of both sets, ours of the data."""
    x = Streams(3, 1).normal(60, 3, dtype=torch.float64)
    y = 0.5 + 1.5 * Streams(4, 1).normal(70, 3, dtype=torch.float64)
    width = torch.tensor([1.3], dtype=torch.float64)
    found = squared_discrepancy(gaussian(width), x, y)["value"]
    assert found.item() == pytest.approx(ebm.eval.mmd(x[0], y[0], bandwidth=1.3), rel=1e-9)

    points = torch.cat([x, -x / 2], 2)
    found = to_others(stein(width), points).mean()
    expected = ebm.eval.kernel_stein_discrepancy(
        lambda p: p.square().sum(1) / 4, x[0], bandwidth=1.3
    )
    assert found.item() == pytest.approx(expected, rel=1e-9)

    found = (covered(x, y).mean().item(), covered(y, x).mean().item())
    assert found == pytest.approx(ebm.eval.precision_recall(y[0], x[0]), abs=1e-12)
    assert 0.1 < min(found) < 0.99


def test_samplers(unit_scale, hand_out):
    """Langevin and Hamiltonian chains of ebmkit, from the same start with the same numbers."""
    pair = unit_scale
    cases = {
        "langevin": ({"steps": 4}, ebm.LangevinDynamics(step_size=TIME, steps=4)),
        "hmc": (
            {"steps": 4, "leapfrog": 3},
            ebm.HMC(step_size=STEP, leapfrog_steps=3, steps=4),
        ),
    }
    for name, (settings, theirs) in cases.items():
        pair.streams.draws.clear()
        chains = samplers.create(name, step_size=STEP, **settings)
        found = chains.run(pair.energy, pair.x, pair.streams)
        hand_out(pair.draws())
        torch.testing.assert_close(found[0], theirs.sample(pair.theirs, pair.x[0]))
