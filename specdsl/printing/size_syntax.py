"""Sizes as syntax, and size conditions as a reader writes them."""

from __future__ import annotations

from specdsl import tree
from specdsl.ir import Condition
from specdsl.parser import parse_tree
from specdsl.sizes import Size


def size_syntax(size: Size) -> tree.Expr:
    """A size as an expression of the language, in which sizes print."""
    clause = parse_tree(str(size)).clauses[0]
    assert isinstance(clause, tree.Bare)
    return clause.values[0]


def balanced(condition: Condition) -> tuple[Size, Size]:
    """The two sides of a condition with every term on the side where it has no minus: `r <= m`, not `0 <= m - r`."""
    if condition.kind == "whole":
        return condition.left, condition.right
    right, left = _positive(condition.right - condition.left), _positive(condition.left - condition.right)
    return left, right


def condition_text(condition: Condition) -> str:
    """The condition in a line, `r <= min(m, n)`."""
    left, right = balanced(condition)
    return f"{left} is a whole number" if condition.kind == "whole" else f"{left} {_SIGNS[condition.kind]} {right}"


_SIGNS = {"equal": "=", "at_most": "<="}


def _positive(size: Size) -> Size:
    return Size(tuple(term for term in size.terms if term[1] > 0))
