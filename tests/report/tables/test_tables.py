import io
import re
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from factories.latex import balanced, bold

from ebm_bench.report.statistics import intervals, pairwise
from ebm_bench.report.tables import captions, formats, tables
from ebm_bench.report.tables.formats import frame
from ebm_bench.suites.tuning import Tuned


def test_every_row_and_metric_is_shown(results):
    table = frame(tables.dataset_table(results, "plane"))
    assert len(table) == 7
    heads = ["Rank", "Method", "Mean rank", "KL [nats] ↓", "AUROC ↑"]
    assert list(table)[:5] == heads  # what ranks is the first metric
    row = table.set_index("Method").loc["winner"]
    assert re.fullmatch(r"0\.0\d+ \[0\.0\d+, 0\.0\d+\]", row["KL [nats] ↓"])
    assert (row["n"], row["Failed"], row["Status"]) == ("6", "0", "ok")


def test_what_is_at_an_end_of_what_was_tuned_is_marked(results):
    def chosen(*edge):
        best = {"learning_rate": 0.1, "score": 1.0}
        return {"best": best, "trials": 3, "failed": 0, "edge": edge}

    assert "At an end" not in list(frame(tables.dataset_table(results, "plane")))
    methods = {"winner": chosen(), "unlucky": chosen("learning_rate", "rate")}
    tuned = Tuned(
        suite="small", suite_version=2, date="", version=[], commit=[], seed=1, trials=3,
        replicates=2, learning_rates=(0.1, 0.2),
        datasets={"plane": {"criterion": "kl", "methods": methods}},
    )  # fmt: skip
    marked = replace(results, suite=results.suite.model_copy(update={"tuned": tuned}))
    table = tables.dataset_table(marked, "plane")
    ends = frame(table).set_index("Method")["At an end"]
    assert ends["unlucky"] == "learning rate, rate"
    assert set(ends.drop("unlucky")) == {""}
    assert "beyond may be better" in table.caption
    assert "At an end" not in list(frame(tables.dataset_table(marked, "pixels")))


def test_differences_are_told_from_the_reference_with_p_values(results):
    table = frame(tables.dataset_table(results, "plane")).set_index("Method")[
        "Difference to the best"
    ]
    (reference,) = table.index[table == "reference"]
    assert reference in ("winner", "equal")
    assert re.fullmatch(r"× 20\.\d+ \[19\.\d+, 20\.\d+\], p < 0\.001", table["slow_100"])
    assert table["unlucky"].startswith("× 2.")
    assert table["truth"] == "–"
    numbers = tables.dataset_numbers(results, "plane").set_index("method")
    assert numbers["reference"].sum() == 1
    assert numbers.loc["unlucky", "difference_n"] == 4  # of six, two failed
    slow = numbers[numbers["model"] == "energy"].loc["slow_100"]
    best = numbers.loc[reference, "kl_mean"]
    assert slow["difference_mean"] == pytest.approx(slow["kl_mean"] / best)
    assert slow["difference_low"] < slow["difference_mean"] < slow["difference_high"]


def test_the_reference_is_what_is_finite_throughout_even_if_ranked_below(change):
    def improve(record):
        for value in record["values"]:
            if value["metric"] == "kl" and value["value"] is not None:
                value["value"] = 0.001

    results = change("plane", "unlucky", "evaluation.json", improve)
    rows = {row.label: row for row in results.rows("plane")}
    assert not rows["unlucky"].reference
    difference = results.difference("plane", rows["unlucky"])
    assert difference.high < 1  # looks better than the reference
    assert difference.low <= difference.mean <= difference.high
    assert np.isnan(difference.p)  # and yet nothing is said in its favour
    assert "p = –" in str(tables.difference(results, "plane", rows["unlucky"]))


def test_pairs_stand_the_better_ranked_first(results):
    table = frame(tables.pairs_table(results, "plane"))
    assert len(table) == 4 * 3 / 2  # neither controls nor by-products compete
    told = table.set_index(["Method", "Other"])[""]
    assert told["winner", "slow_100"] == told["equal", "slow_100"] == "better"
    ends = told.get(("winner", "equal")) or told.get(("equal", "winner"))
    assert ends == "≈"
    assert "data draws" in captions.pairs_caption(results, "plane")


def test_of_many_rows_the_best_are_compared_and_the_numbers_have_all(results, folder, monkeypatch):
    every = frame(tables.pairs_table(results, "plane"))
    monkeypatch.setattr(tables, "PAIRED", 3)
    tables.write([results], folder)
    best = {row.label for row in results.rows("plane")[:3]}
    text = (folder / "tables" / "plane-pairs.md").read_text(encoding="utf-8")
    assert "Of 7 models the best 3; the CSV file has all pairs." in text
    pairs = [line.split("|")[1:3] for line in text.splitlines() if line.startswith("| ")][1:]
    assert len(pairs) == 3
    assert all({one.strip(), other.strip()} <= best for one, other in pairs)
    numbers = (folder / "tables" / "plane-pairs.csv").read_text(encoding="utf-8")
    assert len(numbers.splitlines()) == 1 + len(every)


def test_controls_stand_last_without_a_rank(results):
    table = frame(tables.dataset_table(results, "plane"))
    assert table["Rank"].tolist()[-2:] == ["control", "control"]
    overall = frame(tables.overall_table(results))
    assert "truth" not in overall["Method"].tolist()


def test_overall_shows_ranks_and_their_average(results):
    table = frame(tables.overall_table(results)).set_index("Method")
    assert table.loc["slow_100", "Average rank"] == "4.00"
    assert table.loc["slow_100", "plane"] == "4"
    assert table.loc["winner", "Datasets"] == "2 of 2"
    assert "≈" in table.loc["winner", "pixels"]


def test_missing_runs_are_dashes(forget):
    results = forget("plane", "winner", "run.json", "evaluation.json", "pictures.npz")
    row = frame(tables.dataset_table(results, "plane")).set_index("Method").loc["winner"]
    assert row["Status"] == "not run"
    assert set(row.drop("Status")) == {"–"}
    assert frame(tables.overall_table(results)).set_index("Method").loc["winner", "plane"] == "–"
    assert pd.isna(
        tables.dataset_numbers(results, "plane").set_index("method").loc["winner", "rank"]
    )


def test_replicates_without_a_finite_value_are_told(change):
    def spoil(record):
        for value in record["values"]:
            if value["metric"] == "kl" and value["replicate"] < 2:
                value["value"] = float("nan")

    results = change("plane", "winner", "evaluation.json", spoil)
    cells = frame(tables.dataset_table(results, "plane")).set_index("Method")["KL [nats] ↓"]
    assert cells["winner"].endswith("] (4 of 6)")
    assert cells["unlucky"].endswith("] (4 of 6)")  # whose other two failed


@pytest.mark.parametrize("replicate", [0, 5])
def test_values_that_did_not_converge_are_marked(add_part, replicate):
    results = add_part("plane", "winner", "kl", "converged", lambda r: float(r != replicate))
    assert results.parts("plane") == ["kl.gap"]
    table = tables.dataset_table(results, "plane")
    marked = [row for row in frame(table).values if "not converged" in " ".join(row)]
    assert [row[1] for row in marked] == ["winner"]
    for text in (formats.markdown(table), formats.latex(table), formats.plain(table)):
        assert "not converged" in text.partition("Rank")[2]
    numbers = tables.dataset_numbers(results, "plane").set_index("method")
    assert numbers.loc["winner", "kl_converged"] == pytest.approx(5 / 6)
    assert numbers.loc["equal", "kl_converged"] != numbers.loc["equal", "kl_converged"]


def test_what_converged_is_not_marked(add_part):
    results = add_part("plane", "winner", "kl", "converged", lambda r: 1.0)
    assert (
        not frame(tables.dataset_table(results, "plane"))
        .map(lambda t: "converged" in t)
        .any(axis=None)
    )


def test_the_metrics_own_standard_errors_are_kept(change):
    def measure(record):
        for value in record["values"]:
            value["standard_error"] = 0.25 if value["metric"] == "kl" else None

    results = change("plane", "winner", "evaluation.json", measure)
    numbers = tables.dataset_numbers(results, "plane").set_index("method")
    assert numbers.loc["winner", "kl_standard_error"] == 0.25
    assert pd.isna(numbers.loc["winner", "auroc_standard_error"])


def test_csv_round_trip(results):
    table = tables.dataset_numbers(results, "plane")
    again = pd.read_csv(io.StringIO(table.to_csv(index=False)), dtype={"rank": "Int64"})
    for name in ("rank", "kl_mean", "kl_low", "kl_n", "auroc_median", "kl.gap_mean"):
        assert pd.api.types.is_numeric_dtype(again[name])
        pd.testing.assert_series_equal(again[name], table[name], check_dtype=False)


def test_markdown_has_one_line_a_row(results):
    table = frame(tables.dataset_table(results, "plane"))
    text = formats.markdown(tables.dataset_table(results, "plane"))
    assert text.startswith(f"{captions.caption(results, 'plane')}\n\n|")
    assert len([line for line in text.splitlines() if line.startswith("|")]) == 2 + len(table)


@pytest.fixture
def tex(results):
    return tables.dataset_texts(results, "plane")["tex"]


def test_latex_is_balanced_and_escaped(tex):
    assert r"slow\_100" in tex
    assert r"\label{tab:small-plane}" in tex
    assert "resizebox" not in tex
    parts = balanced(tex)
    assert set(parts) == {8}  # a head and seven models
    assert tex.count(r"\midrule") == 2 * len(parts)  # under the head and above the controls


def test_the_best_and_what_ties_with_it_are_bold(tex):
    rows = bold(tex)
    kl = {name: cells[0] for name, cells in rows.items() if name != "Method"}
    assert all(kl[name] for name in ("winner", "equal"))
    assert not any(kl[name] for name in (r"slow\_100", "truth", r"gaussian\_fit"))
    auroc = {name: cells[1] for name, cells in rows.items()}
    assert auroc["winner"]
    assert not auroc[r"slow\_100"]


def test_what_did_not_converge_is_not_bold(add_part):
    results = add_part("plane", "winner", "kl", "converged", lambda r: 0.0)
    rows = bold(tables.dataset_texts(results, "plane")["tex"])
    assert not rows["winner"][0]
    assert rows["equal"][0]


def test_intervals_of_a_paper_are_those_of_the_table(results, tex):
    row = next(r for r in results.rows("plane") if r.label == "slow_100")
    found = results.estimate("plane", row, "auroc")
    line = next(x for x in tex.splitlines() if x.startswith(r"slow\_100 & "))
    half = float(re.search(r"\\ensuremath{\\pm} ([\d.]+)", line)[1])
    assert half == pytest.approx(found.high - found.mean, rel=0.02)
    assert "n = 6 replicates" in tex
    assert "1000 steps of 256 points" in tex
    assert "Ordered by KL" in tex
    assert "(4 of 6)" not in tex  # but in the column of n
    assert "& 4 of 6 &" in tex


def test_a_table_ranked_by_another_metric_is_ordered_by_it(results):
    tex = tables.dataset_texts(results.ranked_by("auroc"), "plane")["tex"]
    assert "Ordered by AUROC" in tex
    assert bold(tex)["winner"][0]


def test_overall_in_bold(results):
    text = tables.overall_texts(results)["tex"]
    balanced(text)
    rows = bold(text)
    assert rows["winner"][2] == ["1"] or rows["equal"][2] == ["1"]
    assert not any(rows[r"slow\_100"])
    assert "approx" not in text.split("tabular")[1]


def test_caption_states_replicates_budget_criterion_and_interval(results):
    text = captions.caption(results, "plane")
    for part in ("6 replicates", "1000 steps of 256 points", "60 s", "Ranked by KL", "Student t"):
        assert part in text
    assert pairwise.COMPARISONS in text


def test_the_floor_of_methods_that_smooth_is_told(results, add_part):
    assert "Floor" not in captions.caption(results, "plane")
    found = add_part("plane", "winner", "kl", "smoothing_floor", lambda replicate: 0.00285)
    assert "Floor of what learns the data under noise, KL from data without: winner 0.00285." in (
        captions.caption(found, "plane")
    )
    assert "Floor" not in captions.caption(found, "pixels")


def test_overall_caption_states_criteria_and_order(results):
    text = captions.overall_caption(results)
    assert "Friedman" in text
    assert "2 datasets are too few" in text
    assert "plane by KL, pixels by AUROC" in text
    assert "missing dataset never helps" in text


def test_few_replicates_are_warned_of(results):
    spec = results.suite.datasets["plane"]
    few = results.suite.model_copy(
        update={"datasets": {"plane": spec.model_copy(update={"replicates": 3})}}
    )
    object.__setattr__(results, "suite", few)
    assert intervals.caution(3) in captions.caption(results, "plane")
