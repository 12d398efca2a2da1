from __future__ import annotations

import specdsl
from specdsl.printing.formula import formula_blocks, plain_formula


def test_definitions_and_computed_starts_belong_to_the_formula() -> None:
    text = "s = alpha/r | U, S, V = svd(W) | A ~ U[:, :r] | W' = W + s*(A@B - init(A@B)) | B ~ V[:r, :]"
    assert plain_formula(specdsl.parse(text)) == [
        "W′ = W + s (A B − (A B)⁽⁰⁾)", "s = α/r", "U, S, V = svd(W)", "A⁽⁰⁾ = U[:, :r]", "B⁽⁰⁾ = V[:r, :]",
    ]  # fmt: skip


def test_drawn_and_plain_starts_are_left_to_the_factors() -> None:
    assert plain_formula(specdsl.parse("A ~ normal(0.02) | W + A@B")) == ["W′ = W + A B"]


def test_replaced_rows_are_an_equation_of_the_rows() -> None:
    lines = plain_formula(specdsl.parse("index I : r ~ choice(n) | P ~ W[I, :] | W'[I, :] = P"))
    assert lines == ["W′[I, :] = P", "P⁽⁰⁾ = W[I, :]"]


def test_each_part_has_its_place() -> None:
    spec = specdsl.parse("on mlp.up: y' = y .* l | on mlp.down: x' = x .* k")
    assert [place for place, _ in formula_blocks(spec)] == ["on mlp.up", "on mlp.down"]
    assert plain_formula(spec) == ["on mlp.up:", "y′ = y ⊙ l", "on mlp.down:", "x′ = x ⊙ k"]
