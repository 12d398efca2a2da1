"""An explanation as data, laid out as plain text or as HTML."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape

WIDTH = 100
"""The longest line of the plain text."""

_GAP = "  "
_NARROWEST = 8


@dataclass(frozen=True)
class Section:
    """A table with a title; `columns` is empty where the rows speak for themselves."""

    title: str
    rows: tuple[tuple[str, ...], ...]
    columns: tuple[str, ...] = ()


@dataclass(frozen=True)
class Explanation:
    """What a spec means and why; `print` shows it, a notebook shows tables.

    Attributes:
        heading: the method's name.
        sections: tables, without the empty ones.
        resolved: the spec with every factor, shape, start and hyper-parameter written out.
    """

    heading: str
    sections: tuple[Section, ...]
    resolved: str

    def __str__(self) -> str:
        parts = [textwrap.fill(self.heading, WIDTH, break_on_hyphens=False)]
        for section in self.sections:
            parts.append("\n".join([section.title, *(f"  {line}" for line in _table_lines(section))]))
        parts.append("\n".join(["resolved", *(f"  {line}".rstrip() for line in self.resolved.splitlines())]))
        return "\n\n".join(parts)

    def _repr_html_(self) -> str:
        tables = "".join(_html_table(section) for section in self.sections)
        return f"<h4>{escape(self.heading)}</h4>{tables}<h5>resolved</h5><pre>{escape(self.resolved)}</pre>"


def _table_lines(section: Section) -> list[str]:
    rows = [section.columns, *section.rows] if section.columns else list(section.rows)
    widths = _widths(rows)
    lines: list[str] = []
    for row in rows:
        cells = [_cell(cell, width) for cell, width in zip(row, widths, strict=True)]
        for position in range(max(len(cell) for cell in cells)):
            parts = [cell[position] if position < len(cell) else "" for cell in cells]
            padded = [part.ljust(width) for part, width in zip(parts, widths, strict=True)]
            lines.append(_GAP.join(padded).rstrip())
    return lines


def _widths(rows: Sequence[Sequence[str]]) -> list[int]:
    """Natural widths, the widest made narrower until a line fits."""
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    available = WIDTH - len(_GAP) * len(widths)
    while sum(widths) > available and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _cell(text: str, width: int) -> list[str]:
    return textwrap.wrap(text, max(width, 1), break_on_hyphens=False) or [""]


def _html_table(section: Section) -> str:
    head = "".join(f"<th>{escape(column)}</th>" for column in section.columns)
    body = "".join(
        "<tr>" + "".join(f'<td style="text-align:left">{escape(cell)}</td>' for cell in row) + "</tr>"
        for row in section.rows
    )
    return f"<h5>{escape(section.title)}</h5><table>{f'<tr>{head}</tr>' if head else ''}{body}</table>"
