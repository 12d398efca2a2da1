from __future__ import annotations

import json

import pytest

from specdsl.equivalence.atlas.cell import Cell
from specdsl.equivalence.verdict import SetResult, StartResult
from tests.equivalence.verdicts import verdict


def test_a_cell_keeps_the_relations_of_a_verdict() -> None:
    cell = Cell.of(verdict())
    assert (cell.set, cell.set_status, cell.closure, cell.pointwise, cell.kernel) == (
        "<", "proved", "<", "!=", "contained",
    )  # fmt: skip
    assert (cell.dimension_a, cell.dimension_b) == (18, 23)
    assert (cell.is_equal("set"), cell.is_equal("pointwise"), cell.is_equal("start")) == (False, False, False)


def test_a_cell_survives_json() -> None:
    cell = Cell.of(verdict(set=SetResult("?", "unknown", by_shape={"n < m": "="})))
    assert Cell.read(json.loads(json.dumps(cell.as_dict()))) == cell
    with pytest.raises(ValueError, match="not a cell"):
        Cell.read({"set": "="})


@pytest.mark.parametrize(("ratio", "inverse"), [("2", "1/2"), ("1/16", "16"), ("3/2", "2/3"), ("c^2", "1/(c^2)")])
def test_the_other_order_turns_everything_round(ratio: str, inverse: str) -> None:
    start = StartResult("?", "proved", identity_a=True, kernel="proportional", ratio=ratio, direction="a in b")
    there = Cell.of(verdict(start=start)).mirrored()
    assert (there.set, there.closure, there.ratio, there.direction) == (">", ">", inverse, "b in a")
    assert (there.identity_a, there.identity_b, there.dimension_a) == (False, True, 23)


def test_undecided_senses_are_none() -> None:
    assert Cell().is_equal("set") is None
    assert not Cell().is_decided
    assert Cell(by_shape={"n < m": "="}).is_decided
