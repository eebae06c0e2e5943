"""Files of runs go where they are asked for, even if a plugin changes to another folder."""

import os
from pathlib import Path

import pytest
from factories import estimation
from factories.suites import SEARCHED, changed, make_suite, toy_panel

from ebm_bench.objectives.denoising_score_matching import DenoisingScoreMatching
from ebm_bench.objectives.noise_contrastive import NoiseContrastive
from ebm_bench.runs import tuning
from ebm_bench.runs.tasks import RunTask
from ebm_bench.studies.estimation import asymptotics, jobs
from ebm_bench.studies.estimation.suite import EstimationSuite
from ebm_bench.studies.stress import run as stress
from ebm_bench.studies.stress.suite import Stress
from ebm_bench.suites import suite


def train(out):
    RunTask(make_suite(), "eight_gaussians", "dsm", out, device="cpu")()


def tune(out):
    content = changed(SEARCHED, "tuning", to={**SEARCHED["tuning"], "steps": 4, "trials": 2})
    tuning.tune(suite.check(content, "test"), "two_moons", "dsm", out)


def run_panel(out):
    panel = toy_panel(knob={"label": "σ", "values": [0.1, 1]})
    content = {"kind": "stress", "name": "small", "version": 1, "panels": {"noise": panel}}
    stress.run(Stress.model_validate(content), "noise", out)


def estimate(out):
    nce = {"objective": "noise_contrastive", "settings": {"noise": "gaussian"}}
    content = estimation.describe({"nce": nce, "again": nce}, 2)
    jobs.run(EstimationSuite.model_validate(content), "line", ["nce", "again"], out)


@pytest.mark.parametrize(
    ("work", "left"),
    [
        (train, "eight_gaussians/dsm/evaluation.json"),
        (tune, "two_moons/dsm.json"),
        (run_panel, "noise/values.parquet"),
        (estimate, "line/again/record.json"),
    ],
)
def test_a_plugin_that_changes_to_another_folder_takes_no_files_there(
    work, left, tmp_path, monkeypatch
):
    def wander(proper):
        def loss(*arguments, **options):
            os.chdir(tmp_path / "there")
            return proper(*arguments, **options)

        return loss

    for objective in (DenoisingScoreMatching, NoiseContrastive):
        monkeypatch.setattr(objective, "loss", wander(objective.loss))
    for name in ("_FOR_HESSIAN", "_FOR_SLOPES", "_FIT"):
        monkeypatch.setattr(asymptotics, name, 3000)
    monkeypatch.setattr(tuning, "_scores", lambda *arguments: [("ok", 1.0)] * arguments[-1])
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path)
    work(Path("runs"))
    assert Path.cwd() == tmp_path
    assert not list(Path("there").iterdir())
    assert Path("runs", left).exists()
