"""What `ebm_bench.fit` is given is refused by one message, as on the command line."""

from functools import partial

import pytest
from factories.plugins import load

import ebm_bench
from ebm_bench import registry
from ebm_bench.errors import InputError

DSM = "denoising_score_matching"
SMALL = {"replicates": 2, "steps": 2, "batch_size": 16, "device": "cpu"}
fit = partial(ebm_bench.fit, **SMALL)


@pytest.fixture(scope="module")
def fitted():
    return fit("two_moons", DSM, energy_settings={"width": 8})


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["two_moons"], "fit(): dataset is ['two_moons'], not a name"),
        (None, "fit(): dataset is None, not a name"),
        ("nope", "unknown dataset 'nope'"),
    ],
)
def test_datasets(names, said):
    with pytest.raises(InputError) as caught:
        fit(names, DSM)
    assert said in str(caught.value)


def test_objectives():
    with pytest.raises(InputError, match=r"fit\(\): objective is 3, not a name"):
        fit("two_moons", 3)


@pytest.mark.parametrize(
    ("names", "said"),
    [
        ("kl_divergence", "evaluate(): 'kl_divergence' is no list of names"),
        (None, "evaluate(): None is no list of names"),
        (3, "evaluate(): 3 is no list of names"),
        ([None], "unknown metric 'None'"),
        (["log_z_error"], "log_z_error needs learned_log_z of two_moons and denoising_score"),
        (["bits_per_dim"], "bits_per_dim needs pixels of two_moons"),
    ],
)
def test_metrics(fitted, names, said):
    with pytest.raises(InputError) as caught:
        fitted.evaluate(names)
    assert said in str(caught.value)


@pytest.mark.parametrize("n", [-1, 0, "3", 2.5, None])
def test_numbers_of_samples(fitted, n):
    with pytest.raises(InputError, match=r"sample\(\): n is .*, not a whole number"):
        fitted.sample(n)


BODIES = {
    "objective": ("Objective", "def loss(self, energy, x, streams):\n    return {}['sigma']\n"),
    "metric": ("Metric", "def __call__(self, model, dataset, streams):\n    return {}['sigma']\n"),
    "exit": ("Objective", "def loss(self, energy, x, streams):\n    exit(0)\n"),
    "sampler": (
        "Energy",
        "def build(self, streams):\n    self.a = nn.Parameter(torch.ones(self.replicates, 1))\n\n"
        "def forward(self, x):\n    return self.a * x.square().sum(2)\n\n"
        "def sample(self, n, streams):\n    return {5: streams.normal(n, 2)}[n]\n",
    ),
}


@pytest.mark.parametrize("case", BODIES)
def test_errors_of_plugins(case, tmp_path, no_plugins):
    base, body = BODIES[case]
    name = load(tmp_path, base, body)
    attempts = {
        "metric": lambda: fit("two_moons", DSM).evaluate([name]),
        "sampler": lambda: fit("two_moons", DSM, energy=name).sample(3),
    }
    with pytest.raises(InputError) as caught:
        attempts.get(case, lambda: fit("two_moons", name))()
    path = registry.describe({"metric": "metrics", "sampler": "energies"}.get(case, "objectives"),
                             name).path  # fmt: skip
    assert str(caught.value).startswith(f"{path}:")
    assert ("SystemExit" if case == "exit" else "KeyError") in str(caught.value)
