"""Matrices modulo a prime: rank, reduced rows, null space, inverse. FLINT does the work where it is installed."""

from __future__ import annotations

from typing import Any

import numpy as np

from specdsl.equivalence.exact.flint_library import flint


def reduced(matrix: Any, prime: int, *, use_flint: bool = flint is not None) -> tuple[Any, list[int]]:
    """The reduced row echelon form without its zero rows, and the columns of its leading ones.

    >>> reduced(np.array([[2, 4], [1, 2]]), 2139096959)
    (array([[1, 2]]), [0])
    """
    matrix = np.asarray(matrix, dtype=np.int64) % prime
    if 0 in matrix.shape:
        return matrix[:0], []
    if use_flint:
        rows, rank = flint.nmod_mat(*matrix.shape, matrix.ravel().tolist(), prime).rref()
        work = np.array([int(entry) for entry in rows.entries()], dtype=np.int64).reshape(matrix.shape)[:rank]
    else:
        work = _reduced_rows(matrix.copy(), prime)
    return work, [int(np.flatnonzero(row)[0]) for row in work]


def _reduced_rows(work: Any, prime: int) -> Any:
    rank = 0
    for column in range(work.shape[1]):
        usable = np.flatnonzero(work[rank:, column])
        if not len(usable):
            continue
        pivot = rank + int(usable[0])
        work[[rank, pivot]] = work[[pivot, rank]]
        work[rank] = work[rank] * pow(int(work[rank, column]), -1, prime) % prime
        others = np.flatnonzero(work[:, column])
        others = others[others != rank]
        work[others] = (work[others] - work[others, column][:, None] * work[rank] % prime) % prime
        rank += 1
        if rank == len(work):
            break
    return work[:rank]


def rank(matrix: Any, prime: int, *, use_flint: bool = flint is not None) -> int:
    """The rank modulo a prime."""
    matrix = np.asarray(matrix, dtype=np.int64) % prime
    if 0 in matrix.shape:
        return 0
    if use_flint:
        return int(flint.nmod_mat(*matrix.shape, matrix.ravel().tolist(), prime).rank())
    return len(_reduced_rows(matrix.copy() if len(matrix) < len(matrix.T) else matrix.T.copy(), prime))


def nullspace(matrix: Any, prime: int, *, use_flint: bool = flint is not None) -> Any:
    """A basis of the vectors that the matrix sends to zero, as columns.

    >>> nullspace(np.array([[1, 2]]), 7).tolist()
    [[5], [1]]
    """
    matrix = np.asarray(matrix, dtype=np.int64)
    rows, leading = reduced(matrix, prime, use_flint=use_flint)
    free = [column for column in range(matrix.shape[1]) if column not in set(leading)]
    basis = np.zeros((matrix.shape[1], len(free)), dtype=np.int64)
    for place, column in enumerate(free):
        basis[column, place] = 1
        basis[leading, place] = -rows[:, column] % prime
    return basis


def row_space_contains(a: Any, b: Any, prime: int, *, use_flint: bool = flint is not None) -> bool:
    """Whether every row of b is a combination of the rows of a."""
    together = np.concatenate([np.asarray(a, dtype=np.int64), np.asarray(b, dtype=np.int64)])
    return rank(together, prime, use_flint=use_flint) == rank(a, prime, use_flint=use_flint)


def column_space_contains(a: Any, b: Any, prime: int, *, use_flint: bool = flint is not None) -> bool:
    """Whether every column of b is a combination of the columns of a."""
    return row_space_contains(np.asarray(a).T, np.asarray(b).T, prime, use_flint=use_flint)


def inverse(matrix: Any, prime: int, *, use_flint: bool = flint is not None) -> Any | None:
    """The inverse of a square matrix, or None where there is none."""
    size = len(matrix)
    both = np.concatenate([np.asarray(matrix, dtype=np.int64), np.eye(size, dtype=np.int64)], 1)
    rows, leading = reduced(both, prime, use_flint=use_flint)
    return rows[:, size:] if leading == list(range(size)) else None
