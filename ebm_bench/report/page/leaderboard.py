"""The leaderboard page: one file that needs no other."""

from pathlib import Path
from typing import Any

import jinja2
from markupsafe import Markup
from matplotlib.colors import to_hex

from ebm_bench import registry
from ebm_bench.report.figures.style import look
from ebm_bench.report.files import figure_kinds, figure_names, figure_paths
from ebm_bench.report.formatting import MISSING, explanation, plain, quantity
from ebm_bench.report.page import details
from ebm_bench.report.page.embedding import LIBRARIES, library, lighten, pack, pack_json
from ebm_bench.report.page.thumbnails import thumbnails
from ebm_bench.report.page.views import BUDGETS, family_of, lay_out, paired, ranking_metrics
from ebm_bench.report.results import Results
from ebm_bench.report.rows import CONTROL, Row
from ebm_bench.report.statistics.intervals import GEOMETRIC, INTERVAL, caution
from ebm_bench.report.statistics.pairwise import COMPARISONS
from ebm_bench.report.tables.captions import MARKS, ORDER, TIES, data_statement
from ebm_bench.report.tables.formats import save

_TEMPLATES = Path(__file__).parent / "templates"
PAGED = 50  # rows of a table at once
# Bytes of the page. Figures, and tables as files, stay outside it if there is no room for them.
SIZE = 14e6
# In this order: each script uses those before it.
_SCRIPTS = ("base.js", "files.js", "plots.js", "tables.js", "method.js", "compare.js", "page.js")
_PICTURES = ("-densities", "-samples")  # figures that are large as PDF
_CAPTIONS = {
    "densities": "Densities of one replicate, controls first, on one colour scale.",
    "samples": "Samples of one replicate beside data.",
    "cost": "Quality against cost at the end of training, with intervals and the Pareto front.",
    "curves": "Learning curves against steps and against time. Line: median over replicates; "
    "band: their range; cross: a replicate failed.",
    "critical-difference": "Average ranks by the criterion of each dataset at the end of "
    "training; bars join methods that do not differ significantly.",
}


def write(shown: list[Results], suite_path: str | Path, folder: Path) -> Path:
    """Write the page of a suite whose figures have been drawn.

    Parameters
    ----------
    shown : list of Results
        Views of the results from `budgets.at_all`.
    suite_path : path
        File of the suite, for the commands that reproduce a run.
    folder : Path
        Folder of the suite's results.

    Returns
    -------
    Path
        The file written.
    """
    return save(page(shown, suite_path, folder), folder / "leaderboard.html")


def page(shown: list[Results], suite_path: str | Path, folder: Path) -> str:
    """Render the page as HTML; see `write`."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(_TEMPLATES),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.StrictUndefined,
    )
    results = shown[0]
    suite = results.suite
    measured = {m for spec in suite.datasets.values() for m in spec.metrics}
    found, texts = lay_out(shown)
    blocks = {
        "content": pack_json(content(results, suite_path, found) | {"paired": paired(shown)}),
        "thumbnails": pack_json({name: thumbnails(results, name) for name in suite.datasets}),
        **{name: library(name) for name in LIBRARIES},
    }
    room = SIZE - sum(map(len, blocks.values()))
    kept = fitting({"texts": texts, "figures": figures(results, folder)}, room)
    blocks |= {name: pack_json(content) for name, content in kept.items()}
    return environment.get_template("leaderboard.html.j2").render(
        suite=suite,
        style=Markup((_TEMPLATES / "page.css").read_text(encoding="utf-8")),
        script=Markup(
            "\n".join((_TEMPLATES / name).read_text(encoding="utf-8") for name in _SCRIPTS)
        ),
        blocks=blocks,
        budgets=BUDGETS,
        families=list(dict.fromkeys(family_of(results, name) for name in suite.methods)),
        metrics=[(quantity(metric), explanation(metric)) for metric in sorted(measured)],
        cautions=[
            *sorted({caution(s.replicates) for s in suite.datasets.values()} - {""}),
            COMPARISONS,
        ],
        interval=INTERVAL,
        geometric=GEOMETRIC,
        marks=MARKS,
        order=ORDER,
        provenance=_provenance(results),
        total=sum(len(suite.methods_of(name)) for name in suite.datasets),
        present=len(results.runs),
        missing=results.missing(),
    )


def content(
    results: Results, suite_path: str | Path, found: dict[str, dict[str, Any]]
) -> dict[str, Any]:
    """Collect what the page shows, apart from pictures and files."""
    suite = results.suite
    rows = {row.label: row for name in suite.datasets for row in results.rows(name)}
    shown = dict.fromkeys(
        metric for one in found["end"]["datasets"].values() for metric in one["metrics"]
    )
    return {
        "suite": suite.name,
        "views": found,
        "budgets": BUDGETS,
        "control": CONTROL,
        "paged": PAGED,
        "ranking": ranking_metrics(results),
        "metrics": {
            metric: {
                "label": about.label,
                "unit": about.unit,
                "arrow": about.arrow,
                "higher": about.higher_is_better,
                "meaning": about.meaning,
            }
            for metric in dict.fromkeys([*shown, *(s.curve for s in suite.datasets.values())])
            for about in [quantity(metric)]
        },
        "datasets": {name: _dataset(results, name) for name in suite.datasets},
        "methods": details.methods(results, suite_path),
        "replicates": details.replicates(results),
        "rows": {
            name: {"method": row.method, "control": row.control, **_look(results, row)}
            for name, row in rows.items()
        },
        "texts": {"ties": TIES, "order": ORDER, "interval": INTERVAL},
        "captions": _CAPTIONS,
    }


def figures(results: Results, folder: Path) -> dict[str, dict[str, str]]:
    """Read the figures that have been drawn, as SVG and, if they are plots, as PDF.

    Pictures are compressed and their PDF is left out, which would be larger than all the rest
    of the page; the page makes one from the SVG.
    """
    found = {}
    for name in figure_names(results.suite):
        paths = {path.suffix: path for path in figure_paths(folder, name)}
        found[name] = {"svg": pack(lighten(paths[".svg"].read_text(encoding="utf-8")))}
        if not name.endswith(_PICTURES):
            found[name]["pdf"] = pack(paths[".pdf"].read_bytes())
    return found


def fitting(
    blocks: dict[str, dict[str, dict[str, str]]], room: float
) -> dict[str, dict[str, dict[str, str]]]:
    """Keep of tables and figures what has room in the page: all of a kind, or none.

    Parameters
    ----------
    blocks : dict
        ``texts``, each table by the ending of its file; ``figures``, each by its format.
    room : float
        Bytes for both, packed. Kinds of tables are endings.
    """
    kinds: dict[tuple[str, str], dict[str, dict[str, str]]] = {}
    for name, files in blocks["texts"].items():
        for ending, text in files.items():
            kinds.setdefault(("texts", ending), {})[name] = {ending: text}
    for name, files in blocks["figures"].items():
        kind = next(kind for kind in _CAPTIONS if name.endswith(kind))
        kinds.setdefault(("figures", kind), {})[name] = files
    sizes = {kind: len(pack_json(content)) for kind, content in kinds.items()}
    kept: dict[str, dict[str, dict[str, str]]] = {"texts": {}, "figures": {}}
    for block, kind in sorted(kinds, key=lambda kind: sizes[kind]):
        room -= sizes[block, kind]
        if room < 0:
            break
        for name, files in kinds[block, kind].items():
            kept[block].setdefault(name, {}).update(files)
    return kept


def _dataset(results: Results, dataset: str) -> dict[str, Any]:
    """Describe a dataset, and how methods were trained and evaluated on it."""
    spec = results.suite.datasets[dataset]
    several = "s" if spec.replicates > 1 else ""
    return {
        "summary": plain(registry.describe("datasets", dataset).summary),
        "about": f"{spec.replicates} replicate{several} per method, {spec.budget.steps} steps of "
        f"{spec.budget.batch_size} points, at most {spec.budget.seconds:g} s, energy "
        f"{spec.energy.name} unless the method brings its own. {_sampling(results, dataset)} "
        f"{data_statement(results, dataset)}".strip(),
        "criterion": spec.rank_by,
        "curve": spec.curve,
        "metrics": list(spec.metrics),
        "figures": [f"{dataset}-{kind}" for kind in figure_kinds(results.suite, dataset)],
        "kinds": figure_kinds(results.suite, dataset),
    }


def _sampling(results: Results, dataset: str) -> str:
    """Describe how samples of the models of a dataset are drawn."""
    spec = results.suite.datasets[dataset].sampler
    settings = registry.describe("samplers", spec.name).validate(spec.settings)
    planar = "densities" in figure_kinds(results.suite, dataset)
    way = "on a grid" if planar else f"by {spec.name} ({details.plain(settings)})"
    return (
        "Samples are drawn exactly from flows, Gaussians and the truth, and "
        f"{way} from all other energies."
    )


def _look(results: Results, row: Row) -> dict[str, Any]:
    """Take the colour and marker that the model has in figures."""
    style = look(results.suite, row)
    return {"colour": to_hex(style.colour), "marker": style.marker}


def _provenance(results: Results) -> dict[str, str]:
    """Combine the provenance of all runs; usually each field has one value."""
    found = [run.provenance for run in results.runs.values()]
    united = {
        "Version": {p.version for p in found},
        "Commit": {p.commit + (" with local changes" if p.dirty else "") for p in found},
        "Pinned versions": {p.lock for p in found},
        "Python": {p.python for p in found},
        "torch": {p.torch for p in found},
        "Device": {p.device for p in found},
        "Machine": {p.machine for p in found},
        "Threads": {str(p.threads) for p in found},
    }
    if len(results.machines) > 1:
        united["Timed on"] = {f"{mark}: {name}" for mark, name in results.machines.items()}
    dates = sorted(p.date for p in found)
    return {
        **{name: ", ".join(sorted(values)) for name, values in united.items()},
        "Trained": " to ".join(dict.fromkeys([dates[0], dates[-1]])) if dates else MISSING,
    }
