"""Intervals with rational ends, for where FLINT is not installed: arithmetic exact, roots rounded outward."""

from __future__ import annotations

from fractions import Fraction
from math import isqrt
from typing import Any

from specdsl.equivalence.exact.refusals import NoPoint, NotExact

BITS = 128


class Interval:
    """All numbers from `low` to `high`. A comparison is true only where it is certain.

    >>> root = Interval(Fraction(2)).sqrt()
    >>> bool(root * root > Fraction(19, 10)), bool(root * root == 2)
    (True, False)
    """

    __slots__ = ("high", "low")

    def __init__(self, low: Fraction, high: Fraction | None = None) -> None:
        self.low, self.high = low, low if high is None else high

    def __add__(self, other: Any) -> Interval:
        other = _interval(other)
        return _rounded(self.low + other.low, self.high + other.high)

    __radd__ = __add__

    def __neg__(self) -> Interval:
        return Interval(-self.high, -self.low)

    def __sub__(self, other: Any) -> Interval:
        return self + -_interval(other)

    def __rsub__(self, other: Any) -> Interval:
        return _interval(other) + -self

    def __mul__(self, other: Any) -> Interval:
        other = _interval(other)
        ends = [a * b for a in (self.low, self.high) for b in (other.low, other.high)]
        return _rounded(min(ends), max(ends))

    __rmul__ = __mul__

    def __rtruediv__(self, other: Any) -> Interval:
        if self.low <= 0 <= self.high:
            raise NoPoint("a divisor may be zero")
        return _interval(other) * Interval(1 / self.high, 1 / self.low)

    def __gt__(self, other: Any) -> bool:
        return self.low > _interval(other).high

    def __lt__(self, other: Any) -> bool:
        return self.high < _interval(other).low

    def __le__(self, other: Any) -> bool:
        return self.high <= _interval(other).low

    def __eq__(self, other: object) -> bool:
        other = _interval(other)
        return self.low == self.high == other.low == other.high

    __hash__ = None  # type: ignore[assignment]

    def sqrt(self) -> Interval:
        if self.low < 0:
            raise NotExact("sqrt", "a number may be negative")
        return Interval(_root_below(self.low), _root_below(self.high) + _step(self.high))

    def __abs__(self) -> Interval:
        if self.low >= 0:
            return self
        return -self if self.high <= 0 else Interval(Fraction(0), max(-self.low, self.high))

    def mid(self) -> Fraction:
        return (self.low + self.high) / 2


def _interval(value: Any) -> Interval:
    return value if isinstance(value, Interval) else Interval(Fraction(value))


def _scale(value: Fraction) -> int:
    """Bits after the point that keep about `BITS` of a number."""
    magnitude = value.numerator.bit_length() - value.denominator.bit_length()
    return BITS - min(BITS, magnitude) if value else BITS


def _rounded(low: Fraction, high: Fraction) -> Interval:
    """Ends with long denominators are moved outward, so that sums stay short."""
    if max(low.denominator.bit_length(), high.denominator.bit_length()) <= 4 * BITS:
        return Interval(low, high)
    scale = max(_scale(low), _scale(high))
    return Interval(Fraction((low * 2**scale).__floor__(), 2**scale), Fraction((high * 2**scale).__ceil__(), 2**scale))


def _step(value: Fraction) -> Fraction:
    return Fraction(0) if _root_below(value) ** 2 == value else Fraction(1, 2 ** _scale(value))


def _root_below(value: Fraction) -> Fraction:
    scale = _scale(value)
    exact = isqrt(value.numerator), isqrt(value.denominator)
    if exact[0] ** 2 == value.numerator and exact[1] ** 2 == value.denominator:
        return Fraction(*exact)
    return Fraction(isqrt((value * 4**scale).__floor__()), 2**scale)
