"""Specs written in other ways that mean the same: factors renamed, summands permuted, products reassociated.

The rewriting works on the syntax tree and prints it again, so that no text is typed here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

import specdsl
from specdsl import tree
from specdsl.parser import parse_tree
from specdsl.printing.syntax_text import SyntaxText
from specdsl.source import Source, Span

S = TypeVar("S", bound=tree.Syntax)
NOWHERE = Span(Source(""), 0, 0)


def printed(syntax: tree.SpecTree) -> str:
    return " | ".join(SyntaxText().clause(clause) for clause in syntax.clauses)


def changed(node: Any, change: Callable[[tree.Syntax], tree.Syntax]) -> Any:
    """A node with `change` applied to all parts of it, from the leaves up."""
    if isinstance(node, tuple):
        return tuple(changed(entry, change) for entry in node)
    if not isinstance(node, tree.Syntax):
        return node
    parts = {one.name: changed(getattr(node, one.name), change) for one in fields(node) if one.name != "span"}
    return change(replace(node, **parts))


def new_names(*texts: str) -> dict[str, str]:
    """Another name for every factor of all texts; the same for the same name."""
    names = dict.fromkeys(name for text in texts for name in specdsl.parse(text).ir.factors)
    return {name: f"{'Z' if name[0].isupper() else 'z'}{place + 70}" for place, name in enumerate(names)}


def renamed(text: str, names: Mapping[str, str]) -> str:
    """The spec with other names of its factors."""

    def rename(node: tree.Syntax) -> tree.Syntax:
        return replace(node, name=names.get(node.name, node.name)) if isinstance(node, tree.Name) else node

    return printed(changed(parse_tree(text), rename))


def permuted(text: str) -> str:
    """The spec with the terms of every sum in reverse order."""

    def reverse(node: tree.Syntax) -> tree.Syntax:
        if not isinstance(node, tree.Sum):
            return node
        first, *rest = reversed(list(zip(("+", *node.signs), node.terms, strict=True)))
        head = first[1] if first[0] == "+" else tree.Negative(NOWHERE, first[1])
        return tree.Sum(NOWHERE, (head, *(term for _, term in rest)), tuple(sign for sign, _ in rest))

    return printed(changed(parse_tree(text), reverse))


def reassociated(text: str) -> str:
    """The spec with every chain of matrix products in brackets from the right."""

    def bracket(node: tree.Syntax) -> tree.Syntax:
        if not isinstance(node, tree.Product) or set(node.operators) != {"@"} or len(node.operands) < 3:
            return node
        return tree.Product(NOWHERE, (node.operands[0], _from_right(node.operands[1:])), ("@",))

    return printed(changed(parse_tree(text), bracket))


def _from_right(operands: tuple[tree.Expr, ...]) -> tree.Expr:
    if len(operands) == 1:
        return operands[0]
    return tree.Group(NOWHERE, tree.Product(NOWHERE, (operands[0], _from_right(operands[1:])), ("@",)))
