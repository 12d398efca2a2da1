"""Triangular and symmetric matrices from as many numbers as they have free entries."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from specdsl.arrays import Array, Arrays
from specdsl.operators.registry import Shape, ShapeContext, ShapeRule, operator
from specdsl.operators.rotations import triangular_root


def _shape(name: str) -> ShapeRule:
    def rule(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
        (*leading, entries) = shapes[0]
        entries = context.resolved(entries)
        if entries.unknowns:
            k = context.fresh()
            context.same(entries, k * (k + 1) / 2, f"`{name}` takes k*(k + 1)/2 entries")
            return (*leading, k, k)
        root = triangular_root(entries)
        if root is None:
            raise ValueError(f"it takes k*(k + 1)/2 entries for a k x k matrix, and {entries} is not of that form")
        return (*leading, root - 1, root - 1)

    return rule


def _samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    k = int(random.integers(1, 6))
    leading = tuple(random.integers(1, 4, size=random.integers(0, 3)))
    return [random.normal(size=(*leading, k * (k + 1) // 2))], {}


def _symmetric(xp: Arrays, v: Array) -> Array:
    """Entry (i, j) stands in v where the rows up to the diagonal, written one after another, have it or its mirror."""
    *leading, entries = v.shape
    k = (math.isqrt(1 + 8 * entries) - 1) // 2
    i, j = xp.arange(k * k, like=v) // k, xp.arange(k * k, like=v) % k
    below = xp.where(i >= j, i * (i + 1) // 2 + j, j * (j + 1) // 2 + i)
    return xp.reshape(xp.take(v, below, -1), (*leading, k, k))


@operator(
    "lower_from", "... k*(k+1)/2 -> ... k k", facts=["linear", "keeps_zero", "lower"], shape=_shape("lower_from"),
    samples=_samples, latex=r"\operatorname{{tril}}({0})", torch="lower_from({0})",
)  # fmt: skip
def lower_from(xp: Arrays, v: Array) -> Array:
    """The lower triangular matrix whose entries on and below the diagonal are those of v, row by row."""
    square = _symmetric(xp, v)
    k = square.shape[-1]
    places = xp.arange(k, like=v)
    return xp.where(xp.reshape(places, (k, 1)) >= places, square, 0.0)


@operator(
    "sym_from", "... k*(k+1)/2 -> ... k k", facts=["linear", "keeps_zero", "symmetric"], shape=_shape("sym_from"),
    samples=_samples, latex=r"\operatorname{{sym}}({0})", torch="sym_from({0})",
)  # fmt: skip
def sym_from(xp: Arrays, v: Array) -> Array:
    """The symmetric matrix whose entries on and below the diagonal are those of v, row by row."""
    return _symmetric(xp, v)
