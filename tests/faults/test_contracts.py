"""What a contract asks is looked at in a run too, in the words of `ebm-bench check`."""

import pytest
import torch
from factories.plugins import ENERGY, SMOOTH, found_by_check, make_suite, refused, run
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
        ("{'value': each.mean(1), ' ': each.mean(1)}", "a part without a name"),
        ("{'value': each.mean(1), 3: each.mean(1)}", "the name 3 is no text"),
        ("{'value': each.mean(1), 'other': torch.zeros(4)}", "'other' has the shape (4,)"),
        ("{'value': each.mean(1), 'standard_error': 0.1}", "'standard_error' is float"),
        ("{'value': each.mean(1).to(torch.complex64)}", "'value' is complex"),
        ("{'value': each.mean(1).to('meta')}", "'value' has no numbers, as it is on meta"),
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


@pytest.mark.parametrize("where", ["metrics", "curve"])
@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("{'value': -each.mean(1).abs() - 1}", ": -"),
        ("{'value': torch.tensor([1.0, 0.0, -0.5])}", ": -0.5. Expected"),
        ("{'value': torch.full((3,), -0.5), 'standard_error': torch.full((3,), 0.01)}", ": -0.5"),
        ("{'value': torch.full((3,), -float('inf'))}", ": -inf"),
    ],
)
def test_negative_values_on_the_log_scale(plugin, tmp_path, returned, said, where):
    body = METRIC.replace("return {}", f"return {returned}").replace(
        "label", "scale = 'log'\nlabel"
    )
    name = plugin("Metric", body)
    given = (
        {"curve": name} if where == "curve" else {"metrics": (name,), "curve": "hyvarinen_score"}
    )
    refused(tmp_path, said, "values that are positive, up to their standard errors", **given)
    found = found_by_check("metrics", name)
    assert found is not None
    assert found.check.name in ("positive_on_the_log_scale", "one_finite_value_per_replicate")


@pytest.mark.parametrize(
    "returned",
    [
        "{'value': torch.zeros(3)}",
        "{'value': torch.full((3,), -0.5), 'standard_error': torch.full((3,), 0.1)}",
        "{'value': torch.full((3,), float('nan'))}",
        "{'value': each.mean(1).abs(), 'lowest': -each.mean(1).abs()}",
    ],
)
def test_values_on_the_log_scale_that_may_be_positive(plugin, tmp_path, returned):
    body = METRIC.replace("return {}", f"return {returned}").replace(
        "label", "scale = 'log'\nlabel"
    )
    run(tmp_path, metrics=(plugin("Metric", body),), curve="hyvarinen_score")


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
    parts = [
        "most",
        "a.b",
        "a b",
        "ü",
        "a/b",
        "x|y",
        "<b>",
        "n\nl",
        "value.value",
        "x" * 90,
        "λ_%$",
    ]
    more = ", ".join(f"{part!r}: each.amax(1)" for part in parts)
    body = METRIC.replace("return {}", f"return {{'value': each.mean(1), {more}}}")
    name = plugin("Metric", body)
    found = run(tmp_path, metrics=(name,), curve="hyvarinen_score")
    assert {value.metric for value in found.values} == {name, *(f"{name}.{p}" for p in parts)}


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


@pytest.mark.parametrize(
    ("box", "said"),
    [
        ("(5,)", "box is (5,), not a lower and an upper bound"),
        ("5", "box is 5, not a lower"),
        ("None", "box is None, not a lower"),
        ("((-9, 9),)", "not a lower and an upper bound of each coordinate"),
        ("((-9, 9),) * 3", "not a lower and an upper bound of each coordinate"),
        ("((-9, 9), (9, -9))", "not a lower and an upper bound of each coordinate"),
        ("((-9, 9), (-9, float('nan')))", "not a lower and an upper bound"),
        ("((-9, 9), (20, 30))", "box has 0% of the points in it"),
    ],
)
def test_boxes(plugin, tmp_path, box, said):
    body = DENSITY.format(".sum(-1)", "").replace("3)", "2)").replace("(3,)", "(2,)")
    body = body.replace('"score")', f'"score", "grid")\nbox = {box}')
    refused(tmp_path, said, "a box of other data", dataset=plugin("Dataset", body))


def test_how_points_were_made_is_a_text(plugin, tmp_path):
    body = DENSITY.format(".sum(-1)", "") + "\nspace = 5\n"
    refused(tmp_path, "space is 5, not a text", dataset=plugin("Dataset", body))


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
