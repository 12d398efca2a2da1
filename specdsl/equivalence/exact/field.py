"""The field of p elements, vectorised over int64.

The primes have `p = 8*k*lcm(1..16) - 1`. Then every prime up to 13 is a square and -1 is not, so the root
`x^((p+1)/4)` keeps `sqrt(c^2*x) = c*sqrt(x)` for the small positive numbers that specs contain, and `|-x| = |x|`.
All roots of unity whose order divides p + 1 lie on the unit circle of the field with i, so Fourier transforms are
exact. Equality in the field supports equality; a difference where roots occur is only a hint.
"""

from __future__ import annotations

from fractions import Fraction
from functools import cache
from typing import Any

import numpy as np

from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from specdsl.equivalence.exact.ring import Entries, Ring, exact_fraction

PRIMES = (2139096959, 2133331199)
"""Primes of the family below 2^31, so that a product of two entries fits 64 bits."""

_LOW = 16


class Field(Ring):
    """Numbers modulo a prime of the family.

    >>> int(Field().number(0.5)) * 2 % PRIMES[0]
    1
    """

    is_ordered = False
    dtype = np.int64

    def __init__(self, prime: int = PRIMES[0]) -> None:
        super().__init__()
        self.prime = prime

    def number(self, value: Any) -> int:
        fraction = exact_fraction(value)
        if fraction.denominator % self.prime == 0:
            raise NotExact("number", f"{fraction} has no value modulo {self.prime}")
        return fraction.numerator * pow(fraction.denominator, -1, self.prime) % self.prime

    def entries(self, values: Any) -> Entries:
        array = np.asarray(values)
        if array.dtype.kind in "iub":
            return array.astype(np.int64) % self.prime
        return super().entries(array)

    def is_zero(self, values: Entries) -> Any:
        return values == 0

    def add(self, left: Entries, right: Entries) -> Entries:
        return (left + right) % self.prime

    def negative(self, values: Entries) -> Entries:
        return -values % self.prime

    def times(self, left: Entries, right: Entries) -> Entries:
        return left * right % self.prime

    def matmul(self, left: Entries, right: Entries) -> Entries:
        """Two products of half-length numbers, so that sums of up to 2^15 terms fit."""
        high = (left @ (right >> _LOW)) % self.prime
        low = left @ (right & ((1 << _LOW) - 1))
        return ((high << _LOW) + low) % self.prime

    def sum(self, values: Entries, axes: tuple[int, ...], keep: bool = False) -> Entries:
        return np.sum(values, axis=axes, keepdims=keep) % self.prime

    def power(self, values: Entries, exponent: int) -> Entries:
        """Every entry to a power that is not negative, by squaring."""
        result, base = np.ones_like(values), values
        while exponent:
            if exponent & 1:
                result = result * base % self.prime
            base = base * base % self.prime
            exponent >>= 1
        return result

    def reciprocal(self, values: Entries) -> Entries:
        if np.any(values == 0):
            raise NoPoint("a divisor is zero")
        return self.power(values, self.prime - 2)

    def sqrt(self, values: Entries) -> Entries:
        roots = self.power(values, (self.prime + 1) // 4)
        failing = roots * roots % self.prime != values
        if np.any(failing):
            raise NoPoint("a number is no square", failing)
        return roots

    def absolute(self, values: Entries) -> Entries:
        """`sqrt(x^2)`: of x and -x the one that is a square."""
        is_square = self.power(values, (self.prime - 1) // 2) <= 1
        return np.where(is_square, values, -values % self.prime)

    def greater(self, left: Entries, right: Entries, is_nonnegative: bool = False) -> Any:
        """Only what holds whatever the order: a mask above one half, and what cannot be negative above zero."""
        left, right = np.broadcast_arrays(left, right)
        if np.all(right == self.number(Fraction(1, 2))) and np.all(left <= 1):
            return left == 1
        if np.all(right == 0) and (is_nonnegative or np.all(left <= 1)):
            return left != 0
        if np.all(left == 0) and np.all(right <= 1):
            return np.zeros(left.shape, dtype=bool)
        raise NotExact("comparison", "a finite field has no order")

    def floor(self, values: Entries) -> Entries:
        raise NotExact("floor", "a finite field has no order")

    def circle(self, count: int) -> tuple[Entries, Entries]:
        if (self.prime + 1) % count:
            raise NotExact("fft2", f"there is no root of unity of order {count}")
        step = _circle_power(_generator(self.prime), (self.prime + 1) // count, self.prime)
        places = [(1, 0)]
        for _ in range(count - 1):
            places.append(_circle_times(places[-1], step, self.prime))
        cosines, sines = zip(*places, strict=True)
        return np.array(cosines, dtype=np.int64), np.array(sines, dtype=np.int64)

    def inverse(self, matrix: Entries) -> Entries:
        from specdsl.equivalence.exact.elimination import inverse

        found = inverse(matrix, self.prime)
        if found is None:
            raise NoPoint("a matrix has no inverse")
        return found

    def text(self, entry: Any) -> str:
        return str(int(entry))


Pair = tuple[int, int]


def _circle_times(left: Pair, right: Pair, prime: int) -> Pair:
    (a, b), (c, d) = left, right
    return (a * c - b * d) % prime, (a * d + b * c) % prime


def _circle_power(base: Pair, exponent: int, prime: int) -> Pair:
    result = (1, 0)
    while exponent:
        if exponent & 1:
            result = _circle_times(result, base, prime)
        base = _circle_times(base, base, prime)
        exponent >>= 1
    return result


@cache
def _generator(prime: int) -> Pair:
    """A number on the unit circle whose powers are all of it; roots of unity are powers of this one."""
    factors = _prime_factors(prime + 1)
    for real in range(1, prime):
        found = _circle_power((real, 1), prime - 1, prime)  # x^(p-1) = conj(x)/x has norm 1
        if all(_circle_power(found, (prime + 1) // factor, prime) != (1, 0) for factor in factors):
            is_upward = _circle_power(found, (prime + 1) // 4, prime) == (0, 1)  # a quarter of the circle is i
            return found if is_upward else (found[0], -found[1] % prime)
    raise AssertionError(prime)


def _prime_factors(number: int) -> list[int]:
    found, divisor = [], 2
    while divisor * divisor <= number:
        if number % divisor == 0:
            found.append(divisor)
            while number % divisor == 0:
                number //= divisor
        divisor += 1
    return found + [number] * (number > 1)
