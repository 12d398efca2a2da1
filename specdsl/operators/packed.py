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


def _side(entries: int) -> int:
    return (math.isqrt(1 + 8 * entries) - 1) // 2


@operator(
    "lower_from", "... k*(k+1)/2 -> ... k k", facts=["linear", "keeps_zero", "lower"], shape=_shape("lower_from"),
    samples=_samples, latex=r"\operatorname{{tril}}({0})", torch="lower_from({0})",
)  # fmt: skip
def lower_from(xp: Arrays, v: Array) -> Array:
    """The lower triangular matrix whose entries on and below the diagonal are those of v, row by row."""
    *leading, entries = v.shape
    k = _side(entries)
    i, j = xp.arange(k * k, like=v) // k, xp.arange(k * k, like=v) % k
    kept = i >= j
    return xp.reshape(xp.where(kept, xp.take(v, kept * _place(i, j), -1), 0.0), (*leading, k, k))


@operator(
    "sym_from", "... k*(k+1)/2 -> ... k k", facts=["linear", "keeps_zero", "symmetric"], shape=_shape("sym_from"),
    samples=_samples, latex=r"\operatorname{{sym}}({0})", torch="sym_from({0})",
)  # fmt: skip
def sym_from(xp: Arrays, v: Array) -> Array:
    """The symmetric matrix whose entries on and below the diagonal are those of v, row by row."""
    *leading, entries = v.shape
    k = _side(entries)
    i, j = xp.arange(k * k, like=v) // k, xp.arange(k * k, like=v) % k
    return xp.reshape(xp.take(v, xp.where(i >= j, _place(i, j), _place(j, i)), -1), (*leading, k, k))


def _place(row: Array, column: Array) -> Array:
    """Where entry (row, column) stands when the rows up to the diagonal are written one after another."""
    return row * (row + 1) // 2 + column
