"""Products with diagonal matrices as scalings of rows or columns."""

from __future__ import annotations

from specdsl.ir import Apply, Node, transform
from specdsl.nodes import apply


def without_diagonals(root: Node) -> Node:
    """Products with `diag(v)` as scalings of rows or columns, so that no n x n array is built for them."""
    return transform([root], _scaled_by_diagonals)[root]


def _scaled_by_diagonals(node: Node) -> Node:
    if not (isinstance(node, Apply) and node.operator == "matmul"):
        return node
    if not any(map(_is_diag, node.arguments)) or len(node.arguments) < 2:
        return node
    parts: list[Node] = []
    pending: Node | None = None
    for operand in node.arguments:
        if _is_diag(operand) and parts:
            parts = [_joined(parts)]
            parts = [apply("times", (parts[0], operand.children[0]), parts[0].shape)]
        elif _is_diag(operand) and pending is None:
            pending = operand.children[0]
        elif _is_diag(operand):
            assert pending is not None
            pending = apply("times", (pending, operand.children[0]), pending.shape)
        else:
            if pending is not None:
                if _is_of_tokens(pending):
                    parts.append(apply("scale_rows", (pending, operand), operand.shape))
                    pending = None
                    continue
                turned = apply("transpose", (operand,), operand.shape[::-1])
                scaled_rows = apply("times", (turned, pending), turned.shape)
                operand, pending = apply("transpose", (scaled_rows,), operand.shape), None
            parts.append(operand)
    if pending is not None:
        return apply("diag", (pending,), node.shape)
    return _joined(parts)


def _is_diag(node: Node) -> bool:
    return isinstance(node, Apply) and node.operator == "diag"


def _is_of_tokens(vector: Node) -> bool:
    return vector.shape[0].as_symbol == "tokens"


def _joined(parts: list[Node]) -> Node:
    if len(parts) == 1:
        return parts[0]
    return apply("matmul", parts, (*parts[0].shape[:-1], parts[-1].shape[-1]))
