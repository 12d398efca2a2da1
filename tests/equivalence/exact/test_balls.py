"""Balls show differences, never equality; without FLINT intervals do what they can."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.balls import Balls, certainly_different
from specdsl.equivalence.exact.intervals import Interval
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NotExact

BOTH = pytest.mark.parametrize("use_flint", [True, False])


@BOTH
def test_equal_roots_are_not_called_different(use_flint: bool) -> None:
    xp = ExactArrays(Balls(use_flint=use_flint))
    with xp.ring.working():
        left = xp.sqrt(xp.array([2, 3])) * xp.sqrt(xp.array([8, 12]))
        assert not certainly_different(left, xp.array([4, 6]))
        assert certainly_different(left, xp.array([4, 7]))
        assert certainly_different(xp.sqrt(xp.array(2)), xp.array(Fraction(14142135623, 10**10)))


@BOTH
def test_an_interval_holds_the_root(use_flint: bool) -> None:
    xp = ExactArrays(Balls(use_flint=use_flint))
    with xp.ring.working():
        for number in (2, 3, 10**20 + 1, Fraction(1, 7 * 10**30)):
            root = xp.sqrt(xp.array(number))
            for near in (Fraction(10**9 - 1, 10**9), Fraction(10**9 + 1, 10**9)):
                assert certainly_different(root * root * near, xp.array(number))
            assert not certainly_different(root * root, xp.array(number))


def test_an_interval_is_narrow() -> None:
    root = Interval(Fraction(2)).sqrt()
    assert root.low**2 < 2 < root.high**2
    assert root.high - root.low <= Fraction(1, 2**120)


def test_without_flint_exponentials_are_refused() -> None:
    xp = ExactArrays(Balls(use_flint=False))
    one = xp.array([1])
    with pytest.raises(NotExact, match="`exp`"):
        xp.exp(one)


@BOTH
def test_numbers_that_cannot_be_compared_are_refused(use_flint: bool) -> None:
    xp = ExactArrays(Balls(use_flint=use_flint))
    with xp.ring.working():
        nothing = xp.sqrt(xp.array([2])) * xp.sqrt(xp.array([8])) - 4
        with pytest.raises(NotExact, match="`relu`"):
            xp.relu(nothing)


@BOTH
def test_fractions_are_exact_with_either_arithmetic(use_flint: bool) -> None:
    xp = ExactArrays(Rationals(use_flint=use_flint))
    matrix = xp.array([[1, 2], [3, 5]])
    product = xp.inverse(matrix) @ matrix
    assert not certainly_different(product, xp.eye(2))
    assert [xp.ring.text(entry) for entry in (matrix / 7).value[0]] == ["1/7", "2/7"]
    assert certainly_different(xp.sqrt(xp.array([4, 9])), xp.array([2, -3]))


def test_the_package_works_without_flint() -> None:
    code = """
import sys
sys.modules["flint"] = None
import specdsl
from specdsl.equivalence.exact.jacobian import dimension_lower_bound
from specdsl.equivalence.exact.witness import smallest_difference
from specdsl.equivalence.exact.flint_library import flint
from specdsl.equivalence.subject import subjects
dora = "V = W + A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ colnorm(V))"
a, b = subjects(specdsl.parse("W + A@B"), specdsl.parse(dora))
assert flint is None and "torch" not in sys.modules
assert dimension_lower_bound(a, {"n": 4, "m": 5, "r": 2}).dimension == 14
assert smallest_difference((a, b), []) is not None
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_magnitudes_of_balls_are_balls() -> None:
    xp = ExactArrays(Balls())
    with xp.ring.working():
        assert np.all(xp.abs(xp.array([-3, 2])) > 1)
