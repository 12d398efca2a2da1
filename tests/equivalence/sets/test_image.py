"""Images: what is said of their closures."""

from __future__ import annotations

import pytest

from specdsl.equivalence.decide import equivalent

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
