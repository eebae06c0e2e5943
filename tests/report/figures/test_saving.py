import os
from functools import partial

from matplotlib.figure import Figure

from ebm_bench.report.figures import saving


class Shown:
    """What all figures show; counts how often it is sent to another process."""

    sent = 0

    def __getstate__(self):
        Shown.sent += 1
        return {}


def draw(shown, number):
    figure = Figure(figsize=(1 + number, 1))
    figure.text(0.5, 0.5, type(shown).__name__)
    return figure


def test_what_figures_show_is_sent_to_each_process_once_at_most(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "cpu_count", lambda: 2)
    shown, paths = Shown(), [[tmp_path / f"{number}.svg"] for number in range(5)]
    jobs = [(partial(draw, shown, number), own) for number, own in enumerate(paths)]
    written = saving.save_all(jobs, {"savefig.dpi": 72})
    assert written == [path for own in paths for path in own]
    widths = [path.read_text().split('width="')[1].split('"')[0] for path in written]
    assert widths == [f"{72 * (1 + number)}pt" for number in range(5)]
    assert Shown.sent <= 2
