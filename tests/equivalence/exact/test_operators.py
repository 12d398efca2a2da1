"""Every operator of the table over exact numbers: its float64 value on small whole numbers, or a refusal by name."""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_allclose

from specdsl.arrays.dual import DUAL, Dual
from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.equivalence.exact.arrays import ExactArrays
from specdsl.equivalence.exact.balls import Balls
from specdsl.equivalence.exact.exact_array import ComplexPair, ExactArray
from specdsl.equivalence.exact.field import Field
from specdsl.equivalence.exact.rational import Rationals
from specdsl.equivalence.exact.refusals import NoPoint, NotExact
from tests.test_operators import ALL, COMPUTED, random_case

NOT_IN_A_FIELD = {
    "bottom", "ceil", "clamp", "cos", "count", "eigh", "exp", "floor", "gelu", "keep", "ldu", "lu", "max", "min", "qr",
    "quantise", "relu", "sigmoid", "sign", "silu", "sin", "softmax", "svd", "tanh", "top",
}  # fmt: skip
"""Operators that a finite field refuses: they need an order, or a transcendental function."""
NOT_RATIONAL = {
    "cos", "eigh", "exp", "gelu", "layernorm", "ldu", "lu", "qr", "sigmoid", "silu", "sin", "softmax", "svd", "tanh",
}  # fmt: skip
NOT_IN_BALLS = {"eigh", "ldu", "lu", "qr", "svd"}
"""Operators without a value even in balls."""
SOMETIMES = {
    "field": {"log", "orth"},
    "rationals": {"colnorm", "elpower", "fft2", "ifft2", "keep", "log", "norm", "rownorm", "sqrt"},
    "balls": {"quantise"},
}
"""Operators that are refused for some numbers: roots of other than squares, infinity, numbers too close to a step."""
FIELD, RATIONALS, BALLS = ExactArrays(Field()), ExactArrays(Rationals()), ExactArrays(Balls())
ROUNDS = 8


def whole(array: Any) -> Any:
    """Small whole numbers in the place of random ones, with their signs; skew matrices stay skew."""
    array = np.asarray(array)
    return array if array.dtype.kind in "iu" else np.sign(array) * np.ceil(np.abs(array))


def whole_cases(name: str) -> Iterator[tuple[list[Any], dict[str, Any]]]:
    for round in range(ROUNDS):
        case = random_case(name, round)
        options = {key: Fraction(repr(v)) if isinstance(v, float) else v for key, v in case.options.items()}
        yield [whole(array) for array in case.arrays], options


def as_tuple(value: Any) -> tuple[Any, ...]:
    return value if isinstance(value, tuple) else (value,)


def lifted(xp: ExactArrays, array: Any) -> Any:
    return array if array.dtype.kind in "iu" else xp.array(array.astype(np.int64))


def computed(xp: ExactArrays, name: str, arrays: list[Any], options: dict[str, Any]) -> tuple[Any, ...]:
    with xp.ring.working():
        return as_tuple(ALL[name].value(xp, *(lifted(xp, array) for array in arrays), **options))


def decimals(value: Any) -> Any:
    """A value as float64 numbers."""
    if isinstance(value, ComplexPair):
        return decimals(value.real) + 1j * decimals(value.imaginary)
    if not isinstance(value, ExactArray):
        return np.asarray(value)
    ring = value.ring
    number = ring.decimal if isinstance(ring, Balls) else lambda entry: float(Fraction(ring.text(entry)))
    return np.vectorize(number, otypes=[float])(value.value)


def in_float64(name: str, arrays: list[Any], options: dict[str, Any]) -> tuple[Any, ...]:
    plain = {key: float(value) if isinstance(value, Fraction) else value for key, value in options.items()}
    return as_tuple(ALL[name].value(NUMPY, *arrays, **plain))


def agreeing_rounds(xp: ExactArrays, name: str) -> int:
    """How many rounds have an exact value; each is the float64 one."""
    found = 0
    for arrays, options in whole_cases(name):
        try:
            values = computed(xp, name, arrays, options)
        except (NoPoint, NotExact):
            continue
        with np.errstate(all="ignore"):
            wanted = in_float64(name, arrays, options)
        for value, expected in zip(values, wanted, strict=True):
            assert decimals(value).shape == np.shape(expected)
            assert_allclose(decimals(value), expected, rtol=1e-9, atol=1e-9)
        found += 1
    return found


@pytest.mark.parametrize("name", sorted(set(COMPUTED) - NOT_RATIONAL))
def test_a_rational_value_is_the_float64_one(name: str) -> None:
    assert agreeing_rounds(RATIONALS, name) > 0


@pytest.mark.parametrize("name", sorted(set(COMPUTED) - NOT_IN_BALLS))
def test_a_ball_holds_the_float64_value(name: str) -> None:
    assert agreeing_rounds(BALLS, name) > 0


@pytest.mark.parametrize("name", sorted(set(COMPUTED) - NOT_IN_A_FIELD - NOT_RATIONAL))
def test_a_value_in_the_field_is_the_rational_one_lifted(name: str) -> None:
    found = 0
    for arrays, options in whole_cases(name):
        try:
            wanted = computed(RATIONALS, name, arrays, options)
            values = computed(FIELD, name, arrays, options)
        except (NoPoint, NotExact):
            continue
        for value, expected in zip(values, wanted, strict=True):
            assert same_in_the_field(value, expected)
        found += 1
    assert found > 0


def same_in_the_field(value: Any, expected: Any) -> bool:
    if isinstance(value, ComplexPair):
        return same_in_the_field(value.real, expected.real) and same_in_the_field(value.imaginary, expected.imaginary)
    if not isinstance(value, ExactArray):
        return bool(np.array_equal(value, expected))
    texts = [Fraction(expected.ring.text(entry)) for entry in expected.value.ravel()]
    return [FIELD.ring.number(text) for text in texts] == value.value.ravel().tolist()


@pytest.mark.parametrize(
    ("kind", "xp", "named"),
    [("field", FIELD, NOT_IN_A_FIELD), ("rationals", RATIONALS, NOT_RATIONAL), ("balls", BALLS, NOT_IN_BALLS)],
)
def test_what_has_no_exact_value_is_refused_and_listed(kind: str, xp: ExactArrays, named: set[str]) -> None:
    refused = set()
    for name in COMPUTED:
        if any(refusal(xp, name, arrays, options) for arrays, options in whole_cases(name)):
            refused.add(name)
    assert refused == named | SOMETIMES[kind]


def refusal(xp: ExactArrays, name: str, arrays: list[Any], options: dict[str, Any]) -> bool:
    try:
        computed(xp, name, arrays, options)
    except NotExact:
        return True
    except NoPoint:
        return False
    return False


@pytest.mark.parametrize("name", sorted(set(COMPUTED) - NOT_RATIONAL))
def test_derivatives_in_many_directions_are_those_of_one_at_a_time(name: str) -> None:
    """Over the rationals against the float64 dual numbers, away from kinks."""
    for arrays, options in whole_cases(name):
        places = [i for i, array in enumerate(arrays) if array.dtype.kind not in "iu" and array.size]
        if not places or ALL[name].has("constant") or name in ("max", "min", "abs", "relu", "pinv", "clamp"):
            continue
        random = np.random.default_rng(0)
        directions = [{i: random.integers(-2, 3, size=arrays[i].shape) for i in places} for _ in range(3)]
        exact = [
            ExactArray(RATIONALS.ring, lifted(RATIONALS, array).value,
                       RATIONALS.ring.entries(np.stack([direction[i] for direction in directions])))
            if i in places else array
            for i, array in enumerate(arrays)
        ]  # fmt: skip
        try:
            values = as_tuple(ALL[name].value(RATIONALS, *exact, **options))
        except (NoPoint, NotExact):
            continue
        plain = {key: float(value) if isinstance(value, Fraction) else value for key, value in options.items()}
        for number, direction in enumerate(directions):
            duals = [Dual(array, direction[i]) if i in places else array for i, array in enumerate(arrays)]
            with np.errstate(all="ignore"):
                wanted = as_tuple(ALL[name].value(DUAL, *duals, **plain))
            for value, expected in zip(values, wanted, strict=True):
                if isinstance(value, ComplexPair):
                    continue
                tangent = np.zeros((3, *value.shape)) if value.tangent is None else decimals(
                    ExactArray(value.ring, value.tangent))  # fmt: skip
                assert_allclose(tangent[number], np.real(expected.tangent), rtol=1e-7, atol=1e-7)


def test_an_operator_is_known_to_each_list() -> None:
    assert set(ALL) >= NOT_IN_A_FIELD | NOT_RATIONAL | NOT_IN_BALLS
