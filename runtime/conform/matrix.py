"""Specs by layer types: where each trains and merges, where it only trains, and why it is refused elsewhere."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from specdsl.printing.counted import counted
from specdsl.runtime.conform.merging import merges_to_the_same_output
from specdsl.runtime.conform.outcome import Outcome
from specdsl.runtime.conform.report import CaseReport, SpecReport

MERGES, TRAINS, REFUSED = "✓", "○", "–"


@dataclass(frozen=True)
class Cell:
    """What a layer type is to a spec.

    Attributes:
        mark: `MERGES` (trains and merges), `TRAINS` or `REFUSED`.
        reason: why not more, without the names and numbers of the case.
    """

    mark: str
    reason: str = ""


def cells(report: SpecReport) -> dict[str, Cell]:
    """The cell of every layer type that the report tries; of a spec in parts the weakest part counts."""
    found: dict[str, list[Cell]] = {}
    for case in report.cases:
        found.setdefault(case.layer, []).append(_cell(case))
    return {layer: max(each, key=lambda cell: (MERGES, TRAINS, REFUSED).index(cell.mark))
            for layer, each in found.items()}  # fmt: skip


def _cell(case: CaseReport) -> Cell:
    if case.refusal is not None:
        return Cell(REFUSED, plain(case.refusal))
    merging = case.outcomes.get(merges_to_the_same_output.name, Outcome("held"))
    return Cell(TRAINS, plain(merging.reason)) if merging.status == "does not apply" else Cell(MERGES)


def plain(reason: str) -> str:
    """A reason without what only this spec or layer has: names, expressions, numbers.

    >>> plain("`layers.0.up` cannot carry this spec: it is a stack of 3 matrices")
    'it is a stack of matrices'
    """
    text = re.sub(r"^.*? cannot (carry this spec|take the same factors): ", "", reason)
    text = re.sub(r"^no small layer meets its size conditions: .*", "no such layer meets its size conditions", text)
    text = re.sub(r"^`[^`]*` is (an? )", r"\1", text)
    text = re.sub(r"^.*(is not a weight and cannot be merged): .*", r"the spec \1", text)
    text = re.sub(r"`[^`]*`", "`…`", text)
    return re.sub(r"stack of \d+", "stack of", text)


def page(reports: Sequence[SpecReport]) -> str:
    """The matrix in markdown: a row for each spec, reasons in footnotes, refused cells counted by reason."""
    rows = {name_of(report.name, report.label): cells(report) for report in reports}
    layers = list(dict.fromkeys(layer for row in rows.values() for layer in row))
    notes = _notes(rows.values())
    every = [cell for row in rows.values() for cell in row.values()]
    counts = {mark: sum(cell.mark == mark for cell in every) for mark in (MERGES, TRAINS, REFUSED)}
    totals = (
        f"{counted(len(rows), 'spec')} in {counted(len(layers), 'layer type')}: "
        f"{counts[MERGES]:,} cells train and merge (`{MERGES}`), "
        f"{counts[TRAINS]:,} train and do not merge (`{TRAINS}`), {counts[REFUSED]:,} are refused (`{REFUSED}`). The "
        "numbers are those of the reasons below. Specs with events are attached with `events=False`."
    )
    head = [f"| spec | {' | '.join(layers)} |", f"| --- | {' | '.join([':-:'] * len(layers))} |"]
    lines = ["# Support", "", totals, "", *head, *(row_line(name, row, layers, notes) for name, row in rows.items())]
    lines += ["", "| | reason | cells |", "| --: | --- | --: |"]
    for reason, number in notes.items():
        lines.append(f"| {number} | {reason} | {sum(cell.reason == reason for cell in every):,} |")
    return "\n".join(lines) + "\n"


def notes_of(text: str) -> dict[str, int]:
    """The numbers of the reasons on a page."""
    found = re.findall(r"^\| (\d+) \| (.+) \| [\d,]+ \|$", text, re.MULTILINE)
    return {reason: int(number) for number, reason in found}


def row_line(name: str, row: Mapping[str, Cell], layers: Iterable[str], notes: Mapping[str, int]) -> str:
    """The row of one spec."""
    shown = [f"{row[layer].mark}{notes.get(row[layer].reason, '')}" if layer in row else "" for layer in layers]
    return f"| {name} | {' | '.join(shown)} |"


def name_of(name: str, label: str) -> str:
    """What tables call a spec: the file it came from, or what it says."""
    return label if not name or name.startswith("<") else name.removesuffix(".spec")


def _notes(rows: Iterable[Mapping[str, Cell]]) -> dict[str, int]:
    """Every reason with its number, refusals first, each by how often it occurs."""
    counted: dict[tuple[bool, str], int] = {}
    for row in rows:
        for cell in row.values():
            if cell.reason:
                key = (cell.mark != REFUSED, cell.reason)
                counted[key] = counted.get(key, 0) + 1
    ordered = sorted(counted, key=lambda key: (key[0], -counted[key], key[1]))
    return {reason: number for number, (_, reason) in enumerate(ordered, 1)}
