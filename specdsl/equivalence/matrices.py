"""Exact values as text: matrices in aligned columns, several beside each other as far as the width allows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

Rows = list[str]
_GAP = 4


def matrix_rows(value: Any) -> Rows:
    """The lines of a number, a vector or a matrix; deeper stacks are matrices below each other.

    >>> matrix_rows((("1", "0"), ("-1/2", "10")))
    ['[    1   0 ]', '[ -1/2  10 ]']
    >>> matrix_rows("3"), matrix_rows(("1", "2"))
    (['3'], ['[ 1  2 ]'])
    """
    if not _is_list(value):
        return [str(value)]
    if not value or not _is_list(value[0]):
        return _aligned([value])
    if value[0] and _is_list(value[0][0]):
        blocks = [matrix_rows(entry) for entry in value]
        return [line for place, block in enumerate(blocks) for line in ([""] if place else []) + block]
    return _aligned(value)


def named_blocks(values: Mapping[str, Any]) -> list[Rows]:
    """One block of lines for each value, its name before the first line; entries of stacks are named one by one."""
    blocks: list[Rows] = []
    for name, value in values.items():
        if _is_list(value) and value and _is_list(value[0]) and value[0] and _is_list(value[0][0]):
            blocks += named_blocks({f"{name}[{place}]": entry for place, entry in enumerate(value)})
        else:
            first, *rest = matrix_rows(value)
            head = f"{name} = "
            blocks.append([f"{head}{first}", *(f"{' ' * len(head)}{line}" for line in rest)])
    return blocks


def side_by_side(blocks: Iterable[Rows], width: int) -> Rows:
    """Blocks in bands, each as many blocks as `width` holds; a block that is wider stands alone.

    >>> side_by_side([["A = [ 1 ]"], ["B = [ 2 ]", "    [ 3 ]"]], 40)
    ['A = [ 1 ]    B = [ 2 ]', '                 [ 3 ]']
    """
    lines: Rows = []
    band: list[Rows] = []
    used = 0
    for block in blocks:
        wide = max(map(len, block))
        if band and used + wide > width:
            lines += _band(band)
            band, used = [], 0
        band.append(block)
        used += wide + _GAP
    return lines + _band(band)


def _band(blocks: Sequence[Rows]) -> Rows:
    widths = [max(map(len, block)) for block in blocks]
    height = max(map(len, blocks), default=0)
    lines = []
    for row in range(height):
        cells = [
            (block[row] if row < len(block) else "").ljust(wide) for block, wide in zip(blocks, widths, strict=True)
        ]
        lines.append((" " * _GAP).join(cells).rstrip())
    return lines


def _aligned(rows: Sequence[Sequence[Any]]) -> Rows:
    texts = [[str(entry) for entry in row] for row in rows]
    count = max(map(len, texts), default=0)
    widths = [max((len(row[place]) for row in texts if place < len(row)), default=0) for place in range(count)]
    return [
        f"[ {'  '.join(cell.rjust(wide) for cell, wide in zip(row, widths, strict=False))} ]" if row else "[ ]"
        for row in texts
    ]


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple)
