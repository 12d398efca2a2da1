"""What the conformance suite found, as tables: a row for every property, a column for every layer."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, TypeVar

import click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from specdsl.printing.counted import counted

if TYPE_CHECKING:
    from specdsl.runtime.conform.outcome import Outcome
    from specdsl.runtime.conform.report import CaseReport, SpecReport

Key = TypeVar("Key")

_WIDEST = 250
_STYLES = {"held": "green", "failed": "bold red", "does not apply": "dim"}
_MANY = 8
"""With more cases than this a table has a row for every case and no column for every property."""


def print_reports(reports: Sequence[SpecReport]) -> None:
    """Print each spec's table, what failed in words, the refusals with their reasons, and the totals."""
    # A file or a pipe has no width: there every row stays on one line.
    console = Console(width=None if sys.stdout.isatty() else _WIDEST, highlight=False)
    for report in reports:
        click.echo(report.label)
        if not report.is_refused:
            with console.capture() as table:
                console.print(_table(report))
            click.echo("\n".join(line.rstrip() for line in table.get().splitlines() if line.strip()))
        for line in _lines(report):
            console.print(Text(f"  {line}"), soft_wrap=True)
        click.echo()
    click.echo(_totals(reports))


def _table(report: SpecReport) -> Table:
    cases = [case for case in report.cases if case.refusal is None]
    return _by_case(cases) if len(cases) > _MANY else _by_property(cases)


def _by_property(cases: Sequence[CaseReport]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("property")
    for case in cases:
        table.add_column(case.heading.replace(" ", "\n", 1), justify="center")
    for name in dict.fromkeys(name for case in cases for name in case.outcomes):
        outcomes = [case.outcomes.get(name) for case in cases]
        table.add_row(Text(name), *(_cell(outcome) for outcome in outcomes))
    return table


def _by_case(cases: Sequence[CaseReport]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    table.add_column("case", overflow="fold")
    for heading in ("held", "failed", "does not apply"):
        table.add_column(heading, justify="right", no_wrap=True)
    for case in cases:
        statuses = [outcome.status for outcome in case.outcomes.values()]
        counts = [statuses.count(status) for status in ("held", "failed", "does not apply")]
        table.add_row(Text(case.heading), *(str(count) for count in counts))
    return table


def _cell(outcome: Outcome | None) -> Text:
    if outcome is None:
        return Text("")
    shown = f"✗ {outcome.numbers}".rstrip() if outcome.status == "failed" else outcome.mark
    return Text(shown, _STYLES[outcome.status])


def _lines(report: SpecReport) -> Iterable[str]:
    """Failures in words, then why layers refuse the spec and why properties do not apply, each reason once."""
    if report.left_out:
        yield f"without {_listed([f'`{text}`' for text in report.left_out])}: nothing carries events out here"
    failed = (
        ((name, outcome.explained), case.heading) for case in report.cases for name, outcome in case.failures.items()
    )
    for (name, explained), cases in _grouped(failed).items():
        yield f"✗ {name}, {_listed(cases)}: {explained}"
    for reason, cases in _grouped((case.refusal, case.heading) for case in report.cases).items():
        yield f"refused by {_listed(cases)}: {reason}"
    skipped = (
        (outcome.reason, name)
        for case in report.cases for name, outcome in case.outcomes.items() if outcome.status == "does not apply"
    )  # fmt: skip
    for reason, names in _grouped(skipped).items():
        yield f"· {_listed(names)}: {reason}"


def _grouped(pairs: Iterable[tuple[Key | None, str]]) -> dict[Key, list[str]]:
    """The entries of every key that is not None, each entry once."""
    found: dict[Key, list[str]] = {}
    for reason, entry in pairs:
        if reason is not None and entry not in found.setdefault(reason, []):
            found[reason].append(entry)
    return found


def _listed(entries: Sequence[str]) -> str:
    shown = "; ".join(entries[:_MANY])
    return shown if len(entries) <= _MANY else f"{shown} and {len(entries) - _MANY} more"


def _totals(reports: Sequence[SpecReport]) -> str:
    cases = [case for report in reports for case in report.cases]
    refused = sum(case.refusal is not None for case in cases)
    counts = [report.counts() for report in reports]
    held, failed, skipped = (sum(count[key] for count in counts) for key in ("held", "failed", "does not apply"))
    whole = sum(report.is_refused for report in reports)
    where = f"{counted(len(reports), 'spec')} in {counted(len(cases) - refused, 'layer')}"
    lines = [f"{where}: {held:,} held, {failed:,} failed, {skipped:,} did not apply"]
    if refused:
        lines.append(
            f"refused: {counted(refused, 'layer')}" + (f", {counted(whole, 'spec')} everywhere" if whole else "")
        )
    return "\n".join(lines)
