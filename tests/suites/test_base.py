"""Suites state their kind, and every command refuses the others."""

from pathlib import Path

import pytest

from ebm_bench.errors import InputError
from ebm_bench.studies.estimation import suite as estimation
from ebm_bench.studies.papers import suite as papers
from ebm_bench.studies.stress import suite as stress
from ebm_bench.suites import suite
from ebm_bench.suites.base import KINDS, kind_of
from ebm_bench.utils import yaml_files

FOLDER = Path(__file__).parents[2] / "benchmarks"
BENCHMARKS = [*sorted(FOLDER.glob("*.yaml")), FOLDER / "papers/ryu2025.yaml"]
LOADS = {
    "leaderboard": suite.load,
    "stress": stress.load,
    "estimation": estimation.load,
    "paper": papers.load,
}


@pytest.mark.parametrize("path", BENCHMARKS, ids=lambda path: path.stem)
def test_every_suite_states_its_kind_and_is_refused_as_another(path):
    stated = yaml_files.read(path)["kind"]
    assert LOADS[stated](path).kind == stated
    for kind in KINDS.keys() - {stated}:
        with pytest.raises(InputError) as caught:
            LOADS[kind](path)
        (message,) = str(caught.value).splitlines()
        assert message.startswith(f"{path}: a suite of kind '{stated}', and not of kind '{kind}'")
        assert KINDS[stated].format(path=path) in message


def test_a_suite_without_a_kind_is_a_leaderboard(tmp_path):
    (tmp_path / "mine.yaml").write_text("name: mine")
    assert kind_of({"name": "mine"}, "mine.yaml") == "leaderboard"
    with pytest.raises(InputError, match="of kind 'leaderboard', and not of kind 'stress'"):
        stress.load(tmp_path / "mine.yaml")


def test_an_unknown_kind_is_refused_with_the_valid_ones(tmp_path):
    (tmp_path / "mine.yaml").write_text("kind: stres")
    for load in LOADS.values():
        with pytest.raises(InputError, match=r"mine\.yaml: kind: .*Did you mean 'stress'\?"):
            load(tmp_path / "mine.yaml")
