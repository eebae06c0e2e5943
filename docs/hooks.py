"""Generates a page per objective from its docstring, and adds the reference results cited."""

import io
import re
from functools import cache
from pathlib import Path

import matplotlib as mpl
import numpy as np
import pandas as pd
import yaml
from jinja2 import Template
from matplotlib.figure import Figure
from mkdocs.structure.files import File, InclusionLevel

from ebm_bench import registry
from ebm_bench.report.figures.axes import fit_axis
from ebm_bench.report.figures.style import GRAY, RC
from ebm_bench.report.formatting import quantity
from ebm_bench.report.page.details import oracles
from ebm_bench.report.rows import label
from ebm_bench.report.statistics.intervals import summarise
from ebm_bench.suites import suite

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
NEEDS = {
    "smooth": "an energy with a second derivative",
    "log_z": "a known normaliser",
    "levels": "an energy that can be continued to noise levels",
    "grid": "a density in the plane",
}
INDEX = """\
# Objectives

A method of a suite is one of these objectives with its settings. Each page is generated from the
docstring of the class. `ebm-bench list objectives` also lists settings and defaults.

| name | |
|---|---|
"""
PAGE = Template("""\
# {{ name }}

{{ description }}
{% if settings %}
## Settings

| setting | default | tuning candidates | |
|---|---|---|---|
{% for key, default, candidates, text in settings -%}
| `{{ key }}` | `{{ "%r" % (default,) }}` | {{ candidates | join(", ") or "–" }} | {{ text }} |
{% endfor -%}
{% endif %}
## Cost

{{ about.costs }}
{% if needs %}
Requires {{ needs }}.
{% endif %}
## How it fails

{{ about.fails }}
{% if stress %}
The [stress test](../stress.md) `{{ about.stress }}` (*{{ stress }}*) shows this failure.
{% endif %}
{%- if suite %}
## Results

![Values of all methods]({{ name }}.svg)

*Reference results of the suite {{ suite }}: mean and 95 % interval over replicates. Methods with
this objective are in colour, the others in grey.*
{% endif %}
## Paper

{{ paper }}

Code: `{{ source }}`. Its tests beside those that every objective passes: {% for file in oracles -%}
`{{ file }}`{{ ", " if not loop.last }}{% endfor %}.
""")
CITED = re.compile(r"\]\(\.\./results/(reference/[^)]+)\)")


def on_config(config):
    """Put the generated pages into the navigation."""
    names = registry.names("objectives")
    pages = ["objectives/index.md", *({name: f"objectives/{name}.md"} for name in names)]
    for entry in config.nav:
        if "Objectives" in entry:
            entry["Objectives"] = pages
    return config


def on_files(files, config):
    """Add the generated pages and the reference results that pages cite."""
    about = yaml.safe_load((Path(config.docs_dir) / "objectives.yml").read_text())
    texts = {name: page(name, about[name]) for name in registry.names("objectives")}
    texts["index"] = index()
    for name, text in texts.items():
        files.append(File.generated(config, f"objectives/{name}.md", content=text))
    for name in registry.names("objectives"):
        picture = figure(name)
        if picture:
            files.append(File.generated(config, f"objectives/{name}.svg", content=picture))
    for path in sorted(cited(Path(config.docs_dir))):
        source = str(REFERENCE.parent / path)
        added = File.generated(config, path, abs_src_path=source)
        added.inclusion = InclusionLevel.NOT_IN_NAV
        files.append(added)
    return files


def cited(folder: Path) -> set[str]:
    """List the reference results that pages cite, relative to the results."""
    return {path for page in folder.glob("*.md") for path in CITED.findall(page.read_text())}


def on_page_markdown(markdown, page, config, files):
    """Make links that are valid in the repository valid on the site as well."""
    return CITED.sub(r"](\1)", markdown).replace("](../README.md)", "](index.md)")


def index() -> str:
    """List the objectives with the first sentence of each."""
    entries = registry.entries("objectives").values()
    return INDEX + "".join(f"| [{e.name}]({e.name}.md) | {e.summary} |\n" for e in entries)


def page(name: str, about: dict) -> str:
    """Write the page of an objective."""
    entry = registry.describe("objectives", name)
    parts = entry.sections
    described = parameters(parts.get("Parameters", ""))
    settings = [
        (key, default, entry.search.get(key, ()), described.get(key, ""))
        for key, (_, default) in entry.settings.items()
    ]
    return PAGE.render(
        name=name,
        about=about,
        description=plain(parts[""]),
        settings=settings,
        needs=" and ".join(NEEDS[what] for what in entry.requires),
        stress=panel(about["stress"]) if "stress" in about else None,
        suite=reference().name if figure(name) else None,
        paper=plain(parts.get("References", "–")),
        source=entry.path.relative_to(ROOT),
        oracles=oracles(entry),
    )


def panel(name: str) -> str:
    """Read the title of a stress test."""
    text = (ROOT / "benchmarks" / "stress.yaml").read_text()
    return yaml.safe_load(text)["panels"][name]["title"]


def parameters(text: str) -> dict[str, str]:
    """Read the descriptions of parameters, by name."""
    parts = re.split(r"^(\w+) : .*\n", text, flags=re.M)
    pairs = zip(parts[1::2], parts[2::2], strict=True)
    return {name: plain(" ".join(description.split())) for name, description in pairs}


def plain(text: str) -> str:
    """Convert inline code of reStructuredText to Markdown, for use in tables."""
    return text.replace("``", "`").replace("|", "\\|")


def reference_values(name: str) -> Path:
    """Find the reference values of a suite: in its records, or alone."""
    return next((REFERENCE / name).rglob("values.parquet"), REFERENCE / name / "values.parquet")


@cache
def reference() -> suite.Suite:
    """Load the suite of which reference results are kept, the larger one if there are two."""
    name = next(n for n in ("toy", "quick") if reference_values(n).exists())
    return suite.load(ROOT / "benchmarks" / f"{name}.yaml")


@cache
def table() -> pd.DataFrame:
    """Read its values, of methods that need not be all that the suite has by now."""
    return pd.read_parquet(reference_values(reference().name))


@cache
def figure(name: str) -> bytes | None:
    """Draw the values that methods of an objective reach; None where there is none."""
    chosen, values = reference(), table()
    own = [m for m in values["method"].unique() if chosen.methods[m].objective == name]
    if not own:
        return None
    planar = [d for d, s in chosen.datasets.items() if s.rank_by == "kl_divergence"][:2]
    with mpl.rc_context(RC):
        drawn = Figure(figsize=(7.5, 3.4))
        for axis, dataset in zip(
            drawn.subplots(1, len(planar), squeeze=False)[0], planar, strict=True
        ):
            metric = chosen.datasets[dataset].rank_by
            found = summarise(values[(values["dataset"] == dataset) & (values["metric"] == metric)])
            found = found[np.isfinite(found["mean"])].sort_values("mean")
            higher = bool(quantity(metric).higher_is_better)
            fit_axis(axis, found["mean"], higher)
            for x, row in enumerate(found.to_dict("records")):
                colour = "C0" if row["method"] in own else GRAY
                axis.vlines(x, row["low"], row["high"], color=colour)
                axis.plot(x, row["mean"], "o", color=colour)
            names = [label(m, k) for m, k in zip(found["method"], found["model"], strict=True)]
            axis.set_xticks(range(len(names)), names, rotation=90)
            for tick, method in zip(axis.get_xticklabels(), found["method"], strict=True):
                tick.set_color("C0" if method in own else GRAY)
            axis.set(title=dataset, ylabel=quantity(metric).axis)
        written = io.BytesIO()
        drawn.savefig(written, format="svg", metadata={"Date": None})
    return written.getvalue()
