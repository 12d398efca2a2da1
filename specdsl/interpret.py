"""The value of an expression over any array namespace: the one evaluator of the project.

The reference interpreter runs it on numpy in float64, the start check on dual numbers, and attaching on torch.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from specdsl.arrays import Array, Arrays
from specdsl.errors import SpecError, SpecOperatorError
from specdsl.folds import unrolled
from specdsl.ir import Apply, Choice, Fold, Node, Part, Scalar
from specdsl.operators.registry import is_built_in
from specdsl.sizes import Environment, Number, Size

Leaf = Callable[[Node], Array]
"""The array of a node that is no operator: a site value, a factor, `init(...)`, `layers(...)`, a random draw."""


class Sizes:
    """The numbers behind the symbols, in one module.

    Args:
        values: the value of every size symbol and hyper-parameter.
        layers: those of all adapted modules, in model order; by default this module is the only one.
    """

    def __init__(self, values: Environment, layers: Iterable[Environment] | None = None) -> None:
        self.values = dict(values)
        self.layers = None if layers is None else list(layers)
        self._integers: dict[Size, int] = {}

    def number(self, size: Size) -> Number:
        return size.value(self.values, self.layers)

    def integer(self, size: Size) -> int:
        if size not in self._integers:
            self._integers[size] = size.integer(self.values, self.layers)
        return self._integers[size]

    def shape(self, shape: Iterable[Size]) -> tuple[int, ...]:
        return tuple(self.integer(size) for size in shape)

    def scalar(self, size: Size) -> Array:
        """The value of a number that stands in an expression, as the evaluator's operators take it."""
        return float(self.number(size))

    def option(self, size: Size) -> Number:
        """The value of an option that is a number."""
        return float(self.number(size))


def evaluate(
    roots: Iterable[Node], xp: Arrays, sizes: Sizes, leaf: Leaf, known: Mapping[Node, Array] | None = None
) -> dict[Node, Array]:
    """The value of every node under `roots`, each computed once.

    Args:
        roots: what is wanted.
        xp: the array namespace.
        sizes: numbers for the symbols.
        leaf: gives the values of nodes that are no operators, and of random draws.
        known: values that are known already and not computed again.
    """
    values: dict[Node, Array] = dict(known or {})
    for node in needed(roots, values, sizes):
        try:
            values[node] = _value(node, values, xp, sizes, leaf)
        except SpecError as error:
            error.value = error.value or node
            raise
    return values


def needed(roots: Iterable[Node], known: Mapping[Node, Any], sizes: Sizes) -> list[Node]:
    """The nodes to compute for `roots`, in order; what is known hides what is below it."""
    order: list[Node] = []
    seen: set[Node] = set(known)
    stack: list[tuple[Node, bool]] = [(root, False) for root in reversed(list(roots))]
    while stack:
        node, ready = stack.pop()
        if ready:
            order.append(node)
        elif node not in seen:
            seen.add(node)
            stack.append((node, True))
            stack.extend((child, False) for child in reversed(_inputs(node, sizes)))
    return order


def _inputs(node: Node, sizes: Sizes) -> tuple[Node, ...]:
    if isinstance(node, Choice):
        return (chosen(node, sizes),)
    if isinstance(node, Fold):
        return (unrolled(node, sizes.integer(node.count)),)
    return node.children if isinstance(node, Apply | Part) else ()


def chosen(node: Choice, sizes: Sizes) -> Node:
    """The side of `if ... else` that holds for these sizes."""
    return node.yes if sizes.number(node.condition) else node.no


def _value(node: Node, values: Mapping[Node, Array], xp: Arrays, sizes: Sizes, leaf: Leaf) -> Array:
    match node:
        case Scalar():
            return sizes.scalar(node.size)
        case Part():
            value = values[node.of][node.index]
            if isinstance(node.of, Apply) and not is_built_in(node.of.operator):
                _check_shape(node.of.operator, value, sizes.shape(node.shape))
            return value
        case Choice():
            return values[chosen(node, sizes)]
        case Fold():
            return values[unrolled(node, sizes.integer(node.count))]
        case Apply() if node.definition.draw is None:
            arguments = [_array(values[argument], xp, node) for argument in node.arguments]
            if is_built_in(node.operator):
                return node.definition.value(xp, *arguments, **concrete_options(node, sizes))
            return _guarded(node, arguments, xp, sizes)
        case _:
            return leaf(node)


def _guarded(node: Apply, arguments: list[Array], xp: Arrays, sizes: Sizes) -> Array:
    """The value of an operator registered from Python, which may fail or break its own signature."""
    name = node.operator
    try:
        value = node.definition.value(xp, *arguments, **concrete_options(node, sizes))
    except SpecError:
        raise
    except Exception as error:
        given = " and ".join(_shown(getattr(argument, "shape", ())) for argument in arguments) or "no array"
        problem = f"the function of the operator `{name}` fails on {given}: {type(error).__name__}: {error}"
        raise SpecOperatorError(
            problem, hint="it takes the array namespace first; every array comes from it"
        ) from error
    count = len(node.definition.outputs)
    if count == 1:
        _check_shape(name, value, sizes.shape(node.shape))
    elif not isinstance(value, tuple | list) or len(value) != count:
        raise SpecOperatorError(f"the function of the operator `{name}` gives no {count} values, as its signature says")
    return value


def _check_shape(name: str, value: Array, wanted: tuple[int, ...]) -> None:
    shape = None if value is None else tuple(getattr(value, "shape", ()))
    if shape != wanted:
        found = "nothing" if shape is None else _shown(shape)
        raise SpecOperatorError(
            f"the function of the operator `{name}` gives {found} where its signature says {_shown(wanted)}"
        )


def _shown(shape: Iterable[int]) -> str:
    return " x ".join(map(str, shape)) or "a number"


TAKES_NUMBERS = frozenset({"add", "times", "scale", "divide", "negative"})
"""Operators of arithmetic: a number among their arguments stays Python's and takes the dtype of its partner."""


def _array(value: Array, xp: Arrays, node: Apply) -> Array:
    """Numbers stay Python's for arithmetic, where they take the dtype of their partner; functions want arrays."""
    if isinstance(value, float) and node.operator not in TAKES_NUMBERS:
        return xp.full((), value)
    return value


def concrete_options(node: Apply, sizes: Sizes) -> dict[str, Any]:
    """An operator's options with every size a number: sizes and shapes as ints, numbers as floats."""
    kinds = {option.name: option.kind for option in node.definition.options}
    result: dict[str, Any] = {}
    for name, value in node.options:
        if name == "label":
            continue
        if name == "items":
            result[name] = tuple(_slice_item(item, sizes) for item in value)
        elif name == "sizes":
            result[name] = tuple((axis, sizes.integer(size)) for axis, size in value)
        elif isinstance(value, tuple):
            result[name] = sizes.shape(value)
        elif isinstance(value, Size):
            is_whole = kinds.get(name) == "size" or name == "seed"
            result[name] = sizes.integer(value) if is_whole else sizes.option(value)
        else:
            result[name] = value
    return result


def _slice_item(item: Any, sizes: Sizes) -> Any:
    if isinstance(item, Size):
        return sizes.integer(item)
    start, stop, step = (sizes.integer(size) for size in item)
    return slice(start, stop, step)
