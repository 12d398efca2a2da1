"""Masks, permutations and pairs at the edges of what they take."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.errors import SpecSettingError, SpecShapeError
from specdsl.operators.indexing import bottom, butterfly, keep, pairs, permute, slice_, top


@pytest.mark.parametrize(
    ("k", "entries", "expected"),
    [(0.5, 10, 5), (0.29, 100, 29), (0.999, 10, 9), (0.001, 10, 1), (1, 10, 1), (2.7, 10, 2), (11, 10, 10)],
)
def test_shares_and_counts_are_rounded_down_to_at_least_one(k: float, entries: int, expected: int) -> None:
    values = np.arange(float(entries))
    assert_array_equal(top(NUMPY, values, k), values >= entries - expected)
    assert_array_equal(bottom(NUMPY, values, k), values < expected)


@pytest.mark.parametrize("k", [0, -1, float("nan")])
def test_nothing_and_less_than_nothing_cannot_be_chosen(k: float) -> None:
    with pytest.raises(SpecSettingError, match="a share or a count is more than 0"):
        top(NUMPY, np.ones(3), k)


def test_what_is_not_kept_has_no_weight_in_softmax() -> None:
    weights = NUMPY.softmax(keep(NUMPY, np.array([[1.0, 3.0, 2.0]]), 2))
    assert weights[0, 0] == 0
    assert weights.sum() == pytest.approx(1.0)


def test_one_permutation_of_rows_and_columns_undoes_the_other() -> None:
    M, p = np.arange(16.0).reshape(4, 4), np.array([2, 0, 3, 1])
    assert_array_equal(permute(NUMPY, permute(NUMPY, M, p, both=True), np.argsort(p), both=True), M)


def test_the_first_butterfly_factor_changes_nothing_even_with_odd_blocks() -> None:
    assert_array_equal(butterfly(NUMPY, 9, 3, 0), np.arange(9))


@pytest.mark.parametrize(("n", "k", "i"), [(6, 2, 1), (12, 3, 1), (16, 4, 3)])
def test_a_butterfly_factor_of_blocks_that_have_no_halves_is_refused(n: int, k: int, i: int) -> None:
    with pytest.raises(SpecShapeError, match=f"with i = {i} joins"):
        butterfly(NUMPY, n, k, i)


def test_the_second_butterfly_factor_exchanges_the_inner_halves() -> None:
    assert_array_equal(butterfly(NUMPY, 8, 2, 1), [0, 1, 4, 5, 2, 3, 6, 7])


@pytest.mark.parametrize(("n", "k", "factors"), [(16, 8, 4), (24, 4, 3), (36, 6, 2)])
def test_butterflies_are_those_of_peft(n: int, k: int, factors: int) -> None:
    from peft.tuners.boft.layer import BOFTLayer

    for i in range(factors):
        theirs: Any = BOFTLayer.block_butterfly_perm(None, n, k // 2**i, n // k // 2, factors - 1)
        assert_array_equal(butterfly(NUMPY, n, k, i), theirs.numpy())


def test_pairs_of_a_start_are_equal_columns() -> None:
    assert_array_equal(pairs(NUMPY, np.array([[1.0, 2.0, 3.0, 4.0]])), [[1.0, 1.0, 3.0, 3.0]])


def test_a_slice_takes_places_stretches_and_slice_objects() -> None:
    A = np.arange(24.0).reshape(2, 3, 4)
    assert_array_equal(slice_(NUMPY, A, (1, slice(0, 3, 2))), A[1, 0:3:2])
    assert_array_equal(slice_(NUMPY, A, (-1, (1, None, None), 0)), A[-1, 1:, 0])
