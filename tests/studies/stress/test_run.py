"""Panels become suites, are run, resumed and refused."""

from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from factories import suites
from factories.suites import toy_panel

from ebm_bench.errors import InputError
from ebm_bench.runs import evaluation, training
from ebm_bench.studies.stress import run
from ebm_bench.studies.stress import suite as stress
from ebm_bench.studies.stress.theory import CURVES

GOOD = {
    "kind": "stress",
    "name": "small",
    "version": 1,
    "panels": {
        "noise": toy_panel(("dsm", "ml"), knob={"label": "σ", "values": [0.1, 1], "scale": "log"})
    },
}
PANEL = ("panels", "noise")
changed = partial(suites.changed, GOOD)


def load(content, folder):
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump(content))
    return stress.load(path)


def test_the_knob_stands_in_the_suite_of_its_value(tmp_path):
    suites = load(GOOD, tmp_path).expand("noise")
    assert list(suites) == [0.1, 1]
    for value, suite in suites.items():
        assert suite.name == "small-noise"
        assert suite.methods["dsm"].settings == {"sigma": value}
        assert suite.methods["ml"].settings == {}


def test_the_committed_panels_are_valid():
    path = Path(__file__).parents[3] / "benchmarks" / "stress.yaml"
    loaded = stress.load(path)
    for panel, spec in loaded.panels.items():
        assert list(loaded.expand(panel)) == spec.knob.values


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (changed("panel", to={}), "panel: unknown key 'panel'. Did you mean 'panels'?"),
        (changed(*PANEL, "titel", to="x"), "panels.noise.titel: unknown key 'titel'."),
        (changed(*PANEL, "knob", "vales", to=[1]), "Did you mean 'values'?"),
        (changed(*PANEL, "knob", "values", to=[1, 0.1]), "values [1, 0.1] are not ascending"),
        (changed(*PANEL, "knob", "values", to=[1]), "at least 2 items"),
        (changed(*PANEL, "knob", "values", to=[0, 1]), "cannot show the value 0"),
        (changed(*PANEL, "theory", "bias", to={"curve": "dsm_bais_kl"}),
         "panels.noise.theory.bias: unknown curve 'dsm_bais_kl'. Did you mean 'dsm_bias_kl'?"),
        (changed(*PANEL, "methods", "dsm", "settings", to={}), "the knob has no effect"),
        (changed(*PANEL, "datasets", to={}), "panels.noise.datasets"),
    ],
)  # fmt: skip
def test_a_bad_panel_is_refused(content, said, tmp_path):
    with pytest.raises(InputError) as error:
        load(content, tmp_path)
    assert str(error.value).startswith(str(tmp_path / "small.yaml"))
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("path", "to", "said"),
    [
        (("methods", "dsm", "settings"), {"sgma": "$knob"}, "Did you mean 'sigma'?"),
        (("datasets", "gaussian", "rank_by"), "kl", "rank_by: unknown metric of this dataset"),
        (("knob", "values"), [-1, 1], "noise at -1: methods.dsm.settings"),
    ],
)
def test_a_bad_suite_is_refused_with_the_value_of_the_knob(path, to, said, tmp_path):
    content = changed(*PANEL, *path, to=to)
    content["panels"]["noise"]["knob"]["scale"] = "linear"
    loaded = load(content, tmp_path)
    with pytest.raises(InputError) as error:
        loaded.expand("noise", "small.yaml")
    assert "small.yaml: noise at " in str(error.value)
    assert said in str(error.value)


@pytest.fixture
def computed(monkeypatch):
    """Stage, method and value of the knob of everything that is computed, in order."""
    seen = []

    def spy(module, stage, at):
        function = getattr(module, stage)

        def spied(suite, dataset, method, folder, device):
            name = method if isinstance(method, str) else method[0]
            seen.append((stage, name, Path(folder).parts[at]))
            return function(suite, dataset, method, folder, device)

        monkeypatch.setattr(module, stage, spied)

    spy(training, "train", -2)
    spy(evaluation, "evaluate", -4)
    return seen


def stages(*names, value):
    return [(name, method, value) for method in ("dsm", "ml") for name in names]


def test_a_panel_leaves_a_table_and_is_not_run_twice(computed, tmp_path):
    loaded = load(GOOD, tmp_path)
    path = run.run(loaded, "noise", tmp_path)
    table = pd.read_parquet(path)
    assert path == tmp_path / "noise" / run.VALUES
    assert set(table["knob"]) == {0.1, 1.0}
    counts = table[table["metric"] == "sampled_kl_divergence"].groupby(["knob", "method"]).size()
    assert counts.to_dict() == {(k, m): 2 for k in (0.1, 1.0) for m in ("dsm", "ml")}
    both = ("train", "evaluate")
    assert computed == stages(*both, value="0.1") + stages(*both, value="1")
    computed.clear()
    run.run(loaded, "noise", tmp_path)
    assert computed == []


def test_only_what_has_changed_is_run_again(computed, tmp_path):
    run.run(load(GOOD, tmp_path), "noise", tmp_path)
    computed.clear()
    content = changed(*PANEL, "knob", "values", to=[0.1, 2])
    run.run(load(content, tmp_path), "noise", tmp_path)
    assert computed == stages("train", "evaluate", value="2")
    computed.clear()
    metrics = {"sampled_kl_divergence": {"points": 60}}
    content["panels"]["noise"]["datasets"]["gaussian"]["metrics"] = metrics
    run.run(load(content, tmp_path), "noise", tmp_path)
    assert computed == stages("evaluate", value="0.1") + stages("evaluate", value="2")


def test_an_interrupted_panel_continues_where_it_was(computed, tmp_path, monkeypatch):
    evaluate = evaluation.evaluate

    def interrupted(suite, dataset, method, folder, device):
        if method == "ml" and Path(folder).parts[-4] == "1":
            raise KeyboardInterrupt
        return evaluate(suite, dataset, method, folder, device)

    loaded = load(GOOD, tmp_path)
    with monkeypatch.context() as patched:
        patched.setattr(evaluation, "evaluate", interrupted)
        with pytest.raises(KeyboardInterrupt):
            run.run(loaded, "noise", tmp_path)
    assert not (tmp_path / "noise" / run.VALUES).exists()
    computed.clear()
    assert len(pd.read_parquet(run.run(loaded, "noise", tmp_path))) == 8
    assert computed == [("evaluate", "ml", "1")]


def test_lines_of_theory_end_where_theory_does():
    path = Path(__file__).parents[3] / "benchmarks" / "stress.yaml"
    panels = stress.load(path).panels
    drawn = {
        label: [CURVES[curve.curve](value, **curve.settings) for value in panel.knob.values]
        for panel in (panels["density-chasm"], panels["mode-weights"])
        for label, curve in panel.theory.items()
    }
    assert (
        np.isnan(drawn["NCE, many samples (up to 0.1 nats)"]).tolist() == [False] * 3 + [True] * 3
    )
    assert drawn["left as it starts, at equal weights"] == pytest.approx(
        [0.2048, 0.2863, 0.2992, 0.29998, 0.3], abs=1e-4
    )
