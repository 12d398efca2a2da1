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
def test_the_verdict_is_the_known_one(row: dict[str, str]) -> None:
    """`x?` in the table is `x` that may stay unknown, `?` alone what has to stay so."""
    verdict = equivalent(row["a"], row["b"], assume=[row["assume"]] if row["assume"] else [])
    for found, wanted in ((verdict.pointwise.relation, row["pointwise"]), (verdict.set.relation, row["set"])):
        assert found in ((wanted[:-1], "?") if wanted.endswith("?") else (wanted,)), row["reason"]
    if verdict.set.relation == "=":
        assert verdict.set.closure == "="
