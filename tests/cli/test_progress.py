from __future__ import annotations

import io
import sys

import pytest

from specdsl.cli import progress
from specdsl.cli.progress import training_progress, working


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


def test_a_log_file_gets_a_line_now_and_then(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with training_progress() as show:
        for step in range(1, 61):
            now[0] = step / 2
            show(step, 60, {"loss": 1 / step} if step % 5 == 0 else {})
    lines = capsys.readouterr().err.splitlines()
    assert lines == ["step 20 of 60: loss 0.05", "step 40 of 60: loss 0.025", "step 60 of 60: loss 0.01667"]


def test_a_loss_of_an_earlier_step_says_so(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    with training_progress() as show:
        for step in range(1, 5):
            now[0] = step * 10
            show(step, 4, {"loss": 0.5, "orth(A)": 12.0} if step == 2 else {})
    assert capsys.readouterr().err.splitlines() == [
        "step 1 of 4",
        "step 2 of 4: loss 0.5, orth(A) 12",
        "step 3 of 4: loss 0.5, orth(A) 12 (step 2)",
        "step 4 of 4: loss 0.5, orth(A) 12 (step 2)",
    ]


def test_a_terminal_gets_a_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with training_progress() as show:
        show(3, 9, {"loss": 0.5, "[A]": 2.0})
    assert "loss 0.5, [A] 2 " in terminal.getvalue()
    assert "3/9" in terminal.getvalue()
