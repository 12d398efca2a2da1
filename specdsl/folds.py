"""Folds written out: `sum(E for i < k)` as k terms, once the sizes of a module are known.

Until then a fold is one node, whatever k is; every stage that works on concrete sizes sees sums, products and stacks.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache, partial, reduce
from typing import Protocol

from specdsl import limits
from specdsl.errors import SpecLimitError
from specdsl.ir import Apply, Fold, Node, topological, transform
from specdsl.node_sizes import own_sizes, with_sizes
from specdsl.nodes import apply, scaled
from specdsl.sizes import Size


class SupportsInteger(Protocol):
    """The numbers behind sizes."""

    def integer(self, size: Size) -> int: ...


OPERATORS = {"sum": "add", "prod": "matmul", "stack": "stack"}
"""The operator that joins the values of a fold."""


@lru_cache(maxsize=4096)
def unrolled(fold: Fold, count: int) -> Node:
    """The fold over `count` values as one application of the operator that joins them.

    Raises:
        SpecLimitError: it would become too large.
    """
    if count * (1 + _varying(fold)) > limits.UNROLLED:
        raise SpecLimitError(
            f"`{fold.kind}(... for {fold.index} < {fold.count})` over {count:,} values would have more than "
            f"{limits.UNROLLED:,} parts", hint="a stack `A : k x n x r` computes all of them at once",
        )  # fmt: skip
    values = [at_index(fold, position) for position in range(count)]
    if len(values) == 1 and fold.kind != "stack":
        return values[0]
    if fold.kind == "prod" and not fold.shape:
        return reduce(scaled, values)
    shape = (Size.of(count), *fold.body.shape) if fold.kind == "stack" else fold.shape
    return apply(OPERATORS[fold.kind], values, shape)


def at_index(fold: Fold, position: int) -> Node:
    """The body of a fold at one value of its index."""
    bound = {fold.index: Size.of(position)}

    def labelled(node: Node) -> Node:
        label = node.option("label") if isinstance(node, Apply) else None
        if not isinstance(node, Apply) or label is None:
            return node
        options = dict(node.options) | {"label": f"{label}[{position}]"}  # every value draws for itself
        return apply(node.operator, node.arguments, node.shape, **options)

    body = with_sizes([fold.body], lambda size: size.substitute(bound))[fold.body]
    return transform([body], labelled)[body]


def _varying(fold: Fold) -> int:
    """How many nodes of the body depend on the index."""
    found: set[Node] = set()
    for node in topological([fold.body]):
        if any(fold.index in size.symbols for size in own_sizes(node)) or any(
            child in found for child in node.children
        ):
            found.add(node)
    return len(found)


def outside_folds(roots: Iterable[Node]) -> list[Node]:
    """The nodes under `roots` that have a value for the module: those inside a fold have one for every index."""
    found: dict[Node, None] = {}
    stack = list(roots)
    while stack:
        node = stack.pop()
        if node not in found:
            found[node] = None
            stack += () if isinstance(node, Fold) else node.children
    return list(found)


def without_folds(root: Node, sizes: SupportsInteger) -> Node:
    """`root` with every fold written out for the sizes of a module, outer ones first."""
    while True:
        folds = [node for node in outside_folds([root]) if isinstance(node, Fold)]
        if not folds:
            return root
        written: dict[Node, Node] = {fold: unrolled(fold, sizes.integer(fold.count)) for fold in folds}
        root = transform([root], partial(_put_in, written))[root]


def _put_in(written: Mapping[Node, Node], node: Node) -> Node:
    return written.get(node, node)
