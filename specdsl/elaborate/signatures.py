"""Shapes of operators: signatures such as `n m, m k -> n k` applied to symbolic shapes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from specdsl import tree
from specdsl.elaborate.solver import ShapeSolver, shape_text
from specdsl.errors import SpecShapeError
from specdsl.operators.registry import Operator, Shape
from specdsl.parser import parse_tree
from specdsl.sizes import Size


def operator_shape(
    solver: ShapeSolver, operator: Operator, shapes: Sequence[Shape], options: Mapping[str, Any], shown: str
) -> Shape | tuple[Shape, ...]:
    """The shape of an operator's value (a tuple of shapes where it has several).

    Raises:
        SpecShapeError: an array has the wrong number of axes, or sizes do not fit.
    """
    if operator.shape is not None:
        try:
            return operator.shape(solver, shapes, options)
        except ValueError as error:
            raise SpecShapeError(f"`{operator.name}`: {error}", solver.span) from None
    letters: dict[str, Size] = {name: value for name, value in options.items() if isinstance(value, Size)}
    leading: Shape = ()
    patterns = list(operator.inputs)
    if operator.variadic and len(shapes) > len(patterns):
        patterns += [patterns[-1]] * (len(shapes) - len(patterns))
    for position, (pattern, shape) in enumerate(zip(patterns, shapes, strict=True)):
        leading = _match(solver, operator, pattern, shape, letters, leading, position, shown)
    outputs = tuple(_result(pattern, letters, leading) for pattern in operator.outputs)
    return outputs if len(outputs) > 1 else outputs[0]


def _match(
    solver: ShapeSolver, operator: Operator, pattern: str, shape: Shape, letters: dict[str, Size], leading: Shape,
    position: int, shown: str,
) -> Shape:  # fmt: skip
    axes = [] if pattern == "()" else pattern.split()
    open_ended = bool(axes) and axes[0] == "..."
    named = axes[1:] if open_ended else axes
    if len(shape) < len(named) or (not open_ended and len(shape) != len(named)):
        place = f"argument {position + 1} of `{operator.name}`" if len(operator.inputs) > 1 else f"`{operator.name}`"
        raise SpecShapeError(
            f"{place} takes {_expected(axes)}, but gets {shape_text(solver.shape(shape))}", solver.span
        )
    split = len(shape) - len(named)
    if open_ended and split:
        if leading and len(leading) == split:
            for left, right in zip(leading, shape[:split], strict=True):
                solver.same(left, right, f"the leading axes of `{shown}`")
        leading = tuple(shape[:split])
    for name, size in zip(named, shape[split:], strict=True):
        if not name.isidentifier():
            solver.same(evaluate_axis(name, letters), size, f"`{shown}`")
        elif name in letters:
            solver.same(letters[name], size, f"`{shown}` takes {_expected(axes)}, but the sizes differ")
        else:
            letters[name] = size
    return leading


def _expected(axes: list[str]) -> str:
    match [axis for axis in axes if axis != "..."]:
        case []:
            return "a number" if not axes else "an array"
        case [_]:
            return "a vector"
        case [first, second] if first == second:
            return "a square matrix"
        case [_, _]:
            return "a matrix"
        case more:
            return f"{len(more)} axes"


def _result(pattern: str, letters: Mapping[str, Size], leading: Shape) -> Shape:
    axes = [] if pattern == "()" else pattern.split()
    result: list[Size] = []
    for axis in axes:
        if axis == "...":
            result += leading
        else:
            result.append(evaluate_axis(axis, letters))
    return tuple(result)


@cache
def _axis_syntax(text: str) -> tree.Expr:
    clause = parse_tree(text, "<signature>").clauses[0]
    assert isinstance(clause, tree.Bare)
    return clause.values[0]


def evaluate_axis(text: str, letters: Mapping[str, Size]) -> Size:
    """The size of an axis of a signature, `a*c` or `min(n, m)`."""
    if text in letters:
        return letters[text]
    return _evaluate(_axis_syntax(text.replace(",", ", ")), letters)


def _evaluate(node: tree.Expr, letters: Mapping[str, Size]) -> Size:
    match node:
        case tree.Number(value=number):
            return Size.of(number)
        case tree.Name(name=name):
            return letters[name]
        case tree.Group(body=body):
            return _evaluate(body, letters)
        case tree.Sum(terms=terms, signs=signs):
            total = _evaluate(terms[0], letters)
            for sign, term in zip(signs, terms[1:], strict=True):
                value = _evaluate(term, letters)
                total = total + value if sign == "+" else total - value
            return total
        case tree.Product(operands=operands, operators=operators):
            product = _evaluate(operands[0], letters)
            for sign, operand in zip(operators, operands[1:], strict=True):
                value = _evaluate(operand, letters)
                product = product * value if sign == "*" else product / value
            return product
        case tree.Call(function=function, arguments=arguments):
            return Size.opaque(function, *(_evaluate(argument, letters) for argument in arguments))
    raise AssertionError(f"a signature cannot say {node}")
