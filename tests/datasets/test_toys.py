"""Every toy density: shapes, normalisation, sampler, score and entropy agree."""

import math
from functools import cache

import pytest
import scipy.stats
import torch

from ebm_bench import datasets, registry
from ebm_bench.plugins.checks.datasets import CHECKS, Case, deviation, misplaced
from ebm_bench.streams import Streams

TOYS = [
    name
    for name, entry in registry.entries("datasets").items()
    if entry.kind == "toy" and not entry.files
]
PLANAR = [name for name in TOYS if datasets.create(name).event_shape == (2,)]
HIGHER = [name for name in TOYS if name not in PLANAR]


@cache
def toy(name):
    return datasets.create(name)


@cache
def case(name):
    return Case(name)


def draws(name):
    """Points in float64, shape (N, d)."""
    return case(name).draws


APPLYING = [(name, check) for check in CHECKS for name in TOYS if check.applies(case(name))]


@pytest.mark.parametrize(("name", "check"), APPLYING, ids=lambda each: getattr(each, "name", each))
def test_contract(name, check):
    check(case(name))


def test_the_usual_toys_are_there():
    assert set(TOYS) >= {
        *("eight_gaussians", "grid_gaussians", "weighted_gaussians", "two_moons", "two_circles"),
        *("two_spirals", "pinwheel", "checkerboard", "banana", "funnel", "swiss_roll"),
        *("gaussian", "laplace_ica", "ring", "student_t"),
    }


@pytest.mark.parametrize("name", TOYS)
def test_metadata(name):
    entry = registry.describe("datasets", name)
    assert entry.version == 1
    assert {"log_prob", "entropy"} <= set(entry.knows)
    assert toy(name).name == name


@pytest.mark.parametrize("name", TOYS)
def test_a_wrong_scale_is_noticed_in_the_entropy(name):
    wrong = -toy(name).log_prob(1.05 * draws(name)[:15_000])
    assert wrong.isinf().any() or deviation(wrong, toy(name).entropy()) > 4


@pytest.mark.parametrize("name", HIGHER)
def test_a_small_scale_is_noticed_too(name):
    assert deviation(-toy(name).log_prob(0.95 * draws(name)[:15_000]), toy(name).entropy()) > 4


@pytest.mark.parametrize("name", PLANAR)
def test_a_wrong_scale_is_noticed_in_the_places(name):
    assert misplaced(case(name), 0.95 * draws(name)) > 4
    assert misplaced(case(name), 1.05 * draws(name)) > 4


# A density that changes needs a new version and a new value here.
ENTROPIES = {
    "eight_gaussians": 2.8316,
    # Twenty-five Gaussians ten standard deviations apart.
    "grid_gaussians": math.log(25) + math.log(2 * math.pi * math.e * 0.02),
    "weighted_gaussians": 3.3382,
    "two_moons": 2.6080,
    "two_circles": 3.3787,
    "two_spirals": 2.9643,
    "swiss_roll": 2.7212,
    "pinwheel": 2.3206,
    "banana": math.log(2 * math.pi * math.e * 0.48),
    "funnel": math.log(2 * math.pi * math.e),
    "checkerboard": math.log(32),
    "gaussian": 2.5 * math.log(2 * math.pi * math.e),
    "laplace_ica": 4 * (1 + math.log(2) / 2) + math.log(2 * 1.5 * 1 * 0.5),
    "ring": 9.5092,
    # Five times scipy.stats.t(5).entropy().
    "student_t": 5 * 1.62750,
}


@pytest.mark.parametrize("name", TOYS)
def test_entropies_are_the_known_ones(name):
    assert name in ENTROPIES, f"add the entropy of {name}, from its formula or by quadrature"
    assert toy(name).entropy() == pytest.approx(ENTROPIES[name], abs=1e-4)


def test_a_gaussian_of_one_dimension_by_quadrature():
    line = torch.linspace(-12, 12, 4001, dtype=torch.float64)
    density = datasets.create("gaussian", dimension=1)
    p = density.log_prob(line[:, None]).exp()
    assert torch.trapezoid(p, line).item() == pytest.approx(1, abs=1e-12)
    entropy = torch.trapezoid(torch.special.entr(p), line).item()
    assert density.entropy() == pytest.approx(entropy, abs=1e-9)


@pytest.mark.parametrize("name", ["two_moons", "two_circles", "two_spirals", "swiss_roll"])
def test_quadrature_of_curves_has_converged(name, monkeypatch):
    low, high = torch.tensor(toy(name).box, dtype=torch.float64).T
    x = low + (high - low) * Streams(0).uniform(2000, 2, dtype=torch.float64)[0]
    before = toy(name).log_prob(x)
    monkeypatch.setattr(type(toy(name)), "nodes", 2 * toy(name).nodes)
    torch.testing.assert_close(datasets.create(name).log_prob(x), before, rtol=0, atol=1e-5)


def test_no_rounding_carries_a_point_off_the_checkerboard(monkeypatch):
    streams = Streams(0)
    monkeypatch.setattr(streams, "uniform", lambda *shape: torch.full((1, *shape), 1 - 2**-24))
    x = toy("checkerboard").sample(100, streams)
    assert toy("checkerboard").log_prob(x).isfinite().all()


def test_checkerboard_has_no_score_off_its_squares():
    x = torch.tensor([[-3.0, -3.0], [-1.0, -3.0], [5.0, 5.0]])
    torch.testing.assert_close(toy("checkerboard").log_prob(x).exp() * 32, torch.eye(3)[0])
    assert toy("checkerboard").score(x).isnan().tolist() == [[False] * 2, [True] * 2, [True] * 2]


@pytest.mark.parametrize("dimension", [1, 2, 20])
def test_gaussian_has_the_condition_number_asked_for(dimension):
    gaussian = datasets.create("gaussian", dimension=dimension, condition_number=25)
    precision = gaussian.parameters["precision"]
    expected = 25 if dimension > 1 else 1
    assert torch.linalg.cond(precision).item() == pytest.approx(expected)
    assert torch.linalg.slogdet(precision).logabsdet.item() == pytest.approx(0, abs=1e-9)
    other = datasets.create("gaussian", dimension=dimension, condition_number=25, seed=1)
    assert dimension == 1 or not torch.allclose(precision, other.parameters["precision"])


def test_ica_unmixing_gives_independent_laplace_sources():
    sources = draws("laplace_ica") @ toy("laplace_ica").parameters["unmixing"].T
    torch.testing.assert_close(
        sources.T.cov(), torch.eye(4, dtype=torch.float64), rtol=0, atol=0.04
    )
    # A Laplace variable's fourth moment is six times its squared variance.
    torch.testing.assert_close(
        (sources**4).mean(0), torch.full((4,), 6, dtype=torch.float64), rtol=0.15, atol=0
    )


@pytest.mark.parametrize("dimension", [2, 3, 10])
def test_ring_entropy_holds_in_other_dimensions(dimension):
    ring = datasets.create("ring", dimension=dimension)
    x = ring.sample(20_000, Streams(0))[0].double()
    assert deviation(-ring.log_prob(x), ring.entropy()) < 4
    # Along a ray, the density times the area of the sphere is the radius' Gaussian.
    r = torch.linspace(1, 7, 2001, dtype=torch.float64)
    ray = torch.zeros(2001, dimension, dtype=torch.float64)
    ray[:, 0] = r
    area = 2 * math.pi ** (dimension / 2) / math.gamma(dimension / 2) * r ** (dimension - 1)
    log_p = ring.log_prob(ray)
    mass = log_p.exp() * area
    assert torch.trapezoid(mass, r).item() == pytest.approx(1, abs=1e-7)
    assert ring.entropy() == pytest.approx(torch.trapezoid(-log_p * mass, r).item(), abs=1e-6)


def test_density_over_a_plotting_grid_is_computed_in_pieces(monkeypatch):
    from ebm_bench.datasets import planar

    x = draws("two_moons")[:1000]
    whole = toy("two_moons").log_prob(x), toy("two_moons").score(x)
    monkeypatch.setattr(planar, "_CHUNK", 1000)
    torch.testing.assert_close(toy("two_moons").log_prob(x), whole[0])
    torch.testing.assert_close(toy("two_moons").score(x), whole[1])


def agrees_with_its_density(toy, n=20_000):
    """Whether samples have the entropy of the density, and obey Stein's identity."""
    x = toy.sample(n, Streams(0))[0].double()
    assert deviation(-toy.log_prob(x), toy.entropy()) < 4
    if "score" in toy.knows:
        products = x.unsqueeze(2) * toy.score(x).unsqueeze(1)
        assert deviation(products, -torch.eye(x.shape[1], dtype=torch.float64)) < 5
        point = x[:50].clone().requires_grad_()
        (gradient,) = torch.autograd.grad(toy.log_prob(point).sum(), point)
        torch.testing.assert_close(toy.score(point), gradient, rtol=1e-8, atol=1e-8)


def mass(toy, cells=600):
    """Probability of the box, on a grid."""
    axes = []
    area = 1.0
    for low, high in toy.box:
        axes.append(low + (high - low) * (torch.arange(cells, dtype=torch.float64) + 0.5) / cells)
        area *= (high - low) / cells
    points = torch.cartesian_prod(*axes).reshape(-1, len(axes))
    return (toy.log_prob(points).exp() * area).sum().item()


@pytest.mark.parametrize("separation", [1.0, 10.0])
@pytest.mark.parametrize("dimension", [2, 7])
def test_weighted_gaussians_at_any_distance_and_dimension(separation, dimension):
    toy = datasets.create("weighted_gaussians", separation=separation, dimension=dimension)
    agrees_with_its_density(toy)
    assert toy.modes.shape == (2, dimension)
    assert (toy.modes[1] - toy.modes[0]).norm().item() == pytest.approx(separation)
    if dimension == 2:
        assert mass(toy) == pytest.approx(1, abs=3e-6)


def test_weighted_gaussians_far_apart_have_the_entropy_of_their_weights():
    toy = datasets.create("weighted_gaussians", separation=30.0, dimension=3)
    weights = -0.2 * math.log(0.2) - 0.8 * math.log(0.8)
    assert toy.entropy() == pytest.approx(weights + 1.5 * math.log(2 * math.pi * math.e), abs=2e-5)


@pytest.mark.parametrize("squares", [2, 8, 16])
def test_checkerboard_of_any_squares(squares):
    toy = datasets.create("checkerboard", squares=squares)
    assert mass(toy, 64) == pytest.approx(1)
    x = toy.sample(50_000, Streams(0))[0]
    cell = torch.floor((x + 4) * squares / 8).long()
    counts = torch.bincount(cell[:, 1] * squares + cell[:, 0], minlength=squares**2)
    assert (counts > 0).sum() == squares**2 // 2
    used = counts[counts > 0].double()
    assert (used - used.mean()).square().mean() / used.mean() < 1 + 8 / squares
    middle = toy.log_prob((cell + 0.5) * 8 / squares - 4)
    torch.testing.assert_close(middle.exp() * 32, torch.ones(50_000))


def test_gaussian_around_another_mean():
    toy = datasets.create("gaussian", dimension=3, mean=5.0)
    x = toy.sample(20_000, Streams(0))[0].double()
    assert deviation(-toy.log_prob(x), toy.entropy()) < 4
    assert deviation(x, torch.tensor([5.0, 0, 0], dtype=torch.float64)) < 4
    assert toy.box[0][0] + toy.box[0][1] == pytest.approx(10)
    point = x[:50].clone().requires_grad_()
    (gradient,) = torch.autograd.grad(toy.log_prob(point).sum(), point)
    torch.testing.assert_close(toy.score(point), gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("freedom", [1.0, 2.0, 30.0])
def test_student_t_is_that_of_scipy(freedom):
    toy = datasets.create("student_t", dimension=1, freedom=freedom)
    known = scipy.stats.t(freedom)
    x = toy.sample(20_000, Streams(0))
    assert x.isfinite().all()
    assert scipy.stats.kstest(x.numpy().ravel(), known.cdf).pvalue > 0.01
    assert scipy.stats.kstest(1.05 * x.numpy().ravel(), known.cdf).pvalue < 0.05
    expected = torch.from_numpy(known.logpdf(x[0, :, 0].double().numpy()))
    torch.testing.assert_close(toy.log_prob(x[0].double()), expected)
    assert toy.entropy() == pytest.approx(known.entropy(), abs=1e-9)
    assert known.sf(toy.box[0][1]) < 2e-6


def test_unmixing_matrices_are_compared_up_to_order_and_sign():
    dataset = datasets.create("laplace_ica")
    truth = dataset.parameters["unmixing"]
    near = truth + 0.01 * Streams(0, 3).normal(4, 4, dtype=torch.float64)
    signs = torch.tensor([1.0, -1, -1, 1], dtype=torch.float64).unsqueeze(1)
    turned = (signs * near)[:, [2, 0, 3, 1]]
    torch.testing.assert_close(dataset.align({"unmixing": turned})["unmixing"], near)
