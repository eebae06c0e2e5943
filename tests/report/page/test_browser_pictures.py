"""Downloads, plots and the look of the page in a real browser."""

import io
import re

import pandas as pd
import pytest
from factories.browser import methods, sort_by, waiting
from factories.report import KL, collect, fabricate, make_suite, make_up_names
from PIL import Image

from ebm_bench.report import budgets, loading
from ebm_bench.report.baselines import Baseline
from ebm_bench.report.page import leaderboard


def test_the_table_is_downloaded_as_the_folder_has_it(visit, built):
    page = visit("data=plane")

    def load(name):
        with page.expect_download() as found:
            page.get_by_role("button", name=name, exact=True).click()
        return found.value.suggested_filename, found.value.path().read_text()

    for text, ending in (("CSV", "csv"), ("LaTeX", "tex"), ("Markdown", "md")):
        name, content = load(text)
        assert name == f"plane.{ending}"
        assert content == (built[0] / "tables" / name).read_text()
    page.select_option("[name=at]", "seconds")
    name, content = load("CSV")
    assert content == (built[0] / "tables" / name).read_text()
    page.select_option("[name=at]", "end")
    page.select_option("[name=metric]", "auroc")
    name, content = load("CSV")
    assert name == "plane-auroc.csv"
    assert pd.read_csv(io.StringIO(content)).columns[-9].startswith("kl")


def test_figures_are_downloaded_as_svg_png_and_pdf(visit, built):
    page = visit("data=plane")

    def load(name):
        page.locator(f"button[aria-label='{name}']").wait_for()
        with page.expect_download() as found:
            page.locator(f"button[aria-label='{name}']").click()
        return found.value.path().read_bytes()

    assert load("plane-cost as SVG") == (built[0] / "figures" / "plane-cost.svg").read_bytes()
    assert load("plane-cost as PDF") == (built[0] / "figures" / "plane-cost.pdf").read_bytes()
    assert min(Image.open(io.BytesIO(load("plane-cost as PNG"))).size) > 1000
    assert b"image/jpeg" in load("plane-densities as SVG")
    pdf = load("plane-densities as PDF")
    assert pdf.startswith(b"%PDF-1.4")
    assert pdf[int(pdf.split(b"startxref\n")[1].split()[0]) :].startswith(b"xref\n")
    assert b"/DCTDecode" in pdf


def test_the_scatter_shows_intervals_and_the_pareto_front(visit):
    page = visit("data=plane")
    assert "unlucky, winner" in page.inner_text("#front")

    def traces():
        page.locator("#cost-plot").scroll_into_view_if_needed()
        page.wait_for_selector("#cost-plot .main-svg")
        return page.evaluate(
            """document.getElementById('cost-plot').data
              .map(({name, x, error_y}) => [name, x[0], !!error_y])"""
        )

    found = {name: (x, bar) for name, x, bar in traces()}
    assert found["winner"] == (31.0, True)
    assert {"Pareto front", "control: truth"} <= set(found)
    page.select_option("[name=cost]", "evaluations")
    found = {name: x for name, x, _ in traces()}
    assert found["winner"] == 300_000
    page.select_option("[name=against]", "seconds")
    page.locator("#curves-plot").scroll_into_view_if_needed()
    page.wait_for_selector("#curves-plot .main-svg")
    assert "energy evaluations" not in page.locator("#curves-plot").text_content()


def test_seconds_of_another_machine_are_told_and_not_drawn(visit, folder, change, monkeypatch):
    def move(record):
        record["provenance"]["machine"] = "Another processor"

    monkeypatch.setattr(leaderboard, "figures", lambda *_: {})
    results = change("plane", "equal", "run.json", move)
    path = folder / "leaderboard.html"
    path.write_text(leaderboard.page(budgets.at_all(results), "suite.yaml", folder))
    page = visit("data=plane", path=path)
    assert "61.0 (M2)" in page.locator("#table tr", has_text="equal").inner_text()

    def drawn(plot):
        page.locator(f"#{plot}").scroll_into_view_if_needed()
        page.wait_for_selector(f"#{plot} .main-svg")
        return set(page.evaluate(f"document.getElementById('{plot}').data.map((d) => d.name)"))

    assert "winner" in drawn("cost-plot") - {"equal"} == drawn("cost-plot")
    assert {"winner", "equal"} <= drawn("curves-plot")
    page.select_option("[name=against]", "seconds")
    assert "winner" in drawn("curves-plot") - {"equal"} == drawn("curves-plot")


METHOD = "data=plane&open=winner"
COMPARISON = "data=plane&compare=winner,equal,unlucky&show=compare"


@pytest.mark.parametrize("fragment", ["", "data=plane", METHOD, COMPARISON])
def test_a_phone_scrolls_down_alone(visit, fragment):
    page = visit(fragment, width=390, height=844, has_touch=True)
    assert page.evaluate("document.documentElement.scrollWidth") == 390
    dialog = page.locator("dialog[open]")
    if fragment.count("&"):
        assert dialog.evaluate("d => d.scrollWidth - d.clientWidth") == 0


CONTRAST = """selectors => {
  const channel = (c) => (c <= 10 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4);
  const weights = [0.2126, 0.7152, 0.0722];
  const light = (rgb) => weights.reduce((sum, weight, i) => sum + weight * channel(rgb[i]), 0);
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const back = (element) => {
    for (; element; element = element.parentElement) {
      const colour = numbers(getComputedStyle(element).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const contrast = (element) => {
    const [a, b] = [light(numbers(getComputedStyle(element).color)), light(back(element))];
    return (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  };
  const found = (selector) => [...document.querySelectorAll(selector)].slice(0, 9);
  return selectors.flatMap((selector) => found(selector).map((e) => [selector, contrast(e)]));
}"""
TEXTS = [
    "h1", ".soft", "nav a", "nav a[aria-current]", "#meaning", ".hint", "#lead", ".alarm",
    "thead th", "thead small", "tr.best td", "tr.best small", "tr.best .link",
    "tr.control small", "tr.control .link", "button", "select", "figcaption", "button.main",
]  # fmt: skip


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_legible_in_both_schemes(visit, scheme):
    page = visit("data=plane&compare=winner,equal", color_scheme=scheme)
    found = page.evaluate(CONTRAST, TEXTS)
    assert {selector for selector, _ in found} == set(TEXTS)
    assert [told for told in found if told[1] < 4.5] == []
    back = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (back == "rgb(255, 255, 255)") == (scheme == "light")


def test_the_page_without_any_result(visit, tmp_path, monkeypatch):
    make_up_names(monkeypatch)
    suite = make_suite()
    collect(suite, tmp_path)
    monkeypatch.setattr(leaderboard, "figures", lambda *_: {})
    path = tmp_path / "leaderboard.html"
    shown = budgets.at_all(loading.load(suite, tmp_path))
    path.write_text(leaderboard.page(shown, "small.yaml", tmp_path))
    for fragment in ("", "data=plane", "data=plane&open=winner", "at=seconds&data=pixels",
                     "compare=winner,equal&show=compare"):  # fmt: skip
        page = visit(fragment, path=path)
        if fragment in ("", "data=plane"):
            assert "Nothing is ranked yet" in page.inner_text("#lead")


def test_a_table_of_many_methods_has_pages(visit, tmp_path, monkeypatch):
    make_up_names(monkeypatch)
    names = [f"m{number:02}" for number in range(60)]
    for number, name in enumerate(names):
        monkeypatch.setitem(KL, (name, "energy"), (0.02 * 1.1**number, 30.0))
    suite = make_suite(truth=True, **dict.fromkeys(names, False))
    fabricate(suite, tmp_path)
    monkeypatch.setattr(leaderboard, "figures", lambda *_: {})
    monkeypatch.setattr(leaderboard, "SIZE", 0)
    path = tmp_path / "leaderboard.html"
    shown = budgets.at_all(loading.load(suite, tmp_path))
    path.write_text(leaderboard.page(shown, "small.yaml", tmp_path))
    expect = waiting()

    page = visit("data=plane&compare=m00,m55", path=path)
    turn = page.locator("#table .dt-paging-button.next")
    assert len(methods(page)) == 50
    assert "1 to 50 of 61 rows" in page.inner_text("#table")
    assert page.get_by_label("Compare m00").is_checked()
    turn.click()
    expect(page.locator("#table tbody tr")).to_have_count(11)
    assert methods(page)[-1] == "truth"
    assert page.get_by_label("Compare m55").is_checked()
    page.get_by_role("button", name="Clear").click()
    page.locator("#table .dt-paging-button.previous").click()
    expect(page.get_by_label("Compare m00")).not_to_be_checked()
    # Sorting begins at the first page, and filters and small tables need none.
    turn.click()
    expect(page.locator("#table tbody tr")).to_have_count(11)
    sort_by(page, "Method")
    assert methods(page)[:2] == ["m00", "m01"]
    page.select_option("[name=family]", "control")
    assert methods(page) == ["truth"]
    assert turn.count() == 0
    # What has no room in the page is in its folder, and pictures are shown one by one.
    link = page.get_by_role("link", name="CSV (in the folder of the page)")
    assert link.get_attribute("href") == "tables/plane.csv"
    assert page.locator("#figure-plane-densities img").count() == 61
    link = page.locator("#figure-plane-cost").get_by_role("link", name="PDF")
    assert link.get_attribute("href") == "figures/plane-cost.pdf"
    page.select_option("[name=metric]", "auroc")
    assert page.locator("#table-downloads a").count() == 0


def test_links_to_many_datasets_leave_room_for_who_leads_on_a_phone(visit):
    page = visit(width=390, height=844)
    page.evaluate(
        "() => { const bar = document.getElementById('datasets');"
        " for (let i = 0; i < 50; i++) bar.append(bar.lastChild.cloneNode(true)); }"
    )
    assert page.locator("#lead").bounding_box()["y"] < 700


def test_no_leader_where_no_dataset_counts(visit, suite, folder, monkeypatch):
    monkeypatch.setattr(leaderboard, "figures", lambda *_: {})
    shown = loading.load(suite, folder)
    found = {name: Baseline(["gaussian_fit"], unbeaten=True) for name in suite.datasets}
    shown.__dict__["baselines"] = found
    path = folder / "leaderboard.html"
    path.write_text(leaderboard.page(budgets.at_all(shown), "small.yaml", folder))
    text = visit("", path=path).inner_text("#lead")
    assert text.startswith("Not in the average rank: plane, pixels")
    assert "First" not in text


def test_comparisons_count_the_datasets_that_count(visit, add_part, folder, monkeypatch):
    monkeypatch.setattr(leaderboard, "figures", lambda *_: {})
    for method in ("winner", "equal"):
        shown = add_part("plane", method, "kl", "converged", lambda r: 0.0)
    shown.__dict__["baselines"] = {"plane": Baseline(), "pixels": Baseline(unbeaten=True)}
    path = folder / "leaderboard.html"
    path.write_text(leaderboard.page(budgets.at_all(shown), "small.yaml", folder))
    page = visit("data=plane&compare=winner,slow_100&show=compare", path=path)
    assert "(1 of 1 datasets)" in page.inner_text("#comparison")
    assert re.search(r"The value of (winner|equal) did not converge", page.inner_text("#lead"))
