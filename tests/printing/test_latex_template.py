"""Operators' LaTeX formats."""

from __future__ import annotations

from string import Formatter

import pytest

from specdsl.operators.registry import Operator, all_operators
from specdsl.printing.latex_template import ATOM, ELEMENTWISE, POWER, PRODUCT, SUM, bracketed, scripted, template_text
from tests.printing.latex_grammar import assert_is_latex

WITH_FORMAT = [operator for operator in all_operators() if operator.latex is not None]


@pytest.mark.parametrize("operator", WITH_FORMAT, ids=lambda operator: operator.name)
def test_every_operators_format_is_valid(operator: Operator) -> None:
    template = operator.latex or ""
    names = {name for _, name, _, _ in Formatter().parse(template) if name is not None}
    options = {name: (r"\frac{a_{1}}{b}", PRODUCT) for name in names if not name.isdigit()}
    filled = template_text(template, [(r"A_{1} + B", SUM)] * (len(names) - len(options)), options)
    assert filled is not None
    assert_is_latex(filled[0])


@pytest.mark.parametrize(
    ("template", "formula", "level"),
    [
        ("{0}^{{-1}}", "(A + B)^{-1}", POWER),
        (r"\operatorname{{f}}({0})", r"\operatorname{f}(A + B)", ATOM),
        (r"\left|{0}\right|", r"\left|A + B\right|", ATOM),
        (r"{0} \otimes {0}", r"(A + B) \otimes (A + B)", ELEMENTWISE),
        (r"\sum {0}", r"\sum (A + B)", ELEMENTWISE),
        ("{0} {0}", "(A + B) (A + B)", PRODUCT),
        ("I - {0}", "I - (A + B)", SUM),
    ],
)
def test_brackets_and_binding_follow_from_the_format(template: str, formula: str, level: int) -> None:
    assert template_text(template, [("A + B", SUM)], {}) == (formula, level)


def test_a_format_that_leaves_out_an_argument_is_not_used() -> None:
    assert template_text("{0}", [("A", ATOM), ("B", ATOM)], {}) is None
    assert template_text("{0}", [("A", ATOM)], {"axis": ("0", ATOM)}) is None
    assert template_text("{0}_{{{k}}}", [("A", ATOM)], {}) is None


def test_brackets_grow_with_what_they_hold() -> None:
    assert bracketed(r"\frac{a}{b}") == r"\left(\frac{a}{b}\right)"
    assert template_text(r"\exp({0})", [(r"\frac{a}{b}", PRODUCT)], {}) == (r"\exp\left(\frac{a}{b}\right)", ATOM)


def test_a_second_index_or_exponent_needs_braces() -> None:
    assert scripted("A_{1}", "_") == "{A_{1}}"
    assert scripted("A_{1}", "^") == "A_{1}"
    assert scripted(r"A^\top", "^") == r"{A^\top}"
    assert scripted(r"f(A^{2})", "^") == "f(A^{2})"
