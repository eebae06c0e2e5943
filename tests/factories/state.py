"""Objectives that keep something from call to call."""

import textwrap

import torch

from ebm_bench import energies, objectives, registry
from ebm_bench.streams import Streams

PLUGIN = '''
import functools
import itertools
import logging
import random
import types
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import nn

from ebm_bench.objectives.base import Objective
from ebm_bench.registry import register
{top}

@register
@dataclass(eq=False, kw_only=True, repr=False)
class Annealed(Objective):
    """An objective that keeps something."""

    sigma: float = 0.5
{body}
    def build(self, energy):
        """Make what is kept."""
        super().build(energy)
        {build}

    def loss(self, energy, x, streams):
        """Loss (R,)."""
        {call}
        return energy(x).mean(1)
'''


def case(call, build="pass", top="", body="", name="Annealed.n"):
    """What a call does to what build() made, with code before and in the class; what is found."""
    return build, call, top, body, name


def called(folder, build, call, top, body, calls=3):
    """Make an objective, and look at it after each call."""
    path = folder / "plugin.py"
    path.write_text(PLUGIN.format(build=build, call=call, top=top, body=textwrap.indent(body, "")))
    registry.load(path)
    energy = energies.create("quadratic", event_shape=(2,), replicates=2)
    x, streams = torch.randn(2, 8, 2, generator=torch.Generator().manual_seed(0)), Streams(1, 2)
    objective = objectives.create("annealed")
    objective.setup(energy, x, streams)
    return energy, objective, lambda: objective.loss(energy, x, streams), streams
