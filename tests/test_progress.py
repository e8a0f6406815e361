"""Progress on a terminal and in a log file."""

import io

import pytest

from pdefm import progress as module
from pdefm.progress import progress


@pytest.fixture
def clock(monkeypatch):
    """A clock that the test moves."""
    now = [100.0]
    monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
    return now


def test_a_log_file_gets_a_line_now_and_then_and_one_at_the_end(clock, capsys):
    with progress("train", 100) as advance:
        for _ in range(100):
            clock[0] += 0.25
            advance(1, loss=0.123456)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "train: 40/100 steps, 4/s, 15 s left  loss 0.1235",
        "train: 80/100 steps, 4/s, 5 s left  loss 0.1235",
        "train: 100/100 steps, 4/s, 0 s left  loss 0.1235",
    ]


def test_work_of_an_earlier_run_counts_as_done_but_not_as_fast(clock, capsys):
    with progress("train", 100, unit="frames", done=90) as advance:
        clock[0] += 5.0
        advance(10)
    assert capsys.readouterr().err == "train: 100/100 frames, 2/s, 0 s left\n"


def test_stdout_stays_clean_and_other_ranks_are_silent(capsys):
    with progress("train", 2, show=False) as advance:
        advance(2, loss=1.0)
    assert capsys.readouterr() == ("", "")
    with progress("train", 2) as advance:
        advance(2)
    assert capsys.readouterr().out == ""


def test_an_error_inside_passes_through(capsys):
    with pytest.raises(KeyError), progress("train", 2):
        raise KeyError("x")


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_a_terminal_gets_a_bar_with_the_numbers(monkeypatch):
    terminal = Terminal()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr("sys.stderr", terminal)
    with progress("train", 8, done=4) as advance:
        advance(3, loss=0.5)
        advance()
    shown = terminal.getvalue()
    assert "train" in shown
    assert "8/8" in shown
    assert "loss 0.5" in shown
