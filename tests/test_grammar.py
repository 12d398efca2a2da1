"""The grammar: free of conflicts, tables up to date, everything of the language parses."""

import json
from importlib.resources import files

import lark
import pytest

from specdsl import tree
from specdsl.errors import SpecSyntaxError
from specdsl.grammar import grammar_text
from specdsl.grammar.mistakes import MISTAKES, Mistake
from specdsl.grammar.tables import constructed, parser, tables
from specdsl.parser import parse_tree


def test_the_grammar_is_free_of_conflicts_in_strict_mode() -> None:
    assert lark.Lark(grammar_text(), parser="lalr", strict=True)


def test_the_kept_tables_are_those_of_the_grammar() -> None:
    kept = json.loads((files("specdsl.grammar") / "tables.json").read_text(encoding="utf-8"))
    made = tables()
    assert (kept["grammar"], kept.keys()) == (made["grammar"], made.keys())


@pytest.mark.parametrize("text", ["U*diag(s)*W*diag(t)", "W + A@G@B | orth(A)", "on mlp layers 0..5, 11 | W + A@B"])
def test_the_kept_tables_parse_like_the_grammar(text: str) -> None:
    assert parser().parse(text) == constructed().parse(text)


@pytest.mark.parametrize("mistake", MISTAKES, ids=lambda mistake: mistake.message)
def test_every_known_mistake_is_worded_by_each_of_its_examples(mistake: Mistake) -> None:
    for example in mistake.examples:
        with pytest.raises(SpecSyntaxError) as caught:
            parse_tree(example)
        assert caught.value.span is not None


CLAUSES = {
    "title: DoRA": tree.Header,
    "W + A@B": tree.Bare,
    "W' = W + A@B": tree.Equation,
    "U, S, V = svd(W)": tree.Equation,
    "f(Z) = relu(Z)@Z": tree.Equation,
    "A, B : n x r": tree.FactorLine,
    "A : n x r ~ kaiming, lr = 16, decay = 0": tree.FactorLine,
    "A ~ 0.1 * normal": tree.FactorLine,
    "frozen shared(n, m) A : n x r ~ kaiming(seed=0)": tree.FactorLine,
    "index I : r ~ choice(n, seed=layer)": tree.FactorLine,
    "noise u : tokens x r ~ normal(1)": tree.FactorLine,
    "input slider : tokens ~ 1": tree.FactorLine,
    "C : k x n ~ zeros": tree.FactorLine,
    "D : n x r[i] for i < k": tree.FactorLine,
    "penalty 0.1 * orth(A)": tree.Penalty,
    'on attention.query, "h\\..*" except mlp layers 0..5, 11': tree.On,
    "on mlp.down: x' = x .* k": tree.OnClause,
    "train head": tree.Train,
    "at every(10): e = e .* top(layers(e), 3)[layer]": tree.At,
    "W'[I, :] = P": tree.Equation,
    "[W'; b'] = [W; b]@A": tree.Equation,
    "W' = A if n > m else B": tree.Equation,
    "W' = sum(A[i]@B[i] for i < k)": tree.Equation,
    "W' = [A[i] for i < k]": tree.Equation,
    'W\' = einsum("a b, b c -> a c", A, B)': tree.Equation,
    "W' = W[::2, -r:]^-1 .^ 2 // 3 % 4": tree.Equation,
}


@pytest.mark.parametrize(("text", "kind"), CLAUSES.items(), ids=CLAUSES)
def test_every_clause_of_the_language_parses(text: str, kind: type) -> None:
    (clause,) = parse_tree(text).clauses
    assert isinstance(clause, kind)


def test_a_bar_and_a_line_end_separate_and_indentation_continues() -> None:
    lines = "r = 4 | s = alpha/r  # the scale\nW' = W\n    + s\n    * A@B\n"
    assert parse_tree(lines) == parse_tree("r = 4\ns = alpha/r\nW' = W + s * A@B")


def test_keywords_are_free_as_parts_of_names() -> None:
    (clause,) = parse_tree("on_off : 1 ~ 1").clauses
    assert isinstance(clause, tree.FactorLine)


def test_the_input_x_and_the_size_sign_x_do_not_meet() -> None:
    (clause,) = parse_tree("x' = x .* k").clauses
    assert isinstance(clause, tree.Equation)
    (factor,) = parse_tree("k : n x 2*r").clauses
    assert isinstance(factor, tree.FactorLine)
    assert factor.shape is not None
    assert len(factor.shape) == 2


def test_spans_point_at_what_was_written() -> None:
    (bare,) = parse_tree("title: x\n\nW + A@(B + C)").clauses[1:]
    assert isinstance(bare, tree.Bare)
    (value,) = bare.values
    assert isinstance(value, tree.Sum)
    assert (value.terms[1].span.text, value.terms[1].span.line, value.terms[1].span.column) == ("A@(B + C)", 3, 5)
