"""Whether the signature of an operator can be read: what `elaborate.signatures` will make of it, at registration."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence

from specdsl import tree
from specdsl.errors import SpecError, SpecOperatorError
from specdsl.parser import parse_tree
from specdsl.sizes import SIZE_FUNCTIONS

HINT = 'as in `"n m, m k -> n k"`: axes of the arrays, `->`, axes of the value'


def check_signature(
    name: str, signature: str, inputs: Sequence[str], outputs: Sequence[str], options: Collection[str]
) -> None:
    """Raise unless every axis is a letter, a size of known letters, or a leading `...`.

    Args:
        name, signature: of the operator, for the error.
        inputs, outputs: the axes of each array and of each value.
        options: names that sizes may read too.

    Raises:
        SpecOperatorError: the signature cannot be read.
    """

    def refuse(problem: str, hint: str | None = None) -> SpecOperatorError:
        return SpecOperatorError(f"the signature of `{name}`, `{signature}`, {problem}", hint=hint)

    known = set(options)
    for pattern in inputs:
        axes = _axes(pattern)
        if not axes and pattern != "()":
            raise refuse("has an array without axes", "a number is written `()`")
        for place, axis in enumerate(axes):
            if axis == "..." and place:
                raise refuse("has `...` behind another axis", "only leading axes are left open")
            if axis.isidentifier():
                known.add(axis)
            elif axis != "...":
                _check_size(axis, known, refuse)
    for pattern in outputs:
        axes = _axes(pattern)
        if not axes and pattern != "()":
            raise refuse("has a value without axes", "a number is written `()`")
        if "..." in axes and not any("..." in _axes(one) for one in inputs) and inputs:
            raise refuse("has `...` in its value and in no array")
        for axis in axes:
            if axis != "...":
                _check_size(axis, known, refuse)


def _axes(pattern: str) -> list[str]:
    return [] if pattern == "()" else pattern.split()


def _check_size(axis: str, known: Collection[str], refuse: Callable[..., SpecOperatorError]) -> None:
    try:
        (clause,) = parse_tree(axis.replace(",", ", "), "<signature>").clauses
    except (SpecError, ValueError):
        raise refuse(f"has the axis `{axis}`, which is no size", HINT) from None
    if not isinstance(clause, tree.Bare) or len(clause.values) > 1:
        raise refuse(f"has the axis `{axis}`, which is no size", HINT)
    for part in _parts(clause.values[0]):
        match part:
            case tree.Name(name=letter) if letter not in known:
                raise refuse(f"does not say what `{letter}` is", f"its arrays and options give {_listed(known)}")
            case tree.Call(function=function) if function not in SIZE_FUNCTIONS:
                raise refuse(f"has no size function `{function}`", f"there are {', '.join(SIZE_FUNCTIONS)}")
            case tree.Product(operators=signs) if set(signs) - {"*", "/"}:
                raise refuse(f"has the axis `{axis}`, which is no size", "sizes are joined by + - * /")
            case tree.Name() | tree.Call() | tree.Product() | tree.Sum() | tree.Number() | tree.Group():
                continue
            case _:
                raise refuse(f"has the axis `{axis}`, which is no size", HINT)


def _parts(root: tree.Syntax) -> Iterator[tree.Syntax]:
    stack = [root]
    while stack:
        node = stack.pop()
        yield node
        stack += tree.children(node)


def _listed(names: Collection[str]) -> str:
    return ", ".join(f"`{name}`" for name in sorted(names)) or "none"
