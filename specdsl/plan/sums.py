"""Sums of terms, flat and without zeros; and the layer's own output inside of one."""

from __future__ import annotations

from collections.abc import Iterable

from specdsl.affine import W as BASE_WEIGHT
from specdsl.affine import Y
from specdsl.ir import Apply, Node, Site, interned
from specdsl.nodes import apply, scalar
from specdsl.operators.registry import Shape
from specdsl.plan.forms import Project
from specdsl.sizes import Size


def sum_of(terms: Iterable[Node], shape: Shape) -> Node:
    """`A + B + ...`, flat, without zeros."""
    flat: list[Node] = []
    for term in terms:
        flat += term.arguments if isinstance(term, Apply) and term.operator == "add" else [term]
    kept = [
        term
        for term in flat
        if not (isinstance(term, Apply) and term.operator == "zeros") and term != scalar(Size.of(0))
    ]
    if not kept:
        return flat[0]
    return kept[0] if len(kept) == 1 else apply("add", kept, shape)


def with_base_output(node: Node, has_bias: bool) -> Node:
    """`x@W + b` read as the layer's own output `y`."""
    terms = list(node.arguments) if isinstance(node, Apply) and node.operator == "add" else [node]
    product = interned(Project(Y.shape, BASE_WEIGHT))
    if product not in terms:
        return node
    bias = next((term for term in terms if isinstance(term, Site) and term.name == "b"), None)
    if has_bias and bias is None:
        return node
    rest = [term for term in terms if term not in (product, bias)]
    return sum_of([Y, *rest], node.shape)
