"""Starts: the values and the tangent kernels."""

from __future__ import annotations

import pytest

from specdsl.equivalence.decide import equivalent

ELSEWHERE = "\nstarts: elsewhere"


@pytest.mark.parametrize(
    ("a", "b", "same_value", "is_equal"),
    [
        ("W + A@B", "W + C@D", True, True),
        ("W + A@A.T | A : n x r ~ kaiming" + ELSEWHERE, "W + C@C.T | C : n x r ~ kaiming" + ELSEWHERE, True, True),
        ("W + s*W | s : 1 ~ 1" + ELSEWHERE, "W + s*W | s : 1 ~ 2" + ELSEWHERE, False, False),
        ("W + A@A.T | A : n x r ~ kaiming" + ELSEWHERE, "W + A@B", False, False),
    ],
)
def test_specs_start_alike_if_values_and_kernels_do(a: str, b: str, same_value: bool, is_equal: bool) -> None:
    verdict = equivalent(a, b, sense="start")
    assert (verdict.start.same_value, verdict.is_equal("start")) == (same_value, is_equal)
