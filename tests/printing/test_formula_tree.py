from __future__ import annotations

import pytest
from hypothesis import given, settings

import specdsl
from specdsl.printing.formula_tree import Fenced, Formula, Fraction, Line, Root, Scripted, Symbol, Table, formula_tree
from tests.spec_strategies import well_typed_specs


def symbols(formula: Formula) -> str:
    """All signs of a tree in reading order."""
    match formula:
        case Symbol(text=text):
            return text
        case Line(items):
            return "".join(map(symbols, items))
        case Fraction(top, bottom):
            return symbols(top) + symbols(bottom)
        case Root(body) | Fenced(body=body):
            return symbols(body)
        case Scripted(base, below, above):
            return "".join(symbols(part) for part in (base, below, above) if part is not None)
        case Table(rows=rows):
            return "".join(symbols(cell) for row in rows for cell in row)


def test_a_fraction_has_two_parts() -> None:
    top, bottom = Symbol("α", "name"), Symbol("r", "name")
    assert formula_tree(r"\frac{\alpha}{r}") == Fraction(top, bottom)


def test_an_index_and_an_exponent_are_of_one_base() -> None:
    assert formula_tree("A_{1}^{2}") == Scripted(Symbol("A", "name"), Symbol("1", "number"), Symbol("2", "number"))


def test_a_block_keeps_its_rows() -> None:
    found = formula_tree(r"\begin{bmatrix} P \\ y \end{bmatrix}")
    assert found == Table("bmatrix", ((Symbol("P", "name"),), (Symbol("y", "name"),)))


def test_tall_brackets_hold_what_is_between() -> None:
    assert formula_tree(r"\left(A\right)") == Fenced("(", Symbol("A", "name"), ")")


def test_text_is_kept_as_written() -> None:
    assert formula_tree(r"\text{on\_off a}") == Symbol("on_off a", "text")


@pytest.mark.filterwarnings("ignore::specdsl.SpecWarning")
@settings(derandomize=True, deadline=None, max_examples=40)
@given(well_typed_specs())
def test_nothing_of_a_formula_is_a_bare_command(text: str) -> None:
    for row in specdsl.parse(text).latex().splitlines()[1:-1]:
        assert "\\" not in symbols(formula_tree(row.removesuffix(r" \\")))
