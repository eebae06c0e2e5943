"""Plugins of one class, and suites that run them."""

import itertools
import textwrap

import pytest

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.plugins.checks import plugins
from ebm_bench.plugins.checks.base import verify
from ebm_bench.runs import evaluation, training
from ebm_bench.suites.suite import check
from factories import suites

HEAD = """
import copy
from dataclasses import dataclass
import torch
import numpy as np
from torch import nn
from ebm_bench.datasets.base import Dataset
from ebm_bench.energies.base import Energy
from ebm_bench.metrics.base import Metric
from ebm_bench.nn.layers import Activation, Dense
from ebm_bench.noise.base import Noise
from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
from ebm_bench.samplers.base import Sampler
"""
CLASS = '''
@register
@dataclass(eq=False, kw_only=True{option})
class {name}({base}):
    """A class."""

'''
NUMBERS = itertools.count()
# Body of an energy, given its hidden layer and what it returns; and such a layer.
ENERGY = """
def build(self, streams):
    self.first = nn.Parameter(streams.normal(2, 16))
    self.last = nn.Parameter(streams.normal(16, 1))

def forward(self, x):
    hidden = {}
    base = 0.5 * ((x - self.location) / self.scale).square().sum(2)
    each = (hidden @ self.last).squeeze(2) + base
    return {}
"""
# Body of an energy, given what it does besides in each of its methods.
STAGED = """
def build(self, streams):
    self.first = nn.Parameter(streams.normal(2, 8))
    {build}

def fit(self, data):
    super().fit(data)
    {fit}

def forward(self, x):
    {forward}
    base = 0.5 * x.square().sum(2)
    return torch.tanh(x @ self.first).sum(2) + base {more}
"""
SMOOTH = "torch.tanh(x @ self.first)"


def staged(**given):
    """Body of an energy that does in some of its methods what is given."""
    return STAGED.format(**{"build": "pass", "fit": "pass", "forward": "pass", "more": ""} | given)


def load(folder, base, body):
    """Register a class, given its base and body; returns its registered name."""
    number = next(NUMBERS)
    component = base in ("Energy", "Noise", "Objective")
    head = CLASS.format(option=", repr=False" if component else "", name=f"Own{number}", base=base)
    path = folder / f"own{number}.py"
    path.write_text(HEAD + head + textwrap.indent(textwrap.dedent(body), "    "))
    (entry,) = registry.load(path)
    return entry.name


def make_suite(
    dataset="eight_gaussians", energy="mlp", objective="noise_contrastive", sampler="langevin",
    metrics=("hyvarinen_score",), curve=None, compute="eager", settings=None, replicates=3,
    steps=3, curve_points=2,
):  # fmt: skip
    data = suites.toy(
        steps,
        replicates=replicates,
        energy={"name": energy, "settings": {"width": 8} if energy == "mlp" else {}},
        sampler={"name": sampler},
        metrics={name: {} for name in metrics},
        rank_by=metrics[0],
        curve=curve or metrics[0],
        curve_points=curve_points,
        compute=compute,
    )
    method = {"objective": objective, "settings": settings or {}}
    return check(suites.describe({"own": method}, {dataset: data}, "test"), "test")


def train(**given):
    suite = make_suite(**given)
    (dataset,) = suite.datasets
    return training.train_method(suite, dataset, "own")


def run(tmp_path, **given):
    suite = make_suite(**given)
    (dataset,) = suite.datasets
    training.train(suite, dataset, ["own"], tmp_path)
    return evaluation.evaluate(suite, dataset, "own", tmp_path / dataset / "own", "cpu")


def refused(tmp_path, *said, **given):
    with pytest.raises(InputError) as caught:
        run(tmp_path, **given)
    for part in said:
        assert part in str(caught.value)


def found_by_check(family, name):
    """What `ebm-bench check` finds first."""
    (examined,) = plugins.examine(registry.describe(family, name).path)
    failing = [verdict for verdict in examined.verdicts if verdict.found]
    return failing[0] if failing else None


def found_by(check, case):
    """What one check of `ebm-bench check` finds of a case."""
    (verdict,) = verify([check], [case])
    return verdict.found
