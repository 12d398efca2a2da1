"""How shapes meet in sums and products: nothing broadcasts that could be a slip."""

from __future__ import annotations

from specdsl import tree
from specdsl.elaborate.slips import added_vector_hint
from specdsl.elaborate.solver import ShapeSolver, shape_text
from specdsl.errors import SpecShapeError
from specdsl.operators.registry import Shape
from specdsl.sizes import Size

TOKENS = Size.symbol("tokens")


def elementwise_shape(
    solver: ShapeSolver, sign: str, left: Shape, right: Shape, left_syntax: tree.Expr, right_syntax: tree.Expr
) -> Shape:
    """The shape of `left sign right` for `+ - .* ./`.

    A number meets everything. A vector scales the columns of a matrix; it is added only to the rows of tokens, since
    a vector added to every row of a weight is nearly always a slip.

    Raises:
        SpecShapeError: the sizes differ, or a vector would be added to the rows of a weight.
    """
    if not left or not right:
        return left or right
    names = left_syntax.span.text, right_syntax.span.text
    shown = f"`{names[0]} {sign} {names[1]}`"
    if len(left) < len(right) and (sign in ("+", ".*")):
        return elementwise_shape(solver, sign, right, left, right_syntax, left_syntax)
    if len(left) < len(right):
        raise SpecShapeError(
            f"{shown} divides {shape_text(solver.shape(left))} by {shape_text(solver.shape(right))}", solver.span
        )
    if len(right) == 1 < len(left) and sign == "+" and not _rows_are_samples(solver, left):
        raise SpecShapeError(
            f"`{names[1]}` is a vector and `{names[0]}` is {shape_text(solver.shape(left))}: `+` does not add a "
            "vector to every row of a matrix", solver.span, added_vector_hint(names[1]),
        )  # fmt: skip
    with_tokens = [solver.resolved(shape[0]) == TOKENS for shape in (left, right) if len(shape) == 2]
    if len(with_tokens) == 2 and with_tokens[0] != with_tokens[1] and not solver.resolved(right[0]).unknowns:
        raise SpecShapeError(
            f"{_difference(solver, shown, left, right, names)}: a weight has no row for every token", solver.span,
            "`W + A@B` adapts the weight, `y + x@A@B` the output",
        )  # fmt: skip
    offset = len(left) - len(right)
    for one, other in zip(left[offset:], right, strict=True):
        solver.same(one, other, _difference(solver, shown, left, right, names))
    return left


def _rows_are_samples(solver: ShapeSolver, shape: Shape) -> bool:
    """Whether the rows are tokens, or as many as a number that is set: those of a prompt."""
    rows = solver.resolved(shape[-2])
    if rows == TOKENS or TOKENS.symbols & rows.symbols:
        return True
    return bool(rows.symbols) and not (rows.symbols & {"n", "m", "r", "c", "kh", "kw"}) and not rows.unknowns


def matmul_shape(
    solver: ShapeSolver, left: Shape, right: Shape, left_syntax: tree.Expr, right_syntax: tree.Expr
) -> Shape:
    """The shape of `left @ right`; a vector on the left is a row, on the right an error."""
    names = left_syntax.span.text, right_syntax.span.text
    if not left or not right:
        raise SpecShapeError("`@` joins matrices; one side is a number", solver.span, "`*` scales")
    if len(right) == 1:
        hint = "`M .* v` scales columns, `M@diag(v)` too; `sum(u .* v)` is the product of two vectors"
        if solver.resolved(left[0]) == TOKENS:
            gate = f"sum({names[0]} .* {names[1]}, axis=-1)"
            hint = f"a number per token is `g = {gate}`; `diag(g)@(x@A@B)` multiplies the tokens by it"
        raise SpecShapeError(
            f"`{names[1]}` is a vector and acts as a row, so it cannot stand to the right of `@`", solver.span, hint
        )
    solver.mark_inner(left[-1])
    solver.mark_inner(right[-2])
    solver.same(left[-1], right[-2], _difference(solver, f"`{names[0]}@{names[1]}`", left, right, names))
    if len(left) == 1:
        return (*right[:-2], right[-1])
    leading = left[:-2] if len(left) >= len(right) else right[:-2]
    for one, other in zip(reversed(left[:-2]), reversed(right[:-2]), strict=False):
        solver.same(one, other, _difference(solver, f"`{names[0]}@{names[1]}`", left, right, names))
    return (*leading, left[-2], right[-1])


def _difference(solver: ShapeSolver, shown: str, left: Shape, right: Shape, names: tuple[str, str]) -> str:
    return (
        f"{shown}: `{names[0]}` is {shape_text(solver.shape(left))} and `{names[1]}` is "
        f"{shape_text(solver.shape(right))}"
    )
