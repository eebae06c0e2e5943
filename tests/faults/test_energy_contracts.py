"""What the contract of energies asks is looked at in a run too; see `test_contracts`."""

import pytest
from factories.plugins import ENERGY, SMOOTH, found_by_check, refused, run

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


def test_state_that_changes_no_value_hides_no_fault(plugin, tmp_path):
    body = ENERGY.format(ROUGH[0], "each").replace(
        "    base =", "    self.n = self.calls()\n    base ="
    )
    body += """
def calls(self):
    return getattr(self, "n", 0) + 1
"""
    refused(tmp_path, "the slope changes by more than", energy=plugin("Energy", body))


def test_random_energies(plugin, tmp_path):
    name = plugin("Energy", ENERGY.format(SMOOTH, "each + 1e-2 * torch.randn_like(each)"))
    refused(tmp_path, "the energies of the same points change from call to call", energy=name)


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
        ("each * float('nan')", "no energy is finite"),
        ("each + float('inf')", "no energy is finite"),
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
