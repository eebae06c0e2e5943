"""The page in a real browser: what a reader does with it, by mouse and keyboard."""

import io
import os
import re
import shutil

import pandas as pd
import pytest
from factories.report import KL, collect, fabricate, make_suite, make_up_names
from PIL import Image

from ebm_bench.report import budgets, loading
from ebm_bench.report.baselines import Baseline
from ebm_bench.report.page import leaderboard

FOUND = shutil.which("chromium") or shutil.which("chromium-browser")
if not FOUND and os.environ.get("EBM_BENCH_BROWSER") != "required":
    pytest.skip(
        "the page is not tested in a browser: there is no chromium (on Debian: apt install "
        "chromium)",
        allow_module_level=True,
    )


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    assert FOUND, "the page must be tested in a browser, and there is no chromium"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=FOUND, args=["--no-sandbox", "--disable-gpu"]
        )
        yield browser
        browser.close()


def waiting():
    """Playwright's assertions, which wait until they hold, on a busy machine too."""
    from playwright.sync_api import expect

    expect.set_options(timeout=120_000)
    return expect


@pytest.fixture
def visit(browser, built):
    """Open the page at a fragment; fails where it complains or asks for anything."""
    contexts, problems = [], []

    def complain(message):
        if message.type in ("error", "warning"):
            problems.append(message.text)

    def visit(fragment="", path=built[0] / "leaderboard.html", width=1200, height=900, **settings):
        context = browser.new_context(
            viewport={"width": width, "height": height}, accept_downloads=True,
            reduced_motion="reduce", **settings,
        )  # fmt: skip
        context.set_default_timeout(120_000)
        contexts.append(context)
        context.on(
            "request",
            lambda request: (
                request.url.startswith(("file:", "data:", "blob:"))
                or problems.append(f"asks for {request.url}")
            ),
        )
        page = context.new_page()
        page.on("console", complain)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.goto(f"file://{path}#{fragment}")
        ready(page)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert problems == []


def ready(page):
    page.wait_for_selector("html[data-ready]", state="attached")


def methods(page):
    return page.locator("#table tbody th .link").all_inner_texts()


def sort_by(page, name):
    page.locator("#table thead th", has_text=name).first.locator("[role=button]").click()


def test_the_page_says_who_leads_and_how_sure_that_is(visit):
    page = visit()
    assert page.locator("h1").inner_text() == "A small <suite> & its results"
    assert re.match(
        r"No clear winner\. First: (winner|equal), average rank 1\.\d+", page.inner_text("#lead")
    )
    told = page.inner_text("#answers")
    assert "too few datasets" in told
    for question in ("By how much?", "How sure?", "Would more training change it?", "budget?"):
        assert question in told
    assert set(methods(page)[:2]) == {"winner", "equal"}
    assert (
        page.locator("#figure-critical-difference img").evaluate(
            "i => i.decode().then(() => i.naturalWidth)"
        )
        > 100
    )
    page.get_by_role("link", name="plane").click()
    assert "No clear winner. Ranked first: " in page.inner_text("#lead")
    assert "Not every replicate ended well: unlucky." in page.inner_text("#lead")
    assert page.locator("nav [aria-current=page]").inner_text() == "plane"


def test_tables_show_intervals_ties_n_failures_and_status(visit):
    page = visit("data=plane")
    row = page.locator("#table tr", has_text="unlucky")
    assert re.search(r"\[0\.0\d+, 0\.0\d+\]", row.inner_text())
    assert "2 of 6 diverged at step 120" in row.inner_text()
    assert "4 of 6" in row.inner_text()
    assert [row.locator("td").nth(i).inner_text() for i in (4, 5)] == ["4", "2"]
    assert page.locator("#table td.best", has_text="≈").count() == 2
    assert "reference" in page.inner_text("#table")
    assert "p < 0.001" in page.inner_text("#table")
    assert page.locator("#table table caption").count() == 1
    assert page.locator("#table tbody th[scope=row]").count() == 7


def test_every_column_sorts_and_controls_stay_beneath(visit):
    expect = waiting()

    page = visit("data=plane")
    heads = page.locator("#table thead th").all_inner_texts()
    assert len(heads) == 11
    for i in range(len(heads)):
        head = page.locator("#table thead th").nth(i)
        head.locator("[role=button]").click()
        expect(head).to_have_attribute("aria-sort", re.compile("ascending|descending"))
        order = head.get_attribute("aria-sort")
        assert set(methods(page)[-2:]) == {"truth", "gaussian_fit"}
        cells = page.locator(f"#table tr:not(.control) > :nth-child({i + 1})[data-order]")
        orders = cells.evaluate_all("cells => cells.map((cell) => cell.dataset.order)")
        values = [float(order) for order in orders if i and order]
        assert values == sorted(values, reverse=order == "descending")
    assert page.locator("#table [aria-sort]").count() == 1


def test_rows_are_filtered_by_family_and_status(visit):
    page = visit("data=plane")
    page.select_option("[name=family]", "noise contrastive")
    assert methods(page) == ["slow_100", "slow_100 (flow)"]  # by-products have no rank
    page.select_option("[name=family]", "control")
    assert methods(page) == ["truth", "gaussian_fit"]
    page.select_option("[name=family]", "")
    page.select_option("[name=status]", "failed")
    assert methods(page) == ["unlucky"]
    page.select_option("[name=status]", "missing")
    assert "No method passes the filters" in page.inner_text("#table")


def test_budget_and_metric_switch(visit):
    page = visit("data=pixels")
    assert "Higher is better" in page.inner_text("#meaning")
    page.select_option("[name=metric]", "hyvarinen")
    assert "by Hyvärinen score" in page.inner_text("#shown")
    assert "Lower is better" in page.inner_text("#meaning")
    assert page.locator("#table th.ranking").inner_text().startswith("Hyvärinen score")
    page.select_option("[name=at]", "seconds")
    assert "equal seconds" in page.inner_text("#shown")
    assert "the most that every method reached (unlucky ended there)" in page.inner_text("#about")
    assert "slow_100 (flow)" not in methods(page)  # curves do not follow by-products
    assert page.locator("[name=metric] option").count() == 1
    for budget in ("steps", "evaluations"):
        page.select_option("[name=at]", budget)
        assert page.locator("#table tbody tr").count() == 6
    page.select_option("[name=at]", "end")
    page.get_by_role("link", name="Overall").click()
    page.select_option("[name=metric]", "kl")
    assert "pixels" not in page.inner_text("#table thead")


def test_a_method_is_told_in_full(visit):
    page = visit("data=plane")
    page.get_by_role("button", name="unlucky").click()
    dialog = page.get_by_role("dialog")
    text = dialog.inner_text()
    for part in (
        "The fitting & its <first> line.", "More of", "score matching, objective fitting",
        "2 of 6 diverged at step 120", "diverged at step 120", "Not tuned", "8000 parameters",
        "ebm-bench train --suite 'benchmarks/small suite.yaml' --dataset plane --method unlucky",
        "0123456789ab", "A processor", "control: truth",
    ):  # fmt: skip
        assert part in text
    assert dialog.locator(".formula").inner_text() == "it"
    paper = dialog.get_by_role("link", name="arXiv:2004.05675")
    assert paper.get_attribute("href") == "https://arxiv.org/abs/2004.05675"
    assert dialog.locator("table[role], table").count() >= 2
    assert dialog.locator("caption", has_text="Every replicate of unlucky").count() == 1
    assert page.locator(".pictures img").evaluate_all(
        """images => Promise.all(images.map((image) => image.decode()))
          .then(() => images.map((image) => image.naturalWidth))"""
    ) == [128, 128]
    dialog.locator("#method-steps").scroll_into_view_if_needed()
    page.wait_for_selector("#method-steps .main-svg")
    page.select_option("dialog [name=on]", "pixels")
    page.wait_for_selector("dialog img[alt='pixels: samples of data']")
    page.go_back()
    assert not dialog.is_visible()


def test_the_command_is_copied(visit):
    page = visit("data=plane&open=winner", permissions=["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the command").click()
    page.wait_for_selector("button:has-text('Copied')")
    assert "--method winner --out my-runs" in page.evaluate("navigator.clipboard.readText()")


def test_methods_are_compared_side_by_side(visit):
    page = visit("data=plane")
    page.get_by_label("Compare winner").check()
    assert page.get_by_role("button", name="Tick another to compare").is_disabled()
    page.get_by_label("Compare slow_100", exact=True).check()
    page.get_by_role("button", name="Compare", exact=True).click()
    dialog = page.get_by_role("dialog")
    assert dialog.locator("table").first.locator("thead th").all_inner_texts() == [
        "",
        "winner",
        "slow_100",
    ]
    pair = dialog.locator("tr", has_text="winner to slow_100").inner_text()
    assert "< 0.001" in pair
    assert "winner is better" in pair
    assert dialog.locator(".pictures figcaption").all_inner_texts() == [
        "control: truth",
        "winner",
        "slow_100",
    ]
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Clear").click()
    assert not page.locator("#selection").is_visible()


def test_a_link_keeps_the_whole_view(visit):
    page = visit("data=plane")
    page.select_option("[name=metric]", "auroc")
    page.select_option("[name=family]", "score matching")
    page.select_option("[name=cost]", "evaluations")
    sort_by(page, "Training")
    page.get_by_label("Compare equal").check()
    page.get_by_role("button", name="winner").click()
    page.wait_for_selector("dialog[open]")
    link = page.evaluate("location.hash").removeprefix("#")
    page.reload()
    for again in (page, visit(link)):
        ready(again)
        assert again.locator("dialog[open] h2").inner_text() == "winner"
        assert again.input_value("[name=metric]") == "auroc"
        assert again.input_value("[name=family]") == "score matching"
        assert again.input_value("[name=cost]") == "evaluations"
        assert methods(again) == ["unlucky", "winner", "equal"]
        assert again.locator("#table [aria-sort]").inner_text().startswith("Training")
        assert again.get_by_label("Compare equal").is_checked()


def test_an_address_that_changes_the_order_alone_is_followed(visit):
    expect = waiting()

    page = visit("data=plane&compare=winner")
    first = page.locator("#table thead th").first
    for way in ("descending", "ascending"):
        page.evaluate(f"location.hash = 'data=plane&compare=winner&sort=method-{way[:-6]}'")
        expect(first).to_have_attribute("aria-sort", way)
    assert methods(page)[:2] == ["equal", "slow_100"]
    # What a head has sorted is not drawn again, or the keyboard would lose its place.
    sort_by(page, "Training")
    box = page.get_by_label("Compare equal")
    box.focus()
    page.keyboard.press("Space")
    expect(page.locator("#selected")).to_have_text("2 chosen: winner, equal")
    assert box.evaluate("box => box === document.activeElement")


def test_an_address_that_names_what_is_not_there_is_forgiven(visit):
    page = visit(
        "data=nowhere&at=never&metric=none&open=nobody&compare=nobody,winner&sort=x-asc&show=compare"
    )
    assert page.inner_text("#shown") == "Overall, end of training"
    assert page.locator("dialog[open]").count() == 0


# Names that every object of JavaScript has.
@pytest.mark.parametrize("part", ["data", "at", "metric", "open", "compare", "data=plane&metric",
                                  "data=plane&compare=winner,equal&show=compare&on"])  # fmt: skip
def test_an_address_that_names_what_every_object_has_is_forgiven(visit, part):
    page = visit(f"{part}=constructor")
    dataset = "plane" if "plane" in part else "Overall"
    assert page.inner_text("#shown").startswith(dataset)
    assert page.locator("dialog[open]").count() == part.count("winner")
    assert page.locator("#selection").is_visible() == ("winner" in part)


def test_everything_is_reached_by_keyboard(visit):
    page = visit("data=plane")

    def tab_to(selector):
        for _ in range(60):
            page.keyboard.press("Tab")
            if page.evaluate("s => document.activeElement.matches(s)", selector):
                style = page.evaluate("getComputedStyle(document.activeElement).outlineStyle")
                assert style != "none"
                return
        raise AssertionError(f"{selector} is not reached")

    tab_to(".skip")
    tab_to("nav a[aria-current]")
    for name in ("pixels", "Overall", "plane"):
        page.locator("nav a", has_text=name).focus()
        page.keyboard.press("Enter")
        page.wait_for_selector(f"nav a[aria-current]:has-text('{name}')")
        assert page.evaluate("document.activeElement.textContent") == name
    tab_to("[name=at]")
    page.keyboard.press("ArrowDown")
    assert "equal steps" in page.inner_text("#shown")
    page.keyboard.press("ArrowUp")
    tab_to("#table th [role=button]")
    page.keyboard.press("Enter")
    assert methods(page)[:5] == sorted(methods(page)[:5])
    tab_to("#table input[value=equal]")
    page.keyboard.press("Space")
    tab_to("#table .link")
    page.keyboard.press("Enter")
    page.wait_for_selector("dialog[open]")
    for _ in range(8):
        page.keyboard.press("Tab")
        assert page.evaluate(
            "document.activeElement === document.body || !!document.activeElement.closest('dialog')"
        )
    page.keyboard.press("Escape")
    assert page.locator("dialog[open]").count() == 0
    assert page.evaluate("document.activeElement.className") == "link"


@pytest.mark.parametrize("dialog", ["open=winner", "compare=winner,equal&show=compare"])
def test_the_dataset_of_a_dialog_is_chosen_by_keyboard(visit, dialog):
    page = visit(f"data=plane&{dialog}")
    page.focus("dialog[open] [name=on]")
    for key, name in (("ArrowDown", "pixels"), ("ArrowUp", "plane")):
        page.keyboard.press(key)
        page.wait_for_selector(f"dialog[open] img[alt$='of winner'][alt^='{name}']")
        assert page.evaluate("document.activeElement.value") == name


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
    page = visit("data=plane&compare=m00,m55", path=path)
    turn = page.locator("#table .dt-paging-button.next")
    assert len(methods(page)) == 50
    assert "1 to 50 of 61 rows" in page.inner_text("#table")
    assert page.get_by_label("Compare m00").is_checked()
    turn.click()
    assert methods(page)[-1] == "truth"
    assert len(methods(page)) == 11
    assert page.get_by_label("Compare m55").is_checked()
    page.get_by_role("button", name="Clear").click()
    page.locator("#table .dt-paging-button.previous").click()
    assert not page.get_by_label("Compare m00").is_checked()
    # Sorting begins at the first page, and filters and small tables need none.
    turn.click()
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
