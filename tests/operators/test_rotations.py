"""Rotations and reflections: what is orthogonal when, in which order, and as peft has it."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.testing import assert_allclose, assert_array_equal

from specdsl.arrays.numpy_arrays import NUMPY
from specdsl.errors import SpecSettingError
from specdsl.operators.rotations import cayley, householder, skew_from

RANDOM = np.random.default_rng(0)
Q = skew_from(NUMPY, RANDOM.normal(size=(3, 10)))


def test_the_cayley_transform_of_a_skew_matrix_is_a_rotation() -> None:
    R = cayley(NUMPY, Q)
    assert_allclose(R @ np.swapaxes(R, -1, -2), np.broadcast_to(np.eye(5), R.shape), atol=1e-12)
    assert_allclose(np.linalg.det(R), 1.0)


def test_a_truncated_cayley_transform_comes_as_near_as_its_first_missing_term() -> None:
    small = 0.01 * Q
    for terms in (2, 3, 5):
        error = np.abs(cayley(NUMPY, small, terms=terms) - cayley(NUMPY, small)).max()
        first_missing = np.abs(np.linalg.matrix_power(small, terms - 1)).max()
        assert error == pytest.approx(first_missing, rel=0.3)


def test_a_series_of_less_than_two_terms_is_refused() -> None:
    with pytest.raises(SpecSettingError, match="`cayley` has at least 2 terms, not 1"):
        cayley(NUMPY, Q, terms=1)


def test_reflections_are_multiplied_from_left_to_right() -> None:
    U = RANDOM.normal(size=(4, 2))
    first, second = (np.eye(4) - 2 * np.outer(u, u) / (u @ u) for u in U.T)
    assert_allclose(householder(NUMPY, U), first @ second, atol=1e-14)
    assert not np.allclose(householder(NUMPY, U), second @ first)


def test_equal_columns_in_pairs_reflect_back() -> None:
    u = RANDOM.normal(size=(4, 1))
    assert_allclose(householder(NUMPY, np.hstack([u, u])), np.eye(4), atol=1e-14)


def test_a_column_of_zeros_is_no_reflection() -> None:
    assert_array_equal(householder(NUMPY, np.zeros((3, 2))), np.eye(3))


@pytest.mark.parametrize("terms", [None, 4, 5, 6])
def test_rotations_are_those_of_peft(terms: int | None) -> None:
    from peft.tuners.oft.layer import OFTRotationModule

    entries = torch.randn(3, 10, dtype=torch.float64)
    module = OFTRotationModule(3, 10, 5, 15)
    theirs = module._cayley_batch(entries, 5, terms is not None, terms or 0)
    # peft's series approximates the transposed rotation, which is the one of -Q.
    Q = skew_from(NUMPY, entries.numpy() if terms is None else -entries.numpy())
    assert_allclose(cayley(NUMPY, Q, terms=terms), theirs.numpy(), atol=1e-10)
