"""The loss knows the progress of training: resumed, compiled, tuned and measured."""

import pytest
import torch
import yaml
from factories.interruption import killed_before
from factories.written import method, train, write

from ebm_bench.runs import evaluation, training, tuning
from ebm_bench.suites import suite

pytestmark = pytest.mark.usefixtures("no_plugins")

PROGRESS = '''
from dataclasses import dataclass

import torch

from ebm_bench.derivatives import gradient
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register


def note(progress):
    """Keep it in a file, which is no state of the process."""
    if not torch.compiler.is_compiling():
        with open(__file__ + ".seen", "a") as file:
            print(float(progress), file=file)


@register
@dataclass(eq=False, kw_only=True, repr=False)
class Annealed(Objective):
    """Denoising score matching with a noise level that shrinks."""

    requires = ("smooth",)

    def loss(self, energy, x, streams, {parameter}):
        """Loss (R,)."""
        {line}
        noise = streams.normal_like(x)
        residual = sigma * gradient(energy, x + sigma * noise) - noise
        return 0.5 * residual.square().sum(2).mean(1)
'''


def annealed(line="sigma = 0.5 * 0.1**progress", parameter="progress"):
    return PROGRESS.format(line=line, parameter=parameter)


SEES = "note(progress); sigma = 0.5 * 0.1**progress"


def seen_in(folder):
    """Different values, as contracts are looked at by more calls than those of the steps."""
    lines = (folder / "annealed.py.seen").read_text().split()
    return list(dict.fromkeys(map(float, lines)))


def weights(parts):
    return torch.cat([p.detach().flatten() for p in parts.energy.parameters()])


def run(path, name="m", checkpoint=None):
    return training.train_method(suite.load(path), "eight_gaussians", name, "cpu", checkpoint)


def test_progress_goes_from_0_to_1(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=4)
    parts, _ = run(path)
    assert seen_in(tmp_path) == [0, 0.25, 0.5, 0.75]
    assert parts.progress == 1


@pytest.mark.parametrize("parameter", ["progress", "progress=None", "*, progress", "progress=1.0"])
def test_progress_is_asked_for_in_the_signature(parameter, tmp_path):
    code = annealed(SEES, parameter)
    run(write(tmp_path, {"m": method("annealed")}, {"annealed": code}, steps=2))
    assert seen_in(tmp_path)[:2] == [0, 0.5]


def test_a_subclass_inherits_the_progress(tmp_path):
    code = annealed(SEES) + (
        "\n\n@register\n@dataclass(eq=False, kw_only=True, repr=False)\nclass Below(Annealed):\n"
        '    """Another."""\n'
    )
    run(write(tmp_path, {"m": method("below")}, {"annealed": code}, steps=2))
    assert seen_in(tmp_path)[:2] == [0, 0.5]


def test_a_resumed_run_knows_its_progress(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=8)
    whole, _ = run(path)
    checkpoint = tmp_path / "checkpoint.pt"
    with killed_before(5):
        run(path, checkpoint=checkpoint)
    (tmp_path / "annealed.py.seen").unlink()
    resumed, _ = run(path, checkpoint=checkpoint)
    seen = seen_in(tmp_path)
    assert 0 < seen[0] < 1
    assert seen == [step / 8 for step in range(8 - len(seen), 8)]
    assert torch.equal(weights(whole), weights(resumed))


def test_a_trial_of_tuning_has_its_own_progress(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=100)
    section = {"datasets": {"eight_gaussians": []}, "trials": 2, "steps": 2}
    path.write_text(yaml.safe_dump({**yaml.safe_load(path.read_text()), "tuning": section}))
    chosen = suite.load(path)
    values = chosen.search_of("eight_gaussians", "m").next_round()
    tuning.run_round(chosen, "eight_gaussians", "m", values, "cpu")
    assert seen_in(tmp_path)[:2] == [0, 0.5]


def test_metrics_measure_the_loss_as_it_is_by_then(tmp_path):
    path = write(tmp_path, {"m": method("annealed")}, {"annealed": annealed(SEES)}, steps=4)
    content = yaml.safe_load(path.read_text())
    data = content["datasets"]["eight_gaussians"]
    data |= {"metrics": {"hyvarinen_score": {}, "loss_variance": {"batches": 2}},
             "curve": "hyvarinen_score"}  # fmt: skip
    path.write_text(yaml.safe_dump(content))
    train(path, "m")
    (tmp_path / "annealed.py.seen").unlink()
    folder = tmp_path / "out" / "eight_gaussians" / "m"
    evaluation.evaluate(suite.load(path), "eight_gaussians", "m", folder, "cpu")
    assert set(seen_in(tmp_path)) == {1.0}


@pytest.mark.parametrize(
    "line",
    [
        "sigma = 0.5 * 0.1**progress",
        "sigma = torch.where(progress < 0.5, 0.5, 0.1)",
        "sigma = 0.5 if progress < 0.5 else 0.1",
        "sigma = 0.5 * 0.1 ** float(progress)",
        "sigma = 0.5 * 0.1 ** progress.item()",
    ],
)
def test_compiled_steps_have_the_progress_of_each_step(line, tmp_path):
    """What branches on the value is not compiled, rather than compiled with one value."""
    found = []
    for compute in ("eager", "compiled"):
        code = annealed(line)
        path = write(tmp_path, {"m": method("annealed")}, {"annealed": code}, compute, steps=30,
                     learning_rate=0.03)  # fmt: skip
        found.append(weights(run(path)[0]))
    torch.testing.assert_close(*found, rtol=1e-3, atol=1e-4)
