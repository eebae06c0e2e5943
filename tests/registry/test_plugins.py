"""Plugins: files of users and installed modules, read without an import and made when asked."""

import subprocess
import sys
from importlib import metadata

import pytest
import torch

from ebm_bench import metrics, noise, objectives, registry
from ebm_bench.errors import InputError
from ebm_bench.records import fingerprint
from ebm_bench.streams import Streams
from ebm_bench.suites import suite

HEAD = """from dataclasses import dataclass
from typing import Annotated

from annotated_types import Gt

from ebm_bench.metrics.base import Metric
from ebm_bench.noise.base import Noise as Base
from ebm_bench.objectives import denoising_score_matching as dsm
from ebm_bench.registry import register
"""
LOSS = '''
@register
@dataclass(eq=False, kw_only=True, repr=False)
class Doubled(dsm.DenoisingScoreMatching):
    """Twice the loss."""

    factor: Annotated[float, Gt(0)] = 2.0

    def loss(self, energy, x, streams):
        return self.factor * super().loss(energy, x, streams)
'''
METRIC = '''
@dataclass(eq=False, kw_only=True)
class _Common(Metric):
    points: int = 3


@register
@dataclass(eq=False, kw_only=True)
class Ones(_Common):
    """Always one."""

    label = "ones"

    def __call__(self, model, dataset, streams):
        return {"value": torch.ones(streams.replicates)}
'''
# A class of a noise on line 11, to be varied.
NOISE = '''
@register
@dataclass(eq=False, kw_only=True, repr=False)
class Mine(Base):
    """Mine."""

    width: float = 1.0
'''


pytestmark = pytest.mark.usefixtures("no_plugins")


@pytest.fixture
def write(tmp_path):
    def write(text, name="mine.py"):
        path = tmp_path / name
        path.write_text(text)
        return path

    return write


def test_a_file_adds_classes_of_several_families_with_what_they_inherit(write):
    path = write(HEAD + LOSS + METRIC)
    assert [(e.family, e.name) for e in registry.load(path)] == [
        ("objectives", "doubled"), ("metrics", "ones"),
    ]  # fmt: skip
    entry = registry.describe("objectives", "doubled")
    assert entry.validate({"sigma": 0.3}) == {"sigma": 0.3, "factor": 2.0}
    assert entry.requires == ("smooth",)
    assert entry.path == path
    assert registry.describe("metrics", "ones").validate({}) == {"points": 3}
    made = objectives.create("doubled", sigma=0.3)
    assert (made.name, made.sigma, made.factor) == ("doubled", 0.3, 2.0)
    with pytest.raises(InputError, match=r"doubled\.factor = 0"):
        objectives.create("doubled", factor=0)


def test_an_annotation_is_not_executed(write, tmp_path):
    harm = f"(__import__('pathlib').Path({str(tmp_path / 'done')!r}).touch() or int)"
    with pytest.raises(InputError, match="the annotation of 'width' of Mine"):
        registry.load(write(HEAD + NOISE.replace("float", harm)))
    assert not (tmp_path / "done").exists()


@pytest.mark.parametrize(
    ("annotation", "good", "bad"),
    [
        ("int | None", None, "x"),
        ("Annotated[float, Gt(0), Le(2)]", 1.0, 3.0),
        ("Annotated[float, Interval(ge=-1, le=1)]", -1.0, -2.0),
        ("Literal['a', 'b']", "a", "c"),
        ("tuple[int, ...]", (1, 2), ("x",)),
        ("dict[str, Any]", {"a": 1}, 1),
    ],
)
def test_annotations_are_checked_against(annotation, good, bad, write):
    (entry,) = registry.load(
        write(HEAD + NOISE.replace("float", annotation).replace("1.0", repr(good)))
    )
    assert entry.validate({"width": good})["width"] == good
    with pytest.raises(InputError, match=r"mine\.width"):
        entry.validate({"width": bad})


def test_loading_imports_nothing_and_is_repeated_freely(write):
    path = write("raise RuntimeError\n" + HEAD + LOSS)
    registry.load(path)
    registry.load(path)
    assert "doubled" in objectives.names()


def test_an_edited_file_is_read_and_imported_anew(write):
    registry.load(write(HEAD + LOSS))
    assert objectives.create("doubled").factor == 2
    registry.load(write(HEAD + LOSS.replace("= 2.0", "= 3.0")))
    assert objectives.create("doubled").factor == 3
    assert type(objectives.create("doubled")) is type(objectives.create("doubled"))


def test_files_of_one_name_do_not_hide_each_other(write, tmp_path):
    (tmp_path / "other").mkdir()
    registry.load(write(HEAD + LOSS))
    registry.load(write(HEAD + LOSS.replace("Doubled", "Other"), "other/mine.py"))
    assert objectives.create("doubled").name == "doubled"
    assert objectives.create("other").name == "other"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("def loss(:\n", r"mine\.py:1: not valid Python: invalid syntax"),
        ("x = '\0'\n", r"mine\.py.*not valid Python"),
        ("register = 1\n", r"mine\.py: it registers no class; put @register"),
        (HEAD + NOISE.replace("(Base)", "(object)"), r"mine\.py:13: Mine belongs to no family, "
         r"since it derives from object\. Derive it from one "
         r"of ebm_bench\.datasets\.base\.Dataset"),
        (HEAD + NOISE.replace("(Base)", ""), "derives from nothing"),
        (HEAD + NOISE.replace("= 1.0", ""), r"mine\.py:13: setting 'width' of Mine has no default"),
        (HEAD + NOISE.replace("1.0", "1.0 * K"),
         r"mine\.py:16: the default of setting 'width' of Mine is 1\.0 \* K, .*write a literal"),
        (HEAD + NOISE.replace("float", "Tensor"),
         r"mine\.py:16: the annotation of 'width' of Mine"),
        (HEAD + NOISE.replace("float", "Annotated[float, Gt(2)]"),
         r"mine\.py:13: a default does not fit its annotation: mine\.width = 1\.0"),
        (HEAD + LOSS.replace("    factor", "    search = {'facto': (1, 2)}\n    factor"),
         r"mine\.py:13: unknown setting in search of Doubled 'facto'\. Did you mean 'factor'"),
        (HEAD + METRIC.replace('label = "ones"', 'requires = ("entropi",)'),
         r"mine\.py:21: unknown word in requires of Ones 'entropi'\. Did you mean 'entropy'"),
        (HEAD + METRIC.replace('label = "ones"', 'requires = ("entropy")'),
         r"mine\.py:21: requires of Ones is 'entropy': Input should be a valid tuple"),
        (HEAD + METRIC.replace('label = "ones"', 'version: ClassVar[int] = "2"'),
         r"mine\.py:21: version of Ones is '2': Input should be a valid integer"),
        (HEAD + METRIC.replace('label = "ones"', 'label = "o" + "nes"'),
         r"mine\.py:21: label of Ones is 'o' \+ 'nes', .*write a literal"),
        (HEAD + NOISE.replace("float", "Gt.__init__"), "the annotation of 'width' of Mine"),
        (HEAD + NOISE.replace("float", "print('executed') or float"), "the annotation of 'width'"),
        (HEAD + NOISE.replace("@dataclass(eq=False, kw_only=True, repr=False)\n", ""),
         r"put @dataclass\(eq=False, kw_only=True\) between @register and class Mine"),
        (HEAD + NOISE.replace("eq=False, ", ""), r"put @dataclass\(eq=False, kw_only=True\)"),
        (HEAD + NOISE + NOISE, r"mine\.py:20: two classes are named 'mine'"),
        (HEAD + NOISE.replace("Mine", "Uniform"),
         r"two noise are named 'uniform': .*ebm_bench/noise/uniform\.py, .*mine\.py"),
    ],
)  # fmt: skip
def test_a_bad_file_is_told_with_its_line(text, said, write):
    with pytest.raises(InputError, match=said):
        registry.load(write(text))
    assert "mine" not in noise.names()


def test_files_that_only_the_class_itself_knows_are_refused(write):
    method = "\n    @property\n    def files(self):\n        return (self.path,)\n"
    with pytest.raises(InputError, match=r"mine\.py:\d+: files of Mine is read without running"):
        registry.load(write(HEAD + NOISE + method))


def test_a_missing_file_is_told(tmp_path):
    with pytest.raises(InputError, match=r"no\.py: cannot be read"):
        registry.load(tmp_path / "no.py")


def test_two_plugins_may_not_claim_one_name(write):
    registry.load(write(HEAD + NOISE))
    with pytest.raises(InputError, match=r"named 'mine': .*mine\.py, .*other\.py"):
        registry.load(write(HEAD + NOISE, "other.py"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("import nothing_of_this_name", r"ModuleNotFoundError: No module named 'nothing_of"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
    ],
)
def test_a_file_that_cannot_be_imported_is_told_with_its_line(line, said, write):
    registry.load(write(f"{HEAD}{line}\n{LOSS}"))
    with pytest.raises(InputError, match=rf"mine\.py:10: cannot be imported: {said}"):
        objectives.create("doubled")


SUITE = """
name: small
version: 1
plugins: [code/mine.py]
datasets:
  two_moons:
    energy: {name: mlp}
    budget: {steps: 1}
    sampler: {name: langevin}
    metrics: {ones: {}}
    rank_by: ones
    curve: ones
methods:
  doubled: {objective: doubled, settings: {sigma: 0.3}}
  plain: {objective: denoising_score_matching}
"""


def test_a_suite_names_plugins_relative_to_itself(write, tmp_path, monkeypatch):
    (tmp_path / "code").mkdir()
    path = write(HEAD + LOSS + METRIC, "code/mine.py")
    monkeypatch.chdir("/")
    checked = suite.load(write(SUITE, "small.yaml"))
    assert path in fingerprint.training_files(checked, "two_moons", "doubled")
    assert path in fingerprint.evaluation_files(checked, "two_moons")


def test_what_does_not_use_a_plugin_does_not_depend_on_it(write, tmp_path):
    (tmp_path / "code").mkdir()
    path = write(HEAD + LOSS, "code/mine.py")
    checked = suite.load(write(SUITE.replace("ones", "hyvarinen_score"), "small.yaml"))
    assert path in fingerprint.training_files(checked, "two_moons", "doubled")
    assert path not in fingerprint.training_files(checked, "two_moons", "plain")
    assert path not in fingerprint.evaluation_files(checked, "two_moons")
    before = [p.name for p in fingerprint.training_files(checked, "two_moons", "plain")]
    registry.load(write(HEAD + NOISE, "other.py"))
    assert [p.name for p in fingerprint.training_files(checked, "two_moons", "plain")] == before


@pytest.mark.parametrize(
    ("suite_text", "said"),
    [
        (SUITE, r"small\.yaml: plugins: .*mine\.py: cannot be read"),
        (SUITE.replace("[code/mine.py]", "mine.py"), "plugins: Input should be a valid tuple"),
    ],
)
def test_a_suite_with_bad_plugins_is_refused(suite_text, said, write):
    with pytest.raises(InputError, match=said):
        suite.load(write(suite_text, "small.yaml"))


@pytest.fixture
def installed(tmp_path, monkeypatch):
    """An installed package with a plugin in it: (text) -> None."""

    def install(text):
        package = tmp_path / "site" / "some_methods"
        package.mkdir(parents=True, exist_ok=True)
        (package / "__init__.py").write_text("raise RuntimeError('the package was imported')")
        (package / "losses.py").write_text(text)
        information = tmp_path / "site" / "some_methods-1.dist-info"
        information.mkdir(exist_ok=True)
        (information / "METADATA").write_text("Name: some-methods\nVersion: 1\n")
        (information / "entry_points.txt").write_text(
            f"[{registry.GROUP}]\nmethods = some_methods.losses\n"
        )
        monkeypatch.syspath_prepend(tmp_path / "site")
        registry._installed.cache_clear()
        registry.entries.cache_clear()
        return package

    yield install
    registry._installed.cache_clear()


def test_installed_plugins_are_found_without_an_import(installed):
    package = installed(HEAD + LOSS)
    entry = registry.describe("objectives", "doubled")
    assert entry.path == package / "losses.py"
    (package / "__init__.py").write_text("")
    assert objectives.create("doubled").factor == 2
    del sys.modules["some_methods.losses"], sys.modules["some_methods"]


def test_a_file_that_is_installed_may_be_loaded_too(installed):
    package = installed(HEAD + LOSS)
    registry.load(package / "losses.py")
    assert objectives.names().count("doubled") == 1


def test_an_installed_plugin_without_its_file_is_told(installed):
    (installed(HEAD + LOSS) / "losses.py").unlink()
    with pytest.raises(InputError, match="some-methods is broken"):
        registry.names("objectives")


def test_the_line_of_an_installed_plugin_below_a_link_is_told(installed, tmp_path):
    package = installed(HEAD + LOSS)
    link = tmp_path / "link.py"
    link.symlink_to(package / "losses.py")
    code = compile("\ndef broken():\n    raise KeyError('scale')\n", str(link), "exec")
    exec(code, names := {})
    with pytest.raises(KeyError) as caught:
        names["broken"]()
    assert registry.raised_in(caught.value).endswith("link.py:3: broken() raised KeyError: 'scale'")


def test_a_broken_plugin_hides_no_other_error(installed):
    (installed(HEAD + LOSS) / "losses.py").unlink()
    assert registry.raised_in(ValueError("of something else")) == ""


def test_a_plugin_is_listed_in_a_process_without_torch(write):
    code = (
        "import sys; from ebm_bench import registry\n"
        f"registry.load({str(write(HEAD + LOSS))!r}); registry.names('objectives')\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_loss_of_a_plugin_is_computed(write):
    registry.load(write(HEAD + LOSS))
    from ebm_bench import energies

    energy = energies.create("mlp", event_shape=(2,), width=4)
    x = Streams(0).normal(8, 2)
    values = [objectives.create(name).loss(energy, x, Streams(1))
              for name in ("doubled", "denoising_score_matching")]  # fmt: skip
    torch.testing.assert_close(values[0], 2 * values[1])
    assert metadata.entry_points(group=registry.GROUP).names == set()


SHARED = '''
class Flat(Metric):
    pass


class Rising(Metric):
    higher_is_better = True


@register
@dataclass(eq=False, kw_only=True)
class Both(Flat, Rising):
    """Derives from two classes, of which the second states an attribute."""

    def __call__(self, model, dataset, streams):
        return {"value": torch.ones(streams.replicates)}
'''


def test_attributes_are_inherited_in_the_order_of_python(write):
    registry.load(write(HEAD + SHARED))
    assert registry.describe("metrics", "both").higher_is_better is True
    assert metrics.create("both").higher_is_better is True


def test_an_attribute_that_is_written_as_a_setting_is_refused(write):
    with pytest.raises(InputError, match="version of Ones describes the class: write version: C"):
        registry.load(write(HEAD + METRIC.replace('label = "ones"', "version: int = 2")))
