"""Expressions of a spec made ready for one kind of module: its sizes decided, its absent bias left out."""

from __future__ import annotations

from specdsl.affine import NotAffine, adapted_weight
from specdsl.facts import is_zero
from specdsl.folds import without_folds
from specdsl.interpret import Sizes, chosen
from specdsl.ir import Apply, Choice, Initial, Node, Scalar, Site, SpecIR, interned, reads, rebuilt, transform
from specdsl.nodes import apply
from specdsl.plan.constants import ConstantParts, layer_lists
from specdsl.plan.diagonals import without_diagonals
from specdsl.plan.forms import TOKENS, LayerTraits
from specdsl.plan.sums import sum_of

_OPENED_BY_INITIAL = ("matmul", "add", "negative", "scale")


class Preparation:
    """Prepares the expressions of one spec for modules of one size and type.

    Attributes:
        sizes: numbers for the symbols, `tokens` among them.
        trained: the names of the trained factors.
        changing: those, and the names of noise and inputs: what differs from step to step.
    """

    def __init__(self, ir: SpecIR, sizes: Sizes, traits: LayerTraits, tokens: int = TOKENS) -> None:
        self.sizes = Sizes({**sizes.values, "tokens": tokens}, sizes.layers)
        self.traits = traits
        self.tokens = tokens
        self.trained = frozenset(factor.name for factor in ir.factors.values() if factor.is_trained)
        self.changing = self.trained | ir.given.keys()

    def of(self, root: Node) -> Node:
        """`root` with sizes decided, the absent bias at zero, and `init(...)` moved to the factors."""
        root = without_folds(root, self.sizes)
        return transform([root], self._simplified)[root]

    def _simplified(self, node: Node) -> Node:
        match node:
            case Choice():
                return chosen(node, self.sizes)
            case Site(name="b") if not self.traits.has_bias:
                return apply("zeros", (), node.shape, shape=node.shape)
            case Initial():
                return self._initial(node.of)
            case Apply(operator="add"):
                return sum_of(node.arguments, node.shape)
            case Apply(operator="scale", arguments=(Scalar() as factor, body)):
                return body if self.sizes.number(factor.size) == 1 else node
        return node

    def _initial(self, node: Node) -> Node:
        """`init(A@B)` as `init(A)@init(B)`, which needs no n x m array."""
        if isinstance(node, Apply) and node.operator in _OPENED_BY_INITIAL and node.ndim == 2:
            return rebuilt(node, tuple(self._initial(child) for child in node.arguments))
        if isinstance(node, Scalar | Initial) or not (reads(node) & self.trained):
            return node
        return interned(Initial(node.shape, node))


def prepared(ir: SpecIR, sizes: Sizes, traits: LayerTraits, node: Node) -> Node:
    """An expression of the spec in the form that it has inside a plan for such modules."""
    return without_diagonals(Preparation(ir, sizes, traits).of(node))


def prepared_weight(ir: SpecIR, sizes: Sizes, traits: LayerTraits) -> dict[str, Node]:
    """`W'` and `b'` with the module's sizes decided; empty where the output is no weight.

    A module without bias stays without one where b' is zero, as `b .* l` is then.
    """
    try:
        weight = adapted_weight(ir)
    except NotAffine:
        return {}
    ready = {name: prepared(ir, sizes, traits, node) for name, node in weight.items()}
    if "b" in ready and not traits.has_bias and is_zero(ready["b"]):
        del ready["b"]
    return ready


def prepared_penalties(ir: SpecIR, sizes: Sizes, traits: LayerTraits) -> tuple[dict[str, Node], tuple[Node, ...]]:
    """The penalties in one module by their text, and what of them is computed once.

    Beside a penalty with `layers(...)` stand the expressions inside, as `TEXT [0]`, whose values are gathered from all
    modules; a list may read those before it.
    """
    preparation = Preparation(ir, sizes, traits)
    found = {penalty.text: preparation.of(penalty.value) for penalty in ir.penalties}
    lists = {
        f"{text} [{position}]": part.of
        for text, node in found.items()
        for position, part in enumerate(layer_lists(node))
    }
    constants = ConstantParts(preparation.changing, lists_are_constant=False)
    return found | lists, constants.find([*found.values(), *lists.values()])
