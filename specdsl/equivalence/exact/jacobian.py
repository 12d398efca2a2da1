"""Jacobians of the compared values with respect to the trained factors, and the dimensions that they bound."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.field import PRIMES, Field
from specdsl.equivalence.exact.points import Point, evaluated, sample
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.subject import Subject
from specdsl.sizes import Environment


@dataclass(frozen=True)
class Jacobian:
    """Derivatives modulo a prime.

    Attributes:
        matrix: a row for every entry of the compared values, in their order, and a column for every direction.
        columns: the factor of every column, and the number of the direction within it: the entry of the factor, or of
            an orthonormal one the number of a rotation.
        prime: the field's.
        is_rigorous: whether its rank bounds the real one from below; roots spoil that.
    """

    matrix: Any
    columns: tuple[tuple[str, int], ...]
    prime: int
    is_rigorous: bool

    @property
    def rank(self) -> int:
        return elimination.rank(self.matrix, self.prime)

    def of(self, *factors: str) -> Any:
        """The columns of some factors."""
        return self.matrix[:, [name in factors for name, _ in self.columns]]


def jacobian(
    subject: Subject, point: Point, *, stops: bool = False, at: Mapping[str, ExactArray] | None = None
) -> Jacobian:
    """The Jacobian at a point over a field.

    Args:
        stops: whether `stop` lets no derivative through, as in training; the reachable set does not know it.
        at: values of the trained factors, by default those of the point.

    Raises:
        NotExact: a derivative does not exist over the field.
    """
    ring = point.arrays.ring
    if not isinstance(ring, Field):
        raise NotExact("jacobian", "it is computed over a field")
    side = point.side(subject)
    directions = {
        name: _directions(point.arrays, (at or side.trained)[name], subject.ir.factors[name].orthonormal)
        for name in subject.trained
    }
    columns = tuple((name, place) for name, made in directions.items() for place in range(len(made)))
    seeded, before = {**side.trained, **(at or {})}, 0
    for name, made in directions.items():
        tangent = ring.zeros((len(columns), *made.shape[1:]))
        tangent[before : before + len(made)] = made
        before += len(made)
        seeded[name] = ExactArray(ring, seeded[name].value, tangent)
    xp = ExactArrays(ring, stops)
    roots = ring.roots
    found = evaluated(subject, point, seeded, xp)
    rows = [
        np.zeros((value.value.size, len(columns)), dtype=np.int64) if value.tangent is None
        else value.tangent.reshape(len(columns), -1).T
        for value in found.values()
    ]  # fmt: skip
    return Jacobian(np.concatenate(rows), columns, ring.prime, point.roots == 0 and ring.roots == roots)


def _directions(xp: ExactArrays, array: ExactArray, orthonormal: bool) -> Any:
    """The directions in which a factor moves, along a leading axis.

    Matrices with orthonormal columns move as `Q*A` with a skew Q, and that is all of their directions: rotations carry
    each to every other.
    """
    if not orthonormal:
        size = array.value.size
        return np.eye(size, dtype=np.int64).reshape(size, *array.shape)
    if array.ndim != 2:
        raise NotExact("orthonormal", "a stack of matrices")
    rows, columns = array.shape
    size = max(rows, columns)
    skew = []
    for i in range(size):
        for j in range(i + 1, size):
            one = np.zeros((size, size), dtype=np.int64)
            one[i, j], one[j, i] = 1, -1
            skew.append(one)
    stack = xp.ring.entries(np.array(skew, dtype=np.int64).reshape(-1, size, size))
    return xp.ring.matmul(stack, array.value) if rows >= columns else xp.ring.matmul(array.value, stack)


class LowerBound(NamedTuple):
    """A bound of the dimension from below, and whether it holds without doubt."""

    dimension: int
    is_rigorous: bool


def dimension_lower_bound(subject: Subject, sizes: Environment, tries: int = 2, seed: int = 0) -> LowerBound:
    """The largest rank of the Jacobian at some random points: the reachable set has at least that dimension.

    Raises:
        NotExact: the values do not exist over a field.
    """
    best = LowerBound(0, True)
    for attempt in range(tries):
        field = Field(PRIMES[attempt % len(PRIMES)])
        point = sample([subject], sizes, seed + attempt, arrays=ExactArrays(field))
        found = jacobian(subject, point)
        best = max(best, LowerBound(found.rank, found.is_rigorous))
    return best


rank = elimination.rank
nullspace = elimination.nullspace
row_space_contains = elimination.row_space_contains
