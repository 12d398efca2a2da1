"""Reasons why a value of one spec is none of another: each is given where it holds, and not where it does not."""

from __future__ import annotations

import pytest

from specdsl.equivalence.decide import equivalent

GIVEN = {
    "symmetry": ("W + A@B | B : r x n ~ zeros", "W + A@A.T | A : n x r ~ kaiming | starts: elsewhere",
                 "is symmetric, and in a it need not be"),
    "a hull": ("W + A@B", "W + upper(A)@B | A : n x r", "lies in a linear space of dimension"),
    "a rank beside a matrix": ("W + A@B | A : n x 2*r", "W + A@B + P@C | frozen P : n x r ~ normal | C : r x m ~ zeros",
                               "leaves the columns of P has rank at most"),
    "a rank beside rows": ("W + A@B | A : n x 2*r", "W + A@B + C@P | frozen P : r x m ~ normal | C : n x r ~ zeros",
                           "leaves the rows of P has rank at most"),
    "entries that are not negative": ("W + A@B", "W + relu(A)@relu(B) | A ~ normal | B ~ normal | starts: elsewhere",
                                      "no entry of what b adds to W is negative"),
    "matrices that are not negative": (
        "W + A@diag(d)@A.T | A : n x r ~ kaiming | d ~ zeros", "W + A@A.T | A : n x r ~ kaiming | starts: elsewhere",
        "has no negative eigenvalue"),
    "a range": ("W@diag(t)", "W@diag(exp(t)) | t : m ~ zeros", "of a factor that is positive"),
    "another range": ("W@diag(abs(t)) | t : m ~ ones", "W@diag(exp(t)) | t : m ~ zeros",
                      "of a factor that is positive"),
    "breaks": ("y + relu(x@A)@B", "y + gelu(x@A)@B", "b is analytic in x"),
    "no breaks": ("y + gelu(x@A)@B", "y + relu(x@A)@B", "b is piecewise affine in x"),
    "bends": ("y + relu(x@A)@B", "y + x@A@B", "b is affine in x"),
    "the origin": ("y + relu(x@A + c)@B", "y + relu(x@A)@B", "every value of b is b at x = 0"),
    "ways": ("y + relu(x@A)@B | A : n x 2*r", "y + relu(x@A)@B", "a row for each token, has rank at most"),
}  # fmt: skip
NOT_GIVEN = [
    ("W + A@B + A@C", "W + A@B"),
    ("W + A@A.T | A : n x r ~ kaiming | starts: elsewhere", "W + sym(A@B) | A : n x 2*r | B : 2*r x n ~ zeros"),
    ("W@diag(exp(t)) | t : m ~ zeros", "W@diag(abs(t)) | t : m ~ ones"),
    ("y + relu(x@A)@diag(d)@B | d ~ ones", "y + relu(x@A)@B"),
    ("y + relu(x@A)@B", "y + relu(x@A + c)@B"),
    ("W + relu(A)@relu(B) | A ~ normal | B ~ normal | starts: elsewhere", "W + A@B"),
    ("W + (r - 2)*A@B", "W + A@B"),
]


@pytest.mark.parametrize("what", GIVEN)
def test_a_reason_is_given(what: str) -> None:
    one, other, said = GIVEN[what]
    verdict = equivalent(one, other, sense="set")
    assert verdict.set.relation in (">", "x", "?")
    assert said in verdict.set.reason or verdict.set.relation == "?", verdict.set.reason
    if verdict.set.relation == "?":
        assert said in reasons(one, other)


def reasons(one: str, other: str) -> str:
    """What was found against containment, where the other direction stays open."""
    from specdsl.equivalence.cells import question
    from specdsl.equivalence.conditions import Conditions
    from specdsl.equivalence.reach import reach
    from tests.equivalence.consistency import both

    asked = question(*both(one, other), Conditions.of())
    found = reach(asked.a, asked.b, asked.cells[0])
    return "" if found.a_not_in_b is None else found.a_not_in_b.says


@pytest.mark.parametrize(("one", "other"), NOT_GIVEN)
def test_none_is_given_for_what_is_contained(one: str, other: str) -> None:
    assert equivalent(one, other, sense="set").set.relation in ("=", "<", "?")
    assert reasons(one, other) == ""
