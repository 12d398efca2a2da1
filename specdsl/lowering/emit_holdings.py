"""What an emitted class holds, under which names: factors, and values computed once."""

from __future__ import annotations

from dataclasses import dataclass

from torch import nn

from specdsl.interpret import Sizes
from specdsl.ir import Apply, Factor, FactorIR, Initial, Layers, Node, Part, Scalar, topological
from specdsl.lowering.emit_code import Code, Names
from specdsl.lowering.emit_words import PART_NAMES
from specdsl.lowering.layer_adapter import Lowered
from specdsl.plan import LayerTraits

METHODS = ("base", "forward", "penalty", "model_penalty", "layer_value", "merged_weight", "merged_bias")
"""Attributes of every class, which no factor may have."""

_PLAIN = ("eye", "zeros", "ones", "fill", "negative", "scale", "transpose", "add")
_CHEAP = ("negative", "diag")


@dataclass(frozen=True)
class AdaptedKind:
    """Modules that are computed alike: what `lower` made of a spec for one size and type of layer."""

    lowered: Lowered
    sizes: Sizes
    traits: LayerTraits


@dataclass(frozen=True)
class Held:
    """A factor or constant and the attribute that holds it."""

    attribute: str
    node: Node


class Holdings:
    """The attributes of one class.

    Attributes:
        named: the values that the spec's definitions name, as written and as planned.
        names: gives out attribute names.
        factors: the attribute of each factor in use.
        constants: the attribute of each value that is computed once.
    """

    def __init__(self, kind: AdaptedKind) -> None:
        self.ir = kind.lowered.ir
        self.lowered = kind.lowered
        self.named = {node: name for node, name in kind.lowered.plan.names.items() if not isinstance(node, Scalar)}
        self.names = Names({*dir(nn.Module()), *METHODS}, are_attributes=True)
        self.factors = {name: self.names.fresh(name) for name in self.lowered.factors_in_use}
        self.constants = {node: self.names.fresh(self._constant_name(node)) for node in self._constant_nodes()}
        self._read: set[Node] = set()

    def stored(self, node: Node) -> Code | None:
        """The attribute that holds a value, or None. What is asked for is what the class has to hold."""
        if node in self.constants:
            self._read.add(node)
            return Code(f"self.{self.constants[node]}")
        if isinstance(node, Factor):
            attribute = f"self.{self.factors[node.name]}"
            return Code(f"orthonormal({attribute})" if self.ir.factors[node.name].orthonormal else attribute)
        return None

    def held(self) -> list[Held]:
        """The factors, and the constants that were asked for."""
        factors = [Held(own, Factor(self.ir.factors[name].shape, name)) for name, own in self.factors.items()]
        return [*factors, *(Held(own, node) for node, own in self.constants.items() if node in self._read)]

    def _constant_nodes(self) -> list[Node]:
        bare = (_without_cheap_steps(node) for node in (*self.lowered.constants, *self.lowered.initials))
        return list(dict.fromkeys(node for node in bare if not _is_plain(node)))

    def _constant_name(self, node: Node) -> str:
        if node in self.named:
            return self.named[node]
        match node:
            case Part(of=Apply(operator=operator), index=index) if operator in PART_NAMES:
                return PART_NAMES[operator][index]
            case Initial():
                return f"{self._constant_name(node.of)}_start"
            case Factor():
                return node.name
            case Layers():
                return "over_layers"
            case Apply(operator="slice", arguments=(inner,)):
                return f"{self._constant_name(inner)}_part"
        if any(isinstance(part, Initial) for part in topological([node])):
            return "start"
        match node:
            case Apply(operator=operator, arguments=(Factor() | Part() as inner,)):
                return f"{operator}_{self._constant_name(inner)}"
        return "constant"


def shape_text(node: Node | FactorIR) -> str:
    """`n x r`."""
    return " x ".join(map(str, node.shape)) or "a number"


def _is_plain(node: Node) -> bool:
    """Whether a constant is made of zeros and ones alone, and cheaper to make than to store."""
    return all(
        isinstance(part, Scalar) or (isinstance(part, Apply) and part.operator in _PLAIN)
        for part in topological([node])
    )


def _without_cheap_steps(node: Node) -> Node:
    """A constant `-E` or `diag(v)` is held as E or v."""
    while isinstance(node, Apply) and node.operator in _CHEAP:
        node = node.arguments[0]
    return node
