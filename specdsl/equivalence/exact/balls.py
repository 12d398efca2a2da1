"""Real balls: a value and a bound of its error. They show that two numbers differ, never that they are equal."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from typing import Any

import numpy as np

from specdsl.equivalence.exact.flint_library import flint
from specdsl.equivalence.exact.intervals import BITS, Interval
from specdsl.equivalence.exact.objects import ObjectRing, each
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.ring import Entries, exact_fraction

_SHOWN = 15


class Balls(ObjectRing):
    """Balls of FLINT with 128 bits, or intervals with rational ends.

    Args:
        use_flint: False takes intervals, which have roots but no exponentials.
    """

    is_ordered = True

    def __init__(self, *, use_flint: bool = flint is not None) -> None:
        super().__init__()
        self.use_flint = use_flint

    @contextmanager
    def working(self) -> Iterator[None]:
        if not self.use_flint:
            yield
            return
        with flint.ctx.workprec(BITS):
            yield

    def number(self, value: Any) -> Any:
        if isinstance(value, Interval) or (self.use_flint and isinstance(value, flint.arb)):
            return value
        if self.use_flint and isinstance(value, float) and value == -math.inf:
            return flint.arb.neg_inf()
        if hasattr(value, "numerator") and not isinstance(value, np.generic):  # of FLINT too
            fraction = Fraction(int(value.numerator), int(value.denominator))
        else:
            fraction = exact_fraction(value)
        if not self.use_flint:
            return Interval(fraction)
        return flint.arb(flint.fmpq(fraction.numerator, fraction.denominator))

    def is_zero(self, values: Entries) -> Any:
        """Only what is exactly zero."""
        return each(lambda entry: bool(entry == 0), values, bool)

    def reciprocal(self, values: Entries) -> Entries:
        def one_over(entry: Any) -> Any:
            if not (entry > 0 or entry < 0):
                raise NoPoint("a divisor may be zero")
            return 1 / entry

        return each(one_over, values)

    def sqrt(self, values: Entries) -> Entries:
        def root(entry: Any) -> Any:
            if not (entry > 0 or entry == 0):
                raise NotExact("sqrt", "a number may be negative")
            return entry.sqrt()

        return each(root, values)

    def greater(self, left: Entries, right: Entries, is_nonnegative: bool = False) -> Any:
        left, right = np.broadcast_arrays(left, right)
        made = np.empty(left.shape, dtype=bool)
        for place in np.ndindex(*left.shape):
            if left[place] > right[place]:
                made[place] = True
            elif left[place] <= right[place]:
                made[place] = False
            else:
                raise NotExact("comparison", "two numbers are too close to each other")
        return made

    def absolute(self, values: Entries) -> Entries:
        return each(abs, values)

    def floor(self, values: Entries) -> Entries:
        def down(entry: Any) -> Any:
            if not self.use_flint:
                low, high = entry.low.__floor__(), entry.high.__floor__()
            else:
                whole = entry.floor().unique_fmpz()
                low, high = (0, 1) if whole is None else (int(whole), int(whole))
            if low != high:
                raise NotExact("floor", "a number is too close to a whole one")
            return self.number(low)

        return each(down, values)

    def function(self, name: str, values: Entries) -> Entries:
        rule = _FUNCTIONS.get(name)
        if rule is None or not self.use_flint:
            raise NotExact(name)
        return each(rule, values)

    def circle(self, count: int) -> tuple[Entries, Entries]:
        if not self.use_flint:
            raise NotExact("fft2")
        angles = [flint.fmpq(2 * k, count) for k in range(count)]
        cosines, sines = np.empty(count, dtype=object), np.empty(count, dtype=object)
        cosines[:] = [flint.arb.cos_pi_fmpq(angle) for angle in angles]
        sines[:] = [flint.arb.sin_pi_fmpq(angle) for angle in angles]
        return cosines, sines

    def _pivot(self, column: Entries) -> int | None:
        """The largest entry that is certainly not zero."""
        usable = [place for place, entry in enumerate(column) if entry > 0 or entry < 0]
        return max(usable, key=lambda place: abs(self.decimal(column[place])), default=None)

    def decimal(self, entry: Any) -> float:
        """The middle of a ball."""
        return float(entry.mid())

    def text(self, entry: Any) -> str:
        """An exact number where the ball is one, else the first decimals."""
        if self.use_flint and entry.is_exact():
            mantissa, exponent = entry.man_exp()
            return str(Fraction(int(mantissa)) * Fraction(2) ** int(exponent))
        if not self.use_flint and entry.low == entry.high:
            return str(entry.low)
        return f"{self.decimal(entry):.{_SHOWN}g}..."


def _arb(value: int | float) -> Any:
    return flint.arb(value)


_FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "exp": lambda x: x.exp(),
    "log": lambda x: x.log(),
    "sin": lambda x: x.sin(),
    "cos": lambda x: x.cos(),
    "tanh": lambda x: x.tanh(),
    "erf": lambda x: x.erf(),
    "sigmoid": lambda x: 1 / (1 + (-x).exp()),
    "silu": lambda x: x / (1 + (-x).exp()),
    "gelu": lambda x: x * (1 + (x / _arb(2).sqrt()).erf()) / 2,
}


def certainly_different(left: Any, right: Any) -> bool:
    """Whether two arrays over the same ring have an entry that is not the same number, without doubt.

    Over balls False says nothing; over fractions it says that all entries are equal.
    """
    if tuple(left.shape) != tuple(right.shape):
        return True
    pairs = zip(left.value.ravel(), right.value.ravel(), strict=True)
    return any(bool(x > y or x < y) if left.ring.is_ordered else bool(x != y) for x, y in pairs)
