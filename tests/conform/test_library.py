"""Every method of the library conforms in every layer type, at the depth that CI has time for."""

from __future__ import annotations

from pathlib import Path

import pytest

import specdsl
from specdsl.library_specs import library_names
from specdsl.runtime.conform.matrix import cells, notes_of, row_line
from specdsl.runtime.conform.suite import conform, parts
from specdsl.spec import Spec


def cannot_be_attached(spec: Spec) -> bool:
    """Whether a spec measures data; events are left out of the suite."""
    events = {event.text for event in spec.ir.events}
    return bool(set(spec.facts.needs) - events)


SUPPORT = (Path(__file__).parents[2] / "docs" / "support.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("method", library_names())
def test_every_property_holds_and_the_table_of_support_is_current(method: str) -> None:
    spec = specdsl.parse(method)
    report = conform(spec)
    failures = {(case.heading, name): found.explained for case in report.cases for name, found in case.failures.items()}
    assert failures == {}
    for where, part in parts(spec):
        refusals = [case.refusal for case in report.cases if case.where == where]
        assert all(refusals) == cannot_be_attached(part), f"{where}: {refusals}"
    found = cells(report)
    assert row_line(method, found, found, notes_of(SUPPORT)) in SUPPORT.splitlines()
