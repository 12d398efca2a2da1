from __future__ import annotations

import pytest

from tests.cli.conftest import Run


@pytest.fixture
def printed(run: Run, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The lines of `compile` on a terminal of 60 columns."""
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr("specdsl.cli.compile_table._has_width", lambda: True)
    return run("compile", "W + A@G@B", "--model", "deberta-v3-base", "--set", "r=8").stdout.splitlines()


def test_a_narrow_terminal_shows_a_block_for_each_row(printed: list[str]) -> None:
    start = printed.index("encoder.layer.{0..11}.attention.self.query_proj")
    assert printed[start + 1 : start + 5] == [
        "  attention.query  768 x 768  148,224 trained  cost +3.21 %",
        "    saved 6.4 MB",
        "  A 768 x 8, G 8 x 8, B 8 x 768",
        "  y' = y + x@A@G@B",
    ]


def test_no_row_is_wider_than_the_terminal(printed: list[str]) -> None:
    rows = printed[: next(place for place, line in enumerate(printed) if line.startswith("trained is a sum"))]
    assert max(map(len, rows)) <= 60
