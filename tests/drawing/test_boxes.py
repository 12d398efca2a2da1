from __future__ import annotations

from specdsl.drawing.boxes import Box, number, side_by_side, stacked, text_width

LOW, HIGH = Box(10, 5, 5, "<a/>"), Box(20, 30, 10, "<b/>")


def test_neighbours_share_an_axis() -> None:
    row = side_by_side([LOW, HIGH], 4)
    assert (row.width, row.above, row.below) == (34, 30, 10)
    assert 'translate(14 0)"><b/>' in row.code


def test_lines_follow_each_other() -> None:
    column = stacked([LOW, HIGH], 6)
    assert (column.width, column.above + column.below) == (20, 10 + 40 + 6)
    assert column.above == column.below


def test_coordinates_are_short() -> None:
    assert [number(value) for value in (1.0, 1.26, -0.01, 0)] == ["1", "1.3", "0", "0"]


def test_wide_letters_take_more_room() -> None:
    assert text_width("W", 14) > text_width("a", 14) > text_width("i", 14)
