"""Rank, null space and inverse modulo a prime, with FLINT and without it."""

from __future__ import annotations

import numpy as np
import pytest

from specdsl.equivalence.exact import elimination
from specdsl.equivalence.exact.field import PRIMES

P = PRIMES[0]
BOTH = pytest.mark.parametrize("use_flint", [True, False])


def random_matrix(rows: int, columns: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, P, size=(rows, columns))


def product(left: np.ndarray, right: np.ndarray) -> np.ndarray:
    return (left.astype(object) @ right.astype(object) % P).astype(np.int64)


@BOTH
@pytest.mark.parametrize(("rows", "columns", "inner"), [(5, 7, 3), (7, 5, 5), (4, 4, 1), (3, 9, 2)])
def test_a_product_has_the_rank_of_its_inner_size(rows: int, columns: int, inner: int, use_flint: bool) -> None:
    matrix = product(random_matrix(rows, inner), random_matrix(inner, columns, 1))
    assert elimination.rank(matrix, P, use_flint=use_flint) == inner
    kernel = elimination.nullspace(matrix, P, use_flint=use_flint)
    assert kernel.shape == (columns, columns - inner)
    assert not product(matrix, kernel).any()


@BOTH
def test_an_inverse_undoes_and_a_singular_matrix_has_none(use_flint: bool) -> None:
    matrix = random_matrix(6, 6)
    inverse = elimination.inverse(matrix, P, use_flint=use_flint)
    assert inverse is not None
    assert np.array_equal(product(matrix, inverse), np.eye(6))
    assert elimination.inverse(np.ones((2, 2), dtype=np.int64), P, use_flint=use_flint) is None


@BOTH
def test_rows_are_combinations_or_not(use_flint: bool) -> None:
    a = random_matrix(3, 6)
    assert elimination.row_space_contains(a, product(random_matrix(2, 3, 5), a), P, use_flint=use_flint)
    assert not elimination.row_space_contains(a, random_matrix(1, 6, 9), P, use_flint=use_flint)
    assert elimination.column_space_contains(a.T, a.T[:, :1], P, use_flint=use_flint)


@BOTH
def test_a_matrix_without_entries_has_rank_zero(use_flint: bool) -> None:
    assert elimination.rank(np.zeros((3, 0)), P, use_flint=use_flint) == 0
    assert elimination.nullspace(np.zeros((0, 2)), P, use_flint=use_flint).shape == (2, 2)
