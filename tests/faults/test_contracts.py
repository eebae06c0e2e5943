"""What a contract asks is looked at in a run too, in the words of `ebm-bench check`."""

import pytest
import torch
from factories.plugins import found_by_check, make_suite, refused, run
from torch import nn

from ebm_bench import registry
from ebm_bench.errors import InputError
from ebm_bench.runs import contracts, training

LOSS = """
def loss(self, energy, x, streams):
    each = energy(x)
    return {}
"""


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("each.mean()", "shape () where R is 3"),
        ("each.mean(1, keepdim=True)", "shape (3, 1) where R is 3"),
        ("each", "shape (3, 16) where R is 3"),
        ("each.mean(1)[:2]", "shape (2,) where R is 3"),
        ("each.mean(1).double()", "torch.float64 for data of torch.float32"),
        ("each.mean(1).to(torch.complex64)", "torch.complex64 for data of"),
        ("each.mean(1).long()", "torch.int64 for data of"),
        ("each.mean(1).detach()", "the loss carries no graph"),
        ("each.mean(1).to('meta')", "on meta for data on cpu"),
        ("each.mean().item()", "loss() returns float, not a tensor"),
        ("None", "loss() returns NoneType, not a tensor"),
        ("each.mean(1).to_sparse()", "loss() returns torch.sparse_coo, not a dense tensor"),
        ("(each.mean(1), {})", "loss() returns tuple, not a tensor"),
    ],
)
def test_losses(plugin, tmp_path, returned, said):
    name = plugin("Objective", LOSS.format(returned))
    entry = registry.describe("objectives", name)
    expected = "Expected: a loss of shape (R,)"
    refused(
        tmp_path, f"objective {entry.class_name} ({entry.path.name}): {said}", expected,
        objective=name,
    )  # fmt: skip


@pytest.mark.parametrize("returned", ["each.mean()", "each.mean(1, keepdim=True)", "each"])
def test_losses_are_refused_by_check_in_the_same_words(plugin, tmp_path, returned):
    name = plugin("Objective", LOSS.format(returned))
    found = found_by_check("objectives", name)
    with pytest.raises(InputError) as caught:
        run(tmp_path, objective=name)
    assert f"Expected: {found.check.expected}" in str(caught.value)
    assert f"Usual cause: {found.check.cause}" in str(caught.value)
    assert found.found.split(" (")[0] in str(caught.value)


def test_a_loss_that_would_be_compiled(plugin, tmp_path):
    name = plugin("Objective", LOSS.format("each.mean()"))
    refused(tmp_path, "shape () where R is 3", objective=name, compute="compiled")


OWN = """
def build(self, energy):
    super().build(energy)
    self.own = nn.Parameter(torch.zeros(energy.replicates))
"""


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("(self.own - 1).square()", "does not depend on the energy"),
        ("self.own * each.detach().mean(1)", "does not depend on the energy"),
        ("each.mean(1) - each.mean()", "depends on the energies of others"),
        ("each.mean(1).flip(0) + self.own", "depends on the energies of others"),
    ],
)
def test_losses_that_are_not_those_of_the_replicate_s_energy(plugin, tmp_path, returned, said):
    name = plugin("Objective", OWN + LOSS.format(returned))
    refused(tmp_path, f"the loss {said}" if "not" in said else said, "Usual cause: A detach()",
            objective=name)  # fmt: skip


def test_the_loss_of_one_replicate_beside_one_that_diverged():
    energy = nn.Module()
    energy.weight = nn.Parameter(torch.tensor([1.0, 0.0]))
    assert not contracts.APART.fault(None, energy, energy.weight.sqrt())  # the slope at 0 is 0 × ∞


def test_a_loss_that_leaves_the_energy_for_a_part_of_the_training(plugin, tmp_path):
    returned = "each.mean(1) if progress > 0.5 else self.own.square()"
    body = OWN + LOSS.format(returned).replace("streams):", "streams, progress):")
    run(tmp_path, objective=plugin("Objective", body))


NORMALISER = """
@property
def log_z(self):
    return {}
"""


@pytest.mark.parametrize("base", ["Objective", "Energy"])
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("torch.zeros(())", "log_z is not of shape (3,)"),
        ("torch.zeros(2)", "log_z is not of shape (3,)"),
        ("torch.zeros(3, 1)", "log_z is not of shape (3,)"),
        ("torch.zeros(3).long()", "log_z is of torch.int64"),
        ("0.0", "log_z is float, not a tensor"),
        ("[0.0, 0.0, 0.0]", "log_z is list, not a tensor"),
        ("torch.zeros(3).numpy()", "log_z is ndarray, not a tensor"),
    ],
)
def test_normalisers(plugin, tmp_path, base, returned, said):
    body = LOSS.format("each.mean(1)") if base == "Objective" else ENERGY.format(SMOOTH, "each")
    name = plugin(base, body + NORMALISER.format(returned))
    refused(tmp_path, said, **{base.lower(): name})


METRIC = """
label = "own"

def __call__(self, model, dataset, streams):
    each = model.energy(dataset.sample(5, streams.child("data"))).detach()
    return {}
"""


@pytest.mark.parametrize("where", ["metrics", "curve"])
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("{'value': torch.zeros(4)}", "'value' has the shape (4,) where R is 3"),
        ("{'value': torch.zeros(2)}", "'value' has the shape (2,) where R is 3"),
        ("{'value': each.mean()}", "'value' has the shape ()"),
        ("{'value': each.mean(1, keepdim=True)}", "'value' has the shape (3, 1)"),
        ("{'value': 1.0}", "'value' is float, not a tensor"),
        ("{'value': [1.0, 2.0, 3.0]}", "'value' is list, not a tensor"),
        ("{'value': each.mean(1).numpy()}", "'value' is ndarray, not a tensor"),
        ("each.mean(1)", "returns Tensor, not a dict"),
        ("1.0", "returns float, not a dict"),
        ("{'mean': each.mean(1)}", "only mean"),
        ("{}", "only nothing"),
        ("{'value': each.mean(1), 3: each.mean(1)}", "the name 3 is no text"),
        ("{'value': each.mean(1), 'other': torch.zeros(4)}", "'other' has the shape (4,)"),
        ("{'value': each.mean(1), 'standard_error': 0.1}", "'standard_error' is float"),
        ("{'value': each.mean(1).to(torch.complex64)}", "'value' is complex"),
        ("{'value': each.mean(1).to_sparse()}", "'value' is torch.sparse_coo, not a dense tensor"),
    ],
)
def test_metrics(plugin, tmp_path, returned, said, where):
    name = plugin("Metric", METRIC.replace("return {}", f"return {returned}"))
    entry = registry.describe("metrics", name)
    given = (
        {"curve": name} if where == "curve" else {"metrics": (name,), "curve": "hyvarinen_score"}
    )
    refused(tmp_path, f"metric {entry.class_name} ({entry.path.name}): {said}",
            "Expected: a dict with 'value' in it", **given)  # fmt: skip


@pytest.mark.parametrize(
    ("number", "kept"), [("nan", "nan"), ("inf", "inf"), ("-inf", "-inf"), ("0", "0.0")]
)
def test_values_that_are_not_finite_are_no_fault(plugin, tmp_path, number, kept):
    body = METRIC.replace("return {}", f"return {{'value': each.mean(1) * 0 + float('{number}')}}")
    found = run(tmp_path, metrics=(plugin("Metric", body),), curve="hyvarinen_score")
    assert [str(value.value).lstrip("-0.") or "0" for value in found.values] == [
        kept.lstrip("-0.") or "0"
    ] * 3


def test_further_quantities_have_any_name(plugin, tmp_path):
    body = METRIC.replace("return {}", "return {'value': each.mean(1), 'most': each.amax(1)}")
    name = plugin("Metric", body)
    found = run(tmp_path, metrics=(name,), curve="hyvarinen_score")
    assert {value.metric for value in found.values} == {name, f"{name}.most"}


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
SMOOTH = "torch.tanh(x @ self.first)"
ROUGH = [
    "torch.relu(x @ self.first)",
    "torch.abs(x @ self.first)",
    "nn.functional.leaky_relu(x @ self.first)",
    "torch.maximum(x @ self.first, 0.3 * (x @ self.first) + 0.1)",
    "nn.functional.hardtanh(x @ self.first)",
]


@pytest.mark.parametrize("hidden", ROUGH)
@pytest.mark.parametrize(
    "objective", ["exact_score_matching", "sliced_score_matching", "noise_contrastive"]
)
def test_undeclared_rough_energies(plugin, tmp_path, hidden, objective):
    name = plugin("Energy", ENERGY.format(hidden, "each"))
    refused(tmp_path, "the slope changes by more than its second derivative explains",
            "say `smooth = False`", energy=name, objective=objective)  # fmt: skip


def test_undeclared_rough_energies_are_refused_by_check_in_the_same_words(plugin):
    found = found_by_check("energies", plugin("Energy", ENERGY.format(ROUGH[0], "each")))
    assert found.check.name == "smooth_where_it_says_so"
    assert "the slope changes by more than" in found.found


@pytest.mark.parametrize(
    "hidden", ["torch.floor(x @ self.first)", "torch.sign(x @ self.first)", "(x @ self.first) % 1"]
)
def test_undeclared_jumps(plugin, tmp_path, hidden):
    name = plugin("Energy", ENERGY.format(hidden, "each"))
    refused(tmp_path, "it has jumps", energy=name, objective="exact_score_matching")


def test_rough_energies_where_nothing_needs_a_second_derivative(plugin, tmp_path):
    name = plugin("Energy", ENERGY.format(ROUGH[0], "each"))
    found = run(tmp_path, energy=name, metrics=("kl_divergence",))
    assert all(value.value is not None for value in found.values)


def test_declared_rough_energies_have_no_hyvarinen_score(plugin, tmp_path):
    body = "smooth = False\n" + ENERGY.format(ROUGH[0], "each")
    found = run(tmp_path, energy=plugin("Energy", body))
    assert all(value.value != value.value for value in found.values)


@pytest.mark.parametrize(
    "hidden",
    [
        SMOOTH,
        "nn.functional.elu(x @ self.first)",
        "torch.relu(x @ self.first).square()",
        "torch.sin(5 * (x @ self.first))",
        "nn.functional.softplus(x @ self.first, beta=20)",
        "(x @ self.first) * 0 + 1",
    ],
)
def test_smooth_energies_pass(plugin, tmp_path, hidden):
    name = plugin("Energy", ENERGY.format(hidden, "each"))
    run(tmp_path, energy=name, objective="exact_score_matching")
    found = found_by_check("energies", name)
    assert found is None or found.check.name != "smooth_where_it_says_so"


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ("each.unsqueeze(2)", "shape (3, 4, 1) where R is 3 and B is 4"),
        ("each.unsqueeze(0)", "shape (1, 3, 4) where"),
        ("each.mean(1)", "shape (3,) where"),
        ("each.sum()", "shape () where"),
        ("each.double()", "torch.float64 for data of torch.float32"),
        ("each.tolist()", "forward() returns list, not a tensor"),
        ("each.detach()", "the energy does not depend on the points"),
        ("each - 0.1 * each.mean(1, keepdim=True)", "depends on other points of the batch"),
        ("each - 0.1 * each.mean(0)", "depends on the points of other replicates"),
        ("each[:, :1].expand_as(each)", "depends on other points of the batch"),
        ("each[:1].expand_as(each)", "depends on the points of other replicates"),
        ("0 * each", "the energy does not depend on the points"),
    ],
)
def test_energies_of_other_shapes_or_whose_points_interact(plugin, tmp_path, after, said):
    refused(tmp_path, said, energy=plugin("Energy", ENERGY.format(SMOOTH, after)))


@pytest.mark.parametrize(
    ("made", "said"),
    [
        ("streams.normal(2, 16)[:1]", "'first' has the shape (1, 2, 16), without R = 3 in front"),
        ("torch.zeros(2, 16)", "'first' has the shape (2, 16), without R = 3 in front"),
        ("streams.normal(2, 16).double()", "'first' is of torch.float64 for data of"),
    ],
)
def test_parameters(plugin, tmp_path, made, said):
    body = ENERGY.format(SMOOTH, "each").replace("streams.normal(2, 16)", made)
    refused(tmp_path, said, "parameters with R in front", energy=plugin("Energy", body))


@pytest.mark.parametrize("axes", ["0", "1", "(0, 1)"])
def test_normalisation_over_the_batch(plugin, tmp_path, axes):
    hidden = f"(h := x @ self.first).tanh() - h.mean({axes}, keepdim=True).tanh()"
    name = plugin("Energy", ENERGY.format(hidden, "each"))
    refused(tmp_path, "the energy depends on", "Usual cause: A mean or a normalisation",
            energy=name)  # fmt: skip
    assert "the energy depends on" in found_by_check("energies", name).found


TIED = """
def build(self, streams):
    self.first = nn.Parameter(streams.normal(2, 16))
    {}

def forward(self, x):
    return torch.tanh(x @ self.first).sum(2) + 0.1 * (x @ self.first).square().sum(2)
"""


@pytest.mark.parametrize(
    "tie",
    [
        "self.second = self.first",
        "self.inner = nn.Module(); self.inner.weight = self.first",
        "self.register_buffer('part', self.first.data[:, :1])",
        "self.register_buffer('a', torch.zeros(self.replicates, 3)); "
        "self.register_buffer('b', self.a)",
        "self.register_buffer('a', torch.zeros(3, self.replicates).T)",
    ],
)
def test_tied_weights_are_saved_and_loaded(plugin, tmp_path, tie):
    found = run(tmp_path, energy=plugin("Energy", TIED.format(tie)))
    assert all(value.value == value.value for value in found.values)


def test_what_cannot_be_restored_is_refused_before_training(plugin, tmp_path):
    tie = "self.register_buffer('a', torch.zeros(1).expand(self.replicates, 3))"
    name = plugin("Energy", TIED.format(tie))
    refused(tmp_path, "its state cannot be loaded", "Expected: a checkpoint restores",
            energy=name)  # fmt: skip
    assert not any(path.is_file() for path in tmp_path.rglob("run.json"))


NOISE = """
def build(self):
    self.register_buffer("scale", torch.ones(self.replicates, 1, *self.event_shape))

def fit(self, data, streams):
    self.scale.copy_(data.std(1, keepdim=True))

def sample(self, n, streams):
    return self.scale * streams.normal(n, *self.event_shape, dtype=self.scale.dtype){}

def log_prob(self, x):
    z = torch.distributions.Normal(0, self.scale).log_prob(x)
    return {}
"""


@pytest.mark.parametrize(
    ("sample", "log_prob", "said"),
    [
        ("", "z", "log_prob: shape (3, 5, 2) where R is 3 and B is 5"),
        ("", "z.sum((1, 2))", "log_prob: shape (3,)"),
        ("", "z.sum(2, keepdim=True)", "log_prob: shape (3, 5, 1)"),
        ("", "z.sum(2).double()", "log_prob: torch.float64"),
        ("[:, :1]", "z.sum(2)", "samples of shape (3, 1, 2), not (3, 5, 2)"),
        ("", "z.sum(2).numpy()", "log_prob: ndarray, not a tensor"),
        ("", "None", "log_prob: NoneType, not a tensor"),
        (".double()", "z.sum(2)", "samples of torch.float64 for data of torch.float32"),
    ],
)
def test_noise(plugin, tmp_path, sample, log_prob, said):
    name = plugin("Noise", NOISE.format(sample, log_prob))
    refused(tmp_path, said, "Expected: samples of shape (R, n, *event_shape)",
            settings={"noise": name})  # fmt: skip
    if sample != ".double()":  # the check's own are of that type
        assert found_by_check("noise", name) is not None


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("x += 0.1\n    return x", "the start was changed"),
        ("x.mul_(0.5)\n    return x.clone()", "the start was changed"),
        ("return x[:, :1] + 0.1", "shape (3, 1, 2) from (3, 4, 2)"),
        ("return x - 0.1 * energy(x).mean()", "the points carry a graph"),
        ("return None", "run() returns NoneType, not a tensor"),
        ("return x + 0.1, 1.0", "run() returns tuple, not a tensor"),
        ("return x.numpy() + 1", "run() returns ndarray, not a tensor"),
        ("return x.half() + 1", "torch.float16 from torch.float32"),
        ("return x", "no point has moved"),
        ("return x * float('nan')", "no point is finite"),
        ("next(energy.parameters()).data *= 0.5\n    return x + 0.1", "the energy was changed"),
        ("energy.requires_grad_(False)\n    return x + 0.1", "the energy was changed"),
    ],
)
def test_samplers(plugin, tmp_path, body, said):
    name = plugin("Sampler", f"\ndef run(self, energy, x, streams):\n    {body}\n")
    refused(tmp_path, said, sampler=name)
    found = found_by_check("samplers", name).found
    assert said.split(" from")[0][:20] in found or "float16" in said


DENSITY = """
citation = "None."
knows = ("log_prob", "score")
event_shape = (3,)

def sample(self, n, streams, split="train"):
    return streams.normal(n, 3)

def log_prob(self, x):
    return torch.distributions.Normal(0, 1).log_prob(x){}

def score(self, x):
    return -x{}
"""


@pytest.mark.parametrize(
    ("log_prob", "score", "said"),
    [
        (".sum(-1)", ".sum(-1)", "score of shape (3, 4) for points of shape (3, 4, 3)"),
        ("", "", "log_prob: shape (3, 4, 3) where R is 3 and B is 4"),
        (".sum()", "", "log_prob: shape ()"),
        (".sum(-1).double()", "", "log_prob: torch.float64"),
        (".sum(-1).numpy()", "", "log_prob: ndarray, not a tensor"),
        (".sum(-1) * float('nan')", "", "log_prob: NaN at its points"),
        (".sum().item()", "", "log_prob: float, not a tensor"),
        (".sum(-1)", ".double()", "score: torch.float64 for data of torch.float32"),
        (".sum(-1)", ".numpy()", "score: ndarray, not a tensor"),
        (".sum(-1)", ".sum().item()", "score: float, not a tensor"),
    ],
)
def test_densities(plugin, tmp_path, log_prob, score, said):
    refused(tmp_path, said, dataset=plugin("Dataset", DENSITY.format(log_prob, score)))


@pytest.mark.parametrize("name", ["log_prob", "score", "entropy", "parameters", "modes"])
def test_knowledge_that_a_dataset_lacks(plugin, tmp_path, name):
    body = DENSITY.partition("def log_prob")[0].replace('"log_prob", "score"', f'"{name}",')
    refused(tmp_path, f"{name} is not defined, although the class knows it",
            dataset=plugin("Dataset", body))  # fmt: skip


def test_a_density_without_a_grid_needs_no_box(plugin, tmp_path):
    name = plugin("Dataset", DENSITY.format(".sum(-1)", ""))
    assert found_by_check("datasets", name) is None
    run(tmp_path, dataset=name)


def test_looking_at_plugins_draws_from_no_stream_of_a_run(plugin, tmp_path, monkeypatch):
    name = plugin("Energy", ENERGY.format(SMOOTH, "each"))
    suite = make_suite(energy=name)
    looked, _ = training.train_method(suite, "eight_gaussians", "own")
    monkeypatch.setattr(training.contracts, "require_parts", lambda *given: None)
    plain, _ = training.train_method(suite, "eight_gaussians", "own")
    assert looked.energy.evaluations == plain.energy.evaluations
    for one, other in zip(looked.energy.parameters(), plain.energy.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)
