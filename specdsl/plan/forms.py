"""What an adapted output is written in: the nodes that stand for the module's own way of computing."""

from __future__ import annotations

from dataclasses import dataclass

from specdsl.ir import Apply, Node, reads
from specdsl.operators.registry import Shape

TOKENS = 2048
"""The number of tokens a plan is made for."""


@dataclass(frozen=True)
class Project(Node):
    """`x @ M` in the module's own way: a product, a convolution with kernel M, a gather of M's rows."""

    matrix: Node
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.matrix,)

    def over(self, children: tuple[Node, ...], shape: Shape) -> Node:
        return Project(shape, children[0])


@dataclass(frozen=True)
class Through(Node):
    """The module's own operation with another weight and bias (None: without bias)."""

    weight: Node
    bias: Node | None
    __hash__ = Node.__hash__

    @property
    def children(self) -> tuple[Node, ...]:
        return (self.weight,) if self.bias is None else (self.weight, self.bias)

    def over(self, children: tuple[Node, ...], shape: Shape) -> Node:
        return Through(shape, children[0], None if self.bias is None else children[1])


@dataclass(frozen=True)
class LayerTraits:
    """What planning has to know of a layer type.

    Attributes:
        kind: its name in reports.
        has_bias: whether the module has a bias.
        input_is_tokens: whether `x` exists as a tensor of tokens (not for an embedding; a convolution unfolds it).
        free_projection: whether `x @ M` costs no arithmetic (an embedding gathers rows).
        weight_is_diagonal: whether W is diagonal (a norm).
        unfolds: whether `x` as tokens repeats the input many times (a convolution), so that it is avoided.
        only_weight: whether nothing but `W'` and `b'` reaches it, as its owner multiplies by it in its own way.
    """

    kind: str
    has_bias: bool
    input_is_tokens: bool = True
    free_projection: bool = False
    weight_is_diagonal: bool = False
    unfolds: bool = False
    only_weight: bool = False

    @property
    def has_cheap_tokens(self) -> bool:
        """Whether `x` is at hand as an array of tokens."""
        return self.input_is_tokens and not self.unfolds


def is_in_tokens(node: Node) -> bool:
    """Whether the first axis of a value runs over tokens."""
    return bool(node.shape) and "tokens" in node.shape[0].symbols


def is_chain(node: Node) -> bool:
    """Whether a node is a product of tokens with matrices that no token reaches."""
    return (
        isinstance(node, Apply)
        and node.operator == "matmul"
        and bool(reads(node.arguments[0]) & {"x", "y"})
        and not any(reads(operand) & {"x", "y"} for operand in node.arguments[1:])
    )
