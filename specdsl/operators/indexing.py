"""Entries chosen by place or by size: slices, gathering, scattering, permutations, masks of the largest."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from specdsl.arrays import Array, Arrays
from specdsl.errors import SpecSettingError, SpecShapeError
from specdsl.operators.registry import Option, Shape, ShapeContext, operator
from specdsl.sizes import Size

Items = tuple[Any, ...]
"""Per axis a whole number, or `(start, stop, step)` with None where the axis says it."""


def _size(random: Any, low: int = 1, high: int = 6) -> int:
    return int(random.integers(low, high))


# ------------------------------------------------------------------------------------------------ by place


def _rows(shapes: Sequence[Shape], options: Mapping[str, Any]) -> Size:
    return shapes[0][0]


def _take_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    if not shapes[0]:
        raise ValueError("a number has no entries to take")
    return (*shapes[1], *shapes[0][1:])


def _take_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    shape = random.integers(1, 6, size=random.integers(1, 4))
    return [random.normal(size=shape), random.integers(0, shape[0], size=random.integers(1, 6))], {}


def _take_form(forms: Any, v: Any, I: Any) -> Any:  # noqa: E741
    names = "abcd"[: len(v.shape)]
    return forms.einsum(f"z{names[0]},{names}->z{names[1:]}", forms.chosen(I, v.shape[0]), v)


@operator("take", "n m, k -> k m", form=_take_form,
          facts=["linear", "keeps_zero"], shape=_take_shape, samples=_take_samples,
          index_ranges={1: _rows}, latex="{0}[{1}]",
          torch="{0:atom}[{1}]")  # fmt: skip
def take(xp: Arrays, v: Array, I: Array) -> Array:  # noqa: E741 - the formula's name
    """`v[I]`, the entries (of a matrix: the rows) with the numbers I."""
    return xp.take(v, I, 0)


def _slice_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    items, result = options["items"], []
    for size, item in zip(shapes[0], items, strict=False):
        if isinstance(item, tuple):
            start, stop, step = (
                default if bound is None else Size.of(bound)
                for bound, default in zip(item, (Size.of(0), size, Size.of(1)), strict=True)
            )
            context.at_most(stop, size, "a slice takes more than there is")
            context.whole(stop - start, "a slice has to take something")
            result.append(stop - start if step == Size.of(1) else Size.opaque("ceil", (stop - start) / step))
        else:
            context.at_most(Size.of(item) + 1, size, "a place is beyond the end")
    return (*result, *shapes[0][len(items) :])


def _slice_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    n, m = _size(random, 3), _size(random, 2)
    kinds: list[Items] = [
        (_size(random, 0, n),),
        ((1, n, 2), (None, m - 1, None)),
        ((None, n, None), (0, m, 1)),
        (n - 1, 1),
    ]
    return [random.normal(size=(n, m))], {"items": kinds[_size(random, 0, 4)]}


def _slice_form(forms: Any, A: Any, items: Any) -> Any:
    dropped = 0
    for place, item in enumerate(items):
        axis = place - dropped
        size = A.shape[axis]
        if isinstance(item, tuple):
            start, stop, step = (
                default if bound is None else Size.of(bound)
                for bound, default in zip(item, (Size.of(0), size, Size.of(1)), strict=True)
            )
            if step != Size.of(1):
                return None
            A = forms.stretch(A, axis, start, stop)
        else:
            at = Size.of(item)
            at = at + size if at.constant is not None and at.constant < 0 else at
            A = forms.dropped(forms.stretch(A, axis, at, at + 1), axis)
            dropped += 1
    return A


@operator("slice", "... -> items", form=_slice_form, facts=["linear", "keeps_zero"], options=[Option("items", "size")],
          shape=_slice_shape, samples=_slice_samples)  # fmt: skip
def slice_(xp: Arrays, A: Array, items: Items) -> Array:
    """`A[start:stop:step, i]`: a stretch of every axis, or one place, which removes the axis."""
    kept: list[int] = []
    for axis, item in enumerate(items):
        size = A.shape[axis]
        if isinstance(item, int):
            place = item + size if item < 0 else item
            A = xp.slice(A, axis, place, place + 1)
        else:
            A = xp.slice(A, axis, *(item if isinstance(item, slice) else slice(*item)).indices(size))
            kept.append(A.shape[axis])
    return xp.reshape(A, (*kept, *A.shape[len(items) :]))


def _scatter_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    n, m = _size(random), _size(random)
    places = random.permutation(n * m)[: _size(random, 1, n * m + 1)]
    return [random.normal(size=len(places)), places], {"n": n, "m": m}


def _scatter_form(forms: Any, v: Any, I: Any, n: Any, m: Any) -> Any:  # noqa: E741
    n, m = Size.of(n), Size.of(m)
    return forms.reshape(v @ forms.chosen(I, n * m), (n, m))


@operator("scatter", "k, k -> n m", form=_scatter_form, facts=["linear", "keeps_zero"], samples=_scatter_samples,
          options=[Option("n", "size"), Option("m", "size")], torch="scatter({0}, {1}, {n}, {m})",
          index_ranges={1: lambda shapes, options: Size.of(options["n"]) * Size.of(options["m"])})  # fmt: skip
def scatter(xp: Arrays, v: Array, I: Array, n: int, m: int) -> Array:  # noqa: E741
    """The n x m matrix with v at the places I, counted row by row, and zeros elsewhere; the places differ."""
    return xp.reshape(xp.scatter(v, I, n * m), (n, m))


def _columns_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    n, m = _size(random), _size(random)
    return [random.normal(size=(n, m)), random.integers(0, m, size=_size(random))], {}


def _columns_form(forms: Any, M: Any, I: Any) -> Any:  # noqa: E741
    names = "abcd"[: len(M.shape)]
    return forms.einsum(f"z{names[-1]},{names}->{names[:-1]}z", forms.chosen(I, M.shape[-1]), M)


@operator("columns", "... n m, k -> ... n k", form=_columns_form,
          facts=["linear", "keeps_zero"], samples=_columns_samples,
          torch="{0:atom}[..., {1}]", latex="{0}_{{:, {1}}}",
          index_ranges={1: lambda shapes, options: shapes[0][-1]})  # fmt: skip
def columns(xp: Arrays, M: Array, I: Array) -> Array:  # noqa: E741
    """`M[:, I]`, the columns with the numbers I."""
    return xp.take(M, I, -1)


def _put_rows_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    n, m = _size(random), _size(random)
    k = _size(random, 1, n + 1)
    return [random.normal(size=(n, m)), random.permutation(n)[:k], random.normal(size=(k, m))], {}


def _put_rows_form(forms: Any, M: Any, I: Any, P: Any) -> Any:  # noqa: E741
    chosen = forms.chosen(I, M.shape[0])
    return M + forms.permute(chosen, (1, 0)) @ (P - chosen @ M)


@operator("put_rows", "n m, k, k m -> n m", form=_put_rows_form,
          samples=_put_rows_samples, torch="{0}.index_copy(0, {1}, {2})",
          index_ranges={1: _rows})  # fmt: skip
def put_rows(xp: Arrays, M: Array, I: Array, P: Array) -> Array:  # noqa: E741
    """M with its rows I replaced by those of P, as `W'[I, :] = P` says; the rows differ."""
    n, m = M.shape
    k = P.shape[0]
    places = xp.reshape(I, (k, 1)) * m + xp.arange(m, like=M)
    rows = xp.reshape(xp.scatter(xp.reshape(P, (k * m,)), xp.reshape(places, (k * m,)), n * m), (n, m))
    is_put = xp.scatter(xp.full((k,), 1.0, like=P), I, n)
    return xp.where(xp.reshape(is_put, (n, 1)) > 0.5, rows, M)


def _permute_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    if len(shapes[0]) != 2 or len(shapes[1]) != 1:
        raise ValueError("it takes a matrix and an index")
    context.same(shapes[0][0], shapes[1][0], "`permute` needs one index per row")
    if options.get("both"):
        context.same(shapes[0][1], shapes[1][0], "`permute` needs one index per column")
    return shapes[0]


def _permute_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    n, both = _size(random), bool(random.random() < 0.5)
    return [random.normal(size=(n, n if both else _size(random))), random.permutation(n)], {"both": both}


def _permute_form(forms: Any, M: Any, p: Any, both: bool = False) -> Any:
    chosen = forms.chosen(p, M.shape[0])
    rows = chosen @ M
    return rows @ forms.permute(chosen, (1, 0)) if both else rows


@operator("permute", "n m, n -> n m", form=_permute_form,
          facts=["linear", "keeps_zero"], options=[Option("both", "flag", False)],
          shape=_permute_shape, samples=_permute_samples, index_ranges={1: _rows})  # fmt: skip
def permute(xp: Arrays, M: Array, p: Array, both: bool = False) -> Array:
    """Row i of the value is row `p[i]` of M; with `both=true` the columns alike, `P@M@P.T`."""
    rows = xp.take(M, p, 0)
    return xp.take(rows, p, 1) if both else rows


def _butterfly_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    n, k, i = (Size.of(options[name]) for name in ("n", "k", "i"))
    context.whole(n / k, "`butterfly(n, k, i)` has k blocks")
    if i.constant != 0:  # in a fold i is not known, and not always 0
        context.whole(n / (k * 2), "`butterfly(n, k, i)` halves the blocks")
        context.whole(k / Size.opaque("power", Size.of(2), i), "`butterfly(n, k, i)` joins 2^i blocks")
    return (n,)


def _butterfly_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    i = _size(random, 0, 4)
    k = 2**i * _size(random, 1, 4)
    return [], {"n": 2 * k * _size(random, 1, 4), "k": k, "i": i}


@operator("butterfly", "-> n", shape=_butterfly_shape, samples=_butterfly_samples, facts=["constant", "places"],
          options=[Option("n", "size"), Option("k", "size"), Option("i", "size")],
          torch="butterfly({n}, {k}, {i}).to({like}.device)")  # fmt: skip
def butterfly(xp: Arrays, n: int, k: int, i: int) -> Array:
    """The permutation of the i-th butterfly factor (i from 0) over n places in k blocks.

    Every `2^i` neighbouring blocks are cut into halves; the even halves come first, then the odd ones. So a
    block diagonal of k blocks under `permute(..., both=true)` joins halves that are two apart; `i = 0`
    changes nothing.
    """
    if i == 0:
        return xp.arange(n)
    if n % (2 * k) or k % 2**i:
        raise SpecShapeError(
            f"`butterfly(n, k, i)` with i = {i} joins {2**i} of k = {k} blocks by their halves, which n = {n} does not "
            "divide into", hint="n is a multiple of 2*k, and k of 2^i",
        )  # fmt: skip
    halves = xp.reshape(xp.arange(n), (k // 2**i, 2**i, 2, n // (2 * k)))
    return xp.reshape(xp.permute(halves, (0, 2, 1, 3)), (n,))


def _pairs_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    if len(shapes[0]) < 2:
        raise ValueError("it takes a matrix")
    context.whole(shapes[0][-1] / 2, "`pairs` needs an even number of columns")
    return shapes[0]


def _pairs_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    return [random.normal(size=(*random.integers(1, 4, size=random.integers(1, 3)), 2 * _size(random)))], {}


@operator("pairs", "... n r -> ... n r", facts=["linear", "keeps_zero", "idempotent"], shape=_pairs_shape,
          samples=_pairs_samples, is_start=True, torch="{0:atom}[..., ::2].repeat_interleave(2, dim=-1)")  # fmt: skip
def pairs(xp: Arrays, M: Array) -> Array:
    """Every second column of M (first, third, ...) twice, side by side: `U : n x r ~ pairs(kaiming)`."""
    *leading, r = M.shape
    single = xp.slice(xp.reshape(M, (*leading, r // 2, 2)), -1, 0, 1)
    return xp.reshape(xp.broadcast(single, (*leading, r // 2, 2)), M.shape)


# ------------------------------------------------------------------------------------------------- by size


def amount_of(k: float, entries: int) -> int:
    """A share below 1 or a count as a count: rounded down, at least 1, at most all."""
    if not k > 0:
        raise SpecSettingError(f"a share or a count is more than 0, not {k:g}")
    wanted = k * entries if k < 1 else k
    return max(1, min(entries, math.floor(wanted + 1e-9)))


def _amount_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    A = random.normal(size=random.integers(1, 6, size=random.integers(1, 4)))
    return [A], {"k": float(random.random()) if random.random() < 0.5 else _size(random, 1, A.size + 1)}


@operator("top", "... -> ...", facts=["constant", "nonnegative", "idempotent"], samples=_amount_samples,
          options=[Option("k", "number")], torch="top({0}, {k})")  # fmt: skip
def top(xp: Arrays, A: Array, k: float) -> Array:
    """1 at the k largest entries of A, 0 elsewhere; `k < 1` is a share of the entries.

    Shares and counts are rounded down, and at least one entry is chosen; among equal entries the first.
    """
    return xp.top_mask(A, amount_of(k, math.prod(A.shape)))


@operator("bottom", "... -> ...", facts=["constant", "nonnegative"], options=[Option("k", "number")],
          samples=_amount_samples, torch="top(-{0:unary}, {k})")  # fmt: skip
def bottom(xp: Arrays, A: Array, k: float) -> Array:
    """1 at the k smallest entries of A, 0 elsewhere; k as for `top`."""
    return xp.top_mask(-A, amount_of(k, math.prod(A.shape)))


def _keep_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    if not shapes[0]:
        raise ValueError("it takes a vector or a matrix")
    context.at_most(Size.of(options["k"]), shapes[0][-1], "`keep` keeps more than there is")
    return shapes[0]


def _keep_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    n = _size(random)
    leading = random.integers(1, 4, size=random.integers(0, 3))
    return [random.normal(size=(*leading, n))], {"k": _size(random, 1, n + 1)}


@operator("keep", "... n -> ... n", facts=["idempotent"], options=[Option("k", "size")], shape=_keep_shape,
          samples=_keep_samples, torch="keep({0}, {k})")  # fmt: skip
def keep(xp: Arrays, A: Array, k: int) -> Array:
    """A with all but the k largest entries of every row at minus infinity: `softmax(keep(A, k))`."""
    return xp.where(xp.top_mask(A, k, axis=-1) > 0.5, A, -math.inf)


def _count_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    return [random.integers(-1, 2, size=random.integers(1, 6, size=2)) * 1.0], {}


@operator("count", "... -> ()", facts=["constant", "nonnegative"], samples=_count_samples,
          torch="{0:atom}.sign().abs().sum()")  # fmt: skip
def count(xp: Arrays, A: Array) -> Array:
    """The number of entries that are not zero."""
    return xp.sum(xp.abs(xp.sign(A)))
