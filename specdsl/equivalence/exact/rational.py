"""The rational numbers: arithmetic, order, and the roots of squares."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Any

import numpy as np

from specdsl.equivalence.exact.flint_library import flint
from specdsl.equivalence.exact.objects import ObjectRing, each
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.exact.ring import Entries, exact_fraction

_QUARTERS = {1: ((1, 0),), 2: ((1, 0), (-1, 0)), 4: ((1, 0), (0, 1), (-1, 0), (0, -1))}


def square_root(value: Fraction) -> Fraction | None:
    """The root of a square, or None.

    >>> square_root(Fraction(9, 4))
    Fraction(3, 2)
    """
    if value < 0:
        return None
    top, bottom = isqrt(value.numerator), isqrt(value.denominator)
    return Fraction(top, bottom) if top * top == value.numerator and bottom * bottom == value.denominator else None


class Rationals(ObjectRing):
    """Exact fractions, of FLINT where it is installed.

    Args:
        use_flint: False takes Python's own fractions.
    """

    is_ordered = True

    def __init__(self, *, use_flint: bool = flint is not None) -> None:
        super().__init__()
        self.use_flint = use_flint

    def number(self, value: Any) -> Any:
        if self.use_flint and isinstance(value, flint.fmpq):
            return value
        fraction = exact_fraction(value)
        return flint.fmpq(fraction.numerator, fraction.denominator) if self.use_flint else fraction

    def fraction(self, entry: Any) -> Fraction:
        """An entry as Python's own fraction."""
        return Fraction(int(entry.numerator), int(entry.denominator))

    def sqrt(self, values: Entries) -> Entries:
        failing = each(lambda entry: square_root(self.fraction(entry)) is None, values, bool)
        if failing.any():
            raise NotExact("sqrt", f"{self.text(values[failing].flat[0])} is no square", failing)
        return each(lambda entry: self.number(square_root(self.fraction(entry))), values)

    def greater(self, left: Entries, right: Entries, is_nonnegative: bool = False) -> Any:
        return np.asarray(left > right, dtype=bool)

    def floor(self, values: Entries) -> Entries:
        return each(lambda entry: self.number(self.fraction(entry).__floor__()), values)

    def circle(self, count: int) -> tuple[Entries, Entries]:
        if count not in _QUARTERS:
            raise NotExact("fft2", f"the roots of unity of order {count} are no fractions")
        cosines, sines = zip(*_QUARTERS[count], strict=True)
        return self.entries(np.array(cosines)), self.entries(np.array(sines))

    def text(self, entry: Any) -> str:
        return str(self.fraction(entry))
