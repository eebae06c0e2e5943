"""Digests of what results depend on, and the files that are imported for them."""

import ast
import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import ebm_bench
from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.records import fingerprint
from ebm_bench.suites import suite
from ebm_bench.suites.base import Named

PACKAGE = Path(ebm_bench.__file__).parent
ROOT = PACKAGE.parent
FILES = sorted(PACKAGE.rglob("*.py"))
QUICK = suite.load(ROOT / "benchmarks/quick.yaml")


@pytest.fixture(autouse=True)
def read_anew():
    fingerprint.forget()
    yield
    fingerprint.forget()


def test_nothing_is_created_by_a_literal_name_that_imports_do_not_show():
    for file in FILES:
        if file.relative_to(PACKAGE).parts[0] in ("cli", "plugins", "report"):
            continue
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(".create"):
                assert not any(isinstance(a, ast.Constant) for a in node.args), file


def test_a_digest_is_the_same_in_another_folder(tmp_path):
    copy = tmp_path / "elsewhere"
    for part in ("ebm_bench", "benchmarks"):
        shutil.copytree(ROOT / part, copy / part)
    told = (
        "from ebm_bench.records import fingerprint; from ebm_bench.suites import suite\n"
        "loaded = suite.load('benchmarks/quick.yaml')\n"
        "print(fingerprint.of_training(loaded, 'two_moons', 'cd'))"
    )
    done = subprocess.run(
        [sys.executable, "-c", told], cwd=copy, env={**os.environ, "PYTHONPATH": str(copy)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert done.stdout.strip() == fingerprint.of_training(QUICK, "two_moons", "cd")


@pytest.fixture
def package(tmp_path):
    """A package outside this one: (files by name) -> the folder in which it lies."""

    def make(**texts):
        for name, text in texts.items():
            path = tmp_path / "outer" / f"{name.replace('__in__', '/')}.py"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        return tmp_path / "outer"

    return make


def names(folder, entry):
    found = fingerprint.closure(folder / entry)
    return [f.relative_to(folder).as_posix() for f in found if folder in f.parents]


@pytest.mark.parametrize(
    ("statement", "found"),
    [
        ("import outer.helper", ["entry.py", "helper.py"]),
        ("from outer import helper", ["entry.py", "helper.py"]),
        ("from outer.helper import f", ["entry.py", "helper.py"]),
        ("from . import helper", ["entry.py", "helper.py"]),
        ("from .helper import f", ["entry.py", "helper.py"]),
        ("def late():\n    from .inner.deep import f", ["entry.py", "helper.py", "inner/deep.py"]),
        ("try:\n    import outer.helper\nexcept ImportError:\n    pass", ["entry.py", "helper.py"]),
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import outer.helper",
         ["entry.py"]),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    import outer.helper", ["entry.py", "helper.py"]),
        ("if typing.TYPE_CHECKING:\n    import outer.helper", ["entry.py"]),
        ("if NOT_TYPE_CHECKING:\n    import outer.helper", ["entry.py", "helper.py"]),
        ("if not TYPE_CHECKING:\n    import outer.helper", ["entry.py", "helper.py"]),
        ("import torch.nn, os.path\nfrom numpy import *", ["entry.py"]),
    ],
)  # fmt: skip
@pytest.mark.parametrize("regular", [True, False])
def test_imports_are_followed_through_the_package_of_the_file(statement, found, regular, package):
    first = {"__init__": "import outer.first", "first": ""} if regular else {}
    folder = package(
        **first, entry=statement, helper="def f(): ...", inner__in__deep="from ..helper import f"
    )
    also = ["__init__.py", "first.py"] if regular else []
    assert names(folder, "entry.py") == sorted([*also, *found])


def test_a_module_beside_a_folder_of_its_name_is_followed(package):
    folder = package(entry="from . import data", data="def f(): ...")
    (folder / "data").mkdir()
    assert names(folder, "entry.py") == ["data.py", "entry.py"]


def test_a_file_of_users_depends_on_what_it_imports_of_this_package(package):
    folder = package(entry="from ebm_bench.optim.bfgs import minimise")
    assert PACKAGE / "optim/bfgs.py" in fingerprint.closure(folder / "entry.py")
    assert PACKAGE / "optim/__init__.py" in fingerprint.closure(folder / "entry.py")
    assert PACKAGE / "optim/adam.py" not in fingerprint.closure(folder / "entry.py")


DATASET = '''
from dataclasses import dataclass

from ebm_bench.datasets.base import Dataset
from ebm_bench.registry import register


@register
@dataclass(eq=False, kw_only=True)
class Mine(Dataset):
    """Points of a file, and of a folder."""

    files = ("path", "folder")

    path: str = "points.npy"
    folder: str = "pictures"
'''


def test_replaced_data_of_users_are_trained_on_again(tmp_path, monkeypatch, no_plugins):
    monkeypatch.chdir(tmp_path)
    Path("plugin.py").write_text(DATASET)
    Path("pictures/inner").mkdir(parents=True)
    paths = [Path("points.npy"), Path("pictures/a.png"), Path("pictures/inner/b.png")]
    for path in (*paths, Path("other.npy")):
        path.write_text("before")
    content = QUICK.model_dump(mode="json")
    data = {**content["datasets"]["mnist"], "energy": {"name": "mlp"}}
    data["metrics"] = {"hyvarinen_score": {}}
    method = {**content["methods"]["cd"], "overrides": {}}
    registry.load("plugin.py")
    loaded = suite.check({**content, "datasets": {"mine": data}, "methods": {"cd": method}}, "mine")
    assert {path.absolute() for path in paths} < {*fingerprint.training_files(loaded, "mine", "cd")}

    def digest():
        fingerprint.forget()
        return fingerprint.of_training(loaded, "mine", "cd")

    seen = {digest()}
    for path in paths:
        path.write_text("replaced")
        seen.add(digest())
    Path("pictures/c.png").touch()
    seen.add(digest())
    assert len(seen) == 5

    Path("other.npy").write_text("replaced")
    assert digest() in seen
    Path("points.npy").unlink()
    with pytest.raises(InputError, match=r"points\.npy: cannot be read"):
        digest()


def test_an_edited_file_is_read_again(package):
    folder = package(entry="", helper="")
    assert names(folder, "entry.py") == ["entry.py"]
    before = fingerprint.digest("", [folder / "entry.py"])
    package(entry="from outer import helper")
    fingerprint.forget()
    assert names(folder, "entry.py") == ["entry.py", "helper.py"]
    assert fingerprint.digest("", [folder / "entry.py"]) != before


def test_a_missing_file_is_reported(tmp_path):
    with pytest.raises(InputError, match=r"gone\.py: cannot be read"):
        fingerprint.closure(tmp_path / "gone.py")


def test_settings_join_the_digest():
    assert fingerprint.digest("a", [FILES[0]]) != fingerprint.digest("b", [FILES[0]])


def test_importing_it_leaves_torch_alone():
    told = "import sys, ebm_bench.records.fingerprint; sys.exit('torch' in sys.modules)"
    assert importlib.util.find_spec("torch")
    subprocess.run([sys.executable, "-c", told], check=True, cwd=ROOT)


def test_a_process_keeps_the_digest_of_the_code_that_it_has_read(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("x = 1")
    before = fingerprint.digest("", fingerprint.closure(file))
    file.write_text("x = 2")
    assert fingerprint.digest("", fingerprint.closure(file)) == before
    fingerprint.forget()
    assert fingerprint.digest("", fingerprint.closure(file)) != before


def test_a_class_that_a_plugin_creates_by_its_name_counts(tmp_path):
    file = tmp_path / "mine.py"
    file.write_text("from ebm_bench import noise\nq = noise.create('gaussian_mixture')\n")
    assert PACKAGE / "noise/gaussian_mixture.py" in fingerprint.closure(file)


def test_it_counts_which_file_is_which(tmp_path, monkeypatch, no_plugins):
    monkeypatch.chdir(tmp_path)
    Path("plugin.py").write_text(DATASET)
    registry.load("plugin.py")
    entry = registry.describe("datasets", "mine")
    given = {"path": "data/a/x.npy", "folder": ["data/b/x.npy", "data/y.npy", None]}
    assert entry.portable(given) == {"path": "a/x.npy", "folder": ["b/x.npy", "y.npy", None]}
    moved = {"path": "/at/a/x.npy", "folder": ["/at/b/x.npy", "/at/y.npy", None]}
    assert entry.portable(moved) == entry.portable(given)
    mixed = {"path": "data/a/x.npy", "folder": [str(tmp_path / "data/b/x.npy"), "data/y.npy", None]}
    assert entry.portable(mixed) == entry.portable(given)
    swapped = {"path": "data/b/x.npy", "folder": ["data/a/x.npy", "data/y.npy", None]}
    assert entry.portable(swapped) != entry.portable(given)
    assert entry.portable({"path": "elsewhere/x.npy"}) == {"path": "x.npy"}


PICTURES = """
from dataclasses import dataclass
from typing import ClassVar
from ebm_bench.datasets.base import Dataset
from ebm_bench.registry import register

@register
@dataclass(eq=False, kw_only=True)
class Pictures(Dataset):
    \"\"\"Pictures of a folder.\"\"\"

    files: ClassVar[tuple[str, ...]] = ("folder",)
    folder: str | None = None
"""


READERS = """
from dataclasses import dataclass
from typing import ClassVar
from ebm_bench.{family}.base import {base}
from ebm_bench.registry import register

@dataclass(eq=False, kw_only=True)
class Common({base}):
    {files}
    path: str | None = None

@register
@dataclass(eq=False, kw_only=True)
class Reader(Common):
    \"\"\"Reads a file.\"\"\"
"""


@pytest.mark.parametrize("family", registry.FAMILIES)
@pytest.mark.parametrize(
    "files", ['files = ("path",)', 'files: ClassVar[tuple[str, ...]] = ("path",)']
)
def test_files_of_a_class_count_in_every_family(family, files, tmp_path, no_plugins):
    base = registry.FAMILIES[family].base
    # A metric needs a label.
    text = READERS.format(family=family, base=base, files=f'{files}\n    label = "it"')
    (tmp_path / "reader.py").write_text(text)
    registry.load(tmp_path / "reader.py")
    data = tmp_path / "data.npy"

    def digest(path):
        fingerprint.forget()
        part = Named(name="reader", settings={"path": path})
        return fingerprint.digest("", fingerprint.files([(family, part)]))

    data.write_text("before")
    before = digest(str(data))
    data.write_text("after")
    assert len({before, digest(str(data)), digest(None)}) == 3
    data.unlink()
    with pytest.raises(InputError, match=r"data\.npy: cannot be read"):
        digest(str(data))


def test_files_of_the_noise_of_an_objective_count(tmp_path, no_plugins):
    (tmp_path / "reader.py").write_text(
        READERS.format(family="noise", base="Noise", files='files = ("path",)')
    )
    registry.load(tmp_path / "reader.py")
    data = tmp_path / "data.npy"
    data.write_text("before")
    content = QUICK.model_dump(mode="json")
    dataset = next(iter(content["datasets"]))
    settings = {"noise": "reader", "noise_settings": {"path": str(data)}}
    method = {"objective": "noise_contrastive", "settings": settings}
    loaded = suite.check({**content, "methods": {"mine": method}}, "mine")
    assert data in fingerprint.training_files(loaded, dataset, "mine")


def test_a_file_of_a_folder_counts_with_its_place(tmp_path, no_plugins):
    (tmp_path / "mine.py").write_text(PICTURES)
    registry.load(tmp_path / "mine.py")
    picture = tmp_path / "pictures/train/a.png"
    picture.parent.mkdir(parents=True)
    picture.write_text("a")

    def digest(folder):
        part = Named(name="pictures", settings={"folder": folder})
        return fingerprint.digest("", fingerprint.files([("datasets", part)]))

    before = digest(str(tmp_path / "pictures"))
    picture.rename(tmp_path / "pictures/a.png")
    fingerprint.forget()
    assert digest(str(tmp_path / "pictures")) != before
    assert digest(None)  # no folder is chosen


@pytest.mark.parametrize(
    ("line", "file"),
    [
        ("import helper", "helper.py"),
        ("from helper import loss", "helper.py"),
        ("import helper as h, math", "helper.py"),
        ("def f():\n    import helper", "helper.py"),
        ("from parts.losses import one", "parts/losses.py"),
        ("import parts", "parts/__init__.py"),
    ],
)
def test_what_a_plugin_imports_from_its_folder_counts(line, file, tmp_path):
    (tmp_path / "parts").mkdir()
    (tmp_path / "parts" / "__init__.py").touch()
    (tmp_path / "torch").mkdir()  # no module
    for name in ("helper.py", "other.py", "parts/losses.py"):
        (tmp_path / name).touch()
    (tmp_path / "plugin.py").write_text(f"import torch\n{line}\n")
    found = fingerprint.closure(tmp_path / "plugin.py")
    assert tmp_path / file in found
    assert tmp_path / "other.py" not in found


@pytest.mark.parametrize("line", ["import lab.losses", "from lab import losses", "import single"])
def test_what_a_plugin_imports_from_where_nothing_is_installed_counts(line, tmp_path, monkeypatch):
    """As the path of imports leads there: PYTHONPATH, or an editable installation."""
    monkeypatch.syspath_prepend(tmp_path / "elsewhere")
    for name in ("lab/__init__.py", "lab/losses.py", "single.py", "other.py"):
        (tmp_path / "elsewhere" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "elsewhere" / name).touch()
    (tmp_path / "plugin.py").write_text(f"import sys, torch\n{line}\n")
    found = {*fingerprint.closure(tmp_path / "plugin.py")}
    here = [tmp_path / "plugin.py"]
    if "lab" in line:
        here += [tmp_path / "elsewhere/lab" / name for name in ("__init__.py", "losses.py")]
    else:
        here.append(tmp_path / "elsewhere/single.py")
    assert found == {*here}


def test_what_a_search_tries_counts(no_plugins, tmp_path):
    (tmp_path / "mine.py").write_text(
        "from dataclasses import dataclass\n"
        "from ebm_bench.objectives.noise_contrastive import NoiseContrastive\n"
        "from ebm_bench.registry import register\n\n"
        "@register\n@dataclass(eq=False, kw_only=True)\nclass Searching(NoiseContrastive):\n"
        '    """Tries several noises."""\n\n    search = {"noise": ("gaussian", "uniform")}\n'
    )
    registry.load(tmp_path / "mine.py")
    content = {**QUICK.model_dump(mode="json"), "tuning": {"trials": 9}}
    method = {"objective": "searching", "datasets": ["two_moons"]}
    tuned = suite.check({**content, "methods": {"mine": method}}, "x")
    found = fingerprint.tuning_files(tuned, "two_moons", "mine")
    assert PACKAGE / "noise/uniform.py" in found
    assert PACKAGE / "noise/gaussian.py" in found
