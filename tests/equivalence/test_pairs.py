"""The pairs of `pairs.tsv`, in all senses: no definite verdict is wrong, nearly all are definite, and none of them
depends on how the specs are written."""

from __future__ import annotations

import csv
import re
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.verdict import Verdict
from tests.equivalence.rewritten import new_names, permuted, reassociated, renamed

ROWS = {
    row["id"]: row
    for row in csv.DictReader(
        Path(__file__).with_name("pairs.tsv").read_text(encoding="utf-8").splitlines(),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
}
MIRRORED = {"<": ">", ">": "<"}


@cache
def decided(a: str, b: str, assume: str) -> Verdict:
    return equivalent(a, b, assume=[assume] if assume else [])


def of_row(row: dict[str, str]) -> Verdict:
    return decided(row["a"], row["b"], row["assume"])


def relations(verdict: Verdict) -> dict[str, Any]:
    """Every relation of a verdict and how it is known, without the evidence."""
    sets, start = verdict.set, verdict.start
    return {
        "pointwise": (verdict.pointwise.relation, verdict.pointwise.status),
        "set": (sets.relation, sets.status, sets.closure, sets.translate, dict(sets.by_shape)),
        "start": (start.kernel, start.status, start.ratio, start.direction, start.identity_a, start.identity_b),
    }


def is_definite(relation: str, status: str) -> bool:
    return relation != "?" and status != "unknown"


@pytest.mark.parametrize("number", ROWS)
def test_no_definite_verdict_differs_from_the_table(number: str) -> None:
    row, verdict = ROWS[number], of_row(ROWS[number])
    assert verdict.pointwise.relation in (row["pointwise"], "?")
    assert verdict.set.relation in (row["set"], "?")
    assert verdict.set.closure in (row["closure"], "?")
    kernel = re.fullmatch(r"(\S+)(?: \((.*)\))?", row["kernel"])
    assert kernel is not None
    if kernel[1] != "?":
        assert verdict.start.kernel in (kernel[1], "?")
    if kernel[2] and verdict.start.kernel != "?":
        assert verdict.start.direction == kernel[2]


@pytest.mark.parametrize("number", [number for number, row in ROWS.items() if "translate" in row["note"]])
def test_translates_are_recognised(number: str) -> None:
    assert of_row(ROWS[number]).set.translate


@pytest.mark.parametrize("number", [number for number, row in ROWS.items() if re.search(r"ratio \S", row["note"])])
def test_ratios_of_proportional_kernels(number: str) -> None:
    row, start = ROWS[number], of_row(ROWS[number]).start
    stated = re.search(r"ratio (\S+?):?(?= |$)", row["note"])
    values = {"c^2": "4"}  # with `c = 2`
    if start.kernel == "proportional" and stated is not None:
        assert start.ratio is not None
        assert Fraction(start.ratio) == Fraction(values.get(stated[1], stated[1]))


def test_nearly_all_pairs_are_decided() -> None:
    assert len(ROWS) == 33
    pointwise = [of_row(row).pointwise for row in ROWS.values()]
    sets = [of_row(row).set for row in ROWS.values()]
    assert sum(is_definite(one.relation, one.status) for one in pointwise) >= 30
    assert sum(is_definite(one.relation, one.status) for one in sets) >= 30


@pytest.mark.parametrize("number", ROWS)
def test_names_of_factors_do_not_matter(number: str) -> None:
    row = ROWS[number]
    names = new_names(row["a"], row["b"])
    again = decided(renamed(row["a"], names), renamed(row["b"], names), row["assume"])
    assert relations(again) == relations(of_row(row))


@pytest.mark.parametrize("number", ROWS)
def test_the_order_of_summands_does_not_matter(number: str) -> None:
    row = ROWS[number]
    again = decided(permuted(row["a"]), permuted(row["b"]), row["assume"])
    assert relations(again) == relations(of_row(row))


@pytest.mark.parametrize("number", ROWS)
def test_the_brackets_of_products_do_not_matter(number: str) -> None:
    row = ROWS[number]
    again = decided(reassociated(row["a"]), reassociated(row["b"]), row["assume"])
    assert relations(again) == relations(of_row(row))


@pytest.mark.parametrize("number", ROWS)
def test_the_order_of_the_two_does_not_matter(number: str) -> None:
    row, verdict = ROWS[number], of_row(ROWS[number])
    again = decided(row["b"], row["a"], row["assume"])
    assert again.pointwise.relation == verdict.pointwise.relation
    assert again.set.relation == MIRRORED.get(verdict.set.relation, verdict.set.relation)
    assert again.set.closure == MIRRORED.get(verdict.set.closure, verdict.set.closure)
    assert again.start.kernel == verdict.start.kernel
