"""What of an expression is computed once, at attach, and stored."""

from __future__ import annotations

import math
from collections.abc import Iterable

from specdsl.interpret import Sizes
from specdsl.ir import Apply, Factor, Given, Initial, Layers, Node, Scalar, Site, topological
from specdsl.plan.forms import Project, Through

_VIEWS = frozenset({"slice", "transpose", "fill"})
_MADE_OF_NOTHING = frozenset({"zeros", "ones", "eye"})


class ConstantParts:
    """Finds the parts of expressions that are computed once.

    Args:
        changing: the names of the trained factors, and of noise and inputs.
        lists_are_constant: whether `layers(...)` is computed once too; in a penalty it is gathered in every step.
    """

    def __init__(self, changing: Iterable[str], lists_are_constant: bool = True) -> None:
        self.live = frozenset({"x", "y", *changing})
        self.lists_are_constant = lists_are_constant

    def find(self, roots: Iterable[Node]) -> tuple[Node, ...]:
        """The largest parts that no trained factor and no token reaches; views of stored values are made when read."""
        found: list[Node] = []
        seen: set[Node] = set()
        stack = list(roots)
        while stack:
            node = stack.pop()
            if node in seen:
                continue
            seen.add(node)
            if not self.is_constant(node):
                stack += node.children
            elif not _is_view(node):
                found.append(node)
        return tuple(found)

    def is_constant(self, node: Node) -> bool:
        """Whether a value is the same in every step."""
        if isinstance(node, Initial):
            return True
        if isinstance(node, Layers):
            return self.lists_are_constant
        if isinstance(node, Project | Through) or (isinstance(node, Apply) and node.operator == "dropout"):
            return False
        return not any(self._changes(part) for part in _outside_of_initial(node))

    def _changes(self, part: Node) -> bool:
        return (
            isinstance(part, Project | Through)
            or (isinstance(part, Site | Factor | Given) and part.name in self.live)
            or (isinstance(part, Layers) and not self.lists_are_constant)
        )


def stored_bytes(constant: Node, sizes: Sizes) -> int:
    """The bytes of a value that is computed once: in float32, or of places."""
    are_places = isinstance(constant, Apply) and constant.definition.has("places")
    return (8 if are_places else 4) * math.prod(sizes.shape(constant.shape))


def layer_lists(root: Node) -> list[Layers]:
    """The `layers(...)` inside an expression, inner ones first."""
    return [node for node in topological([root]) if isinstance(node, Layers)]


def _is_view(node: Node) -> bool:
    """Whether a constant is cheap to make again from what is stored anyway."""
    match node:
        case Site() | Factor() | Scalar():
            return True
        case Apply() if node.operator in _VIEWS | _MADE_OF_NOTHING:
            return all(_is_view(argument) for argument in node.arguments)
    return False


def _outside_of_initial(root: Node) -> list[Node]:
    """The nodes under `root`, not looking into `init(...)` and `layers(...)`."""
    found: list[Node] = []
    seen: set[Node] = set()
    stack = [root]
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            found.append(node)
            if not isinstance(node, Initial | Layers):
                stack += node.children
    return found
