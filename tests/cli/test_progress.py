"""Progress on a terminal is a bar that ends full; elsewhere it is lines without control characters."""

import io
import sys

import pytest

from zipmap_pl import progress
from zipmap_pl.progress import Progress, track, working


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """Standard error from now on; not a fixture, because pytest puts its own back before the test."""
    screen = Terminal()
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLUMNS", "120")
    return screen


def test_a_bar_counts_to_the_end_and_shows_the_note(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    with Progress("stage demo", total=3, done=1) as bar:
        bar.advance("loss 2.000")
        bar.advance("loss 1.000")
    assert "3/3" in screen.getvalue()
    assert "loss 1.000" in screen.getvalue()
    assert screen.getvalue().endswith("\x1b[?25h")  # the cursor is back


def test_items_come_through_unchanged_and_an_error_gives_the_terminal_back(monkeypatch: pytest.MonkeyPatch) -> None:
    screen = terminal(monkeypatch)
    assert list(track("abc", "reading", 3)) == ["a", "b", "c"]
    with pytest.raises(ZeroDivisionError), Progress("failing", total=3):
        raise ZeroDivisionError
    assert screen.getvalue().endswith("\x1b[?25h")


def test_elsewhere_it_is_plain_lines(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "SECONDS_BETWEEN_LINES", -1.0)
    assert list(track("ab", "reading", 2)) == ["a", "b"]
    with working("thinking"):
        pass
    assert capsys.readouterr().err == "reading: 1/2\nreading: 2/2\nthinking\n"
