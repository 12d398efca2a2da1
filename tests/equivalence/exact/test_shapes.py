"""Shapes meet the size conditions of both specs, in every cell that has any."""

from __future__ import annotations

from typing import Any

import pytest

import specdsl
from specdsl.equivalence.exact.shapes import CELLS, environments, shapes_for
from specdsl.equivalence.subject import Subject, subjects


def pair(a: str, b: str = "W + A@B") -> tuple[Subject, Subject]:
    return subjects(specdsl.parse(a), specdsl.parse(b))


@pytest.mark.parametrize(
    "text",
    ["W + A@B", "W + kron(A, B) | A : 2 x 2 ~ zeros | B : n/2 x m/2 ~ kaiming",
     "blockdiag(cayley(skew_from(q)))@W | q : n/2 x 1 ~ zeros"],
)  # fmt: skip
def test_every_cell_has_sizes_that_meet_all_conditions(text: str) -> None:
    both = pair(text)
    found = shapes_for(both)
    assert tuple(found) == CELLS
    for cell, shape in found.items():
        n, m = shape.sizes["n"], shape.sizes["m"]
        assert CELLS[(n >= m) + (n > m)] == cell
        for subject, environment in zip(both, environments(both, shape), strict=True):
            assert all(condition.holds(environment) for condition in subject.ir.conditions)


def test_sizes_are_larger_than_the_rank_bounds() -> None:
    for shape in shapes_for(pair("W + (A@B) .* (C@D)")).values():
        assert min(shape.sizes["n"], shape.sizes["m"]) > 4
        assert shape.sizes["r"] == 2


def test_a_square_update_has_one_cell() -> None:
    assert list(shapes_for(pair("W + A@A.T | A : n x r ~ kaiming | starts: elsewhere"))) == ["n = m"]


def test_given_conditions_are_met() -> None:
    def at_most(environment: Any) -> bool:
        return bool(environment["r"] >= environment["n"])

    found = shapes_for(pair("W + A@B"), r=4, conditions=at_most, larger_than=0)
    assert found
    assert all(shape.sizes["n"] <= 4 for shape in found.values())


def test_large_hyper_parameters_shrink_together() -> None:
    found = shapes_for(pair("W + A@B | r = 16", "W + A@B | r = 32"))
    for shape in found.values():
        assert [hyper["r"] for hyper in shape.hyper] == [2, 4]


def test_the_rank_of_one_spec_may_be_set_and_that_of_the_other_open() -> None:
    both = pair("W + A@B | r = 3", "W + A@B")
    shape = shapes_for(both)["n < m"]
    assert [environment["r"] for environment in environments(both, shape)] == [3, 2]
