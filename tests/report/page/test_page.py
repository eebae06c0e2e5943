"""The page as text, and what it holds."""

import base64
import gzip
import json
import re
from html.parser import HTMLParser

import pytest
from factories.report import collect

from ebm_bench import report
from ebm_bench.errors import InputError
from ebm_bench.report import budgets, loading
from ebm_bench.report.page import details, leaderboard, views
from ebm_bench.report.statistics import pairwise
from ebm_bench.report.tables import tables

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements with their attributes and text; fails where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text, self.blocks = [], [], [], {}
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] == ["script"]:
            name = self.elements[-1][1].get("id", "").removesuffix("-block")
            self.blocks[name] = self.blocks.get(name, "") + data
        elif "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]

    def block(self, name):
        return json.loads(gzip.decompress(base64.b64decode(self.blocks[name])))


@pytest.fixture(scope="module")
def html(built):
    return (built[0] / "leaderboard.html").read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


@pytest.fixture(scope="module")
def content(page):
    return page.block("content")


def test_build_writes_what_is_announced(built, made_up_names):
    folder, suite, written = built
    announced = [path for paths in report.outputs(suite, folder).values() for path in paths]
    assert written == announced or sorted(written) == sorted(announced)
    assert all(path.stat().st_size > 100 for path in written)


def test_page_needs_nothing_beside_itself(page, html):
    assert not page.all("link")
    assert all("src" not in attrs for attrs in page.all("script"))
    assert all(attrs["href"].startswith("#") for attrs in page.all("a"))
    own = re.sub(r'(<script type="application/gzip"[^>]*>)[^<]*', r"\1", html)
    assert "http:" not in own
    assert "https:" not in own
    assert "url(" not in own
    assert "default-src 'none'" in page.all("meta")[-1]["content"]
    assert len(html) < 10e6


def test_page_escapes_what_the_suite_says(page, html):
    assert "A small <suite> & its results" in " ".join(page.text)
    assert "<suite>" not in html
    assert "<first>" not in html


def test_page_is_the_same_from_the_same_results(results, monkeypatch):
    monkeypatch.setattr(leaderboard, "figures", lambda *_: {})
    shown = budgets.at_all(results)
    first, second = (leaderboard.page(shown, "small.yaml", results.folder) for _ in range(2))
    assert first == second


def test_page_names_every_method_and_dataset(content, built):
    suite = built[1]
    assert list(content["datasets"]) == list(suite.datasets)
    assert list(content["methods"]) == list(suite.methods)
    assert "slow_100 (flow)" in content["rows"]


def test_page_shows_intervals_failures_ties_and_controls(content):
    plane = content["views"]["end"]["datasets"]["plane"]
    assert re.fullmatch(r"\[0\.0\d+, 0\.0\d+\]", plane["rows"]["winner"]["cells"]["kl"]["below"])
    assert plane["rows"]["unlucky"]["status"] == "2 of 6 diverged at step 120"
    assert plane["rows"]["unlucky"]["state"] == "failed"
    assert plane["rows"]["unlucky"]["cells"]["kl"]["note"] == "4 of 6"
    places = {row["label"]: row["place"] for row in plane["by"]["kl"]["rows"]}
    assert sorted(places[name] for name in ("winner", "equal")) == ["1 ≈", "2 ≈"]
    assert list(places)[-2:] == ["truth", "gaussian_fit"]
    assert places["truth"] == "control"


def test_every_budget_and_metric_has_its_tables(content, page):
    texts = page.block("texts")
    assert set(content["views"]) == {"end", "steps", "seconds", "evaluations"}
    assert set(content["views"]["end"]["datasets"]["plane"]["by"]) == {"kl", "auroc"}
    assert set(content["views"]["end"]["overall"]) == {"", "kl", "auroc", "hyvarinen"}
    assert set(content["views"]["seconds"]["datasets"]["pixels"]["by"]) == {"hyvarinen"}
    for budget, view in content["views"].items():
        assert {f"{budget}//{metric}" for metric in view["overall"]} <= set(texts)
        for name, dataset in view["datasets"].items():
            assert {f"{budget}/{name}/{metric}" for metric in dataset["by"]} <= set(texts)
    assert all(set(text) == {"md", "tex", "csv"} for text in texts.values())


def test_a_metric_ranks_by_its_own_direction(content):
    by = content["views"]["end"]["datasets"]["plane"]["by"]
    for metric in ("kl", "auroc"):  # high where KL is low
        assert {row["label"] for row in by[metric]["rows"][:2]} == {"winner", "equal"}
        pair = next(p for p in by[metric]["pairs"] if set(p[:2]) == {"winner", "slow_100"})
        assert pair[:2] == ["winner", "slow_100"]
        assert pair[-1] is True


def test_of_many_rows_the_best_are_compared_in_pairs(results, monkeypatch):
    every = views._ranking(results, "plane", 50)["pairs"]
    found = views._ranking(results, "plane", 3)
    best = {row["label"] for row in found["rows"][:3]}
    assert found["pairs"] == [pair for pair in every if {*pair[:2]} <= best]
    assert len(found["pairs"]) == 3 < len(every)
    shown = budgets.at_all(results)
    assert views.paired(shown) == tables.PAIRED
    monkeypatch.setattr(views, "PAIRS", 31)  # of ten tables, three each
    assert views.paired(shown) == 3


def test_each_table_is_laid_out_once(results, folder, monkeypatch):
    proper, made = tables.dataset_table, []

    def dataset_table(view, dataset):
        made.append((view.unit, dataset, view.suite.datasets[dataset].rank_by))
        return proper(view, dataset)

    monkeypatch.setattr(tables, "dataset_table", dataset_table)
    shown = [view.ranked_by("auroc") for view in budgets.at_all(results)[:1]]
    tables.write(shown, folder)
    views.lay_out(shown)
    assert len(made) == len(set(made)) == 4  # of two datasets, by two metrics that both can rank


def test_page_tells_commands_settings_and_provenance(content, page):
    place = content["methods"]["winner"]["places"]["plane"]
    assert place["command"].startswith(
        "ebm-bench train --suite 'benchmarks/small suite.yaml' --dataset plane --method winner"
        " --out "
    )
    assert ["rate", "0.5", "default"] in place["settings"]
    assert ["learning rate", "0.001", "suite"] in place["settings"]
    assert place["outcomes"][0] == [0, "ok", 1000]
    assert place["tuned"].startswith("Not tuned")
    text = " ".join(page.text)
    for part in ("0123456789ab", "2.9.0", "A processor", "12 of 12"):
        assert part in text


def test_page_tells_the_family_and_the_formula(content):
    told = content["methods"]["slow_100"]
    assert told["family"] == "noise contrastive"
    assert content["methods"]["truth"]["family"] == "control"
    assert told["prose"] == ["More of ``it``, over two lines."]


def test_curves_end_where_a_replicate_failed(content):
    curve = content["methods"]["unlucky"]["places"]["plane"]["curve"]
    assert curve["failed"] == [1, 4]
    assert curve["steps"] == [0, 1, 3, 10, 32, 100, 316, 1000]
    assert [value is None for value in curve["values"][1]] == [False] * 6 + [True] * 2
    assert None not in curve["values"][0]


def test_every_replicate_is_listed(content):
    found = content["replicates"]["plane"]["unlucky"]["kl"]
    assert [replicate for replicate, _ in found] == list(range(6))
    assert [replicate for replicate, value in found if value == "–"] == [1, 4]


def test_figures_are_held_as_svg_and_small_ones_as_pdf(page):
    found = page.block("figures")
    assert set(found["plane-cost"]) == {"svg", "pdf"}
    assert set(found["plane-densities"]) == {"svg"}
    assert "critical-difference" in found
    pictures = page.block("thumbnails")
    assert set(pictures["pixels"]) >= {"data", "winner", "slow_100 (flow)"}
    assert set(pictures["plane"]) >= {"truth", "winner"}


@pytest.mark.parametrize(
    ("room", "texts", "figures"),
    [
        (0, set(), set()),
        (600, {"md"}, {"a-cost", "b-cost"}),
        (9000, {"md", "csv"}, {"a-cost", "b-cost", "a-curves"}),
    ],
)
def test_what_has_no_room_stays_outside_whole_kinds_of_it(room, texts, figures):
    noise = "".join(chr(97 + (number * number * 7919) % 1009 % 26) for number in range(3000))
    made = {
        "texts": {f"end/{name}/kl": {"csv": noise, "md": name} for name in "ab"},
        "figures": {
            "a-cost": {"svg": "1"},
            "b-cost": {"svg": "2"},
            "a-curves": {"svg": noise[:2000]},
        },
    }
    kept = leaderboard.fitting(made, room)
    assert set(kept["figures"]) == figures
    assert {ending for held in kept["texts"].values() for ending in held} == texts
    for name, files in kept["figures"].items():
        assert files == made["figures"][name]


def test_page_says_how_to_read_it(page, content):
    text = " ".join(page.text)
    assert "sliced score matching minimise that very score" in text
    assert "More of it, over two lines." in text
    assert pairwise.COMPARISONS in text
    assert "Student t below 30" in text
    assert "missing dataset never helps" in text
    assert content["metrics"]["kl"]["meaning"] == "The kl & its <first> line."


def test_page_says_how_samples_are_drawn(content):
    about = {name: told["about"] for name, told in content["datasets"].items()}
    assert "exactly from flows, Gaussians and the truth" in about["plane"]
    assert "by walk (steps=7) from all other energies" in about["pixels"]
    assert "on a grid from all other energies" in about["plane"]


@pytest.fixture
def read(folder, monkeypatch):
    """Render the page of changed results."""
    monkeypatch.setattr(leaderboard, "figures", lambda *_: {})
    monkeypatch.setattr(leaderboard, "library", lambda name: "")
    return lambda results: Page(leaderboard.page(budgets.at_all(results), "small.yaml", folder))


def _end(page, dataset="plane"):
    return page.block("content")["views"]["end"]["datasets"][dataset]


def test_page_marks_what_did_not_converge(add_part, read):
    cells = _end(read(add_part("plane", "winner", "kl", "converged", lambda r: 0.0)))["rows"]
    noted = [metric for metric, cell in cells["winner"]["cells"].items() if "note" in cell]
    assert noted == ["kl", "kl.gap"]
    assert cells["winner"]["cells"]["kl"]["note"] == "not converged"


def test_what_did_not_converge_has_not_won(forget, add_part, read):
    forget("plane", "equal", "run.json", "evaluation.json", "pictures.npz")
    results = add_part("plane", "winner", "kl", "converged", lambda r: float(r != 0))
    by = _end(read(results))["by"]["kl"]
    assert (by["best"], by["won"], by["doubtful"]) == (["winner"], False, True)


def test_a_by_product_that_escaped_alone_says_so_beside_its_values(change):
    def escape(record):
        for value in record["values"]:
            if value["model"] == "flow" and value["replicate"] == 2:
                value["outside"] = 0.9

    found = details.replicates(change("plane", "slow_100", "evaluation.json", escape))["plane"]
    told = [text for _, text in found["slow_100 (flow)"]["kl"]]
    assert [text.endswith(" (escaped)") for text in told] == [r == 2 for r in range(6)]
    assert not any("escaped" in text for _, text in found["slow_100"]["kl"])


def test_page_shows_the_metrics_own_standard_error(change, read):
    def measure(record):
        for value in record["values"]:
            value["standard_error"] = 0.25

    rows = _end(read(change("plane", "winner", "evaluation.json", measure)))["rows"]
    titled = {label for label, row in rows.items() if "title" in row["cells"]["kl"]}
    assert titled == {"winner"}
    assert rows["winner"]["cells"]["kl"]["title"].endswith("value: 0.250")


def test_page_names_the_best_only_where_it_won(forget, change, read):
    forget("pixels", "equal", "run.json", "evaluation.json", "pictures.npz")
    results = forget("plane", "equal", "run.json", "evaluation.json", "pictures.npz")
    page = read(results)
    found = [_end(page, name)["by"][by] for name, by in (("plane", "kl"), ("pixels", "auroc"))]
    assert [(one["won"], one["best"]) for one in found] == [(True, ["winner"])] * 2

    def fail(record):
        record["outcomes"][0]["status"] = "diverged"

    ranked = _end(read(change("plane", "winner", "run.json", fail)))["by"]["kl"]
    assert not ranked["won"]
    assert ranked["best"][0] == "winner"


def test_missing_runs_are_counted(forget, read):
    forget("plane", "winner", "run.json", "evaluation.json", "pictures.npz")
    page = read(forget("pixels", "winner", "evaluation.json"))
    text = " ".join(page.text)
    assert "1 of 12 runs are missing" in text
    assert "plane/winner" in text
    assert "pixels/winner" in text
    assert _end(page)["rows"]["winner"]["state"] == "missing"
    assert _end(page, "pixels")["rows"]["winner"]["status"] == "not evaluated"
    assert "outcomes" not in page.block("content")["methods"]["winner"]["places"]["plane"]


def test_a_page_where_all_failed(change, read):
    def fail(record):
        for outcome in record["outcomes"]:
            outcome["status"] = "diverged"

    for method in ("winner", "equal", "slow_100", "unlucky"):
        results = change("plane", method, "run.json", fail)
    view = _end(read(results))
    assert view["by"]["kl"]["best"] == []
    assert {row["state"] for row in view["rows"].values()} == {"ok", "failed"}


def test_what_ran_out_of_time_has_not_failed(change, forget, read):
    def stop(record):
        record["outcomes"][0]["status"] = "timeout"

    change("pixels", "winner", "run.json", stop)
    change("plane", "unlucky", "run.json", stop)
    rows = _end(read(change("plane", "winner", "run.json", stop)))["rows"]
    assert rows["winner"]["state"] == "early"
    assert rows["winner"]["cells"]["kl"]["failed"] == 0
    assert rows["unlucky"]["state"] == "failed"
    page = read(forget("pixels", "winner", "evaluation.json"))
    assert _end(page, "pixels")["rows"]["winner"]["state"] == "missing"
    states = {row["state"] for row in _end(page)["rows"].values()}
    options = {attrs.get("value") for attrs in page.all("option")}
    assert states | {"early"} <= options


def test_a_page_without_any_result(suite, tmp_path, read):
    nowhere = tmp_path / "nowhere"
    collect(suite, nowhere)
    page = read(loading.load(suite, nowhere))
    assert "12 of 12 runs are missing" in " ".join(page.text)
    assert {row["state"] for row in _end(page)["rows"].values()} == {"missing"}


def test_first_lines_are_the_overall_ranking(built):
    lines = report.first_lines(built[0]).splitlines()
    assert lines[0].split()[:3] == ["Method", "Average", "rank"]
    assert {lines[2].split()[0], lines[3].split()[0]} == {"winner", "equal"}
    assert lines[6] == ""
    assert lines[7].startswith("Kendall's τ")
    assert len(lines) == 2 + 4 + 2


def test_first_lines_before_the_report(tmp_path):
    with pytest.raises(InputError, match="make the report first"):
        report.first_lines(tmp_path)
