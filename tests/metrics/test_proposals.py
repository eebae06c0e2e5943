"""Densities from which annealing starts, and how often what it calls converged is right."""

import pandas as pd
import pytest
import torch
from torch.distributions import MultivariateNormal

from benchmarks import normalisers
from ebm_bench import datasets
from ebm_bench.metrics import proposals
from ebm_bench.metrics.proposals import proposal_for
from ebm_bench.nn.pca_mixture import PcaMixture
from ebm_bench.plugins.checks.metrics import Pixels
from ebm_bench.streams import Streams

CPU = torch.device("cpu")


def fitted(data, components, rank):
    return PcaMixture(data.shape[1:], components, rank).to(data).fit(data)


def test_one_component_of_full_rank_is_the_fitted_gaussian():
    mix = torch.tensor([[1.0, 0, 0], [0.5, 2, 0], [0, 1, 0.1]])
    data = 3 + Streams(0).normal(500, 3)[0] @ mix
    found = fitted(data, 1, 320).log_prob(data[None])[0]
    expected = MultivariateNormal(data.mean(0), data.T.cov(correction=0)).log_prob(data)
    torch.testing.assert_close(found, expected, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize(("components", "rank"), [(1, 2), (3, 2), (3, 0), (4, 1)])
def test_the_density_is_that_of_its_components(components, rank):
    data = Streams(1).normal(400, 4)[0] * torch.tensor([3.0, 1.0, 0.5, 0.2]) + 1
    data[:100] += 9
    mixture = fitted(data, components, rank)
    parts = []
    for k, mean in enumerate(mixture.means):
        directions = mixture.directions.unflatten(1, (components, -1))[:, k]
        spread = torch.diag(mixture.variances[k] - mixture.noise[k])
        covariance = directions @ spread @ directions.T + mixture.noise[k] * torch.eye(4)
        scale = torch.diag(mixture.scale)
        one = MultivariateNormal(
            mixture.location + mixture.scale * mean, scale @ covariance @ scale
        )
        parts.append(mixture.weights[k].log() + one.log_prob(data))
    expected = torch.stack(parts).logsumexp(0)
    found = mixture.log_prob(data.expand(2, -1, -1))
    torch.testing.assert_close(found, expected.expand(2, -1), atol=2e-3, rtol=1e-4)


@pytest.mark.parametrize(("components", "rank"), [(1, 320), (4, 2)])
def test_samples_are_of_the_density(components, rank):
    data = Streams(2).normal(1000, 1, 2, 3)[0]
    data[..., 0] += 5 * data[..., 1]
    data[:300] += 4
    mixture = fitted(data, components, rank)
    x = mixture.sample(20_000, Streams(3, 2))
    assert x.shape == (2, 20_000, 1, 2, 3)
    torch.testing.assert_close(x.mean(1)[0], data.mean(0), atol=0.2, rtol=0)
    own, of_data = mixture.log_prob(x).mean(1), mixture.log_prob(data[None]).mean()
    torch.testing.assert_close(own, of_data.expand(2), atol=0.3, rtol=0)


@pytest.mark.parametrize("shape", [(1,), (3,), (1, 8, 8)])
@pytest.mark.parametrize("count", [3, 30])
def test_few_points_and_constant_coordinates_have_a_density(shape, count):
    data = Streams(4).normal(count, *shape)[0]
    data.flatten(1)[:, -1] = 1.0
    for components, rank in ((1, 320), (3, 32)):
        mixture = fitted(data, components, rank)
        assert mixture.log_prob(data[None]).isfinite().all()
        assert mixture.sample(5, Streams(0)).isfinite().all()


class Clusters(Pixels):
    """Images of four kinds, whose density is not known."""

    def sample(self, n, streams, split="train"):
        kinds = 3 * Streams(9).normal(4, *self.event_shape)[0]
        return kinds[streams.integers(4, n)] + 0.5 * super().sample(n, streams, split)


def test_the_proposal_is_the_truth_or_the_best_by_held_out_likelihood():
    known = datasets.create("ring")
    assert proposal_for(known, CPU) is known
    clusters, pixels = Clusters(), Pixels()
    assert len(proposal_for(clusters, CPU).weights) == 10
    assert len(proposal_for(pixels, CPU).weights) == 1
    assert proposal_for(pixels, CPU) is proposal_for(pixels, CPU)


def test_a_fit_is_made_once_for_all_processes(tmp_path, monkeypatch):
    monkeypatch.setenv("EBM_BENCH_DATA", str(tmp_path))
    monkeypatch.setattr(proposals, "_POINTS", 300)

    def find(dataset):
        proposals._fitted.cache_clear()  # as in another process
        return proposals.proposal_for(dataset, CPU)

    first, x = find(Clusters()), Clusters().sample(20, Streams(1))
    (kept,) = tmp_path.rglob("*.safetensors")
    with monkeypatch.context() as patch:
        patch.delattr(PcaMixture, "fit")
        assert torch.equal(find(Clusters()).log_prob(x), first.log_prob(x))
        with pytest.raises(AttributeError):  # other data, another fit
            find(Pixels())
        kept.write_bytes(kept.read_bytes()[:500])
        with pytest.raises(AttributeError):
            find(Clusters())
    assert torch.equal(find(Clusters()).log_prob(x), first.log_prob(x))
    monkeypatch.setattr(proposals, "version", lambda name: "0")
    find(Clusters())
    assert len(list(tmp_path.rglob("*.safetensors"))) == 2


@pytest.mark.parametrize("blocked", ["missing", "file"])
def test_a_fit_that_cannot_be_kept_is_made(tmp_path, monkeypatch, blocked):
    folder = tmp_path / "data"
    monkeypatch.setenv("EBM_BENCH_DATA", str(folder))
    monkeypatch.setattr(proposals, "_POINTS", 300)
    if blocked == "file":
        folder.mkdir()
        (folder / "proposals").touch()
    proposals._fitted.cache_clear()
    assert proposals.proposal_for(Clusters(), CPU).weights.isfinite().all()
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.fixture(scope="module")
def committed():
    return pd.read_csv(normalisers.RESULT)


def test_what_was_called_converged_is_right_in_95_of_100_cases(committed):
    assert committed["cases"].sum() > 150
    assert committed["right"].sum() >= 0.95 * committed["converged"].sum()
    assert set(committed["kind"]) == {case.kind for case in normalisers.cases()}
    many = committed[committed["kind"].str.contains("modes")]
    assert many["converged"].sum() > 0.5 * many["cases"].sum()


PART = ("8 modes in 3-D, moved", "8 modes in 10-D, narrow")


@pytest.mark.parametrize("fits", [False, True])
def test_a_part_of_them_again(fits):
    part = [case for case in normalisers.cases() if case.kind in PART]
    found = normalisers.summarise(
        pd.concat([normalisers.anneal(case, fits, levels=100) for case in part])
    )
    assert len(found) == len(PART)
    assert found["converged"].sum() >= 5
    assert found["right"].sum() >= found["converged"].sum() - 1
