"""Shapes by unification, size conditions, and the rules about vectors."""

import pytest

import specdsl
from specdsl.elaborate.solver import shape_text

SHAPES = {
    "W + A@B": {"A": "n x r", "B": "r x m"},
    "W + A@G@B": {"A": "n x r", "G": "r x r", "B": "r x m"},
    "diag(l)@W@diag(k)": {"l": "n", "k": "m"},
    "y .* l": {"l": "m"},
    "x' = x .* k": {"k": "n"},
    "y + relu(x@A)@B": {"A": "n x r", "B": "r x m"},
    "y + x@A@B + y@C@D": {"A": "n x r", "B": "r x m", "C": "m x r", "D": "r x m"},
    "W + D": {"D": "n x m"},
    "b + d": {"d": "m"},
    "R@W": {"R": "n x n"},
    "W@R": {"R": "m x m"},
    "U, S, V = svd(W) | W' = U@diag(S + d)@V": {"d": "min(m, n)"},
    "A : n x k | k = 3 | W + A@B": {"A": "n x k", "B": "k x m"},
    "W + A.T@B | A : r x n": {"A": "r x n", "B": "r x m"},
    "g ~ colnorm(W) | W' = W @ diag(g ./ colnorm(W))": {"g": "m"},
    "W + [A, C]@[B; D] | C : n x 2 | B : r x m ~ zeros | D : 2 x m ~ zeros": {
        "A": "n x r",
        "C": "n x 2",
        "B": "r x m",
        "D": "2 x m",
    },
    "frozen shared A : max(layers(n)) x r ~ kaiming(seed=0) | W + A[:n, :]@B": {
        "A": "max(layers(n)) x r",
        "B": "r x m",
    },
    "shared v ~ zeros | b' = b + split(v, layers(m))[layer]": {"v": "sum(layers(m))"},
    "shared A : sum(layers(n)) x r | W + split(A, layers(n))[layer]@B": {"A": "sum(layers(n)) x r", "B": "r x m"},
    "W + kron(A, B) | A : 2 x 2": {"A": "2 x 2", "B": "n/2 x m/2"},
    "W + tile(D, n) | D : r x m ~ zeros": {"D": "r x m"},
}


@pytest.mark.parametrize(("text", "expected"), SHAPES.items(), ids=SHAPES)
def test_shapes_follow_from_use(text: str, expected: dict[str, str]) -> None:
    factors = specdsl.parse(text).ir.factors
    assert {name: shape_text(factor.shape) for name, factor in factors.items()} == expected


CONDITIONS = {
    "W + A@B": [],
    "W + diag(d)": ["m = n"],
    "W + A@A.T | A : n x r ~ kaiming | starts: elsewhere": ["m = n"],
    "A : m x r | W + A@B": ["n = m"],
    "U, S, V = svd(W) | A ~ U[:, :r] | W' = W + (A - init(A))@V[:r, :]": ["r <= min(m, n)"],
    "D : n/4 x m ~ zeros | W + tile(D, n)": ["n/4 is a whole number"],
}


@pytest.mark.parametrize(("text", "expected"), CONDITIONS.items(), ids=CONDITIONS)
def test_what_must_hold_of_a_module_is_a_size_condition(text: str, expected: list[str]) -> None:
    assert sorted(str(condition) for condition in specdsl.parse(text).ir.conditions) == expected


REFUSED = {
    "W@v": "`v` is a vector and acts as a row",
    "W + v": "`v` is a vector and `W` is n x m: `\\+` does not add a vector",
    "v.T@W": "a vector acts as a row and has no transpose",
    "W + u*v": "`\\*` between two vectors",
    "W / A": "`/` divides by a number",
    "A : n x r | B : k x m | k = 3 | W + A@B": "r is not k",
    "W + [A, C]@[B; D] | A : n x r | C : n x 2": "the shape of `B` is not determined",
    "W + kron(A, B)": "the shape of `.` is not determined",
    "W + A .* B@C": "can be read two ways",
    "W[:, :, 0]": "2 axes, but 3 are indexed",
    "r = 4 | W + A[:, :5]@B | A : n x r": "takes more than there is",
    "W + s*A@B": "`s` is not declared",
    "A : 2.5 x m | W + ones(n, 2)@A": "a size is a whole number",
    "l : m ~ W | W .* l": "its start is n x m",
    "sum(W)": "W' is n x m, but this is a number",
    "W + A@B | penalty A": "a penalty is a number",
    "W^2.5": "the power of a matrix",
    "k = n | W + A@B | r = k": "cannot depend on the module's sizes",
}


@pytest.mark.parametrize(("text", "message"), REFUSED.items(), ids=REFUSED)
def test_sizes_that_cannot_be_are_refused(text: str, message: str) -> None:
    with pytest.raises(specdsl.SpecError, match=message):
        specdsl.parse(text)


def test_a_size_error_names_the_users_factors_and_sizes() -> None:
    with pytest.raises(specdsl.SpecShapeError) as caught:
        specdsl.parse("r = 8 | k = 3\nA : n x r | B : k x m\nW + A@B")
    assert str(caught.value) == (
        "<spec>:3:5: `A@B`: `A` is n x r and `B` is k x m: r is not k\n  W + A@B\n      ^^^\n  hint: r is 8, k is 3"
    )


def test_contradictory_conditions_are_refused_before_any_model() -> None:
    text = "D : n/4 x m ~ zeros | E : n/4 + 1/2 x m ~ zeros | W + tile(D, n) + tile(E, n)"
    with pytest.raises(specdsl.SpecShapeError, match="no module can meet all size conditions together"):
        specdsl.parse(text)


def test_a_butterfly_in_a_fold_demands_what_its_last_factor_does() -> None:
    spec = specdsl.parse(
        "R(i) = permute(eye(n), butterfly(n, n/k, i), both=true) | D : n x n ~ zeros | f = 3 | k = 4 "
        "| W + prod(R(i) for i < f)@D@W"
    )
    assert "n/k/2^(f - 1) is a whole number" in map(str, spec.ir.conditions)


def test_a_size_that_is_a_difference_is_not_negative() -> None:
    spec = specdsl.parse("W + C@B | frozen C : n x r ~ [eye(n), zeros(n, r - n)]")
    assert [str(condition) for condition in spec.ir.conditions] == ["n <= r"]
