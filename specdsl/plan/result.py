"""The chosen form of one module's output, with what it costs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

from specdsl.affine import W as BASE_WEIGHT
from specdsl.ir import Apply, Factor, Node, topological
from specdsl.plan.cost import Cost
from specdsl.plan.forms import Project, Through, is_in_tokens
from specdsl.plan.text import plan_text


@dataclass(frozen=True)
class Plan:
    """How modules of one size and type compute their adapted output.

    Attributes:
        output: the expression that is computed, over `Project`, `Through`, `y`, factors and constants.
        constants: values computed once at attach and stored.
        names: the spec's own names for parts of the output.
        cost: of a training step for `tokens` tokens.
        frozen: that of the layer without an adapter, with the gradient flowing to its input.
        stored: bytes of the constants, in float32.
        tokens: the number of tokens counted.
    """

    output: Node
    constants: tuple[Node, ...]
    names: Mapping[Node, str]
    cost: Cost
    frozen: Cost
    stored: int
    tokens: int

    @property
    def flops(self) -> int:
        """Operations beyond the frozen layer's own; negative where the adapted layer is cheaper."""
        return self.cost.flops - self.frozen.flops

    @property
    def floor(self) -> int:
        """Operations of the frozen layer."""
        return self.frozen.flops

    @property
    def saved(self) -> int:
        """Bytes kept for backward beyond the frozen layer's own, in float32."""
        return self.cost.saved

    @cached_property
    def builds_weight(self) -> bool:
        """Whether activations meet a full `n x m` matrix that is built in every step, not one that is stored."""
        stored = {BASE_WEIGHT, *self.constants}
        return any(
            matrix.shape == BASE_WEIGHT.shape and matrix not in stored and not isinstance(matrix, Factor)
            for node in topological([self.output])
            for matrix in _matrices(node)
        )

    @property
    def order(self) -> str:
        """The computation as an expression, in the spec's own names."""
        return plan_text(self.output, self.names)

    def __str__(self) -> str:
        share = f" ({self.flops / self.floor:+.1%})" if self.floor else ""
        lines = [
            f"y' = {self.order}",
            (
                f"{self.flops:,} FLOPs beyond the frozen layer's {self.floor:,}{share} and "
                f"{self.saved:,} bytes saved for backward, for {self.tokens:,} tokens"
            ),
        ]
        if self.constants:
            once = ", ".join(self.names.get(node) or plan_text(node, self.names) for node in self.constants)
            lines.append(f"computed once: {once}; {self.stored:,} bytes stored")
        return "\n".join(lines)


def _matrices(node: Node) -> tuple[Node, ...]:
    """The matrices that activations are multiplied by."""
    match node:
        case Project():
            return (node.matrix,)
        case Through():
            return (node.weight,)
        case Apply(operator="matmul") if is_in_tokens(node):
            return node.arguments[1:]
    return ()
