"""Random starts: what scales them, what they draw from their stream, what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from specdsl.errors import SpecSettingError
from specdsl.operators.random_starts import balanced, choice, kaiming, normal, orthogonal, uniform, xavier
from specdsl.randomness import Stream


def unit(shape: tuple[int, ...]) -> np.ndarray:
    """The numbers between -1 and 1 that uniform starts are scaled from."""
    return 2 * Stream("key").uniform(shape) - 1


@pytest.mark.parametrize(("shape", "fan"), [((4, 3), 4), ((2, 9, 3), 9), ((16,), 16), ((), 1)])
def test_kaiming_is_scaled_by_the_rows(shape: tuple[int, ...], fan: int) -> None:
    assert_allclose(kaiming(Stream("key"), shape), unit(shape) / fan**0.5, rtol=1e-14)


def test_kaiming_takes_another_fan() -> None:
    assert_allclose(kaiming(Stream("key"), (4, 3), fan=100), unit((4, 3)) / 10, rtol=1e-14)


@pytest.mark.parametrize(("shape", "total"), [((4, 3), 7), ((2, 9, 3), 12), ((16,), 17), ((), 2)])
def test_xavier_is_scaled_by_rows_and_columns(shape: tuple[int, ...], total: int) -> None:
    assert_allclose(xavier(Stream("key"), shape), unit(shape) * (6 / total) ** 0.5, rtol=1e-14)


def test_a_normal_start_scales_the_normal_numbers_of_its_stream() -> None:
    assert_array_equal(normal(Stream("key"), (5,), std=0.02), 0.02 * Stream("key").normal((5,)))


def test_twice_four_places_hold_each_of_four_twice() -> None:
    assert sorted(balanced(Stream("key"), (2, 4), n=4).flat) == [0, 0, 1, 1, 2, 2, 3, 3]


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: choice(Stream("key"), (2, 3), n=5), "`choice(5)` has 5 different places, but 6 are wanted"),
        (
            lambda: uniform(Stream("key"), (2,), low=1, high=-1),
            "`uniform` takes a range, but 1 is not below -1",
        ),
        (lambda: orthogonal(Stream("key"), (4,)), "`orthogonal` starts matrices, not vectors or numbers"),
    ],
)
def test_impossible_starts_are_refused(draw: object, message: str) -> None:
    with pytest.raises(SpecSettingError) as caught:
        draw()  # type: ignore[operator]
    assert caught.value.message == message
