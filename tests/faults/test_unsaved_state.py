"""State that no checkpoint holds is neither compiled nor resumed.

Where it may be kept, `tests/runs/test_state.py` tries.
"""

import itertools
import logging

import pytest
import torch
from factories.interruption import killed_before
from factories.suites import METHODS, make_suite

from ebm_bench import registry
from ebm_bench.plugins.checks import objectives as checks
from ebm_bench.plugins.checks.base import verify
from ebm_bench.runs import compilation, training

pytestmark = pytest.mark.usefixtures("no_plugins")

HEAD = """
from dataclasses import dataclass

import torch
from torch import nn

from ebm_bench.datasets.base import Dataset
from ebm_bench.derivatives import gradient
from ebm_bench.energies.base import Energy
from ebm_bench.noise.base import Noise
from ebm_bench.noise.uniform import Uniform
from ebm_bench.objectives.base import Objective
from ebm_bench.objectives.noise_contrastive import NoiseContrastive
from ebm_bench.registry import register

N = 0
"""
CLASS = "\n\n@register\n@dataclass(eq=False, kw_only=True, repr=False)\n"
OBJECTIVE = '''class Mine(Objective):
    """Denoising score matching with a noise level that shrinks by a counter."""

    requires = ("smooth",)
    shared = 0

    def build(self, energy):
        """Make what is kept."""
        super().build(energy)
        {build}

    def fit(self, energy, data, streams):
        """Keep something of the data."""
        {fit}

    def loss(self, energy, x, streams):
        """Loss (R,)."""
        {call}
        sigma = 0.5 * 0.8**n
        noise = streams.normal_like(x)
        residual = sigma * gradient(energy, x + sigma * noise) - noise
        return 0.5 * residual.square().sum(2).mean(1)
'''
ENERGY = '''class Warm(Energy):
    """A Gaussian whose precision learns more slowly by a counter."""

    def build(self, streams):
        """Create the parameters."""
        self.a = nn.Parameter(torch.ones(self.replicates, 1))
        self.n = 0

    def forward(self, x):
        """Energy (R, B)."""
        self.n += 1
        a = self.a.lerp(self.a.detach(), 1 - 0.9**self.n)
        return a * x.square().sum(2)
'''
NOISE = '''class Shrinking(Uniform):
    """A uniform density with a counter."""

    def sample(self, n, streams):
        """Draw points."""
        self.n = 1 + getattr(self, "n", 0)
        return super().sample(n, streams) * 0.9999**self.n
'''


def objective(call, build="pass", fit="pass", top=""):
    return HEAD + top + CLASS + OBJECTIVE.format(call=call, build=build, fit=fit)


# As each process has them when it imports the plugin.
PROCESS = """
import os
from contextvars import ContextVar
V = ContextVar("V", default=0)
os.environ["ANNEALED_N"] = "0"
torch.annealed_n = 0
torch.set_default_dtype(torch.float32)
"""
VARIABLE = "the environment variable ANNEALED_N"


COUNTER = objective("self.n += 1; n = self.n", build="self.n = 0")
METHOD = {"objective": "mine"}
# A plugin, a method of it, and what is said to change.
KEPT = {
    "attribute": (COUNTER, METHOD, ["Mine.n"]),
    "class attribute": (objective("Mine.shared += 1; n = self.shared"), METHOD, ["Mine.shared"]),
    "global": (objective("global N; N += 1; n = N"), METHOD, ["plugin.N"]),
    "energy": (
        HEAD + CLASS + ENERGY,
        {"objective": "exact_score_matching", "energy": {"name": "warm"}},
        ["Warm.n"],
    ),
    "noise": (
        HEAD + CLASS + NOISE,
        {"objective": "noise_contrastive", "settings": {"noise": "shrinking"}},
        ["NoiseContrastive.distribution.n"],
    ),
    "global generator": (
        objective("n = torch.rand(()).item()"), METHOD, ["the global generator of torch"]
    ),
    "streams": (
        objective("n = streams.n = 1 + getattr(streams, 'n', 0)"), METHOD, ["Streams.n"]
    ),
    "torch": (
        objective("n = torch.annealed_n = 1 + torch.annealed_n", top=PROCESS),
        METHOD, ["torch.annealed_n"],
    ),
    "environment": (
        objective(
            "n = 1 + int(os.environ['ANNEALED_N']); os.environ['ANNEALED_N'] = str(n)", top=PROCESS
        ),
        METHOD, [VARIABLE],
    ),
    "context variable": (
        objective("n = V.get() + 1; V.set(n)", top=PROCESS), METHOD, ["plugin.V"]
    ),
    "default type": (
        objective("n = 1; torch.set_default_dtype(torch.float64)", top=PROCESS),
        METHOD, ["the default dtype of torch"],
    ),
    "default type in noise": (
        HEAD + PROCESS + CLASS
        + NOISE.replace(
            'self.n = 1 + getattr(self, "n", 0)', "torch.set_default_dtype(torch.float64)"
        )
        .replace(" * 0.9999**self.n", ""),
        {"objective": "noise_contrastive", "settings": {"noise": "shrinking"}},
        ["the default dtype of torch"],
    ),
    "gradient mode": (
        objective("n = 1").replace("return", "each =") + "        torch.set_grad_enabled(False)\n"
        "        return each\n",
        METHOD, ["the gradient mode of torch"],
    ),
}  # fmt: skip


@pytest.fixture
def make(tmp_path, monkeypatch):
    """Make a suite with a plugin, imported anew as in a new process."""
    folders = itertools.count()
    monkeypatch.setenv("ANNEALED_N", "0")
    monkeypatch.setattr(torch, "annealed_n", 0, raising=False)

    def make(code, method=METHOD, compute="eager", steps=8):
        path = tmp_path / str(next(folders)) / "plugin.py"
        path.parent.mkdir()
        path.write_text(code)
        monkeypatch.setattr(registry, "_loaded", {})
        registry.entries.cache_clear()
        registry.load(path)
        return make_suite(methods={"m": method}, compute=compute, steps=steps)

    yield make
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")


def run(suite, checkpoint=None):
    torch.manual_seed(0)
    return training.train_method(suite, "eight_gaussians", "m", "cpu", checkpoint)


def equal(one, other):
    for a, b in zip(one.state_dict().items(), other.state_dict().items(), strict=True):
        assert a[0] == b[0]
        assert torch.equal(a[1], b[1]), a[0]


@pytest.mark.parametrize("case", KEPT)
def test_is_neither_compiled_nor_resumed(case, make, tmp_path, monkeypatch, caplog):
    code, method, names = KEPT[case]
    whole, _ = run(make(code, method))
    monkeypatch.setattr(compilation, "CompiledLoss", None)  # must not be called
    checkpoint = tmp_path / "checkpoint.pt"
    with killed_before(5):
        run(make(code, method, "compiled"), checkpoint)
    caplog.clear()
    resumed, record = run(make(code, method, "compiled"), checkpoint)
    equal(whole, resumed)
    assert record.unsaved == names
    assert record.steps == "eager"
    assert [s.steps for s in record.segments] == [8]
    warned = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert len(warned) == 2
    assert "training starts again" in warned[0]
    assert "register_buffer" in warned[1]
    assert all(names[0] in message for message in warned)


@pytest.mark.parametrize(
    ("call", "build", "fit", "why"),
    [
        # What the first batch leaves changes no more, and is not in the checkpoint.
        ("n = self.n = self.n or x.mean().item()", "self.n = None", "pass", "Mine.n"),
        ("n = self.n", "pass", "self.n = data.mean().item()", "no attribute 'n'"),
        ("n = self.n", "self.n = 0.0", "self.n = data.mean().item()", "Mine.n"),
        ("n = self.d.setdefault(0, x.std().item())", "self.d = {}", "pass", "Mine.d"),
        # What `fit` leaves, and the loss does without.
        ("n = getattr(self, 'n', 1.0)", "pass", "self.n = data.std().item()", "Mine.n"),
        ("n = getattr(self, 'n', 1.0)", "pass", "type(self).n = data.std().item()", "Mine.n"),
        ("n = vars(self).get('n', [1.0])[0]", "pass", "self.n = [data.std().item()]", "Mine.n"),
        (
            "n = getattr(self.inner, 'n', 1.0)",
            "self.inner = nn.Identity()",
            "self.inner.n = data.std().item()",
            "Mine.inner.n",
        ),
        (
            "n = getattr(self, 'n', torch.ones(())).item()",
            "pass",
            "self.register_buffer('n', data.std())",
            'Unexpected key(s) in state_dict: "n"',
        ),
    ],
)
def test_what_a_new_process_cannot_restore_is_not_resumed(
    call, build, fit, why, make, tmp_path, caplog
):
    code = objective(call, build, fit)
    whole, record = run(make(code))
    assert record.unsaved == []
    checkpoint = tmp_path / "checkpoint.pt"
    with killed_before(5):
        run(make(code), checkpoint)
    resumed, _ = run(make(code), checkpoint)
    equal(whole, resumed)
    (warned,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "starts again" in warned
    assert why in warned


@pytest.mark.parametrize(
    ("call", "fit", "why"),
    [
        ("n = torch.annealed_n", "torch.annealed_n = data.std().item()", "torch.annealed_n"),
        ("n = float(os.environ['ANNEALED_N'])", "os.environ['ANNEALED_N'] = '0.3'", VARIABLE),
        ("n = V.get()", "V.set(data.std().item())", "plugin.V"),
        (
            "n = streams.n if hasattr(streams, 'n') else 1",
            "torch.set_float32_matmul_precision('high')",
            "the matrix precision of torch",
        ),
    ],
)
def test_what_fit_leaves_in_the_process_is_not_resumed(call, fit, why, make, tmp_path, caplog):
    code = objective(call, fit=fit, top=PROCESS)
    whole, record = run(make(code))
    assert record.unsaved == []
    torch.set_float32_matmul_precision("highest")
    with killed_before(5):
        run(make(code), tmp_path / "checkpoint.pt")
    torch.set_float32_matmul_precision("highest")
    resumed, _ = run(make(code), tmp_path / "checkpoint.pt")
    equal(whole, resumed)
    (warned,) = [r.message for r in caplog.records if r.levelno == logging.WARNING]
    assert "starts again" in warned
    assert why in warned


def test_a_change_that_comes_late_is_not_resumed(make, tmp_path, caplog):
    call = "n = self.n = self.n if x.mean() > -0.05 else self.n + 1"
    code = objective(call, "self.n = 0")
    whole, record = run(make(code, steps=30))
    assert record.unsaved == ["Mine.n"]
    checkpoint = tmp_path / "checkpoint.pt"
    with killed_before(5):
        run(make(code, steps=30), checkpoint)
    resumed, _ = run(make(code, steps=30), checkpoint)
    equal(whole, resumed)


LATE = objective("n = torch.rand(()).item() if progress > {} else 1").replace(
    "x, streams):", "x, streams, progress):"
)


@pytest.mark.parametrize("share", [0.3, 0.7])
def test_generators_that_are_used_late_are_not_resumed(share, make, tmp_path, caplog):
    """A later use is found where the curve has a point, or by the call that begins a resumption."""
    code, checkpoint = LATE.format(share), tmp_path / "checkpoint.pt"
    with killed_before(6):
        run(make(code), checkpoint)
    _, record = run(make(code), checkpoint)
    assert record.unsaved == ["the global generator of torch"]
    assert [s.steps for s in record.segments] == [8]
    assert "not all state was saved (the global generator of torch)" in caplog.text


def test_check_says_the_same(make):
    make(COUNTER)
    (verdict,) = verify([checks.changes_are_saved], [checks.Case("mine")])
    assert verdict.found == "Mine.n changes from call to call"
    assert "register_buffer, or a loss that is a function of `progress`" in verdict.check.cause


BUFFER = objective(
    "self.n += 1; n = self.n[:, None, None]", "self.register_buffer('n', torch.zeros(2))"
)


def test_buffers_are_as_they_were_after_a_compilation_that_fails(make, monkeypatch):
    """It calls the loss, and tries in vain."""

    class Failing:
        def __init__(self, objective, energy, streams, x, *others):
            objective.loss(energy, x, streams.child("trial"))
            raise RuntimeError("no")

    monkeypatch.setattr(compilation, "CompiledLoss", Failing)
    whole, _ = run(make(BUFFER))
    tried, record = run(make(BUFFER, compute="compiled"))
    equal(whole, tried)
    assert (record.steps, record.unsaved) == ("eager", [])


def test_buffers_are_resumed(make, tmp_path):
    whole, _ = run(make(BUFFER))
    checkpoint = tmp_path / "checkpoint.pt"
    with killed_before(5):
        run(make(BUFFER), checkpoint)
    resumed, record = run(make(BUFFER), checkpoint)
    equal(whole, resumed)
    assert [s.steps for s in record.segments] == [5, 3]
    assert record.cost.energy_evaluations == whole.energy.evaluations


@pytest.mark.parametrize("method", METHODS)
def test_methods_of_the_package_are_clean(method):
    _, record = run(make_suite(methods={"m": METHODS[method]}, steps=4))
    assert record.unsaved == []
    assert [s.steps for s in record.segments] == [4 if method not in ("gaussian", "truth") else 0]
