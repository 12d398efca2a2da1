"""Default starts: the examples of the language's definition, rule by rule, and the check that follows."""

import pytest

import specdsl
from specdsl.elaborate.solver import shape_text
from specdsl.ir import Apply, Node, Scalar

KINDS = {"eye": "identity", "ones": "ones", "zeros": "zero", "kaiming": "kaiming"}


def kind(start: Node | None) -> str:
    if isinstance(start, Scalar):
        return {0: "zero", 1: "ones"}[int(start.size.constant or 0)]
    assert isinstance(start, Apply)
    return KINDS.get(start.operator, start.operator)


def starts(text: str) -> dict[str, str]:
    return {name: kind(factor.start) for name, factor in specdsl.parse(text).ir.factors.items()}


EXAMPLES = {
    "W + A@B": {"A": "kaiming", "B": "zero"},
    "W + A@G@B": {"A": "kaiming", "G": "kaiming", "B": "zero"},
    "W + A@G@B | orth(A)": {"A": "kaiming", "G": "kaiming", "B": "zero"},
    "W + A@G@B | orth(A) | orth(B)": {"A": "kaiming", "G": "zero", "B": "kaiming"},
    "W + A@diag(d)@B@diag(e)": {"A": "kaiming", "d": "ones", "B": "kaiming", "e": "zero"},
    "W@diag(t) + A@B@diag(t)": {"t": "ones", "A": "kaiming", "B": "zero"},
    "U*diag(s)*W*diag(t)": {"U": "identity", "s": "ones", "t": "ones"},
    "W .* (1 + A@B)": {"A": "kaiming", "B": "zero"},
    "(eye + A@B)@W": {"A": "kaiming", "B": "zero"},
    "cayley(skew(Q))@W": {"Q": "zero"},
    "W .* M": {"M": "ones"},
    "y .* l": {"l": "ones"},
    "b + d": {"d": "zero"},
    "y + relu(x@A)@B": {"A": "kaiming", "B": "zero"},
    "y + silu(x@A + a)@B + c": {"A": "kaiming", "a": "zero", "B": "zero", "c": "zero"},
    "W + (A@B) .* (C@D)": {"A": "kaiming", "B": "kaiming", "C": "kaiming", "D": "zero"},
    "W + A@B + C@D": {"A": "kaiming", "B": "zero", "C": "kaiming", "D": "zero"},
    "W + A@B | A ~ zeros | B ~ kaiming": {"A": "zero", "B": "kaiming"},
    "W + A@B | A ~ zeros": {"A": "zero", "B": "kaiming"},
    "U, S, V = svd(W) | W' = U@diag(S .* d)@V": {"d": "ones"},
    "U, S, V = svd(W) | W' = U@diag(S + d)@V": {"d": "zero"},
    "s : 1 | W' = W + s * A@B": {"s": "ones", "A": "kaiming", "B": "zero"},
    "W + A@B | A : n x r, orthonormal": {"A": "orthogonal", "B": "zero"},
}


@pytest.mark.parametrize(("text", "expected"), EXAMPLES.items(), ids=EXAMPLES)
def test_default_starts(text: str, expected: dict[str, str]) -> None:
    assert starts(text) == expected


def test_a_factor_used_transposed_draws_over_its_columns() -> None:
    factor = specdsl.parse("W + A.T@B | A : r x n").ir.factors["A"]
    assert isinstance(factor.start, Apply)
    assert str(factor.start.option("fan")) == "n"


REFUSED = {
    "W.*(A@B)": "no default start: `A@B` multiplies W",
    "A@W | A : n x n ~ zeros": "W' does not start at W",
    "y + relu(x@A@B)": "the factors `A`, `B` never train",
    "W + A@B | A ~ zeros | B ~ zeros": "the factors `A`, `B` never train",
    "W + A@B | A ~ kaiming | B ~ kaiming": "W' does not start at W",
    "W + stop(A)@B": "the factor `A` never trains",
    "W + A@B | starts: elsewhere": "`starts: elsewhere` is said, but W' starts at W",
    "W + log(d) .* W | d : m ~ zeros": "W' is not finite at the start",
    "frozen A : n x r | W + A@B": "the frozen factor `A` has no value",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED)
def test_impossible_starts_are_refused(text: str, message: str) -> None:
    with pytest.raises(specdsl.SpecError, match=message.replace("(", r"\(").replace(")", r"\)").replace("*", r"\*")):
        specdsl.parse(text)


def test_the_header_allows_another_start() -> None:
    spec = specdsl.parse("W + A@B | A ~ kaiming | B ~ kaiming | starts: elsewhere")
    assert not spec.facts.starts_at_base


def test_a_start_reads_initial_values_of_other_factors() -> None:
    spec = specdsl.parse("R ~ W@relu(P) | P : m x r ~ kaiming | W' = W + (R - init(R))@P.T")
    assert shape_text(spec.ir.factors["R"].shape) == "n x r"


def test_starts_may_not_circle() -> None:
    with pytest.raises(specdsl.SpecNameError, match="defined by itself"):
        specdsl.parse("u ~ colnorm(W) + v | v ~ u | W @ diag(u - init(u) + ones(m)) @ diag(v - init(v) + ones(m))")
