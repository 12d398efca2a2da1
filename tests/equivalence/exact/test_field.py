"""The primes keep the rules of real roots, and roots of unity are exact."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.exact_array import ExactArray
from specdsl.equivalence.exact.field import PRIMES, Field
from specdsl.equivalence.exact.refusals import NoPoint, NotExact

EVERY_PRIME = pytest.mark.parametrize("prime", PRIMES)


def test_the_primes_are_primes() -> None:
    for prime in PRIMES:
        assert all(prime % divisor for divisor in range(2, int(prime**0.5) + 1))


@EVERY_PRIME
def test_small_numbers_have_their_positive_roots_and_minus_one_has_none(prime: int) -> None:
    field = Field(prime)
    for number in range(1, 17):
        assert field.sqrt(field.entries(number * number)) == number % prime
        assert field.sqrt(field.entries(number)) ** 2 % prime == number
    with pytest.raises(NoPoint):
        field.sqrt(field.entries(-1))


@EVERY_PRIME
def test_a_root_keeps_positive_factors_and_loses_signs(prime: int) -> None:
    field = Field(prime)
    x = field.entries(np.random.default_rng(0).integers(1, prime, size=50))
    squares = field.times(x, x)
    for factor in (2, 3, 10, 13):
        scaled = field.sqrt(field.times(squares, field.entries(factor**2)))
        assert np.array_equal(scaled, field.times(field.sqrt(squares), field.entries(factor)))
    assert np.array_equal(field.absolute(x), field.absolute(field.negative(x)))
    assert np.array_equal(field.absolute(x), field.sqrt(squares))


@EVERY_PRIME
@pytest.mark.parametrize("count", [3, 4, 5, 6, 7, 8, 12, 16])
def test_roots_of_unity_lie_on_the_unit_circle(prime: int, count: int) -> None:
    field = Field(prime)
    cosines, sines = field.circle(count)
    assert np.all(field.add(field.times(cosines, cosines), field.times(sines, sines)) == 1)
    assert len({*zip(cosines.tolist(), sines.tolist(), strict=True)}) == count
    assert field.sum(cosines, (0,)) == 0


def test_a_fourier_transform_is_undone() -> None:
    xp = ExactArrays(Field())
    matrix = xp.array(np.arange(30).reshape(5, 6))
    back = xp.ifft2(xp.fft2(matrix))
    assert np.array_equal(back.real.value, matrix.value)
    assert not back.imaginary.value.any()


def test_products_of_long_rows_do_not_overflow() -> None:
    field = Field()
    row = np.full((1, 1000), field.prime - 1)
    assert field.matmul(row, row.T) == 1000


def test_decimals_are_what_is_written() -> None:
    field = Field()
    assert field.number(0.1) * 10 % field.prime == 1
    assert field.number(Fraction(-3, 5)) * 5 % field.prime == field.prime - 3
    with pytest.raises(NotExact, match="is rounded"):
        field.number(2**0.5)


def test_what_needs_an_order_is_refused_by_the_name_of_the_operator() -> None:
    xp = ExactArrays(Field())
    for name in ("relu", "sign", "floor", "ceil"):
        with pytest.raises(NotExact, match=f"`{name}`"):
            getattr(xp, name)(xp.array([5, 7]))


def test_a_square_is_not_negative() -> None:
    xp = ExactArrays(Field())
    x = xp.array([5, -7])
    assert np.array_equal(xp.relu(x * x).value, [25, 49])


def test_stop_drops_derivatives_only_where_asked() -> None:
    field = Field()
    x = ExactArray(field, field.entries([1, 2]), field.entries(np.eye(2, dtype=np.int64)))
    assert ExactArrays(field).stop(x).tangent is not None
    assert ExactArrays(field, stops=True).stop(x).tangent is None
