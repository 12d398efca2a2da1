"""The order in which the parts of a planned expression are computed, and which of them a gradient is wanted of."""

from __future__ import annotations

from collections.abc import Collection

from specdsl.affine import W as BASE_WEIGHT
from specdsl.ir import Apply, Factor, Given, Node, Scalar, Site
from specdsl.plan.forms import Project, Through


def inputs_of(node: Node, constants: Collection[Node]) -> tuple[Node, ...]:
    """What a value is computed from; stored values, and the layer's own weight in its place, are computed from nothing.

    Args:
        node: a part of a planned expression.
        constants: the values that are stored.
    """
    if node in constants or isinstance(node, Factor | Given | Site | Scalar):
        return ()
    if isinstance(node, Project | Through):
        return tuple(child for child in node.children if child != BASE_WEIGHT)
    return node.children


def program_order(output: Node, constants: Collection[Node]) -> list[Node]:
    """All values that `output` needs, each after its inputs; without recursion."""
    order: list[Node] = []
    seen: set[Node] = set()
    stack = [(output, False)]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(inputs_of(node, constants)))
    return order


def gradient_wanted(order: list[Node], constants: Collection[Node]) -> set[Node]:
    """The values that reach the output, the last of `order`, without passing `stop`."""
    wanted = {order[-1]}
    for node in reversed(order):
        if node in wanted and not (isinstance(node, Apply) and node.operator == "stop"):
            wanted.update(inputs_of(node, constants))
    return wanted
