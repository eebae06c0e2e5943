"""What changes from call to call is found wherever it is kept; what is saved or a cache is not."""

from functools import cached_property

import pytest
import torch
from factories.state import called, case

from ebm_bench import datasets, registry
from ebm_bench.runs import contracts, state, walk

pytestmark = pytest.mark.usefixtures("no_plugins")

HELPER = """
class Helper:
    {slots}
    shared = 0

    def __init__(self):
        self.n = 0

    def __call__(self):
        self.n += 1
"""
PLAIN = HELPER.format(slots="")
SLOTS = HELPER.format(slots="__slots__ = ('n',)")
CLOSURE = """
def counting():
    n = 0

    def count():
        nonlocal n
        n += 1

    return count
"""
LEVELS = """
def levels():
    for n in range(100):
        yield n
"""


KEPT = {
    "attribute": case("self.n += 1", build="self.n = 0"),
    "made in the first call": case("self.n = 1 + getattr(self, 'n', 0)"),
    "setting": case("self.sigma *= 0.9", name="Annealed.sigma"),
    "text": case("self.phase += 'x'", build="self.phase = ''", name="Annealed.phase"),
    "list": case("self.n[0] += 1", build="self.n = [0]"),
    "list that grows": case("self.n.append(None)", build="self.n = []"),
    "list in a list": case("self.n[0][0] += 1", build="self.n = [[0]]"),
    "dict": case("self.n['n'] += 1", build="self.n = {'n': 0}"),
    "default dict": case("self.n['a'] += 1", build="self.n = defaultdict(int)"),
    "counter": case("self.n.update('a')", build="self.n = Counter()"),
    "set": case("self.n.add(len(self.n))", build="self.n = set()"),
    "deque": case("self.n.rotate(1)", build="self.n = deque([1, 2, 3])"),
    "bounded deque": case("self.n.append(self.n[-1] + 1)", build="self.n = deque([1], 2)"),
    "tuple": case("self.n = self.n[::-1]", build="self.n = (0, 1)"),
    "swap of equal places": case(
        "self.a, self.b = self.b, self.a", build="self.a, self.b = [1], [2]", name="Annealed.a"
    ),
    "choice of a saved tensor": case(
        "vars(self)['n'] = self.v if self.n is self.u else self.u",
        build="self.u, self.v = map(nn.Parameter, torch.ones(2, 3)); vars(self)['n'] = self.u",
    ),
    "bytes": case("self.n[0] += 1", build="self.n = bytearray(2)"),
    "tensor": case("self.n += 1", build="self.n = torch.zeros(())"),
    "bfloat16": case("self.n += 1", build="self.n = torch.zeros(2).bfloat16()"),
    "complex tensor": case("self.n += 1j", build="self.n = torch.zeros(2) + 0j"),
    "sparse tensor": case("self.n = self.n + self.n", build="self.n = torch.ones(2).to_sparse()"),
    "tensor with a graph": case(
        "self.n = self.n + energy(x).sum()", build="self.n = torch.zeros(2)"
    ),
    "buffer that is not saved": case(
        "self.n += 1", build="self.register_buffer('n', torch.zeros(()), persistent=False)"
    ),
    "parameter that is not registered": case(
        "self.n[0].data += 1", build="self.n = [nn.Parameter(torch.zeros(2))]"
    ),
    "module that is not registered": case(
        "self.nets[0](x[0])",
        build="self.nets = [nn.BatchNorm1d(2)]",
        name="Annealed.nets.running_mean",
    ),
    "plain attribute of a registered module": case(
        "self.net.n += 1", build="self.net = nn.Linear(1, 1); self.net.n = 0", name="Annealed.net.n"
    ),
    "attribute of a parameter": case(
        "self.p.n += 1",
        build="self.p = nn.Parameter(torch.zeros(2)); self.p.n = 0",
        name="Annealed.p",
    ),
    "text in memory": case("self.n.write('x')", build="import io; self.n = io.StringIO()"),
    "view of bytes": case("self.n[0] += 1", build="self.n = memoryview(bytearray(4))"),
    "view of one number": case(
        "self.n[()] += 1", build="import numpy; self.n = memoryview(numpy.array(1))"
    ),
    "mapped memory": case("self.n[0] += 1", build="import mmap; self.n = mmap.mmap(-1, 9)"),
    "class of a class": case(
        "type(Made).n += 1",
        top="class Kind(type):\n    n = 0\nclass Made(metaclass=Kind):\n    pass\n",
        name="Kind.n",
    ),
    "array of Python": case("self.n[0] += 1", build="import array; self.n = array.array('d', [0])"),
    "queue": case(
        "self.n.put(1)", build="import queue; self.n = queue.Queue()", name="Annealed.n.queue"
    ),
    "order": case(
        "self.n.move_to_end(next(iter(self.n)))",
        build="from collections import OrderedDict; self.n = OrderedDict(a=1, b=1, c=1)",
    ),
    "hook": case(
        "self.net(x)",
        build="self.net = nn.Linear(2, 1); self.net.register_forward_hook(hook)",
        top="SEEN = []\n\ndef hook(*_):\n    SEEN.append(1)\n",
        name="plugin.SEEN",
    ),
    "array": case("self.n[1] += 1", build="self.n = np.zeros(3)"),
    "array of objects": case("self.n[0][0] += 1", build="self.n = np.array([[0], None], object)"),
    "number of numpy": case("self.n = self.n * 0.9", build="self.n = np.float64(1)"),
    "view of an array": case("self.n[-1] += 1", build="self.n = np.zeros(9)[::2]"),
    "helper": case(
        "self.helper()", build="self.helper = Helper()", top=PLAIN, name="Annealed.helper.n"
    ),
    "helper with slots": case(
        "self.helper()", build="self.helper = Helper()", top=SLOTS, name="Annealed.helper.n"
    ),
    "helpers in a dict": case(
        "self.h['a'][0]()", build="self.h = {'a': [Helper()]}", top=PLAIN, name="Annealed.h.n"
    ),
    "class of a helper": case(
        "Helper.shared += 1", build="self.helper = Helper()", top=PLAIN, name="Helper.shared"
    ),
    "class of no instance": case("Helper.shared += 1", top=PLAIN, name="Helper.shared"),
    "namespace": case(
        "self.n.n += 1", build="self.n = types.SimpleNamespace(n=0)", name="Annealed.n.n"
    ),
    "class attribute": case("type(self).n += 1", body="    n = 0"),
    "list of the class": case("self.n[0] += 1", body="    n = [0]"),
    "attribute of a base class": case(
        "Objective.seen = getattr(Objective, 'seen', 0) + 1", name="Objective.seen"
    ),
    "class method": case(
        "self.count()", body="    n = 0\n    @classmethod\n    def count(cls):\n        cls.n += 1"
    ),
    "cached property": case(
        "self.n[0] += 1", body="    @cached_property\n    def n(self):\n        return [0]"
    ),
    "self-reference": case("self.me.n += 1", build="vars(self)['me'] = self; self.n = 0"),
    "circle": case("self.n[1][0] += 1", build="self.n = [0]; self.n.append(self.n)"),
    "long chain": case(
        "self.n[1] += 1", build="self.n = [0]\n        for _ in range(1100): self.n = [self.n, 0]"
    ),
    "random": case("self.n.random()", build="self.n = random.Random(0)"),
    "generator of numpy": case("self.n.normal()", build="self.n = np.random.default_rng(0)"),
    "random state": case("self.n.normal()", build="self.n = np.random.RandomState(0)"),
    "generator of torch": case(
        "torch.rand(2, generator=self.n)", build="self.n = torch.Generator()"
    ),
    "streams of its own": case(
        "self.own.normal(1)",
        build="from ebm_bench.streams import Streams; self.own = Streams(0)",
        name="Annealed.own._generators",
    ),
    "iterator": case("next(self.n)", build="self.n = iter([1, 2, 3])"),
    "cycle": case("next(self.n)", build="self.n = itertools.cycle([1, 2])"),
    "count": case("next(self.n)", build="self.n = itertools.count()"),
    "generator": case("next(self.n)", build="self.n = levels()", top=LEVELS),
    "zip": case("next(self.n)", build="self.n = zip([1, 2, 3], 'abc')"),
    "closure": case(
        "self.count()", build="self.count = counting()", top=CLOSURE, name="Annealed.count"
    ),
    "closure among globals": case(
        "COUNT()", top=CLOSURE + "\nCOUNT = counting()\n", name="plugin.COUNT"
    ),
    "partial": case("self.n(1)", build="self.n = functools.partial(list.append, [])"),
    "bound method": case("self.n(1)", build="self.n = [].append"),
    "bound method of a helper": case(
        "self.n()", build="self.n = Helper().__call__", top=PLAIN, name="Annealed.n.n"
    ),
    "global": case("global N; N += 1", top="N = 0\n", name="plugin.N"),
    "global dict": case("STATE['n'] += 1", top="STATE = {'n': 0}\n", name="plugin.STATE"),
    "global of a function": case(
        "count()", top="N = [0]\n\ndef count():\n    N[0] += 1\n", name="plugin.N"
    ),
    "global in a comprehension": case(
        "[N.append(i) for i in 'a']", top="N = []\n", name="plugin.N"
    ),
    "global in an inner function": case("(lambda: N.append(1))()", top="N = []\n", name="plugin.N"),
    "global of a property": case(
        "self.n",
        top="N = []\n",
        body="    @property\n    def n(self):\n        N.append(1)",
        name="plugin.N",
    ),
    "global below a decorator": case(
        "self.count()",
        top="N = []\n",
        body="    @torch.no_grad()\n    def count(self):\n        N.append(1)",
        name="plugin.N",
    ),
    "default argument": case(
        "self.count()", body="    def count(self, n=[0]):\n        n[0] += 1", name="Annealed.count"
    ),
    "attribute of a function": case(
        "count.n += 1", top="def count():\n    pass\n\ncount.n = 0\n", name="plugin.count"
    ),
    "global generator of torch": case("torch.rand(2)", name="the global generator of torch"),
    "global generator of numpy": case("np.random.rand(2)", name="the global generator of numpy"),
    "global generator of random": case("random.random()", name="the global generator of random"),
}

SAVED = {
    "nothing": case("pass"),
    "buffer": case("self.n += 1", build="self.register_buffer('n', torch.zeros(()))"),
    "new value of a buffer": case(
        "self.n = self.n + 1", build="self.register_buffer('n', torch.zeros(()))"
    ),
    "buffer of a module": case("self.net(x[0])", build="self.net = nn.BatchNorm1d(2)"),
    "parameter": case("self.n.data += 1", build="self.n = nn.Parameter(torch.zeros(2))"),
    "view of a parameter": case(
        "self.n.data += 1",
        build="self.n = nn.Parameter(torch.zeros(2)); self.v = [self.n.data[1:]]",
    ),
    "parameter of the energy": case(
        "next(energy.parameters()).data += 1", build="self.e = [energy]"
    ),
    "cache": case(
        "self.eye = torch.eye(2) if self.eye is None else self.eye", build="self.eye = None"
    ),
    "cache by shape": case(
        "self.eye.setdefault(x.shape[1], torch.eye(x.shape[1]))", build="self.eye = {}"
    ),
    "cache that is made anew": case("self.eye = torch.eye(2)"),
    "cached property": case(
        "self.eye", body="    @cached_property\n    def eye(self):\n        return torch.eye(2)"
    ),
    "cached function": case(
        "eye(2)", top="@functools.cache\ndef eye(n):\n    return torch.eye(n)\n"
    ),
    "streams of the call": case("self.streams = streams; streams.normal(2)"),
    "mode": case("self.net.train(not self.net.training)", build="self.net = nn.Linear(1, 1)"),
    "logger": case(
        "log.warning('seen %d', len(SEEN.values))",
        top="log = logging.getLogger('p')\nSEEN = types.ModuleType('s')\nSEEN.values = []\n",
    ),
    "lock": case(
        "self.lock.acquire(False)", build="import threading; self.lock = threading.Lock()"
    ),
}


@pytest.mark.parametrize("case", KEPT)
def test_what_changes_is_found(case, tmp_path):
    *code, name = KEPT[case]
    energy, objective, call, streams = called(tmp_path, *code)
    watch = state.Watch([energy, objective], [streams])
    call()
    assert not watch.look()
    call()
    assert watch.look()
    assert name in watch.unsaved
    call()
    assert not watch.look()  # for the first time


@pytest.mark.parametrize("case", SAVED)
def test_what_is_saved_or_a_cache_is_not(case, tmp_path):
    energy, objective, call, streams = called(tmp_path, *SAVED[case][:-1])
    assert contracts.UNSAVED.fault(call, [energy, objective], [streams]) == ""


def test_a_late_change_is_found():
    one = [0]
    watch = state.Watch([one])
    for _ in range(5):
        assert not watch.look()
    one.append(1)
    assert watch.look()
    assert watch.unsaved == ["list"]


def test_what_appears_late_is_watched_from_then_on():
    class One:
        pass

    one = One()
    watch = state.Watch([one])
    watch.look()
    one.n = 1
    assert not watch.look()
    one.n = 2
    assert watch.look()
    assert watch.unsaved == ["One.n"]


MADE = [e.name for e in registry.packaged("datasets") if not (e.downloads or e.files)]


@pytest.mark.parametrize("name", MADE)
def test_caches_of_datasets_are_no_change(name):
    """Whichever are made first, also where a dataset has no other attributes."""
    dataset, other = datasets.create(name), datasets.create(name)
    before = state.plain_state(dataset)
    members = {k: v for kind in type(dataset).__mro__ for k, v in vars(kind).items()}
    caches = [k for k, v in members.items() if isinstance(v, cached_property)]
    for key in caches:
        getattr(dataset, key)
        assert state.changed(before, state.plain_state(dataset)) == []
    for key in reversed(caches):
        getattr(other, key)
    assert state.changed(state.plain_state(dataset), state.plain_state(other)) == []


class Slotted:
    __slots__ = ("n",)

    def __repr__(self):
        return "Slotted()"


class Caching:
    @cached_property
    def n(self):
        return 1


@pytest.mark.parametrize("kind", [Slotted, Caching])
def test_first_attributes_are_no_change(kind):
    one = kind()
    before = state.plain_state(one)
    one.n = 1
    assert state.changed(before, state.plain_state(one)) == []
    assert state.plain_state(one).keys() - before.keys() == {f"{kind.__name__}.n"}


def test_large_arrays_are_compared(monkeypatch):
    monkeypatch.setattr(walk, "_LARGE", 10)
    one = [torch.zeros(35)]
    watch = state.Watch([one])
    watch.look()
    one[0] += 1
    assert watch.look()


def test_digests_do_not_depend_on_the_process():
    """Not on addresses, nor on the seed of hashes."""

    def make():
        return [{"a", "b", "c"}, object(), lambda: 1, torch.zeros(2), {"k": (1.5, None)}, range(3)]

    kept = [make() for _ in range(5)]  # at other addresses
    assert len({str(state.plain_state(one)) for one in kept}) == 1
