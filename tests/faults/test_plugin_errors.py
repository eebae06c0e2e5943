"""An error that a plugin raises is one message with its file and line, and stops nothing else."""

import json
import re
from functools import partial

import pytest
from factories.plugins import STAGED, make_suite, run
from typer.testing import CliRunner

from ebm_bench import cli, registry
from ebm_bench.runs import processes

LOSS = """
def loss(self, energy, x, streams):
    {}
    return energy(x).mean(1)
"""
NOISE = """
def build(self):
    pass

def fit(self, data, streams):
    {fit}

def sample(self, n, streams):
    {sample}
    return streams.normal(n, *self.event_shape)

def log_prob(self, x):
    {log_prob}
    return torch.distributions.Normal(0, 1).log_prob(x).sum(2)
"""
DATASET = """
event_shape = (2,)

def sample(self, n, streams, split="train"):
    {}
    return streams.normal(n, 2)
"""
METRIC = """
label = "own"

def __call__(self, model, dataset, streams):
    {}
    return {{"value": model.energy(dataset.sample(5, streams)).mean(1)}}
"""
SAMPLER = """
def run(self, energy, x, streams):
    {}
    return x
"""
RAISES = [
    "raise ValueError('sigma is 3')",
    "{}['sigma']",
    "raise RuntimeError('no convergence')",
    "1 / 0",
    "[][0]",
    "None.mean()",
    "undefined",
    "raise TypeError",
    "assert x is None, 'x is there'",
    "raise NotImplementedError('later')",
    "torch.zeros(2) @ torch.zeros(3)",
    "open('/none/of/this/name')",
    "import none_of_this_name",
    "raise StopIteration",
    "exit(0)",
    "raise type('Own', (Exception,), {})('mine')",
    "(f := lambda n: f(n + 1))(0)",
    "next(iter([]))",
    "raise type('Own', (Exception,), {'__str__': None})('mine')",
    "raise RuntimeError('x' * 10**6)",
    "'ü'.encode('ascii')",
    "raise GeneratorExit",
    "raise type('Own', (BaseException,), {})('mine')",
]
EXITS = ["exit(0)", *RAISES[-2:]]
BAD = "{}['sigma']"
FAMILIES = {
    "energy that is built": ("Energy", STAGED, {"build": BAD}),
    "energy that is fitted": ("Energy", STAGED, {"fit": BAD}),
    "energy": ("Energy", STAGED, {"forward": BAD}),
    "noise that is fitted": ("Noise", NOISE, {"fit": BAD}),
    "noise": ("Noise", NOISE, {"sample": BAD}),
    "density of noise": ("Noise", NOISE, {"log_prob": BAD}),
}


def attempted(capsys, task):
    """Exit code of a task, and what it prints."""
    code = processes._attempt(task)
    return code, capsys.readouterr().err


def lines(said):
    return [line for line in said.splitlines() if line.startswith("ebm-bench: ")]


def place(name, family, text):
    """File and line of a text in a plugin."""
    path = registry.describe(family, name).path
    (number,) = [i for i, line in enumerate(path.read_text().splitlines(), 1) if text in line]
    return f"{path}:{number}: "


@pytest.mark.parametrize("raises", RAISES)
def test_errors_of_a_loss(raises, plugin, tmp_path, capsys):
    name = plugin("Objective", LOSS.format(raises))
    code, said = attempted(capsys, partial(run, tmp_path, objective=name))
    assert code == 2
    assert "Traceback" not in said
    (line,) = lines(said)
    assert len(line) < 2000
    assert line.startswith(f"ebm-bench: {place(name, 'objectives', raises)}Own")
    assert re.search(r"Own\d+\.loss(\.<locals>\.<lambda>)?\(\) raised \w+", line)


@pytest.mark.parametrize("case", FAMILIES)
def test_errors_of_energies_and_noise(case, plugin, tmp_path, capsys):
    base, body, given = FAMILIES[case]
    parts = dict.fromkeys(("build", "fit", "forward", "sample", "log_prob"), "pass") | given
    name = plugin(base, body.format(more="", **parts))
    where = {"energy": name} if base == "Energy" else {"settings": {"noise": name}}
    code, said = attempted(capsys, partial(run, tmp_path, **where))
    family = "energies" if base == "Energy" else "noise"
    assert code == 2
    (line,) = lines(said)
    assert line.startswith(f"ebm-bench: {place(name, family, BAD)}Own")
    assert line.endswith("raised KeyError: 'sigma'")


@pytest.mark.parametrize(
    ("base", "body", "family", "where"),
    [
        ("Dataset", DATASET, "datasets", "dataset"),
        ("Metric", METRIC, "metrics", "curve"),
        ("Metric", METRIC, "metrics", "metrics"),
        ("Sampler", SAMPLER, "samplers", "sampler"),
    ],
)
def test_errors_of_other_families(base, body, family, where, plugin, tmp_path, capsys):
    name = plugin(base, body.format(BAD))
    given = (
        {"metrics": (name,), "curve": "hyvarinen_score"} if where == "metrics" else {where: name}
    )
    code, said = attempted(capsys, partial(run, tmp_path, **given))
    assert code == 2
    (line,) = lines(said)
    assert line.startswith(f"ebm-bench: {place(name, family, BAD)}Own")
    assert "Traceback" not in said


def test_errors_below_a_plugin_name_its_line(plugin, tmp_path, capsys):
    """As what raises was called with what the plugin gave."""
    name = plugin("Objective", LOSS.format("energy(torch.cat([x, x], 2))"))
    code, said = attempted(capsys, partial(run, tmp_path, objective=name))
    assert code == 2
    assert place(name, "objectives", "energy(torch.cat([x, x], 2))") in said


HELPER = """def broken(x):
    return {}['sigma']


class Part:
    def loss(self, energy, x, streams):
        return broken(x)
"""


@pytest.fixture
def helper(tmp_path, monkeypatch):
    """A module beside plugins, of a name of its own."""
    path = tmp_path / f"helper_{tmp_path.name.replace('-', '_')}.py"
    path.write_text(HELPER)
    monkeypatch.syspath_prepend(tmp_path)
    return path


@pytest.mark.parametrize("where", ["called", "inherited"])
def test_errors_of_modules_beside_a_plugin(where, helper, plugin, tmp_path, capsys):
    name = plugin("Objective", LOSS.format(f"import {helper.stem}; {helper.stem}.broken(x)"))
    path = registry.describe("objectives", name).path
    if where == "inherited":  # no line of the plugin is in the traceback
        text = path.read_text().partition("    def loss")[0] + "    kept = 1\n"
        text = text.replace("(Objective)", "(Part, Objective)")
        path.write_text(f"from {helper.stem} import Part\n{text}")
        registry.load(path)
    code, said = attempted(capsys, partial(run, tmp_path, objective=name))
    assert code == 2
    (line,) = lines(said)
    inside = f"{helper}:2: broken()"
    if where == "called":
        assert line.startswith(f"ebm-bench: {place(name, 'objectives', helper.stem)}Own")
        assert line.endswith(f"raised KeyError: 'sigma', in {inside}")
    else:
        assert line == f"ebm-bench: {inside} raised KeyError: 'sigma'"


@pytest.mark.parametrize(("folder", "library"), [("ebm_bench", True), ("ebm_bench_own", False)])
def test_folders_named_like_the_package_are_not_of_it(folder, library, tmp_path, monkeypatch):
    monkeypatch.setattr(registry, "_ROOT", tmp_path / "ebm_bench")
    path = tmp_path / folder / "helper.py"
    path.parent.mkdir()
    path.touch()
    assert registry.is_library(str(path)) == library


def test_modules_that_a_plugin_imports_and_that_cannot_be(helper, plugin):
    name = plugin("Objective", LOSS.format("pass"))
    path = registry.describe("objectives", name).path
    path.write_text(f"import {helper.stem}\n{path.read_text()}")
    helper.write_text("x = 1\ny = x / 0\n")
    done = CliRunner().invoke(cli.app, ["check", str(path)])
    assert done.exit_code == 2
    said = f"{path}:1: cannot be imported: ZeroDivisionError: division by zero, in {helper}:2"
    assert said in done.stderr.replace("\n", "")


def test_the_log_of_a_rule_has_the_traceback(plugin, tmp_path, capsys, monkeypatch):
    monkeypatch.setenv(processes.WORKFLOW, "1")
    name = plugin("Objective", LOSS.format(BAD))
    code, said = attempted(capsys, partial(run, tmp_path, objective=name))
    assert code == 2
    assert said.count("Traceback") == 1
    assert said.splitlines()[-1].startswith("ebm-bench: ")
    refused = plugin("Objective", LOSS.format("return x"))
    assert "Traceback" not in attempted(capsys, partial(run, tmp_path, objective=refused))[1]


def test_errors_of_the_package_have_a_traceback(capsys):
    code, said = attempted(capsys, partial(registry.load, 3.14))
    assert code == 1
    assert "Traceback" in said


def test_a_process_that_ends_by_itself_ends(capsys):
    with pytest.raises(SystemExit):
        processes._attempt(partial(exit, 3))


def test_commands_that_run_in_one_process(plugin, tmp_path, monkeypatch):
    """As `ebm-bench run`, which trains in this one."""
    name = plugin("Dataset", DATASET.format(BAD))
    monkeypatch.setattr(cli.plugins.registry, "load", lambda path: registry.create("datasets", name)
                        .sample(1, None))  # fmt: skip
    done = CliRunner().invoke(cli.app, ["run", "--plugin", "a.py", "--suite", "toy"])
    assert done.exit_code == 2
    assert "raised KeyError: 'sigma'" in done.output
    assert "Traceback" not in done.output


@pytest.mark.parametrize("raises", EXITS)
@pytest.mark.parametrize("base", ["Objective", "Dataset", "Metric", "Sampler"])
def test_what_exits_holds_no_contract(raises, base, plugin):
    body = {"Objective": LOSS, "Dataset": DATASET, "Metric": METRIC, "Sampler": SAMPLER}[base]
    path = registry.describe(f"{base.lower()}s", plugin(base, body.format(raises))).path
    done = CliRunner().invoke(cli.app, ["check", str(path)])
    assert done.exit_code == 1
    assert f"{path.name}:" in done.stdout
    assert "FAILS" in done.stdout


@pytest.mark.parametrize("raises", ["exit(0)", "raise GeneratorExit", "1 / 0"])
def test_what_exits_when_it_is_imported(raises, plugin):
    path = registry.describe("objectives", plugin("Objective", LOSS.format("pass"))).path
    path.write_text(path.read_text() + raises)
    done = CliRunner().invoke(cli.app, ["check", str(path)])
    assert done.exit_code == 2
    assert f"{path}:{len(path.read_text().splitlines())}: cannot be imported" in done.stderr


@pytest.mark.parametrize("raises", EXITS)
def test_what_exits_ends_a_command_with_a_message(raises, plugin, tmp_path):
    name = plugin("Dataset", DATASET.format(raises))
    data = {**make_suite(dataset=name).model_dump(mode="json"), "plugins": []}
    (tmp_path / "suite.yaml").write_text(json.dumps(data))
    done = CliRunner().invoke(cli.app, ["check", str(tmp_path / "suite.yaml")])
    assert done.exit_code == 2
    assert done.stderr.startswith(f"ebm-bench: {place(name, 'datasets', raises)}Own")
