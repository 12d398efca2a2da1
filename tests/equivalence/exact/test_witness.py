"""Witnesses are small, exact, and show in the interpreter and in compiled modules what they say."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import numpy as np
import pytest

import specdsl
from specdsl.equivalence.exact.points import Rename
from specdsl.equivalence.exact.replay import numbers, replay
from specdsl.equivalence.exact.witness import smallest_difference
from specdsl.equivalence.subject import Subject, subjects, with_same_values
from specdsl.equivalence.verdict import Witness
from tests.equivalence.compiled import compiled, rank_of

LORA = "W + A@B"
SVD = "U, S, V = svd(W) | "
DORA = "V = W + A@B | g : m ~ colnorm(W) | W' = V@diag(g ./ stop(colnorm(V)))"
PISSA_SQUARE = f"{SVD}W' = W + U[:, :r]@R@V[:r, :] | R : r x r ~ zeros"
DIFFERENT = {
    "sides": ("diag(s)@W", "W@diag(t)", {"t": Rename("s")}),
    "scale": ("W + 2*A@B", LORA, None),
    "roots": (DORA, "(W + A@B)@diag(g)", None),
    "roots of both": (DORA, "V = W + A@B | g : m ~ colnorm(W) | W' = W@diag(g ./ colnorm(V))", None),
    "singular values": (f"{SVD}W' = U@diag(S + d)@V | d ~ zeros", f"{SVD}W' = U@diag(S.*d)@V | d ~ ones", None),
    "singular vectors": (PISSA_SQUARE, f"{SVD}W' = W + U[:, :r]@R.T@V[:r, :] | R : r x r ~ zeros", None),
    "bias": ("W' = W + A@B\nb' = b + c | c : m ~ zeros", LORA, None),
    "relu": ("y' = y + relu(x@A)@B", "y' = y + x@A@B", None),
    "gelu": ("y' = y + gelu(x@A)@B", "y' = y + silu(x@A)@B", None),
    "tokens": ("y' = y + (x@A@B) .* y", "y' = y + x@A@B", None),
    "rotation": (
        "cayley(skew_from(q))@W | q : n*(n-1)/2 ~ zeros",
        "cayley(skew_from(q), terms=2)@W | q : n*(n-1)/2 ~ zeros",
        None,
    ),
    "frozen": ("W + A@B | frozen A : n x r ~ kaiming", "W + A@B + A@B .* W | frozen A : n x r ~ kaiming", None),
}  # fmt: skip
EVERY = pytest.mark.parametrize("name", list(DIFFERENT))


def pair_of(name: str) -> tuple[Subject, Subject]:
    a, b, _ = DIFFERENT[name]
    return with_same_values(*subjects(specdsl.parse(a), specdsl.parse(b)))


def by_name(pair: tuple[Subject, Subject]) -> dict[str, Rename]:
    return {name: Rename(name) for name in pair[1].ir.factors if name in pair[0].ir.factors}


def found(name: str) -> tuple[Witness, tuple[Subject, Subject]]:
    pair = pair_of(name)
    coupling = DIFFERENT[name][2] or by_name(pair)
    witness = smallest_difference(pair, [coupling])
    assert witness is not None
    return witness, pair


@EVERY
def test_the_interpreter_shows_the_same_values(name: str) -> None:
    witness, pair = found(name)
    again = replay(witness, *pair)
    assert again.agrees
    assert again.differs


@EVERY
def test_a_compiled_module_shows_the_same_values(name: str) -> None:
    witness, pair = found(name)
    for subject, factors, values in zip(
        pair, (witness.factors_a, witness.factors_b), (witness.value_a, witness.value_b), strict=True
    ):
        for key, value in compiled(subject, witness, factors).items():
            assert np.allclose(value, numbers(values[key]), atol=1e-9)


@pytest.mark.parametrize("name", ["scale", "roots", "singular values", "bias", "rotation", "frozen"])
def test_the_weight_of_the_reference_is_the_value(name: str) -> None:
    witness, pair = found(name)
    for subject, factors, values in zip(
        pair, (witness.factors_a, witness.factors_b), (witness.value_a, witness.value_b), strict=True
    ):
        rank = rank_of(subject, witness)
        given = {key: numbers(value) for key, value in factors.items()}
        W, b = specdsl.weight(
            subject.spec, numbers(witness.site["W"]), numbers(witness.site["b"]) if "b" in witness.site else None,
            given, **rank,
        )  # fmt: skip
        assert np.allclose(W, numbers(values["W'"]))
        if "b'" in values:
            assert np.allclose(b, numbers(values["b'"]))


@EVERY
def test_entries_are_small_whole_numbers_or_short_fractions(name: str) -> None:
    witness, _ = found(name)
    for texts in (*witness.site.values(), *witness.factors_a.values(), *witness.factors_b.values()):
        for entry in np.array(texts, dtype=object).ravel():
            assert abs(Fraction(entry)) <= 25


def test_equal_specs_have_no_witness() -> None:
    for text in (LORA, DORA, f"{SVD}W' = U@diag(S.*d)@V | d ~ ones", "y' = y + gelu(x@A)@B"):
        pair = subjects(specdsl.parse(text), specdsl.parse(text))
        assert smallest_difference(pair, [by_name(pair)], largest=2, seeds=4) is None


def test_one_renaming_that_makes_them_equal_leaves_no_witness() -> None:
    pair = subjects(specdsl.parse("W + A@B"), specdsl.parse("W + C@D"))
    equal = {"C": Rename("A"), "D": Rename("B")}
    crossed = {"C": Rename("B", True), "D": Rename("A", True)}

    def is_square(environment: Any) -> bool:
        return bool(environment["n"] == environment["m"])

    assert smallest_difference(pair, [crossed], is_square) is not None
    assert smallest_difference(pair, [equal, crossed], is_square, largest=2, seeds=4) is None


def test_a_witness_for_every_renaming_says_so() -> None:
    pair = subjects(specdsl.parse("W + 2*A@B"), specdsl.parse("W + C@D"))
    couplings = [
        {"C": Rename("A"), "D": Rename("B")},
        {"C": Rename("B", True), "D": Rename("A", True)},
    ]
    witness = smallest_difference(pair, couplings, lambda sizes: bool(sizes["n"] == sizes["m"]))
    assert witness is not None
    assert witness.says.endswith("it differs however the factors are paired")


def test_sizes_meet_the_conditions_and_grow_from_the_smallest() -> None:
    pair = subjects(specdsl.parse("diag(s)@W"), specdsl.parse("W@diag(t)"))
    witness = smallest_difference(
        pair, [{"t": Rename("s")}], lambda sizes: bool(sizes["n"] == sizes["m"] and sizes["n"] >= 2)
    )  # fmt: skip
    assert witness is not None
    assert (witness.sizes["n"], witness.sizes["m"]) == ("2", "2")
