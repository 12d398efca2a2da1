"""A diagonal matrix as the vector on its diagonal, for layers whose weight is one."""

from __future__ import annotations

from specdsl.affine import X
from specdsl.ir import Apply, Node, Site, interned
from specdsl.nodes import apply, negated, scaled


def diagonal_row(matrix: Node) -> Node:
    """The diagonal of a diagonal matrix: the row of ones times the matrix, taken apart."""
    return _row(apply("ones", (), (X.shape[1],), shape=(X.shape[1],)), matrix)


def _row(row: Node, matrix: Node) -> Node:
    match matrix:
        case Site():
            return _times(row, interned(Site((X.shape[1],), "w")))
        case Apply(operator="diag"):
            return _times(row, matrix.arguments[0])
        case Apply(operator="matmul"):
            for operand in matrix.arguments:
                row = _row(row, operand)
            return row
        case Apply(operator="add"):
            return apply("add", [_row(row, term) for term in matrix.arguments], row.shape)
        case Apply(operator="scale"):
            return scaled(matrix.arguments[0], _row(row, matrix.arguments[1]))
        case Apply(operator="negative"):
            return negated(_row(row, matrix.arguments[0]))
        case Apply(operator="times" | "divide") if matrix.arguments[1].ndim == 1:
            return apply(matrix.operator, (_row(row, matrix.arguments[0]), matrix.arguments[1]), row.shape)
    return apply("matmul", (row, matrix), row.shape)


def _times(row: Node, vector: Node) -> Node:
    is_ones = isinstance(row, Apply) and row.operator == "ones"
    return vector if is_ones else apply("times", (row, vector), row.shape)
