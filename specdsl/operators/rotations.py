"""Rotations and reflections from free entries: skew matrices, the Cayley transform, Householder products."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Any

from specdsl import limits
from specdsl.arrays import Array, Arrays, transpose
from specdsl.errors import SpecSettingError
from specdsl.operators.registry import Option, Shape, ShapeContext, operator
from specdsl.sizes import Size


def triangular_root(entries: Size) -> Size | None:
    """The size k with `k*(k - 1)/2 = entries` for all values of its symbols, if it is found.

    Solved are numbers, and expressions whose k is one product plus a number (`k`, `n/k`, `2*r + 1`).

    >>> str(triangular_root(Size.symbol("k") * (Size.symbol("k") - 1) / 2))
    'k'
    """
    if entries.constant is not None:
        root = Size.of((1 + math.isqrt(max(0, math.floor(1 + 8 * entries.constant)))) // 2)
        return root if root * (root - 1) == entries * 2 else None
    for term in entries.terms:
        stem = Size((term,)) * 2
        stem = stem.power(Fraction(1, 2))
        rest = dict((entries * 2 - stem * stem).terms)
        if len(stem.terms) == 1:
            (monomial, coefficient) = stem.terms[0]
            root = stem + Size.of((rest.get(monomial, Fraction(0)) / coefficient + 1) / 2)
            if root * (root - 1) == entries * 2:
                return root
    return None


def _skew_from_shape(context: ShapeContext, shapes: Sequence[Shape], options: Mapping[str, Any]) -> Shape:
    (*leading, entries) = shapes[0]
    entries = context.resolved(entries)
    if entries.unknowns:
        k = context.fresh()
        context.same(entries, k * (k - 1) / 2, "`skew_from` takes k*(k - 1)/2 entries")
        return (*leading, k, k)
    root = triangular_root(entries)
    if root is None:
        raise ValueError(f"it takes k*(k - 1)/2 entries for a k x k matrix, and {entries} is not of that form")
    return (*leading, root, root)


def _skew_from_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    k = int(random.integers(2, 6))
    leading = tuple(random.integers(1, 4, size=random.integers(0, 3)))
    return [random.normal(size=(*leading, k * (k - 1) // 2))], {}


@operator(
    "skew_from", "... k*(k-1)/2 -> ... k k", facts=["linear", "keeps_zero", "skew"], shape=_skew_from_shape,
    samples=_skew_from_samples, latex=r"\operatorname{{skew}}({0})",
    torch="skew_from({0})",
)  # fmt: skip
def skew_from(xp: Arrays, q: Array) -> Array:
    """The skew matrix whose entries above the diagonal are those of q, row by row."""
    *leading, entries = q.shape
    k = (1 + math.isqrt(1 + 8 * entries)) // 2
    i, j = xp.arange(k * k, like=q) // k, xp.arange(k * k, like=q) % k
    above, below = i < j, i > j
    taken = xp.take(q, above * _place(i, j, k) + below * _place(j, i, k), -1)
    return xp.reshape(xp.where(above, taken, xp.where(below, -taken, 0.0)), (*leading, k, k))


def _place(row: Array, column: Array, k: int) -> Array:
    """Where entry (row, column) stands when the rows above the diagonal are written one after another."""
    return row * (2 * k - row - 1) // 2 + column - row - 1


def _cayley_samples(random: Any) -> tuple[list[Any], dict[str, Any]]:
    k = int(random.integers(2, 6))
    leading = tuple(random.integers(1, 4, size=random.integers(0, 2)))
    A = random.normal(size=(*leading, k, k))
    terms = int(random.integers(1, 6))
    return [0.5 * (A - A.swapaxes(-1, -2))], {"terms": terms} if terms > 1 else {}


@operator("cayley", "... k k -> ... k k", form="value",
          facts=["identity_at_zero"], options=[Option("terms", "size", None)],
          samples=_cayley_samples, latex=r"(I - {0})(I + {0})^{{-1}}")  # fmt: skip
def cayley(xp: Arrays, Q: Array, terms: int | None = None) -> Array:
    """`(eye - Q) @ (eye + Q)^-1`, a rotation for skew Q; `terms=k` puts a truncated series for the inverse.

    With the first `k - 1` terms of `(eye + Q)^-1 = eye - Q + Q^2 - ...` the product is
    `eye - 2*Q + 2*Q^2 - ... + (-Q)^(k - 1)`: k terms, the last one single.
    """
    one = xp.eye(Q.shape[-1], like=Q)
    if terms is None:
        return (one - Q) @ xp.inverse(one + Q)
    if terms < 2:
        raise SpecSettingError(f"`cayley` has at least 2 terms, not {terms}")
    if terms > limits.SERIES:
        hint = "without `terms` it is exact"
        raise SpecSettingError(f"`cayley` has at most {limits.SERIES} terms, not {terms}", hint=hint)
    total, power = one, one
    for i in range(1, terms):
        power = -(power @ Q)
        total = total + (power if i == terms - 1 else 2.0 * power)
    return total


@operator("householder", "... n r -> ... n n", facts=["orthogonal"], latex=r"\operatorname{{H}}({0})",
          torch="householder({0})")  # fmt: skip
def householder(xp: Arrays, U: Array) -> Array:
    """`H(u_1) @ H(u_2) @ ...` over the columns of U, from left to right, with `H(u) = eye - 2*u*u.T/|u|^2`.

    A column of zeros has no direction and counts as no reflection.
    """
    product = xp.eye(U.shape[-2], like=U)
    for i in range(U.shape[-1]):
        u = xp.slice(U, -1, i, i + 1)
        squared = xp.sum(u * u, axis=-2, keep=True)
        squared = xp.where(squared > 0, squared, 1.0)
        product = product - (product @ u) @ transpose(xp, u) * (2.0 / squared)
    return product
