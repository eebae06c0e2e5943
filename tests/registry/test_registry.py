import subprocess
import sys
from typing import Annotated, Literal

import pytest

from ebm_bench import datasets, energies, metrics, noise, objectives, registry, samplers
from ebm_bench.errors import InputError
from ebm_bench.registry.source import VOCABULARY, snake_case

PACKAGES = {
    "datasets": datasets,
    "energies": energies,
    "noise": noise,
    "objectives": objectives,
    "samplers": samplers,
    "metrics": metrics,
}
EVERYTHING = [(family, name) for family in registry.FAMILIES for name in registry.names(family)]

SOURCE = '''
from ebm_bench.registry import register

@register
class FlowContrastive:
    """Learn from a flow.

    More.
    """

    ratio: Annotated[float, Gt(0)] = 1.0
    mode: Literal["a", "b"] = "a"
    steps: Annotated[int, Ge(1)]
    own: ClassVar[int] = 3
    version = 2
    requires = ("smooth",)
    made = compute()

class Helper:
    pass
'''


@pytest.fixture
def family(tmp_path, monkeypatch):
    """An empty family in a folder of its own."""
    (tmp_path / "objectives").mkdir()
    monkeypatch.setattr(registry, "_ROOT", tmp_path)
    for found in (registry.packaged, registry.entries):
        found.cache_clear()
    yield tmp_path / "objectives"
    for found in (registry.packaged, registry.entries):
        found.cache_clear()


@pytest.mark.parametrize(
    ("class_name", "name"),
    [("TwoMoons", "two_moons"), ("Cifar10", "cifar10"), ("Mlp", "mlp"), ("Hmc", "hmc")],
)
def test_names(class_name, name):
    assert snake_case(class_name) == name


def test_an_entry_is_read_from_the_source(family):
    (family / "flow.py").write_text(SOURCE)
    entry = registry.describe("objectives", "flow_contrastive")
    assert registry.names("objectives") == ["flow_contrastive"]
    assert entry.summary == "Learn from a flow."
    assert list(entry.settings) == ["ratio", "mode", "steps"]
    assert entry.settings["steps"][1] is ...
    assert entry.requires == ("smooth",)
    assert (entry.trains, entry.kind, entry.search) == (True, "other", {})  # of the base class
    assert entry.path == family / "flow.py"


def test_settings_are_checked_and_filled_in(family):
    (family / "flow.py").write_text(SOURCE)
    entry = registry.describe("objectives", "flow_contrastive")
    assert entry.validate({"steps": 2}) == {"ratio": 1.0, "mode": "a", "steps": 2}
    for settings, said in {
        ("steps", 0): "flow_contrastive.steps = 0",
        ("ratio", -1): "flow_contrastive.ratio = -1",
        ("mode", "c"): "'a' or 'b'",
        ("step", 3): "Did you mean 'steps'?",
    }.items():
        with pytest.raises(InputError, match=said):
            entry.validate({"steps": 1, **dict([settings])})
    with pytest.raises(InputError, match="Field required"):
        entry.validate({})


def test_two_classes_may_not_have_one_name(family):
    for file in ("one.py", "two.py"):
        (family / file).write_text(SOURCE)
    with pytest.raises(InputError, match=r"two objectives are named 'flow_contrastive': .*one\.py"):
        registry.names("objectives")


def test_an_unknown_name_gets_the_nearest():
    with pytest.raises(InputError, match=r"unknown energy 'mpl'\. Did you mean 'mlp'"):
        registry.describe("energies", "mpl")
    with pytest.raises(InputError, match=r"Valid: .*mlp"):
        registry.create("energies", "something else entirely")


def test_create_checks_settings_and_names_the_instance():
    sampler = samplers.create("langevin", steps=3)
    assert (sampler.name, sampler.steps) == ("langevin", 3)
    with pytest.raises(InputError, match="'steps'"):
        samplers.create("langevin", stesp=3)
    with pytest.raises(InputError, match=r"langevin\.steps = 0"):
        samplers.create("langevin", steps=0)


@pytest.mark.parametrize(("family", "name"), EVERYTHING)
def test_every_entry_has_a_summary_and_settings_whose_defaults_are_valid(family, name):
    entry = registry.describe(family, name)
    assert entry.summary.endswith(".")
    given = {key: default for key, (_, default) in entry.settings.items() if default is not ...}
    if len(given) == len(entry.settings):
        assert entry.validate({}) == given


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_every_family_lists_its_names(family):
    assert PACKAGES[family].names() == registry.names(family)
    assert registry.names(family) == sorted(registry.names(family))


def test_listing_does_not_import_torch():
    code = (
        "import sys; from ebm_bench import registry\n"
        "for family in registry.FAMILIES: registry.names(family)\n"
        "assert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_annotations_need_nothing_but_the_vocabulary():
    assert {Annotated, Literal} <= set(VOCABULARY.values())
