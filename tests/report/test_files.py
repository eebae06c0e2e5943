"""Files that a report consists of, which the workflow asks for each time it starts."""

import subprocess
import sys

from ebm_bench import report


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
    assert diagrams(suite) == [f"critical-difference.{e}" for e in ("png", "pdf", "svg")]
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
        "import sys, ebm_bench.report.page.leaderboard, ebm_bench.report.figures.screen; "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
