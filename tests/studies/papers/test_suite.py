"""Files of papers: what is refused, and with which message."""

import copy
import re
from pathlib import Path

import pytest
import yaml
from factories.papers import CLAIM, content, varied

from ebm_bench.errors import InputError
from ebm_bench.records import fingerprint
from ebm_bench.studies.estimation.suite import EstimationSuite
from ebm_bench.studies.papers import suite
from ebm_bench.studies.papers.suite import Cell, Paper

FILES = sorted(Path(__file__).parents[3].glob("benchmarks/papers/*.yaml"))
VALUE = {"claim": "a", "published": "b", "value": "a", "below": 1}
SLOPE = {"claim": "a", "published": "b", "slope": "a", "below": 1}


def write(folder, given):
    path = folder / "made_up.yaml"
    path.write_text(yaml.safe_dump(given, sort_keys=False), encoding="utf-8")
    return path


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_papers_of_the_repository_are_valid(path):
    paper = suite.load(path)
    assert paper.scaled
    assert paper.files()
    assert len(paper.slices()) >= len(paper.cells)


# Their papers prove bounds, or state no settings that could be checked.
WITHOUT_BUDGET = {"glaser2025", "liu2022", "ryu2025", "yu2026", "yu2026-estimates"}
# What the budget of a GPU changes: these keys, wherever they are below "suite".
CHANGED = {
    *("energy", "budget", "compute", "metrics"),
    *("width", "flow_rate", "epsilon", "noise", "steps", "sigma", "ratio", "levels"),  # of methods
    "truth",  # a control
}


def test_every_paper_has_a_budget_for_gpus():
    names = {path.stem for path in FILES}
    small = {name for name in names if not name.endswith("-gpu")}
    assert {name for name in small if f"{name}-gpu" not in names} == WITHOUT_BUDGET


ON_GPU = [path for path in FILES if path.stem.endswith("-gpu")]


@pytest.mark.parametrize("path", ON_GPU, ids=lambda path: path.stem)
def test_a_job_has_time_for_all_that_it_may_train(path):
    paper = suite.load(path)
    seconds = 0.0
    for cell in paper.cells:
        point = paper.points[cell.knob]
        if point.methods[cell.method].objective != "untrained":
            seconds += point.datasets[cell.dataset].budget.seconds
    # The limit of workflow/rules/papers.smk, less the 20 minutes for all else.
    assert seconds <= 60 * 3 * paper.minutes


@pytest.mark.parametrize("path", ON_GPU, ids=lambda path: path.stem)
def test_the_budget_for_gpus_is_all_that_differs(path):
    small = suite.load(path.with_name(path.name.replace("-gpu", "")))
    large = suite.load(path)
    same = ("claims", "paper", "plugins", "version", "seed", "title")
    assert all(getattr(small, key) == getattr(large, key) for key in same)
    assert differences(small.suite, large.suite) <= CHANGED
    assert small.suite != large.suite
    assert large.minutes > small.minutes


def differences(before, after):
    """Keys of values that differ, the outermost of `CHANGED` in place of those within."""
    found = set()
    for key in before.keys() | after.keys():
        one, other = before.get(key, {}), after.get(key, {})
        if one != other:
            nested = isinstance(one, dict) and isinstance(other, dict) and key not in CHANGED
            found |= differences(one, other) if nested else {key}
    return found


def test_names_are_those_of_files():
    assert list(suite.load_all(FILES)) == [path.stem for path in FILES]


def test_a_file_of_another_name_is_refused(tmp_path):
    path = tmp_path / "other.yaml"
    path.write_text(yaml.safe_dump(content()), encoding="utf-8")
    with pytest.raises(InputError, match=r"other.yaml: name: 'made_up' is not that of the file"):
        suite.load_all([path])


def test_no_file_is_refused():
    with pytest.raises(InputError, match="no paper is given"):
        suite.load_all([])


def test_a_knob_makes_a_suite_of_each_value(tmp_path):
    paper = suite.load(write(tmp_path, varied({**CLAIM, "at": 10})))
    sigmas = [point.methods["a"].settings["sigma"] for point in paper.points.values()]
    assert sigmas == [0.1, 1, 10]
    assert len(paper.cells) == 6
    assert paper.cells[0] == Cell(0.1, "two_moons", "a")


def test_settings_are_told_apart_by_a_digest():
    paper = Paper.model_validate(varied({**CLAIM, "at": 1}))
    before = paper.settings
    assert paper.points  # which fills in defaults
    same = varied({**CLAIM, "at": 10, "claim": "b"}, title="Other", minutes=3.0)
    assert paper.settings == before == Paper.model_validate(same).settings
    steps = copy.deepcopy(varied({**CLAIM, "at": 1}))
    steps["suite"]["datasets"]["two_moons"]["budget"]["steps"] = 3
    knob = {**same, "knob": {"label": "σ", "values": [0.1, 9, 10]}}
    others = [steps, knob, {**same, "version": 2}, {**same, "seed": 1}, {**same, "name": "other"}]
    digests = [Paper.model_validate(each).settings for each in others]
    assert len({before, *digests}) == 6


def test_their_digest_is_of_plugins_too_and_of_no_order(tmp_path):
    plugin = tmp_path / "plugin.py"
    described = {**varied({**CLAIM, "at": 1}), "plugins": [plugin.name]}

    def digest(text, content=described):
        plugin.write_text(text)
        fingerprint.forget()
        return Paper.model_validate(content).at(tmp_path).settings

    before = digest("A = 1\n")
    turned = {**described, "suite": dict(reversed(described["suite"].items()))}
    assert digest("A = 1\n", turned) == before
    assert digest("A = 2\n") != before


def test_without_a_knob_there_is_one_suite(tmp_path):
    paper = suite.load(write(tmp_path, content(datasets=["two_moons"])))
    assert list(paper.points) == [None]
    assert paper.cells == [Cell(None, "two_moons", "a"), Cell(None, "two_moons", "b")]


def test_data_files_are_found_beside_the_paper(tmp_path):
    paper = suite.load(write(tmp_path, content()))
    assert paper.points[None]._folder == tmp_path


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        ({**CLAIM, "ratio": ["a", "c"]}, "claims.0: unknown method of this paper 'c'.*Valid: a, b"),
        (
            {**CLAIM, "ratio": ["c (flow)", "a"]},
            "claims.0: unknown method of this paper 'c .flow.'",
        ),
        ({**CLAIM, "dataset": "moons"}, "claims.0.dataset: unknown dataset.*Valid: two_moons"),
        ({**CLAIM, "metric": "log_z"}, "claims.0.metric: unknown metric.*Valid: kl_divergence"),
        (
            {**CLAIM, "metric": "negative_log_likelihood"},
            "claims.0.metric: a ratio is of positive values.*Valid: kl_divergence",
        ),
        (
            {"claim": "a", "published": "b", "difference": ["a", "b"], "below": 0},
            "claims.0.metric: a difference is of values of any sign, and kl_divergence is positive."
            " Valid: negative_log_likelihood",
        ),
        (
            {"claim": "a", "published": "b", "difference": ["a"], "below": 0},
            "claims.0.difference.1: Field required",
        ),
        ({**CLAIM, "at": 3}, "claims.0.at: 3 of the knob. Valid: no knob"),
        (
            {**CLAIM, "value": "a"},
            "claims.0: give one of ratio, difference, value, slope; given: ratio, value",
        ),
        ({"claim": "a", "published": "b", "below": 1}, "claims.0: give one of.*given: none"),
        ({**CLAIM, "below": None}, "claims.0: gives no limit: below, above or both"),
        ({**CLAIM, "above": 2}, "claims.0: no number is above 2 and below 1"),
        ({**VALUE, "against": 1}, "claims.0: against is for two models, and not for a value"),
        (SLOPE, "claims.0.slope: a slope is one by the knob, and this paper has none"),
        ({**CLAIM, "belov": 1}, "claims.0.belov: unknown key 'belov'.*Valid:.*below"),
        ({**CLAIM, "ratio": ["a"]}, "claims.0.ratio.1: Field required"),
        ({**CLAIM, "below": float("nan")}, "claims.0.below"),
        ({**CLAIM, "below": "much"}, "claims.0.below.*'much'"),
    ],
)
def test_a_bad_claim_is_told_in_one_message(tmp_path, claim, message):
    with pytest.raises(InputError, match=f"^{re.escape(str(tmp_path))}.*made_up.yaml: {message}"):
        suite.load(write(tmp_path, content(claim)))


@pytest.mark.parametrize(
    ("claim", "message"),
    [
        (CLAIM, "claims.0.at: no value of the knob. Valid: 0.1, 1, 10"),
        ({**CLAIM, "at": 2}, "claims.0.at: 2 of the knob. Valid: 0.1, 1, 10"),
        ({**CLAIM, "at": 1, "against": 3}, "claims.0.against: 3 of the knob. Valid: 0.1, 1, 10"),
        ({**SLOPE, "at": 1}, "claims.0.at: a slope is over all values of the knob"),
    ],
)
def test_a_bad_value_of_the_knob_is_told(tmp_path, claim, message):
    with pytest.raises(InputError, match=message):
        suite.load(write(tmp_path, varied(claim)))


def test_a_claim_names_the_dataset_where_there_are_two(tmp_path):
    path = write(tmp_path, content(datasets=["two_moons", "funnel"]))
    with pytest.raises(InputError, match=r"claims.0.dataset: is needed, one of two_moons, funnel"):
        suite.load(path)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"claims": []}, "claims: "),
        ({"suite": {}}, "made_up: suite: "),
        ({"suite": {"kind": "estimation"}}, "made_up: suite: .*Field required"),
        ({"paper": {"citation": "A", "arxiv": "12"}}, "paper.arxiv: "),
        ({"paper": {"citation": "A"}}, "paper: gives no place: arxiv or url"),
        ({"paper": {"citation": "A", "url": "a page"}}, "paper.url: "),
        ({"knob": {"label": "x", "values": [1, 2]}}, "knob: has no effect"),
        ({"plugins": ["gone.py"]}, "plugins: .*gone.py"),
        ({"name": "papers"}, "the folder results/papers is that of `snakemake papers`"),
        ({"kind": "leaderboard"}, "a suite of kind 'leaderboard', and not of kind 'paper'"),
    ],
)
def test_a_bad_paper_is_told_with_its_file(tmp_path, changes, message):
    with pytest.raises(InputError, match=f"made_up.yaml: (.*\n)*.*{message}"):
        suite.load(write(tmp_path, content(**changes)))


def test_a_paper_can_estimate_parameters():
    paper = suite.load(next(path for path in FILES if path.stem == "ryu2025"))
    assert all(isinstance(point, EstimationSuite) for point in paper.points.values())
    assert paper.metrics("gaussian-1") == ["squared_error"]
