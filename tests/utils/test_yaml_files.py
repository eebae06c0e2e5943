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


def test_a_file_states_only_where_it_differs_from_another(tmp_path):
    (tmp_path / "small.yaml").write_text("a: {b: 1, c: [1, 2]}\nd: {e: 3}\nf: 4\n")
    (tmp_path / "large.yaml").write_text(
        "extends: small.yaml\na: {b: 5, c: [6]}\nd: 7\ng: {h: 8}\n"
    )
    found = yaml_files.read(tmp_path / "large.yaml")
    assert found == {"a": {"b": 5, "c": [6]}, "d": 7, "f": 4, "g": {"h": 8}}
    assert list(found) == ["a", "d", "f", "g"]
    assert yaml_files.read(tmp_path / "small.yaml")["a"] == {"b": 1, "c": [1, 2]}
    assert yaml_files.extended(tmp_path / "large.yaml") == [tmp_path / "small.yaml"]
    assert yaml_files.extended(tmp_path / "small.yaml") == []


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("../small.yaml", "is not the name of a file beside it"),
        ("3", "is not the name of a file beside it"),
        ("[small.yaml]", "is not the name of a file beside it"),
        ("missing.yaml", r"missing\.yaml: cannot be read"),
        ("list.yaml", "is no suite, or extends another file itself"),
        ("large.yaml", "is no suite, or extends another file itself"),
    ],
)
def test_what_cannot_be_extended_is_refused(tmp_path, given, said):
    (tmp_path / "list.yaml").write_text("- a\n")
    (tmp_path / "large.yaml").write_text(f"extends: {given}\n")
    with pytest.raises(InputError, match=said):
        yaml_files.read(tmp_path / "large.yaml")
