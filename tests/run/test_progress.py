"""What a run says while it goes on: a bar on a terminal, a line now and then in a log."""

import pytest

from mdiff.run import progress as module
from mdiff.run.progress import Progress, duration


class Time:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def time(monkeypatch):
    clock = Time()
    monkeypatch.setattr(module, "time", clock)
    return clock


def test_a_log_has_a_line_every_half_minute(time, capsys):
    progress = Progress(evaluations=1000, images=20, cells=12)
    progress.cell()
    progress.cell()  # kept from before
    progress.note("loading")
    time.now += 20  # loading and compiling, no measure of what is to come
    progress.advance(8)
    assert capsys.readouterr().err == ""
    for _ in range(10):
        time.now += 2
        progress.advance(8)
    progress.image()
    time.now += 2
    progress.advance(8)
    progress.close()
    # 48 evaluations in the 12 s from the first call to the line at 32 s, 944 to come
    assert capsys.readouterr().err == "mdiff: 2/12 cells, 0/20 images, 4.0 evaluations/s, 4 min left\n"


def test_what_an_interrupted_run_had_finished_is_not_to_come(time, capsys):
    progress = Progress(evaluations=100, images=10, cells=2)
    progress.found(5, 10)
    progress.advance(2)
    time.now += 40
    progress.advance(8)
    assert capsys.readouterr().err == "mdiff: 0/2 cells, 5/10 images, 0.2 evaluations/s, 3 min left\n"


def test_a_single_cell_is_no_news_to_a_log(time, capsys):
    progress = Progress(evaluations=100, images=10, cells=1)
    progress.advance(2)
    time.now += 40
    progress.advance(8)
    assert capsys.readouterr().err == ""


def test_a_bar_counts_over_the_whole_sweep(capsys):
    progress = Progress(evaluations=40, images=4, cells=3, shown=True)
    progress.note("loading")
    first = capsys.readouterr().err
    assert "loading" in first and "0/40" in first and "0/3 cells, 0/4 images" in first
    progress.found(1, 10)
    progress.advance(10)
    progress.image()
    progress.cell()
    last = capsys.readouterr().err.split("\r")[-1]
    assert "loading" not in last and "10/30" in last and "1/3 cells, 2/4 images" in last
    progress.close()


@pytest.mark.parametrize(("seconds", "text"), [(4.4, "4 s"), (89, "89 s"), (600, "10 min"), (7200, "2.0 h")])
def test_durations(seconds, text):
    assert duration(seconds) == text
