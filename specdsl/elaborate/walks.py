"""Walks over syntax and expressions: which sizes they mention, in which order a reader meets their factors."""

from __future__ import annotations

from typing import Any

from specdsl import tree
from specdsl.elaborate.solver import MODULE_SIZES
from specdsl.ir import Factor, Layers, Node, Site
from specdsl.node_sizes import settings_sizes
from specdsl.sizes import Size


def all_syntax(root: tree.Syntax) -> list[tree.Syntax]:
    found, stack = [], [root]
    while stack:
        node = stack.pop()
        found.append(node)
        stack += tree.children(node)
    return found


def own_symbols(size: Size) -> set[str]:
    """The symbols of a size outside `layers(...)`."""
    found: set[str] = set()
    for monomial, _ in size.terms:
        for atom, _ in monomial:
            if hasattr(atom, "name"):
                found.add(atom.name)
            elif not atom.function.startswith("layers."):
                for argument in atom.arguments:
                    found |= own_symbols(argument)
    return found


def reads_own_module(root: Node) -> bool:
    """Whether a penalty reads something of one module beside its `layers(...)`."""
    stack = [root]
    while stack:
        node = stack.pop()
        if isinstance(node, Factor | Site):
            return True
        if any(own_symbols(size) & {"layer", *MODULE_SIZES} for size in settings_sizes(node)):
            return True
        if not isinstance(node, Layers):
            stack += node.children
    return False


def reading_order(roots: Any) -> list[str]:
    """The names of factors in the order in which a reader meets them."""
    order: list[str] = []
    seen: set[Node] = set()
    stack: list[Node] = list(reversed(list(roots)))
    while stack:
        node = stack.pop()
        if node in seen:
            continue
        seen.add(node)
        if isinstance(node, Factor) and node.name not in order:
            order.append(node.name)
        stack += reversed(node.children)
    return order
