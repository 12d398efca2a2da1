"""Building expressions: interned nodes, with the few simplifications that never change a value."""

from __future__ import annotations

from typing import Any

from specdsl.ir import Apply, Node, Scalar, interned
from specdsl.operators.registry import Shape
from specdsl.sizes import Size


def apply(operator: str, arguments: Any, axes: Shape, /, **options: Any) -> Node:
    """An interned operator node."""
    return interned(Apply(tuple(axes), operator, tuple(arguments), tuple(sorted(options.items()))))


def scalar(size: Size) -> Scalar:
    return interned(Scalar((), size))


def numbers_in_front(left: Node, right: Node) -> tuple[Size | None, Node, Node]:
    """`(s*A)@B` and `A@(s*B)` as `s * (A@B)`: the numbers of a product, and its matrices."""
    factor: Size | None = None
    sides = []
    for side in (left, right):
        if isinstance(side, Apply) and side.operator == "scale" and isinstance(side.arguments[0], Scalar):
            number = side.arguments[0].size
            factor = number if factor is None else factor * number
            side = side.arguments[1]
        sides.append(side)
    return factor, sides[0], sides[1]


def negated(node: Node) -> Node:
    if isinstance(node, Scalar):
        return scalar(-node.size)
    return apply("negative", (node,), node.shape)


def scaled(factor: Node, node: Node) -> Node:
    """`factor * node` for a number and an array; a numeric factor moves to the front of a chain of scalings."""
    if isinstance(factor, Scalar) and isinstance(node, Scalar):
        return scalar(factor.size * node.size)
    if isinstance(factor, Scalar) and factor.size == Size.of(1):
        return node
    return apply("scale", (factor, node), node.shape)


def divided(left: Node, right: Node, shape: Shape | None = None) -> Node:
    if isinstance(right, Scalar):
        return scaled(scalar(Size.of(1) / right.size), left)
    return apply("divide", (left, right), left.shape if shape is None else shape)
