"""Settings that are not what they seem: refused by one message that names file, key and value."""

import itertools
import warnings

import pytest
import yaml

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.records import fingerprint
from ebm_bench.suites import suite
from ebm_bench.utils import yaml_files

pytestmark = pytest.mark.usefixtures("no_plugins")

PLUGIN = '''
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

from annotated_types import Ge, Gt, Interval

from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True, repr=False)
class {name}(Objective):
    """Own."""

    {body}

    def loss(self, energy, x, streams):
        """Loss (R,)."""
        return energy(x).mean(1)
'''
OPEN = """more: Any = None
    x: float = 1.0
    n: int = 1
    flag: bool = False
    each: tuple[float, ...] = ()
    choice: Literal[1, 3] = 1
    either: str | int = "a"
    by: dict[str, float] = {}"""
SUITE = """
name: small
version: 1
plugins: [own.py]
datasets:
  two_moons:
    replicates: 2
    budget: {{steps: 3}}
    energy: {{name: mlp}}
    sampler: {{name: langevin}}
    metrics: {{hyvarinen_score: {{points: 20}}}}
    rank_by: hyvarinen_score
    curve: hyvarinen_score
methods:
  m:
    objective: own
    settings: {settings}
"""
NUMBERS = itertools.count()


def load_plugin(folder, body, name=None):
    path = folder / f"own{next(NUMBERS)}.py"
    path.write_text(PLUGIN.format(name=name or path.stem.title(), body=body))
    (entry,) = registry.load(path)
    return entry


def load_suite(folder, settings="{}", old="", new=""):
    (folder / "own.py").write_text(PLUGIN.format(name="Own", body=OPEN))
    path = folder / "suite.yaml"
    text = SUITE.format(settings=settings)
    assert old in text
    path.write_text(text.replace(old, new))
    return suite.load(path)


@pytest.mark.parametrize(
    "settings",
    ["x: yes", "n: true", "x: on", "n: no", "each: [1, yes]", "choice: true", "either: on",
     "by: {a: 1, b: true}"],
)  # fmt: skip
def test_switches_are_no_numbers(settings, tmp_path):
    with pytest.raises(InputError, match=r"suite\.yaml: .*number, not yes, no, true"):
        load_suite(tmp_path, f"{{{settings}}}")


@pytest.mark.parametrize(
    ("old", "new"),
    [("replicates: 2", "replicates: yes"), ("steps: 3", "steps: on"),
     ("version: 1", "version: true"),
     ("langevin}", "langevin, settings: {steps: on}}"), ("version: 1", "version: 1\nseed: off"),
     ("steps: 3", "steps: 3, seconds: yes")],
)  # fmt: skip
def test_switches_are_no_numbers_in_other_parts(old, new, tmp_path):
    with pytest.raises(InputError, match=r"number, not yes, no, true"):
        load_suite(tmp_path, old=old, new=new)


def test_switches_are_switches_and_defaults_are_checked(tmp_path):
    chosen = load_suite(tmp_path, "{flag: yes, either: b, each: [1, '2e0']}")
    assert chosen.methods["m"].settings == {"flag": True, "either": "b", "each": [1.0, 2.0]}
    with pytest.raises(InputError, match=r"default does not fit .*x = True: Input should be a num"):
        load_plugin(tmp_path, "x: float = True")


@pytest.mark.parametrize(
    ("written", "read"), [("010", "8"), ("-017", "-15"), ("1:30", "90"), ("1:30.5", "90.5")]
)
def test_numbers_that_yaml_reads_otherwise(written, read, tmp_path):
    with pytest.raises(InputError, match=rf"the number {written} would be {read}(?s:.*)line \d+"):
        load_suite(tmp_path, f"{{x: {written}}}")


def test_other_numbers_are_read(tmp_path):
    path = tmp_path / "numbers.yaml"
    for written, value in {"0": 0, "00": 0, "0.5": 0.5, "05.5": 5.5, "0x10": 16, "'010'": "010",
                           "'1:30'": "1:30", "1_000": 1000, "-0.0": 0.0}.items():  # fmt: skip
        path.write_text(f"a: {written}")
        assert yaml_files.read(path) == {"a": value}


@pytest.mark.parametrize(
    "value",
    [".nan", "[1, .inf]", "{a: {b: -.inf}}", "2020-01-01", "{a: 2020-01-01 10:00:00}",
     "!!set {a, b}", "!!binary aGk="],
)  # fmt: skip
def test_what_no_record_can_hold_is_refused(value, tmp_path):
    with pytest.raises(InputError, match=r"suite\.yaml: methods\.m\.settings: own\.more = .*Valid"):
        load_suite(tmp_path, f"{{more: {value}}}")


def test_what_a_record_can_hold_is_planned(tmp_path):
    chosen = load_suite(tmp_path, "{more: [1, a, null, {b: [true, 0.5]}]}")
    assert fingerprint.of_training(chosen, "two_moons", "m")


@pytest.mark.parametrize(
    "annotation",
    ["dict[int]", "list[1]", "tuple[...]", "3", "'Nope'", "'x y'", "list['Nope']", "Literal",
     "Annotated", "Literal[()]", "Annotated[float, Gt('b')]"],
)  # fmt: skip
def test_annotations_that_mean_nothing_are_refused(annotation, tmp_path):
    with pytest.raises(InputError, match=r"own\d+\.py:\d+: the annotation of 'x' of Own"):
        load_plugin(tmp_path, f"x: {annotation} = 1")


def test_a_bound_on_what_has_no_order_is_refused(tmp_path):
    with pytest.raises(InputError, match=r"own\d+\.py:\d+: a default does not fit"):
        load_plugin(tmp_path, "x: Annotated[str, Gt(0)] = 'a'")


@pytest.mark.parametrize(
    "name", ["schema", "copy", "json", "dict", "model_dump", "model_config", "model_x", "validate"]
)
def test_settings_are_called_as_pydantic_calls_its_own(name, tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        entry = load_plugin(tmp_path, f"{name}: float = 1.0")
        assert entry.normalise({name: "2e0"}) == {name: 2.0}
    with pytest.raises(InputError, match=rf"\.{name} = 'a'"):
        entry.validate({name: "a"})


@pytest.mark.parametrize("name", ["_x", "__x", "name"])
def test_names_that_no_setting_may_have(name, tmp_path):
    with pytest.raises(InputError, match=rf"own\d+\.py:\d+: {name} of Own"):
        load_plugin(tmp_path, f"{name}: str = 'a'")


@pytest.mark.parametrize("values", ["()", "('a',)", "(1, True)", "(-1.0,)"])
def test_a_search_of_values_that_are_not_valid(values, tmp_path):
    with pytest.raises(InputError, match=r"own\d+\.py:\d+: search of Own"):
        load_plugin(tmp_path, f"x: Annotated[float, Gt(0)] = 1.0\n    search = {{'x': {values}}}")


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (PLUGIN.format(name="Q", body="def f(self, x: int[) -> 3: ..."), r"\.py:\d+: not valid Py"),
        (PLUGIN.format(name="Q", body="x: float = 1.0").replace("(Objective)", "(B)")
         + "\n\nclass B(Q):\n    pass\n", "belongs to no family"),
        ("a\0b", r"x\.py: not valid Python"),
        ("x = " + "-" * 100_000 + "1", r"x\.py: not valid Python"),
    ],
    ids=["annotation", "circle", "zero byte", "depth"],
)  # fmt: skip
def test_plugins_that_cannot_be_read(content, said, tmp_path):
    (tmp_path / "x.py").write_text(content)
    with pytest.raises(InputError, match=said):
        registry.load(tmp_path / "x.py")


@pytest.mark.parametrize("name", ["own.txt", "own", "loop.py", "a\0.py"])
def test_paths_that_are_no_plugins(name, tmp_path):
    (tmp_path / "loop.py").symlink_to("loop.py")
    if "\0" not in name and name != "loop.py":
        (tmp_path / name).write_text(PLUGIN.format(name="Own", body="pass"))
    with pytest.raises(InputError, match=r"own.*\.py|loop|a\0"):
        registry.load(tmp_path / name)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "latin-1"])
def test_plugins_in_an_encoding_that_python_reads(encoding, tmp_path):
    text = "# -*- coding: latin-1 -*-\n" if encoding == "latin-1" else ""
    text += PLUGIN.format(name="Own", body="x: str = 'ü'")
    (tmp_path / "own.py").write_bytes(text.encode(encoding))
    (entry,) = registry.load(tmp_path / "own.py")
    assert entry.validate({}) == {"x": "ü"}


@pytest.mark.parametrize("key", ["plugins", "tuned", "path"])
def test_zero_bytes_in_paths(key, tmp_path):
    content = yaml.safe_load(SUITE.format(settings="{}"))
    if key == "path":
        data = content["datasets"].pop("two_moons")
        content["datasets"] = {"points": {**data, "settings": {"path": "a\0b.npy"}}}
    else:
        content[key] = ["a\0.py"] if key == "plugins" else "a\0.yaml"
    (tmp_path / "suite.yaml").write_text(yaml.safe_dump(content))
    with pytest.raises(InputError, match=r"suite\.yaml: not valid YAML: a zero byte"):
        suite.load(tmp_path / "suite.yaml")


def test_the_home_of_nobody(tmp_path):
    entry = registry.describe("datasets", "points")
    assert entry.located({"path": "~nobody-x/a.npy"}, tmp_path)["path"] == str(
        tmp_path / "~nobody-x/a.npy"
    )
