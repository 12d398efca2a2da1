from __future__ import annotations

import csv
import pickle
from itertools import product
from pathlib import Path

import pytest

from specdsl.equivalence.conditions import Conditions, Statement, shape_of
from specdsl.errors import SpecSettingError

PAIRS = Path(__file__).with_name("pairs.tsv")
ASSUMED = sorted(
    {row["assume"] for row in csv.DictReader(PAIRS.read_text().splitlines(), delimiter="\t", quoting=csv.QUOTE_NONE)}
    - {""}
)


@pytest.mark.parametrize("text", ASSUMED)
def test_every_assumption_of_the_pairs_is_understood(text: str) -> None:
    conditions = Conditions.of([text])
    assert conditions.statements or conditions.relations
    assert ", ".join(conditions.texts) == text


@pytest.mark.parametrize(
    ("text", "sizes", "holds"),
    [
        ("r < min(n, m)", {"r": 2, "n": 3, "m": 2}, False),
        ("r < min(n, m)", {"r": 1, "n": 3, "m": 2}, True),
        ("n, m >= 5", {"n": 5, "m": 4}, False),
        ("n = m = 4", {"n": 4, "m": 4}, True),
        ("n = m = 4", {"n": 5, "m": 5}, False),
        ("3 < r*(n+m-r)", {"n": 2, "m": 2, "r": 1}, False),
        ("3 < r*(n+m-r)", {"n": 3, "m": 2, "r": 1}, True),
        ("2 <= r <= n != m", {"r": 2, "n": 2, "m": 2}, False),
        ("W full row rank", {"n": 3, "m": 2}, False),
        ("W full column rank", {"n": 3, "m": 2}, True),
        ("W is invertible", {"n": 3, "m": 2}, False),
        ("k < 3", {"n": 3}, True),
    ],
)
def test_relations_hold_of_sizes(text: str, sizes: dict[str, int], holds: bool) -> None:
    assert Conditions.of([text]).holds(sizes) is holds
    assert Conditions.of(where=[text]).holds(sizes) is holds


def test_statements_and_relations_mix() -> None:
    conditions = Conditions.of(["generic W, n, m >= 2", "same A0"], ["r<n"], {"n": 6})
    assert conditions.statements == {Statement.GENERIC, Statement.SAME_DRAWS}
    assert conditions.sizes == {"n": 6}
    assert conditions.texts == ("generic W", "n, m >= 2", "same A0", "r<n", "n = 6")
    assert not Conditions.of()
    assert pickle.loads(pickle.dumps(conditions)) == conditions


@pytest.mark.parametrize(
    ("text", "cells"),
    [
        ("n = m, r < n", "n=m"),
        ("W full row rank", "n<m n=m"),
        ("n != m", "n<m n>m"),
        ("r >= max(n, m), r <= n", "n=m n>m"),
        ("2*n = 3*m", "n>m"),
        ("n < k, k < m", "n<m"),
        ("alpha < 1", "n<m n=m n>m"),
        ("r >= n", "n<m n=m n>m"),
    ],
)
def test_cells_that_conditions_leave(text: str, cells: str) -> None:
    conditions = Conditions.of([text])
    assert [cell for cell in ("n<m", "n=m", "n>m") if conditions.allows_cell(cell)] == cells.split()


@pytest.mark.parametrize(("text", "follows"), [("r <= n", True), ("r + 1 <= m", True), ("r < n - 1", False)])
def test_what_follows_from_conditions(text: str, follows: bool) -> None:
    assert Conditions.of(where=["r < min(n, m)"]).implies(text) is follows


@pytest.mark.parametrize("text", ["r <= min(n, m), n < m", "n = m, r*n > 3", "max(n, r) < m", "n != m, r = n"])
def test_no_cell_with_small_sizes_in_it_is_ruled_out(text: str) -> None:
    conditions = Conditions.of([text])
    for n, m, r in product(range(1, 5), repeat=3):
        if conditions.holds({"n": n, "m": m, "r": r}):
            cell = "n<m" if n < m else "n=m" if n == m else "n>m"
            assert conditions.allows_cell(cell)


@pytest.mark.parametrize(
    ("text", "column", "message"),
    [
        ("r<n, generic V", 6, "`generic V` is not understood"),
        ("r<n, r<", 8, "a side of the relation is missing"),
        ("n, m", 1, "`n` alone says nothing"),
        ("n < rank(W)", 5, "there is no operator or function `rank`"),
        ("r<n, n m < 3", 8, "an operator is missing between `n` and `m`"),
        ("n < norm(W)", 10, "`W` is no size"),
        ("r | n < 3", 1, "`r | n` is no size"),
    ],
)
def test_unknown_texts_are_errors_with_their_place(text: str, column: int, message: str) -> None:
    with pytest.raises(SpecSettingError) as caught:
        Conditions.of([text])
    assert (caught.value.message, caught.value.column) == (message, column)
    assert caught.value.hint


@pytest.mark.parametrize("text", ["r<n, r>n", "W invertible, n<m", "n = m = 4, m > 4", "r*n < 0, r = n"])
def test_conditions_that_contradict_each_other_are_an_error(text: str) -> None:
    with pytest.raises(SpecSettingError, match="no sizes satisfy"):
        Conditions.of([text])


@pytest.mark.parametrize(
    "text", ["n", "n=", "n=0", "n=-1", "n=2.5", "n=2,n=3", "W=3", "n=9999999999999999", "n=2,,m=3"]
)
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(SpecSettingError):
        shape_of([text])


def test_shapes() -> None:
    assert shape_of([]) == {}
    assert shape_of(["n=6, m=5", "r=2"]) == {"n": 6, "m": 5, "r": 2}
    with pytest.raises(SpecSettingError):
        Conditions.of(shape={"n": True})
