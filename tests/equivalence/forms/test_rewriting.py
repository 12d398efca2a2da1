"""What makes a term simpler comes to an end."""

from __future__ import annotations

from specdsl.equivalence.decide import equivalent


def test_an_inverse_of_what_multiplies_itself_stays_as_it_is() -> None:
    """`K @ inverse(eye + K + Q@K)` would be written out again and again: its rest holds `Q @ K @ inverse(..)`."""
    spec = "W + K@inverse(eye(n) + K + Q@K)@X | K, Q : n x n ~ normal | X : n x m ~ zeros"
    assert equivalent(spec, spec).pointwise.relation == "="
