import pytest

from ebm_bench.errors import InputError
from ebm_bench.studies.estimation import suite as estimation_suite
from ebm_bench.studies.stress import suite as stress
from ebm_bench.suites import suite
from ebm_bench.suites.budget import Budget
from ebm_bench.suites.specs import DatasetSpec
from ebm_bench.suites.suite import Suite
from ebm_bench.utils import yaml_files


@pytest.mark.parametrize(
    ("load", "kind"),
    [
        (suite.load, "leaderboard"),
        (estimation_suite.load, "estimation"),
        (stress.load, "stress"),
    ],
)
@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("name: a\nname: b\n", "duplicate key 'name'"),
        ("methods:\n  nce: {objective: a}\n  nce: {objective: b}\n", "duplicate key 'nce'"),
        ("name: [a\n", "not valid YAML"),
        ("version: 2020-13-45\n", "not valid YAML: month must be in"),
        ("- a\n- b\n", r"bad\.yaml: Input should be"),
        ("kind: $kind", "Field required"),
    ],
)
def test_bad_files(load, kind, text, said, tmp_path):
    path = tmp_path / "bad.yaml"
    path.write_text(text.replace("$kind", kind))
    with pytest.raises(InputError, match=said):
        load(path)


def test_a_missing_file_and_a_folder(tmp_path):
    for path in (tmp_path / "no.yaml", tmp_path):
        with pytest.raises(InputError, match="cannot be read"):
            yaml_files.read(path)


def test_anchors_and_merges_are_not_duplicates(tmp_path):
    path = tmp_path / "merged.yaml"
    path.write_text("one: &one {a: 1, b: 2}\ntwo: {<<: *one, b: 3}\n")
    assert yaml_files.read(path) == {"one": {"a": 1, "b": 2}, "two": {"a": 1, "b": 3}}


@pytest.mark.parametrize(
    ("model", "content", "said"),
    [
        (Budget, {"stps": 1}, "a.yaml: stps: unknown key 'stps'. Did you mean 'steps'?"),
        (DatasetSpec, {"budget": {"steps": "many"}}, "a.yaml: budget.steps: Input should be"),
        (
            Suite,
            {"datasets": {"x": {"budget": {"stps": 1}}}},
            "a.yaml: datasets.x.budget.stps: unknown key 'stps'. Did you mean 'steps'?",
        ),
    ],
)
def test_problems_name_source_key_and_what_is_valid(model, content, said):
    with pytest.raises(InputError) as caught:
        yaml_files.validate(model, content, "a.yaml")
    assert any(line.startswith(said) for line in str(caught.value).splitlines())
