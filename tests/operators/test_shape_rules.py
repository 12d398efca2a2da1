"""Shape rules over symbols: what they infer, what they demand, what they refuse."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Any

import pytest

from specdsl.elaborate.signatures import operator_shape
from specdsl.elaborate.solver import ShapeSolver
from specdsl.errors import SpecShapeError
from specdsl.operators import find_operator
from specdsl.operators.rotations import triangular_root
from specdsl.sizes import Size
from specdsl.source import Source, Span

n, m, k, r = map(Size.symbol, "nmkr")
ONE, TWO = Size.of(1), Size.of(2)


def solver() -> ShapeSolver:
    made = ShapeSolver(lambda size: size.constant)
    made.span = Span(Source("W"), 0, 1)
    return made


def shape(name: str, *shapes: tuple[Size, ...], context: ShapeSolver | None = None, **options: Any) -> Any:
    operator = find_operator(name)
    assert operator is not None
    return operator_shape(context or solver(), operator, shapes, options, name)


@pytest.mark.parametrize(
    ("name", "shapes", "options", "expected"),
    [
        ("diag", [(k, r)], {}, (k, r, r)),
        ("kron", [(n, m), (k, r)], {}, (n * k, m * r)),
        ("tile", [(r, m)], {"rows": n}, (n, m)),
        ("tile", [(r, k)], {"rows": n, "cols": m}, (n, m)),
        ("blocks", [(n, m)], {"p": r, "q": k}, (n / r, m / k, r, k)),
        ("unblocks", [(n / r, m / k, r, k)], {}, (n, m)),
        ("blockdiag", [(k, n, m)], {}, (k * n, k * m)),
        ("blockdiag", [(n, m), (k, r)], {}, (n + k, m + r)),
        ("skew_from", [(n / k, k * (k - 1) / 2)], {}, (n / k, k, k)),
        ("lower_from", [(n, r * (r + 1) / 2)], {}, (n, r, r)),
        ("sym_from", [(n * (n + 1) / 2,)], {}, (n, n)),
        ("sym_from", [(Size.of(6),)], {}, (Size.of(3), Size.of(3))),
        ("householder", [(n, r)], {}, (n, n)),
        ("reshape", [(n, m)], {"shape": (n / k, k * m)}, (n / k, k * m)),
        ("rearrange", [(n, m)], {"pattern": "(a b) c -> a (b c)", "sizes": (("a", k),)}, (k, n * m / k)),
        ("einsum", [(k,), (k, n, r)], {"pattern": "k, k n r -> n r"}, (n, r)),
        ("take", [(n, m), (k,)], {}, (k, m)),
        ("take", [(n,), (k,)], {}, (k,)),
        ("slice", [(n, m)], {"items": ((Size.of(0), r, ONE),)}, (r, m)),
        ("slice", [(n, m)], {"items": ((n - r, None, None), TWO)}, (r,)),
        ("slice", [(n, m)], {"items": ((None, None, TWO),)}, (Size.opaque("ceil", n / 2), m)),
        ("scatter", [(k,), (k,)], {"n": m, "m": n}, (m, n)),
        ("permute", [(n, m), (n,)], {}, (n, m)),
        ("butterfly", [], {"n": n, "k": k, "i": ONE}, (n,)),
        ("pairs", [(n, TWO * r)], {}, (n, TWO * r)),
        ("svd", [(n, m)], {}, ((n, Size.opaque("min", n, m)), (Size.opaque("min", n, m),),
                               (Size.opaque("min", n, m), m))),
        ("sum", [(n, m)], {}, ()),
        ("mean", [(n, m)], {"axis": 0}, (m,)),
        ("sum", [(n, m)], {"axis": -1}, (n,)),
        ("max", [(n, m)], {}, ()),
        ("min", [(), (n, m), (m,)], {}, (n, m)),
    ],
)  # fmt: skip
def test_shapes_follow_from_symbols(name: str, shapes: list[Any], options: dict[str, Any], expected: Any) -> None:
    assert shape(name, *shapes, **options) == expected


@pytest.mark.parametrize(
    ("name", "shapes", "options", "reason"),
    [
        ("skew_from", [(n,)], {}, "it takes k*(k - 1)/2 entries for a k x k matrix, and n is not of"),
        ("skew_from", [(Size.of(7),)], {}, "and 7 is not of that form"),
        ("lower_from", [(n,)], {}, "it takes k*(k + 1)/2 entries for a k x k matrix, and n is not of"),
        ("reshape", [(k, r)], {"shape": (k, k, r)}, "keeps the number of entries: k*r is not k^2*r"),
        ("tile", [(n,)], {"rows": n}, "`tile`: it takes a matrix"),
        ("blockdiag", [(n,)], {}, "`blockdiag`: it takes one stack of matrices, or several matrices"),
        ("einsum", [(n,)], {"pattern": "a, b -> a b"}, "is for 2 arrays, but 1 are given"),
        ("einsum", [(n, m)], {"pattern": "a -> a"}, "array 1 of `a -> a` has 1 axes"),
        ("einsum", [(r,), (k,)], {"pattern": "a, a -> a"}, "the axis `a` of `a, a -> a`: r is not k"),
        ("take", [(), (k,)], {}, "`take`: a number has no entries to take"),
        ("slice", [(TWO, m)], {"items": ((ONE, Size.of(3), ONE),)}, "more than there is"),
        ("slice", [(TWO, m)], {"items": (TWO,)}, "a place is beyond the end: 3 is more than 2"),
        ("permute", [(r, m), (k,)], {}, "`permute` needs one index per row: r is not k"),
        ("permute", [(r, k), (r,)], {"both": True}, "`permute` needs one index per column: k is not r"),
        ("butterfly", [], {"n": Size.of(12), "k": TWO, "i": TWO}, "joins 2^i blocks: 1/2 is 0.5"),
        ("butterfly", [], {"n": Size.of(6), "k": TWO, "i": ONE}, "halves the blocks: 3/2 is 1.5"),
        ("pairs", [(n, Size.of(5))], {}, "`pairs` needs an even number of columns"),
        ("pairs", [(n,)], {}, "`pairs`: it takes a matrix"),
        ("keep", [(Size.of(3),)], {"k": Size.of(4)}, "`keep` keeps more than there is: 4 is more than 3"),
        ("keep", [()], {"k": ONE}, "`keep`: it takes a vector or a matrix"),
        ("sum", [(n, m)], {"axis": 2}, "`sum`: there is no axis 2; the array has 2"),
        ("max", [(r,), (k,)], {}, "`max` and `min` of several arrays compare entry by entry: k is not r"),
    ],
)  # fmt: skip
def test_arguments_that_do_not_fit_are_refused(
    name: str, shapes: list[Any], options: dict[str, Any], reason: str
) -> None:
    with pytest.raises(SpecShapeError, match=re.escape(reason)):
        shape(name, *shapes, **options)


def test_demands_on_module_sizes_become_conditions() -> None:
    context = solver()
    shape("butterfly", context=context, n=n, k=Size.of(4), i=ONE)
    shape("pairs", (n, m), context=context)
    shape("rearrange", (n, m), context=context, pattern="(a b) c -> a b c", sizes=(("b", Size.of(3)),))
    assert {condition.kind for condition in context.conditions} == {"whole"}
    assert {condition.left for condition in context.conditions} == {n / 4, n / 8, m / 2, n / 3}


def test_entries_still_unknown_are_solved_from_the_matrix() -> None:
    context = solver()
    entries = context.fresh()
    side, _ = shape("skew_from", (entries,), context=context)
    context.same(side, k, "the product")
    assert context.resolved(entries) == k * (k - 1) / 2
    packed = context.fresh()
    side, _ = shape("sym_from", (packed,), context=context)
    context.same(side, k, "the product")
    assert context.resolved(packed) == k * (k + 1) / 2


@pytest.mark.parametrize(
    "root", [k, n / k, k + 1, k * 2 - 1, r * k / 2, k.power(Fraction(1, 2)), Size.of(2), Size.of(9)], ids=str
)
def test_the_side_is_found_from_the_number_of_entries(root: Size) -> None:
    assert triangular_root(root * (root - 1) / 2) == root


@pytest.mark.parametrize("entries", [n, n * m, k * (k + 1) / 2 + 1, k * (k - 1), Size.of(2), Size.of(-1)], ids=str)
def test_other_numbers_of_entries_have_no_side(entries: Size) -> None:
    assert triangular_root(entries) is None
