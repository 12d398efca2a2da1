"""Rows of text in columns."""

from __future__ import annotations

from collections.abc import Sequence


def columns(rows: Sequence[Sequence[str]], indent: int = 2) -> list[str]:
    """One line per row, every column as wide as its widest entry but the last.

    >>> columns([["A", "n x r"], ["long", "r"]])
    ['  A     n x r', '  long  r']
    """
    if not rows:
        return []
    widths = [max(len(row[place]) for row in rows) for place in range(len(rows[0]))]
    lines = ("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in rows)
    return [f"{' ' * indent}{line}".rstrip() for line in lines]
