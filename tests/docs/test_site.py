"""The documentation builds without warnings, says what the registry says, and fetches nothing."""

import importlib.util
import os
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
import yaml

from ebm_bench import registry

ROOT = Path(__file__).parents[2]
OBJECTIVES = registry.names("objectives")


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", folder],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1", "PYTHONPATH": str(ROOT)},
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    assert done.returncode == 0, done.stdout
    return folder


@pytest.fixture(scope="module")
def hooks():
    spec = importlib.util.spec_from_file_location("docs_hooks", ROOT / "docs" / "hooks.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Loaded(HTMLParser):
    """What a browser loads with a page."""

    def __init__(self):
        super().__init__()
        self.found = []

    def handle_starttag(self, tag, attributes):
        attributes = dict(attributes)
        loads = {"script": "src", "img": "src", "iframe": "src", "source": "src"}
        if tag == "link" and attributes.get("rel") in (
            "stylesheet",
            "icon",
            "preload",
            "preconnect",
        ):
            self.found.append(attributes["href"])
        elif tag in loads and loads[tag] in attributes:
            self.found.append(attributes[loads[tag]])


def test_pages_load_nothing_from_elsewhere(site):
    # The page of a server for what it does not find has paths of that server.
    pages = [page for page in site.rglob("*.html") if page.name != "404.html"]
    assert len(pages) > 10
    for page in pages:
        loaded = Loaded()
        loaded.feed(page.read_text())
        assert loaded.found
        for source in loaded.found:
            assert not re.match(r"(https?:)?//", source), f"{page.name} loads {source}"
            if not source.startswith("data:"):
                assert (page.parent / source.split("?")[0]).exists(), f"{page.name}: {source}"


@pytest.mark.parametrize("name", OBJECTIVES)
def test_every_objective_has_its_page(name, hooks):
    about = yaml.safe_load((ROOT / "docs" / "objectives.yml").read_text())
    assert sorted(about) == OBJECTIVES
    text = hooks.page(name, about[name])
    entry = registry.describe("objectives", name)
    assert entry.summary.replace("``", "`") in text
    for heading in ("## Cost", "## How it fails", "## Paper"):
        assert heading in text
    for setting in entry.settings:
        assert re.search(rf"\| `{setting}` \| `.*` \| .* \| \S.* \|", text), setting
    assert "``" not in text
    oracles = hooks.oracles(entry)
    assert oracles
    for file in oracles:
        assert (ROOT / file).is_file()
        assert f"`{file}`" in text.partition("Its tests")[2]


def test_pages_show_figures_of_reference_results(site, hooks):
    drawn = [name for name in OBJECTIVES if hooks.figure(name)]
    assert len(drawn) >= 7
    for name in drawn:
        picture = (site / "objectives" / f"{name}.svg").read_text()
        assert "</svg>" in picture
        assert f'src="{name}.svg"' in (site / "objectives" / f"{name}.html").read_text()


def test_search_is_local(site):
    index = (site / "search" / "search_index.json").read_text()
    assert "denoising_score_matching" in index


def test_navigation_names_every_page(site):
    home = (site / "index.html").read_text()
    for page in (ROOT / "docs").glob("*.md"):
        assert f'href="{page.stem}.html"' in home, page.name
