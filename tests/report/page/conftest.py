"""The page in a real browser."""

import os
import shutil

import pytest
from factories.browser import ready

FOUND = shutil.which("chromium") or shutil.which("chromium-browser")


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    if not FOUND:
        told = "there is no chromium (on Debian: apt install chromium)"
        required = os.environ.get("EBM_BENCH_BROWSER") == "required"
        (pytest.fail if required else pytest.skip)(f"the page is not tested in a browser: {told}")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=FOUND, args=["--no-sandbox", "--disable-gpu"], timeout=300_000
        )
        yield browser
        browser.close()


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
        context.set_default_timeout(300_000)
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
