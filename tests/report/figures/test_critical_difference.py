import io
import warnings
from dataclasses import replace

import matplotlib as mpl
import numpy as np
import pandas as pd

from ebm_bench.report.figures import critical_difference, style
from ebm_bench.report.statistics import friedman

NAMES = ["winner", "equal", "slow_100", "unlucky"]


def draw(losses, names=NAMES):
    """Draw the diagram of made-up losses, (datasets, methods)."""
    rankings = {
        str(i): pd.DataFrame({"method": names, "model": "energy", "mean_rank": row})
        for i, row in enumerate(losses)
    }
    with mpl.rc_context(style.RC):
        figure = critical_difference.draw(
            friedman.over_datasets(rankings), dict.fromkeys(names, "C0")
        )
        figure.savefig(io.BytesIO(), format="png")
    return figure


def texts(figure):
    return [text.get_text().strip() for axis in figure.axes for text in axis.texts]


def bars(figure):
    """Ends of the bars over methods that are not significantly different."""
    lines = [line for line in figure.axes[0].lines if line.get_linewidth() == 3]
    return [(min(line.get_xdata()), max(line.get_xdata())) for line in lines]


def test_what_is_told_apart_has_no_common_bar():
    figure = draw(np.tile([1.0, 2.0, 3.0, 4.0], (12, 1)))
    assert {"winner  1.00", "equal  2.00", "3.00  slow_100", "4.00  unlucky"} <= set(texts(figure))
    assert "critical difference" in texts(figure)
    assert sorted(bars(figure)) == [(1, 2), (2, 3), (3, 4)]
    assert "12 datasets" in figure.get_suptitle()
    assert "not all methods are alike" in figure.get_supxlabel()


def test_long_names_leave_room_for_the_figure():
    names = ["a" * 80, "a" * 79 + "b", "x" * 60 + "_" + "y" * 19, "unlucky"]
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # matplotlib warns of axes without a size
        figure = draw(np.tile([1.0, 2.0, 3.0, 4.0], (12, 1)), names)
    figure.draw_without_rendering()
    assert figure.axes[0].get_position().width > 0.3
    whole = figure.bbox
    for text in figure.axes[0].texts:
        box = text.get_window_extent()
        assert whole.x0 <= box.x0 <= box.x1 <= whole.x1
    assert {f"{'a' * 12}…{'a' * 11}b  2.00", "4.00  unlucky"} <= set(texts(figure))


def test_ties_share_one_bar():
    figure = draw(np.ones((12, 4)))
    assert bars(figure) == [(2.5, 2.5)]
    assert "no difference is found" in figure.get_supxlabel()


def test_two_datasets_are_said_to_be_too_few():
    figure = draw(np.tile([1.0, 2.0, 3.0, 4.0], (2, 1)))
    assert bars(figure) == [(1, 4)]
    assert "2 datasets are too few" in figure.get_supxlabel().replace("\n", " ")
    assert "critical difference" not in texts(figure)


def test_methods_have_the_colours_of_the_other_figures(results):
    figure = critical_difference.critical_difference(results)
    marked = {text.get_text().split()[0]: text for text in figure.axes[0].texts}
    assert "winner" in marked or "equal" in marked
    found = {tuple(line.get_color()) for line in figure.axes[0].lines if line.get_linewidth() < 3}
    looks = {style.look(results.suite, r).colour for r in results.rows("plane") if not r.control}
    assert found == looks


def test_nothing_to_compare_yet_is_said(results):
    made_up = replace(results)
    made_up.__dict__["rankings"] = {
        name: found.iloc[:2] for name, found in results.rankings.items()
    }
    figure = critical_difference.critical_difference(made_up)
    assert not figure.axes
    assert "nothing to compare yet" in figure.texts[0].get_text()
