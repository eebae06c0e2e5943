"""Images of known density: the closed form, its fit, and what is kept of it."""

import numpy as np
import pytest
import torch
from torch.distributions import MultivariateNormal

from ebm_bench import datasets, registry
from ebm_bench.datasets import cached
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks.datasets import CHECKS, Case
from ebm_bench.streams import Streams

MIXTURES = {"mnist_mixture": {"side": 14, "rank": 3}, "cifar10_mixture": {"side": 8, "rank": 3}}
SHAPES = {name: arrays["train_images"].shape for name, arrays in cached.ARRAYS.items()}
EACH = pytest.mark.parametrize("name", MIXTURES)


@pytest.fixture(scope="module", autouse=True)
def stand_in(tmp_path_factory):
    """Thirty images of each class: a picture of its own, two directions, and noise."""
    folder = tmp_path_factory.mktemp("data")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EBM_BENCH_DATA", str(folder))
        for name in ("mnist", "cifar10"):
            rng = np.random.default_rng(1)
            shape = cached.ARRAYS[name]["train_images"].shape[1:]
            labels = np.repeat(np.arange(10, dtype=np.uint8), 30)[:-5]
            hidden = rng.standard_normal((len(labels), 2))
            picture, one, two = rng.uniform(-1, 1, (3, 10, *shape))
            spread = np.einsum("n,n...->n...", hidden[:, 0], one[labels]) * 15
            spread += np.einsum("n,n...->n...", hidden[:, 1], two[labels]) * 10
            images = 128 + 60 * picture[labels] + spread + 5 * rng.standard_normal(spread.shape)
            images = images.round().clip(0, 255).astype(np.uint8)
            np.save(folder / f"{name}_train_images.npy", images)
            np.save(folder / f"{name}_train_labels.npy", labels)
            arrays = {"train_images": images, "train_labels": labels}
            arrays = {key: cached.Array(value.shape, "") for key, value in arrays.items()}
            patch.setitem(cached.ARRAYS, name, arrays)
        yield folder


def created(name, **settings):
    return datasets.create(name, **{**MIXTURES[name], **settings})


@pytest.fixture(scope="module")
def case():
    found = {name: Case(name, settings) for name, settings in MIXTURES.items()}
    return found.__getitem__


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.name)
@EACH
def test_contract(name, check, case):
    if check.applies(case(name)):
        check(case(name))


@EACH
def test_metadata(name):
    entry = registry.describe("datasets", name)
    assert entry.knows == ("log_prob", "score", "entropy", "modes")
    assert entry.downloads == name.removesuffix("_mixture")
    assert entry.licence


def pixels_of(mixture, label):
    """Pixels of one class in [0, 1], averaged over blocks."""
    images = cached.load(mixture.downloads, "train_images").reshape(-1, *mixture.shape)
    chosen = images[cached.load(mixture.downloads, "train_labels") == label]
    block = mixture.shape[1] // mixture.side
    shape = (len(chosen), mixture.shape[0], mixture.side, block, mixture.side, block)
    return ((chosen.reshape(shape).mean((3, 5)) + 0.5) / 256).reshape(len(chosen), -1)


@EACH
def test_density_is_that_of_the_classes(name):
    mixture = created(name)
    x = mixture.sample(20, Streams(0))[0].double()
    block, rank = mixture.shape[1] // mixture.side, mixture.rank
    terms = []
    for label in range(10):
        points = pixels_of(mixture, label)
        covariance = np.cov(points.T, bias=True)
        values, vectors = np.linalg.eigh(covariance)
        # What is below the leading directions becomes equal along all others.
        values[:-rank] = values[:-rank].mean()
        whole = (vectors * (values + 1 / (12 * 256**2 * block**2))) @ vectors.T
        normal = MultivariateNormal(*map(torch.from_numpy, (points.mean(0), whole)))
        weight = (30 if label < 9 else 25) / 295
        terms.append(normal.log_prob(x.flatten(1)) + np.log(weight))
    expected = torch.stack(terms).logsumexp(0)
    torch.testing.assert_close(mixture.log_prob(x), expected, rtol=1e-7, atol=1e-6)


@EACH
def test_entropy_has_its_error(name, case):
    mixture = case(name).dataset
    entropy, error = mixture.entropy_and_error
    assert mixture.entropy() == entropy
    assert 0 <= error < 0.05
    assert created(name, noise=2.0).entropy() > entropy + 50


def test_classes_that_overlap_leave_an_error():
    wide = created("mnist_mixture", noise=60.0)
    entropy, error = wide.entropy_and_error
    assert error > 1e-3
    x = wide.sample(20_000, Streams(5))[0].double()
    own = -wide.log_prob(x)
    assert abs(own.mean() - entropy) < 4 * (own.std() / 20_000**0.5 + error)


@EACH
def test_points_belong_to_the_class_they_came_from(name):
    mixture = created(name)
    assert mixture.mode_of(mixture.modes).tolist() == list(range(10))
    x = mixture.modes.expand(2, 3, -1, -1, -1, -1)
    assert mixture.mode_of(x).shape == (2, 3, 10)


@EACH
def test_noise_is_a_factor_on_what_directions_leave(name):
    plain, loud = created(name), created(name, noise=3.0)
    difference = (loud.sample(4, Streams(0)) - plain.sample(4, Streams(0))).flatten(2)
    chosen = plain.mode_of(plain.sample(4, Streams(0)))
    sd = torch.from_numpy(plain.fit.noise).sqrt()[chosen]
    ratio = difference.std(2).double() / (2 * sd)
    torch.testing.assert_close(ratio, torch.ones_like(ratio), rtol=0.2, atol=0)
    along = (difference[0, 0].double() @ torch.from_numpy(plain.fit.directions)[chosen[0, 0]]).std()
    assert along < 4 * sd[0, 0]


def test_the_fit_is_kept_and_mended(stand_in):
    entropy = created("mnist_mixture", rank=4).entropy()
    (file,) = stand_in.glob("mnist_mixture_v1_14_4.npz")
    kept = file.read_bytes()
    for damaged in (b"", kept[: len(kept) // 2], b"no archive"):
        file.write_bytes(damaged)
        assert created("mnist_mixture", rank=4).entropy() == entropy
    file.unlink()
    file.mkdir()
    assert created("mnist_mixture", rank=4).entropy() == entropy


@EACH
def test_without_data_it_says_what_to_run(name, tmp_path, monkeypatch):
    monkeypatch.setenv("EBM_BENCH_DATA", str(tmp_path))
    source = name.removesuffix("_mixture")
    with pytest.raises(InputError, match=f"ebm-bench prepare --dataset {source}"):
        created(name).sample(1, Streams(0))


# What changes the density needs a new version and new values here: entropy, and the log-density
# of the mean of the first class.
NUMBERS = {
    "mnist_mixture": (-636.418876328213, 735.871924983837),
    "cifar10_mixture": (-755.3794273546542, 851.9057370700251),
}


@EACH
def test_numbers_are_the_same_everywhere(name):
    mixture = created(name)
    found = mixture.entropy(), mixture.log_prob(mixture.modes[:1])[0].item()
    assert found == pytest.approx(NUMBERS[name], rel=1e-7)


PREPARED = cached.folder()


# Of smaller images, which are fitted in seconds.
@pytest.mark.parametrize(
    ("name", "side", "entropy"),
    [("mnist_mixture", 14, -202.48329351), ("cifar10_mixture", 8, -203.79559840)],
)
def test_entropy_of_the_real_images(name, side, entropy, monkeypatch):
    source = name.removesuffix("_mixture")
    if not (PREPARED / f"{source}.json").exists():
        pytest.skip(f"{source} is not prepared: ebm-bench prepare --dataset {source}")
    monkeypatch.setenv("EBM_BENCH_DATA", str(PREPARED))
    for array, shape in {
        "train_images": SHAPES[source],
        "train_labels": SHAPES[source][:1],
    }.items():
        monkeypatch.setitem(cached.ARRAYS[source], array, cached.Array(shape, ""))
    mixture = datasets.create(name, side=side)
    mixture.fit = mixture._fit()  # whatever is kept
    found, error = mixture.entropy_and_error
    assert abs(found - entropy) < 4 * error + 1e-6
