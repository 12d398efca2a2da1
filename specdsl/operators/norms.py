"""Norms, sums, means and extremes, and the orthogonality penalty."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import reduce
from typing import Any

from specdsl.arrays import Array, Arrays, transpose
from specdsl.operators.axis_patterns import product
from specdsl.operators.registry import Option, Shape, ShapeContext, operator


@operator("norm", "... -> ()", form="value",
          facts=["nonnegative", "keeps_zero"], latex=r"\left\lVert {0} \right\rVert_F",
          torch="torch.linalg.vector_norm({0})")  # fmt: skip
def norm(xp: Arrays, A: Array) -> Array:
    """The square root of the sum of squares: the length of a vector, the Frobenius norm of a matrix."""
    return xp.norm(A)


@operator("rownorm", "... n m -> ... n", form="value", facts=["nonnegative", "keeps_zero"],
          torch="torch.linalg.vector_norm({0}, dim=-1)")  # fmt: skip
def rownorm(xp: Arrays, A: Array) -> Array:
    """The length of every row."""
    return xp.norm(A, axis=-1)


@operator("colnorm", "... n m -> ... m", form="value", facts=["nonnegative", "keeps_zero"],
          torch="torch.linalg.vector_norm({0}, dim=-2)")  # fmt: skip
def colnorm(xp: Arrays, A: Array) -> Array:
    """The length of every column."""
    return xp.norm(A, axis=-2)


@operator("trace", "k k -> ()", form="value", facts=["linear", "keeps_zero"], latex=r"\operatorname{{tr}}({0})",
          torch="torch.trace({0})")  # fmt: skip
def trace(xp: Arrays, A: Array) -> Array:
    """The sum of the entries on the diagonal."""
    return xp.einsum("kk->", A)


def _along_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    axis = options.get("axis")
    if axis is None:
        return ()
    if not -len(shapes[0]) <= axis < len(shapes[0]):
        raise ValueError(f"there is no axis {axis}; the array has {len(shapes[0])}")
    place = axis % len(shapes[0])
    return (*shapes[0][:place], *shapes[0][place + 1 :])


def _along_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    axes = int(random.integers(1, 4))
    axis = int(random.integers(-axes, axes))
    return [random.normal(size=random.integers(1, 6, size=axes))], {"axis": axis} if random.random() < 0.6 else {}


@operator("sum", "... -> ()", form="value", facts=["linear", "keeps_zero"], options=[Option("axis", "axis", None)],
          shape=_along_shape, samples=_along_samples, latex=r"\sum {0}")  # fmt: skip
def sum_(xp: Arrays, A: Array, axis: int | None = None) -> Array:
    """The sum of all entries; of those along `axis`, if it is given."""
    return xp.sum(A, axis=axis)


def _mean_form(forms: Any, A: Any, axis: int | None = None) -> Any:
    count = product(A.shape) if axis is None else A.shape[axis]
    return forms.sum(A, axis=axis) / count


@operator("mean", "... -> ()", form=_mean_form, facts=["linear", "keeps_zero"], options=[Option("axis", "axis", None)],
          shape=_along_shape, samples=_along_samples)  # fmt: skip
def mean(xp: Arrays, A: Array, axis: int | None = None) -> Array:
    """The mean of all entries; of those along `axis`, if it is given."""
    entries = math.prod(A.shape) if axis is None else A.shape[axis]
    return xp.sum(A, axis=axis) / entries


@operator("rowmean", "... n m -> ... n", form="value", facts=["linear", "keeps_zero"], torch="{0:atom}.mean(-1)")
def rowmean(xp: Arrays, A: Array) -> Array:
    """The mean of every row."""
    return xp.sum(A, axis=-1) / A.shape[-1]


@operator("colmean", "... n m -> ... m", form="value", facts=["linear", "keeps_zero"], torch="{0:atom}.mean(-2)")
def colmean(xp: Arrays, A: Array) -> Array:
    """The mean of every column."""
    return xp.sum(A, axis=-2) / A.shape[-2]


def _extreme_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    if len(shapes) == 1:
        return ()
    largest = max(shapes, key=len)
    for shape in shapes:
        for size, wanted in zip(reversed(shape), reversed(largest), strict=False):
            context.same(size, wanted, "`max` and `min` of several arrays compare entry by entry")
    return largest


def _extreme_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    shape = random.integers(1, 6, size=2)
    return [random.normal(size=shape[axes:]) for axes in [(0,), (0, 0), (1, 0), (2, 0, 1)][int(random.integers(4))]], {}


@operator("max", "... -> ...", variadic=True, shape=_extreme_shape, samples=_extreme_samples,
          latex=r"\max({0})")  # fmt: skip
def max_(xp: Arrays, *arrays: Array) -> Array:
    """`max(A, B, ...)`, the largest entry by entry; `max(A)` is the largest entry, a number."""
    return reduce(xp.maximum, arrays) if len(arrays) > 1 else xp.max(arrays[0])


@operator("min", "... -> ...", variadic=True, shape=_extreme_shape, samples=_extreme_samples,
          latex=r"\min({0})")  # fmt: skip
def min_(xp: Arrays, *arrays: Array) -> Array:
    """`min(A, B, ...)`, the smallest entry by entry; `min(A)` is the smallest entry, a number."""
    return reduce(xp.minimum, arrays) if len(arrays) > 1 else xp.min(arrays[0])


def _orth_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    options = {"squared": bool(random.random() < 0.5), "tol": float(random.choice([0.0, 0.5]))}
    return [random.normal(size=random.integers(1, 6, size=2))], options


@operator(
    "orth", "... n m -> ()", facts=["nonnegative"], samples=_orth_samples,
    options=[Option("squared", "flag", True), Option("tol", "number", 0)],
    latex=r"\left\lVert {0}^\top {0} - I \right\rVert_F^2",
)  # fmt: skip
def orth(xp: Arrays, A: Array, squared: bool = True, tol: float = 0) -> Array:
    """`||A.T@A - eye||_F^2` for a square or tall matrix, `||A@A.T - eye||_F^2` for a wide one.

    It is zero where the columns (rows) are orthonormal. `squared=false` leaves out the square; with `tol`
    only what is above it counts, `max(0, ... - tol)`.
    """
    n, m = A.shape[-2:]
    gram = transpose(xp, A) @ A if n >= m else A @ transpose(xp, A)
    difference = gram - xp.eye(min(n, m), like=A)
    value = xp.sum(difference * difference) if squared else xp.norm(difference)
    return xp.relu(value - tol) if tol else value


@operator("layernorm", "... n -> ... n", form="value", facts=["keeps_zero"], options=[Option("eps", "number", 1e-5)],
          torch="F.layer_norm({0}, {0:atom}.shape[-1:], eps={eps})")  # fmt: skip
def layernorm(xp: Arrays, A: Array, eps: float = 1e-5) -> Array:
    """`(A - mean) / sqrt(variance + eps)` along the last axis, without weights of its own."""
    centred = A - xp.sum(A, axis=-1, keep=True) / A.shape[-1]
    variance = xp.sum(centred * centred, axis=-1, keep=True) / A.shape[-1]
    return centred / xp.sqrt(variance + eps)
