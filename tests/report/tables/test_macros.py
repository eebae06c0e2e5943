import re
from dataclasses import replace

import pytest

from ebm_bench import registry
from ebm_bench.report import budgets
from ebm_bench.report.formatting import number
from ebm_bench.report.tables import macros


def commands(text):
    return dict(re.findall(r"^\\newcommand\{\\(\w+)\}\{(.*)\}$", text, flags=re.M))


@pytest.fixture
def rendered(results):
    return macros.render([results, *(budgets.at_equal(results, u) for u in ("steps", "seconds"))])


def test_names_hold_letters_alone_and_stand_once(rendered):
    names = re.findall(r"\\newcommand\{\\(.*?)\}", rendered)
    assert len(names) == len(set(names)) > 100
    assert all(re.fullmatch("[A-Za-z]+", name) for name in names)
    assert rendered.isascii()


def test_numbers_are_those_of_the_tables(results, rendered):
    told = commands(rendered)
    row = next(r for r in results.rows("plane") if r.label == "slow_100")
    found = results.estimate("plane", row, "kl")
    name = "ebmSmallPlaneKlSlowOneZeroZero"
    assert told[name] == number(found.mean)
    assert told[f"{name}Low"] == number(found.low)
    assert told[f"{name}Interval"].startswith(f"{number(found.mean)} [")
    assert told["ebmSmallPlaneRankSlowOneZeroZero"] == str(row.rank)
    assert told["ebmSmallPlaneNUnlucky"] == "4"
    assert told["ebmSmallPlaneFailedUnlucky"] == "2"
    assert told["ebmSmallPlaneBudgetSteps"] == "1000"
    assert told["ebmSmallAverageRankSlowOneZeroZero"] == "4.00"
    assert "ebmSmallPlaneRankEqualSecondsWinner" in told
    assert "ebmSmallPlaneKlSlowOneZeroZeroFlow" in told  # the by-product
    assert told["ebmSmallPixelsHyvarinenWinner"].startswith(r"\ensuremath{-}2")


def test_numbers_that_only_bound_or_are_in_doubt_say_so(add_part, monkeypatch):
    found = registry.entries("metrics")
    bounded = {**found, "kl": replace(found["kl"], lower_bound=True)}
    others = registry.entries
    monkeypatch.setattr(
        registry, "entries", lambda family: bounded if family == "metrics" else others(family)
    )
    results = add_part("plane", "winner", "kl", "converged", lambda r: float(r != 0))
    told = commands(macros.render([results]))
    assert told["ebmSmallPlaneKlWinner"].startswith(r"\ensuremath{\geq} 0.0")
    assert told["ebmSmallPlaneKlWinnerInterval"].endswith("] (not converged)")
    assert told["ebmSmallPlaneKlUnluckyInterval"].endswith("] (4 of 6)")


@pytest.mark.parametrize(
    ("name", "spelled"),
    [("dsm-0.2", "DsmZeroPointTwo"), ("kl_divergence", "KlDivergence"), ("fce (flow)", "FceFlow"),
     ("nce-10", "NceOneZero"), ("cifar10", "CifarOneZero")],
)  # fmt: skip
def test_spelling(name, spelled):
    assert macros.letters(name) == spelled


def test_two_things_of_one_name_have_none(results, monkeypatch):
    monkeypatch.setattr(
        macros, "_numbers", lambda views: iter([(["a-b"], "1"), (["a_b"], "2"), (["c"], "3")])
    )
    text = macros.render([results])
    assert r"\newcommand{\ebmC}{3}" in text
    assert text.count(r"\ebmAB}") == 1
    assert r"\PackageError{ebm-bench}{\string\ebmAB could be a-b and a-b}" in text
