"""What a result depends on: settings, code and data files.

Code is found through imports: a result depends on the files that define its parts (dataset,
energy, objective, ...), on the module that computes it, and on everything that these import.
Nothing is executed, and nothing here imports torch: the workflow asks for files each time it
starts.
"""

import ast
import hashlib
import importlib.util
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.suites.base import Named
from ebm_bench.suites.compatibility import objective_parts
from ebm_bench.suites.suite import Suite
from ebm_bench.suites.tuning import TRIAL_CURVE

_PACKAGE = Path(__file__).parents[1]


def closure(*entries: Path) -> list[Path]:
    """Find the files that are executed when some Python files are imported.

    Every import statement counts, including those inside functions, except those under
    ``TYPE_CHECKING``. Imports are followed through this package and through the package that
    contains the importing file, including the ``__init__.py`` of each package on the way, and to
    what a plugin imports from its folder, or from where nothing is installed but the path of
    imports leads (``PYTHONPATH``, editable installations). A module that is imported by a computed
    name is not found; pass its file as an entry.

    Parameters
    ----------
    *entries : Path
        Python files.

    Returns
    -------
    list of Path
        Sorted, the entries among them.
    """
    return [*_closure(frozenset(entries))]


@cache
def _closure(entries: frozenset[Path]) -> tuple[Path, ...]:
    found: set[Path] = set()
    waiting = [path for entry in entries for path in (entry, *_packages(entry))]
    while waiting:
        path = waiting.pop()
        if path not in found:
            found.add(path)
            waiting += _imported(path)
    return tuple(sorted(found))


def files(parts: Iterable[tuple[str, Named]], *modules: str) -> list[Path]:
    """List the files on which a result depends.

    Parameters
    ----------
    parts : iterable of (str, Named)
        Family, and name with settings, of every registered class that is used.
    *modules : str
        Files of the package that compute the result, such as ``runs/training.py``.

    Returns
    -------
    list of Path
        Code, and the files that settings name.
    """
    entries, data = [_PACKAGE / module for module in modules], []
    for family, part in parts:
        entry = registry.describe(family, part.name)
        entries.append(entry.path)
        data += [file for path in entry.paths(part.settings) for file in _expanded(path)]
    code = closure(*entries)
    return sorted({*code, *data}) if data else code


def training_files(suite: Suite, dataset: str, method: str) -> list[Path]:
    """List the files that decide what a method becomes on a dataset."""
    return files(suite.training_parts(dataset, method), "runs/training.py")


def evaluation_files(suite: Suite, dataset: str) -> list[Path]:
    """List the files that decide what is measured of a trained model."""
    return files(suite.evaluation_parts(dataset), "runs/evaluation.py")


def tuning_files(suite: Suite, dataset: str, method: str) -> list[Path]:
    """List the files that decide the outcome of the trials of a method on a dataset."""
    parts = suite.training_parts(dataset, method, curve=TRIAL_CURVE)
    search, objective = suite.search_of(dataset, method), suite.methods[method].objective
    for tried in search.settings if search else ():  # the noise may be among them
        parts += objective_parts(objective, {**tried, **suite.stated_settings(dataset, method)})
    return files([*parts, ("metrics", suite.criterion_of(dataset))], "runs/tuning.py")


def of_training(suite: Suite, dataset: str, method: str) -> str:
    """Digest what a training depends on."""
    settings = suite.training_slice(dataset, method)
    return digest(settings, training_files(suite, dataset, method))


def of_evaluation(suite: Suite, dataset: str, method: str) -> str:
    """Digest what an evaluation depends on, the training included."""
    trained = of_training(suite, dataset, method)
    settings = suite.evaluation_slice(dataset)
    return digest(f"{trained} {settings}", evaluation_files(suite, dataset))


def digest(settings: str, paths: Iterable[Path]) -> str:
    """Digest settings and files: the same in every checkout and every folder.

    A process reads each file once, as it imports each module once: a result that took hours has
    the digest of the code that computed it, whatever was edited meanwhile.

    Parameters
    ----------
    settings : str
        Everything that is no file, in a canonical form.
    paths : iterable of Path
        Files; their content counts, and their names relative to their package.

    Raises
    ------
    InputError
        Where a file cannot be read.
    """
    total = hashlib.sha256(settings.encode())
    for name, path in sorted((_name(path), path) for path in set(paths)):
        total.update(f"\n{name} {_content(path)}".encode(errors="surrogateescape"))
    return total.hexdigest()


def remember(paths: Iterable[Path]) -> None:
    """Read Python files now; processes that are forked from this one do not read them again."""
    for path in paths:
        _imported(path), _content(path), _name(path)


def forget() -> None:
    """Read files anew from now on."""
    for cached in (_content, _closure, _imported, _packages, _name, _folders_of):
        cached.cache_clear()


@cache
def _content(path: Path) -> str:
    return hashlib.sha256(_read(path)).hexdigest()


def _read(path: Path) -> bytes:
    if path.exists() and not path.is_file():  # a pipe or a device, which need not end
        raise InputError(f"{path}: is no file")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InputError(f"{path}: cannot be read ({error.strerror})") from None


@cache
def _name(path: Path) -> str:
    """Name a file relative to the folder in which its package or the folder of data lies."""
    top = _packages(path)[0].parent if _packages(path) else _folders.get(path, path)
    return path.relative_to(top.parent).as_posix()


# Folders that settings name, by the files in them.
_folders: dict[Path, Path] = {}


def _expanded(path: Path) -> list[Path]:
    """List the files of a folder; a file stands for itself."""
    if not path.is_dir():
        return [path]
    found = sorted(file for file in path.rglob("*") if file.is_file())
    _folders.update(dict.fromkeys(found, path))
    return found


@cache
def _packages(path: Path) -> list[Path]:
    """List the ``__init__.py`` of the packages in which a file lies, the outermost first."""
    found: list[Path] = []
    for folder in path.parents:
        if not (folder / "__init__.py").exists():
            break
        found.insert(0, folder / "__init__.py")
    return found


@cache
def _imported(path: Path) -> list[Path]:
    """List the files that a file imports directly, or whose classes it creates by name."""
    source = _read(path)
    tree = ast.parse(source, str(path))
    imported = [file for node in _imports(tree) for file in _files_of(node, path)]
    return [*imported, *(_created(tree) if b"create" in source else ())]


def _created(tree: ast.AST) -> Iterator[Path]:
    """Find the files of classes that are created by a literal name: ``noise.create("flow")``."""
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(value=ast.Name(id=family), attr="create"),
                args=[ast.Constant(value=str(name)), *_],
            ) if family in registry.FAMILIES and name in registry.entries(family):
                yield registry.describe(family, name).path


def _imports(node: ast.AST) -> Iterator[ast.Import | ast.ImportFrom]:
    """Find the import statements of a syntax tree that are executed."""
    if isinstance(node, ast.Import | ast.ImportFrom):
        yield node
        return
    below: Iterable[ast.AST] = ast.iter_child_nodes(node)
    # Its negation, or a part of it, is no such condition.
    if isinstance(node, ast.If) and isinstance(node.test, ast.Name | ast.Attribute):
        name = ast.unparse(node.test).rpartition(".")[2]
        below = node.orelse if name == "TYPE_CHECKING" else below
    for child in below:
        if not isinstance(child, ast.expr):  # which has no statements
            yield from _imports(child)


def _files_of(node: ast.Import | ast.ImportFrom, path: Path) -> Iterator[Path]:
    """Find the files that an import statement of a file executes, as far as they are followed."""
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    else:
        module = f"{node.module}." if node.module else ""
        names = [module + alias.name for alias in node.names]
    for parts in (name.split(".") for name in names):
        if isinstance(node, ast.ImportFrom) and node.level:
            folders = [path.parents[node.level - 1]]
        elif parts[0] == _PACKAGE.name:
            folders = [_PACKAGE.parent]
        else:
            folders = [folder.parent for folder in path.parents if folder.name == parts[0]]
            if _PACKAGE not in path.parents:
                # Of a plugin, whose path may name its folder.
                folders += [path.parent, *_folders_of(parts[0])]
        for folder in folders:
            yield from _modules(folder, parts)


@cache
def _folders_of(name: str) -> list[Path]:
    """Find the folder in which Python finds a module, unless it is a library."""
    try:
        spec = importlib.util.find_spec(name)
    except (ImportError, ValueError):  # of a module that says nothing of where it is from
        return []
    places = spec.submodule_search_locations or [spec.origin or "built-in"] if spec else []
    return [Path(place).parent for place in places if not registry.is_library(place)]


def _modules(folder: Path, parts: list[str]) -> Iterator[Path]:
    """Find the packages and the module that a dotted name under a folder executes."""
    for part in parts:
        folder, module = folder / part, folder / f"{part}.py"
        if (folder / "__init__.py").exists():
            yield folder / "__init__.py"
        elif module.exists():  # also beside a folder of its name, say of data
            yield module
            return
        elif not folder.is_dir():
            return
