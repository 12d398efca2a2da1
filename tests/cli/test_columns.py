from __future__ import annotations

from specdsl.cli.columns import columns


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert columns([("a", "b", "c"), ("long", "", "d")], indent=0) == ["a     b  c", "long     d"]


def test_lines_have_no_spaces_at_their_ends() -> None:
    assert columns([("a", ""), ("", "")]) == ["  a", ""]


def test_no_rows_are_no_lines() -> None:
    assert columns([]) == []
