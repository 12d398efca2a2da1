"""The spec's own names for values inside of a plan: `U` where the user wrote `U, S, V = svd(W)`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from specdsl.interpret import Sizes
from specdsl.ir import Factor, Node, Scalar, SpecIR, interned, rebuilt, topological
from specdsl.plan.forms import LayerTraits, Project, Through
from specdsl.plan.preparation import prepared


def names_in_plans(ir: SpecIR, sizes: Sizes, traits: LayerTraits) -> dict[Node, str]:
    """The values that the spec's definitions name, as written and as planned for such modules."""
    named: dict[Node, str] = {}
    for name, node in ir.definitions.items():
        for form in (node, prepared(ir, sizes, traits, node)):
            is_number = isinstance(form, Scalar) and (form.size.as_symbol is not None or not form.size.symbols)
            if not isinstance(form, Factor) and not is_number:
                named.setdefault(form, name)
    return named


def with_names(root: Node, names: Mapping[Node, str]) -> Node:
    """`root` with names in the place of what they stand for, to be printed; `root` itself is written out."""
    done: dict[Node, Node] = {}
    for node in topological([root]):
        children = tuple(done[child] for child in node.children)
        if node in names and node is not root:
            done[node] = interned(Factor(node.shape, names[node]))
        elif isinstance(node, Project):
            done[node] = replace(node, matrix=children[0])
        elif isinstance(node, Through):
            done[node] = replace(node, weight=children[0], bias=children[1] if node.bias is not None else None)
        else:
            done[node] = rebuilt(node, children) if children else node
    return done[root]
