"""Pairs with known answers, near misses among them: no definite verdict is wrong."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from specdsl.equivalence.decide import equivalent

ROWS = list(
    csv.DictReader(
        Path(__file__).with_name("more_pairs.tsv").read_text(encoding="utf-8").splitlines(),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)


@pytest.mark.parametrize("row", ROWS, ids=[f"{row['a']} and {row['b']}" for row in ROWS])
def test_no_definite_verdict_is_wrong(row: dict[str, str]) -> None:
    verdict = equivalent(row["a"], row["b"], assume=[row["assume"]] if row["assume"] else [])
    assert verdict.pointwise.relation in (row["pointwise"], "?")
    assert verdict.set.relation in (row["set"], "?"), row["reason"]
    if verdict.set.relation == "=":
        assert verdict.set.closure == "="
