"""A broken plugin fails the check that it should, and is told why."""

import re

import pytest
from typer.testing import CliRunner

from ebm_bench import cli
from ebm_bench.errors import InputError
from ebm_bench.plugins import templates
from ebm_bench.plugins.checks.plugins import examine

pytestmark = pytest.mark.usefixtures("no_plugins")

# What is changed in the skeleton of a family, and the checks that must notice.
BROKEN = [
    ("objective", "0.5 * residual", "-0.5 * residual", {"points_towards_the_truth"}),
    ("objective", ".sum(2).mean(1)", ".sum(2).mean()", {"shape_and_dtype"}),
    ("objective", "noise = streams.normal_like(x)",
     "import torch\n        noise = torch.randn_like(x)", {"global_generator_is_left_alone"}),
    ("objective", "return 0.5 * residual", "return 0.5 * (residual + residual.detach())",
     {"gradient_is_right"}),
    ("objective", ".mean(1)\n", ".mean(1) * x.std()\n", {"replicates_do_not_mix"}),
    ("objective", "from the model's score.", "from the score", {"says_what_it_is"}),
    ("objective", "    def loss(",
     "    def fit(self, energy, data, streams):\n        self.width = 1 + data.std()\n\n"
     "    def loss(", set()),
    ("objective", "    def loss(", "    def build(self, energy):\n        pass\n\n    def loss(",
     {"refuses_rough_energies"}),
    ("objective", "        noise =", "        self.sigma *= 0.9\n        noise =",
     {"changes_are_saved"}),
    ("energy", "        u = (", "        self.seen = 1 + getattr(self, 'seen', 0)\n        u = (",
     {"changes_are_saved"}),
    ("noise", "u = streams", "self.drawn = n + getattr(self, 'drawn', 0)\n        u = streams",
     {"changes_are_saved"}),
    ("dataset", "z = streams", "self.drawn = n + getattr(self, 'drawn', 0)\n        z = streams",
     {"changes_are_saved"}),
    ("sampler", "        for", "        self.step_size *= 0.9\n        for", {"changes_are_saved"}),
    ("dataset", "2 * math.pi * self.sd)", "math.pi * self.sd)", {"integrates_to_one"}),
    ("dataset", "z[..., 1]]", "z[..., 0]]", {"samples_fall_where_the_density_says"}),
    ("dataset", "math.e * self.sd", "math.e / self.sd", {"entropy_is_right"}),
    ("dataset", "slope - x[..., 0], -pull", "slope + x[..., 0], -pull",
     {"score_is_the_gradient", "samples_obey_steins_identity"}),
    ("dataset", 'citation = "Authors', '# citation = "Authors', {"metadata"}),
    ("noise", "- self.scale.log()", "", {"integrates_to_one"}),
    ("noise", "self.scale * torch.logit", "2 * self.scale * torch.logit",
     {"samples_have_the_moments_of_the_density"}),
    ("noise", "data, dim=1, keepdim=True", "data, dim=(0, 1), keepdim=True",
     {"replicates_do_not_mix"}),
    ("energy", ".squeeze(2)\n", "\n", {"shape_and_dtype"}),
    ("energy", "self.outer(softplus(self.inner(u)))",
     "self.outer(self.inner(u).clamp_min(0))", {"smooth_where_it_says_so"}),
    ("metric", ".sum((1, 2)).sqrt()}", ".sum().sqrt()}", {"one_finite_value_per_replicate"}),
    ("metric", 'streams.child("data")', "streams", {"same_whenever_asked"}),
    ("metric", ".sqrt()}", ".sqrt().nan_to_num()}", {"keeps_what_is_not_finite"}),
    ("metric", "        held_out =", "        assert model.energy.layers\n        held_out =",
     {"measures_controls"}),
    ("metric", 'label = "covariance error"', "", {"has_a_label"}),
    ("sampler", "here - there", "there - here",
     {"stays_in_the_density", "moves_towards_the_density"}),
    ("sampler", "streams.normal_like(x)", "torch.randn_like(x)",
     {"global_generator_is_left_alone"}),
    ("sampler", "energy.scale * ", "", {"steps_are_measured_in_the_scale"}),
]  # fmt: skip


def examined(kind, old, new, folder):
    path = templates.write(kind, "mine", folder)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    (examination,) = examine(path)
    return examination


@pytest.mark.parametrize(
    ("kind", "old", "new", "noticing"), BROKEN, ids=[f"{b[0]}-{i}" for i, b in enumerate(BROKEN)]
)
def test_what_is_broken_is_noticed(kind, old, new, noticing, tmp_path):
    examination = examined(kind, old, new, tmp_path)
    failed = {verdict.check.name for verdict in examination.verdicts if verdict.found}
    assert noticing <= failed, "\n".join(examination.lines)
    assert examination.holds == (not noticing)


def test_a_wrong_shape_ends_the_checks(tmp_path):
    examination = examined("dataset", "z[..., 1]]", "z[..., 1], z[..., 0]]", tmp_path)
    assert examination.verdicts[-1].check.name == "shapes_and_types"
    assert "Fix this first" in "\n".join(examination.lines)


def test_a_failure_is_told_in_words(tmp_path):
    examination = examined("objective", "0.5 * residual", "-0.5 * residual", tmp_path)
    told = "\n".join(examination.lines)
    assert "  FAILS  points towards the truth\n" in told
    for part in ("expected: the loss of an energy that is too flat", "found: at precision 0.4",
                 "usual cause: A sign"):  # fmt: skip
        assert part in told
    assert "8 of 9 checks hold" in told
    assert not examination.notes


def test_an_error_in_the_plugin_is_told_with_its_line(tmp_path):
    examination = examined("objective", "return 0.5", "return nothing + 0.5", tmp_path)
    told = "\n".join(examination.lines)
    assert re.search(r"found: NameError: .*nothing.* \(mine\.py:\d+: return nothing", told)


@pytest.mark.parametrize("state", ["plain attribute", "other shape"])
def test_a_state_that_a_checkpoint_misses_is_noticed(state, tmp_path):
    made = "self.start = data.std()" if state == "plain attribute" else (
        "self.register_buffer('start', data.std())"
    )  # fmt: skip
    new = f"    def fit(self, energy, data, streams):\n        {made}\n\n    def loss("
    path = templates.write("objective", "mine", tmp_path)
    text = path.read_text().replace("    def loss(", new)
    path.write_text(text.replace("return 0.5", "return self.start * 0.5"))
    (examination,) = examine(path)
    failed = {verdict.check.name for verdict in examination.verdicts if verdict.found}
    assert "state_round_trip" in failed


def test_a_plugin_that_cannot_be_imported_is_bad_input(tmp_path):
    path = templates.write("objective", "mine", tmp_path)
    path.write_text("import nothing_of_this_name\n" + path.read_text())
    with pytest.raises(InputError, match=r"mine\.py:1: cannot be imported: ModuleNotFoundError"):
        examine(path)


@pytest.mark.parametrize(
    ("old", "new", "code", "said"),
    [
        ("", "", 0, "9 of 9 checks hold"),
        ("0.5 * residual", "-0.5 * residual", 1, "usual cause: A sign"),
        ("import math\n", "import math(\n", 2, "not valid Python"),
        ("@register", "", 2, "it registers no class"),
    ],
)
def test_exit_codes(old, new, code, said, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    runner = CliRunner()
    assert runner.invoke(cli.app, ["new", "objective", "mine"]).exit_code == 0
    path = tmp_path / "mine.py"
    path.write_text(("import math\n" + path.read_text()).replace(old, new, 1))
    done = runner.invoke(cli.app, ["check", "mine.py"])
    assert done.exit_code == code, done.output
    assert said in done.output
