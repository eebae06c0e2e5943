import math
import shutil

import pytest
import torch
from factories import commands

from ebm_bench.errors import InputError
from ebm_bench.nn import layers
from ebm_bench.runs import doctor
from ebm_bench.streams import Recording, Replay

QUICK = ["denoising_score_matching", "sliced_score_matching"]


class Eager:
    """In place of a compiled loss, which takes seconds to compile."""

    off = 1.0

    def __init__(self, objective, energy, streams, x, parameters, mixed):
        self.objective, self.energy, self.parameters = objective, energy, parameters
        self.trial = Recording(streams.child("trial"))
        objective.loss_at(energy, x, self.trial)
        self.draws = self.trial.on(streams)

    def __call__(self, x, progress):
        streams = Replay(self.draws.redraw())
        loss = self.objective.loss_at(self.energy, x, streams, progress)
        gradients = torch.autograd.grad(loss.sum(), self.parameters, materialize_grads=True)
        return tuple(g * self.off for g in gradients), loss.detach()


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(doctor, "CompiledLoss", Eager)
    monkeypatch.setattr(doctor, "STEPS", 4)
    monkeypatch.setattr(doctor, "TIMED", 1)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}")


def examine(only=QUICK):
    return {finding.label: finding for finding in doctor.examine("cpu", only)}


def test_every_path_of_a_sound_cpu_holds():
    found = examine()
    assert [*found] == [
        "derivatives, float64, CPU",
        "eager, float64",
        "eager, float32",
        "compiled, float32",
        "mixed, bfloat16",
    ]
    assert not [fault for finding in found.values() for fault in finding.faults]
    assert found["mixed, bfloat16"].missing == "only on a GPU"
    for label in ("eager, float32", "compiled, float32"):
        assert found[label].objectives == 2
        assert 0 < found[label].gradient < 1e-4
        assert found[label].peak > 0
    assert found["eager, float64"].gradient < 1e-12


def test_a_wrong_derivative_is_found(monkeypatch):
    proper = layers._DERIVATIVES["silu"]

    def wrong(a, order):
        return tuple(d * 1.01**n for n, d in enumerate(proper(a, order)))

    monkeypatch.setitem(layers._DERIVATIVES, "silu", wrong)
    faults = examine()["derivatives, float64, CPU"].faults
    assert len(faults) == 2
    assert faults[0].startswith("denoising_score_matching: gradient off by ")


@pytest.mark.parametrize("off", [1.01, float("nan"), -1.0, 0.0])
def test_a_path_with_other_gradients_is_not_trusted(off, monkeypatch):
    monkeypatch.setattr(Eager, "off", off)
    found = examine()
    assert [one.label for one in found.values() if one.faults] == ["compiled, float32"]
    assert "gradient off by" in found["compiled, float32"].faults[0]


def test_single_precision_that_is_too_coarse_is_not_trusted(monkeypatch):
    proper = doctor.Subject.differentiate

    def coarse(self, *arguments):
        gradients, loss = proper(self, *arguments)
        if loss.dtype == torch.float32:
            gradients = tuple(g.to(torch.float8_e4m3fn).float() for g in gradients)
        return gradients, loss

    monkeypatch.setattr(doctor.Subject, "differentiate", coarse)
    assert examine()["eager, float32"].faults


def test_a_path_that_raises_is_not_trusted(monkeypatch):
    def fail(self, *arguments):
        raise RuntimeError("no kernel image\nis available")

    monkeypatch.setattr(Eager, "__call__", fail)
    faults = examine(QUICK[:1])["compiled, float32"].faults
    assert faults == ["denoising_score_matching: RuntimeError: no kernel image"]


def test_without_a_compiler_nothing_is_compiled(monkeypatch):
    monkeypatch.setattr(shutil, "which", lambda name: None)
    found = examine(QUICK[:1])["compiled, float32"]
    assert (found.missing, found.faults) == ("needs a C++ compiler, g++", [])


def test_what_samples_the_model_is_not_compiled():
    assert examine(["contrastive_divergence"])["compiled, float32"].missing == (
        "none of these objectives is compiled"
    )


@pytest.mark.parametrize("name", ["denoising", "untrained"])
def test_other_names_are_refused(name):
    with pytest.raises(InputError, match="unknown objective that trains"):
        examine([name])


def test_drawn_numbers_are_the_same_in_all_precisions():
    def draw(dtype):
        streams = doctor.Drawn(3).child("purpose")
        return streams.normal(4, dtype=dtype), streams.integers(9, 4), streams.rademacher(3)

    double, single = draw(torch.float64), draw(torch.float32)
    assert torch.equal(double[0].float(), single[0])
    assert all(map(torch.equal, double[1:], single[1:]))


def test_the_command_says_which_paths_to_trust(monkeypatch):
    arguments = ["doctor", "--device", "cpu", "--only", QUICK[0]]
    sound = commands.run(*arguments)
    assert sound.exit_code == 0, sound.output
    assert "No GPU is tested" in sound.output
    assert "compiled, float32" in sound.output.rsplit("To be trusted: ")[-1]
    monkeypatch.setattr(Eager, "off", 1.5)
    broken = commands.run(*arguments)
    assert broken.exit_code == 1
    assert "Not to be trusted: compiled, float32" in broken.output


def test_what_is_no_number_stays_the_worst():
    finding = doctor.Finding("eager")
    for error in (1e-9, float("nan"), 1e-6):
        finding.note("loss", "dsm", error, 1e-3)
    assert math.isnan(finding.loss)
    assert len(finding.faults) == 1
