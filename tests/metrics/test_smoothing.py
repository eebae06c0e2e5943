"""The floor that noise sets to the divergence of what is trained on noisy data."""

import math
from dataclasses import dataclass

import pytest
import torch

from ebm_bench import datasets, metrics, objectives
from ebm_bench.datasets.planar import GaussianSum
from ebm_bench.metrics.grid import lattice
from ebm_bench.metrics.smoothing import divergence_from_smoothed
from ebm_bench.studies.stress import theory


@dataclass(eq=False, kw_only=True)
class Blob(GaussianSum):
    """A Gaussian off the centre of a box that is no square."""

    sd = 0.4
    box = ((-3.0, 4.0), (-2.0, 3.0))
    centres = torch.tensor([[0.5, 0.2]], dtype=torch.float64)
    weights = torch.ones(1, dtype=torch.float64)

    def sample(self, n, streams, split="train"):
        raise NotImplementedError


@pytest.mark.parametrize("sd", [0.03, 0.1, 0.4, 0.7])
def test_of_a_gaussian_in_closed_form(sd):
    ratio = 0.4**2 / (0.4**2 + sd**2)
    assert divergence_from_smoothed(Blob(), sd) == pytest.approx(
        -math.log(ratio) - 1 + ratio, rel=1e-3
    )


@pytest.mark.parametrize(
    ("name", "sd", "expected"),
    [
        ("eight_gaussians", 0.05, 0.0002), ("eight_gaussians", 0.1, 0.0029),
        ("eight_gaussians", 0.2, 0.035), ("grid_gaussians", 0.05, 0.007),
        ("grid_gaussians", 0.1, 0.072), ("grid_gaussians", 0.2, 0.43), ("two_moons", 0.1, 0.012),
    ],
)  # fmt: skip
def test_of_the_toys_as_an_audit_found_it(name, sd, expected):
    digits = 10 ** math.floor(math.log10(expected)) / (1 if expected < 0.01 else 10)
    assert divergence_from_smoothed(datasets.create(name), sd) == pytest.approx(
        expected, abs=0.51 * digits
    )


@pytest.mark.parametrize("name", ["eight_gaussians", "two_circles", "weighted_gaussians"])
@pytest.mark.parametrize("sd", [0.07, 0.3])
def test_of_sums_of_gaussians_is_that_from_wider_ones(name, sd):
    dataset, wide = datasets.create(name), datasets.create(name)
    wide.sd = math.hypot(dataset.sd, sd)
    points, _ = lattice(dataset.box, 256, torch.zeros(0, dtype=torch.float64))
    log_p, log_q = dataset.log_prob(points), wide.log_prob(points)
    expected = (log_p.softmax(0) * (log_p - log_q)).sum().item()
    assert divergence_from_smoothed(dataset, sd) == pytest.approx(expected, rel=1e-3, abs=1e-6)


@pytest.mark.parametrize(("squares", "sd"), [(4, 0.2), (2, 0.1), (8, 0.3)])
def test_of_a_density_that_jumps(squares, sd):
    dataset = datasets.create("checkerboard", squares=squares)
    expected = theory.CURVES["smoothed_checkerboard_kl"](squares, sigma=sd)
    assert divergence_from_smoothed(dataset, sd) == pytest.approx(expected, rel=0.02)


def test_narrower_noise_smooths_less_and_none_not_at_all():
    dataset = datasets.create("banana")
    floors = [divergence_from_smoothed(dataset, sd) for sd in (1e-6, 0.05, 0.1, 0.2, 0.5)]
    assert floors[0] == pytest.approx(0, abs=1e-9)
    assert floors == sorted(floors)


@pytest.mark.parametrize(
    ("objective", "sd"),
    [
        (objectives.create("denoising_score_matching", sigma=0.2), 0.2),
        (objectives.create("denoising_score_matching"), 0.1),
        (objectives.create("exact_score_matching"), None),
        (objectives.create("conditional_noise_contrastive"), None),
        (None, None),
    ],
    ids=str,
)
def test_the_divergence_tells_the_floor_of_what_smooths(objective, sd, truth_of):
    model = truth_of("eight_gaussians")
    model.objective = objective
    found = metrics.create("kl_divergence")(model, model.dataset, model.streams)
    assert ("smoothing_floor" in found) == (sd is not None)
    if sd:
        expected = divergence_from_smoothed(model.dataset, sd)
        assert found["smoothing_floor"].tolist() == [expected] * 2
