"""Looking at plugins in a run refuses none that is right, and changes no numbers."""

import pytest
import torch
from factories.plugins import found_by_check, make_suite, refused, train

from ebm_bench.runs import state, training

NOISE = """
def build(self):
    self.register_buffer("scale", torch.ones(self.replicates, 1, *self.event_shape))
    self.shift = nn.Parameter(torch.zeros(self.replicates, 1, *self.event_shape))

def fit(self, data, streams):
    {}
    self.shift.requires_grad_(False)

def sample(self, n, streams):
    return self.shift + self.scale * streams.normal(n, *self.event_shape, dtype=self.scale.dtype)

def log_prob(self, x):
    z = torch.distributions.Normal(0, self.scale).log_prob(x - self.shift)
    return z.flatten(2).sum(2)
"""


def test_an_error_of_noise_that_is_fitted_by_half_is_its_own(plugin):
    name = plugin("Noise", NOISE.format("raise ValueError('no such data')"))
    with pytest.raises(ValueError, match="no such data"):
        train(settings={"noise": name})


@pytest.mark.parametrize("error", ["torch.OutOfMemoryError('full')", "MemoryError()"])
def test_memory_that_is_exhausted_by_noise_is_a_status(plugin, error):
    parts, _ = train(settings={"noise": plugin("Noise", NOISE.format(f"raise {error}"))})
    assert {outcome.status for outcome in parts.outcomes} == {"out_of_memory"}


def test_an_error_that_noise_does_not_explain_is_raised(plugin, monkeypatch):
    name = plugin("Noise", NOISE.format("pass"))

    def fit(self, *given):
        raise ValueError("of the package")

    monkeypatch.setattr("ebm_bench.objectives.noise_contrastive.NoiseContrastive.fit", fit)
    with pytest.raises(ValueError, match="of the package"):
        train(settings={"noise": name})


LOSS = """
def build(self, energy):
    super().build(energy)
    {}

def loss(self, energy, x, streams):
    {}
    z = streams.normal_like(x)
    return (n * (energy(x) - energy(x + 0.3 * z))).mean(1)
"""
SAMPLER = """
def run(self, energy, x, streams):
    self.n = getattr(self, "n", 0) + 1
    return x + 0.1 * self.n * streams.normal_like(x)
"""
ENERGY = """
def build(self, streams):
    self.first = nn.Parameter(streams.normal(2, 16))
    self.n = 0

def forward(self, x):
    self.n += 1
    return (1 + 1e-5 * self.n) * torch.tanh(x @ self.first).sum(2) + 0.5 * x.square().sum(2)
"""
DATASET = """
citation = "None."
event_shape = (2,)

def sample(self, n, streams, split="train"):
    self.n = getattr(self, "n", 0) + 1
    return self.n * streams.normal(n, 2)
"""
KEPT = {
    "counter": LOSS.format("self.n = 0", "self.n += 1; n = self.n"),
    "list": LOSS.format(
        "self.kept = []", "self.kept += [x.mean((1, 2))[:, None]]; n = sum(self.kept)"
    ),
    "class attribute": LOSS.format(
        "type(self).n = 0", "type(self).n += 1; n = self.n"
    ),
    "tensor": LOSS.format("self.n = torch.zeros(())", "self.n += 1; n = self.n"),
    "buffer": LOSS.format(
        "self.register_buffer('n', torch.zeros(()))", "self.n += 1; n = self.n.clone()"
    ),
    "generator": LOSS.format("self.g = (i for i in range(99))", "n = next(self.g)"),
    "global generator": LOSS.format("torch.manual_seed(0)", "n = torch.rand(())"),
}  # fmt: skip


def unlooked(monkeypatch):
    for name in ("require_parts", "require_fitted", "require_apart", "require_own"):
        monkeypatch.setattr(training.contracts, name, lambda *given: None)


def same(monkeypatch, **given):
    suite = make_suite(**given)
    (dataset,) = suite.datasets
    looked, _ = training.train_method(suite, dataset, "own")
    unlooked(monkeypatch)
    plain, _ = training.train_method(suite, dataset, "own")
    assert looked.energy.evaluations == plain.energy.evaluations
    for one, other in zip(looked.energy.parameters(), plain.energy.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=0, atol=0)


@pytest.mark.parametrize("case", KEPT)
def test_losses_with_state_train_as_without_a_look(plugin, monkeypatch, case):
    same(monkeypatch, objective=plugin("Objective", KEPT[case]))


@pytest.mark.parametrize("scale", ["(1 + 1e-5 * self.n)", "0.9**self.n", "self.n"])
def test_energies_with_state_train_as_without_a_look(plugin, monkeypatch, caplog, scale):
    name = plugin("Energy", ENERGY.replace("(1 + 1e-5 * self.n)", scale))
    same(monkeypatch, energy=name, objective="exact_score_matching")
    assert ".n changes from call to call" in caplog.text


def test_large_state_of_energies_is_what_is_blamed(plugin, caplog):
    body = ENERGY.replace("self.n = 0", "self.n = torch.zeros(5_000_000)")
    train(energy=plugin("Energy", body.replace("1e-5 * self.n", "self.n[0]")))
    assert ".n changes from call to call" in caplog.text


BUFFER = ENERGY.replace("self.n = 0", "self.register_buffer('n', torch.zeros(()))")


def test_energies_whose_buffers_change_when_they_are_measured(plugin, tmp_path):
    name = plugin("Energy", BUFFER.replace("1e-5", "1e-3"))
    said = "the energies of the same points change from call to call"
    refused(tmp_path, said, "only `if self.training`", energy=name)
    assert said in found_by_check("energies", name).found


def test_energies_whose_buffers_change_while_they_are_trained(plugin, monkeypatch):
    body = BUFFER.replace("self.n += 1", "self.n += self.training").replace("1e-5", "1e-2")
    name = plugin("Energy", body)
    few, _ = train(energy=name, steps=6)
    many, _ = train(energy=name, steps=6, curve_points=6)
    assert few.energy.n == many.energy.n > 0
    same(monkeypatch, energy=name)


def test_noise_with_state_trains_as_without_a_look(plugin, monkeypatch):
    body = NOISE.format("self.n = 0").replace("return self.shift +", "self.n += 1\n    return (")
    body = body.replace("dtype=self.scale.dtype)", "dtype=self.scale.dtype)) * 0.9999**self.n")
    same(monkeypatch, settings={"noise": plugin("Noise", body)})


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("energy(x).mean(1) - energy(x).mean()", "depends on the energies of others"),
        ("energy(x).mean(1).flip(0)", "depends on the energies of others"),
        ("self.own * energy(x).detach().mean(1)", "the loss does not depend on the energy"),
        ("energy(x + streams.normal_like(x)[:1]).mean(1)", "depend on its own stream"),
        ("energy(x + streams.normal_like(x).mean(0)).mean(1)", "the streams of others"),
    ],
)
@pytest.mark.parametrize("steps", [1, 2])
def test_runs_of_few_steps_are_looked_at(plugin, tmp_path, returned, said, steps):
    body = LOSS.format("self.own = nn.Parameter(torch.zeros(energy.replicates))", "n = 1")
    body = body.rpartition("    return")[0] + f"    return {returned}\n"
    refused(tmp_path, said, objective=plugin("Objective", body), steps=steps)


@pytest.mark.parametrize("case", KEPT)
def test_losses_with_state_take_one_step_as_without_a_look(plugin, monkeypatch, case):
    same(monkeypatch, objective=plugin("Objective", KEPT[case]), steps=1)


def test_datasets_with_state_train_as_without_a_look(plugin, monkeypatch):
    same(monkeypatch, dataset=plugin("Dataset", DATASET))


def test_samplers_with_state_are_as_without_a_look(plugin):
    parts, _ = train(sampler=plugin("Sampler", SAMPLER))  # which no training in the plane uses
    assert not hasattr(parts.sampler, "n")


DENSITY = """
citation = "None."
event_shape = (3,)
knows = ("log_prob", "score", "entropy")

def sample(self, n, streams, split="train"):
    return {sample}

def log_prob(self, x):
    z = x @ torch.eye(3)
    return -0.5 * z.square().sum(-1) - 1.5 * np.log(2 * np.pi)

def score(self, x):
    return {score}(x @ torch.eye(3))

def entropy(self):
    return 1.5 * np.log(2 * np.pi * np.e)
"""


def test_densities_with_constants_of_the_type_of_the_data(plugin, tmp_path):
    right = DENSITY.format(sample="streams.normal(n, 3)", score="-")
    train(dataset=plugin("Dataset", right))
    wrong = DENSITY.format(sample="streams.normal(n, 3)", score="-0.5 * ")
    refused(tmp_path, "along a direction the score is", dataset=plugin("Dataset", wrong))
    wide = DENSITY.format(sample="1.5 * streams.normal(n, 3)", score="-")
    refused(tmp_path, "from entropy()", dataset=plugin("Dataset", wide))


@pytest.mark.parametrize("points", [20, 100])
def test_entropies_from_a_pool_of_few_points(plugin, points):
    pool = f"(p := torch.randn({points}, 3, generator=torch.Generator().manual_seed({{}})))"
    for seed in range(4):
        sample = f"{pool.format(seed)}[streams.integers({points}, n)]"
        train(dataset=plugin("Dataset", DENSITY.format(sample=sample, score="-")))


def test_data_for_each_replicate(plugin):
    body = DATASET.replace(
        "return self.n * streams.normal(n, 2)",
        "pools = torch.randn(3, 50, 2, generator=torch.Generator().manual_seed(0))\n"
        "    at = streams.integers(50, n)\n"
        "    return torch.stack([pools[i][k] for i, k in zip(streams.indices, at)])",
    )
    train(dataset=plugin("Dataset", body))


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("z = streams.child('a').normal(*x.shape[1:])", ""),
        ("z = streams.select(range(3)).normal(*x.shape[1:])", ""),
        ("z = type(streams)(streams.seed, streams.indices).normal(*x.shape[1:])", ""),
        ("z = z * (1 + 1e-6 * z.mean(0))", ""),
        ("z = z * (1 + 1e-2 * z.mean(0))", "depend on the streams of others"),
        ("z = streams.select([0, 0, 0]).normal(*x.shape[1:])", "do not depend on its own stream"),
        ("z = streams.child('a').normal(*x.shape[1:])[:1]", "do not depend on its own stream"),
    ],
)
def test_draws_of_losses(plugin, tmp_path, code, said):
    body = LOSS.format("pass", "n = 1").replace("    return", f"    {code}\n    return")
    given = {"objective": plugin("Objective", body)}
    if said:
        refused(tmp_path, said, **given)
    else:
        train(**given)


@pytest.mark.parametrize(
    ("build", "call", "said"),
    [
        ("torch.zeros(1)", "self.kept = torch.cat([self.kept, x.mean()[None]])",
         "'kept' is of shape (2,) after a call and was of shape (1,)"),
        ("torch.zeros(4)", "self.kept = self.kept[1:]", "'kept' is of shape (3,)"),
        ("None", "self.kept = x.detach()", "'kept' is there after a call and was not there"),
        ("torch.zeros(4)", "self.kept = None", "'kept' is gone after a call and was there"),
    ],
)  # fmt: skip
@pytest.mark.parametrize("compute", ["eager", "compiled"])
def test_buffers_of_another_shape(plugin, tmp_path, build, call, said, compute):
    body = LOSS.format(f"self.register_buffer('kept', {build})", f"{call}; n = 1")
    name = plugin("Objective", body)
    refused(tmp_path, "objective Own", said, objective=name, compute=compute)


def test_buffers_of_energies_of_another_shape(plugin, tmp_path):
    body = ENERGY.replace("self.n = 0", "self.register_buffer('n', torch.zeros(1))")
    body = body.replace("self.n += 1", "self.n = torch.cat([self.n, self.n])")
    name = plugin("Energy", body.replace("* self.n)", "* len(self.n))"))
    refused(tmp_path, "energy Own", "its state cannot be loaded", "for n:", energy=name)


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("x, self.log_prob(x), None", "returns tuple of 3, not a pair"),
        ("x", "returns Tensor, not a pair"),
        ("None", "returns NoneType, not a pair"),
        ("{'x': x}", "returns dict, not a pair"),
        ("x.tolist(), self.log_prob(x)", "points are list, not a tensor"),
        ("x[:, :1], self.log_prob(x)", "points of shape (3, 1, 2), not (3, 5, 2)"),
        ("x, self.log_prob(x).sum(1)", "log-densities: shape (3,)"),
        ("x, None", "NoneType, not a tensor"),
    ],
)
def test_pairs_of_noise(plugin, tmp_path, returned, said):
    pair = f"""
def sample_with_log_prob(self, n, streams):
    x = self.sample(n, streams)
    return {returned}
"""
    name = plugin("Noise", NOISE.format("pass") + pair)
    refused(tmp_path, "noise Own", said, settings={"noise": name})


COUNTING = """
label = "own"
n = 0

def __call__(self, model, dataset, streams):
    {}
    return {{"value": model.energy(dataset.sample(5, streams.child("d"))).detach().mean(1) + n}}
"""


@pytest.mark.parametrize(
    ("code", "unsaved"),
    [
        ("type(self).n += 1; n = self.n", "Own{}.n"),
        ("n = torch.rand(())", "the global generator of torch"),
        ("n = model.energy.n = 1 + getattr(model.energy, 'n', 0)", "Mlp.n"),
        ("self.n += 1; n = self.n", None),  # of a metric that is made for each point
        ("n = streams.normal(1).mean(1)", None),
    ],
)
def test_state_that_metrics_of_curves_keep(plugin, caplog, code, unsaved):
    name = plugin("Metric", COUNTING.format(code))
    _, record = train(curve=name, steps=8, curve_points=5)
    assert record.unsaved == ([unsaved.format(name.removeprefix("own"))] if unsaved else [])
    own = (unsaved or "").startswith("Own")
    assert ("a metric of a curve keeps nothing from call to call" in caplog.text) == own
    assert ("register_buffer" in caplog.text) == (unsaved is not None and not own)


def test_looks_at_points_of_a_curve_take_no_training_time(monkeypatch):
    now = [0.0]

    def slow():
        now[0] += 1.0
        return {}

    monkeypatch.setattr(training.cost, "seconds", lambda device: now[0])
    monkeypatch.setattr(state, "surroundings", slow)
    _, record = train(steps=8, curve_points=5)
    assert now[0] > 5
    assert record.cost.train_seconds == 0
