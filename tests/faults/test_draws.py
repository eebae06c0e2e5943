"""Runs refuse broadcast numbers, wrong scores and entropies, and what is not restored."""

import pytest
from factories.plugins import found_by, refused, staged, train

from ebm_bench.plugins.checks import datasets, energies, noise, objectives, samplers

NOISE = """
def build(self):
    self.register_buffer("scale", torch.ones(self.replicates, 1, *self.event_shape))

def fit(self, data, streams):
    self.scale.copy_(data.std(1, keepdim=True))

def sample(self, n, streams):
    d = self.event_shape
    z = streams.normal(n, *d, dtype=self.scale.dtype)
    return self.scale * ({})

def log_prob(self, x):
    return torch.distributions.Normal(0, self.scale).log_prob(x).flatten(2).sum(2)
"""
OWN_STREAM = "the numbers of a replicate do not depend on its own stream"
OTHERS = "the numbers of a replicate depend on the streams of others"
FIXED = "the numbers do not depend on the streams"
SAME = "coordinates 0 and 1 are the same number up to place and scale"


@pytest.mark.parametrize(
    ("z", "said"),
    [
        ("z[:1]", OWN_STREAM),
        ("z[:1].expand_as(z)", OWN_STREAM),
        ("z[:1].repeat(len(z), *[1] * (z.ndim - 1))", OWN_STREAM),
        ("torch.stack([z[0]] * len(z))", OWN_STREAM),
        ("z.mean(0)", OTHERS),
        ("z.roll(1, 0)", OTHERS),
        ("z - z.mean(0)", OTHERS),
        ("torch.zeros_like(z).normal_(generator=torch.Generator().manual_seed(0))", FIXED),
        ("torch.linspace(-1, 1, n * z[0, 0].numel()).to(z).reshape(n, *d).sin()", FIXED),
        ("z.flatten(2)[..., :1].reshape(len(z), n, *[1] * len(d)).expand_as(z)", SAME),
        ("-2 * z.flatten(2)[..., :1].reshape(len(z), n, *[1] * len(d)) + 0 * z", SAME),
        ("z.flatten(2).cumsum(2)[..., :1].reshape(len(z), n, *[1] * len(d)) + 0 * z", SAME),
        ("z[:, :1].expand_as(z)", "all points of a replicate are equal"),
        ("z.mean(1, keepdim=True).expand_as(z)", "all points of a replicate are equal"),
    ],
)
def test_noise_that_is_broadcast(plugin, tmp_path, z, said):
    name = plugin("Noise", NOISE.format(z))
    refused(tmp_path, said, "Expected: numbers of its own", settings={"noise": name})
    assert said in found_by(noise.numbers_are_drawn_one_by_one, noise.Case(name))


@pytest.mark.parametrize(
    ("after", "said"),
    [
        (".mean() + torch.zeros(x.shape[:2])", "depends on other points"),
        (".flip(1)", "depends on other points"),
        (".log_softmax(1)", "depends on other points"),
        (".flip(0)", "depends on the points of other replicates"),
        (".log_softmax(0)", "depends on the points of other replicates"),
        (" - torch.inf", "no log-density is finite"),
        (" * torch.nan", "no log-density is finite"),
    ],
)
def test_densities_of_a_point_that_depend_on_others(plugin, tmp_path, after, said):
    end = "flatten(2).sum(2)"
    name = plugin("Noise", NOISE.format("z").replace(end, f"{end}{after}"))
    refused(tmp_path, said, "of a point depends on this point alone", settings={"noise": name})
    assert said in found_by(noise.points_do_not_mix, noise.Case(name))


PAIR = """
def sample_with_log_prob(self, n, streams):
    x = self.sample(n, streams)
    return {}
"""


@pytest.mark.parametrize(
    ("returned", "said"),
    [
        ("x, self.log_prob(x) + 1", "log-densities that are off by 1"),
        ("x, -self.log_prob(x)", "log-densities that are off by"),
        ("x, self.log_prob(x.flip(1))", "log-densities that are off by"),
        ("2 * x, self.log_prob(2 * x)", "the points differ"),
        ("self.sample(n, streams), self.log_prob(x)", "log-densities that are off by"),
    ],
)
def test_points_with_another_density(plugin, tmp_path, returned, said):
    name = plugin("Noise", NOISE.format("z") + PAIR.format(returned))
    refused(tmp_path, said, "Expected: points that come with", settings={"noise": name})
    case = noise.Case(name)
    assert said[:12] in found_by(noise.points_come_with_their_density, case)


@pytest.mark.parametrize("part", ["scale", "nn.Linear(1, 1)"])
def test_noise_that_would_be_trained(plugin, tmp_path, part):
    body = NOISE.format("z").replace(
        'self.register_buffer("scale", torch.ones(self.replicates, 1, *self.event_shape))',
        "self.scale = nn.Parameter(torch.ones(self.replicates, 1, *self.event_shape))"
        + ("" if part == "scale" else "; self.scale.requires_grad_(False); self.net = " + part),
    )
    body = body.replace("self.scale.copy_", "self.scale.data.copy_")
    name = plugin("Noise", body)
    refused(tmp_path, "would be trained", "Expected: nothing left", settings={"noise": name})
    assert "would be trained" in found_by(noise.nothing_is_left_to_train, noise.Case(name))


DATA = """
citation = "None."
knows = {knows}
event_shape = (3,)

def sample(self, n, streams, split="train"):
    z = streams.normal(n, 3)
    return {sample}

def log_prob(self, x):
    return {log_prob}

def score(self, x):
    return {score}

def entropy(self):
    return {entropy}
"""
NORMAL = {
    "knows": '("log_prob", "score", "entropy")',
    "sample": "z",
    "log_prob": "torch.distributions.Normal(0.0, 1.0).log_prob(x).sum(-1)",
    "score": "-x",
    "entropy": "1.5 * 2.8378770664093453",
}


def data(plugin, **other):
    return plugin("Dataset", DATA.format(**{**NORMAL, **other}))


@pytest.mark.parametrize(
    ("sample", "said"),
    [
        ("z[:1].repeat(len(z), 1, 1)", OWN_STREAM),
        ("z.roll(1, 0)", OTHERS),
        ("z - z.mean(0)", OTHERS),
        ("torch.randn(z.shape, generator=torch.Generator().manual_seed(0))", FIXED),
        ("torch.from_numpy(np.random.RandomState(0).randn(*z.shape)).float()", FIXED),
        ("torch.cat([z[:1], z[:1]] + [z[2:]])[:len(z)]", OWN_STREAM),
    ],
)
def test_points_that_are_broadcast(plugin, tmp_path, sample, said):
    name = data(plugin, sample=sample)
    refused(tmp_path, said, "Expected: a replicate has the same points", dataset=name)
    assert found_by(datasets.replicates_do_not_mix, datasets.Case(name))


@pytest.mark.parametrize(
    "score",
    [
        "x",
        "-2 * x",
        "-0.5 * x",
        "-x.flip(-1)",
        "-x * torch.tensor([1.0, 1.0, -1.0]).to(x)",
        "-x + 1",
        "torch.zeros_like(x)",
        "-x / x.norm(dim=-1, keepdim=True)",
    ],
)
def test_wrong_scores(plugin, tmp_path, score):
    name = data(plugin, score=score)
    refused(
        tmp_path, "along a direction the score is", "a score that is the gradient of log_prob",
        "Usual cause: A sign or a chain rule", dataset=name,
    )  # fmt: skip
    assert "along a direction" in found_by(datasets.score_is_the_gradient, datasets.Case(name))


WRONG = [
    ("None", "entropy() returns NoneType"),
    ("'4.26'", "entropy() returns str"),
    ("True", "entropy() returns bool"),
    ("[4.26]", "entropy() returns list"),
    ("4.26 + 0j", "entropy() returns complex"),
    ("float('nan')", "entropy() returns nan"),
    ("float('inf')", "entropy() returns inf"),
    ("torch.full((3,), 4.26)", "entropy() returns Tensor of shape"),
    ("torch.full((1,), 4.26)", "entropy() returns Tensor of shape"),
    ("np.full((1, 1), 4.26)", "entropy() returns ndarray of shape"),
    ("-1.5 * 2.8378770664093453", "from samples and -4.2568 from entropy()"),
    ("1.5 * 2.8378770664093453 - 1.5", "from samples and 2.7568 from entropy()"),
]


@pytest.mark.parametrize(("entropy", "said"), WRONG)
def test_wrong_entropies(plugin, tmp_path, entropy, said):
    name = data(plugin, entropy=entropy)
    refused(tmp_path, said, "an entropy that is a number", dataset=name)
    assert said in found_by(datasets.samples_have_the_entropy, datasets.Case(name))


@pytest.mark.parametrize(
    "log_prob",
    [
        "-" + NORMAL["log_prob"],
        "torch.distributions.Normal(0.0, 2.0).log_prob(x).sum(-1)",
        "-0.5 * x.square().sum(-1)",
    ],
)
def test_densities_of_other_points(plugin, tmp_path, log_prob):
    knows = '("log_prob", "entropy")'
    name = data(plugin, knows=knows, log_prob=log_prob)
    refused(tmp_path, "from samples and 4.2568 from entropy()", dataset=name)


@pytest.mark.parametrize(
    "other",
    [
        {},
        {"entropy": f"torch.tensor({NORMAL['entropy']})"},
        {"entropy": f"np.float64({NORMAL['entropy']})"},
        {"log_prob": "torch.from_numpy(-0.5 * (x.detach().numpy() ** 2).sum(-1)) - 2.75681559961"},
        # Jumps of the score at kinks are none of its faults.
        {
            "sample": "z.sign() * -torch.log(streams.uniform(n, 3).clamp_min(1e-30))",
            "log_prob": "-x.abs().sum(-1) - 3 * 0.6931471805599453",
            "score": "-x.sign()",
            "entropy": "3 * 1.6931471805599453",
        },
    ],
)
def test_sound_densities_pass(plugin, other):
    train(dataset=data(plugin, **other))


LOSS = """
def loss(self, energy, x, streams):
    z = streams.normal_like(x)
    return (energy(x) - energy(x + 0.3 * {})).mean(1)
"""


@pytest.mark.parametrize(
    ("z", "said"),
    [
        ("z[:1]", OWN_STREAM),
        ("z[0]", OWN_STREAM),
        ("z.roll(1, 0)", OTHERS),
        ("(z - z.mean(0))", OTHERS),
    ],
)
def test_losses_whose_noise_is_broadcast(plugin, tmp_path, z, said):
    name = plugin("Objective", LOSS.format(z))
    refused(tmp_path, said, "one random draw for all", objective=name)
    assert said in found_by(objectives.replicates_do_not_mix, objectives.Case(name))


MIXES = """
def loss(self, energy, x, streams):
    return (energy({}) - energy(x + 0.3 * streams.normal_like(x))).mean(1)
"""


@pytest.mark.parametrize(
    "points",
    ["x.roll(1, 0)", "x.mean(0, keepdim=True).expand_as(x)", "x[:1].expand_as(x)", "x - x.mean(0)",
     "x / x.std((0, 1))", "x[torch.tensor([0, 0, 1])]", "x.flip(0)", "x.mul_(2).flip(0)"],
)  # fmt: skip
@pytest.mark.parametrize("steps", [1, 3])
def test_losses_of_the_points_of_others(plugin, tmp_path, points, steps):
    name = plugin("Objective", MIXES.format(points))
    said = "the loss of a replicate depends on the points of others"
    refused(tmp_path, said, objective=name, steps=steps)


@pytest.mark.parametrize(
    "points", ["x", "x.flip(1)", "x - x.mean(1, keepdim=True)", "x.detach().add_(1)", "x.mul_(2)"]
)
def test_losses_of_their_own_points_pass(plugin, points):
    train(objective=plugin("Objective", MIXES.format(points)))


def test_losses_that_factor_the_covariance_of_their_points_pass(plugin):
    factor = "torch.linalg.cholesky((x.mT @ x - x.mean(1)[:, :, None] * x.sum(1)[:, None]) / 9)"
    train(objective=plugin("Objective", MIXES.format(f"x @ {factor}")))


@pytest.mark.parametrize("z", ["z", "z[:, :1]", "torch.ones_like(x)"])
def test_losses_that_draw_for_each_replicate_pass(plugin, z):
    train(objective=plugin("Objective", LOSS.format(z)))


CHAIN = """
def run(self, energy, x, streams):
    z = streams.normal_like(x)
    return (x + 0.1 * {}).detach()
"""


@pytest.mark.parametrize(
    ("z", "said"),
    [("z[:1]", OWN_STREAM), ("z.roll(1, 0)", OTHERS), ("z.sum(0)", OTHERS)]
    + [(z, "starts of others") for z in ("x.mean(0)", "x.flip(0)", "x[:1]", "z * x.std((0, 1))")],
)
def test_chains_whose_noise_is_broadcast(plugin, tmp_path, z, said):
    name = plugin("Sampler", CHAIN.format(z))
    refused(tmp_path, said, "Expected: chains of a replicate alone", sampler=name)
    assert found_by(samplers.replicates_do_not_mix, samplers.Case(name))


@pytest.mark.parametrize(
    ("build", "fit", "more", "said"),
    [
        ("self.a = 0.0", "self.a = data.mean().item()", "+ self.a", "has other values"),
        ("self.a = torch.zeros(1)", "self.a = data.std()", "* self.a", "has other values"),
        ("self.a = [1.0]", "self.a[0] = data.std().item()", "* self.a[0]", "has other values"),
        (
            "self.register_buffer('a', torch.ones(()), persistent=False)",
            "self.a.copy_(data.std())", "* self.a", "has other values",
        ),
        ("self.a = 0", "pass", "+ 0 * (self(x) if (n := self.a) < 1 and not setattr(self, 'a', 1) "
         "or setattr(self, 'a', n * 0) else base)", "for 4 points"),
    ],
)  # fmt: skip
def test_energies_that_cannot_be_restored_or_count_twice(plugin, tmp_path, build, fit, more, said):
    name = plugin("Energy", staged(build=build, fit=fit, more=more))
    refused(tmp_path, said, energy=name)


LAYERS = """
def build(self, streams):
    self.layers = nn.ModuleList([Dense(2, 8, streams), Activation("tanh"), Dense(8, 1, streams)])

def directions(self):
    return torch.eye(2).view(1, 2, 1, 2), True

def forward(self, x):
    u = (x - self.location) / self.scale
    first, _, last = self.layers
    return last({}).squeeze(2) + 0.5 * u.square().sum(2)
"""


@pytest.mark.parametrize(
    "hidden",
    ["torch.sin(first(u))", "first(u)", "torch.tanh(first(x))", "1.1 * torch.tanh(first(u))"],
)
def test_energies_whose_layers_are_others(plugin, tmp_path, hidden):
    name = plugin("Energy", LAYERS.format(hidden))
    refused(
        tmp_path, "they differ by", "Usual cause: `layers` is set and is not the network",
        energy=name,
    )  # fmt: skip
    assert "they differ" in found_by(energies.gradient_is_that_of_autograd, energies.Case(name))


def test_energies_with_their_own_layers_pass(plugin):
    train(energy=plugin("Energy", LAYERS.format("torch.tanh(first(u))")))
