"""The page in a real browser: what a reader does with it, by mouse and keyboard."""

import re

import pytest
from factories.browser import follow, methods, ready, sort_by, waiting


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
    follow(page, "plane")
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
    follow(page, "Overall")
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
    page.wait_for_selector("dialog[open]", state="detached")


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
    dialog.wait_for()
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
    page.locator("#selection").wait_for(state="hidden")


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
    expect = waiting()

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
    expect(page.locator("#shown")).to_contain_text("equal steps")
    page.keyboard.press("ArrowUp")
    expect(page.locator("#shown")).to_contain_text("end of training")
    tab_to("#table th [role=button]")
    page.keyboard.press("Enter")
    expect(page.locator("#table thead th").first).to_have_attribute("aria-sort", "ascending")
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
    page.wait_for_selector("dialog[open]", state="detached")
    assert page.evaluate("document.activeElement.className") == "link"


@pytest.mark.parametrize("dialog", ["open=winner", "compare=winner,equal&show=compare"])
def test_the_dataset_of_a_dialog_is_chosen_by_keyboard(visit, dialog):
    page = visit(f"data=plane&{dialog}")
    page.focus("dialog[open] [name=on]")
    for key, name in (("ArrowDown", "pixels"), ("ArrowUp", "plane")):
        page.keyboard.press(key)
        page.wait_for_selector(f"dialog[open] img[alt$='of winner'][alt^='{name}']")
        assert page.evaluate("document.activeElement.value") == name
