"""What a run of the suite found, as a page: totals, by property and layer type, refusals by reason, every spec."""

from __future__ import annotations

import platform
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch

from specdsl.printing.counted import counted
from specdsl.runtime.conform.matrix import name_of, plain
from specdsl.version import VERSION

Report = Mapping[str, Any]
"""A spec's report, as `specdsl conform --json` prints it."""

STATUSES = ("held", "failed", "does not apply")


def page(reports: Sequence[Report], command: str, seconds: float) -> str:
    """A page in markdown.

    Args:
        reports: of the specs, as `--json` prints them.
        command: what was run.
        seconds: how long it took on the processors, all processes together.
    """
    cases = [case for report in reports for case in report["cases"]]
    tried = [case for case in cases if case["refused"] is None]
    statuses = Counter(outcome["status"] for case in tried for outcome in case["properties"].values())
    everywhere = [report for report in reports if all(case["refused"] is not None for case in report["cases"])]
    run = (
        f"`{command}` with specdsl {VERSION}, torch {torch.__version__}, Python {platform.python_version()}; "
        f"{seconds / 60:.0f} minutes of processor time."
    )
    totals = (
        f"{counted(len(reports), 'spec')} in {counted(len(tried), 'case')}: {statuses['held']:,} properties held, "
        f"**{statuses['failed']:,} failed**, {statuses['does not apply']:,} did not apply. "
        f"Refused with a reason: {counted(len(cases) - len(tried), 'case')}, {counted(len(everywhere), 'spec')} in all."
    )
    reasons = Counter(plain(case["refused"]) for case in cases if case["refused"])
    sections = {
        "Properties": (("property", *STATUSES, "worst in float64"), _by_property(tried)),
        "Layer types": (("layer type", "cases", "refused", *STATUSES), _by(cases, "layer")),
        "Dtypes": (("dtype", "cases", "refused", *STATUSES), _by(cases, "dtype")),
        "Refused": (("reason", "cases"), reasons.most_common()),
        "Specs": (("spec", "cases", "refused", *STATUSES), _by_spec(reports)),
    }
    lines = ["# Conformance", "", run, "", totals, "", *_failures(reports)]
    for title, (header, rows) in sections.items():
        lines += [f"## {title}", "", *_table(header, rows)]
    return "\n".join(lines).rstrip() + "\n"


def _failures(reports: Iterable[Report]) -> list[str]:
    found = [
        f"- {_name(report)}, {case['layer']}, {case['dtype']}: {name}: {outcome['reason']} {outcome['measured'] or ''}"
        for report in reports for case in report["cases"]
        for name, outcome in case["properties"].items() if outcome["status"] == "failed"
    ]  # fmt: skip
    return ["## Failures", "", *found, ""] if found else []


def _by_property(cases: Sequence[Mapping[str, Any]]) -> list[tuple[Any, ...]]:
    rows = []
    for name in dict.fromkeys(name for case in cases for name in case["properties"]):
        pairs = [(case, case["properties"][name]) for case in cases if name in case["properties"]]
        counts = Counter(outcome["status"] for _, outcome in pairs)
        exact = [
            outcome["measured"] for case, outcome in pairs
            if case["dtype"] == "float64" and isinstance(outcome["measured"], float | int)
        ]  # fmt: skip
        rows.append((name, *(counts[status] for status in STATUSES), f"{max(exact):.1g}" if exact else ""))
    return rows


def _by(cases: Sequence[Mapping[str, Any]], key: str) -> list[tuple[Any, ...]]:
    return [
        (value, *_counts([case for case in cases if case[key] == value]))
        for value in dict.fromkeys(case[key] for case in cases)
    ]


def _by_spec(reports: Iterable[Report]) -> list[tuple[Any, ...]]:
    return [(_name(report), *_counts(report["cases"])) for report in sorted(reports, key=_name)]


def _counts(cases: Sequence[Mapping[str, Any]]) -> tuple[int, ...]:
    tried = [case for case in cases if case["refused"] is None]
    counts = Counter(outcome["status"] for case in tried for outcome in case["properties"].values())
    return len(tried), len(cases) - len(tried), *(counts[status] for status in STATUSES)


def _name(report: Report) -> str:
    return name_of(report["name"], report["spec"])


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> list[str]:
    """A table whose first column is text and whose others are numbers."""
    shown = [[f"{entry:,}" if isinstance(entry, int) else str(entry) for entry in row] for row in rows]
    return [f"| {' | '.join(row)} |" for row in (header, ["---", *["--:"] * (len(header) - 1)], *shown)] + [""]
