"""The sizes inside expressions: which there are, and expressions with other sizes put in."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from specdsl.ir import Apply, Choice, Factor, Fold, Given, Measured, Node, Scalar, Site, interned, rebuilt, topological
from specdsl.sizes import Size


def node_sizes(root: Node | None) -> list[Size]:
    """Every size that an expression mentions, in shapes, numbers, options and conditions."""
    found: list[Size] = []
    for node in topological([root]) if root is not None else []:
        found += own_sizes(node)
    return found


def own_sizes(node: Node) -> list[Size]:
    """The sizes that a node itself mentions, in its shape, number, options, condition or count."""
    return _sizes_in((node.shape, _settings(node)))


def settings_sizes(node: Node) -> list[Size]:
    """The sizes that a node mentions beside its shape."""
    return _sizes_in(_settings(node))


def _settings(node: Node) -> Any:
    match node:
        case Scalar():
            return node.size
        case Apply():
            return tuple(value for _, value in node.options)
        case Choice():
            return node.condition
        case Fold():
            return node.count
        case Measured():
            return tuple(value for _, value in node.options)
    return ()


def _sizes_in(value: Any) -> list[Size]:
    if isinstance(value, Size):
        return [value]
    return [size for entry in value for size in _sizes_in(entry)] if isinstance(value, tuple) else []


def with_sizes(roots: Iterable[Node], change: Callable[[Size], Size]) -> dict[Node, Node]:
    """Every node under `roots` with each size in it changed: in shapes, numbers, options, conditions and counts."""

    def changed(value: Any) -> Any:
        if isinstance(value, Size):
            return change(value)
        return tuple(map(changed, value)) if isinstance(value, tuple) else value

    result: dict[Node, Node] = {}
    for node in topological(roots):
        children = tuple(result[child] for child in node.children)
        shape = changed(node.shape)
        match node:
            case Apply():
                options = tuple((name, changed(value)) for name, value in node.options)
                result[node] = interned(Apply(shape, node.operator, children, options))
            case Factor() | Given():
                result[node] = interned(type(node)(shape, node.name))
            case Scalar():
                result[node] = interned(Scalar((), change(node.size)))
            case Choice():
                result[node] = interned(Choice(shape, change(node.condition), children[0], children[1]))
            case Fold():
                result[node] = interned(Fold(shape, node.kind, node.index, change(node.count), children[0]))
            case Measured():
                measured = tuple((name, changed(value)) for name, value in node.options)
                result[node] = interned(Measured(shape, node.name, children, measured))
            case Site():
                result[node] = node
            case _:
                result[node] = rebuilt(node, children, shape)
    return result
