"""Patterns over named axes are read, solved for symbols and refused with a reason."""

from __future__ import annotations

import re

import pytest

from specdsl.elaborate.solver import ShapeSolver
from specdsl.errors import SpecShapeError
from specdsl.operators.axis_patterns import Rearrangement, einsum_letters, rearrange_steps
from specdsl.sizes import Size
from specdsl.source import Source, Span

n, m, k = map(Size.symbol, "nmk")


def solver() -> ShapeSolver:
    made = ShapeSolver(lambda size: size.constant)
    made.span = Span(Source("W"), 0, 1)
    return made


def test_names_are_local_and_may_be_long() -> None:
    assert einsum_letters("rows inner, inner n -> n rows") == "ab,bc->ca"


def test_nothing_on_the_right_is_a_number() -> None:
    assert einsum_letters("a b, a b ->") == "ab,ab->"


def test_a_group_is_divided_by_what_is_known_of_it() -> None:
    plan = Rearrangement.read("(a b) c -> a c b")
    sizes = plan.sizes((n, m), {"a": k}, solver().same)
    assert plan.result(sizes) == (k, m, n / k)


def test_joined_axes_are_multiplied() -> None:
    plan = Rearrangement.read("a c b d -> (a c) (b d)")
    sizes = plan.sizes((n, k, m, Size.of(3)), {}, solver().same)
    assert plan.result(sizes) == (n * k, m * 3)


def test_an_axis_of_1_appears_and_vanishes() -> None:
    assert rearrange_steps("1 a -> a 1 1", (1, 4), ()) == ((4,), (0,), (4, 1, 1))


def test_a_stated_size_is_compared_with_the_axis() -> None:
    with pytest.raises(SpecShapeError, match=re.escape("the pattern `a b -> b a`: 5 is not 4")):
        Rearrangement.read("a b -> b a").sizes((Size.of(5), m), {"a": Size.of(4)}, solver().same)


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a b", "the pattern `a b` has one `->` between its two sides"),
        ("a -> b -> a", "the pattern `a -> b -> a` has one `->` between its two sides"),
        ("(a b -> a b", "a bracket is never closed in the pattern `(a b`"),
        ("a) b -> a b", "`)` cannot stand in the pattern `a) b`"),
        ("((a) b) -> a b", "`(` cannot stand in the pattern `((a) b)`"),
        ("a ... -> ... a", "`...` cannot stand in the pattern `a ...`"),
        ("a 2 -> a", "`2` cannot stand in the pattern `a 2`"),
        ("a a -> a", "the axis `a` stands twice on one side of `a a -> a`"),
        ("a b -> a", "the axis `b` stands on only one side of `a b -> a`"),
    ],
)
def test_a_wrong_rearrangement_says_why(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        Rearrangement.read(pattern)


@pytest.mark.parametrize(
    ("pattern", "given", "reason"),
    [
        ("(a b) c -> a b c", {}, "the sizes of `a`, `b` in `(a b) c -> a b c` have to be given"),
        ("a b c -> c b a", {}, "the pattern `a b c -> c b a` is for 3 axes, but there are 2"),
        ("a b -> b a", {"d": k}, "`d` is no axis of `a b -> b a`"),
    ],
)
def test_sizes_that_do_not_fit_say_why(pattern: str, given: dict[str, Size], reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        Rearrangement.read(pattern).sizes((n, m), given, solver().same)


def test_numbers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=re.escape("is not a whole number")):
        rearrange_steps("(a b) -> a b", (7,), (("a", 2),))


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("a (b c) -> a", "`einsum` has plain axes only, without brackets and 1: `a (b c) -> a`"),
        ("a b -> c", "the axis `c` stands only on the right of `a b -> c`"),
        ("a b -> a a", "the axis `a` stands twice on one side of `a b -> a a`"),
        ("a b", "the pattern `a b` has one `->` between its two sides"),
    ],
)
def test_a_wrong_contraction_says_why(pattern: str, reason: str) -> None:
    with pytest.raises(ValueError, match=f"^{re.escape(reason)}$"):
        einsum_letters(pattern)
