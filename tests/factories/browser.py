"""What a reader does with the page in a browser."""


def waiting():
    """Playwright's assertions, which wait until they hold, on a busy machine too."""
    from playwright.sync_api import expect

    expect.set_options(timeout=300_000)
    return expect


def ready(page):
    page.wait_for_selector("html[data-ready]", state="attached")


def methods(page):
    return page.locator("#table tbody th .link").all_inner_texts()


def follow(page, name):
    """Follow a link to a dataset, or to all; its address is read in an event after the click."""
    page.get_by_role("link", name=name, exact=True).click()
    page.wait_for_selector(f"nav a[aria-current]:has-text('{name}')")


def sort_by(page, name):
    head = page.locator("#table thead th", has_text=name).first
    before = head.get_attribute("aria-sort")
    head.locator("[role=button]").click()
    # The table is sorted in an event of its own after the click.
    changed = "([head, before]) => head.getAttribute('aria-sort') !== before"
    page.wait_for_function(changed, arg=[head.element_handle(), before])
