"""What calls change outside of the parts of a run: in modules, the environment, the process."""

import logging
import math
import os
import random

import numpy as np
import pytest
import torch
from factories.state import called, case
from torch import nn

from ebm_bench.runs import contracts, state
from ebm_bench.streams import Streams

pytestmark = pytest.mark.usefixtures("no_plugins")

NAME = "annealed_n"
PLACES = (torch, nn.functional, nn.Linear, random, math, logging, torch.manual_seed, Streams)


@pytest.fixture(autouse=True)
def restored(monkeypatch):
    """Take away what a case leaves."""
    monkeypatch.setenv(NAME, "0")
    monkeypatch.setenv("ANNEALED_OTHER", "0")
    folder, errors = os.getcwd(), np.geterr()
    yield
    import builtins

    for place in (*PLACES, builtins):
        if NAME in vars(place):
            delattr(place, NAME)
    torch.set_default_dtype(torch.float32)
    torch.set_float32_matmul_precision("highest")
    torch.set_grad_enabled(True)
    np.seterr(**errors)
    os.chdir(folder)


def counted(where, name, build="pass", top="", before=""):
    """A call that counts in an attribute of something."""
    call = f"{before}{where}.{NAME} = 1 + getattr({where}, '{NAME}', 0)"
    return case(call, build, top, name=f"{name}.{NAME}")


VARIABLE = f"the environment variable {NAME}"
CONTEXT = "from contextvars import ContextVar\nV = ContextVar('V', default=0)\n"
BUMP = f"def bump(where):\n    where.{NAME} = 1 + getattr(where, '{NAME}', 0)\n"
COUNTING = "{0}['annealed_n'] = str(1 + int({0}['annealed_n']))"
KEPT = {
    "streams": counted("streams", "Streams"),
    "list of streams": case(
        "vars(streams).setdefault('seen', []).append(1)", name="Streams.seen"
    ),
    "class of streams": counted("type(streams)", "Streams"),
    "torch": counted("torch", "torch"),
    "module in torch": counted("nn.functional", "torch.nn.functional"),
    "class in torch": counted("nn.Linear", "Linear"),
    "function in torch": counted("torch.manual_seed", "torch.manual_seed"),
    "standard library": counted("random", "random"),
    "module that a call imports": counted("math", "math", before="import math; "),
    "module under another name": counted("m", "math", top="import math as m\n"),
    "module in an attribute": counted("self.lib", "random", build="self.lib = random"),
    "module as an argument": case("bump(torch)", top=BUMP, name=f"torch.{NAME}"),
    "module by its name": counted(
        "sys.modules['random']", "random", top="import sys\n"
    ),
    "builtins": counted("builtins", "builtins", before="import builtins; "),
    "logger": counted("log", "plugin.log", top="log = logging.getLogger('annealed')\n"),
    "list in a module": case(
        f"vars(random).setdefault('{NAME}', []).append(1)", name=f"random.{NAME}"
    ),
    "attribute whose name is a text": case(
        "setattr(torch, KEY, 1 + getattr(torch, KEY, 0))", top=f"KEY = '{NAME}'\n",
        name=f"torch.{NAME}",
    ),
    "attribute whose name is kept": case(
        "setattr(torch, self.key, 1 + getattr(torch, self.key, 0))",
        build=f"self.key = '{NAME}'", name=f"torch.{NAME}",
    ),
    "globals()": case("globals()['N'] += 1", top="N = 0\n", name="plugin.N"),
    "its own module": case(
        "sys.modules[__name__].N += 1", top="import sys\nN = 0\n", name="plugin.N"
    ),
    "environment": case(COUNTING.format("os.environ"), top="import os\n", name=VARIABLE),
    "environment by itself": case(
        COUNTING.format("environ"), top="from os import environ\n", name=VARIABLE
    ),
    "environment by a key": case(
        "os.environ[KEY] += '1'", top=f"import os\nKEY = '{NAME}'\n", name=VARIABLE
    ),
    "environment by a method": case(
        f"os.environ.update({NAME}=os.environ['{NAME}'] + '1')", top="import os\n", name=VARIABLE
    ),
    "environment by a name that is computed": case(
        "key = 'ANNEALED_' + 'OTHER'[:len(x[0]) * 9]; os.environ[key] += '1'",
        top="import os\n", name="the environment variable ANNEALED_OTHER",
    ),
    "context variable": case("V.set(V.get() + 1)", top=CONTEXT, name="plugin.V"),
    "list in a context variable": case(
        "V.get().append(1)", build="V.set([])", top=CONTEXT, name="plugin.V"
    ),
    "context variable in an attribute": case(
        "self.v.set(self.v.get() + 1)",
        build="from contextvars import ContextVar as C; self.v = C('v', default=0)",
        name="Annealed.v",
    ),
    "thread": case(
        "self.n.k += 1", build="import threading; self.n = threading.local(); self.n.k = 0",
        name="Annealed.n.k",
    ),
    "weak reference": case(
        "REF().n += 1",
        top="import weakref\nclass Kept:\n    n = 0\nONE = Kept()\nREF = weakref.ref(ONE)\n",
        name="plugin.REF.n",
    ),
}  # fmt: skip

# What a call sets once and for all is seen where one looked before the first call.
SET = {
    "the default dtype of torch": "torch.set_default_dtype(torch.float64)",
    "the matrix precision of torch": "torch.set_float32_matmul_precision('high')",
    "the gradient mode of torch": "torch.set_grad_enabled(False)",
    "the error handling of numpy": "np.seterr(divide='raise')",
    "the working folder": "import os; os.chdir('/')",
    "the global generator of torch": "torch.manual_seed(3)",
    "the global generator of numpy": "np.random.seed(3)",
    "the global generator of random": "random.seed(3)",
    VARIABLE: "import os; os.environ['annealed_n'] = 'x'",
}

CLEAN = {
    "libraries": case(
        "np.mean([1.0]); torch.special.erf(x); math.sqrt(2.0); os.environ.get('HOME'); "
        "nn.functional.softplus(x).mean(); np.linalg.norm([1.0]); re.sub('a', 'b', 'a'); "
        "warnings.filters; time.time(); sys.modules['random'].random; log.info('x')",
        top="import math\nimport os\nimport re\nimport sys\nimport time\nimport warnings\n"
        "log = logging.getLogger('annealed')\n",
    ),
    "module that a call imports first": case("import colorsys; colorsys.rgb_to_hls(0, 0, 0)"),
    "setting that is put back": case(
        "torch.set_default_dtype(torch.float64); torch.set_default_dtype(torch.float32)"
    ),
    "mode that is put back": case("torch.no_grad().__enter__(); torch.set_grad_enabled(True)"),
    "context": case(
        "V.reset(V.set(3))",
        top=CONTEXT,
    ),
    "streams that are kept": case("self.streams = streams; streams.normal(2)"),
    "cache in a module": case("vars(random).setdefault('annealed_n', torch.eye(2))"),
    "constant in the environment": case("os.environ['annealed_n'] = '0'", top="import os\n"),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_changes_is_found(case, tmp_path):
    *code, name = KEPT[case]
    energy, objective, call, streams = called(tmp_path, *code)
    watch = state.Watch([energy, objective], [streams])
    watch.begin()
    for _ in range(3):
        call()
        watch.look()
    assert name in watch.unsaved


@pytest.mark.parametrize("name", SET)
def test_what_a_call_sets_is_found(name, tmp_path):
    energy, objective, call, streams = called(tmp_path, *case(SET[name])[:-1])
    assert name in contracts.UNSAVED.fault(call, [energy, objective], [streams])


@pytest.mark.parametrize("case", CLEAN)
def test_what_stays_is_no_change(case, tmp_path):
    energy, objective, call, streams = called(tmp_path, *CLEAN[case][:-1])
    assert contracts.UNSAVED.fault(call, [energy, objective], [streams]) == ""


def test_a_late_change_in_a_library_is_found(tmp_path):
    call = f"self.register_buffer('k', self.k + 1); torch.{NAME} = max(self.k.item(), 4.5)"
    build = "self.register_buffer('k', torch.zeros(()))"
    energy, objective, call, streams = called(tmp_path, build, call, "", "")
    watch = state.Watch([energy, objective], [streams])
    for _ in range(4):
        call()
        assert not watch.look()
    call()
    assert watch.look()
    assert watch.unsaved == [f"torch.{NAME}"]


def test_state_of_a_module_beside_the_plugin_is_found(tmp_path, monkeypatch):
    (tmp_path / "annealing_helper.py").write_text(
        "SEEN = {'n': 0}\n\ndef count():\n    SEEN['n'] += 1\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for top, call in (
        ("import annealing_helper\n", "annealing_helper.count()"),
        ("from annealing_helper import count\n", "count()"),
        ("import annealing_helper as h\n", "h.SEEN['n'] += 1"),
    ):
        energy, objective, once, streams = called(tmp_path, "pass", call, top, "")
        found = contracts.UNSAVED.fault(once, [energy, objective], [streams])
        assert found == "annealing_helper.SEEN changes from call to call"
