"""Runs refuse metrics that write to the model, or to samples that others use."""

import pytest
from factories.plugins import found_by, refused, train

from ebm_bench.plugins.checks import metrics

METRIC = """
label = "own"

def __call__(self, model, dataset, streams):
    x = model.samples(20)
    weight = next(model.energy.parameters())
    {}
    return {{"value": model.energy(x).detach().mean(1)}}
"""


WRITES = [
    ("weight.data *= 0.5", "of the energy changes"),
    ("weight.detach().numpy()[:] = 0", "of the energy changes"),
    ("torch.no_grad().__enter__(); weight.zero_(); torch.set_grad_enabled(True)", "of the energy"),
    ("weight.data[0] = float('nan')", "of the energy changes"),
    ("model.energy.location += 1", "'location' of the energy changes"),
    (
        "model.energy.requires_grad_(); model.energy(x).sum().backward(); "
        "weight.data -= 0.1 * weight.grad",
        "of the energy",
    ),
    (
        "model.energy.load_state_dict({k: v + 1 for k, v in model.energy.state_dict().items()})",
        "of",
    ),
    ("weight.requires_grad_(not weight.requires_grad)", "requires a gradient changes"),
    ("next(model.objective.parameters()).data += 1", "of the objective changes"),
    ("x -= x.mean()", "20 samples of the model changes"),
    ("x.zero_()", "20 samples of the model changes"),
    ("model.samples(21).clamp_(0, 1)", "21 samples of the model changes"),
]


@pytest.mark.parametrize(
    ("code", "said", "where"),
    [(*case, "curve") for case in WRITES] + [(*case, "metrics") for case in WRITES[::4]],
)
def test_metrics_that_write_to_the_model(plugin, tmp_path, code, said, where):
    name = plugin("Metric", METRIC.format(code))
    given = (
        {"curve": name} if where == "curve" else {"metrics": (name,), "curve": "hyvarinen_score"}
    )
    refused(tmp_path, said, "Expected: the model as it was", "copy.deepcopy", **given)


@pytest.mark.parametrize("code", ["weight.data *= 0.5", "x -= x.mean()", "x.numpy()[:] = 0"])
def test_what_is_written_is_found_by_check(plugin, code):
    name = plugin("Metric", METRIC.format(code))
    assert "changes in a call" in found_by(metrics.leaves_the_model_as_it_was, metrics.Case(name))


@pytest.mark.parametrize(
    "code",
    [
        "pass",
        "y = x.clone(); y -= y.mean()",
        "e = copy.deepcopy(model.energy).requires_grad_(); next(e.parameters()).data *= 2",
        "model.samples(5), model.samples(6), model.log_z",
        "dataset.sample(5, streams.child('data')).mul_(2)",
        "model.energy(x.requires_grad_()); x.requires_grad_(False)",
        "with torch.inference_mode(): model.samples(7)",
    ],
)
def test_metrics_that_work_on_copies_pass(plugin, code):
    train(curve=plugin("Metric", METRIC.format(code)))


def test_samples_of_inference_mode_can_be_differentiated_by_others(plugin):
    drawn = "with torch.inference_mode(): model.samples(7)\n    y = model.samples(7)"
    used = "\n    model.energy(y.requires_grad_()).sum().backward(); y.requires_grad_(False)"
    train(curve=plugin("Metric", METRIC.format(drawn + used)))


@pytest.mark.parametrize("code", ["eval()", "train()", "train(not model.energy.training)"])
def test_metrics_leave_the_mode_of_training(plugin, code):
    parts, _ = train(curve=plugin("Metric", METRIC.format(f"model.energy.{code}")))
    assert parts.energy.training
