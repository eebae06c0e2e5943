"""What the base class of energies makes, and what a training relies on, stays as it is."""

import pytest
from factories.plugins import refused, run, staged

from ebm_bench.runs import processes

LOSS = """
def loss(self, energy, x, streams):
    each = energy(x).mean(1) - energy(x + streams.normal_like(x)).mean(1)
    {}
    return each
"""
FIELDS = [
    ("self.event_shape = 5", "event_shape is 5, not (2,)"),
    ("self.event_shape = (7,)", "event_shape is (7,), not (2,)"),
    ("self.event_shape = [2]", "event_shape is [2], not (2,)"),
    ("self.replicates = 1", "replicates is 1, not 3"),
    ("self.replicates = 'a'", "replicates is 'a', not 3"),
    ("self.name = 'x'", "name is 'x', not 'own"),
    ("del self.location", "there is no buffer 'location'"),
    ("del self.scale", "there is no buffer 'scale'"),
    ("self.location = torch.zeros(2)", "'location' has the shape (2,), not (3, 1, 2)"),
    ("self.evaluations = None", "evaluations is None, not a number"),
    ("del self.evaluations", "evaluations is None, not a number"),
    ("self.sample = 3", "sample is 3, not a method"),
    ("self.attach = None", "attach is None, not a method"),
]


def energy(plugin, **given):
    return plugin("Energy", staged(**given))


@pytest.mark.parametrize(("code", "said"), FIELDS)
def test_fields_of_energies_that_build_overwrites(plugin, tmp_path, code, said):
    refused(
        tmp_path, said, "Usual cause: An attribute or a buffer", energy=energy(plugin, build=code)
    )


@pytest.mark.parametrize("where", ["fit", "forward"])
@pytest.mark.parametrize(("code", "said"), [FIELDS[i] for i in (1, 3, 6, 9)])
def test_fields_of_energies_that_are_overwritten_later(plugin, tmp_path, code, said, where):
    refused(tmp_path, said, energy=energy(plugin, **{where: code}))


@pytest.mark.parametrize("where", ["build", "fit", "forward"])
def test_energies_that_freeze_themselves(plugin, tmp_path, where):
    name = energy(plugin, **{where: "self.requires_grad_(False)"})
    refused(tmp_path, "no parameter is trained", "where the objective has a loss", energy=name)
    run(tmp_path, energy=name, objective="untrained")


FIXED = """
def build(self, streams):
    self.register_buffer("centre", torch.zeros(self.replicates, 1, 2))

def forward(self, x):
    return (x - self.centre).pow(4).sum(2)
"""
OWN_LOSS = """
def build(self, energy):
    super().build(energy)
    self.parts = nn.ParameterList([torch.zeros(energy.replicates)])

@property
def log_z(self):
    return {}

def loss(self, energy, x, streams):
    return (energy(x) + self.parts[0][:, None]).square().mean(1)
"""


def test_energies_whose_normaliser_alone_is_learned(plugin, tmp_path):
    name = plugin("Energy", FIXED)
    found = run(tmp_path, energy=name)
    assert all(value.value == value.value for value in found.values)
    run(tmp_path, energy=name, objective=plugin("Objective", OWN_LOSS.format("self.parts[0]")))
    said = "no parameter is trained"
    for objective in ("exact_score_matching", plugin("Objective", OWN_LOSS.format("None"))):
        refused(tmp_path, said, energy=name, objective=objective)


GAUSSIAN = """
def build(self, streams):
    self.first = nn.Parameter(torch.zeros(self.replicates, 1, 2))

def forward(self, x):
    return 0.5 * (x - self.first).square().sum(2)

def sample(self, n, streams):
    return self.first.detach() + streams.normal(n, 2)
"""


def test_samplers_of_a_base_class_that_are_switched_off(plugin, tmp_path):
    found = run(tmp_path, energy=plugin("Energy", f"{GAUSSIAN}\nsample = None\n"))
    assert all(value.value == value.value for value in found.values)


def test_samples_that_take_few_values(plugin, tmp_path):
    spins = "(streams.uniform(n, 2) < 0.98) * 2.0 - 1"
    drawn = "self.first.detach() + streams.normal(n, 2)"
    run(tmp_path, energy=plugin("Energy", GAUSSIAN.replace(drawn, spins)))


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("torch.zeros(1)", "samples of shape (1,), not (3, 5, 2)"),
        ("None", "sample() returns NoneType, not a tensor"),
        ("streams.normal(n, 2).double()", "samples of torch.float64 for data of torch.float32"),
        ("streams.normal(n, 2)[:1].expand(3, n, 2)", "do not depend on its own stream"),
        ("torch.zeros(self.replicates, n, 2)", "the numbers do not depend on the streams"),
    ],
)
def test_exact_samples_of_energies(plugin, tmp_path, sample, said):
    body = staged()
    body += f"\ndef sample(self, n, streams):\n    return {sample}\n"
    refused(tmp_path, said, "where there is sample()", energy=plugin("Energy", body))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (
            "energy.half()",
            "'layers.1.bias' is of torch.float16 after a call and was of torch.float32",
        ),
        ("energy.double()", "is of torch.float64 after a call and was of torch.float32"),
        ("energy.to('meta')", "is on meta after a call and was on cpu"),
        ("energy.requires_grad_(False)", "is not trained after a call and was trained"),
        ("energy.layers[1].weight.requires_grad_(False)", "'layers.1.weight' is not trained"),
        ("energy.event_shape = (3,)", "'event_shape' is (3,) after a call and was (2,)"),
        ("energy.replicates = 7", "'replicates' is 7 after a call and was 3"),
        ("del energy.location", "'location' is gone after a call and was there"),
        ("energy.location = energy.location[:1]", "'location' is of shape (1, 1, 2) after a call"),
        ("energy.extra = nn.Parameter(torch.zeros(3))", "'extra' is there after a call"),
        ("del energy.layers[1].weight", "'layers.1.weight' is gone after a call"),
    ],
)
@pytest.mark.parametrize("steps", [1, 3])
def test_losses_that_change_what_the_energy_is(plugin, tmp_path, code, said, steps):
    name = plugin("Objective", LOSS.format(code))
    refused(tmp_path, "energy Mlp (mlp.py): ", said, "a loss that calls half()",
            objective=name, steps=steps)  # fmt: skip


@pytest.mark.parametrize("code", ["energy.half()", "energy.requires_grad_(False)"])
def test_losses_that_change_the_energy_before_they_use_it(plugin, tmp_path, code):
    body = LOSS.format("pass").replace("    each =", f"    {code}\n    each =")
    with pytest.raises(Exception) as caught:  # noqa: PT011
        run(tmp_path, objective=plugin("Objective", body))
    assert "Own" in (processes.explain(caught.value) or "")
