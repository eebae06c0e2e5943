"""Images: splits, dequantisation, the logit map and its log-determinant."""

import math

import numpy as np
import pytest
import torch

from ebm_bench import datasets, registry
from ebm_bench.datasets import cached, pixels
from ebm_bench.errors import InputError
from ebm_bench.streams import Streams

IMAGES = [
    name
    for name, entry in registry.entries("datasets").items()
    if "pixels" in entry.knows and not entry.files
]
TRAIN, TEST = 5_003, 7


@pytest.fixture(params=IMAGES)
def images(request, tmp_path, monkeypatch):
    """An image dataset whose cache holds a few images; image i is filled with i mod 251."""
    name = request.param
    monkeypatch.setenv("EBM_BENCH_DATA", str(tmp_path))
    arrays = {}
    for split, size in {"train": TRAIN, "test": TEST}.items():
        shape = (size, *cached.ARRAYS[name][f"{split}_images"].shape[1:])
        values = np.arange(size) % 251
        content = np.broadcast_to(values.reshape(-1, *[1] * (len(shape) - 1)), shape)
        np.save(tmp_path / f"{name}_{split}_images.npy", content.astype(np.uint8))
        arrays[f"{split}_images"] = cached.Array(shape, "")
    monkeypatch.setitem(cached.ARRAYS, name, arrays)
    return datasets.create(name)


def bytes_of(images, y):
    return (images.to_pixels(y.double()) * 256).floor()


def test_metadata(images):
    assert images.knows == ("pixels",)
    assert str(images.lam) in images.space
    assert images.licence
    assert images.citation


@pytest.mark.parametrize("split", ["train", "test"])
def test_batches_have_each_image_once(images, split, monkeypatch):
    monkeypatch.setattr(pixels, "_BATCH", 2)
    first = [bytes_of(images, y)[:, :, 0, 0, 0] for y in images.batches(Streams(0, 2), split)]
    found = torch.cat(first, 1)
    expected = torch.arange(images.size(split)).double()
    assert torch.equal(found, expected.expand(2, -1))


def test_splits(images):
    sizes = {split: images.size(split) for split in ("train", "validation", "test")}
    assert sizes == {"train": 3, "validation": 5_000, "test": TEST}
    every = torch.arange(3)
    first = bytes_of(images, images.batch(every, Streams(0), "train"))[0, :, 0, 0, 0]
    assert first.tolist() == [0, 1, 2]
    first = bytes_of(images, images.batch(every, Streams(0), "validation"))[0, :, 0, 0, 0]
    assert first.tolist() == [3, 4, 5]
    with pytest.raises(InputError, match="Did you mean 'test'"):
        images.sample(1, Streams(0), "tets")


def test_samples_are_dequantised_in_logit_space(images):
    y = images.sample(20, Streams(0, replicates=2), "validation")
    assert y.shape == (2, 20, *images.event_shape)
    assert y.dtype == torch.float32
    x = images.to_pixels(y.double())
    pixels, noise = (x * 256).floor(), (x * 256) % 1
    # One grey value an image, and noise that fills [0, 1).
    assert (pixels.flatten(2) == pixels.flatten(2)[..., :1]).double().mean() > 0.999
    assert noise.mean().item() == pytest.approx(0.5, abs=0.02)
    assert noise.std().item() == pytest.approx(math.sqrt(1 / 12), abs=0.02)
    expected = images.lam + (1 - 2 * images.lam) * x
    torch.testing.assert_close(torch.sigmoid(y.double()), expected)


def test_replicates_draw_their_own_and_alone_the_same(images):
    together = images.sample(4, Streams(0, replicates=3))
    assert torch.equal(images.sample(4, Streams(0, replicates=[1]))[0], together[1])
    assert not torch.equal(together[0], together[1])


def test_indices_may_differ_between_replicates(images):
    y = images.batch(torch.tensor([[0, 1], [2, 3]]), Streams(0, replicates=2), "validation")
    assert bytes_of(images, y)[..., 0, 0, 0].tolist() == [[3, 4], [5, 6]]


def test_log_determinant(images):
    def to_logit(x):
        return torch.logit(images.lam + (1 - 2 * images.lam) * x)

    x = Streams(0).uniform(2, *images.event_shape, dtype=torch.float64).requires_grad_()
    y = to_logit(x)
    (slope,) = torch.autograd.grad(y.sum(), x)
    assert images.log_det(y).shape == (1, 2)
    torch.testing.assert_close(images.log_det(y), slope.log().sum((-3, -2, -1)))
    torch.testing.assert_close(images.to_pixels(y), x)


def test_uniform_pixels_cost_eight_bits_a_dimension(images):
    x = Streams(0).uniform(3, *images.event_shape, dtype=torch.float64)
    y = torch.logit(images.lam + (1 - 2 * images.lam) * x)
    # The density of uniform pixels, carried to logit space.
    log_p = -images.log_det(y)
    bits = (-log_p - images.log_det(y)) / (math.prod(images.event_shape) * math.log(2)) + 8
    torch.testing.assert_close(bits, torch.full_like(bits, 8))


def test_pixels_stay_bytes_on_the_disk(images):
    assert isinstance(images.pixels("train"), np.memmap)
    assert images.pixels("train").dtype == np.uint8


@pytest.mark.parametrize("name", IMAGES)
def test_without_data_it_says_what_to_run(name, tmp_path, monkeypatch):
    monkeypatch.setenv("EBM_BENCH_DATA", str(tmp_path))
    with pytest.raises(InputError, match=f"ebm-bench prepare --dataset {name}"):
        datasets.create(name).sample(1, Streams(0))
