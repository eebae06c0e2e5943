"""Known answers for images, and a case where each metric must be bad."""

import math

import numpy as np
import pytest
import torch

from ebm_bench import metrics
from ebm_bench.datasets import cached
from ebm_bench.metrics import features
from ebm_bench.metrics.frechet_distance_efficientnet import frechet_distance
from ebm_bench.metrics.kernel_distance_efficientnet import cubic
from ebm_bench.metrics.kernels import squared_discrepancy
from ebm_bench.metrics.neighbours import nearest
from ebm_bench.metrics.ood_auroc import _fit, _patch, _shuffle, auroc
from ebm_bench.streams import Streams


def measure(name, model, **settings):
    return metrics.create(name, **settings)(model, model.dataset, model.streams)


def test_bits_per_dim_of_a_known_density(images):
    """Standard normal logits: the bits of a pixel are an integral over one dimension."""
    y = torch.linspace(-12, 12, 100_001, dtype=torch.float64)
    log_p = -0.5 * y**2 - 0.5 * math.log(2 * math.pi)
    log_det = -torch.nn.functional.logsigmoid(y) - torch.nn.functional.logsigmoid(-y)
    nats = (-(log_p + log_det) * log_p.exp()).sum() * (y[1] - y[0])
    expected = nats / math.log(2) + 8
    result = measure("bits_per_dim", images())
    assert ((result["value"] - expected).abs() < 4 * result["standard_error"]).all()
    assert (result["standard_error"] < 0.02).all()
    torch.testing.assert_close(
        result["log_z"],
        torch.full((2,), 32 * math.log(2 * math.pi), dtype=torch.float64),
        atol=0.1,
        rtol=0,
    )
    worse = measure("bits_per_dim", images(mean=1.0))["value"] - result["value"]
    excess = torch.full((2,), 0.5 / math.log(2), dtype=torch.float64)
    torch.testing.assert_close(worse, excess, atol=0.05, rtol=0)


def test_auroc():
    inside, outside = torch.arange(10.0)[None], torch.arange(10.0)[None]
    assert auroc(inside, outside + 10) == 1
    assert auroc(inside, outside - 10) == 0
    assert auroc(inside, outside) == 0.5
    assert auroc(torch.zeros(1, 4), torch.zeros(1, 3)) == 0.5
    infinite = torch.full((1, 4), math.inf)
    assert auroc(infinite, infinite) == 0.5
    assert auroc(torch.zeros(1, 4), infinite) == 1
    assert auroc(inside, torch.tensor([[math.nan, 1.0]])).isnan()


def test_ood_auroc_of_seeing_and_blind_energies(images, monkeypatch):
    monkeypatch.setattr(
        "ebm_bench.metrics.ood_auroc._others",
        lambda dataset, n, streams: 0.98 + 0.01 * streams.uniform(n, *dataset.event_shape),
    )
    seeing = measure("ood_auroc", images())
    assert (seeing["value"] == 1).all()
    assert (seeing["noise"] > 0.99).all()
    # A Gaussian without correlations cannot see that pixels changed places.
    assert (seeing["shuffled"] - 0.5).abs().max() < 1e-3
    assert (seeing["patches"] - 0.5).abs().max() < 1e-3
    # Nor that the image is upside down, or a part of it.
    assert (seeing["flipped"] - 0.5).abs().max() < 1e-3
    assert (seeing["turned"] - 0.5).abs().max() < 1e-3
    assert ((seeing["faint"] > 0.5) & (seeing["faint"] < 0.7)).all()
    blind = measure("ood_auroc", images(slope=0.0))
    torch.testing.assert_close(blind["value"], torch.full((2,), 0.5).double())


def test_ood_auroc_against_clothes_where_they_are(images, monkeypatch, tmp_path, caplog):
    monkeypatch.setenv("EBM_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr("ebm_bench.metrics.ood_auroc._others", lambda *arguments: None)
    monkeypatch.setattr("ebm_bench.metrics.ood_auroc._to_logits", lambda pixels, dataset: _dim(9))
    caplog.set_level("INFO", "ebm_bench")
    without = measure("ood_auroc", images())
    assert "fashion_mnist" not in without
    assert "nothing is compared with Fashion-MNIST: fashion_mnist is not prepared" in caplog.text
    for split, size in {"train": 5_001, "test": 3}.items():
        name = f"{split}_images"
        np.save(tmp_path / f"fashion_mnist_{name}.npy", np.zeros((size, 28, 28), np.uint8))
        monkeypatch.setitem(cached.ARRAYS["fashion_mnist"], name, cached.Array((size, 28, 28), ""))
    found = measure("ood_auroc", images())
    assert (found.pop("fashion_mnist") == 1).all()
    assert found.keys() == without.keys()
    model = images()
    monkeypatch.setattr(type(model.dataset), "name", "fashion_mnist")
    assert "fashion_mnist" not in measure("ood_auroc", model)


def _dim(logit):
    return torch.full((2, 5, 1, 8, 8), float(logit))


@pytest.mark.parametrize("side", [8, 9, 3])
def test_patches_change_places_whole(side):
    streams = Streams(0, 2)
    images = streams.uniform(5, 2, side, 8)
    height, width = _patch((2, side, 8))
    mixed = _shuffle(images, streams, height, width)
    rows = side // height

    def patches(x):
        whole = x[..., : rows * height, :]
        cut = whole.unfold(3, height, height).unfold(4, width, width).flatten(5).transpose(2, 4)
        return {tuple(p.ravel().tolist()) for p in cut[1, 2].flatten(0, 1)}

    assert patches(mixed) == patches(images)
    assert len(patches(images)) == rows * 4
    assert not torch.equal(mixed, images)
    assert torch.equal(mixed[..., rows * height :, :], images[..., rows * height :, :])
    # In each image in another order.
    places = mixed[..., None, None] == images[:, :, :, 0, 0][..., None, None, None, None]
    assert len({tuple(p.nonzero().flatten().tolist()) for p in places[:, :, 0].flatten(0, 1)}) > 3


@pytest.mark.parametrize("channels", [1, 3])
def test_other_images_are_brought_to_size_and_colour(channels):
    class Target:
        event_shape = (3, 8, 6) if channels == 1 else (1, 8, 6)

    pixels = torch.full((2, 5, channels, 12, 12), 0.25)
    fitted = _fit(pixels, Target)
    assert fitted.shape == (2, 5, *Target.event_shape)
    torch.testing.assert_close(fitted, torch.full_like(fitted, 0.25))


def test_frechet_distance():
    x = Streams(0).normal(300, 6, dtype=torch.float64)[0]
    assert frechet_distance(x, x).item() == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 2).item() == pytest.approx(24)
    assert frechet_distance(x, x - x.mean(0)).item() == pytest.approx(x.mean(0).square().sum())
    centred = x - x.mean(0)
    spread = x.var(0).sum().item()
    assert frechet_distance(centred, 3 * centred).item() == pytest.approx(4 * spread)
    assert frechet_distance(x, x * math.nan).isnan()


def test_frechet_distance_agrees_with_the_matrix_root():
    import scipy.linalg

    x, y = Streams(0, 2).normal(50, 4, dtype=torch.float64)
    y = y @ torch.tensor([[2.0, 1, 0, 0], [0, 1, 0, 0], [0, 1, 3, 0], [1, 0, 0, 1]]).double()
    root = scipy.linalg.sqrtm(x.T.cov().numpy() @ y.T.cov().numpy()).real
    traces = x.T.cov().trace() + y.T.cov().trace() - 2 * root.trace()
    expected = (x.mean(0) - y.mean(0)).square().sum() + traces
    assert frechet_distance(x, y).item() == pytest.approx(expected.item(), rel=1e-6)


@pytest.mark.parametrize(("points", "converged"), [(65, 0.0), (639, 0.0), (640, 1.0)])
def test_frechet_distance_needs_far_more_samples_than_features(
    images, monkeypatch, points, converged
):
    monkeypatch.setattr(features, "extract", lambda pixels: pixels.flatten(2))  # 64 of them
    result = measure("frechet_distance_efficientnet", images(), points=points)
    assert result["converged"].tolist() == [converged] * 2
    assert (result["floor"] > 0).all()


def kernel_distance(x, y):
    return squared_discrepancy(cubic, x, y).values()


def test_kernel_distance_scatters_about_its_expectation():
    streams = Streams(0, 100)
    x, y = (streams.child(name).normal(40, 5) for name in "xy")
    values, errors = kernel_distance(x, y)
    assert values.mean().abs() < 4 * values.std() / 10
    assert (values < 0).any()
    # To first order the error of equal distributions is zero, and its estimate is not.
    assert errors.mean() == pytest.approx(2**0.5 * values.std().item(), rel=0.3)
    shifted, errors = kernel_distance(x, y + 2)
    assert (shifted > 5).all()
    assert errors.mean() == pytest.approx(shifted.std().item(), rel=0.2)


def test_kernel_distance_of_unequal_numbers():
    x, y = Streams(0).normal(7, 3), Streams(1).normal(4, 3)
    value, _ = kernel_distance(x, y)

    def mean(a, b, same):
        pairs = [(p, q) for i, p in enumerate(a) for j, q in enumerate(b) if not (same and i == j)]
        return sum((p @ q / 3 + 1) ** 3 for p, q in pairs) / len(pairs)

    x, y = x[0].double(), y[0].double()
    expected = mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)
    torch.testing.assert_close(value[0], expected)


def test_features_tell_images_apart():
    streams = Streams(0, 2)
    grey = streams.uniform(3, 1, 28, 28)
    found = features.extract(grey)
    assert found.shape == (2, 3, 1280)
    torch.testing.assert_close(found, features.extract(grey.expand(-1, -1, 3, -1, -1)))
    assert (found[:, 0] - found[:, 1]).norm(dim=1).min() > 1
    assert features.extract(grey * math.nan).isnan().all()


def test_distances_of_samples_use_the_same_features(images, monkeypatch):
    calls = []
    monkeypatch.setattr(features, "extract", lambda pixels: calls.append(1) or pixels.flatten(2))
    model = images()
    good = [
        measure(f"{kind}_distance_efficientnet", model, points=200)["value"]
        for kind in ("frechet", "kernel")
    ]
    assert len(calls) == 2
    bad = [
        measure(f"{kind}_distance_efficientnet", images(mean=3.0), points=200)["value"]
        for kind in ("frechet", "kernel")
    ]
    assert all((b > g).all() for g, b in zip(good, bad, strict=True))


@pytest.mark.parametrize("size", [1, 7, 40])
def test_nearest_is_that_of_all_distances(size):
    """However the others are cut into batches, and to the last digit where points are close."""
    streams = Streams(0)
    train = 0.5 + 0.2 * streams.normal(40, 12)[0]
    queries = torch.cat([train[::5] + 1e-5, streams.uniform(9, 12)[0]])
    queries[-1, 3] = math.nan
    found = nearest(queries, train.split(size))
    differences = queries[:-1, None].double() - train.double()
    expected = differences.square().mean(2).sqrt().amin(1)
    torch.testing.assert_close(found[:-1], expected, rtol=1e-3, atol=0)
    assert found[-1].isnan()


def test_nearest_neighbours_of_copies_among_other_samples(images):
    """A fifth of copies shows in the share of near samples, and not in the ratio."""
    model = images()
    copies = torch.cat([*model.dataset.batches(model.streams)], 1)[:, :40]
    drawn = torch.cat([copies, model.streams.child("others").normal(160, 1, 8, 8)], 1)
    model.energy.sample = lambda n, streams: drawn
    result = measure("nearest_neighbour_ratio", model, points=200)
    assert (result["value"] > 0.95).all()
    assert ((result["near"] - 0.2 - 0.8 * 0.05).abs() < 0.05).all()
    model = images()
    model.energy.sample = lambda n, streams: copies
    result = measure("nearest_neighbour_ratio", model, points=40)
    assert (result["value"] == 0).all()
    assert (result["held_out"] > 0.1).all()
    assert (result["standard_error"] == 0).all()


def test_the_error_of_the_nearest_neighbour_ratio_is_its_scatter(images):
    model = images(replicates=100)
    model.energy.sample = lambda n, streams: streams.normal(n, 1, 8, 8)
    result = measure("nearest_neighbour_ratio", model, points=50, held_out=5000)
    assert result["standard_error"].mean() == pytest.approx(result["value"].std().item(), rel=0.3)


def test_nothing_is_copied_from_data_without_end(images, monkeypatch):
    model = images()
    monkeypatch.setattr(type(model.dataset), "batches", lambda *arguments: None)
    assert measure("nearest_neighbour_ratio", model)["value"].isnan().all()
