from __future__ import annotations

from pathlib import Path

from tests.cli.conftest import Run


def test_a_method_is_one_page(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine.spec").write_text("title: Mine\ncite: arXiv:2405.14739\n\nr = 4\nW' = W + A@G@B\north(A)\n")
    shown = run("show", "mine.spec").stdout
    assert shown.startswith("Mine\narXiv:2405.14739\n\nformula\n  W'  W + A@G@B\n")
    assert "\n  B     trained  r x m  zeros\n" in shown
    assert "\npenalties\n  added to the loss  how often\n  orth(A)            once per module\n" in shown
    assert "\nsource (mine.spec)\n  title: Mine\n" in shown


def test_a_line_is_its_own_title(run: Run) -> None:
    shown = run("show", "W + A@B", "--set", "r=4").stdout
    assert shown.startswith("W + A@B\n\nformula\n  W'  W + A@B\n")
    assert "\n  r     4      set from outside\n" in shown
    assert "m*r + n*r = 4*m + 4*n per module" in shown


def test_reasons_are_left_to_explain(run: Run) -> None:
    assert "because" in run("explain", "W + A@B").stdout
    assert "because" not in run("show", "W + A@B").stdout
