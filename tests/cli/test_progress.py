from __future__ import annotations

import io
import sys

import pytest

from specdsl.cli.progress import counting, training_progress, working


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_where_nobody_watches_nothing_spins(capsys: pytest.CaptureFixture[str]) -> None:
    with working("loading"):
        pass
    assert capsys.readouterr() == ("", "")


def test_a_terminal_shows_what_takes_time(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    with working("loading"):
        pass
    assert "loading ..." in terminal.getvalue()


def test_a_log_file_is_told_of_a_count_and_of_the_time_left(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = iter((0.0, 4.0, 10.0, 10.0))
    monkeypatch.setattr("time.monotonic", lambda: next(seconds))
    with counting(4) as advance:
        advance("lora")
        advance("dora")
    assert capsys.readouterr().err.splitlines() == ["2 of 4: dora; about 10 s left"]


def test_a_log_file_gets_a_line_for_each_logged_loss(capsys: pytest.CaptureFixture[str]) -> None:
    with training_progress() as show:
        for step in range(1, 7):
            show(step, 6, {})
            if step % 3 == 0:
                show(step, 6, {"loss": 1 / step, "orth(A)": 12.0})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["step 3 of 6: loss 0.3333, orth(A) 12", "step 6 of 6: loss 0.1667, orth(A) 12"]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with training_progress() as show:
        show(3, 9, {"loss": 0.5, "[A]": 2.0})
    assert "loss 0.5, [A] 2 " in terminal.getvalue()
    assert "3/9" in terminal.getvalue()
