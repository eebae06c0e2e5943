import math
from dataclasses import replace

import pytest

from ebm_bench import registry
from ebm_bench.records import Outcome
from ebm_bench.report import formatting


@pytest.mark.parametrize(
    ("x", "text"),
    [
        (0.0, "0"),
        (2.8316, "2.83"),
        (-2039.0, "−2039"),
        (0.02013, "0.0201"),
        (1.2e-5, "1.20e−5"),
        (123456.0, "1.23e5"),
        (math.nan, "–"),
        (math.inf, "∞"),
        (-math.inf, "−∞"),
    ],
)
def test_number(x, text):
    assert formatting.number(x) == text


def test_ending_names_status_share_and_step():
    def outcomes(*ends):
        return [Outcome(replicate=r, status=s, step=n) for r, (s, n) in enumerate(ends)]

    assert formatting.ending(outcomes(("ok", 5), ("ok", 5))) == "ok"
    assert formatting.ending(outcomes(("diverged", 120))) == "diverged at step 120"
    escaped = outcomes(("flow_escaped", 120), ("ok", 120))
    assert formatting.ending(escaped) == "1 of 2 flow escaped at step 120"
    several = outcomes(("diverged", 120), ("ok", 5), ("diverged", 90), ("timeout", 5))
    assert (
        formatting.ending(several)
        == "2 of 4 diverged at steps 90 to 120, 1 of 4 timed out at step 5"
    )


def test_explanation_is_the_docstring_up_to_its_sections(made_up_names):
    expected = "The kl & its <first> line. More of it, over two lines."
    assert formatting.explanation("kl") == expected


def test_every_metric_explains_itself():
    found = {name: formatting.explanation(name) for name in registry.names("metrics")}
    assert all(text.endswith((".", '".')) and "----" not in text for text in found.values())
    assert "singular" in found["frechet_distance_efficientnet"]
    assert formatting.quantity("bits_per_dim").lower_bound


def test_quantity_of_metrics_and_their_parts(made_up_names):
    assert formatting.quantity("kl").head == "KL [nats] ↓"
    assert formatting.quantity("auroc").axis == "AUROC, higher is better"
    assert formatting.quantity("kl.gap_width").head == "KL: gap width"


def test_budgets_are_written_with_their_unit():
    assert formatting.amount(1.5512, "seconds") == "1.55 s"
    assert formatting.amount(600.0, "steps") == "600 steps"
    assert formatting.amount(76_800.0, "evaluations") == "76.8 k energy evaluations"


@pytest.mark.parametrize(
    ("p", "bare", "named"),
    [(0.0004, "< 0.001", "p < 0.001"), (0.0234, "0.023", "p = 0.023"), (1.0, "1", "p = 1"),
     (float("nan"), "–", "p = –")],
)  # fmt: skip
def test_p_values(p, bare, named):
    assert formatting.probability(p) == bare
    assert formatting.probability(p, "p") == named


def test_a_line_break_does_not_break_a_label(monkeypatch):
    entry = replace(registry.describe("metrics", "kl_divergence"), label="KL\n of")
    monkeypatch.setattr(registry, "describe", lambda family, name: entry)
    assert formatting.quantity("kl_divergence").label == "KL of"
    assert formatting.quantity("kl_divergence.one\ntwo").label == "KL of: one two"


@pytest.mark.parametrize(("most", "text"), [(2, "a, b, 1 more"), (3, "a, b, c"), (9, "a, b, c")])
def test_of_many_names_the_first_are_stated(most, text):
    assert formatting.few(["a", "b", "c"], most) == text
