"""Entries laid out anew: tiles, blocks, block diagonals, reshaping and contraction over named axes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from specdsl.arrays import Array, Arrays
from specdsl.operators.axis_patterns import (
    Rearrangement,
    einsum_axes,
    einsum_letters,
    product,
    rearrange_steps,
)
from specdsl.operators.registry import Option, Shape, ShapeContext, operator
from specdsl.sizes import Size


def _matrix(random: Any, low: int = 1, high: int = 6) -> Any:
    return random.normal(size=random.integers(low, high, size=2))


def _tile_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    if len(shapes[0]) != 2:
        raise ValueError("it takes a matrix")
    columns = options.get("cols")
    return options["rows"], shapes[0][1] if columns is None else columns


def _tile_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    rows, columns = (int(size) for size in random.integers(1, 12, size=2))
    return [_matrix(random)], {"rows": rows} | ({"cols": columns} if random.random() < 0.7 else {})


def _wrapped(forms: Any, long: Size, short: Size) -> Any:
    """The long x short matrix that repeats the identity downwards."""
    if long == Size.of(1):
        return forms.stretch(forms.eye(short), 0, Size.of(0), long)
    return forms.full((long, short), 1) if short == Size.of(1) else forms.constant("wrap", "down", (long, short))


def _tile_form(forms: Any, M: Any, rows: Any, cols: Any = None) -> Any:
    (a, b), cols = M.shape, M.shape[1] if cols is None else cols
    down = None if rows == a else _wrapped(forms, Size.of(rows), a)
    across = None if cols == b else _wrapped(forms, Size.of(cols), b)
    tiled = M if down is None else down @ M
    return tiled if across is None else tiled @ forms.permute(across, (1, 0))


@operator("tile", "a b -> rows cols", form=_tile_form, facts=["linear", "keeps_zero"], shape=_tile_shape,
          options=[Option("rows", "size"), Option("cols", "size", None)], samples=_tile_samples,
          torch="tile({0}, {shape})")  # fmt: skip
def tile(xp: Arrays, M: Array, rows: int, cols: int | None = None) -> Array:
    """M repeated downwards and sideways to `rows x cols`, the last copies cut; `cols` is M's if not given."""
    (a, b), cols = M.shape, M.shape[1] if cols is None else cols
    down, across = -(-rows // a), -(-cols // b)
    copies = xp.broadcast(xp.reshape(M, (1, a, 1, b)), (down, a, across, b))
    return xp.slice(xp.slice(xp.reshape(copies, (down * a, across * b)), 0, 0, rows), 1, 0, cols)


def _blocks_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    i, j, p, q = (int(size) for size in random.integers(1, 5, size=4))
    return [random.normal(size=(i * p, j * q))], {"p": p, "q": q}


def _blocks_form(forms: Any, M: Any, p: Any, q: Any) -> Any:
    (n, m), p, q = M.shape, Size.of(p), Size.of(q)
    return forms.permute(forms.reshape(M, (n / p, p, m / q, q)), (0, 2, 1, 3))


@operator("blocks", "n m -> n/p m/q p q", form=_blocks_form, facts=["linear", "keeps_zero"], samples=_blocks_samples,
          options=[Option("p", "size"), Option("q", "size")], torch="blocks({0}, {p}, {q})")  # fmt: skip
def blocks(xp: Arrays, M: Array, p: int, q: int) -> Array:
    """M cut into p x q blocks: `blocks(M, p, q)[i, j]` is the block in block row i and block column j."""
    n, m = M.shape
    return xp.permute(xp.reshape(M, (n // p, p, m // q, q)), (0, 2, 1, 3))


@operator("unblocks", "a b p q -> a*p b*q", form="value", facts=["linear", "keeps_zero"], torch="unblocks({0})")
def unblocks(xp: Arrays, B: Array) -> Array:
    """The matrix put together from its blocks, the inverse of `blocks`."""
    a, b, p, q = B.shape
    return xp.reshape(xp.permute(B, (0, 2, 1, 3)), (a * p, b * q))


def _blockdiag_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    if len(shapes) == 1 and len(shapes[0]) == 3:
        k, p, q = shapes[0]
        return k * p, k * q
    if any(len(shape) != 2 for shape in shapes):
        raise ValueError("it takes one stack of matrices, or several matrices")
    return _total(shape[0] for shape in shapes), _total(shape[1] for shape in shapes)


def _total(sizes: Any) -> Size:
    total = Size.of(0)
    for size in sizes:
        total = total + size
    return total


def _blockdiag_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    if random.random() < 0.5:
        return [random.normal(size=random.integers(1, 5, size=3))], {}
    return [_matrix(random) for _ in range(random.integers(1, 4))], {}


def _blockdiag_form(forms: Any, *parts: Any) -> Any:
    if len(parts) == 1 and len(parts[0].shape) == 3:
        k, p, q = parts[0].shape
        return forms.reshape(forms.einsum("kpq,kl->kplq", parts[0], forms.eye(k)), (k * p, k * q))
    width, rows, before = _total(part.shape[1] for part in parts), [], Size.of(0)
    for part in parts:
        p, q = part.shape
        sides = [forms.full((p, size), 0) for size in (before, width - before - q)]
        rows.append(forms.concat([sides[0], part, sides[1]], 1))
        before = before + q
    return forms.concat(rows, 0)


@operator(
    "blockdiag",
    "k p q -> k*p k*q",
    form=_blockdiag_form,
    variadic=True,
    shape=_blockdiag_shape,
    samples=_blockdiag_samples,
)
def blockdiag(xp: Arrays, *parts: Array) -> Array:
    """The matrices of a stack (or several matrices) along the diagonal, zeros elsewhere."""
    if len(parts) == 1 and len(parts[0].shape) == 3:
        k, p, q = parts[0].shape
        on_diagonal = xp.reshape(xp.eye(k, like=parts[0]) > 0.5, (k, 1, k, 1))
        spread = xp.where(on_diagonal, xp.reshape(parts[0], (k, p, 1, q)), 0.0)
        return xp.reshape(spread, (k * p, k * q))
    width, rows, before = sum(part.shape[1] for part in parts), [], 0
    for part in parts:
        p, q = part.shape
        left, right = (xp.full((p, size), 0.0, like=part) for size in (before, width - before - q))
        rows.append(xp.concat([left, part, right], 1))
        before += q
    return xp.concat(rows, 0)


def _reshape_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    wanted: Shape = tuple(options["shape"])
    context.same(product(shapes[0]), product(wanted), "`reshape` keeps the number of entries")
    return wanted


def _reshape_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    a, b, c = (int(size) for size in random.integers(1, 5, size=3))
    return [random.normal(size=(a * b, c))], {"shape": (b, c * a)}


@operator("reshape", "... -> shape", form="value", facts=["linear", "keeps_zero"], options=[Option("shape", "size")],
          shape=_reshape_shape, samples=_reshape_samples, torch="{0:atom}.reshape({shape})")  # fmt: skip
def reshape(xp: Arrays, M: Array, shape: tuple[int, ...]) -> Array:
    """The entries of M, row by row, in another shape: `reshape(M, n, r)`."""
    return xp.reshape(M, shape)


Sizes = tuple[tuple[str, Any], ...]


def _rearrange_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    plan = Rearrangement.read(options["pattern"])
    sizes = plan.sizes(shapes[0], dict(options.get("sizes", ())), context.same)
    for name, size in sizes.items():
        context.whole(size, f"the axis `{name}` of `{plan.pattern}`")
    return plan.result(sizes)


def _rearrange_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    a, b, c, d = (int(size) for size in random.integers(1, 5, size=4))
    kinds: list[tuple[list[Any], dict[str, Any]]] = [
        ([random.normal(size=(a * b, c))], {"pattern": "(a b) c -> b (c a)", "sizes": (("a", a),)}),
        ([random.normal(size=(a, b, c, d))], {"pattern": "a c b d -> (a c) (b d)"}),
        ([random.normal(size=(a, 1, b))], {"pattern": "out 1 wide -> 1 wide out"}),
    ]
    return kinds[int(random.integers(3))]


def _rearrange_form(forms: Any, M: Any, pattern: str, sizes: Any = ()) -> Any:
    plan = Rearrangement.read(pattern)
    found = plan.sizes(M.shape, {name: Size.of(size) for name, size in sizes}, lambda left, right, why: None)
    before = [name for axis in plan.left for name in axis]
    apart = forms.reshape(M, tuple(found[name] for name in before))
    order = tuple(before.index(name) for axis in plan.right for name in axis)
    return forms.reshape(forms.permute(apart, order), plan.result(found))


@operator(
    "rearrange", "... -> pattern", form=_rearrange_form, facts=["linear", "keeps_zero"], shape=_rearrange_shape,
    options=[Option("pattern", "text"), Option("sizes", "size", ())], samples=_rearrange_samples,
)  # fmt: skip
def rearrange(xp: Arrays, M: Array, pattern: str, sizes: Sizes = ()) -> Array:
    """The axes of M split, exchanged and joined as `"(a b) c -> a c b"` says; `a = ...` states a size."""
    apart, order, joined = rearrange_steps(pattern, tuple(M.shape), tuple(sizes))
    return xp.reshape(xp.permute(xp.reshape(M, apart), order), joined)


def _einsum_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    pattern = options["pattern"]
    inputs, output = einsum_axes(pattern)
    if len(inputs) != len(shapes):
        raise ValueError(f"the pattern `{pattern}` is for {len(inputs)} arrays, but {len(shapes)} are given")
    sizes: dict[str, Size] = {}
    for number, (axes, shape) in enumerate(zip(inputs, shapes, strict=True), 1):
        if len(axes) != len(shape):
            raise ValueError(f"array {number} of `{pattern}` has {len(axes)} axes there, but {len(shape)} here")
        for name, size in zip(axes, shape, strict=True):
            if name in sizes:
                context.same(sizes[name], size, f"the axis `{name}` of `{pattern}`")
            sizes.setdefault(name, size)
    return tuple(sizes[name] for name in output)


def _einsum_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    size = dict(zip("abhwnm", (int(size) for size in random.integers(1, 5, size=6)), strict=True))
    patterns = ["a b h w, n a, m b -> n m h w", "a b -> b", "a, a b ->", "a a, a b -> b a"]
    pattern = patterns[int(random.integers(4))]
    shapes = [[size[name] for name in part.split()] for part in pattern.split("->")[0].split(",")]
    return [random.normal(size=shape) for shape in shapes], {"pattern": pattern}


@operator("einsum", "... -> pattern", form="value",
          facts=["multilinear", "keeps_zero"], variadic=True, shape=_einsum_shape,
          options=[Option("pattern", "text")], samples=_einsum_samples)  # fmt: skip
def einsum(xp: Arrays, *arrays: Array, pattern: str) -> Array:
    """`einsum("a b, b c -> a c", A, B)`: the product over all axes, summed over those not on the right."""
    return xp.einsum(einsum_letters(pattern), *arrays)
