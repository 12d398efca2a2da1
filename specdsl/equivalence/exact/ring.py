"""What a kind of exact numbers brings: arithmetic on numpy arrays of its entries, and what it refuses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import isfinite
from typing import Any

import numpy as np

from specdsl.equivalence.exact.refusals import NoPoint, NotExact

Entries = Any
"""A numpy array of a ring's entries: int64 in a field, objects otherwise."""

_DIGITS = 12


def exact_fraction(value: Any) -> Fraction:
    """A number of Python's or numpy's as it is written: `0.1` is 1/10.

    Raises:
        NotExact: it is no finite number, or has too many digits to be one that somebody wrote.
    """
    if isinstance(value, int | Fraction | np.integer | np.bool_):
        return Fraction(value) if isinstance(value, Fraction) else Fraction(int(value))
    value = float(value)
    if not isfinite(value):
        raise NotExact("number", f"{value} is not finite")
    if value.is_integer():
        return Fraction(int(value))
    text = repr(value)
    digits = text.split("e")[0].replace(".", "").replace("-", "").strip("0")
    exact = Fraction(value)
    if len(digits) > _DIGITS and exact.denominator > 2**_DIGITS:
        raise NotExact("number", f"{text} is rounded")
    return Fraction(text)


class Ring(ABC):
    """A kind of numbers.

    Attributes:
        is_ordered: whether entries can be compared.
        dtype: that of the arrays.
        roots: how many square roots were taken, entry by entry.
        squares: entries that were drawn as squares of numbers at hand.
    """

    is_ordered: bool
    dtype: Any

    def __init__(self) -> None:
        self.roots = 0
        self.squares: set[int] = set()

    def count_roots(self, values: Entries) -> None:
        """Note that roots of some entries were taken; those of numbers that were drawn as squares count as none."""
        self.roots += sum(int(value) not in self.squares for value in values.ravel()) if self.squares else values.size

    # entries

    @abstractmethod
    def number(self, value: Any) -> Any:
        """One entry from a whole number, a fraction or a short decimal."""

    def entries(self, values: Any) -> Entries:
        """An array of entries from numbers."""
        array = np.asarray(values)
        made = np.empty(array.shape, dtype=self.dtype)
        for place in np.ndindex(*array.shape):
            made[place] = self.number(array[place])
        return made

    def zeros(self, shape: tuple[int, ...]) -> Entries:
        return np.full(shape, self.number(0), dtype=self.dtype)

    @abstractmethod
    def is_zero(self, values: Entries) -> Any:
        """Which entries are zero, as truth values; where that is not certain they are taken as not zero."""

    # arithmetic

    @abstractmethod
    def add(self, left: Entries, right: Entries) -> Entries: ...

    @abstractmethod
    def negative(self, values: Entries) -> Entries: ...

    @abstractmethod
    def times(self, left: Entries, right: Entries) -> Entries: ...

    @abstractmethod
    def matmul(self, left: Entries, right: Entries) -> Entries: ...

    @abstractmethod
    def sum(self, values: Entries, axes: tuple[int, ...], keep: bool = False) -> Entries: ...

    @abstractmethod
    def reciprocal(self, values: Entries) -> Entries:
        """`1 / x` of every entry.

        Raises:
            NoPoint: one is zero.
        """

    @abstractmethod
    def sqrt(self, values: Entries) -> Entries:
        """The square root of every entry.

        Raises:
            NoPoint: other values may have one.
            NotExact: it cannot be written in these numbers.
        """

    # what has an order

    @abstractmethod
    def greater(self, left: Entries, right: Entries, is_nonnegative: bool = False) -> Any:
        """Where `left > right`, as truth values.

        Args:
            is_nonnegative: whether no entry of `left` is negative, by how it was computed.

        Raises:
            NotExact: that cannot be said.
        """

    def absolute(self, values: Entries) -> Entries:
        return np.where(self.greater(self.zeros(values.shape), values), self.negative(values), values)

    @abstractmethod
    def floor(self, values: Entries) -> Entries: ...

    # functions

    def function(self, name: str, values: Entries) -> Entries:
        """A transcendental function of every entry.

        Raises:
            NotExact: it has no value in these numbers.
        """
        raise NotExact(name)

    @abstractmethod
    def circle(self, count: int) -> tuple[Entries, Entries]:
        """Cosines and sines of `2*pi*k/count`, k from 0.

        Raises:
            NotExact: they cannot be written in these numbers.
        """

    # matrices

    def inverse(self, matrix: Entries) -> Entries:
        """The inverse of one matrix, by elimination.

        Raises:
            NoPoint: it has none.
        """
        size = matrix.shape[0]
        work = np.concatenate([matrix, self.entries(np.eye(size, dtype=np.int64))], 1)
        for k in range(size):
            pivot = self._pivot(work[k:, k])
            if pivot is None:
                raise NoPoint("a matrix has no inverse")
            work[[k, k + pivot]] = work[[k + pivot, k]]
            work[k] = self.times(work[k], self.reciprocal(work[k, k : k + 1]))
            factors = work[:, k].copy()
            factors[k] = self.number(0)
            work = self.add(work, self.negative(self.times(factors[:, None], work[k][None])))
        return work[:, size:]

    def _pivot(self, column: Entries) -> int | None:
        usable = np.flatnonzero(~self.is_zero(column))
        return int(usable[0]) if len(usable) else None

    # showing

    @abstractmethod
    def text(self, entry: Any) -> str:
        """An entry as exact text, `-3/5`."""

    @contextmanager
    def working(self) -> Iterator[None]:
        """What has to hold while values are computed, such as a precision."""
        yield
