"""What one spec reaches and the other cannot: values that the interpreter replays, apart by what is said of them."""

from __future__ import annotations

import csv
import re
from functools import cache
from pathlib import Path

import numpy as np
import pytest

from specdsl.equivalence.decide import equivalent
from specdsl.equivalence.exact.replay import numbers, replay
from specdsl.equivalence.verdict import SetResult, Witness
from tests.equivalence.compiled import compiled
from tests.equivalence.consistency import both

TABLE = list(
    csv.DictReader(
        Path(__file__).with_name("pairs.tsv").read_text(encoding="utf-8").splitlines(),
        delimiter="\t",
        quoting=csv.QUOTE_NONE,
    )
)
ROWS = [(row["a"], row["b"], row["assume"]) for row in TABLE if row["set"] in "<>x"]
UNEQUAL = [(row["a"], row["b"], row["assume"]) for row in TABLE if row["pointwise"] == "!="]
SVD = "U, S, V = svd(W)"
MORE = [
    ("W + A@B", "W@diag(t)", ""),
    (f"{SVD} | W' = U@diag(relu(S + d))@V | d ~ zeros", f"{SVD} | W' = U@diag(s)@V | s ~ S", ""),
    ("W + A@B + C@D", "W + A@B", ""),
    ("cayley(skew_from(q))@W | q : n*(n-1)/2 ~ zeros", "diag(s)@W", ""),
    ("W' = W + A@B\nb' = b + c | c : m ~ zeros", "W + A@B", ""),
    ("W + A@B | frozen A : n x r ~ kaiming", "W + A@B", ""),
]
EVERY = pytest.mark.parametrize(("a", "b", "assume"), [*ROWS, *MORE])


@cache
def found(a: str, b: str, assume: str) -> SetResult:
    return equivalent(a, b, assume=[assume] if assume else [], sense="set").set


def witnesses(result: SetResult) -> list[Witness]:
    return [one for one in (result.witness, result.other_witness) if one is not None]


@EVERY
def test_sets_that_differ_have_a_witness_that_replays(a: str, b: str, assume: str) -> None:
    result = found(a, b, assume)
    if result.relation == "?":
        return
    assert len(witnesses(result)) == (2 if result.relation == "x" else 1)
    for witness in witnesses(result):
        assert bool(witness.value_a) + bool(witness.value_b) <= 1
        assert replay(witness, *both(a, b)).agrees


@EVERY
def test_a_compiled_module_reaches_the_value(a: str, b: str, assume: str) -> None:
    one, other = both(a, b)
    for witness in witnesses(found(a, b, assume)):
        for subject, factors, values in (
            (one, witness.factors_a, witness.value_a), (other, witness.factors_b, witness.value_b),
        ):  # fmt: skip
            for name, value in compiled(subject, witness, factors).items() if values else ():
                np.testing.assert_allclose(value, numbers(values[name]), atol=1e-9)


@pytest.mark.parametrize(("a", "b", "assume"), UNEQUAL)
def test_the_witness_of_different_functions_replays_in_both(a: str, b: str, assume: str) -> None:
    """Pointwise, where both values stand."""
    verdict = equivalent(a, b, assume=[assume] if assume else [], sense="pointwise").pointwise
    assert verdict.witness is not None
    pair = both(a, b)
    again = replay(verdict.witness, *pair)
    assert again.agrees
    assert again.differs
    sides = zip(pair, (verdict.witness.factors_a, verdict.witness.factors_b), (again.a, again.b), strict=True)
    for subject, factors, values in sides:
        for name, value in compiled(subject, verdict.witness, factors).items():
            np.testing.assert_allclose(value, values[name], atol=1e-9)


@EVERY
def test_a_witness_is_of_the_spec_that_reaches_more(a: str, b: str, assume: str) -> None:
    result = found(a, b, assume)
    if result.witness is not None and result.witness.site:
        assert bool(result.witness.value_b) == (result.relation == "<")
    if result.other_witness is not None and result.other_witness.site:
        assert result.other_witness.value_b


@EVERY
def test_ranks_are_as_said(a: str, b: str, assume: str) -> None:
    for witness in witnesses(found(a, b, assume)):
        said = re.match(r"the rank of W' - W is (\d+) here, and at most (\d+)", witness.says)
        if said:
            value = numbers((witness.value_a or witness.value_b)["W'"]) - numbers(witness.site["W"])
            assert np.linalg.matrix_rank(value) == int(said[1]) > int(said[2])


def test_entries_are_small() -> None:
    witness = found("W@diag(t)", "diag(s)@W", "").witness
    assert witness is not None
    assert {witness.sizes["n"], witness.sizes["m"]} == {"3"}
    assert np.abs(numbers(witness.value_a["W'"])).max() <= 4


def test_a_witness_with_norms_has_rational_ones() -> None:
    dora = "V = W + A@B | g ~ colnorm(V) | W' = V@diag(g ./ stop(colnorm(V)))"
    witness = found("W + A@B", dora, "r < min(n, m)").witness
    assert witness is not None
    assert witness.says.startswith("the rank of W' - W is 3 here, and at most 2")
    V = numbers(witness.site["W"]) + numbers(witness.factors_b["A"]) @ numbers(witness.factors_b["B"])
    wanted = V / np.linalg.norm(V, axis=0) * numbers(witness.factors_b["g"])
    np.testing.assert_allclose(numbers(witness.value_b["W'"]), wanted, rtol=1e-12, atol=1e-12)


def test_a_value_outside_an_affine_space_is_outside_it() -> None:
    witness = found("diag(s)@W", "W@diag(t)", "").witness
    assert witness is not None
    value, W = numbers(witness.value_a["W'"]), numbers(witness.site["W"])
    basis = np.array([(W * column).ravel() for column in np.eye(W.shape[1])])
    assert np.linalg.matrix_rank(np.vstack([basis, value.ravel()])) > np.linalg.matrix_rank(basis)


def test_constants_of_the_other_spec_are_shown() -> None:
    witness = found("W + A@B | frozen A : n x r ~ kaiming", "W + A@B", "").witness
    assert witness is not None
    assert list(witness.factors_a) == ["A"]
    A, value = numbers(witness.factors_a["A"]), numbers(witness.value_b["W'"]) - numbers(witness.site["W"])
    assert np.linalg.matrix_rank(np.hstack([A, value])) > np.linalg.matrix_rank(A)
