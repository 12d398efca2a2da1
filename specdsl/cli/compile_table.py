"""What a spec does to a model, as a table."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from textwrap import wrap
from typing import TYPE_CHECKING

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console, JustifyMethod
from rich.table import Table
from rich.text import Text

from specdsl.cli.columns import columns
from specdsl.printing.counted import counted
from specdsl.quantities import bytes_text, percent_text

if TYPE_CHECKING:
    from specdsl.cli.compiled import Compiled
    from specdsl.runtime.report import FoldedRow

_RIGHT = ("n x m", "trained", "memory", "cost", "saved")
_HEADINGS = ("module", "role", "n x m", "factors", "trained", "plan", "cost", "saved", "memory")
_WIDEST = 250
_NARROW = 120


def print_report(compiled: Compiled) -> None:
    """Print modules, penalties, facts, size conditions, what is left out, and the totals."""
    # A file or a pipe has no width: there every row stays on one line.
    console = Console(width=None if _has_width() else _WIDEST, highlight=False)
    report = compiled.report
    click.echo(f"{report.label} on {compiled.loaded.name}: {counted(len(report.modules), 'module')}")
    if console.width < _NARROW:
        click.echo("\n".join(_blocks(report.folded(), console.width)))
    else:
        with console.capture() as table:
            console.print(_table(report.folded()))
        click.echo("\n".join(line.rstrip() for line in table.get().splitlines()))
    for line in _lines(compiled):
        click.echo(line)


def _has_width() -> bool:
    return sys.stdout.isatty()


def _table(rows: list[FoldedRow]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    has_memory = any(folded.stored for folded in rows)
    for heading in _HEADINGS if has_memory else _HEADINGS[:-1]:
        is_long = heading in ("module", "factors", "plan")
        justify: JustifyMethod = "right" if heading in _RIGHT else "left"
        table.add_column(heading, justify=justify, overflow="fold", no_wrap=not is_long)
    for folded in rows:
        row = folded.row
        cells = (
            folded.pattern, row.role or "", row.size, row.factors, f"{folded.trainable:,}",
            f"y' = {row.plan}", _share(row.flops, row.floor), bytes_text(row.saved),
            *([bytes_text(folded.stored)] if has_memory else []),
        )  # fmt: skip
        table.add_row(*(Text(cell) for cell in cells))
    return table


def _blocks(rows: list[FoldedRow], width: int) -> Iterator[str]:
    """The rows of the table below each other, for terminals that are too narrow for its columns."""
    for folded in rows:
        row = folded.row
        numbers = (
            row.role, row.size, f"{folded.trainable:,} trained", f"cost {_share(row.flops, row.floor)}",
            f"saved {bytes_text(row.saved)}", f"memory {bytes_text(folded.stored)}" if folded.stored else "",
        )  # fmt: skip
        yield ""
        yield from wrap(folded.pattern, width, break_on_hyphens=False)
        for text in ("  ".join(part for part in numbers if part), row.factors, f"y' = {row.plan}"):
            yield from wrap(text, width, initial_indent="  ", subsequent_indent="    ", break_on_hyphens=False)
    yield ""


def _lines(compiled: Compiled) -> Iterator[str]:
    from specdsl.runtime.folded_names import folded_names

    report = compiled.report
    sums = "trained and memory are sums" if report.stored_bytes else "trained is a sum"
    yield f"{sums} over the modules of a row; cost and saved are per module: operations beyond the frozen layer's"
    yield f"own, and bytes kept for the backward pass, for {compiled.tokens:,} tokens in float32"
    sections = (
        ("penalties", [f"{text}, over {counted(count, 'module')}" for text, count in report.penalties]),
        ("facts", columns(_facts(compiled), indent=0)),
        ("size conditions", list(report.conditions)),
        ("trained whole", folded_names(name for name, _ in compiled.survey.trained_whole)),
        ("not adapted", columns(_left_out(compiled), indent=0)),
        ("notes", list(compiled.notes)),
    )
    for title, lines in sections:
        if lines:
            yield ""
            yield title
            yield from (f"  {line}" for line in lines)
    yield ""
    stored = report.stored_line()
    if stored:
        yield stored
    yield report.total_line()


def _facts(compiled: Compiled) -> list[tuple[str, ...]]:
    return [row for section in compiled.spec.explain().sections if section.title == "facts" for row in section.rows]


def _left_out(compiled: Compiled) -> list[tuple[str, str]]:
    """Every reason once, with the folded names of the modules that it holds for."""
    from specdsl.runtime.folded_names import folded_names

    reasons: dict[str, list[str]] = {}
    for name, why in compiled.report.skipped:
        reasons.setdefault(why, []).append(name)
    return [(name, why) for why, names in reasons.items() for name in folded_names(names)]


def _share(flops: int, floor: int) -> str:
    return percent_text(flops / floor, signed=True) if floor else f"{flops:,}"
