"""Sizes and their conditions in print."""

from __future__ import annotations

import pytest

from specdsl.ir import Condition
from specdsl.printing.size_syntax import balanced, condition_text, size_syntax
from specdsl.printing.syntax_text import SyntaxText
from specdsl.sizes import Size
from specdsl.source import Source, Span

N, M, R = (Size.symbol(name) for name in "nmr")
NARROW = Size.opaque("min", N, M)


def condition(kind: str, left: Size, right: Size) -> Condition:
    return Condition(kind, left, right, "", Span(Source(""), 0, 0))


@pytest.mark.parametrize("size", [N, R * 2, N / R, R * (R - 1) / 2, NARROW - R, N // R, Size.opaque("layers.max", N)])
def test_sizes_print_in_the_language(size: Size) -> None:
    assert SyntaxText().expression(size_syntax(size)).replace(" ", "") == str(size).replace(" ", "")


@pytest.mark.parametrize(
    ("kind", "left", "right", "text"),
    [
        ("at_most", Size.of(0), NARROW - R, "r <= min(m, n)"),
        ("at_most", R, NARROW, "r <= min(m, n)"),
        ("equal", N - R, M, "n = m + r"),
        ("whole", N / R, N / R, "n/r is a whole number"),
    ],
)
def test_conditions_read_without_minus(kind: str, left: Size, right: Size, text: str) -> None:
    assert condition_text(condition(kind, left, right)) == text


def test_a_balanced_condition_holds_for_the_same_sizes() -> None:
    original = condition("at_most", N - R, NARROW - M)
    left, right = balanced(original)
    for sizes in ({"n": 4, "m": 6, "r": 3}, {"n": 6, "m": 4, "r": 1}, {"n": 3, "m": 3, "r": 3}):
        assert (left.value(sizes) <= right.value(sizes)) == original.holds(sizes)
