import shutil

import pytest
import torch

from ebm_bench import energies, objectives
from ebm_bench.runs.compilation import CompiledLoss, should_compile
from ebm_bench.streams import Streams


def test_two_losses_of_one_process_are_kept_apart():
    data = torch.randn(2, 50, 2, generator=torch.Generator().manual_seed(0))
    energy = energies.create("mlp", event_shape=(2,), replicates=2, width=4, depth=1)
    energy.fit(data)
    parameters = list(energy.parameters())
    faster, eager = [], []
    for sigma in (0.2, 0.7):
        objective = objectives.create("denoising_score_matching", sigma=sigma)
        objective.setup(energy, data, Streams(1, 2))
        step = CompiledLoss(objective, energy, Streams(2, 2), data[:, :8], parameters)
        faster.append(lambda step=step: step(data[:, 8:16]))
        streams = Streams(2, 2)
        loss = objective.loss(energy, data[:, 8:16], streams)
        gradients = torch.autograd.grad(loss.sum(), parameters, materialize_grads=True)
        eager.append((gradients, loss.detach()))
    for call, (gradients, loss) in zip(faster, eager, strict=True):
        given_gradients, given_loss = call()
        torch.testing.assert_close(given_loss, loss)
        torch.testing.assert_close(tuple(given_gradients), gradients, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("method", "steps", "replicates", "device", "expected"),
    [
        ("denoising_score_matching", 5000, 20, "cpu", True),
        ("contrastive_divergence", 5000, 20, "cpu", False),
        ("denoising_score_matching", 1000, 5, "cpu", False),
        ("denoising_score_matching", 5000, 1, "cpu", False),
        ("denoising_score_matching", 5000, 1, "cuda", True),
        ("contrastive_divergence", 5000, 20, "cuda", False),
    ],
)
def test_long_trainings_of_many_replicates_are_compiled(
    method, steps, replicates, device, expected, monkeypatch
):
    monkeypatch.setattr(shutil, "which", lambda name: "/usr/bin/g++")
    objective = objectives.create(method)
    assert should_compile(objective, steps, replicates, torch.device(device)) == expected
