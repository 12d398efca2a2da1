"""Facts: each is held to numbers."""

import numpy as np
import pytest

import specdsl

RANKS = {
    "W + A@B": "r",
    "W + A@G@B": "r",
    "W + alpha/r * A@B": "r",
    "W + A@B + C@D": "2*r",
    "W + (A@B) .* (C@D)": "r^2",
    "W + A@diag(d)@B@diag(e)": "r",
    "y' = y + x@A@B + y@C@D": "2*r",
    "b + d": "0",
    "W + tile(D, n) | D : r x m ~ zeros": "r",
    "y + dropout(x, 0.1)@A@B": "r",
}


@pytest.mark.parametrize(("text", "bound"), RANKS.items(), ids=RANKS)
def test_the_rank_bound_holds_of_the_numbers(text: str, bound: str) -> None:
    spec = specdsl.parse(text, **({"r": 2} if "r" in specdsl.parse(text).ir.hyper and bound != "0" else {}))
    assert str(spec.facts.rank_bound) == bound
    random = np.random.default_rng(0)
    W, b = random.normal(size=(17, 13)), random.normal(size=13)
    sizes = {"n": 17, "m": 13, **{name: int(value) for name, value in spec.hyperparameters.items()}}
    factors = {
        name: random.normal(size=[factor_size.integer(sizes) for factor_size in factor.shape])
        for name, factor in spec.ir.factors.items()
    }
    changed, _ = specdsl.weight(spec, W, b, factors)
    assert np.linalg.matrix_rank(changed - W) == spec.facts.rank_bound.integer(sizes)


LORA = {
    "W + A@B": True,
    "W + alpha/r * A@B": True,
    "W - A@B": True,
    "y + alpha/r * dropout(x, 0.1)@A@B": True,
    "W + A@G@B": False,
    "W@diag(t) + A@B": False,
    "W + A@B + C@D": False,
    "W + D": False,
    "y + relu(x@A)@B": False,
}


@pytest.mark.parametrize(("text", "expected"), LORA.items(), ids=LORA)
def test_exactly_a_lora(text: str, expected: bool) -> None:
    assert specdsl.parse(text).facts.exactly_lora is expected


NOT_A_WEIGHT = {
    "y + relu(x@A)@B": "`relu(x@A)` is not linear in the input",
    "y + softmax(x@A)@B": "`softmax(x@A)` is not linear in the input",
    "y .* (1 + x@D)": "multiplies the input by itself",
    "y + (x@A@x.T)@x@C@D | A : n x n ~ kaiming": "",
}


@pytest.mark.parametrize(("text", "why"), NOT_A_WEIGHT.items(), ids=NOT_A_WEIGHT)
def test_what_is_no_weight_names_the_part(text: str, why: str) -> None:
    facts = specdsl.parse(text).facts
    assert not facts.mergeable
    assert facts.why_not is not None
    assert why in facts.why_not


COUNTS = {
    "W + A@B": ("m*r + n*r", 8 * 17 + 8 * 13),
    "W + A@G@B": ("m*r + n*r + r^2", 8 * 30 + 64),
    "y .* l": ("m", 13),
    "b + d": ("m", 13),
    "diag(l)@W@diag(k)": ("m + n", 30),
    "U, S, V = svd(W) | W' = U@diag(S + d)@V": ("min(m, n)", 13),
}


@pytest.mark.parametrize(("text", "expected"), COUNTS.items(), ids=COUNTS)
def test_trained_parameters_are_a_formula(text: str, expected: tuple[str, int]) -> None:
    trained = specdsl.parse(text).facts.trained
    assert (str(trained), trained.integer({"n": 17, "m": 13, "r": 8})) == expected


LIMITED = {
    "on attention.query: v : n*(n + 1)/2 ~ zeros | on attention.query: y' = y + x@sym_from(v) | "
    "on attention.key: y' = y": "n^2/2 + n/2",
    "on attention: b' = b + d | on mlp: W' = W + A@B | on mlp: b' = b + d": "m*r + n*r + m",
    "on attention: W' = W + A@B | on mlp: W' = U@W | U : n x n ~ eye": "max(m*r + n*r, n^2)",
}


@pytest.mark.parametrize(("text", "expected"), LIMITED.items(), ids=LIMITED)
def test_the_count_of_parts_is_the_largest_of_them(text: str, expected: str) -> None:
    assert str(specdsl.parse(text).facts.trained) == expected


def test_what_is_derived_and_what_is_regenerated() -> None:
    text = "frozen A : n x r ~ W[:, :r] | frozen B : r x m ~ kaiming(seed=1) | W + A@G@B | G ~ zeros"
    facts = specdsl.parse(text).facts
    assert (facts.derived, facts.regenerated) == (("A",), ("B",))
