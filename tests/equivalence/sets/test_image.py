"""Images: what is said of their closures."""

from __future__ import annotations

import numpy as np
import pytest

from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.exact.refusals import NotExact
from specdsl.equivalence.sets.evaluate import PRIME, contracted

ROTATIONS = "cayley(skew(K))@W | K : n x n ~ zeros"
ORTHOGONAL = ("A@W | A : n x n ~ eye, orthonormal", "householder(Q)@W | Q : n x n ~ normal | starts: elsewhere")


@pytest.mark.parametrize("other", ORTHOGONAL)
def test_rotations_are_not_dense_in_the_orthogonal_matrices(other: str) -> None:
    """Their dimensions are equal, but a reflection is near no rotation."""
    found = equivalent(ROTATIONS, other, assume=["n = m = 3"], sense="set").set
    assert found.relation in ("<", "?")
    assert found.closure in ("<", "?")


def test_an_orthonormal_factor_that_stays_tall_is_in_one_piece() -> None:
    a = "W + A@A.T@W | A : n x 2, orthonormal | starts: elsewhere"
    found = equivalent(a, "W + A@B", where=["r = 2"], sense="set").set
    assert (found.relation, found.closure) == ("<", "<")


def test_a_contraction_takes_the_cheap_steps_first_and_refuses_a_huge_one() -> None:
    A, B, C = (np.arange(1, 1 + rows * columns, dtype=object).reshape(rows, columns)
               for rows, columns in ((3, 4), (5, 2), (4, 5)))  # fmt: skip
    value = contracted([A, [0, 1], B, [2, 3], C, [1, 2]], [0, 3], PRIME)
    assert (value == A.dot(C).dot(B) % PRIME).all()
    wide = np.ones(3000, dtype=object)
    with pytest.raises(NotExact, match="too many products"):
        contracted([wide, [0], wide, [1]], [0, 1], PRIME)
