"""Walks over syntax and expressions: which sizes they mention, in which order a reader meets their factors."""

from __future__ import annotations

from typing import Any

from specdsl import tree
from specdsl.elaborate.solver import MODULE_SIZES, ShapeSolver
from specdsl.ir import (
    Apply,
    Choice,
    Factor,
    Layers,
    Node,
    Scalar,
    Site,
    interned,
    rebuilt,
    topological,
)
from specdsl.nodes import scalar
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
        if any(own_symbols(size) & {"layer", *MODULE_SIZES} for size in _sizes_in(_settings(node))):
            return True
        if not isinstance(node, Layers):
            stack += node.children
    return False


def node_sizes(root: Node | None) -> list[Size]:
    """Every size that an expression mentions, in shapes, numbers, options and conditions."""
    found: list[Size] = []
    for node in topological([root]) if root is not None else []:
        found += _sizes_in((node.shape, _settings(node)))
    return found


def _settings(node: Node) -> Any:
    match node:
        case Scalar():
            return node.size
        case Apply():
            return tuple(value for _, value in node.options)
        case Choice():
            return node.condition
    return ()


def _sizes_in(value: Any) -> list[Size]:
    if isinstance(value, Size):
        return [value]
    return [size for entry in value for size in _sizes_in(entry)] if isinstance(value, tuple) else []


def with_solved_sizes(roots: list[Node], solver: ShapeSolver) -> dict[Node, Node]:
    """The expressions with every unknown size replaced by what was found."""

    def solved(value: Any) -> Any:
        if isinstance(value, Size):
            return solver.resolved(value)
        return tuple(map(solved, value)) if isinstance(value, tuple) else value

    result: dict[Node, Node] = {}
    for node in topological(roots):
        children = tuple(result[child] for child in node.children)
        shape = solved(node.shape)
        match node:
            case Apply():
                options = tuple((name, solved(value)) for name, value in node.options)
                result[node] = interned(Apply(shape, node.operator, children, options))
            case Factor():
                result[node] = interned(Factor(shape, node.name))
            case Scalar():
                result[node] = scalar(solved(node.size))
            case Site():
                result[node] = node
            case _:
                result[node] = rebuilt(node, children, shape)
    return result


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
