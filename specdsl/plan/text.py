"""Plans in the language: `y + x@A@B`, `layer(W' = (U .* s)@V)`."""

from __future__ import annotations

from collections.abc import Mapping

from specdsl.affine import B as BASE_BIAS
from specdsl.affine import W as BASE_WEIGHT
from specdsl.affine import X
from specdsl.ir import Factor, Node, interned, rebuilt, topological
from specdsl.nodes import apply
from specdsl.plan.forms import Project, Through
from specdsl.plan.names import with_names
from specdsl.printing.expression_text import expression_text


def plan_text(node: Node, names: Mapping[Node, str] | None = None) -> str:
    """An expression of a plan as text.

    `layer(W' = E, b' = F)` is the layer's own operation with another weight, another bias, or both.

    Args:
        node: the expression.
        names: the spec's own names for parts of it.
    """
    root = with_names(node, names or {})
    shown: dict[Node, Node] = {}
    for part in topological([root]):
        children = tuple(shown[child] for child in part.children)
        match part:
            case Project():
                shown[part] = apply("matmul", (X, children[0]), (X.shape[0], part.shape[-1]))
            case Through():
                shown[part] = interned(Factor(part.shape, f"layer({_changes(part, children)})"))
            case _:
                shown[part] = rebuilt(part, children) if children else part
    return expression_text(shown[root])


def _changes(node: Through, shown: tuple[Node, ...]) -> str:
    changes = [] if node.weight == BASE_WEIGHT else [f"W' = {expression_text(shown[0])}"]
    if node.bias not in (None, BASE_BIAS):
        changes.append(f"b' = {expression_text(shown[1])}")
    return ", ".join(changes)
