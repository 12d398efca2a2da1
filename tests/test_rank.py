"""Bounds on the rank of W' - W from its structure; tests of facts hold them to numbers."""

from __future__ import annotations

import pytest

import specdsl
from specdsl.affine import W, adapted_weight
from specdsl.rank import difference_terms, rank_bound


def bound_of(text: str) -> str | None:
    ir = specdsl.parse(text).ir
    found = rank_bound(ir, adapted_weight(ir)["W"])
    return None if found is None else str(found)


@pytest.mark.parametrize(
    ("text", "bound"),
    [
        ("W + A@B - C@D", "2*r"),
        ("W + (A@B) .* v", "r"),
        ("W + outer(u, v)", "1"),
        ("W .* (1 + A@B)", None),
        ("W + D", None),
    ],
)
def test_terms_bound_the_rank(text: str, bound: str | None) -> None:
    assert bound_of(text) == bound


def test_a_bound_too_long_to_be_written_tells_nothing() -> None:
    powers = " | ".join(f"d{i + 1} = (d{i} + {chr(67 + 2 * i)}@{chr(68 + 2 * i)}) .* d{i}" for i in range(7))
    ranks = " | ".join(f"{chr(67 + 2 * i)} : n x k{i} | k{i} = {i + 2}" for i in range(7))
    assert bound_of(f"d0 = A@B | {powers} | {ranks} | W' = W + d7") is None


def test_the_difference_is_told_where_the_weight_stands_once() -> None:
    ir = specdsl.parse("W + A@B").ir
    assert difference_terms(W) == []
    assert len(difference_terms(ir.targets["W"]) or []) == 1
    assert difference_terms(specdsl.parse("W .* (1 + A@B)").ir.targets["W"]) is None
