import re
import subprocess
import sys
from html.parser import HTMLParser

import pytest

from ebm_bench import report
from ebm_bench.errors import InputError
from ebm_bench.report import leaderboard, statistics

VOID = {"meta", "img", "link", "br", "hr", "input"}


class Page(HTMLParser):
    """Elements with their attributes and text; fails where a tag is not closed."""

    def __init__(self, text):
        super().__init__()
        self.open, self.elements, self.text = [], [], []
        self.feed(text)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if "script" not in self.open and "style" not in self.open:
            self.text.append(data)

    def all(self, tag):
        return [attrs for name, attrs in self.elements if name == tag]


@pytest.fixture(scope="module")
def html(built):
    return (built[0] / "leaderboard.html").read_text()


@pytest.fixture(scope="module")
def page(html):
    return Page(html)


def test_build_writes_what_is_announced(built, made_up_names):
    folder, suite, written = built
    announced = [path for paths in report.outputs(suite, folder).values() for path in paths]
    assert written == announced or sorted(written) == sorted(announced)
    assert all(path.stat().st_size > 100 for path in written)


def test_page_needs_nothing_beside_itself(page, html):
    assert not page.all("link")
    assert all("src" not in attrs for attrs in page.all("script"))
    assert all(attrs["src"].startswith("data:image/png;base64,") for attrs in page.all("img"))
    assert all(attrs["href"].startswith("#") for attrs in page.all("a"))
    assert "http" not in re.sub(r"base64,[^\"]*", "", html)
    assert "url(" not in html
    assert len(html) < 10e6


def test_links_lead_somewhere(page):
    targets = {attrs["id"] for _, attrs in page.elements if "id" in attrs}
    assert {attrs["href"][1:] for attrs in page.all("a")} <= targets


def test_page_names_every_method_and_dataset(page, built):
    text = " ".join(page.text)
    suite = built[1]
    assert all(name in text for name in [*suite.methods, *suite.datasets, "slow_100 (flow)"])


def test_page_escapes_what_the_suite_says(page, html):
    assert "A small <suite> & its results" in " ".join(page.text)
    assert "<suite>" not in html
    assert "<first>" not in html


def test_page_shows_intervals_failures_ties_and_controls(page):
    text = " ".join(page.text)
    assert re.search(r"\[0\.0\d+, 0\.0\d+\]", text)
    assert "2 of 6 diverged at step 120" in text
    assert re.search(r"\d ≈", text)
    assert text.count("Controls, not ranked") == 3  # two datasets, and further quantities of one


def test_page_tells_commands_settings_and_provenance(page):
    text = " ".join(page.text)
    assert (
        "ebm-bench train --suite 'benchmarks/small suite.yaml' --dataset plane --method winner"
        " --out " in text
    )
    assert "rate = 0.5" in text
    for part in ("0123456789ab", "2.9.0", "A processor", "12 of 12"):
        assert part in text


def test_heads_can_be_sorted_by_keyboard(page, html):
    heads = [attrs for attrs in page.all("th") if attrs.get("scope") == "col"]
    assert len(page.all("button")) == len(heads) > 0
    assert "aria-sort" in html
    values = [attrs["data-value"] for attrs in page.all("td")]
    assert any(re.fullmatch(r"0\.\d+", value) for value in values)


def test_every_table_is_captioned_and_every_figure_described(page):
    assert len(page.all("caption")) == len(page.all("table")) == 4
    assert all(attrs["alt"] for attrs in page.all("img"))
    assert len(page.all("img")) == len(page.all("figcaption")) == 6


def test_page_says_how_to_read_it(page):
    text = " ".join(page.text)
    assert "sliced score matching minimise that very score" in text
    assert "More of it, over two lines." in text
    assert "by KL" in text  # under the heads of the overall table
    assert "by AUROC" in text
    assert statistics.COMPARISONS in text
    assert "Student t below 30" in text
    assert "missing dataset never helps" in text


def test_page_says_how_samples_are_drawn(page):
    text = " ".join(page.text)
    assert "exactly from flows, Gaussians and the truth" in text
    assert "by walk (steps=7) from all other energies" in text
    assert "on a grid from all other energies" in text


@pytest.fixture
def read(folder, monkeypatch):
    """Render the page of changed results."""
    monkeypatch.setattr(leaderboard, "_embed", lambda path: "data:,")
    return lambda results: Page(leaderboard.page(results, "small.yaml", folder))


def test_page_marks_what_did_not_converge(add_part, read):
    text = " ".join(read(add_part("plane", "winner", "kl", "converged", lambda r: 0.0)).text)
    assert len(re.findall(r"\]\s+not converged", text)) == 2  # the metric and its further part


def test_page_shows_the_metrics_own_standard_error(change, read):
    def measure(record):
        for value in record["values"]:
            value["standard_error"] = 0.25

    page = read(change("plane", "winner", "evaluation.json", measure))
    titled = [attrs["title"] for attrs in page.all("td") if "title" in attrs]
    assert titled == ["standard error of one replicate's value: 0.250"] * 3


def test_page_names_the_best_only_where_it_won(forget, change, read):
    forget("pixels", "equal", "run.json", "evaluation.json", "pictures.npz")
    results = forget("plane", "equal", "run.json", "evaluation.json", "pictures.npz")
    assert len(re.findall(r"Best:\s+winner", " ".join(read(results).text))) == 2

    def fail(record):
        record["outcomes"][0]["status"] = "diverged"

    text = " ".join(read(change("plane", "winner", "run.json", fail)).text)
    assert len(re.findall(r"Best:\s+winner", text)) == 1
    assert re.search(r"No clear winner; ranked first or not told apart from it:\s+winner,", text)


def test_missing_runs_are_counted(forget, folder, monkeypatch):
    forget("plane", "winner", "run.json", "evaluation.json", "pictures.npz")
    results = forget("pixels", "winner", "evaluation.json")
    monkeypatch.setattr(leaderboard, "_embed", lambda path: "data:,")
    text = " ".join(Page(leaderboard.page(results, "small.yaml", folder)).text)
    assert "1 of 12 runs are missing" in text
    assert "plane/winner" in text
    assert "pixels/winner" in text


def test_first_lines_are_the_overall_ranking(built):
    lines = report.first_lines(built[0]).splitlines()
    assert lines[0].split()[:3] == ["Method", "Average", "rank"]
    assert {lines[2].split()[0], lines[3].split()[0]} == {"winner", "equal"}
    assert len(lines) == 2 + 5


def test_first_lines_before_the_report(tmp_path):
    with pytest.raises(InputError, match="make the report first"):
        report.first_lines(tmp_path)


def test_outputs_follow_from_the_suite_alone(suite, tmp_path):
    found = report.outputs(suite, tmp_path / "nowhere")
    names = {path.name for path in found["figures"]}
    assert "plane-densities.png" in names
    assert "pixels-samples.pdf" in names
    assert "pixels-densities.png" not in names
    assert found["page"] == [tmp_path / "nowhere" / "leaderboard.html"]
    tables = {path.name for path in found["tables"]}
    assert tables >= {"plane.tex", "overall.csv", "plane-seconds.md", "plane-pairs.csv"}
    assert tables >= {f"overall-{unit}.tex" for unit in ("steps", "seconds", "evaluations")}
    assert "critical-difference.png" in names


def test_a_diagram_needs_two_datasets_and_three_methods(suite, tmp_path):
    def diagrams(suite):
        figures = report.outputs(suite, tmp_path)["figures"]
        return [path.name for path in figures if path.name.startswith("critical")]

    one = suite.model_copy(update={"datasets": {"plane": suite.datasets["plane"]}})
    names = ["truth", "winner", "equal"]
    two = suite.model_copy(update={"methods": {n: suite.methods[n] for n in names}})
    partial = suite.methods["slow_100"].model_copy(update={"datasets": ["plane"]})
    three = suite.model_copy(update={"methods": {**two.methods, "slow_100": partial}})
    assert diagrams(suite) == ["critical-difference.png", "critical-difference.pdf"]
    assert diagrams(one) == diagrams(two) == diagrams(three) == []


def test_densities_are_drawn_in_two_dimensions_only(suite):
    spec = suite.datasets["plane"]
    wide = suite.model_copy(update={"datasets": {"space": spec}})
    flat = spec.model_copy(update={"settings": {"dimension": 2}})
    narrow = suite.model_copy(update={"datasets": {"space": flat}})
    assert not any("densities" in p.name for p in report.outputs(wide, "x")["figures"])
    assert any("densities" in p.name for p in report.outputs(narrow, "x")["figures"])


def test_outputs_import_nothing_heavy():
    code = (
        "import sys, ebm_bench.report; "
        "sys.exit(any(m in sys.modules for m in ('torch', 'pandas', 'matplotlib', 'scipy')))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_report_does_without_torch():
    code = (
        "import sys, ebm_bench.report.leaderboard, ebm_bench.report.figures; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
