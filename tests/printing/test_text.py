"""Formatted text says the same as what it was made from, and formatting it again changes nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings

import specdsl
from specdsl import tree
from specdsl.library_specs import library_names
from specdsl.parser import parse_tree
from specdsl.printing.clause_order import in_order
from specdsl.printing.text import WIDTH, spec_line, spec_text
from tests.spec_strategies import spec_trees, well_typed_specs

EXAMPLES = ("W + A@G@B | orth(A)", "U*diag(s)*W*diag(t)", "y + alpha/r * dropout(x, 0.1)@A@B", "b + d")


@settings(derandomize=True, deadline=None, max_examples=120)
@given(spec_trees())
def test_any_tree_comes_back_from_its_text(spec: tree.SpecTree) -> None:
    for keep_line in (True, False):
        text = spec_text(spec, keep_line=keep_line)
        assert parse_tree(text) == in_order(spec)
        assert spec_text(parse_tree(text), keep_line=keep_line) == text


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=60)
@given(well_typed_specs())
def test_formatted_specs_mean_the_same(text: str) -> None:
    spec = specdsl.parse(text)
    formatted = str(spec)
    again = specdsl.parse(formatted)
    assert again.ir == spec.ir
    assert [(part.limit, part.ir) for part in again.parts] == [(part.limit, part.ir) for part in spec.parts]
    assert str(again) == formatted


@pytest.mark.parametrize("name", [*library_names(), *EXAMPLES])
def test_library_specs_and_examples_are_formatted(name: str) -> None:
    spec = specdsl.parse(name)
    text = spec_text(spec.tree, keep_line=name in EXAMPLES)
    assert text == spec.text.rstrip("\n")
    assert specdsl.parse(text).ir == spec.ir


def test_the_text_of_a_penalty_is_as_it_prints() -> None:
    spec = specdsl.parse("W + A@B | sum(abs(A.T*A)) | at step: A = A*eye")
    assert [penalty.text for penalty in spec.ir.penalties] == ["sum(abs(A.T@A))"]
    assert [event.text for event in spec.ir.events] == ["at step: A = A@eye"]
    assert specdsl.parse(str(spec)).ir == spec.ir


def test_limited_clauses_in_any_order_are_one_spec() -> None:
    first = specdsl.parse("on norm: b' = b + d\non attention: W' = W + A@B\non norm: d ~ zeros")
    second = specdsl.parse("on norm: d ~ zeros\non norm: b' = b + d\non attention: W' = W + A@B")
    third = specdsl.parse("on attention: A : n x r\non norm: W' = W .* v\non attention: W' = W + A@B")
    assert first.ir == second.ir
    hyper = specdsl.parse("on norm: b' = b + d | on attention: W' = W + A@B | r = 4").ir.hyper
    assert str(hyper["r"].value) == "4"  # also where the first part reads no rank
    assert specdsl.parse(str(third)).ir == third.ir


def test_clauses_print_in_the_order_of_the_style_standard() -> None:
    text = """note: last
on attention
penalty 0.1 * norm(A)^2
W' = V + A@B
A ~ normal(0.02)
V = s * W
s = alpha/r
cite: arXiv:1
train head"""
    assert spec_text(parse_tree(text)).splitlines() == [
        "cite: arXiv:1",
        "",
        "s = alpha/r",
        "V = s*W",
        "A ~ normal(0.02)",
        "W' = V + A@B",
        "penalty 0.1 * norm(A)^2",
        "on attention",
        "train head",
        "note: last",
    ]


def test_one_line_stays_one_line() -> None:
    assert spec_text(parse_tree("W+A@B|r=4  |orth( A )")) == "r = 4 | W + A@B | orth(A)"


def test_a_file_has_one_clause_per_line() -> None:
    assert spec_text(parse_tree("r = 4 | W + A@B"), keep_line=False) == "r = 4\nW + A@B"
    assert spec_text(parse_tree("r = 4 | k = 2\nW + A@B")) == "r = 4\nk = 2\nW + A@B"


def test_an_empty_spec_is_empty_text() -> None:
    assert spec_text(parse_tree("\n\n")) == ""


def test_long_clauses_go_on_indented_and_short_of_the_width() -> None:
    terms = " + ".join(f"A{i}@diag(d{i})@B{i}" for i in range(20))
    text = spec_text(parse_tree(f"W' = W + {terms}"), keep_line=False)
    first, *rest = text.splitlines()
    assert len(rest) >= 2
    assert all(line.startswith("    + ") for line in rest)
    assert all(len(line) <= WIDTH for line in [first, *rest])
    assert parse_tree(text) == parse_tree(f"W' = W + {terms}")


def test_long_notes_wrap_between_words() -> None:
    note = "note: " + " ".join(["well-known"] * 30)
    lines = spec_text(parse_tree(f"b + d\n{note}")).splitlines()
    assert all(len(line) <= WIDTH for line in lines)
    assert " ".join(line.strip() for line in lines[1:]) == note


def test_strings_are_never_broken() -> None:
    patterns = [f"layers {i} and nothing else .*" for i in range(8)]
    text = "on " + ", ".join(f'"{pattern}"' for pattern in patterns)
    formatted = spec_text(parse_tree(f"b + d\n{text}"))
    assert all(f'"{pattern}"' in formatted for pattern in patterns)
    assert max(map(len, formatted.splitlines())) <= WIDTH


def test_matrix_products_print_as_at_where_they_are_known() -> None:
    spec = parse_tree("U*diag(s)*W | penalty 2*norm(U)")
    product = spec.clauses[0].values[0]  # type: ignore[union-attr]
    assert isinstance(product, tree.Product)
    spans = [operand.span for operand in product.operands[1:]]
    assert spec_text(spec, spans) == "U@diag(s)@W | penalty 2 * norm(U)"


def test_a_product_after_an_elementwise_one_keeps_its_star() -> None:
    spec = parse_tree("W .* A * B")
    product = spec.clauses[0].values[0]  # type: ignore[union-attr]
    assert isinstance(product, tree.Product)
    assert spec_text(spec, [product.operands[2].span]) == "W .* A * B"


def test_spec_line_leaves_out_headers_and_comments() -> None:
    assert spec_line(parse_tree("title: LoRA\n# why\nW + A@B  # here\non attention")) == "W + A@B | on attention"
